//! Taking a bucket over from a dead owner.
//!
//! A dead writer leaves nothing half done that anyone could see, with one exception: a
//! displacement that died between its two publications leaves one key in two buckets, with
//! the same value, both locked by dead processes. As long as either lock stands, nobody can change
//! either copy; so the second copy must go before the *first* of the two locks does.
//!
//! Whoever meets the lock of a dead owner, holding no lock itself:
//!
//! 1. looks, for each entry of the bucket, into the entry's alternate bucket, whoever may hold
//!    that one (a first taker may have died here too, so the two locks may carry different
//!    tokens of dead processes);
//! 2. if a key is in both: locks both in the order of their index, taking over from the
//!    dead, looks again, removes the copy that is in its secondary bucket, and gives each lock that
//!    was a dead owner's *back to it*;
//! 3. if none is: exchanges exactly the orphaned word for its own and lets go.
//!
//! Then the interrupted operation starts anew. Two takers that meet here cannot wait for
//! each other, since neither waits while it holds a lock; nor can each remove its copy,
//! since both look again under both locks. If the compare-exchange of step 3 fails, somebody
//! else was faster: fine as well.
//!
//! Step 3 is the only place where a lock of dead processes becomes free. Step 2 may have the first
//! lock and not get the second (a waiter raised the flag in the word between look and exchange, or
//! the owner there is not provably dead), and the lock that it got may be that of another dead
//! owner, who left another entry twice. If it let go of such a lock, somebody could remove
//! a key whose second copy then came back. Giving back changes nothing for those who have just
//! looked: all that a taker ever does to a bucket with an orphaned lock is to remove a second copy.

use crate::liveness::token::{Liveness, LockWord};
use crate::protocol::bucket::{BucketGuard, Search};
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::protocol::table::{HashedKey, LivenessCheck, Table, Writer};
use crate::sys::copy::Buffer;
use crate::sys::sync::LOCK_SPINS;

/// What a takeover did, for those who report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// The lock was taken from a dead owner and released.
    Released,
    /// A second copy of an entry was removed; the lock is still to be looked at.
    Deduplicated(KeyHash),
    /// Somebody else got there first, or the alternate buckets are busy: look again.
    NotYet,
}

impl<'a, S: Shape> Table<'a, S> {
    /// Takes the lock word `dead` of a provably dead owner from `bucket`, one step.
    /// The caller holds nothing.
    pub(crate) fn take_over<W: LivenessCheck>(
        &self,
        writer: &Writer<'_, W>,
        bucket: u64,
        dead: LockWord,
    ) -> Takeover {
        let mut buffer = self.shape().key_buffer();
        let view = self.bucket(bucket);
        // Nobody but the takers of this very lock can change the bucket, so the state and
        // the keys stand still; if they do not, the exchange below fails.
        for slot in view.read_begin().occupied() {
            let key = view.load_key(slot, buffer.words());
            let hash = self.hash_of(key);
            let Some(alternate) = self.alternate(hash, bucket) else {
                continue;
            };
            match self.search_bucket(alternate, hash.tag(), key) {
                Some(Search::Absent) => {}
                Some(Search::Found(_)) => {
                    let key = HashedKey { hash, words: key };
                    return if self.remove_second_copy(writer, key) {
                        Takeover::Deduplicated(hash)
                    } else {
                        Takeover::NotYet
                    };
                }
                None => return Takeover::NotYet,
            }
        }
        match view.take_over(dead, writer.token()) {
            Some(locked) => {
                drop(locked);
                Takeover::Released
            }
            None => Takeover::NotYet,
        }
    }

    /// Removes the copy of `key` that is in its secondary bucket, if there really are two.
    fn remove_second_copy<W: LivenessCheck>(
        &self,
        writer: &Writer<'_, W>,
        key: HashedKey<'_>,
    ) -> bool {
        let primary = key.hash.primary(self.buckets());
        let secondary = key.hash.secondary(self.buckets());
        let Some(first) = self.lock_or_take(writer, primary.min(secondary)) else {
            return false;
        };
        let Some(second) = self.lock_or_take(writer, primary.max(secondary)) else {
            first.end();
            return false;
        };
        let (primary, secondary) = if primary < secondary {
            (&first.lock, &second.lock)
        } else {
            (&second.lock, &first.lock)
        };
        let tag = key.hash.tag();
        let found = (
            primary.search(tag, key.words),
            secondary.search(tag, key.words),
        );
        let is_twice = if let (Search::Found(_), Search::Found(slot)) = found {
            secondary.publish(secondary.state().occupied().without(slot));
            // Exact in both directions: a move to the secondary bucket had raised the count before
            // it died, and for a move back to the primary bucket the key was counted all along.
            primary.decrement_overflow(key.hash.class());
            true
        } else {
            false
        };
        second.end();
        first.end();
        is_twice
    }

    /// The lock of a bucket that is free, or whose owner is dead.
    fn lock_or_take<W: LivenessCheck>(
        &self,
        writer: &Writer<'_, W>,
        bucket: u64,
    ) -> Option<TakenLock<'a, S>> {
        match self.bucket(bucket).try_lock(writer.token(), LOCK_SPINS) {
            Ok(lock) => Some(TakenLock { lock, dead: None }),
            Err(found) if writer.liveness(found.owner()?) == Liveness::Dead => {
                let lock = self.bucket(bucket).take_over(found, writer.token())?;
                let dead = Some(found);
                Some(TakenLock { lock, dead })
            }
            Err(_) => None,
        }
    }
}

/// A lock that is held during a repair.
struct TakenLock<'a, S: Shape> {
    lock: BucketGuard<'a, S>,
    /// The word of its dead owner, if it was not free.
    dead: Option<LockWord>,
}

impl<S: Shape> TakenLock<'_, S> {
    /// Leaves the lock as it was found.
    fn end(self) {
        match self.dead {
            Some(dead) => self.lock.restore(dead),
            None => drop(self.lock),
        }
    }
}
