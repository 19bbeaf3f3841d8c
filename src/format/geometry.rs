//! The counts of a segment, and where its sections lie: offsets are computed and never read.

use std::ops::Range;

use super::raw::{PAGE, SHARED_WORDS};
use crate::liveness::SLOT_WORDS;
use crate::policy::Ghosts;
use crate::policy::estimator::ESTIMATOR_WORDS;
use crate::protocol::counters::LINE_WORDS;
use crate::protocol::dimensions::Dimensions;
use crate::protocol::lease::CELL_WORDS;
use crate::protocol::move_log::ring_words;
use crate::protocol::shape::{HEADER_WORDS, SLOTS, usable};

/// The sections by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionRanges<T> {
    pub(crate) shared: T,
    pub(crate) participants: T,
    pub(crate) moves: T,
    pub(crate) leases: T,
    pub(crate) statistics: T,
    pub(crate) estimator: T,
    pub(crate) ghosts: T,
    pub(crate) buckets: T,
}

/// The counts from which all offsets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) buckets: u64,
    pub(crate) key_len: u32,
    pub(crate) value_len: u32,
    pub(crate) meta_words: u32,
    pub(crate) participants: u32,
    pub(crate) moves: u32,
    pub(crate) leases: u32,
    pub(crate) statistics: u32,
    pub(crate) header_len: u64,
}

/// Offsets in words, computed from the counts and never read from a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) shared: usize,
    pub(crate) participants: usize,
    pub(crate) moves: usize,
    pub(crate) moves_end: usize,
    pub(crate) leases: usize,
    pub(crate) statistics: usize,
    pub(crate) estimator: usize,
    pub(crate) ghosts: usize,
    pub(crate) ghosts_end: usize,
    pub(crate) buckets: usize,
    pub(crate) end: usize,
}

impl Offsets {
    /// The parts that every operation uses.
    pub(crate) fn parts(&self) -> SectionRanges<Range<usize>> {
        SectionRanges {
            shared: self.shared..self.participants,
            participants: self.participants..self.moves,
            moves: self.moves..self.moves_end,
            leases: self.leases..self.statistics,
            statistics: self.statistics..self.estimator,
            estimator: self.estimator..self.ghosts,
            ghosts: self.ghosts..self.ghosts_end,
            buckets: self.buckets..self.end,
        }
    }
}

impl Counts {
    /// The dimensions of the entries.
    pub(crate) fn dimensions(&self) -> Dimensions<'static> {
        Dimensions::new(self.key_len, self.value_len, self.meta_words)
    }

    pub(crate) fn slot_words(&self) -> u64 {
        words(self.key_len) + words(self.value_len) + u64::from(self.meta_words)
    }

    /// Only entries of a cache have metadata.
    fn is_cache(&self) -> bool {
        self.meta_words != 0
    }

    /// Slots of a bucket that can be in use at a time.
    pub(crate) fn usable(&self) -> u32 {
        usable(words(self.value_len), self.meta_words)
    }

    pub(crate) fn bucket_words(&self) -> u64 {
        HEADER_WORDS as u64 + SLOTS as u64 * self.slot_words()
    }

    /// Where the parts are; `None` if the segment would not fit into an address space.
    pub(crate) fn places(&self) -> Option<Offsets> {
        let shared = self.header_len / 8;
        let participants = shared + SHARED_WORDS as u64;
        let moves = participants + SLOT_WORDS as u64 * u64::from(self.participants);
        let moves_end = moves + ring_words(self.moves);
        let leases = moves_end.next_multiple_of(8);
        let statistics = leases + CELL_WORDS as u64 * u64::from(self.leases);
        let estimator = statistics + LINE_WORDS as u64 * u64::from(self.statistics);
        let (estimator_words, ghost_words) = match self.is_cache() {
            true => (ESTIMATOR_WORDS as u64, Ghosts::WORDS as u64),
            false => (0, 0),
        };
        let ghosts = estimator + estimator_words;
        let ghosts_end = ghosts.checked_add(self.buckets.checked_mul(ghost_words)?)?;
        let buckets = ghosts_end.checked_next_multiple_of(PAGE / 8)?;
        let end = buckets.checked_add(self.buckets.checked_mul(self.bucket_words())?)?;
        // Lengths of mappings are at most isize::MAX bytes.
        isize::try_from(end.checked_mul(8)?).ok()?;
        let word = |at: u64| usize::try_from(at).ok();
        Some(Offsets {
            shared: word(shared)?,
            participants: word(participants)?,
            moves: word(moves)?,
            moves_end: word(moves_end)?,
            leases: word(leases)?,
            statistics: word(statistics)?,
            estimator: word(estimator)?,
            ghosts: word(ghosts)?,
            ghosts_end: word(ghosts_end)?,
            buckets: word(buckets)?,
            end: word(end)?,
        })
    }
}

/// Words that `len` bytes take.
const fn words(len: u32) -> u64 {
    (len as u64).div_ceil(8)
}
