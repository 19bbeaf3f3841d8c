//! Writing: what becomes of an entry is decided under its lock.

use super::Table;
use super::request::{Blocked, Conflict, Edit, HashedKey, Outcome};
use crate::liveness::token::Token;
use crate::protocol::bucket::{BucketGuard, Search, Slot};
use crate::protocol::shape::Shape;
use crate::sys::copy::CopyBuf;

impl<'a, S: Shape> Table<'a, S> {
    /// Reads an entry and decides, under its lock, what becomes of it: the short way, for keys
    /// that are in the primary bucket, or absent with room in the primary bucket, in a bucket that
    /// nobody holds. `None`: not that simple, and nothing has been done; go [the long
    /// way](Self::edit).
    ///
    /// `decide` gets the value that is there (copied into `old`) or `None`, may fill `new`,
    /// and may be asked several times: the last answer counts. It must not wait for anything.
    #[inline(always)]
    pub(crate) fn edit_in_primary(
        &self,
        token: Token,
        key: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Option<Outcome> {
        let primary = self.area.primary(key.hash);
        primary.prefetch_preferred(key.hash.preferred_slot());
        let primary = primary.try_lock_once(token)?;
        // Unlocked by each branch for itself: what that has come to need not be asked again then.
        if let Search::Found(slot) = primary.search(key.hash.tag(), key.words) {
            let outcome = self.apply(&primary, slot, key, old, new, decide);
            drop(primary);
            return outcome.ok();
        }
        if primary.overflow(key.hash.class()) != 0 {
            drop(primary);
            return None;
        }
        match decide(None, new) {
            Edit::Keep | Edit::Remove => Some(Outcome::KeptAbsent),
            Edit::Put => {
                let outcome = self.insert_in_primary(&primary, key, new);
                drop(primary);
                outcome
            }
        }
    }

    pub(super) fn try_edit(
        &self,
        token: Token,
        key: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Conflict> {
        let tag = key.hash.tag();
        let primary = self.try_lock(key.hash.primary(self.buckets()), token)?;
        if let Search::Found(slot) = primary.search(tag, key.words) {
            return self.apply(&primary, slot, key, old, new, decide);
        }
        let mut secondary = None;
        if primary.overflow(key.hash.class()) != 0 {
            let index = key.hash.secondary(self.buckets());
            // While we hold the primary bucket, the key can leave its secondary bucket but not come
            // there.
            if self.search_bucket(index, tag, key.words) != Some(Search::Absent) {
                let locked = self.try_lock(index, token)?;
                if let Search::Found(slot) = locked.search(tag, key.words) {
                    let outcome = self.apply(&locked, slot, key, old, new, decide)?;
                    if outcome == Outcome::Removed {
                        primary.decrement_overflow(key.hash.class());
                    }
                    return Ok(outcome);
                }
                secondary = Some(locked);
            }
        }
        match decide(None, new) {
            Edit::Keep | Edit::Remove => Ok(Outcome::KeptAbsent),
            Edit::Put => self.insert(token, &primary, secondary, key, new),
        }
    }

    /// Carries out a decision about an entry, in the locked bucket that holds it.
    #[inline(always)]
    fn apply(
        &self,
        bucket: &BucketGuard<'a, S>,
        slot: Slot,
        key: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Conflict> {
        let current = bucket.load_value(slot, old);
        let occupied = bucket.state().occupied();
        match decide(Some(current), new) {
            Edit::Keep => Ok(Outcome::KeptPresent),
            Edit::Put if self.shape().is_in_place() => {
                bucket.store_in_place(slot, new);
                Ok(Outcome::Replaced)
            }
            Edit::Put => {
                let Some(spare) = occupied.free(bucket.preferred(key.hash.preferred_slot())) else {
                    return Err(self.damaged(key.hash.primary(self.buckets())));
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

    pub(super) fn damaged(&self, bucket: u64) -> Conflict {
        Conflict::Blocked(Blocked::Corrupted { bucket })
    }
}
