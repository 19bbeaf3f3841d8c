//! The contestants. Each gets the same number of entries and the same requests: a miss, and then an
//! insertion, as in front of a database.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};

use shmkv::{Cache, Segment};

use super::{Score, exact};
use crate::hit_ratio::traces::Trace;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contestant {
    /// shmkv, one process.
    Ours,
    /// Exact LRU (crate `lru`).
    Lru,
    /// W-TinyLFU, with its housekeeping done after each insertion, so that it is never behind.
    Moka,
    /// In its variant for one thread, which has no shards.
    QuickCache,
    /// TinyLFU and S3-FIFO.
    TinyUfo,
    /// Who knows the future.
    Optimum,
    /// shmkv, several processes that share one cache.
    OursShared,
}

impl Contestant {
    /// Those who run by themselves, in the order of the table.
    pub const ALONE: [Self; 6] = [
        Self::Ours,
        Self::Lru,
        Self::Moka,
        Self::QuickCache,
        Self::TinyUfo,
        Self::Optimum,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "shmkv",
            Self::Lru => "LRU",
            Self::Moka => "moka",
            Self::QuickCache => "quick_cache",
            Self::TinyUfo => "TinyUFO",
            Self::Optimum => "optimal",
            Self::OursShared => "shmkv-shared",
        }
    }

    /// Whether others are compared with it.
    pub fn is_peer(self) -> bool {
        matches!(
            self,
            Self::Lru | Self::Moka | Self::QuickCache | Self::TinyUfo
        )
    }

    /// Replays a stream. Not for [`Self::OursShared`], which takes processes.
    ///
    /// # Panics
    /// If a cache of ours has more entries than it may, or returns another key's value.
    pub fn replay(self, trace: &Trace, entries: usize) -> Score {
        let keys = &trace.keys;
        match self {
            Self::Ours | Self::OursShared => {
                let place = Place::new();
                let cache = place.create(entries);
                let hits = (keys.iter().enumerate())
                    .filter(|(request, key)| ask(&cache, **key, *request, entries))
                    .count();
                score(hits, keys)
            }
            Self::Lru => {
                let entries = NonZeroUsize::new(entries).expect("a cache has entries");
                let mut cache = lru::LruCache::new(entries);
                replay(keys, |key| {
                    let is_hit = cache.get(&key).is_some();
                    if !is_hit {
                        cache.put(key, key);
                    }
                    is_hit
                })
            }
            Self::Moka => {
                let cache = moka::sync::Cache::new(entries as u64);
                replay(keys, |key| {
                    let is_hit = cache.get(&key).is_some();
                    if !is_hit {
                        cache.insert(key, key);
                        cache.run_pending_tasks();
                    }
                    is_hit
                })
            }
            Self::QuickCache => {
                let mut cache = quick_cache::unsync::Cache::new(entries);
                replay(keys, |key| {
                    let is_hit = cache.get(&key).is_some();
                    if !is_hit {
                        cache.insert(key, key);
                    }
                    is_hit
                })
            }
            Self::TinyUfo => {
                let cache = tinyufo::TinyUfo::new(entries, entries);
                replay(keys, |key| {
                    let is_hit = cache.get(&key).is_some();
                    if !is_hit {
                        cache.put(key, key, 1);
                    }
                    is_hit
                })
            }
            Self::Optimum => exact::optimum(keys, trace.distinct, entries),
        }
    }
}

fn replay(keys: &[u64], mut ask: impl FnMut(u64) -> bool) -> Score {
    score(keys.iter().filter(|key| ask(**key)).count(), keys)
}

fn score(hits: usize, keys: &[u64]) -> Score {
    Score {
        hits: hits as u64,
        requests: keys.len() as u64,
    }
}

/// Requests between two counts of our entries, which look at every bucket.
const COUNT_EVERY: usize = 997;

/// One request to a cache of ours. Whether it was a hit.
pub(crate) fn ask(cache: &Cache<u64, u64>, key: u64, request: usize, entries: usize) -> bool {
    let found = cache.get(&key).expect("a cache of our own answers");
    match found {
        Some(value) => assert_eq!(value, !key, "the value of another key"),
        None => cache.insert(key, !key).expect("an insertion finds room"),
    }
    if request.is_multiple_of(COUNT_EVERY) {
        let len = cache.len();
        assert!(len <= entries, "{len} entries where {entries} are allowed");
    }
    found.is_some()
}

/// The name of a segment of our own, which is removed in the end.
#[derive(Debug)]
pub(crate) struct Place(String);

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("shm:shmkv-hits-{}-{number}", std::process::id()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn create(&self, entries: usize) -> Cache<u64, u64> {
        let cache = Cache::builder().max_capacity(entries).create(self.name());
        cache.unwrap_or_else(|error| panic!("cannot create {}: {error}", self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let segment: Segment = self.0.parse().expect("a name of our own making");
        // It may not have been created.
        let _ = segment.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit_ratio::traces::{Pattern, Source};

    #[test]
    fn everybody_hits_everything_that_fits_and_nobody_beats_the_optimum() {
        let trace = Source::Generated(Pattern::Zipf90, 4000).load().unwrap();
        let all = trace.keys.len() as u64 - trace.distinct as u64;
        for contestant in Contestant::ALONE {
            // An entry more for each, since some keep a part of theirs for newcomers; ours is
            // limited by bucket, so it gets room enough for the fullest.
            let plenty = contestant.replay(&trace, 4 * trace.distinct);
            assert_eq!(plenty.hits, all, "{}", contestant.name());
            let few = contestant.replay(&trace, 40);
            let most = Contestant::Optimum.replay(&trace, 40);
            assert!(
                few.hits <= most.hits && few.hits > 0,
                "{}",
                contestant.name()
            );
        }
    }

    #[test]
    fn lru_is_exact() {
        let keys = vec![0, 1, 2, 0, 3, 1, 0];
        let trace = Trace {
            name: String::new(),
            source: Source::Generated(Pattern::Loop, 0),
            distinct: 4,
            keys,
        };
        // 0 1 2 | hit 0 | 3 replaces 1 | 1 replaces 2 | hit 0
        assert_eq!(Contestant::Lru.replay(&trace, 3).hits, 2);
        assert_eq!(Contestant::Optimum.replay(&trace, 3).hits, 3);
    }
}
