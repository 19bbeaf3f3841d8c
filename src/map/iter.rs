//! Walking through all entries.

use std::fmt;

use super::{Map, ReadOnlyMap};
use crate::protocol::order::Order;
use crate::protocol::walk::Cursor;
use crate::store::error::IterError;
use crate::store::typed::decoded;
use crate::sys::random::seed;
use crate::types::image::WordBuf;
use crate::types::{Key, Value};

impl<K: Key, V: Value> ReadOnlyMap<K, V> {
    /// All entries, in an order that is another one each time: what a program removes first or last
    /// of an iteration, again and again, leaves no region of the map that fills up for good. (So an
    /// iteration passes four times over a map that has been almost full, and once over others.)
    ///
    /// Each entry is whole. One that is there, and not written, during the whole iteration is
    /// yielded exactly once, also when an insertion of another key moves it meanwhile. One
    /// that is inserted, updated or removed meanwhile is yielded with its old or its new value, or
    /// (if it was not there all the time) perhaps not at all. Nothing is locked.
    ///
    /// An iterator that is overtaken by so many displacements that it can keep no track of them
    /// (they happen in an almost full map only; a thousand of them while it stands at one
    /// bucket) ends with [`IterError::Lagged`] and does not guess. One gap is known: a writer
    /// that was stopped in the middle of a displacement, then overtaken by 64 others before the
    /// iteration began, and goes on during it, may hide or double the one entry it moves.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let table = self.table();
        Iter {
            map: self,
            steps: Cursor::new(&table, Order::new(&table, seed())),
        }
    }

    /// The keys of [`iter`](Self::iter), with the same promises.
    pub fn keys(&self) -> impl Iterator<Item = Result<K, IterError>> {
        self.iter().map(|entry| entry.map(|(key, _)| key))
    }

    /// The values of [`iter`](Self::iter), with the same promises.
    pub fn values(&self) -> impl Iterator<Item = Result<V, IterError>> {
        self.iter().map(|entry| entry.map(|(_, value)| value))
    }
}

/// Iterator over the entries of a map, see [`ReadOnlyMap::iter`].
pub struct Iter<'a, K, V> {
    map: &'a ReadOnlyMap<K, V>,
    steps: Cursor,
}

impl<K: Key, V: Value> Iterator for Iter<'_, K, V> {
    type Item = Result<(K, V), IterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let words = match self.steps.next(|| self.map.table())? {
            Ok(words) => words,
            Err(lost) => return Some(Err(lost.into())),
        };
        let (key, value) = words.split_at(WordBuf::<K>::WORDS);
        let entry = decoded(key).and_then(|key| Ok((key, decoded(value)?)));
        Some(entry.map_err(IterError::from))
    }
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("buckets_done", &self.steps.done())
            .finish_non_exhaustive()
    }
}

impl<'a, K: Key, V: Value> IntoIterator for &'a ReadOnlyMap<K, V> {
    type Item = Result<(K, V), IterError>;
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<'a, K: Key, V: Value> IntoIterator for &'a Map<K, V> {
    type Item = Result<(K, V), IterError>;
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.reader.iter()
    }
}
