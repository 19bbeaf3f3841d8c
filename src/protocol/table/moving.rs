//! An entry on its way to its alternate bucket, both of its buckets locked.
//!
//! Two publications, this order: the bucket that it goes to, then the bucket that it leaves. In
//! between the entry is in both, with the same value; a process that dies there leaves what
//! [`takeover`](super::takeover) puts in order.

use crate::protocol::bucket::{BucketGuard, Slot};
use crate::protocol::hash::KeyHash;
use crate::protocol::move_log::{Direction, Moves};
use crate::protocol::shape::Shape;

/// An entry that moves.
pub(super) struct Moving<'l, 'a, S: Shape> {
    pub(super) hash: KeyHash,
    pub(super) from: &'l BucketGuard<'a, S>,
    pub(super) slot: Slot,
    pub(super) to: &'l BucketGuard<'a, S>,
    pub(super) place: Slot,
    /// Whether the move brings it to its primary bucket.
    pub(super) is_to_primary: bool,
    pub(super) moves: Moves<'a>,
}

impl<S: Shape> Moving<'_, '_, S> {
    /// Writes the move down and publishes the entry where it goes to. The caller publishes the
    /// bucket that it leaves without it next, and then calls [`finish`](Self::finish).
    pub(super) fn begin(&self) {
        self.moves.record(
            self.hash,
            if self.is_to_primary {
                Direction::ToPrimary
            } else {
                Direction::ToSecondary
            },
        );
        if !self.is_to_primary {
            self.from.increment_overflow(self.hash.class());
        }
        self.to
            .fill_from(self.place, self.hash.tag(), self.from, self.slot);
        self.to.publish(self.to.state().occupied().with(self.place));
    }

    /// After the publication of the bucket that the entry left.
    pub(super) fn finish(&self) {
        if self.is_to_primary {
            self.to.decrement_overflow(self.hash.class());
        }
    }
}
