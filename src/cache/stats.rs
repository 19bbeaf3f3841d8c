//! What a cache has done so far.

use std::time::Duration;

use super::ReadOnlyCache;
use crate::protocol::counters::{Counter, sums};
use crate::store::Store;
use crate::types::{Key, Value};

/// What a cache has done since its creation, in all processes together, and how full it is.
///
/// Each number is exact once those who count are at rest; while they work, the numbers are of
/// slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Entries that are there, as [`ReadOnlyCache::len`].
    pub len: u64,
    /// Entries that there are at most.
    pub capacity: u64,
    /// Bytes of the segment.
    pub bytes: u64,
    /// Whether the numbers below are kept: not if the cache was created without.
    pub is_counting: bool,
    /// Questions that were answered from the cache, also by a negative entry.
    pub hits: u64,
    /// Questions that were not.
    pub misses: u64,
    /// Entries that came in under a key that had none (or one that had expired).
    pub inserts: u64,
    /// Values that took the place of one under the same key.
    pub updates: u64,
    /// Entries that were evicted for another key before they expired.
    pub evicted_for_room: u64,
    /// Entries that were found expired, or invalidated, when something took their place.
    pub evicted_expired: u64,
    /// Entries that were removed by their key, or by a sweep.
    pub removed: u64,
    /// Loaders that have run, whatever came of it.
    pub loads: u64,
    /// Loaders that failed or panicked. (Those that were killed with their process are in none of
    /// the numbers.)
    pub load_failures: u64,
    /// The time that loaders took, in sum.
    pub load_time: Duration,
}

impl CacheStats {
    /// Hits by questions; 0 if there were none.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits.wrapping_add(self.misses) {
            0 => 0.0,
            questions => self.hits as f64 / questions as f64,
        }
    }
}

impl<K: Key, V: Value> ReadOnlyCache<K, V> {
    /// What the cache has done so far, and how full it is. Reads one line of each bucket, and the
    /// counters of all threads.
    pub fn stats(&self) -> CacheStats {
        stats(&self.shared, self.len() as u64)
    }
}

/// The statistics of a cache that has `len` entries.
pub(crate) fn stats(shared: &Store, len: u64) -> CacheStats {
    let words = shared.mapping.statistics();
    let sums = sums(words);
    let sum = |counter: Counter| sums[counter as usize - 1];
    CacheStats {
        len,
        capacity: shared.layout.capacity,
        bytes: shared.layout.places.end as u64 * 8,
        is_counting: !words.is_empty(),
        hits: sum(Counter::Hits),
        misses: sum(Counter::Misses),
        inserts: sum(Counter::Inserts),
        updates: sum(Counter::Updates),
        evicted_for_room: sum(Counter::EvictedForRoom),
        evicted_expired: sum(Counter::EvictedExpired),
        removed: sum(Counter::Removed),
        loads: sum(Counter::Loads),
        load_failures: sum(Counter::LoadFailures),
        load_time: Duration::from_nanos(sum(Counter::LoadNanos)),
    }
}
