//! Reading: a look at the primary bucket, and what follows if that did not do.

use super::Table;
use super::request::{Lookup, Probe};
use crate::protocol::bucket::{Bucket, Search, Slot};
use crate::protocol::shape::Shape;
use crate::sys::copy::Sink;
use crate::sys::sync::{READ_TRIES, READ_TRIES_READ_ONLY, spin_hint};

impl<'a, S: Shape> Table<'a, S> {
    /// One look into the home bucket, which takes what it wants from the slot that it finds.
    /// `None`: look [elsewhere](Self::read_elsewhere), or again.
    ///
    /// This is most of all reads, so it is small enough to become part of its caller.
    #[inline(always)]
    pub(crate) fn glance(
        &self,
        key: Probe<'_>,
        take: impl FnOnce(Bucket<'a, S>, Slot),
    ) -> Option<Lookup> {
        let home = self.area.home(key.hash);
        home.prefetch_preferred(key.hash.choice());
        let state = home.begin();
        if let Search::Found(slot) = home.search(state, key.hash.tag(), key.words) {
            take(home, slot);
            // Not `confirms`: what that allows beyond this is rare, and the second look allows it.
            return home.unchanged(state).then_some(Lookup::Hit);
        }
        // Nobody of this class lives away: the key is nowhere.
        (home.away(key.hash.class()) == 0 && home.unchanged(state)).then_some(Lookup::Miss)
    }

    /// What follows a glance that did not do: the other bucket, then both again and again.
    #[inline(always)]
    pub(crate) fn read_elsewhere(
        &self,
        key: Probe<'_>,
        mut take: impl FnMut(Bucket<'a, S>, Slot),
    ) -> Lookup {
        let other = self.area.other(key.hash);
        let state = other.begin();
        if let Search::Found(slot) = other.search(state, key.hash.tag(), key.words) {
            take(other, slot);
            if other.confirms(state, slot) {
                return Lookup::Hit;
            }
        }
        self.read_again(key, READ_TRIES, take)
    }

    /// As `read`, with the patience of a handle that has no other way.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_patiently(&self, key: Probe<'_>, value: &mut Sink<'_>) -> Lookup {
        self.read_again(key, READ_TRIES_READ_ONLY, |bucket, slot| {
            bucket.load_value(slot, value)
        })
    }

    fn read_again(
        &self,
        key: Probe<'_>,
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
        key: Probe<'_>,
        mut take: impl FnMut(Bucket<'a, S>, Slot),
    ) -> Option<Lookup> {
        let tag = key.hash.tag();
        let home = self.area.home(key.hash);
        let home_state = home.begin();
        if let Search::Found(slot) = home.search(home_state, tag, key.words) {
            take(home, slot);
            return home.confirms(home_state, slot).then_some(Lookup::Hit);
        }
        if home.away(key.hash.class()) == 0 {
            return home.unchanged(home_state).then_some(Lookup::Miss);
        }
        let other = self.area.other(key.hash);
        let other_state = other.begin();
        if let Search::Found(slot) = other.search(other_state, tag, key.words) {
            take(other, slot);
            return other.confirms(other_state, slot).then_some(Lookup::Hit);
        }
        // Both at once: a key that moves from the one that we read second to the one that
        // we read first must not be missed.
        (other.unchanged(other_state) && home.unchanged(home_state)).then_some(Lookup::Miss)
    }
}
