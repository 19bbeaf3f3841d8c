//! By what rules the entries of a cache count: for a handle that knows no types.
//!
//! The same rules as [`ReadOnlyCache`](super::ReadOnlyCache)'s and [`Cache`](super::Cache)'s, on
//! words whose number is known when the program runs.

use std::sync::Arc;
use std::time::Duration;

use super::{BOOT, EPOCH, Freshness, HAS_TTL};
use crate::format::{CacheFields, Header};
use crate::protocol::counters::Counter;
use crate::protocol::lease;
use crate::protocol::replacement::{Replaced, Replacement};
use crate::protocol::table::Outcome;
use crate::store::Store;
use crate::store::error::OpenError;
use crate::store::statistics::{self, Recorder};
use crate::sys::clock::{Clock, millis};
use crate::sys::sync::Ordering;
use crate::types::metadata::{MAX_TICKS, Meta};

/// The settings of a cache, which stand in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// How long an entry lives unless it is told otherwise.
    pub time_to_live: Option<Duration>,
    /// How long an entry lives unless it is asked for.
    pub time_to_idle: Option<Duration>,
    /// For how long after its time a value may be served while a new one is loaded.
    pub stale_while_revalidate: Option<Duration>,
    /// How long it is remembered that there is no value.
    pub negative_ttl: Option<Duration>,
    /// Whether hits, misses and the like are counted.
    pub statistics: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            time_to_live: None,
            time_to_idle: None,
            stale_while_revalidate: None,
            negative_ttl: None,
            statistics: true,
        }
    }
}

impl CacheSettings {
    pub(crate) fn of(layout: &Header) -> Self {
        let time = |millis| (millis != 0).then(|| Duration::from_millis(millis));
        let fields = &layout.cache;
        Self {
            time_to_live: time(fields.time_to_live),
            time_to_idle: time(fields.time_to_idle),
            stale_while_revalidate: time(fields.stale),
            negative_ttl: time(fields.negative_ttl),
            statistics: fields.statistics != 0,
        }
    }

    /// What a header says of them.
    pub(crate) fn fields(&self, capacity: u64) -> Result<CacheFields, OpenError> {
        let time = |setting, time: Option<Duration>| match time {
            None => Ok(0),
            Some(asked) if (1..=MAX_TICKS).contains(&millis(asked)) => Ok(millis(asked)),
            Some(asked) => Err(OpenError::TimeOutOfRange { setting, asked }),
        };
        Ok(CacheFields {
            time_to_live: time("time_to_live", self.time_to_live)?,
            time_to_idle: time("time_to_idle", self.time_to_idle)?,
            stale: time("stale_while_revalidate", self.stale_while_revalidate)?,
            negative_ttl: time("negative_ttl", self.negative_ttl)?,
            leases: lease::new_cells(capacity),
            statistics: if self.statistics {
                statistics::NEW_LINES
            } else {
                0
            },
        })
    }
}

/// Until when a new entry is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// As the cache's settings say.
    Default,
    /// So long from now.
    For(Duration),
    /// As the entry whose value it replaces.
    AsBefore(Meta),
}

/// The rules of one cache, as this process sees time.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(super) clock: Clock,
    boot: u64,
    /// Words of a value, metadata not included.
    value_words: usize,
    recorder: Recorder,
}

impl Rules {
    pub(crate) fn of(shared: &Arc<Store>) -> Self {
        let counts = &shared.layout.counts;
        let clock = Clock::of_this_process();
        Self {
            boot: shared.boot_of_deadlines(&clock),
            clock,
            value_words: counts.value_len.div_ceil(8) as usize,
            recorder: Recorder::new(shared, counts.statistics != 0),
        }
    }

    fn meta(&self, words: &[u64]) -> (Meta, u64) {
        let meta = words.get(self.value_words..).unwrap_or_default();
        let word = |at: usize| meta.get(at).copied().unwrap_or(0);
        (Meta(word(0)), word(1))
    }

    fn word(shared: &Store, word: usize) -> u64 {
        let word = shared.mapping.shared().get(word);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Judges an entry by its words, value first.
    fn freshness(&self, shared: &Store, words: &[u64]) -> Freshness {
        let (meta, accessed) = self.meta(words);
        if !meta.is_of(Self::word(shared, EPOCH)) {
            return Freshness::Invalidated;
        }
        let end = meta.end(accessed, shared.layout.cache.time_to_idle);
        if end == 0 {
            return Freshness::Live;
        }
        let now = self.clock.now();
        if Self::word(shared, BOOT) != self.boot {
            return Freshness::Invalidated; // By a clock that is gone.
        }
        match now.checked_sub(end) {
            None => Freshness::Live,
            Some(since) => Freshness::Expired(since),
        }
    }

    /// Whether an entry counts and has a value.
    pub(crate) fn is_live(&self, shared: &Store, words: &[u64]) -> bool {
        self.freshness(shared, words) == Freshness::Live && !self.is_negative(words)
    }

    /// Whether an entry is negative. Its value means nothing then.
    pub(crate) fn is_negative(&self, words: &[u64]) -> bool {
        self.meta(words).0.is_negative()
    }

    /// How long a live entry has left; `None` if it has no end.
    pub(crate) fn time_left(&self, shared: &Store, words: &[u64]) -> Option<Duration> {
        let (meta, accessed) = self.meta(words);
        match meta.end(accessed, shared.layout.cache.time_to_idle) {
            0 => None,
            end => Some(Duration::from_millis(end.saturating_sub(self.clock.now()))),
        }
    }

    /// The metadata of an entry, to be kept when its value is replaced.
    pub(crate) fn as_before(&self, words: &[u64]) -> Expiry {
        Expiry::AsBefore(self.meta(words).0)
    }

    /// How many of an entry's words must be the same for it to be the same entry.
    pub(crate) fn compared(&self) -> usize {
        self.value_words + 1
    }

    /// Appends the metadata of a new entry to its value.
    pub(crate) fn append_meta(&self, shared: &Store, until: Expiry, words: &mut Vec<u64>) {
        let fields = &shared.layout.cache;
        let deadline = match until {
            Expiry::Default if fields.time_to_live == 0 => 0,
            Expiry::Default => self
                .clock
                .deadline(Duration::from_millis(fields.time_to_live)),
            Expiry::For(time) => {
                if let Some(has_ttl) = shared.mapping.shared().get(HAS_TTL) {
                    // Before the entry is there, as `insert_with_ttl` of the typed cache.
                    has_ttl.store(1, Ordering::Relaxed);
                }
                self.clock.deadline(time)
            }
            Expiry::AsBefore(meta) => meta.deadline(),
        };
        words.resize(self.value_words, 0);
        words.push(Meta::new(deadline, Self::word(shared, EPOCH), false).0);
        if fields.meta_words() > 1 {
            words.push(self.clock.now());
        }
    }

    /// What an insertion goes by.
    pub(crate) fn replacement<'s>(&self, shared: &'s Store) -> Replacement<'s> {
        replacement(shared, || self.clock.now())
    }

    /// Counts what became of an edit; `was_live` tells of the entry that was there before.
    pub(crate) fn count(&self, outcome: Outcome, was_live: bool, replacement: &Replacement<'_>) {
        count_write(&self.recorder, outcome, was_live, replacement);
    }

    /// Counts entries that a sweep has removed.
    pub(crate) fn count_removed(&self, entries: u64) {
        self.recorder.add(Counter::Removed, entries);
    }

    /// Whether an entry, by its words, has an end by a clock that is gone, if that has been found
    /// out: see [`has_adopted_boot`](Self::has_adopted_boot).
    pub(crate) fn has_end(&self, shared: &Store, words: &[u64]) -> bool {
        shared.layout.cache.time_to_idle != 0 || self.meta(words).0.deadline() != 0
    }

    /// Whether the entries' ends are by the clock of this boot. If not, whoever opens the cache for
    /// writing removes those that have one, and [adopts this boot](Self::adopt_boot).
    pub(crate) fn has_adopted_boot(&self, shared: &Store) -> bool {
        let word = shared.mapping.shared().get(BOOT);
        // Who cannot tell adopts nothing.
        self.boot == 0 || word.is_none_or(|word| word.load(Ordering::Acquire) == self.boot)
    }

    /// See [`has_adopted_boot`](Self::has_adopted_boot).
    pub(crate) fn adopt_boot(&self, shared: &Store) {
        if let Some(word) = shared.mapping.shared().get(BOOT) {
            // Release: the removals come before.
            word.store(self.boot, Ordering::Release);
        }
    }
}

/// What an insertion into this cache goes by, through a typed handle or an untyped one. The clock is
/// read only if an entry can have an end.
pub(super) fn replacement(shared: &Store, now: impl FnOnce() -> u64) -> Replacement<'_> {
    let (layout, fields) = (&shared.layout, &shared.layout.cache);
    // A cache has these words: its shared page is a part of every layout.
    let word = |word: usize| shared.mapping.shared()[word].load(Ordering::Relaxed);
    let mut replacement = Replacement::new(layout.capacity, layout.counts.buckets);
    replacement.memory = Some(shared.memory());
    replacement.epoch = word(EPOCH);
    replacement.idle = fields.time_to_idle;
    let has_ends =
        fields.time_to_live | fields.time_to_idle | fields.negative_ttl != 0 || word(HAS_TTL) != 0;
    if has_ends {
        replacement.now = now();
    }
    replacement.may_be_stale = has_ends || replacement.epoch != 0;
    replacement
}

/// Counts what became of an edit; `was_live` tells of the entry that was there before.
#[inline]
pub(super) fn count_write(
    recorder: &Recorder,
    outcome: Outcome,
    was_live: bool,
    replacement: &Replacement<'_>,
) {
    let count = |counter| recorder.add(counter, 1);
    match outcome {
        Outcome::KeptPresent | Outcome::KeptAbsent => {}
        Outcome::Replaced if was_live => count(Counter::Updates),
        Outcome::Replaced => {
            count(Counter::EvictedExpired);
            count(Counter::Inserts);
        }
        Outcome::Inserted => {
            match replacement.replaced.get() {
                Some(Replaced::ForRoom) => count(Counter::EvictedForRoom),
                Some(Replaced::Stale) => count(Counter::EvictedExpired),
                None => {}
            }
            count(Counter::Inserts);
        }
        Outcome::Removed if was_live => count(Counter::Removed),
        Outcome::Removed => count(Counter::EvictedExpired),
    }
}
