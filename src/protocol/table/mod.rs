//! The table: two buckets a key, and what readers and writers do with them.
//!
//! # Where a key lives
//!
//! Its hash names two different buckets, *home* and *other* (Azar, Broder, Karlin and Upfal,
//! "Balanced allocations", 1994, with a preference). A key goes home while there is room,
//! else to its other bucket; if both are full, one entry of the two moves to *its* other
//! bucket ("cuckoo hashing", Pagh and Rodler, 2001, one step of it). So nothing ever touches
//! more than two buckets to find a key and three to insert one, whatever a segment contains.
//!
//! The `away` counters in the header line of a bucket say, for each of 32 classes of
//! keys, how many that are at home here live elsewhere: never too low. A zero ends a search
//! after one bucket, which it does for some nineteen misses of twenty in a full table.
//!
//! # Who locks what
//!
//! The home's lock guards the *presence* of its keys: a key is inserted, and moves between its
//! buckets, only under the lock of its home. The lock of the bucket that holds an entry guards
//! the entry. So with the home locked, "absent" stays true; inserting at home takes one
//! lock, updating an entry at home takes one, everything else two (three to displace).
//!
//! Locks beyond the first are tried for a moment and never waited for: whoever cannot have
//! one lets go of all, waits for that one holding nothing, and begins again. So there is no
//! deadlock, whatever the order, and a process that is stopped while it waits blocks nobody.
//!
//! # Reading
//!
//! See [`crate::protocol::bucket`] for one bucket. A hit depends on the bucket that it was found in, and a
//! miss on both: they must both still be as first read. (A miss that ends at a zero counter
//! depends on the home alone: at the moment that the zero was read, the key was in neither.)
//!
//! # Displacing
//!
//! The entry is written to its new place first and published there, then the old place is
//! published without it (in the same store that brings the new key in, if there is a spare
//! slot). In between it is in
//! two buckets, with the same value, and both are locked; if the process dies there,
//! [`crate::protocol::table::takeover`] removes one of the two before either bucket can be written again.

pub(crate) mod evict;
pub(crate) mod takeover;

use crate::liveness::token::{LockWord, Token, Verdict};
use crate::protocol::bucket::{Bucket, Buffer, Locked, Search, Shape, Slot};
use crate::protocol::buckets::Area;
use crate::protocol::hash::{Hashed, KeyHasher};
use crate::protocol::move_log::{Direction, Moves};
use crate::protocol::table::takeover::Burial;
use crate::sys::copy::Sink;
use crate::sys::sync::{Deadline, Ordering, READ_TRIES, futex_wait, spin_hint};
pub(crate) use crate::sys::sync::{LOCK_SPINS, READ_TRIES_READ_ONLY};
use crate::sys::tags::Tag;
use zerocopy::IntoBytes;

/// How long a waiter sleeps before it looks at the lock and at its owner again, at most. This
/// bounds how long the death of an owner goes unnoticed when the wake-up died with it.
pub(crate) const WAIT_SLICE_US: u32 = 1000;

/// How often one operation is begun again for reasons that cost it no patience: it took a lock
/// from the dead, or lost a race for one that was free. Three buckets and the other buckets
/// of their entries could all have been left by dead owners, once or twice each; whoever sees more
/// than that is being held up, and waits no longer than for the living.
pub(crate) const FREE_ROUNDS: u32 = 128;

/// A key as the table needs it: hashed, and as words.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'k> {
    pub(crate) hash: Hashed,
    pub(crate) words: &'k [u64],
}

/// What a search of the table came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Lookup {
    /// The key is there; what was copied of it is whole.
    Hit,
    /// The key is not there.
    Miss,
    /// The bounded number of tries did not find the buckets at rest for long enough.
    Contended,
}

/// What a writer wants, once it knows what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Leave it.
    Keep,
    /// The key shall have the value that was put into the buffer.
    Put,
    /// The key shall be absent.
    Remove,
}

/// What a writer achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// The key was there and was left alone.
    KeptPresent,
    /// The key was not there and still is not.
    KeptAbsent,
    Inserted,
    Replaced,
    Removed,
}

/// Why a write did not happen. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Neither bucket of the key has room, nor can any of their entries move: found with
    /// all the locks held that the statement needs.
    Full,
    /// A lock could not be had in time; the word that stood there last.
    Busy { bucket: u64, found: LockWord },
    /// The bucket's state is none that this protocol writes.
    Damaged { bucket: u64 },
}

/// Why an attempt has to start again.
enum Obstacle {
    /// Somebody else holds the lock of this bucket.
    Locked { bucket: u64, found: LockWord },
    /// Final.
    Blocked(Blocked),
}

/// What the protocol asks about the process it runs in, and about others.
pub(crate) trait Who {
    /// Whether the owner behind a lock word is dead.
    fn verdict(&self, token: Token) -> Verdict;
}

/// One writing operation's identity and patience.
pub(crate) struct Writer<'w, W> {
    who: &'w W,
    token: Token,
    deadline: Deadline,
    /// How many more rounds cost no patience.
    free_rounds: u32,
}

impl<'w, W: Who> Writer<'w, W> {
    /// A writer that gives up `timeout` after it first had to wait.
    #[inline(always)]
    pub(crate) fn new(who: &'w W, token: Token, timeout: core::time::Duration) -> Self {
        Self {
            who,
            token,
            deadline: Deadline::new(timeout),
            free_rounds: FREE_ROUNDS,
        }
    }

    /// Whether one more round, which was no wait for anybody, is too many.
    fn is_held_up(&mut self) -> bool {
        match self.free_rounds.checked_sub(1) {
            Some(rest) => {
                self.free_rounds = rest;
                false
            }
            None => self.deadline.passed(),
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn verdict(&self, token: Token) -> Verdict {
        // Other threads of this process write under the same token.
        if token == self.token {
            Verdict::Alive
        } else {
            self.who.verdict(token)
        }
    }
}

/// The buckets of a segment, with what is needed to find one's way in them.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a, S> {
    area: Area<'a, S>,
    hasher: KeyHasher<'a>,
    moves: Moves<'a>,
}

impl<'a, S: Shape> Table<'a, S> {
    /// A table whose entries are in `area`.
    #[inline(always)]
    pub(crate) fn new(area: Area<'a, S>, hasher: KeyHasher<'a>, moves: Moves<'a>) -> Self {
        Self {
            area,
            hasher,
            moves,
        }
    }

    /// How many buckets there are.
    #[inline(always)]
    pub(crate) fn buckets(&self) -> u64 {
        self.area.count()
    }

    #[inline(always)]
    pub(crate) fn shape(&self) -> S {
        self.area.shape()
    }

    pub(crate) fn moves(&self) -> Moves<'a> {
        self.moves
    }

    /// As [`Area::bucket`].
    #[inline(always)]
    pub(crate) fn bucket(&self, index: u64) -> Bucket<'a, S> {
        self.area.bucket(index)
    }

    /// The hash of a key, given all its bytes.
    #[inline(always)]
    pub(crate) fn hash(&self, key: &[u8]) -> Hashed {
        self.hasher.hash(key)
    }

    /// The hash of a key that was copied out of a slot.
    #[inline(always)]
    pub(crate) fn hash_of(&self, key: &[u64]) -> Hashed {
        let bytes = key.as_bytes();
        // A buffer holds whole words, so it is never shorter than the key.
        self.hasher
            .hash(&bytes[..self.shape().key_len().min(bytes.len())])
    }

    /// Asks for the lines that a search for this key touches first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: Hashed) {
        let home = self.area.home(hash);
        home.prefetch();
        home.prefetch_preferred(hash.choice());
    }

    /// Asks for the line of the entry that a search for this key probably finds, or for those of its
    /// other bucket. Looks at the header, so it is worth its while some time after `prefetch`.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, hash: Hashed) {
        let home = self.area.home(hash);
        if !home.prefetch_slot(hash.tag()) && home.away(hash.class()) != 0 {
            let other = self.area.other(hash);
            other.prefetch();
            other.prefetch_preferred(hash.choice());
        }
    }

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

    /// Whether the bucket `index` holds the key; `None` if it did not come to rest.
    pub(crate) fn search_bucket(&self, index: u64, tag: Tag, key: &[u64]) -> Option<Search> {
        let bucket = self.bucket(index);
        for _ in 0..READ_TRIES {
            let state = bucket.begin();
            let found = bucket.search(state, tag, key);
            if bucket.unchanged(state) {
                return Some(found);
            }
            spin_hint();
        }
        None
    }

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

    /// As [`edit_at_home`](Self::edit_at_home), wherever the key is and whoever is in the way.
    #[inline(never)]
    pub(crate) fn edit<W: Who>(
        &self,
        writer: &mut Writer<'_, W>,
        key: Probe<'_>,
        old: &mut Sink<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Blocked> {
        loop {
            match self.try_edit(writer.token, key, old, new, decide) {
                Ok(outcome) => return Ok(outcome),
                Err(Obstacle::Blocked(blocked)) => return Err(blocked),
                Err(Obstacle::Locked { bucket, found }) => self.overcome(writer, bucket, found)?,
            }
        }
    }

    fn try_edit(
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

    fn damaged(&self, bucket: u64) -> Obstacle {
        Obstacle::Blocked(Blocked::Damaged { bucket })
    }

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
    fn insert_at_home(
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
    fn insert(
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

    /// The other one of the two buckets of a hash, if `index` is one of them.
    pub(crate) fn mate(&self, hash: Hashed, index: u64) -> Option<u64> {
        let (home, other) = (hash.home(self.buckets()), hash.other(self.buckets()));
        if index == home {
            Some(other)
        } else if index == other {
            Some(home)
        } else {
            None
        }
    }

    #[inline(always)]
    fn try_lock(&self, bucket: u64, token: Token) -> Result<Locked<'a, S>, Obstacle> {
        self.bucket(bucket)
            .try_lock(token, LOCK_SPINS)
            .map_err(|found| Obstacle::Locked { bucket, found })
    }

    /// Does what can be done about a lock that somebody else holds: takes it from the dead,
    /// waits for the living. The caller holds nothing, and starts again afterwards.
    #[cold]
    #[inline(never)]
    pub(crate) fn overcome<W: Who>(
        &self,
        writer: &mut Writer<'_, W>,
        bucket: u64,
        found: LockWord,
    ) -> Result<(), Blocked> {
        let Some(owner) = found.owner() else {
            return match writer.is_held_up() {
                true => Err(Blocked::Busy { bucket, found }),
                false => Ok(()),
            };
        };
        match writer.verdict(owner) {
            Verdict::Dead => {
                // The dead cost no patience, unless the living are in the way, or somebody
                // forges locks of the dead without end.
                let is_over = match self.bury(writer, bucket, found) {
                    Burial::NotYet => writer.deadline.passed(),
                    Burial::Released | Burial::Deduplicated(_) => writer.is_held_up(),
                };
                if is_over {
                    return Err(Blocked::Busy { bucket, found });
                }
            }
            Verdict::Alive | Verdict::Unknowable => {
                if writer.deadline.passed() {
                    return Err(Blocked::Busy { bucket, found });
                }
                let lock = self.bucket(bucket).lock_word();
                let flagged = found.with_waiters();
                // Relaxed: the flag orders nothing, it only asks for a wake-up.
                if found == flagged
                    || lock
                        .compare_exchange(found.0, flagged.0, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    futex_wait(lock, flagged.0, WAIT_SLICE_US);
                }
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests;
