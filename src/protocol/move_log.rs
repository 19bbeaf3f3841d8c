//! The ring of recent moves: how an iterator learns that an entry changed its bucket.
//!
//! An iterator walks the buckets from the first to the last. An entry that is displaced from
//! a bucket ahead of it to one behind it would be missed, one that goes the other way would be
//! yielded twice. So a writer writes down each move *before* it publishes anything of it, and an
//! iterator reads the new records after each bucket (see [`crate::protocol::walk`]).
//!
//! ```text
//! word 0            head     number of records ever begun
//! words 8..         records  three words each, record n at place n modulo their number
//!   word 0          number:63 | direction:1      number counts from one
//!   word 1          hash of the moved key, which names both of its buckets
//!   word 2          check    a mixture of the two, so that a torn record is known as such
//! ```
//!
//! A writer claims a number by one `fetch_add` (moves are rare: there are none until both
//! buckets of some key are full) and then stores the three words. If it dies or stalls
//! in between, the place keeps an old number or fails the check: the iterator knows that the
//! record is *unfinished*, which also means that its move has not happened yet, and looks
//! again later.

use crate::protocol::hash::KeyHash;
use crate::sys::sync::{AtomicU64, Ordering};

/// Words before the first record: the head has a cache line of its own.
const HEAD_WORDS: usize = 8;
/// Words of a record.
const RECORD_WORDS: usize = 3;

/// Number of words that a ring of `records` records takes.
pub(crate) const fn ring_words(records: u32) -> u64 {
    HEAD_WORDS as u64 + RECORD_WORDS as u64 * records as u64
}

/// Which way an entry moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From its secondary bucket to its primary bucket.
    ToPrimary,
    /// From its primary bucket to its secondary bucket.
    ToSecondary,
}

/// A finished record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) hash: KeyHash,
    pub(crate) direction: Direction,
}

/// What stands at the place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Finished(Move),
    /// Claimed, but not (yet, or not intactly) written: its move has not begun.
    Unfinished,
    /// A later record has taken the place.
    Overwritten,
}

/// The ring, inside a segment.
#[derive(Clone, Copy)]
pub(crate) struct Moves<'a> {
    /// `ring_words(n)` words for some n of at least one.
    words: &'a [AtomicU64],
}

impl<'a> Moves<'a> {
    #[inline(always)]
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        debug_assert!(words.len() >= HEAD_WORDS + RECORD_WORDS);
        Self { words }
    }

    /// How many records there can be at a time.
    pub(crate) fn len(&self) -> u64 {
        ((self.words.len() - HEAD_WORDS) / RECORD_WORDS) as u64
    }

    fn place(&self, number: u64) -> &'a [AtomicU64] {
        let start = HEAD_WORDS + (number % self.len()) as usize * RECORD_WORDS;
        &self.words[start..start + RECORD_WORDS]
    }

    /// Writes a move down; both buckets are locked, and nothing of it is published yet.
    ///
    /// The Release stores of the publications that follow make the record visible to everyone
    /// who sees the entry in its new place, or missing from its old one.
    pub(crate) fn record(&self, hash: KeyHash, direction: Direction) {
        // Relaxed: only the number must be ours alone; visibility comes as said above.
        let number = self.words[0].fetch_add(1, Ordering::Relaxed);
        let place = self.place(number);
        let first = encode(number, direction);
        place[0].store(first, Ordering::Relaxed);
        place[1].store(hash.0, Ordering::Relaxed);
        place[2].store(check(first, hash), Ordering::Relaxed);
    }

    /// The number of the next record.
    pub(crate) fn head(&self) -> u64 {
        self.words[0].load(Ordering::Relaxed)
    }

    /// What is known of record `number`.
    pub(crate) fn get(&self, number: u64) -> Record {
        let place = self.place(number);
        let first = place[0].load(Ordering::Relaxed);
        let hash = KeyHash(place[1].load(Ordering::Relaxed));
        if place[2].load(Ordering::Relaxed) != check(first, hash) {
            return Record::Unfinished;
        }
        for direction in [Direction::ToPrimary, Direction::ToSecondary] {
            if first == encode(number, direction) {
                return Record::Finished(Move { hash, direction });
            }
        }
        let ahead = (first >> 1).wrapping_sub(encode(number, Direction::ToPrimary) >> 1) << 1;
        if ahead as i64 > 0 {
            Record::Overwritten
        } else {
            Record::Unfinished
        }
    }
}

fn encode(number: u64, direction: Direction) -> u64 {
    number.wrapping_add(1) << 1 | u64::from(direction == Direction::ToSecondary)
}

/// Differs from what the words of two different records mixed together would have, but for
/// one chance in 2^64.
fn check(first: u64, hash: KeyHash) -> u64 {
    let mixed = u128::from(first ^ 0x9E37_79B9_7F4A_7C15) * u128::from(hash.0 | 1);
    (mixed as u64) ^ ((mixed >> 64) as u64) ^ hash.0.rotate_left(32) ^ !first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(records: u32) -> Vec<AtomicU64> {
        (0..ring_words(records))
            .map(|_| AtomicU64::new(0))
            .collect()
    }

    #[test]
    fn records_are_read_back_until_they_are_overwritten() {
        let words = ring(4);
        let moves = Moves::new(&words);
        assert_eq!(
            moves.get(0),
            Record::Unfinished,
            "nothing was ever written there"
        );
        for number in 0..11u64 {
            let direction = if number % 2 == 0 {
                Direction::ToPrimary
            } else {
                Direction::ToSecondary
            };
            moves.record(KeyHash(number * 77), direction);
            assert_eq!(
                moves.get(number),
                Record::Finished(Move {
                    hash: KeyHash(number * 77),
                    direction
                })
            );
            if number >= 4 {
                assert_eq!(moves.get(number - 4), Record::Overwritten);
            }
            assert_eq!(moves.head(), number + 1);
        }
    }

    #[test]
    fn a_torn_record_is_unfinished() {
        let words = ring(4);
        let moves = Moves::new(&words);
        moves.record(KeyHash(5), Direction::ToSecondary);
        let record = HEAD_WORDS;
        for word in 0..RECORD_WORDS {
            let before = words[record + word].load(Ordering::Relaxed);
            words[record + word].store(before ^ 0x10, Ordering::Relaxed);
            assert_eq!(moves.get(0), Record::Unfinished);
            words[record + word].store(before, Ordering::Relaxed);
        }
        assert!(matches!(moves.get(0), Record::Finished(_)));
    }
}
