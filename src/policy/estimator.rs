//! Counting what became of entries, and drawing conclusions once in a while.
//!
//! Each process counts in private memory and adds that to the segment's counts once in
//! [`BATCH`] of its evictions, so insertions of several processes do not fight for the same lines. Whoever
//! brings the number of evictions since the last update to a few for each bucket computes the
//! ranks anew, for all, and lets the counts fade.
//!
//! Threads and processes may overwrite each other's additions: nothing here is locked or atomic
//! beyond a word, and some lost counts change no conclusion. What a hostile process writes here can
//! make the ranks useless, which costs hits.
//!
//! ```text
//! word 0           evictions since the last update
//! words 1..16      reserved, zero
//! words 16..32     ranks, a byte for each age class (class x 32 + level)
//! words 32..160    outcomes of each age class: evictions:32 | hits:32, in sixteenths
//! words 160..512   reserved, zero
//! ```

use core::sync::atomic::AtomicU32;

use super::worth::{Outcomes, Ranks};
use super::{AGE_CLASSES, AgeClass, Ghosts};
use crate::sys::sync::{AtomicU64, Ordering};

/// Words of the segment.
pub(crate) const ESTIMATOR_WORDS: usize = 512;

const EVICTIONS: usize = 0;
const RANKS: usize = 16;
const OUTCOMES: usize = 32;

/// Evictions of a process that are counted before the segment learns of them.
const BATCH: u32 = 64;

/// One outcome, in the unit of the segment: fine enough to fade.
const UNIT: u64 = 16;

/// How many evictions make an update.
fn update_interval(buckets: u64) -> u64 {
    (buckets.saturating_mul(4)).clamp(250, 20_000)
}

/// What an update leaves of a count.
fn faded(count: u64) -> u64 {
    count * 9 / 10
}

/// What this process has counted. Private, so these are no atomics of the façade: under loom they
/// are none of the model's business.
#[derive(Debug)]
pub(crate) struct Estimator {
    hits: [AtomicU32; AGE_CLASSES],
    evictions: [AtomicU32; AGE_CLASSES],
    pending: AtomicU32,
}

impl Estimator {
    pub(crate) const fn new() -> Self {
        Self {
            hits: [const { AtomicU32::new(0) }; AGE_CLASSES],
            evictions: [const { AtomicU32::new(0) }; AGE_CLASSES],
            pending: AtomicU32::new(0),
        }
    }

    /// An entry with this past was hit.
    #[inline(always)]
    pub(crate) fn hit(&self, age_class: AgeClass) {
        add(&self.hits[age_class.index()], 1);
    }

    /// An entry with this past was evicted, from one of `buckets`. `words` are those of the segment.
    fn evicted(&self, age_class: AgeClass, words: &[AtomicU64], buckets: u64) {
        add(&self.evictions[age_class.index()], 1);
        if add(&self.pending, 1) >= BATCH {
            self.publish(words, buckets);
        }
    }

    /// Adds the private counts to the segment's.
    #[cold]
    #[inline(never)]
    fn publish(&self, words: &[AtomicU64], buckets: u64) {
        let Some(words) = words.first_chunk::<ESTIMATOR_WORDS>() else {
            return;
        };
        let evictions = u64::from(self.pending.swap(0, Ordering::Relaxed));
        let outcomes = &words[OUTCOMES..OUTCOMES + AGE_CLASSES];
        for (word, (hits, evictions)) in outcomes.iter().zip(self.hits.iter().zip(&self.evictions))
        {
            let take = |count: &AtomicU32| match count.load(Ordering::Relaxed) {
                0 => 0,
                _ => u64::from(count.swap(0, Ordering::Relaxed)) * UNIT,
            };
            let more = Count {
                hits: take(hits),
                evictions: take(evictions),
            };
            if more.hits + more.evictions > 0 {
                let count = Count::from_word(word.load(Ordering::Relaxed));
                word.store(count.plus(more).to_word(), Ordering::Relaxed);
            }
        }
        let since = words[EVICTIONS].load(Ordering::Relaxed);
        let since = since.saturating_add(evictions);
        if since < update_interval(buckets) {
            words[EVICTIONS].store(since, Ordering::Relaxed);
            return;
        }
        words[EVICTIONS].store(0, Ordering::Relaxed);
        let mut all = Outcomes {
            hits: [0.0; AGE_CLASSES],
            evictions: [0.0; AGE_CLASSES],
        };
        for (age_class, word) in outcomes.iter().enumerate() {
            let count = Count::from_word(word.load(Ordering::Relaxed));
            all.hits[age_class] = count.hits as f32 / UNIT as f32;
            all.evictions[age_class] = count.evictions as f32 / UNIT as f32;
            let left = Count {
                hits: faded(count.hits),
                evictions: faded(count.evictions),
            };
            word.store(left.to_word(), Ordering::Relaxed);
        }
        let ranks = Ranks::taught_by(&all).to_words();
        for (word, ranks) in words[RANKS..].iter().zip(ranks) {
            word.store(ranks, Ordering::Relaxed);
        }
    }
}

/// All that the policy remembers beyond a bucket's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'a> {
    pub(crate) estimator: &'a Estimator,
    /// The part of the segment that is laid out above.
    pub(crate) counts: &'a [AtomicU64],
    /// [`Ghosts`] of each bucket.
    pub(crate) ghosts: &'a [AtomicU64],
}

impl Memory<'_> {
    /// The ranks that all have arrived at. They may be half old and half new, or anything.
    pub(crate) fn ranks(&self) -> Ranks {
        let load = |number: usize| {
            let word = self.counts.get(RANKS + number);
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        Ranks::from_words(core::array::from_fn(load))
    }

    /// Counts an eviction.
    pub(crate) fn evicted(&self, age_class: AgeClass) {
        let buckets = self.ghosts.len() / Ghosts::WORDS;
        self.estimator
            .evicted(age_class, self.counts, buckets as u64);
    }

    /// What a bucket gave up. Written only under its lock, but any other value would do as well.
    pub(crate) fn ghosts(&self, bucket: u64) -> Ghosts {
        let words = self.ghosts_of(bucket);
        Ghosts(words.map_or([0; 2], |words| {
            words.each_ref().map(|word| word.load(Ordering::Relaxed))
        }))
    }

    /// Replaces them.
    pub(crate) fn set_ghosts(&self, bucket: u64, ghosts: Ghosts) {
        if let Some(words) = self.ghosts_of(bucket) {
            for (word, tags) in words.iter().zip(ghosts.0) {
                word.store(tags, Ordering::Relaxed);
            }
        }
    }

    fn ghosts_of(&self, bucket: u64) -> Option<&[AtomicU64; Ghosts::WORDS]> {
        let start = bucket as usize * Ghosts::WORDS;
        self.ghosts.get(start..)?.first_chunk()
    }
}

/// Adds without a read-modify-write: what two threads do at once may count once.
#[inline(always)]
fn add(count: &AtomicU32, more: u32) -> u32 {
    let sum = count.load(Ordering::Relaxed).wrapping_add(more);
    count.store(sum, Ordering::Relaxed);
    sum
}

/// Outcomes of one past, as the segment counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    hits: u64,
    evictions: u64,
}

impl Count {
    fn from_word(word: u64) -> Self {
        Self {
            hits: word & 0xFFFF_FFFF,
            evictions: word >> 32,
        }
    }

    fn to_word(self) -> u64 {
        self.evictions << 32 | self.hits & 0xFFFF_FFFF
    }

    /// Neither half runs into the other.
    fn plus(self, more: Self) -> Self {
        let most = u64::from(u32::MAX);
        Self {
            hits: self.hits.saturating_add(more.hits).min(most),
            evictions: self.evictions.saturating_add(more.evictions).min(most),
        }
    }
}

#[cfg(test)]
mod tests;
