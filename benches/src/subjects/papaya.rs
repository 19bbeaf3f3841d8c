//! papaya: lock-free, entries in boxes that are reclaimed by hazard eras.

use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::subject::{BATCH, Subject};
use crate::types::Plain;

/// A handle to a `papaya::HashMap` with foldhash. The map is pinned for each
/// operation, and once for a batch.
#[derive(Clone, Debug)]
pub struct Papaya<K: Plain, V>(Arc<HashMap<K, V, RandomState>>);

impl<K: Plain, V: Plain> Papaya<K, V> {
    /// An empty map with room for `entries`.
    pub fn new(entries: usize) -> Self {
        Papaya(Arc::new(HashMap::with_capacity_and_hasher(
            entries,
            RandomState::default(),
        )))
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Papaya<K, V> {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.pin().get(key).copied()
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        black_box(&self.0.pin().insert(*key, *value).copied());
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let value = self.0.pin().remove(key).copied();
        black_box(&value);
        value.is_some()
    }

    #[inline(always)]
    fn get_batch(&mut self, keys: &[K; BATCH], values: &mut [Option<V>; BATCH]) {
        let map = self.0.pin();
        for (key, value) in keys.iter().zip(values) {
            *value = map.get(key).copied();
        }
    }
}
