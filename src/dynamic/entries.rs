//! Walking through a segment of any types.

use std::fmt;
use std::time::Duration;

use super::bytes::to_bytes;
use super::error::DynError;
use super::map::ReadOnlyDynMap;
use super::types::Part;
use crate::protocol::order::Order;
use crate::protocol::shape::Shape;
use crate::protocol::walk::Cursor;
use crate::store::error::IterError;
use crate::sys::random::seed;

/// An entry of a segment, as encoded bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DynEntry {
    /// The bytes of the key.
    pub key: Vec<u8>,
    /// The bytes of the value.
    pub value: Vec<u8>,
    /// How long an entry of a cache has left; `None` if it has no end.
    pub time_left: Option<Duration>,
}

/// Iterator over the entries of a segment, see [`ReadOnlyDynMap::iter`].
pub struct DynEntries<'a> {
    map: &'a ReadOnlyDynMap,
    steps: Cursor,
}

impl<'a> DynEntries<'a> {
    pub(super) fn new(map: &'a ReadOnlyDynMap) -> Self {
        let table = map.table();
        Self {
            map,
            steps: Cursor::new(&table, Order::new(&table, seed())),
        }
    }

    /// How many buckets are done, of how many: for those who show progress.
    pub fn progress(&self) -> (u64, u64) {
        (self.steps.done(), self.map.shared.layout.counts.buckets)
    }
}

/// An entry of `map` whose words were copied; `None` if it does not count.
fn entry(map: &ReadOnlyDynMap, words: &[u64]) -> Option<Result<DynEntry, DynError>> {
    let (key, value) = words.split_at(map.shape().key_words());
    if !map.is_live(value) {
        return None;
    }
    let key = to_bytes(key, map.types.key.size());
    let entry = map.types.judge(Part::Key, key).and_then(|()| {
        Ok(DynEntry {
            key: key.to_vec(),
            value: map.value_of(value)?,
            time_left: map.time_left(value),
        })
    });
    Some(entry)
}

impl Iterator for DynEntries<'_> {
    type Item = Result<DynEntry, DynError>;

    fn next(&mut self) -> Option<Self::Item> {
        let table = || self.map.table();
        loop {
            match self.steps.next(table)? {
                Ok(words) => {
                    if let Some(entry) = entry(self.map, words) {
                        return Some(entry);
                    }
                }
                Err(lost) => return Some(Err(DynError::Iter(IterError::from(lost)))),
            }
        }
    }
}

impl ReadOnlyDynMap {
    /// All entries, in an order that is another one each time, each as key and value. Nothing is locked; what
    /// concurrent writers may show is told at [`ReadOnlyMap::iter`](crate::ReadOnlyMap::iter).
    ///
    /// An entry that is invalid is an item [`DynError::Invalid`], after which the iteration goes
    /// on; [`DynError::Iter`] ends it.
    pub fn iter(&self) -> DynEntries<'_> {
        DynEntries::new(self)
    }
}

impl<'a> IntoIterator for &'a ReadOnlyDynMap {
    type Item = Result<DynEntry, DynError>;
    type IntoIter = DynEntries<'a>;

    fn into_iter(self) -> DynEntries<'a> {
        self.iter()
    }
}

impl fmt::Debug for DynEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynEntries")
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
