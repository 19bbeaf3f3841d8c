//! The bounds that `docs/hostile.md` states: each operation ends within so many accesses to the
//! words of the segment, whatever they hold, and whoever rewrites them in between.
//!
//! Time proves nothing here, so accesses are counted ([`crate::sys::watched`]): by the tests below, and
//! by the fuzz target `scribble`. The numbers are made of the limits that the loops have; none is
//! measured, and none holds for a handle whose caller waits for live processes (`lock_timeout` is
//! zero there, so that each conflict is met twice).

use crate::protocol::order::PASSES;
use crate::protocol::shape::SLOTS;
use crate::protocol::table::path::{MAX_MOVES, MAX_STEPS};
use crate::protocol::table::writer::FREE_ROUNDS;
use crate::store::Store;
use crate::sys::sync::{READ_TRIES, READ_TRIES_READ_ONLY};

/// The stated bounds, of a segment with `buckets` buckets of `words` words and `moves` records.
#[derive(Clone, Copy, Debug)]
pub struct StepBounds {
    buckets: u64,
    words: u64,
    participants: u64,
    moves: u64,
}

impl StepBounds {
    pub(crate) fn of(shared: &Store) -> Self {
        let counts = &shared.layout.counts;
        Self {
            buckets: counts.buckets,
            words: counts.bucket_words(),
            participants: counts.participants.into(),
            moves: counts.moves.into(),
        }
    }

    /// `get`, `contains_key`, and each key of `get_many`.
    pub fn read(self, restless: bool) -> u64 {
        let looks = if restless {
            u64::from(READ_TRIES_READ_ONLY) + u64::from(READ_TRIES) + 2
        } else {
            3
        };
        looks * 2 * self.words
    }

    /// Every operation on one key that may write, after the first of the process.
    pub fn write(self, restless: bool) -> u64 {
        let looks = if restless { READ_TRIES.into() } else { 1 };
        // What is looked at in the alternate bucket of each entry of a bucket with an orphaned
        // lock.
        let takeover = SLOTS as u64 * (looks + 1) * self.words + 300;
        // Up to 128 locks are tried for a displacement, each for a moment; then a path is looked for,
        // which reads a bucket a step, and carried out, with two locks a move.
        let path = MAX_STEPS as u64 * (self.words + 2)
            + u64::from(MAX_MOVES) * (2 * 80 + 4 * self.words + 16);
        let attempt = (looks + 8) * self.words + 128 * (80 + self.words) + path;
        u64::from(FREE_ROUNDS + 3) * (takeover + attempt) + 80 * self.participants
    }

    /// The same for those that read, ask the caller and compare: twice the retry budget.
    pub fn transform(self, restless: bool) -> u64 {
        2 * (self.read(restless) + 2 * self.write(restless))
    }

    /// One complete iteration: several passes.
    pub fn walk(self, restless: bool) -> u64 {
        u64::from(PASSES) * self.pass(restless)
    }

    fn pass(self, restless: bool) -> u64 {
        let looks = if restless {
            READ_TRIES_READ_ONLY.into()
        } else {
            1
        };
        // A key that moves is looked up once, in two buckets.
        let moved_keys = 64
            + if restless {
                self.buckets * self.moves
            } else {
                0
            };
        // The start is drawn among 16 buckets.
        self.buckets * (looks * self.words + 3 * (self.moves + 64) + 2)
            + moved_keys * 2 * looks * self.words
            + 18
    }

    /// One complete check.
    pub fn check(self, restless: bool) -> u64 {
        let looks = if restless {
            READ_TRIES_READ_ONLY.into()
        } else {
            1
        };
        // Each entry is compared with those of its bucket and of the other one.
        let bucket = looks * (1 + 3 * SLOTS as u64) * (self.words + 10);
        self.buckets * (bucket + 64 + 80) + 2 * 4096 / 8
    }

    /// One recovery.
    pub fn recover(self, restless: bool) -> u64 {
        let looks = if restless { READ_TRIES.into() } else { 1 };
        let takeover = SLOTS as u64 * (looks + 1) * self.words + 300;
        self.buckets * 257 * (takeover + 100) + 3 * 80 * self.participants
    }

    /// `clear` and `retain`: an iteration, each entry of which costs one write at most.
    pub fn sweep(self, restless: bool, write: u64) -> u64 {
        // A bucket's own, and what was looked up because it moved.
        let moved = 64
            + if restless {
                self.buckets * self.moves
            } else {
                0
            };
        // Somebody who rewrites keys can show a bucket full of them to every pass.
        let passes = if restless { u64::from(PASSES) } else { 1 };
        self.walk(restless) + passes * (self.buckets * SLOTS as u64 + moved) * write
    }

    /// `len`, `is_empty` and `stats`.
    pub fn count(self) -> u64 {
        self.buckets + 1
    }
}

#[cfg(test)]
mod flooding;
#[cfg(test)]
mod tests;
