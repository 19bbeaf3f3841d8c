//! Writing: what becomes of an entry is decided under its lock.

use super::Table;
use super::request::{Blocked, Edit, Obstacle, Outcome, Probe};
use crate::liveness::token::Token;
use crate::protocol::bucket::{Locked, Search, Slot};
use crate::protocol::shape::Shape;
use crate::sys::copy::Sink;

impl<'a, S: Shape> Table<'a, S> {
    /// Reads an entry and decides, under its lock, what becomes of it: the short way, for keys
    /// that are at home, or absent with room at home, in a bucket that nobody holds. `None`: not
    /// that simple, and nothing has been done; go [the long way](Self::edit).
    ///
    /// `decide` gets the value that is there (copied into `old`) or `None`, may fill `new`,
    /// and may be asked several times: the last answer counts. It must not wait for anything.
    #[inline(always)]
    pub(crate) fn edit_at_home(
        &self,
        token: Token,
        key: Probe<'_>,
        old: &mut Sink<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Option<Outcome> {
        let home = self.area.home(key.hash);
        home.prefetch_preferred(key.hash.choice());
        let home = home.try_lock_once(token)?;
        // Unlocked by each branch for itself: what that has come to need not be asked again then.
        if let Search::Found(slot) = home.search(key.hash.tag(), key.words) {
            let outcome = self.apply(&home, slot, key, old, new, decide);
            drop(home);
            return outcome.ok();
        }
        if home.away(key.hash.class()) != 0 {
            drop(home);
            return None;
        }
        match decide(None, new) {
            Edit::Keep | Edit::Remove => Some(Outcome::KeptAbsent),
            Edit::Put => {
                let outcome = self.insert_at_home(&home, key, new);
                drop(home);
                outcome
            }
        }
    }

    pub(super) fn try_edit(
        &self,
        token: Token,
        key: Probe<'_>,
        old: &mut Sink<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Obstacle> {
        let tag = key.hash.tag();
        let home = self.try_lock(key.hash.home(self.buckets()), token)?;
        if let Search::Found(slot) = home.search(tag, key.words) {
            return self.apply(&home, slot, key, old, new, decide);
        }
        let mut other = None;
        if home.away(key.hash.class()) != 0 {
            let index = key.hash.other(self.buckets());
            // While we hold the home, the key can leave its other bucket but not come there.
            if self.search_bucket(index, tag, key.words) != Some(Search::Absent) {
                let locked = self.try_lock(index, token)?;
                if let Search::Found(slot) = locked.search(tag, key.words) {
                    let outcome = self.apply(&locked, slot, key, old, new, decide)?;
                    if outcome == Outcome::Removed {
                        home.lower_away(key.hash.class());
                    }
                    return Ok(outcome);
                }
                other = Some(locked);
            }
        }
        match decide(None, new) {
            Edit::Keep | Edit::Remove => Ok(Outcome::KeptAbsent),
            Edit::Put => self.insert(token, &home, other, key, new),
        }
    }

    /// Carries out a decision about an entry, in the locked bucket that holds it.
    #[inline(always)]
    fn apply(
        &self,
        bucket: &Locked<'a, S>,
        slot: Slot,
        key: Probe<'_>,
        old: &mut Sink<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Obstacle> {
        let current = bucket.load_value(slot, old);
        let occupied = bucket.state().occupied();
        match decide(Some(current), new) {
            Edit::Keep => Ok(Outcome::KeptPresent),
            Edit::Put if self.shape().is_in_place() => {
                bucket.store_in_place(slot, new);
                Ok(Outcome::Replaced)
            }
            Edit::Put => {
                let Some(spare) = occupied.free(bucket.preferred(key.hash.choice())) else {
                    return Err(self.damaged(key.hash.home(self.buckets())));
                };
                bucket.fill(spare, key.hash.tag(), key.words, new);
                if self.shape().replacement().is_some() {
                    bucket.note_update(slot, spare);
                }
                bucket.publish(occupied.with(spare).without(slot));
                Ok(Outcome::Replaced)
            }
            Edit::Remove => {
                bucket.publish(occupied.without(slot));
                Ok(Outcome::Removed)
            }
        }
    }

    pub(super) fn damaged(&self, bucket: u64) -> Obstacle {
        Obstacle::Blocked(Blocked::Damaged { bucket })
    }
}
