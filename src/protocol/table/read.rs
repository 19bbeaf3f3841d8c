//! Reading: a look at the primary bucket, and what follows if that did not do.

use super::Table;
use super::request::{HashedKey, Lookup};
use crate::protocol::bucket::{Bucket, Search, Slot};
use crate::protocol::shape::Shape;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::{READ_TRIES, READ_TRIES_READ_ONLY, spin_hint};

impl<'a, S: Shape> Table<'a, S> {
    /// One look into the primary bucket, which takes what it wants from the slot that it finds.
    /// `None`: look [further](Self::read_slow), or again.
    ///
    /// This is most of all reads, so it is small enough to become part of its caller.
    #[inline(always)]
    pub(crate) fn probe_primary(
        &self,
        key: HashedKey<'_>,
        take: impl FnOnce(Bucket<'a, S>, Slot),
    ) -> Option<Lookup> {
        let primary = self.area.primary(key.hash);
        primary.prefetch_preferred(key.hash.preferred_slot());
        let state = primary.read_begin();
        if let Search::Found(slot) = primary.search(state, key.hash.tag(), key.words) {
            take(primary, slot);
            // Not `validate_slot`: what that allows beyond this is rare, and the second look allows
            // it.
            return primary.validate(state).then_some(Lookup::Hit);
        }
        // Nobody of this class is in its secondary bucket: the key is nowhere.
        (primary.overflow(key.hash.class()) == 0 && primary.validate(state)).then_some(Lookup::Miss)
    }

    /// What follows when the fast path did not do: the secondary bucket, then both again and again.
    #[inline(always)]
    pub(crate) fn read_slow(
        &self,
        key: HashedKey<'_>,
        mut take: impl FnMut(Bucket<'a, S>, Slot),
    ) -> Lookup {
        let secondary = self.area.secondary(key.hash);
        let state = secondary.read_begin();
        if let Search::Found(slot) = secondary.search(state, key.hash.tag(), key.words) {
            take(secondary, slot);
            if secondary.validate_slot(state, slot) {
                return Lookup::Hit;
            }
        }
        self.read_again(key, READ_TRIES, take)
    }

    /// As `read`, with the retry budget of a handle that has no other way.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_persistently(&self, key: HashedKey<'_>, value: &mut CopyBuf<'_>) -> Lookup {
        self.read_again(key, READ_TRIES_READ_ONLY, |bucket, slot| {
            bucket.load_value(slot, value)
        })
    }

    fn read_again(
        &self,
        key: HashedKey<'_>,
        tries: u32,
        mut take: impl FnMut(Bucket<'a, S>, Slot),
    ) -> Lookup {
        for _ in 0..tries {
            if let Some(lookup) = self.try_read(key, &mut take) {
                return lookup;
            }
            spin_hint();
        }
        Lookup::Contended
    }

    /// One look into both buckets if need be. `None` if somebody published meanwhile.
    fn try_read(
        &self,
        key: HashedKey<'_>,
        mut take: impl FnMut(Bucket<'a, S>, Slot),
    ) -> Option<Lookup> {
        let tag = key.hash.tag();
        let primary = self.area.primary(key.hash);
        let primary_state = primary.read_begin();
        if let Search::Found(slot) = primary.search(primary_state, tag, key.words) {
            take(primary, slot);
            return primary
                .validate_slot(primary_state, slot)
                .then_some(Lookup::Hit);
        }
        if primary.overflow(key.hash.class()) == 0 {
            return primary.validate(primary_state).then_some(Lookup::Miss);
        }
        let secondary = self.area.secondary(key.hash);
        let secondary_state = secondary.read_begin();
        if let Search::Found(slot) = secondary.search(secondary_state, tag, key.words) {
            take(secondary, slot);
            return secondary
                .validate_slot(secondary_state, slot)
                .then_some(Lookup::Hit);
        }
        // Both at once: a key that moves from the one that we read second to the one that
        // we read first must not be missed.
        (secondary.validate(secondary_state) && primary.validate(primary_state))
            .then_some(Lookup::Miss)
    }
}
