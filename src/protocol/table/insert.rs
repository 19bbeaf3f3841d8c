//! Inserting an absent key: into its primary bucket, its secondary one, or the place of an entry that
//! moves.

use super::Table;
use super::request::{Blocked, Obstacle, Outcome, Probe};
use crate::liveness::token::Token;
use crate::protocol::bucket::{Locked, Slot};
use crate::protocol::hash::Hashed;
use crate::protocol::move_log::Direction;
use crate::protocol::shape::Shape;
use crate::sys::copy::Buffer;

impl<'a, S: Shape> Table<'a, S> {
    /// Where one more entry may go in the bucket number `index`, if anywhere.
    #[inline(always)]
    fn room(&self, bucket: &Locked<'a, S>, index: u64, hash: Hashed) -> Option<Slot> {
        let preferred = bucket.preferred(hash.choice());
        bucket
            .state()
            .occupied()
            .room(self.shape().limit(index), preferred)
    }

    /// Inserts a key that is absent, its home locked, if there is room at home.
    #[inline(always)]
    pub(super) fn insert_at_home(
        &self,
        home: &Locked<'a, S>,
        key: Probe<'_>,
        value: &[u64],
    ) -> Option<Outcome> {
        let slot = self.room(home, key.hash.home(self.buckets()), key.hash)?;
        home.fill(slot, key.hash.tag(), key.words, value);
        if self.shape().replacement().is_some() {
            home.note_insert(slot, key.hash);
        }
        home.publish(home.state().occupied().with(slot));
        Some(Outcome::Inserted)
    }

    /// Inserts a key that is absent, its home locked; `other` if that is locked already.
    pub(super) fn insert(
        &self,
        token: Token,
        home: &Locked<'a, S>,
        other: Option<Locked<'a, S>>,
        key: Probe<'_>,
        value: &[u64],
    ) -> Result<Outcome, Obstacle> {
        match self.insert_at_home(home, key, value) {
            Some(outcome) => Ok(outcome),
            None => self.insert_away(token, home, other, key, value),
        }
    }

    fn insert_away(
        &self,
        token: Token,
        home: &Locked<'a, S>,
        other: Option<Locked<'a, S>>,
        key: Probe<'_>,
        value: &[u64],
    ) -> Result<Outcome, Obstacle> {
        let index = key.hash.other(self.buckets());
        let other = match other {
            Some(locked) => locked,
            None => self.try_lock(index, token)?,
        };
        let occupied = other.state().occupied();
        if let Some(slot) = self.room(&other, index, key.hash) {
            home.raise_away(key.hash.class());
            other.fill(slot, key.hash.tag(), key.words, value);
            if self.shape().replacement().is_some() {
                other.note_insert(slot, key.hash);
            }
            other.publish(occupied.with(slot));
            return Ok(Outcome::Inserted);
        }
        if self.shape().replacement().is_some() {
            return self
                .replace(token, home, &other, key, value)
                .ok_or_else(|| self.damaged(index));
        }
        self.displace(token, home, &other, key, value)
    }

    /// Inserts a key both of whose buckets are full, by moving one of their entries.
    ///
    /// Entries that live away go first: moving one brings it home. A first pass peeks before
    /// it locks; only if that finds no room anywhere, a second one asks every bucket under
    /// its lock, so that "full" is a fact and not an impression.
    #[cold]
    #[inline(never)]
    fn displace(
        &self,
        token: Token,
        home: &Locked<'a, S>,
        other: &Locked<'a, S>,
        key: Probe<'_>,
        value: &[u64],
    ) -> Result<Outcome, Obstacle> {
        let home_index = key.hash.home(self.buckets());
        let other_index = key.hash.other(self.buckets());
        let mut obstacle = None;
        let mut buffer = self.shape().key_buffer();
        for certain in [false, true] {
            for going_home in [true, false] {
                for (index, bucket) in [(home_index, home), (other_index, other)] {
                    for slot in bucket.state().occupied() {
                        let hash = self.hash_of(bucket.load_key(slot, buffer.words()));
                        let Some(mate) = self.mate(hash, index) else {
                            continue; // An entry that no writer of ours put here.
                        };
                        let is_home = hash.home(self.buckets()) == mate;
                        if is_home != going_home || mate == home_index || mate == other_index {
                            continue;
                        }
                        let peeked = self.bucket(mate).begin().occupied();
                        if !certain && peeked.len() >= self.shape().usable() {
                            continue;
                        }
                        let target = match self.try_lock(mate, token) {
                            Ok(locked) => locked,
                            Err(locked) => {
                                obstacle = Some(locked);
                                continue;
                            }
                        };
                        let Some(place) = self.room(&target, mate, hash) else {
                            continue;
                        };
                        let moving = Moving {
                            hash,
                            from: bucket,
                            slot,
                            to: &target,
                            place,
                            is_home,
                        };
                        return self.exchange(moving, home, index == other_index, key, value);
                    }
                }
            }
        }
        // A bucket that we could not lock may have room: then it is not full, but busy.
        Err(obstacle.unwrap_or(Obstacle::Blocked(Blocked::Full)))
    }

    /// Moves an entry to its other bucket and puts the new key into its old one.
    fn exchange(
        &self,
        moving: Moving<'_, 'a, S>,
        home: &Locked<'a, S>,
        key_is_away: bool,
        key: Probe<'_>,
        value: &[u64],
    ) -> Result<Outcome, Obstacle> {
        let Moving {
            hash,
            from,
            slot,
            to,
            place,
            is_home,
        } = moving;
        let occupied = from.state().occupied();
        self.moves.record(
            hash,
            if is_home {
                Direction::Home
            } else {
                Direction::Away
            },
        );
        if !is_home {
            from.raise_away(hash.class());
        }
        if key_is_away {
            home.raise_away(key.hash.class());
        }
        to.fill_from(place, hash.tag(), from, slot);
        to.publish(to.state().occupied().with(place));
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
        if is_home {
            to.lower_away(hash.class());
        }
        Ok(Outcome::Inserted)
    }
}

/// An entry on its way to its other bucket.
struct Moving<'l, 'a, S: Shape> {
    hash: Hashed,
    from: &'l Locked<'a, S>,
    slot: Slot,
    to: &'l Locked<'a, S>,
    place: Slot,
    /// Whether the move brings it home.
    is_home: bool,
}
