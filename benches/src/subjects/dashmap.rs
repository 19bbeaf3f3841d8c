//! dashmap: shards of a hash table, each behind a reader-writer lock.

use std::hint::black_box;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::subject::Subject;
use crate::types::Plain;

/// A handle to a `DashMap` with foldhash.
#[derive(Clone, Debug)]
pub struct Dash<K: Plain, V>(Arc<DashMap<K, V, RandomState>>);

impl<K: Plain, V: Plain> Dash<K, V> {
    /// An empty map with room for `entries`.
    pub fn new(entries: usize) -> Self {
        Dash(Arc::new(DashMap::with_capacity_and_hasher(
            entries,
            RandomState::default(),
        )))
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Dash<K, V> {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key).map(|entry| *entry)
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        black_box(&self.0.insert(*key, *value));
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let entry = self.0.remove(key);
        black_box(&entry);
        entry.is_some()
    }
}
