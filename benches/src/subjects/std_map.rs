//! `std::collections::HashMap` with its default hasher: what people use.

use std::collections::HashMap;
use std::hint::black_box;

use crate::subject::Subject;
use crate::types::Plain;

/// The standard map with SipHash.
#[derive(Debug)]
pub struct Std<K, V>(HashMap<K, V>);

impl<K: Plain, V: Plain> Std<K, V> {
    /// An empty map with room for `entries`.
    pub fn new(entries: usize) -> Self {
        Std(HashMap::with_capacity(entries))
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Std<K, V> {
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
