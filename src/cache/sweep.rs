//! Walking through a cache, and putting many entries out of it.

use std::fmt;

use super::{BOOT, Cache, EPOCH, Freshness, ReadOnlyCache, RemovalCause, is_negative};
use crate::protocol::counters::Counter;
use crate::protocol::order::Order;
use crate::protocol::table::{Edit, HashedKey, Outcome};
use crate::protocol::walk::{Cursor, Entries, Scan};
use crate::store::error::{IterError, SweepError};
use crate::store::typed::decoded;
use crate::sys::random::seed;
use crate::sys::sync::Ordering;
use crate::types::image::{WordBuf, WordBufWithMeta};
use crate::types::metadata::{EPOCHS, Meta, NEXT_EPOCH, epoch_number};
use crate::types::{Key, Value};

/// Raising the epoch so often is followed by a walk that removes what is of earlier ones: well
/// before the numbers come round.
const SWEEP_EVERY: u64 = EPOCHS / 4;

impl<K: Key, V: Value> ReadOnlyCache<K, V> {
    /// All entries that count, in an order that is another one each time (it passes four times over the
    /// cache for that).
    ///
    /// Each is whole. One that is there, and neither written nor evicted, during the whole iteration
    /// is yielded exactly once; one that goes and comes again meanwhile may be yielded twice, or
    /// not at all. Is no hit. Nothing is locked.
    pub fn iter(&self) -> CacheIter<'_, K, V> {
        let table = self.table(self.meta_words());
        CacheIter {
            cache: self,
            steps: Cursor::new(&table, Order::new(&table, seed())),
        }
    }

    /// The keys of [`iter`](Self::iter).
    pub fn keys(&self) -> impl Iterator<Item = Result<K, IterError>> {
        self.iter().map(|entry| entry.map(|(key, _)| key))
    }

    /// The values of [`iter`](Self::iter).
    pub fn values(&self) -> impl Iterator<Item = Result<V, IterError>> {
        self.iter().map(|entry| entry.map(|(_, value)| value))
    }
}

impl<K: Key, V: Value> Cache<K, V> {
    /// Makes all entries count for nothing, at once and for all processes: what was inserted, or
    /// began to be loaded, before this call is not returned by any call that begins after it. Takes
    /// as long as one store; the entries go when something takes their place. (One call in
    /// 262,144 walks through the table.) A crash of the *machine* may undo it, as long as a `file:`
    /// segment was not [synced](Cache::sync) since.
    ///
    /// # Errors
    /// Only that walk can fail; all entries are invalidated all the same.
    pub fn invalidate_all(&self) -> Result<(), SweepError> {
        // SeqCst, though only a read-modify-write is needed: the call returns when all see it.
        let word = self.word(EPOCH);
        let epoch = word
            .fetch_add(NEXT_EPOCH, Ordering::SeqCst)
            .wrapping_add(NEXT_EPOCH);
        let clean = epoch & !(NEXT_EPOCH - 1);
        if clean != epoch {
            // Somebody wrote invalid bytes, which makes hits slow. Relaxed, and tried once: it says
            // the same.
            let _ = word.compare_exchange(epoch, clean, Ordering::Relaxed, Ordering::Relaxed);
        }
        if epoch_number(epoch).is_multiple_of(SWEEP_EVERY) {
            self.sweep(Same::Entry, |_, value| {
                !Meta(value[WordBuf::<V>::WORDS]).is_of(epoch)
            })?;
        }
        Ok(())
    }

    /// Removes the entries for which `keep` says no; returns how many. Entries that come or
    /// change meanwhile are judged by a value they have, or not at all. `keep` runs without any
    /// lock.
    ///
    /// # Errors
    /// If the walk or a removal fails; what was removed until then is.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> Result<usize, SweepError> {
        self.sweep(Same::Entry, |key, words| {
            if self.freshness(words) != Freshness::Live || is_negative::<V>(words) {
                return false;
            }
            let value = decoded(&words[..WordBuf::<V>::WORDS]);
            match (decoded(key), value) {
                (Ok(key), Ok(value)) => !keep(&key, &value),
                // Invalid bytes are nobody's entry.
                _ => false,
            }
        })
    }

    /// Removes all entries; returns how many. Entries that are inserted meanwhile may stay.
    ///
    /// # Errors
    /// As [`retain`](Self::retain).
    pub fn clear(&self) -> Result<usize, SweepError> {
        self.sweep(Same::Key, |_, _| true)
    }

    /// Removes what is expired or invalidated, without waiting for something to take its
    /// place; returns how much.
    ///
    /// # Errors
    /// As [`retain`](Self::retain).
    pub fn remove_expired(&self) -> Result<usize, SweepError> {
        self.sweep(Same::AndUnused, |_, words| {
            self.freshness(words) != Freshness::Live
        })
    }

    /// The first who opens a cache for writing after the machine was booted removes the entries that
    /// have an end, which stands in the time of a clock that is gone.
    pub(super) fn adopt_this_boot(&self) {
        let word = self.word(BOOT);
        let found = word.load(Ordering::Acquire);
        // Who cannot tell adopts nothing.
        if found == self.reader.boot || self.reader.boot == 0 {
            return;
        }
        // A new segment has no entries at all. A walk that fails leaves the work, and the word, to
        // the next one; until then, readers do not believe such entries.
        let has_idle = self.fields().time_to_idle != 0;
        let swept = found == 0
            || self
                .sweep(Same::Entry, |_, words| {
                    has_idle || Meta(words[WordBuf::<V>::WORDS]).deadline() != 0
                })
                .is_ok();
        if swept {
            // Release: the removals come before.
            word.store(self.reader.boot, Ordering::Release);
        }
    }

    /// Removes the entries for which `goes` says yes, by the words of key and value, if what is
    /// there then is still the `same`.
    fn sweep(
        &self,
        same: Same,
        mut goes: impl FnMut(&[u64], &[u64]) -> bool,
    ) -> Result<usize, SweepError> {
        let meta = self.meta_words();
        let table = self.table(meta);
        let mut walk = Scan::new(&table, Order::new(&table, seed()));
        let mut entries = Entries::default();
        let mut old = WordBufWithMeta::<V>::uninit();
        let mut removed = 0;
        while walk
            .advance(&table, &mut entries)
            .map_err(IterError::from)?
        {
            for entry in entries.iter() {
                // By the stored words: a key that is not a valid `K` is removed as well.
                let (key, value) = entry.split_at(WordBuf::<K>::WORDS);
                if !goes(key, value) {
                    continue;
                }
                let mut old = old.sink(meta);
                let compared = match same {
                    Same::Key => 0,
                    Same::Entry => WordBuf::<V>::WORDS + 1,
                    Same::AndUnused => value.len(),
                };
                let if_same = |current: Option<&[u64]>, _: &mut [u64]| match current {
                    Some(current) if current[..compared] == value[..compared] => Edit::Remove,
                    _ => Edit::Keep,
                };
                let shared = self.shared();
                let hashed = HashedKey {
                    hash: table.hash_of(key),
                    words: key,
                };
                let outcome = shared.edit_key(&table, hashed, &mut old, &mut [], if_same)?;
                if outcome == Outcome::Removed {
                    removed += 1;
                    let (counter, cause) = match self.freshness(value) {
                        Freshness::Live => (Counter::Removed, RemovalCause::Explicit),
                        _ => (Counter::EvictedExpired, RemovalCause::Expired),
                    };
                    self.count(counter);
                    self.notify(key, value, cause);
                }
            }
        }
        Ok(removed)
    }
}

/// What must not have changed between judging an entry and removing it.
#[derive(Clone, Copy)]
enum Same {
    /// Its key, by which it is found.
    Key,
    /// Also its value, deadline and epoch.
    Entry,
    /// Also when it was last asked for.
    AndUnused,
}

/// Iterator over the entries of a cache, see [`ReadOnlyCache::iter`].
pub struct CacheIter<'a, K, V> {
    cache: &'a ReadOnlyCache<K, V>,
    steps: Cursor,
}

impl<K: Key, V: Value> Iterator for CacheIter<'_, K, V> {
    type Item = Result<(K, V), IterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let table = || self.cache.table(self.cache.meta_words());
        loop {
            let words = match self.steps.next(table)? {
                Ok(words) => words,
                Err(lost) => return Some(Err(lost.into())),
            };
            let (key, value) = words.split_at(WordBuf::<K>::WORDS);
            match self.cache.live_value(value) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    let entry = decoded(key).map(|key| (key, value));
                    return Some(entry.map_err(IterError::from));
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

impl<K, V> fmt::Debug for CacheIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheIter")
            .field("buckets_done", &self.steps.done())
            .finish_non_exhaustive()
    }
}

impl<'a, K: Key, V: Value> IntoIterator for &'a ReadOnlyCache<K, V> {
    type Item = Result<(K, V), IterError>;
    type IntoIter = CacheIter<'a, K, V>;

    fn into_iter(self) -> CacheIter<'a, K, V> {
        self.iter()
    }
}

impl<'a, K: Key, V: Value> IntoIterator for &'a Cache<K, V> {
    type Item = Result<(K, V), IterError>;
    type IntoIter = CacheIter<'a, K, V>;

    fn into_iter(self) -> CacheIter<'a, K, V> {
        self.reader.iter()
    }
}
