//! hashbrown with foldhash, one thread: the limit of what a hash table can do.

use std::hint::black_box;

use foldhash::fast::RandomState;

use crate::subject::Subject;
use crate::types::Plain;

/// `hashbrown::HashMap` with foldhash.
#[derive(Debug)]
pub struct Hashbrown<K, V>(hashbrown::HashMap<K, V, RandomState>);

impl<K: Plain, V: Plain> Hashbrown<K, V> {
    /// An empty map with room for `entries`.
    pub fn new(entries: usize) -> Self {
        Hashbrown(hashbrown::HashMap::with_capacity_and_hasher(
            entries,
            RandomState::default(),
        ))
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Hashbrown<K, V> {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key).copied()
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        black_box(&self.0.insert(*key, *value));
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let value = self.0.remove(key);
        black_box(&value);
        value.is_some()
    }
}
