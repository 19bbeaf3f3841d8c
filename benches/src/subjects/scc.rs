//! scc: buckets with a reader-writer lock each.

use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::RandomState;
use scc::HashMap;

use crate::subject::Subject;
use crate::types::Plain;

/// A handle to a `scc::HashMap` with foldhash.
#[derive(Clone, Debug)]
pub struct Scc<K: Plain, V: Plain>(Arc<HashMap<K, V, RandomState>>);

impl<K: Plain, V: Plain> Scc<K, V> {
    /// An empty map with room for `entries`.
    pub fn new(entries: usize) -> Self {
        Scc(Arc::new(HashMap::with_capacity_and_hasher(
            entries,
            RandomState::default(),
        )))
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Scc<K, V> {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.read_sync(key, |_, value| *value)
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        black_box(&self.0.upsert_sync(*key, *value));
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let entry = self.0.remove_sync(key);
        black_box(&entry);
        entry.is_some()
    }
}
