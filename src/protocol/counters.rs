//! Lines of counters: how they lie in the segment, and their sums.

use crate::sys::sync::{AtomicU64, Ordering};

/// Words that a line takes: two cache lines, since processors fetch them in pairs.
pub(crate) const LINE_WORDS: usize = 16;

/// What is counted, by its word in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    Hits = 1,
    Misses,
    Inserts,
    Updates,
    EvictedForRoom,
    EvictedExpired,
    Removed,
    Loads,
    LoadFailures,
    LoadNanos,
}

const COUNTERS: usize = 10;

/// The sums over all lines, in the order of [`Counter`].
pub(crate) fn sums(words: &[AtomicU64]) -> [u64; COUNTERS] {
    let mut sums = [0u64; COUNTERS];
    for line in words.chunks_exact(LINE_WORDS) {
        for (sum, word) in sums.iter_mut().zip(&line[1..]) {
            *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
        }
    }
    sums
}
