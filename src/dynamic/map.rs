//! Operations on encoded bytes.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::builder::DynMapBuilder;
use super::entry::Part;
use super::error::DynError;
use super::pulse::{self, Pulse};
use super::shape::{Dimensions, Words, to_bytes, to_words};
use crate::bucket::{Buffer, Shape};
use crate::copy::Sink;
use crate::error::{IterError, ReadError, SweepError, WriteError};
use crate::iter::{Entries, Walk};
use crate::layout::{Kind, Layout};
use crate::map::{MapStats, clear, stats, sweep};
use crate::mapping::Access;
use crate::open::EntryTypes;
use crate::owner::{Participant, RegisterError};
use crate::recovery::{self, Check, Recovery};
use crate::schema::Type;
use crate::segment::{Segment, SegmentError};
use crate::shared::Shared;
use crate::table::{Edit, Lookup, Outcome, Probe, Table};

/// A segment of any types, opened for reading only. See [`DynMap`].
#[derive(Clone)]
pub struct ReadOnlyDynMap {
    shared: Arc<Shared>,
    types: Arc<EntryTypes>,
    shape: Dimensions,
}

/// A segment of any types, whose keys and values are given and returned as encoded bytes.
///
/// The types are those that the segment declares ([`key_type`](ReadOnlyDynMap::key_type),
/// [`value_type`](ReadOnlyDynMap::value_type)); bytes are checked against them on the way in and
/// on the way out. All that is said about consistency, crashes and trust of a
/// [`Map`](crate::Map) holds here too. All reading methods are those of [`ReadOnlyDynMap`], to
/// which this type dereferences.
///
/// ```
/// use shmkv::schema::Datum;
/// use shmkv::{DynMap, Map};
///
/// # let name = format!("shm:doc-dyn-{}", std::process::id());
/// # let name = name.as_str();
/// // A program with types:
/// let typed: Map<u64, [i32; 2]> = Map::builder().capacity(100).create(name)?;
/// typed.insert(7, [1, -1])?;
///
/// // A tool without:
/// let map = DynMap::builder().open(name)?;
/// let key = Datum::Int(7).encode(map.key_type())?;
/// let value = map.get(&key)?.expect("just inserted");
/// let value = Datum::decode(map.value_type(), &value)?;
/// assert_eq!(value, Datum::Array(vec![Datum::Int(1), Datum::Int(-1)]));
/// # map.segment().remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DynMap {
    reader: ReadOnlyDynMap,
}

impl Deref for DynMap {
    type Target = ReadOnlyDynMap;

    fn deref(&self) -> &ReadOnlyDynMap {
        &self.reader
    }
}

impl ReadOnlyDynMap {
    pub(super) fn new(shared: Arc<Shared>, types: Arc<EntryTypes>) -> Self {
        let shape = Dimensions::of(&shared.layout.counts);
        Self {
            shared,
            types,
            shape,
        }
    }

    fn table(&self) -> Table<'_, Dimensions> {
        self.shared.table(self.shape)
    }

    /// What the keys are.
    pub fn key_type(&self) -> &Type {
        &self.types.key
    }

    /// What the values are.
    pub fn value_type(&self) -> &Type {
        &self.types.value
    }

    /// What kind of store the segment holds.
    pub fn kind(&self) -> Kind {
        self.shared.layout.kind
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// [`DynError::Unfit`] if `key` is no key of this segment, [`DynError::Garbage`] if what is
    /// stored is no value, [`DynError::Read`] if it could not be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        self.types.accept(Part::Key, key)?;
        let mut buffer = Words::uninit(self.shape.value_words());
        let mut value = Sink::new(buffer.words());
        match self.find(&to_words(key), &mut value)? {
            true => self.value_of(value.words()).map(Some),
            false => Ok(None),
        }
    }

    /// Whether the key is there. Does not look at the value.
    ///
    /// # Errors
    /// As [`get`](Self::get), but never `Garbage`.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool, DynError> {
        self.types.accept(Part::Key, key)?;
        let mut buffer = Words::uninit(self.shape.value_words());
        self.find(&to_words(key), &mut Sink::new(buffer.words()))
    }

    /// Copies what is stored for a key, if it is there.
    fn find(&self, key: &[u64], value: &mut Sink<'_>) -> Result<bool, DynError> {
        let table = self.table();
        let hash = table.hash_of(key);
        let probe = Probe { hash, words: key };
        let mut lookup = table.glance(probe, |bucket, slot| bucket.load_value(slot, value));
        if lookup.is_none() {
            let take = |bucket: crate::bucket::Bucket<'_, _>, slot| bucket.load_value(slot, value);
            lookup = Some(table.read_elsewhere(probe, take));
        }
        if lookup == Some(Lookup::Contended) {
            // As `get_contended` of the typed map.
            if self.shared.access() == Access::ReadWrite
                && let Ok(token) = self.shared.token()
            {
                let mut keep = |_: Option<&[u64]>, _: &mut [u64]| Edit::Keep;
                let kept = self
                    .shared
                    .edit(&table, token, probe, value, &mut [], &mut keep);
                if let Ok(outcome) = kept {
                    return Ok(outcome == Outcome::KeptPresent);
                }
            }
            lookup = Some(table.read_patiently(probe, value));
        }
        match lookup {
            Some(Lookup::Hit) => Ok(true),
            Some(Lookup::Miss) => Ok(false),
            Some(Lookup::Contended) | None => Err(DynError::Read(ReadError::Contended)),
        }
    }

    /// The value in the words of a slot behind its key, if it is one.
    fn value_of(&self, words: &[u64]) -> Result<Vec<u8>, DynError> {
        let bytes = to_bytes(words, self.types.value.size());
        self.types.judge(Part::Value, bytes)?;
        Ok(bytes.to_vec())
    }

    /// All entries, in no particular order, each as key and value. Nothing is locked; what
    /// concurrent writers may show is told at [`ReadOnlyMap::iter`](crate::ReadOnlyMap::iter).
    ///
    /// An entry that is garbage is an item [`DynError::Garbage`], after which the iteration goes
    /// on; [`DynError::Iter`] ends it.
    pub fn iter(&self) -> DynEntries<'_> {
        DynEntries {
            map: self,
            walk: Walk::new(&self.table()),
            entries: Entries::default(),
            taken: 0,
            done: false,
        }
    }

    /// How many entries there are: exact while nobody writes. Reads one line of each bucket.
    pub fn len(&self) -> usize {
        let table = self.table();
        (0..table.buckets())
            .map(|index| table.bucket(index).begin().occupied().len() as usize)
            .sum()
    }

    /// Whether there is no entry. Ends at the first one.
    pub fn is_empty(&self) -> bool {
        let table = self.table();
        (0..table.buckets()).all(|index| table.bucket(index).begin().occupied().is_empty())
    }

    /// How many entries are promised to fit. More may.
    pub fn capacity(&self) -> usize {
        self.shared.layout.capacity as usize
    }

    /// How full the map is, bucket by bucket.
    pub fn stats(&self) -> MapStats {
        stats(&self.shared, self.shape)
    }

    /// Compares the whole segment with what the protocol promises, as
    /// [`ReadOnlyMap::check`](crate::ReadOnlyMap::check) does. Whether each stored byte is a
    /// value of its type is found out by [`iter`](Self::iter).
    pub fn check(&self) -> Check {
        recovery::check(&self.shared, self.shape)
    }

    /// What goes on, at a glance: see [`Pulse`].
    pub fn pulse(&self) -> Pulse {
        pulse::take(&self.shared, self.shape)
    }

    /// How many bytes of the segment are in memory at this moment, for whomever: shared memory
    /// that was swapped out does not count.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn resident(&self) -> io::Result<u64> {
        self.shared.mapping.resident()
    }

    /// The processes that are registered as writers, the living and the dead.
    pub fn participants(&self) -> Vec<Participant> {
        self.shared.survey()
    }

    /// The segment, by a name under which it can be opened and removed.
    pub fn segment(&self) -> &Segment {
        &self.shared.segment
    }

    /// The checked description of the segment.
    pub fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// Fails if the segment's name was removed, or names another segment now.
    pub fn is_current(&self) -> Result<(), SegmentError> {
        self.shared.segment.is_current(self.shared.identity)
    }

    /// The file behind the segment. System V segments have none.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.file.as_ref().map(AsFd::as_fd)
    }
}

impl DynMap {
    /// Starts to create or open a segment.
    pub fn builder() -> DynMapBuilder {
        DynMapBuilder::new()
    }

    pub(super) fn new(reader: ReadOnlyDynMap) -> Self {
        Self { reader }
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyDynMap {
        self.reader.clone()
    }

    /// Gives a key a value. Returns the previous one, if there was one (and it was valid).
    ///
    /// # Errors
    /// [`DynError::Unfit`] if the bytes are not of the segment's types; [`DynError::Write`], as
    /// for [`Map::insert`](crate::Map::insert).
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        self.types.accept(Part::Value, value)?;
        let mut new = to_words(value);
        let (outcome, old) = self.edit(key, &mut new, |_| Edit::Put)?;
        Ok(self.previous(outcome, old))
    }

    /// Inserts an entry only if the key is absent; otherwise returns the value that is there.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), and [`DynError::Garbage`].
    pub fn try_insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        self.types.accept(Part::Value, value)?;
        let mut new = to_words(value);
        let (_, old) = self.edit(key, &mut new, |current| match current {
            Some(_) => Edit::Keep,
            None => Edit::Put,
        })?;
        old.map(|old| self.value_of(&old)).transpose()
    }

    /// Removes a key. Returns `None` if it was absent, otherwise its value, or why that was none.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`.
    pub fn remove(&self, key: &[u8]) -> Result<Option<Result<Vec<u8>, DynError>>, DynError> {
        let (outcome, old) = self.edit(key, &mut [], |_| Edit::Remove)?;
        Ok(match outcome {
            Outcome::Removed => old.map(|old| self.value_of(&old)),
            _ => None,
        })
    }

    /// An atomic read-modify-write, as [`Map::fetch_update`](crate::Map::fetch_update): `update`
    /// gets the value, or `None` if the key is absent, and returns the new one, or `None` to
    /// leave everything as it is. It runs without any lock, and again if another writer changed
    /// the value meanwhile. Returns what was there before.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); [`DynError::Garbage`];
    /// [`WriteError::Contended`] if others were always faster for the whole `lock_timeout`.
    pub fn fetch_update(
        &self,
        key: &[u8],
        mut update: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, DynError> {
        let started = Instant::now();
        loop {
            let current = self.get(key)?;
            let Some(value) = update(current.as_deref()) else {
                return Ok(current);
            };
            self.types.accept(Part::Value, &value)?;
            let expected = current.as_deref().map(to_words);
            let mut new = to_words(&value);
            let mut changed = false;
            let _ = self.edit(key, &mut new, |now| {
                changed = now != expected.as_deref();
                if changed { Edit::Keep } else { Edit::Put }
            })?;
            if !changed {
                return Ok(current);
            }
            let waited = started.elapsed();
            if waited > self.shared.lock_timeout {
                return Err(WriteError::Contended { waited }.into());
            }
        }
    }

    /// Removes all entries; returns how many. Entries that are inserted meanwhile may stay.
    pub fn clear(&self) -> Result<usize, SweepError> {
        clear(&self.shared, self.shape)
    }

    /// Removes the entries that are no values of the segment's types; returns how many. No program
    /// that goes through a handle of this library puts any there.
    pub fn remove_garbage(&self) -> Result<usize, SweepError> {
        let types = &self.types;
        sweep(&self.shared, self.shape, |key, value| {
            let key = to_bytes(key, types.key.size());
            let value = to_bytes(value, types.value.size());
            types.judge(Part::Key, key).is_err() || types.judge(Part::Value, value).is_err()
        })
    }

    /// Takes over, in all buckets, what provably dead processes hold, and frees their slots, as
    /// [`Map::recover`](crate::Map::recover) does.
    ///
    /// # Errors
    /// If this process cannot register as a writer.
    pub fn recover(&self) -> Result<Recovery, RegisterError> {
        recovery::recover(&self.shared, self.shape)
    }

    /// One edit of an entry under its lock, and the words that were there before.
    fn edit(
        &self,
        key: &[u8],
        new: &mut [u64],
        mut decide: impl FnMut(Option<&[u64]>) -> Edit,
    ) -> Result<(Outcome, Option<Vec<u64>>), DynError> {
        self.types.accept(Part::Key, key)?;
        let key = to_words(key);
        let table = self.table();
        let token = self.shared.token()?;
        let probe = Probe {
            hash: table.hash_of(&key),
            words: &key,
        };
        let mut buffer = Words::uninit(self.shape.value_words());
        let mut old = Sink::new(buffer.words());
        let mut decide = |current: Option<&[u64]>, _: &mut [u64]| decide(current);
        let outcome = self
            .shared
            .edit(&table, token, probe, &mut old, new, &mut decide)?;
        let old = match outcome {
            Outcome::Inserted | Outcome::KeptAbsent => None,
            Outcome::Replaced | Outcome::Removed | Outcome::KeptPresent => {
                Some(old.words().to_vec())
            }
        };
        Ok((outcome, old))
    }

    /// The value before an edit. Garbage that was overwritten is no reason to fail.
    fn previous(&self, outcome: Outcome, old: Option<Vec<u64>>) -> Option<Vec<u8>> {
        match outcome {
            Outcome::Replaced => old.and_then(|old| self.value_of(&old).ok()),
            _ => None,
        }
    }
}

/// Iterator over the entries of a segment, see [`ReadOnlyDynMap::iter`].
pub struct DynEntries<'a> {
    map: &'a ReadOnlyDynMap,
    walk: Walk,
    entries: Entries,
    taken: usize,
    done: bool,
}

impl DynEntries<'_> {
    /// How many buckets are done, of how many: for those who show progress.
    pub fn progress(&self) -> (u64, u64) {
        (self.walk.done(), self.map.shared.layout.counts.buckets)
    }
}

impl Iterator for DynEntries<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), DynError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.get(self.taken) {
                self.taken += 1;
                let (key, value) = entry.split_at(self.map.shape.key_words());
                let types = &self.map.types;
                let key = to_bytes(key, types.key.size());
                let entry = types
                    .judge(Part::Key, key)
                    .and_then(|()| Ok((key.to_vec(), self.map.value_of(value)?)));
                return Some(entry);
            }
            if self.done {
                return None;
            }
            self.taken = 0;
            match self.walk.advance(&self.map.table(), &mut self.entries) {
                Ok(more) => self.done = !more,
                Err(lost) => {
                    self.done = true;
                    return Some(Err(DynError::Iter(IterError::from(lost))));
                }
            }
        }
    }
}

impl<'a> IntoIterator for &'a ReadOnlyDynMap {
    type Item = Result<(Vec<u8>, Vec<u8>), DynError>;
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

impl fmt::Debug for ReadOnlyDynMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyDynMap").field(&self.shared).finish()
    }
}

impl fmt::Debug for DynMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynMap").field(&self.reader.shared).finish()
    }
}
