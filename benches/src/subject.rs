//! What a peer must be able to do.

use std::hint::black_box;

use crate::types::Plain;
use crate::workload::Workload;

/// Keys in one batch of `get_many`.
pub const BATCH: usize = 16;

/// One table under measurement, or a handle to it.
///
/// Fairness: every value that an operation of the peer returns, the previous
/// one of an insert or a remove included, is copied out of the table and kept
/// alive with `black_box`; nobody wins because the compiler saw that the result
/// is not used. It may stay where the peer's own call has put it: a peer whose calls
/// return more than an `Option` looks into that in `get_chunk` and does not move the value.
pub trait Subject<K: Plain, V: Plain> {
    /// The value of `key`, copied out.
    fn get(&mut self, key: &K) -> Option<V>;

    /// Inserts or replaces.
    fn insert(&mut self, key: &K, value: &V);

    /// Removes; false if the key was not there.
    fn remove(&mut self, key: &K) -> bool;

    /// Looks up [`BATCH`] keys. One after the other, unless the peer has
    /// something better.
    #[inline(always)]
    fn get_batch(&mut self, keys: &[K; BATCH], values: &mut [Option<V>; BATCH]) {
        for (key, value) in keys.iter().zip(values) {
            *value = self.get(key);
        }
    }

    /// Looks up a whole chunk and counts the hits. Servers pipeline it.
    #[inline(always)]
    fn get_chunk(&mut self, keys: &[K]) -> usize {
        let mut hits = 0;
        for key in keys {
            let value = self.get(key);
            hits += usize::from(value.is_some());
            black_box(&value);
        }
        hits
    }

    /// Inserts a whole chunk, values taken in turn. Servers pipeline it.
    #[inline(always)]
    fn insert_chunk(&mut self, keys: &[K], values: &[V]) {
        for (key, value) in keys.iter().zip(values.iter().cycle()) {
            self.insert(key, value);
        }
    }

    /// Inserts all entries of a table, not measured.
    fn prefill(&mut self, entries: impl Iterator<Item = (K, V)>) {
        for (key, value) in entries {
            self.insert(&key, &value);
        }
    }

    /// Does this workload make sense for this peer?
    fn supports(&self, workload: Workload) -> bool {
        let _ = workload;
        true
    }

    /// Bytes that the table takes, for peers that keep them in a file or a
    /// segment; others are measured from outside.
    fn footprint(&self) -> Option<u64> {
        None
    }
}

/// A peer whose table outlives the process: opened anew in each worker.
pub trait Attach: Sized {
    /// What another process needs to open the same table.
    fn location(&self) -> String;

    /// Opens it there.
    fn attach(location: &str) -> Self;
}
