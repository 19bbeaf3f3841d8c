//! Which entry of a full cache is evicted.
//!
//! Everything here is arithmetic on private copies: no shared word is read or written (except by
//! [`estimator`], which keeps the books). Any bits whatever are a valid history, since another
//! process may have written them; wrong ones cost hits and nothing else.
//!
//! # The problem
//!
//! A key may live in two buckets, so up to thirty entries can be evicted for it. No policy is
//! best for all: the least recently used one is right where things are asked for again soon or never,
//! and wrong for loops and scans; favouring what was asked for often is right for stable
//! popularity and wrong when it shifts. So this one assumes nothing. It **measures**, for
//! entries with the same age class, how soon they are asked for again, and lets go of the entry
//! whose age class promises least.
//!
//! # The past of an entry
//!
//! is seven bits: a *class*, how often it was asked for, and a *level*, how long ago the last time was.
//!
//! ```text
//! class   0  never since it came      1  once, or it had been evicted not long ago and came back
//!         2  twice                    3  more often
//! level   0..8    so many ticks ago (a tick is an insertion that had the bucket's lock)
//!         8..12   2 ticks a level     12..16   4 ticks     16..20   8     ...     28..31   64
//!         31      long ago
//! ```
//!
//! Where a level takes 2^k ticks, an entry moves on with probability 2^-k at each: the memory is
//! logarithmic, as in Morris's counters ("Counting large numbers of events in small registers", 1978).
//!
//! A hit can set one bit, and only if it is clear, so what is hot costs its readers no store.
//! An insertion looks at these bits: who was hit goes up a class and down to level 0, all others
//! get older, and the bits are cleared. So recency is exact to one insertion in the bucket, which
//! is what eviction can tell apart.
//!
//! The bits are *sliced*: each of eight planes holds one bit of every slot, so that all
//! sixteen entries are aged by a handful of operations on `u16`s.
//!
//! ```text
//!          63      48 47      32 31      16 15       0
//! word 0  | level 0  | class 1  | class 0  | hit      |   hits touch this word only
//! word 1  | level 4  | level 3  | level 2  | level 1  |
//! ```
//!
//! # Ghosts
//!
//! Two words a bucket hold the tags (a byte each) of the sixteen entries that it gave up last. A key that is
//! inserted and has its tag there begins in class 1: it would have been a hit in a larger cache.
//! (One strange key of eight does as well, by coincidence; that is part of what is measured.)
//!
//! # What an age class is worth
//!
//! Each time an entry is hit, or evicted, its age class is counted ([`estimator`]). From the counts
//! follow the probabilities that an entry of a class and level is asked for in the next tick, and
//! from these the most hits a tick that it can bring if it is kept for the best length of time
//! ([`worth`]).
//! That is Gittins's index ("Bandit processes and dynamic allocation indices", 1979), the right order if
//! the entries are independent. All 128 age classes sorted by it are the *ranks*, a byte each,
//! which insertions look up and which are computed anew once in some hundred evictions.
//! They are the same for all processes, since they stand in the segment.
//!
//! Two things keep it from believing only what it already does. One eviction of 64 takes anybody
//! ([`Rng::explores`]), so that all age classes keep being seen. And an age class that nobody has
//! lived to see counts as slightly promising, which is little where hits are many; where there are
//! next to none, as in a loop over more than fits, it makes the old stay and the young go, until it
//! is known what the old are worth. That is how a loop gets most of the hits that are possible.
//!
//! # Where it comes from, and what it was measured against
//!
//! Ages and classes as predictors, sampled by the cache itself, are those of EVA (Beckmann and
//! Sanchez, "Maximizing cache performance under uncertainty", 2017) and LHD (Beckmann, Chen and
//! Cidon, "LHD: improving cache hit rate by maximizing hit density", 2018). Both count what was
//! evicted as if its time had come; here it only ends the observation (as Kaplan and Meier,
//! "Nonparametric estimation from incomplete observations", 1958), so that the policy is not
//! judged by what it itself cut short.
//!
//! Simulated on the same sets of fifteen, with the same hit bit, over four recorded traces and
//! five sizes, and over generated ones (zipf, loops, scans, windows, models of recency), relative to exact LRU in points of hit
//! ratio (mean of twenty cells of the recorded traces, then the worst of them):
//! LRU by levels alone +0.1, -0.5; two queues, never-hit entries aging 4 and 8 times as fast with ghosts
//! +1.0 and +1.2, -9 and -11; LHD +0.7, -0.1; LHD with ghosts +1.0, -0.1; EVA -1.7, -11; ARC (Megiddo
//! and Modha, 2003), not in sets but exact, +1.5, -0.0; this one +1.8, -0.2, without ghosts +1.4, -0.1. On a loop
//! over ten times what fits ARC and LRU get nothing, this one 7 % of 10 %. The benchmark `hit_ratio`
//! compares the real cache with other real caches.

pub(crate) mod estimator;
mod planes;
mod rng;
mod worth;

pub(crate) use self::planes::{AgeClass, Words};
pub(crate) use self::rng::Rng;
pub(crate) use self::worth::Ranks;

use self::planes::{AGE_CLASSES, CLASSES, LEVELS, Planes, slots};

/// Entries in the primary bucket are a line nearer than those in their secondary bucket. Whoever
/// shall go there instead must rank lower by more than this, which halves the number of entries in
/// their secondary bucket and costs no hits.
const PRIMARY_ADVANTAGE: u8 = 8;

/// Whether the first word says that there was a hit in `slot` since the last tick.
#[inline(always)]
pub(crate) fn is_hit(word: u64, slot: u32) -> bool {
    word >> (slot & 15) & 1 != 0
}

/// The first word after a hit in `slot`.
pub(crate) fn hit(word: u64, slot: u32) -> u64 {
    word | 1 << (slot & 15)
}

/// One tick: hits since the last one count, all others get older. `seen` is told the age class of
/// each entry that was hit.
#[inline]
pub(crate) fn aged(words: Words, occupied: u16, rng: Rng, mut seen: impl FnMut(AgeClass)) -> Words {
    let mut planes = Planes::of(words);
    let hit = planes.hit & occupied;
    for slot in slots(hit) {
        seen(planes.age_class(slot));
    }
    let older = occupied & !hit & planes.below(rng.quarter());
    planes.advance(older);
    planes.promote(hit);
    planes.hit = 0;
    planes.words()
}

/// The past of the entry in `slot`.
pub(crate) fn age_class(words: Words, slot: u32) -> AgeClass {
    Planes::of(words).age_class(slot)
}

/// After an entry came into `slot`; `returned` if the [`Ghosts`] knew it.
pub(crate) fn inserted(words: Words, slot: u32, returned: bool) -> Words {
    let mut planes = Planes::of(words);
    let age_class = match returned {
        true => AgeClass::RETURNED,
        false => AgeClass::NEW,
    };
    planes.set_age_class(slot, age_class);
    planes.hit &= !(1 << (slot & 15));
    planes.words()
}

/// After an entry got a new value, and with it another slot: that is a hit.
pub(crate) fn updated(words: Words, from: u32, to: u32) -> Words {
    let mut planes = Planes::of(words);
    let age_class = planes.age_class(from);
    planes.set_age_class(to, age_class);
    planes.hit |= 1 << (to & 15);
    planes.words()
}

/// The tags of entries that a bucket gave up, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ghosts(pub(crate) [u64; 2]);

impl Ghosts {
    /// Words a bucket.
    pub(crate) const WORDS: usize = 2;

    /// Whether one of them has this tag.
    pub(crate) fn know(self, tag: u8) -> bool {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        // A byte is zero where the tags agree; subtracting finds out whether any is.
        let has_zero = |bytes: u64| bytes.wrapping_sub(LOW) & !bytes & HIGH != 0;
        (self.0.iter()).any(|tags| has_zero(tags ^ (LOW * u64::from(tag))))
    }

    /// With one more, which makes them forget the oldest.
    #[must_use]
    pub(crate) fn with(self, tag: u8) -> Self {
        let [young, old] = self.0;
        Self([young << 8 | u64::from(tag), old << 8 | young >> 56])
    }
}

/// A bucket that may have to give something up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates {
    /// The slots in use, the lowest bit for slot 0.
    pub(crate) occupied: u16,
    /// Those of them whose entries are out of date anyway.
    pub(crate) stale: u16,
    /// What the bucket remembers, [`aged`].
    pub(crate) words: Words,
}

impl Candidates {
    /// The entry that ranks lowest, and its rank. Among equals it is the first one from `start`.
    #[inline(always)]
    fn lowest(&self, ranks: &Ranks, start: u32) -> Option<(u8, u32)> {
        let planes = Planes::of(self.words);
        let turned = slots(self.occupied.rotate_right(start & 15));
        turned
            .map(|slot| (slot + start) & 15)
            .map(|slot| (ranks.of(planes.age_class(slot)), slot))
            .min_by_key(|(rank, _)| *rank)
    }
}

/// Who has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    /// Whether it is in the second bucket that was offered.
    pub(crate) is_in_secondary: bool,
    pub(crate) slot: u32,
}

/// Chooses the entry that is evicted for a key: from its primary bucket, or from its secondary
/// bucket. `None` only if there is no entry in either.
pub(crate) fn victim(
    primary: Candidates,
    secondary: Candidates,
    ranks: &Ranks,
    rng: Rng,
) -> Option<Victim> {
    let in_primary = |slot| Victim {
        is_in_secondary: false,
        slot,
    };
    let in_secondary = |slot| Victim {
        is_in_secondary: true,
        slot,
    };
    // What is out of date goes first.
    if let Some(slot) = slots(primary.stale & primary.occupied).next() {
        return Some(in_primary(slot));
    }
    if let Some(slot) = slots(secondary.stale & secondary.occupied).next() {
        return Some(in_secondary(slot));
    }
    if rng.explores() {
        let primary_len = primary.occupied.count_ones();
        let number = rng.below(primary_len + secondary.occupied.count_ones());
        let nth = |occupied, number| slots(occupied).nth(number as usize);
        return match number.checked_sub(primary_len) {
            None => nth(primary.occupied, number).map(in_primary),
            Some(number) => nth(secondary.occupied, number).map(in_secondary),
        };
    }
    let start = rng.below(16);
    let primary_best = primary.lowest(ranks, start);
    let secondary_best = secondary.lowest(ranks, start);
    match (primary_best, secondary_best) {
        (Some((rank, _)), Some((lower, slot)))
            if lower.saturating_add(PRIMARY_ADVANTAGE) < rank =>
        {
            Some(in_secondary(slot))
        }
        (Some((_, slot)), _) => Some(in_primary(slot)),
        (None, found) => found.map(|(_, slot)| in_secondary(slot)),
    }
}

#[cfg(test)]
mod tests;
