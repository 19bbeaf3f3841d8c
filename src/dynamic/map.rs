//! Operations on encoded bytes.
//!
//! The two untyped handles with all their calls, most of them a few lines: a long file, and no second idea.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::activity::{self, Activity, HeldLock};
use super::bytes::{to_bytes, to_words};
use super::error::DynError;
use super::types::Part;
use crate::cache::{self, CacheSettings, CacheStats, Expiry, Rules};
use crate::format::{Header, StoreKind};
use crate::liveness::{Participant, RegisterError};
use crate::protocol::bucket::Bucket;
use crate::protocol::dimensions::{Dimensions, Words};
use crate::protocol::shape::Shape;
use crate::protocol::table::{Edit, HashedKey, Lookup, Outcome, Table};
use crate::schema::Type;
use crate::segment::{Segment, SegmentError};
use crate::store::Store;
use crate::store::check::{self, CheckReport};
use crate::store::correct::{self, Corrections, Keys};
use crate::store::entry_types::EntryTypes;
use crate::store::error::{SweepError, WriteError};
use crate::store::recover::{self, RecoveryReport};
use crate::store::restart::{self, DropReason, SalvageReport, SyncOutcome};
use crate::store::stats::{MapStats, stats};
use crate::store::sweep::{clear, sweep};
use crate::sys::copy::Buffer;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::Deadline;

/// A segment of any types, opened for reading only. See [`DynMap`].
#[derive(Clone)]
pub struct ReadOnlyDynMap {
    pub(super) shared: Arc<Store>,
    pub(super) types: Arc<EntryTypes>,
    /// Those of a cache; none in a map.
    rules: Option<Rules>,
}

/// A segment of any types, whose keys and values are given and returned as encoded bytes.
///
/// The types are those that the segment declares ([`key_type`](ReadOnlyDynMap::key_type),
/// [`value_type`](ReadOnlyDynMap::value_type)); bytes are checked against them on the way in and
/// on the way out. All that is said about consistency, crashes and trust of a
/// [`Map`](crate::Map) holds here too. All reading methods are those of [`ReadOnlyDynMap`], to
/// which this type dereferences.
///
/// ```no_run
/// use shmkv::schema::Datum;
/// use shmkv::{DynMap, Map};
///
/// // A program with types:
/// let typed: Map<u64, [i32; 2]> = Map::builder().capacity(100).create("shm:steps")?;
/// typed.insert(7, [1, -1])?;
///
/// // A tool without:
/// let map = DynMap::builder().open("shm:steps")?;
/// let key = Datum::Int(7).encode(map.key_type())?;
/// let value = map.get(&key)?.expect("just inserted");
/// let value = Datum::decode(map.value_type(), &value)?;
/// assert_eq!(value, Datum::Array(vec![Datum::Int(1), Datum::Int(-1)]));
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
    pub(super) fn new(shared: Arc<Store>, types: Arc<EntryTypes>) -> Self {
        let is_cache = shared.layout.kind == StoreKind::Cache;
        let rules = is_cache.then(|| Rules::of(&shared));
        Self {
            shared,
            types,
            rules,
        }
    }

    /// The table, for what inserts nothing.
    /// The dimensions of its entries.
    pub(super) fn shape(&self) -> Dimensions<'static> {
        self.shared.layout.counts.dimensions()
    }

    pub(super) fn table(&self) -> Table<'_, Dimensions<'static>> {
        self.shared.table(self.shape())
    }

    /// Whether an entry counts, by the words behind its key. All of a map's do.
    pub(super) fn is_live(&self, words: &[u64]) -> bool {
        let rules = self.rules.as_ref();
        rules.is_none_or(|rules| rules.is_live(&self.shared, words))
    }

    /// How long a live entry has left; `None` if it has no end.
    pub(super) fn time_left(&self, words: &[u64]) -> Option<Duration> {
        self.rules.as_ref()?.time_left(&self.shared, words)
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
    pub fn kind(&self) -> StoreKind {
        self.shared.layout.kind
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// [`DynError::Unfit`] if `key` is no key of this segment, [`DynError::Invalid`] if what is
    /// stored is no value, [`DynError::Read`] if it could not be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        match self.find(key)? {
            Some(words) if self.is_live(&words) => self.value_of(&words).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the key is there. Does not look at the value.
    ///
    /// # Errors
    /// As [`get`](Self::get), but never `Invalid`.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool, DynError> {
        Ok(self.find(key)?.is_some_and(|words| self.is_live(&words)))
    }

    /// How long a key has left until it ends: `None` if it is not there, `Some(None)` if it has no
    /// end, as all entries of a map.
    ///
    /// # Errors
    /// As [`contains_key`](Self::contains_key).
    pub fn remaining_ttl(&self, key: &[u8]) -> Result<Option<Option<Duration>>, DynError> {
        let words = self.find(key)?.filter(|words| self.is_live(words));
        Ok(words.map(|words| self.time_left(&words)))
    }

    /// The words behind a key, if it is there.
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u64>>, DynError> {
        self.types.accept(Part::Key, key)?;
        let key = to_words(key);
        let table = self.table();
        let hash = table.hash_of(&key);
        let hashed = HashedKey { hash, words: &key };
        let mut buffer = Words::uninit(self.shape().value_words());
        let mut value = CopyBuf::new(buffer.words());
        let mut take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, &mut value);
        let lookup = match table.probe_primary(hashed, &mut take) {
            Some(lookup) => lookup,
            None => table.read_slow(hashed, &mut take),
        };
        let is_there = match lookup {
            Lookup::Hit => true,
            Lookup::Miss => false,
            Lookup::Contended => self
                .shared
                .read_contended(&table, hashed, &mut value)
                .map_err(DynError::Read)?,
        };
        Ok(is_there.then(|| value.words().to_vec()))
    }

    /// The value in the words of a slot behind its key, if it is one.
    pub(super) fn value_of(&self, words: &[u64]) -> Result<Vec<u8>, DynError> {
        let bytes = to_bytes(words, self.types.value.size());
        self.types.judge(Part::Value, bytes)?;
        Ok(bytes.to_vec())
    }

    /// How many entries there are: exact while nobody writes. Those of a cache that are out of date
    /// count until something takes their place. Reads one line of each bucket.
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

    /// How many entries are promised to fit into a map (more may), or there are in a cache at most.
    pub fn capacity(&self) -> usize {
        self.shared.layout.capacity as usize
    }

    /// How full the map is, bucket by bucket.
    pub fn stats(&self) -> MapStats {
        stats(&self.shared, self.shape())
    }

    /// The settings of a cache; `None` for a map.
    pub fn cache_settings(&self) -> Option<CacheSettings> {
        let is_cache = self.rules.is_some();
        is_cache.then(|| CacheSettings::of(&self.shared.layout))
    }

    /// What a cache has done so far; `None` for a map, which does not count.
    pub fn cache_stats(&self) -> Option<CacheStats> {
        let is_cache = self.rules.is_some();
        is_cache.then(|| cache::stats(&self.shared, self.len() as u64))
    }

    /// Compares the whole segment with what the protocol promises, as
    /// [`ReadOnlyMap::check`](crate::ReadOnlyMap::check) does. Whether each stored byte is a
    /// value of its type is found out by [`iter`](Self::iter).
    pub fn check(&self) -> CheckReport {
        check::check(&self.shared, self.shape())
    }

    /// The locks of these buckets, those that are held. Buckets that do not exist are passed over.
    pub fn locks_of(&self, buckets: &[u64]) -> Vec<HeldLock> {
        activity::locks_of(&self.shared, self.shape(), buckets)
    }

    /// What goes on, in one sample: see [`Activity`].
    pub fn activity(&self) -> Activity {
        activity::take(&self.shared, self.shape())
    }

    /// How many bytes of the segment are in memory at this moment, for whomever: shared memory
    /// that was swapped out does not count.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        self.shared.mapping.resident_bytes()
    }

    /// The processes that are registered as writers, live and dead.
    pub fn participants(&self) -> Vec<Participant> {
        self.shared.list()
    }

    /// What was kept, if the segment had to be looked over after a crash of the machine when this
    /// handle was opened: as [`ReadOnlyMap::salvage`](crate::ReadOnlyMap::salvage).
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

    /// Fails if the segment's name was removed, or names another segment now.
    pub fn ensure_current(&self) -> Result<(), SegmentError> {
        self.shared.ensure_current()
    }

    /// The file behind the segment. System V segments have none.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.fd()
    }
}

impl DynMap {
    pub(super) fn new(reader: ReadOnlyDynMap) -> Self {
        let map = Self { reader };
        if let Some(rules) = &map.rules
            && !rules.has_adopted_boot(&map.shared)
        {
            // As a typed cache does. If it cannot be done now, the next one will.
            let swept = sweep(&map.shared, map.shape(), |_, words| {
                rules.has_end(&map.shared, words)
            });
            if swept.is_ok() {
                rules.adopt_boot(&map.shared);
            }
        }
        map
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyDynMap {
        self.reader.clone()
    }

    /// Gives a key a value. Returns the previous one, if there was one (and it was valid). In a
    /// cache another entry is evicted if there is no room, and the cache's time to live begins.
    ///
    /// # Errors
    /// [`DynError::Unfit`] if the bytes are not of the segment's types; [`DynError::Write`], as
    /// for [`Map::insert`](crate::Map::insert).
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        self.put(key, value, Expiry::Default)
    }

    /// As [`insert`](Self::insert), with a time to live of its own.
    ///
    /// # Errors
    /// As `insert`, and [`DynError::NoTimes`] in a map.
    pub fn insert_with_ttl(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: Duration,
    ) -> Result<Option<Vec<u8>>, DynError> {
        match self.rules {
            Some(_) => self.put(key, value, Expiry::For(ttl)),
            None => Err(DynError::NoTimes),
        }
    }

    fn put(&self, key: &[u8], value: &[u8], until: Expiry) -> Result<Option<Vec<u8>>, DynError> {
        let mut new = self.new_words(value, until)?;
        let old = self.edit(key, &mut new, |_| Edit::Put)?;
        // Invalid bytes that were overwritten are no reason to fail.
        Ok(old.and_then(|old| self.value_of(&old).ok()))
    }

    /// Inserts an entry only if the key is absent; otherwise returns the value that is there.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), and [`DynError::Invalid`].
    pub fn try_insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, DynError> {
        let mut new = self.new_words(value, Expiry::Default)?;
        let old = self.edit(key, &mut new, |current| match current {
            Some(words) if self.is_live(words) => Edit::Keep,
            _ => Edit::Put,
        })?;
        old.map(|old| self.value_of(&old)).transpose()
    }

    /// Removes a key. Returns `None` if it was absent, otherwise its value, or why that was none.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`.
    pub fn remove(&self, key: &[u8]) -> Result<Option<Result<Vec<u8>, DynError>>, DynError> {
        let old = self.edit(key, &mut [], |_| Edit::Remove)?;
        Ok(old.map(|old| self.value_of(&old)))
    }

    /// An atomic read-modify-write, as [`Map::fetch_update`](crate::Map::fetch_update): `update`
    /// gets the value, or `None` if the key is absent, and returns the new one, or `None` to
    /// leave everything as it is. It runs without any lock, and again if another writer changed
    /// the value meanwhile. Returns what was there before. In a cache the entry ends when it would
    /// have expired.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); [`DynError::Invalid`];
    /// [`WriteError::Contended`] if others were always faster for the whole `lock_timeout`.
    pub fn fetch_update(
        &self,
        key: &[u8],
        mut update: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, DynError> {
        let waited = self.shared.lock_timeout;
        let mut deadline = Deadline::new(waited);
        let compared = match &self.rules {
            Some(rules) => rules.compared(),
            None => self.shape().value_words(),
        };
        let compared = |words: &[u64]| words.get(..compared).map(<[u64]>::to_vec);
        loop {
            let found = self.find(key)?;
            let live = found.as_deref().filter(|words| self.is_live(words));
            let current = live.map(|words| self.value_of(words)).transpose()?;
            let Some(value) = update(current.as_deref()) else {
                return Ok(current);
            };
            let until = match (live, &self.rules) {
                (Some(words), Some(rules)) => rules.as_before(words),
                _ => Expiry::Default,
            };
            let mut new = self.new_words(&value, until)?;
            let expected = found.as_deref().and_then(compared);
            let mut changed = false;
            self.edit(key, &mut new, |now| {
                changed = now.and_then(compared) != expected;
                if changed { Edit::Keep } else { Edit::Put }
            })?;
            if !changed {
                return Ok(current);
            }
            if deadline.passed() {
                return Err(WriteError::Contended { waited }.into());
            }
        }
    }

    /// Removes all entries; returns how many. Entries that are inserted meanwhile may stay.
    ///
    /// # Errors
    /// If the walk or a removal fails; what was removed until then is.
    pub fn clear(&self) -> Result<usize, SweepError> {
        let removed = clear(&self.shared, self.shape())?;
        if let Some(rules) = &self.rules {
            rules.count_removed(removed as u64);
        }
        Ok(removed)
    }

    /// Removes the entries that are no values of the segment's types; returns how many. No program
    /// that goes through a handle of this library puts any there.
    ///
    /// # Errors
    /// As [`clear`](Self::clear).
    pub fn remove_invalid(&self) -> Result<usize, SweepError> {
        let types = &self.types;
        sweep(&self.shared, self.shape(), |key, words| {
            match types.invalid_part(key, words) {
                None => false,
                // The value of a negative entry means nothing.
                Some(DropReason::InvalidValue) => !self
                    .rules
                    .as_ref()
                    .is_some_and(|rules| rules.is_negative(words)),
                Some(_) => true,
            }
        })
    }

    /// Writes everything to the disk, as [`Map::sync`](crate::Map::sync) does.
    ///
    /// # Errors
    /// If the kernel cannot.
    pub fn sync(&self) -> Result<SyncOutcome, SegmentError> {
        restart::sync(&self.shared)
    }

    /// Takes over, in all buckets, what provably dead processes hold, and frees their slots, as
    /// [`Map::recover`](crate::Map::recover) does.
    ///
    /// # Errors
    /// If this process cannot register as a writer.
    pub fn recover(&self) -> Result<RecoveryReport, RegisterError> {
        recover::recover(&self.shared, self.shape())
    }

    /// Puts right what follows from the keys and was overwritten: tags, and counts that are too low.
    /// Entries that these hid are found again. What is wrong with keys and values stays as it is:
    /// [`check`](ReadOnlyDynMap::check) tells it.
    ///
    /// A tag that does not fit its key may be wrong, or the key may: `keys` says what to take it for.
    ///
    /// # Errors
    /// If this process cannot register as a writer.
    pub fn correct(&self, keys: Keys) -> Result<Corrections, RegisterError> {
        correct::correct(&self.shared, self.shape(), keys)
    }

    /// As [`recover`](Self::recover), and takes writers for dead of whom nobody can tell whether they
    /// live ([`Liveness::Unknown`](crate::process::Liveness::Unknown)) and for which `is_dead` says so: the
    /// way out where an operator knows what no process can prove. Who is provably alive is not asked
    /// about. If one of the others lives, values are lost or mixed.
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn recover_assuming_dead(
        &self,
        is_dead: impl Fn(&Participant) -> bool,
    ) -> Result<RecoveryReport, RegisterError> {
        recover::recover_assuming_dead(&self.shared, self.shape(), is_dead)
    }

    /// The words of a new entry behind its key.
    fn new_words(&self, value: &[u8], until: Expiry) -> Result<Vec<u64>, DynError> {
        self.types.accept(Part::Value, value)?;
        let mut words = to_words(value);
        if let Some(rules) = &self.rules {
            rules.append_meta(&self.shared, until, &mut words);
        }
        Ok(words)
    }

    /// One edit of an entry under its lock; the words of the entry that was there before, if it
    /// counted.
    fn edit(
        &self,
        key: &[u8],
        new: &mut [u64],
        mut decide: impl FnMut(Option<&[u64]>) -> Edit,
    ) -> Result<Option<Vec<u64>>, DynError> {
        self.types.accept(Part::Key, key)?;
        let key = to_words(key);
        let rules = self.rules.as_ref();
        let replacement = rules.map(|rules| rules.replacement(&self.shared));
        let table = self
            .shared
            .table(self.shape().replacing(replacement.as_ref()));
        let mut buffer = Words::uninit(self.shape().value_words());
        let mut old = CopyBuf::new(buffer.words());
        let decide = |current: Option<&[u64]>, _: &mut [u64]| decide(current);
        let hashed = HashedKey {
            hash: table.hash_of(&key),
            words: &key,
        };
        let outcome = self
            .shared
            .edit_key(&table, hashed, &mut old, new, decide)?;
        let old = match outcome {
            Outcome::Inserted | Outcome::KeptAbsent => None,
            Outcome::Replaced | Outcome::Removed | Outcome::KeptPresent => {
                Some(old.words().to_vec()).filter(|words| self.is_live(words))
            }
        };
        if let (Some(rules), Some(replacement)) = (rules, &replacement) {
            rules.count(outcome, old.is_some(), replacement);
        }
        Ok(old)
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
