//! Inserting an absent key: into its primary bucket, its secondary one, or the place of an entry that
//! moves.

use super::Table;
use super::moving::Moving;
use super::request::{Blocked, Conflict, HashedKey, Outcome};
use crate::liveness::token::Token;
use crate::protocol::bucket::{BucketGuard, Slot};
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::sys::copy::Buffer;

impl<'a, S: Shape> Table<'a, S> {
    /// Where one more entry may go in the bucket number `index`, if anywhere.
    #[inline(always)]
    pub(super) fn room(
        &self,
        bucket: &BucketGuard<'a, S>,
        index: u64,
        hash: KeyHash,
    ) -> Option<Slot> {
        let preferred = bucket.preferred(hash.preferred_slot());
        bucket
            .state()
            .occupied()
            .room(self.shape().limit(index), preferred)
    }

    /// Inserts a key that is absent, its primary bucket locked, if there is room in the primary
    /// bucket.
    #[inline(always)]
    pub(super) fn insert_in_primary(
        &self,
        primary: &BucketGuard<'a, S>,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Option<Outcome> {
        let slot = self.room(primary, key.hash.primary(self.buckets()), key.hash)?;
        primary.fill(slot, key.hash.tag(), key.words, value);
        if self.shape().replacement().is_some() {
            primary.note_insert(slot, key.hash);
        }
        primary.publish(primary.state().occupied().with(slot));
        Some(Outcome::Inserted)
    }

    /// Inserts a key that is absent, its primary bucket locked; `secondary` if that is locked
    /// already.
    pub(super) fn insert(
        &self,
        token: Token,
        primary: &BucketGuard<'a, S>,
        secondary: Option<BucketGuard<'a, S>>,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Result<Outcome, Conflict> {
        match self.insert_in_primary(primary, key, value) {
            Some(outcome) => Ok(outcome),
            None => self.insert_in_secondary(token, primary, secondary, key, value),
        }
    }

    fn insert_in_secondary(
        &self,
        token: Token,
        primary: &BucketGuard<'a, S>,
        secondary: Option<BucketGuard<'a, S>>,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Result<Outcome, Conflict> {
        let index = key.hash.secondary(self.buckets());
        let secondary = match secondary {
            Some(locked) => locked,
            None => self.try_lock(index, token)?,
        };
        let occupied = secondary.state().occupied();
        if let Some(slot) = self.room(&secondary, index, key.hash) {
            primary.increment_overflow(key.hash.class());
            secondary.fill(slot, key.hash.tag(), key.words, value);
            if self.shape().replacement().is_some() {
                secondary.note_insert(slot, key.hash);
            }
            secondary.publish(occupied.with(slot));
            return Ok(Outcome::Inserted);
        }
        if self.shape().replacement().is_some() {
            return self
                .replace(token, primary, &secondary, key, value)
                .ok_or_else(|| self.damaged(index));
        }
        self.displace(token, primary, &secondary, key, value)
    }

    /// Inserts a key both of whose buckets are full, by moving one of their entries.
    ///
    /// Entries in their secondary bucket go first: moving one brings it to its primary bucket. A
    /// first pass peeks before it locks; only if that finds no room anywhere, a second one asks
    /// every bucket under its lock. If that finds none either, more than one entry has to move:
    /// that is for [`make_room`](Self::make_room), with nothing locked.
    #[cold]
    #[inline(never)]
    fn displace(
        &self,
        token: Token,
        primary: &BucketGuard<'a, S>,
        secondary: &BucketGuard<'a, S>,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Result<Outcome, Conflict> {
        let primary_index = key.hash.primary(self.buckets());
        let secondary_index = key.hash.secondary(self.buckets());
        let mut conflict = None;
        let mut buffer = self.shape().key_buffer();
        for certain in [false, true] {
            for to_primary in [true, false] {
                for (index, bucket) in [(primary_index, primary), (secondary_index, secondary)] {
                    for slot in bucket.state().occupied() {
                        let hash = self.hash_of(bucket.load_key(slot, buffer.words()));
                        let Some(alternate) = self.alternate(hash, index) else {
                            continue; // An entry that no writer of ours put here.
                        };
                        let is_to_primary = hash.primary(self.buckets()) == alternate;
                        if is_to_primary != to_primary
                            || alternate == primary_index
                            || alternate == secondary_index
                        {
                            continue;
                        }
                        let peeked = self.bucket(alternate).read_begin().occupied();
                        if !certain && peeked.len() >= self.shape().usable() {
                            continue;
                        }
                        let target = match self.try_lock(alternate, token) {
                            Ok(locked) => locked,
                            Err(locked) => {
                                conflict = Some(locked);
                                continue;
                            }
                        };
                        let Some(place) = self.room(&target, alternate, hash) else {
                            continue;
                        };
                        let moving = Moving {
                            hash,
                            from: bucket,
                            slot,
                            to: &target,
                            place,
                            is_to_primary,
                            moves: self.moves,
                        };
                        return self.exchange(
                            moving,
                            primary,
                            index == secondary_index,
                            key,
                            value,
                        );
                    }
                }
            }
        }
        // A bucket that we could not lock may have room: then it is not full, but busy.
        Err(conflict.unwrap_or(Conflict::Blocked(Blocked::Full)))
    }

    /// Moves an entry to its alternate bucket and puts the new key into its old one.
    fn exchange(
        &self,
        moving: Moving<'_, 'a, S>,
        primary: &BucketGuard<'a, S>,
        key_is_in_secondary: bool,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Result<Outcome, Conflict> {
        let (from, slot) = (moving.from, moving.slot);
        let occupied = from.state().occupied();
        if key_is_in_secondary {
            primary.increment_overflow(key.hash.class());
        }
        moving.begin();
        match occupied.first_free() {
            // One commit takes the moved entry out and the new one in.
            Some(spare) => {
                from.fill(spare, key.hash.tag(), key.words, value);
                from.publish(occupied.without(slot).with(spare));
            }
            // No spare slot: first out, then in.
            None => {
                from.publish(occupied.without(slot));
                from.begin_next();
                from.fill(slot, key.hash.tag(), key.words, value);
                from.publish(occupied);
            }
        }
        moving.finish();
        Ok(Outcome::Inserted)
    }
}
