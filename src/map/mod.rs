//! The typed map.

mod builder;
mod iter;
mod maintain;
mod read;
mod write;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::format::Header;
use crate::protocol::shape::Typed;
use crate::protocol::table::Table;
use crate::segment::{Segment, SegmentError};
use crate::store::Store;
use crate::store::restart::SalvageReport;
use crate::store::stats::stats;
use crate::types::{Key, Value};

pub use self::builder::MapBuilder;
pub use self::iter::Iter;
pub use crate::store::error::{CompareExchange, TryInsert};
pub use crate::store::stats::MapStats;
pub use crate::types::integer::Integer;

/// A map in a shared segment, opened for reading only.
///
/// It stands on a mapping without write permission (`PROT_READ`, or `SHM_RDONLY` on System V),
/// needs no more than permission to read the segment, registers nowhere, and offers the whole
/// reading interface. Any number of processes may read.
///
/// # What a reader sees
///
/// Operations on one key are *linearizable*: each takes effect at one moment between its call
/// and its return, for all processes alike. A value is always whole, and is one that somebody
/// wrote; a reader never waits for a writer, whether that is slow, stopped or dead. Operations on
/// different keys are independent: there is no snapshot of the whole map.
pub struct ReadOnlyMap<K, V> {
    shared: Arc<Store>,
    types: PhantomData<fn(K) -> V>,
}

/// A typed map in a shared segment, used by many processes at once.
///
/// A handle is cheap to clone, may be used by many threads (`&self` everywhere), and goes on
/// working in the children of a `fork`. All reading methods are those of [`ReadOnlyMap`], to
/// which this type dereferences.
///
/// ```no_run
/// use shmkv::Map;
///
/// let map: Map<u64, f64> = Map::builder().capacity(1000).create("shm:factors")?;
/// map.insert(7, 0.5)?;
/// assert_eq!(map.get(&7)?, Some(0.5));
/// // Any other process: Map::<u64, f64>::builder().open("shm:…")?
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Writing
///
/// A writer locks one bucket (rarely two or three) for a few dozen nanoseconds. If another one
/// holds the lock it waits, at most for the `lock_timeout`; if that other one is dead, it takes
/// over. Writing is not async-signal-safe (reading with [`get`](ReadOnlyMap::get) is): a signal handler that
/// writes could wait for the very thread that it interrupted, until the timeout.
pub struct Map<K, V> {
    reader: ReadOnlyMap<K, V>,
}

impl<K, V> Clone for ReadOnlyMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            types: PhantomData,
        }
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
        }
    }
}

impl<K, V> Deref for Map<K, V> {
    type Target = ReadOnlyMap<K, V>;

    #[inline(always)]
    fn deref(&self) -> &ReadOnlyMap<K, V> {
        &self.reader
    }
}

impl<K, V> fmt::Debug for ReadOnlyMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyMap").field(&self.shared).finish()
    }
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.reader.shared).finish()
    }
}

impl<K: Key, V: Value> ReadOnlyMap<K, V> {
    pub(crate) fn new(shared: Arc<Store>) -> Self {
        Self {
            shared,
            types: PhantomData,
        }
    }

    pub(crate) fn shared(&self) -> &Store {
        &self.shared
    }

    /// What all clones of the handle have in common, to outlive this one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn clone_shared(&self) -> Arc<Store> {
        Arc::clone(&self.shared)
    }

    #[inline(always)]
    fn table(&self) -> Table<'_, Typed<K, V>> {
        self.shared.table(Typed::SHAPE)
    }

    /// How many entries there are: exact while nobody writes. Counts the buckets' entries, so
    /// it reads one line of each bucket.
    pub fn len(&self) -> usize {
        let table = self.table();
        (0..table.buckets())
            .map(|index| table.bucket(index).read_begin().occupied().len() as usize)
            .sum()
    }

    /// Whether there is no entry. Ends at the first one.
    pub fn is_empty(&self) -> bool {
        let table = self.table();
        (0..table.buckets()).all(|index| table.bucket(index).read_begin().occupied().is_empty())
    }

    /// How many entries are promised to fit. More may.
    pub fn capacity(&self) -> usize {
        // A validated layout has no more entries than fit into an address space.
        self.shared.layout.capacity as usize
    }

    /// How full the map is, bucket by bucket.
    pub fn stats(&self) -> MapStats {
        stats(&self.shared, Typed::<K, V>::SHAPE)
    }

    /// What was kept, and what was dropped, of a segment that was in use when the machine
    /// crashed, if it was this handle's opening that looked it over (see
    /// [`CrashPolicy`](crate::restart::CrashPolicy)).
    pub fn salvage(&self) -> Option<&SalvageReport> {
        self.shared.salvage.get()
    }

    /// The segment, by a name under which it can be opened and removed.
    pub fn segment(&self) -> &Segment {
        &self.shared.segment
    }

    /// The checked description of the segment.
    pub fn header(&self) -> &Header {
        &self.shared.layout
    }

    /// Fails if the segment's name was removed, or names another segment now: this handle still
    /// works, but whoever opens the name gets something else.
    pub fn ensure_current(&self) -> Result<(), SegmentError> {
        self.shared.ensure_current()
    }

    /// The file behind the segment: to be inherited or sent (see [`crate::segment`]). System V
    /// segments have none.
    pub fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.shared.fd()
    }
}

impl<K: Key, V: Value> Map<K, V> {
    pub(crate) fn new(shared: Arc<Store>) -> Self {
        Self {
            reader: ReadOnlyMap::new(shared),
        }
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyMap<K, V> {
        self.reader.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::hash::HashFunction;
    use crate::protocol::shape::Typed;

    #[test]
    fn buckets_are_given_out_in_the_form_that_they_have_and_in_no_other() {
        let map: Map<u64, u64> = Map::builder()
            .capacity(100)
            .create("memfd:form")
            .expect("memory");
        let sections = &map.shared().mapping;
        let area = sections.area(Typed::<u64, u64>::SHAPE, HashFunction::Rapid);
        assert_eq!(
            area.map(|area| area.count()),
            Some(map.shared().layout.counts.buckets)
        );
        assert!(
            sections
                .area(Typed::<u64, u64>::SHAPE, HashFunction::Sip)
                .is_none()
        );
        assert!(
            sections
                .area(Typed::<u64, [u64; 2]>::SHAPE, HashFunction::Rapid)
                .is_none()
        );
    }
}
