//! The typed map.

pub(crate) mod builder;
pub(crate) mod maintain;

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::Arc;

use crate::format::{Layout, SizeError};
use crate::map::builder::MapBuilder;
use crate::protocol::bucket::Bucket;
use crate::protocol::hash::{HashKind, Hashed};
use crate::protocol::shape::Shape;
use crate::protocol::shape::Typed;
use crate::protocol::table::{Edit, Lookup, Outcome, Probe, Table};
use crate::protocol::walk::{Entries, Steps, Walk};
use crate::schema::Schema;
use crate::segment::{Segment, SegmentError};
use crate::store::Shared;
use crate::store::error::{Exchange, IterError, ReadError, SweepError, TryInsert, WriteError};
use crate::store::restart::{self, Salvage, Synced};
use crate::sys::copy::Sink;
use crate::sys::sync::Deadline;
use crate::types::image::{Image, decode, same};
use crate::types::integer::Integer;
use crate::types::{Key, Value};

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
    shared: Arc<Shared>,
    types: PhantomData<fn(K) -> V>,
}

/// A typed map in a shared segment, used by many processes at once.
///
/// A handle is cheap to clone, may be used by many threads (`&self` everywhere), and goes on
/// working in the children of a `fork`. All reading methods are those of [`ReadOnlyMap`], to
/// which this type dereferences.
///
/// ```
/// use shmkv::Map;
///
/// # let name = format!("shm:doc-map-{}", std::process::id());
/// let map: Map<u64, f64> = Map::builder().capacity(1000).create(&*name)?;
/// map.insert(7, 0.5)?;
/// assert_eq!(map.get(&7)?, Some(0.5));
/// // Any other process: Map::<u64, f64>::builder().open("shm:…")?
/// # map.segment().remove()?;
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

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MapStats {
    /// Entries that are there.
    pub len: u64,
    /// Entries that were promised to fit.
    pub capacity: u64,
    /// Entries that fit if every bucket is filled to the last slot that can be in use.
    pub slots: u64,
    /// `len / slots`.
    pub load: f64,
    /// Bytes of the segment.
    pub bytes: u64,
    /// How many buckets hold 0, 1, … 16 entries.
    pub occupancy: [u64; 17],
    /// Entries that were displaced so far, since the creation of the segment.
    pub displaced: u64,
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
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            types: PhantomData,
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What all clones of the handle have in common, to outlive this one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn clone_shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    #[inline(always)]
    fn table(&self) -> Table<'_, Typed<K, V>> {
        self.shared.table(Typed::SHAPE)
    }

    /// The value of a key, if it is there.
    ///
    /// Costs one cache line of the bucket's header and the lines of the entry; one key in six or
    /// so lives in its second bucket and costs a second header. Pure loads: it stores nothing
    /// into the segment, makes no system call, takes no lock, and may be called in a signal
    /// handler. (Only if 256 looks in a row were each overtaken by a writer does a writable
    /// handle take the bucket's lock.)
    ///
    /// # Errors
    /// [`ReadError::InvalidValue`] if the stored bytes are not a `V` (a `bool` of 7, say);
    /// [`ReadError::Contended`], which is no miss, as told there.
    #[inline(always)]
    pub fn get(&self, key: &K) -> Result<Option<V>, ReadError> {
        match self.shared.quick_table(Typed::SHAPE) {
            Some(table) => self.get_from(table, key),
            None => self.get_unusual(key),
        }
    }

    /// `get` from a table whose hash function is not the usual one.
    #[cold]
    #[inline(never)]
    fn get_unusual(&self, key: &K) -> Result<Option<V>, ReadError> {
        self.get_from(self.table(), key)
    }

    #[inline(always)]
    fn get_from(&self, table: Table<'_, Typed<K, V>>, key: &K) -> Result<Option<V>, ReadError> {
        self.get_hashed(table, key, table.hash(key.as_bytes()))
    }

    #[inline(always)]
    fn get_hashed(
        &self,
        table: Table<'_, Typed<K, V>>,
        key: &K,
        hash: Hashed,
    ) -> Result<Option<V>, ReadError> {
        let mut key_image = Image::uninit();
        let mut image = Image::<V>::uninit();
        let mut value = image.sink();
        let words = &*key_image.write(key);
        let probe = Probe { hash, words };
        match table.glance(probe, |bucket, slot| bucket.load_value(slot, &mut value)) {
            Some(Lookup::Hit) => found(value.words()),
            Some(_) => Ok(None),
            None => self.get_elsewhere(key, hash),
        }
    }

    /// The rest of `get`, out of its caller's way: nothing of it is in the caller's registers.
    #[inline(never)]
    fn get_elsewhere(&self, key: &K, hash: Hashed) -> Result<Option<V>, ReadError> {
        let mut value_image = Image::<V>::uninit();
        let mut value = value_image.sink();
        if self.fetch_elsewhere(key, hash, &mut value)? {
            found(value.words())
        } else {
            Ok(None)
        }
    }

    /// Copies the value of a key that a glance has not found, if it is there.
    fn fetch_elsewhere(
        &self,
        key: &K,
        hash: Hashed,
        value: &mut Sink<'_>,
    ) -> Result<bool, ReadError> {
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let probe = Probe { hash, words };
        let take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, value);
        match self.table().read_elsewhere(probe, take) {
            Lookup::Hit => Ok(true),
            Lookup::Miss => Ok(false),
            Lookup::Contended => self.fetch_contended(probe, value),
        }
    }

    /// As [`get`](Self::get), into memory of the caller's. Says whether the key is there; if it is
    /// not, or on an error, `value` is as it was.
    #[inline]
    pub fn get_into(&self, key: &K, value: &mut V) -> Result<bool, ReadError> {
        match self.get(key)? {
            Some(found) => {
                *value = found;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether the key is there. Does not look at the value.
    ///
    /// # Errors
    /// [`ReadError::Contended`], as [`get`](Self::get).
    #[inline]
    pub fn contains_key(&self, key: &K) -> Result<bool, ReadError> {
        let mut key_image = Image::uninit();
        let table = self.table();
        let hash = table.hash(key.as_bytes());
        let words = &*key_image.write(key);
        match table.glance(Probe { hash, words }, |_, _| ()) {
            Some(lookup) => Ok(lookup == Lookup::Hit),
            None => self.contains_elsewhere(key, hash),
        }
    }

    #[inline(never)]
    fn contains_elsewhere(&self, key: &K, hash: Hashed) -> Result<bool, ReadError> {
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let probe = Probe { hash, words };
        match self.table().read_elsewhere(probe, |_, _| ()) {
            Lookup::Hit => Ok(true),
            Lookup::Miss => Ok(false),
            // Whether the value is valid is not the question.
            Lookup::Contended => self.fetch_contended(probe, &mut Image::<V>::uninit().sink()),
        }
    }

    /// The values of many keys: `values[i]` becomes that of `keys[i]`. Returns how many are there.
    ///
    /// The memory accesses of a batch overlap, so on a table that is larger than the caches this
    /// takes a fraction of the time of single gets. Each key is read for itself: together
    /// they are no snapshot.
    ///
    /// # Errors
    /// As [`get`](Self::get); the values up to the one that failed are set.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn get_many(&self, keys: &[K], values: &mut [Option<V>]) -> Result<usize, ReadError> {
        assert_eq!(
            keys.len(),
            values.len(),
            "get_many needs room for as many values as keys"
        );
        match self.shared.quick_table(Typed::SHAPE) {
            Some(table) => self.get_many_from(table, keys, values),
            None => self.get_many_from(self.table(), keys, values),
        }
    }

    #[inline(always)]
    fn get_many_from(
        &self,
        table: Table<'_, Typed<K, V>>,
        keys: &[K],
        values: &mut [Option<V>],
    ) -> Result<usize, ReadError> {
        let mut found = 0;
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks_mut(BATCH)) {
            let mut hashes = [Hashed(0); BATCH];
            for (key, hash) in keys.iter().zip(&mut hashes) {
                *hash = table.hash(key.as_bytes());
                table.prefetch(*hash);
            }
            for hash in &hashes[..keys.len()] {
                table.prefetch_slot(*hash);
            }
            for ((key, value), hash) in keys.iter().zip(values).zip(hashes) {
                *value = self.get_hashed(table, key, hash)?;
                found += usize::from(value.is_some());
            }
        }
        Ok(found)
    }

    #[cold]
    #[inline(never)]
    fn fetch_contended(&self, probe: Probe<'_>, value: &mut Sink<'_>) -> Result<bool, ReadError> {
        self.shared.read_contended(&self.table(), probe, value)
    }

    /// All entries, in no particular order.
    ///
    /// Each entry is whole. One that is there, and not written, during the whole iteration is
    /// yielded exactly once, also when an insertion of another key moves it meanwhile. One
    /// that is inserted, updated or removed meanwhile is yielded with its old or its new value, or
    /// (if it was not there all the time) perhaps not at all. Nothing is locked.
    ///
    /// An iterator that is overtaken by so many displacements that it can keep no track of them
    /// (they happen in an almost full map only; a thousand of them while it stands at one
    /// bucket) ends with [`IterError::Lapped`] and does not guess. One gap is known: a writer
    /// that was stopped in the middle of a displacement, then overtaken by 64 others before the
    /// iteration began, and goes on during it, may hide or double the one entry it moves.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            map: self,
            steps: Steps::new(&self.table()),
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

    /// How many entries there are: exact while nobody writes. Counts the buckets' entries, so
    /// it reads one line of each bucket.
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
        // A validated layout has no more entries than fit into an address space.
        self.shared.layout.capacity as usize
    }

    /// How full the map is, bucket by bucket.
    pub fn stats(&self) -> MapStats {
        stats(&self.shared, Typed::<K, V>::SHAPE)
    }

    /// What was kept, and what was dropped, of a segment that was in use when the machine
    /// crashed, if it was this handle's opening that looked it over (see
    /// [`AfterMachineCrash`](crate::AfterMachineCrash)).
    pub fn salvage(&self) -> Option<&Salvage> {
        self.shared.salvage.get()
    }

    /// The segment, by a name under which it can be opened and removed.
    pub fn segment(&self) -> &Segment {
        &self.shared.segment
    }

    /// The checked description of the segment.
    pub fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// Fails if the segment's name was removed, or names another segment now: this handle still
    /// works, but whoever opens the name gets something else.
    pub fn is_current(&self) -> Result<(), SegmentError> {
        self.shared.segment.is_current(self.shared.identity)
    }

    /// The file behind the segment: to be inherited or sent (see [`crate::segment`]). System V
    /// segments have none.
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.shared.as_fd()
    }
}

/// Keys whose memory accesses overlap in `get_many`.
const BATCH: usize = 16;

impl<K: Key, V: Value> Map<K, V> {
    /// Starts to create or open a map.
    pub fn builder() -> MapBuilder<K, V> {
        MapBuilder::new()
    }

    /// Bytes of a segment that promises room for `capacity` entries, with the default number of
    /// writers.
    pub fn size_for(capacity: usize) -> Result<u64, SizeError>
    where
        K: Schema,
    {
        Self::builder().capacity(capacity).size()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            reader: ReadOnlyMap::new(shared),
        }
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyMap<K, V> {
        self.reader.clone()
    }

    /// Writes a `file:` segment to the disk, and returns when it is there. If nobody writes
    /// meanwhile, it is also sealed: unless somebody writes afterwards, it is opened again after
    /// a crash of the machine as it is.
    ///
    /// Reads all entries, for a digest of them. Others may read and write meanwhile (which costs
    /// the seal, see [`Synced::InUse`]). Locks of dead processes are released before.
    ///
    /// The last writer of a segment does the same when its last handle is dropped, unless
    /// [`sync_on_close`](MapBuilder::sync_on_close) says no; calling it before tells of errors.
    ///
    /// # Errors
    /// What the kernel says about the disk.
    pub fn sync(&self) -> Result<Synced, SegmentError> {
        let shared = self.shared();
        // The lock of a dead process hides whether it was about to move an entry. If they cannot
        // be released (no slot is free), the segment is not sealed.
        let _ = self.recover();
        restart::sync(shared)
    }

    /// Runs one edit of an entry, in its bucket and under its lock.
    #[inline(always)]
    fn edit(
        &self,
        key: &K,
        decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut Sink<'_>,
    ) -> Result<Outcome, WriteError> {
        let mut key_image = Image::uninit();
        let table = self.reader.table();
        let hash = table.hash(key.as_bytes());
        let words = &*key_image.write(key);
        let probe = Probe { hash, words };
        self.reader.shared.edit_key(&table, probe, old, new, decide)
    }

    /// The short way of an edit, as [`Table::edit_at_home`], in a map with the usual hash function and
    /// by a process that is registered. `None`: nothing has been done.
    ///
    /// Whoever tries this goes the [long way](Self::edit_elsewhere) in a call of its own, which
    /// shares no memory with this one: so all of it is in registers here.
    #[inline(always)]
    fn edit_at_home(
        &self,
        key: &K,
        mut decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut Sink<'_>,
    ) -> Option<Outcome> {
        let shared = &self.reader.shared;
        let table = shared.quick_table(Typed::<K, V>::SHAPE)?;
        let token = shared.current_token()?;
        let mut key_image = Image::uninit();
        let probe = Probe {
            hash: table.hash(key.as_bytes()),
            words: key_image.write(key),
        };
        table.edit_at_home(token, probe, old, new, &mut decide)
    }

    /// The long way of an edit, wherever the key is.
    #[inline(always)]
    fn edit_elsewhere(
        &self,
        key: &K,
        mut decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut Sink<'_>,
    ) -> Result<Outcome, WriteError> {
        let shared = &self.reader.shared;
        let table = self.reader.table();
        let mut key_image = Image::uninit();
        let probe = Probe {
            hash: table.hash(key.as_bytes()),
            words: key_image.write(key),
        };
        match shared.layout.hash {
            HashKind::Rapid => shared.edit(&table, shared.token()?, probe, old, new, &mut decide),
            // The short way was not tried yet.
            HashKind::Sip => shared.edit_key(&table, probe, old, new, decide),
        }
    }

    /// The value that was there before an edit.
    #[inline(always)]
    fn previous(outcome: Outcome, old: &Sink<'_>) -> Result<Option<V>, WriteError> {
        match outcome {
            Outcome::Inserted | Outcome::KeptAbsent => Ok(None),
            Outcome::Replaced | Outcome::Removed | Outcome::KeptPresent => {
                // Garbage that was overwritten or removed is no reason to fail.
                match decode::<V>(old.words()) {
                    Some(value) if value.is_valid() => Ok(Some(*value)),
                    _ => Ok(None),
                }
            }
        }
    }

    /// Gives a key a value and returns the previous one, if there was one (and it was valid).
    ///
    /// # Errors
    /// [`WriteError::Full`], never below the promised capacity; [`WriteError::Busy`];
    /// [`WriteError::Register`] at the first write of a process.
    #[inline(always)]
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, WriteError> {
        let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
        let mut old = old.sink();
        match self.edit_at_home(&key, |_, _| Edit::Put, new.write(&value), &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.insert_elsewhere(&{ key }, &{ value }),
        }
    }

    #[inline(never)]
    fn insert_elsewhere(&self, key: &K, value: &V) -> Result<Option<V>, WriteError> {
        let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
        let mut old = old.sink();
        let outcome = self.edit_elsewhere(key, |_, _| Edit::Put, new.write(value), &mut old)?;
        Self::previous(outcome, &old)
    }

    /// Inserts many entries, as [`insert`](Self::insert) would one after the other, with
    /// overlapping memory accesses. Returns how many keys are new.
    ///
    /// # Errors
    /// As `insert`; the entries before the one that failed are in the map.
    pub fn insert_many(&self, entries: &[(K, V)]) -> Result<usize, WriteError> {
        let table = self.reader.table();
        let mut inserted = 0;
        for entries in entries.chunks(BATCH) {
            for (key, _) in entries {
                table.prefetch(table.hash_of(Image::uninit().write(key)));
            }
            for (key, value) in entries {
                let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
                let put = |_: Option<&[u64]>, _: &mut [u64]| Edit::Put;
                let outcome = self.edit(key, put, new.write(value), &mut old.sink())?;
                inserted += usize::from(outcome == Outcome::Inserted);
            }
        }
        Ok(inserted)
    }

    /// Inserts an entry only if the key is absent. Of several processes that try at once, exactly
    /// one is told [`TryInsert::Inserted`].
    ///
    /// # Errors
    /// As [`insert`](Self::insert), and [`WriteError::InvalidValue`] if garbage is there.
    #[inline]
    pub fn try_insert(&self, key: K, value: V) -> Result<TryInsert<V>, WriteError> {
        let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
        let mut old = old.sink();
        let unless_there = |current: Option<&[u64]>, _: &mut [u64]| match current {
            Some(_) => Edit::Keep,
            None => Edit::Put,
        };
        let outcome = self.edit(&key, unless_there, new.write(&value), &mut old)?;
        match outcome {
            Outcome::Inserted => Ok(TryInsert::Inserted),
            _ => Ok(TryInsert::Occupied(decoded(old.words())?)),
        }
    }

    /// Removes a key and returns its value, if it was there (and valid).
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`.
    #[inline(always)]
    pub fn remove(&self, key: &K) -> Result<Option<V>, WriteError> {
        let mut old = Image::<V>::uninit();
        let mut old = old.sink();
        match self.edit_at_home(key, |_, _| Edit::Remove, &mut [], &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.remove_elsewhere(key),
        }
    }

    #[inline(never)]
    fn remove_elsewhere(&self, key: &K) -> Result<Option<V>, WriteError> {
        let mut old = Image::<V>::uninit();
        let mut old = old.sink();
        let outcome = self.edit_elsewhere(key, |_, _| Edit::Remove, &mut [], &mut old)?;
        Self::previous(outcome, &old)
    }

    /// Removes a key if `condition` holds for its value; returns the value that was removed.
    ///
    /// The condition runs without any lock and is asked again if the value changed meanwhile, so
    /// the value that is removed is one for which it held.
    ///
    /// # Errors
    /// As [`fetch_update`](Self::fetch_update).
    pub fn remove_if(
        &self,
        key: &K,
        mut condition: impl FnMut(&V) -> bool,
    ) -> Result<Option<V>, WriteError> {
        self.transform(key, |current| match current {
            Some(value) if condition(&value) => Change::Remove,
            _ => Change::Keep,
        })
        .map(|(changed, old)| old.filter(|_| changed))
    }

    /// Replaces the value of a key by what `update` makes of it. Returns the previous value, or
    /// `None` if the key is absent, which it stays.
    ///
    /// # Errors
    /// As [`fetch_update`](Self::fetch_update).
    pub fn update(&self, key: &K, mut update: impl FnMut(V) -> V) -> Result<Option<V>, WriteError> {
        self.transform(key, |current| {
            current.map_or(Change::Keep, |value| Change::Put(update(value)))
        })
        .map(|(_, old)| old)
    }

    /// An atomic read-modify-write: `update` gets the value, or `None` if the key is absent, and
    /// returns the new one, or `None` to leave everything as it is. Returns what was there before.
    ///
    /// `update` runs without any lock, so it may take its time, may panic and may use the map.
    /// It runs again if another writer changed the value meanwhile.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); [`WriteError::InvalidValue`] if garbage is there;
    /// [`WriteError::Contended`] if others were always faster for the whole `lock_timeout`.
    pub fn fetch_update(
        &self,
        key: &K,
        mut update: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<Option<V>, WriteError> {
        self.transform(key, |current| {
            update(current).map_or(Change::Keep, Change::Put)
        })
        .map(|(_, old)| old)
    }

    /// Reads, asks what to do, and does it if nothing has changed meanwhile; says whether
    /// anything was done, and what was there.
    fn transform(
        &self,
        key: &K,
        mut decide: impl FnMut(Option<V>) -> Change<V>,
    ) -> Result<(bool, Option<V>), WriteError> {
        let waited = self.reader.shared.lock_timeout;
        let mut deadline = Deadline::new(waited);
        loop {
            let current = self.get(key)?;
            let (edit, value) = match decide(current) {
                Change::Keep => return Ok((false, current)),
                Change::Put(value) => (Edit::Put, Some(value)),
                Change::Remove => (Edit::Remove, None),
            };
            let mut expected = Image::uninit();
            let expected = current.as_ref().map(|value| &*expected.write(value));
            let mut changed = false;
            let if_unchanged = |now: Option<&[u64]>, _: &mut [u64]| {
                // By its bytes and not by any version: a value that is written in place, or
                // removed and inserted again, has the same meaning if it has the same bytes.
                changed = match (now, expected) {
                    (Some(now), Some(expected)) => !same::<V>(now, expected),
                    (None, None) => false,
                    _ => true,
                };
                if changed { Edit::Keep } else { edit }
            };
            let mut new = Image::uninit();
            let new = value
                .as_ref()
                .map(|value| new.write(value))
                .unwrap_or_default();
            let mut old = Image::<V>::uninit();
            let _ = self.edit(key, if_unchanged, new, &mut old.sink())?;
            if !changed {
                return Ok((true, current));
            }
            if deadline.passed() {
                return Err(WriteError::Contended { waited });
            }
        }
    }

    /// Replaces the value of a key by `new` if it is `expected`, by its bytes.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`; [`WriteError::InvalidValue`] if garbage is there.
    pub fn compare_exchange(
        &self,
        key: &K,
        expected: &V,
        new: V,
    ) -> Result<Exchange<V>, WriteError> {
        let (mut expected_image, mut new_image) = (Image::uninit(), Image::uninit());
        let expected = &*expected_image.write(expected);
        let mut equal = false;
        let if_equal = |current: Option<&[u64]>, _: &mut [u64]| {
            equal = current.is_some_and(|current| same::<V>(current, expected));
            if equal { Edit::Put } else { Edit::Keep }
        };
        let mut old = Image::<V>::uninit();
        let mut old = old.sink();
        let outcome = self.edit(key, if_equal, new_image.write(&new), &mut old)?;
        match outcome {
            _ if equal => Ok(Exchange::Done),
            Outcome::KeptAbsent => Ok(Exchange::Absent),
            _ => Ok(Exchange::Differs(decoded(old.words())?)),
        }
    }

    /// Adds to an integer and returns the previous value; a key that is absent is inserted with
    /// `delta` (and `None` is returned). Wraps around at the ends of the type.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    #[inline]
    pub fn fetch_add(&self, key: &K, delta: V) -> Result<Option<V>, WriteError>
    where
        V: Integer,
    {
        let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
        let mut old = old.sink();
        match self.edit_at_home(key, Self::adding(delta), new.write(&delta), &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.fetch_add_elsewhere(key, delta),
        }
    }

    #[inline(never)]
    fn fetch_add_elsewhere(&self, key: &K, delta: V) -> Result<Option<V>, WriteError>
    where
        V: Integer,
    {
        let (mut new, mut old) = (Image::uninit(), Image::<V>::uninit());
        let mut old = old.sink();
        let outcome = self.edit_elsewhere(key, Self::adding(delta), new.write(&delta), &mut old)?;
        Self::previous(outcome, &old)
    }

    /// The decision to store a sum.
    #[inline(always)]
    fn adding(delta: V) -> impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit
    where
        V: Integer,
    {
        move |current, new| {
            let sum = match current.and_then(decode::<V>) {
                Some(value) => value.wrapping_add(delta),
                None => delta,
            };
            new.copy_from_slice(Image::uninit().write(&sum));
            Edit::Put
        }
    }

    /// Removes the entries for which `keep` says no; returns how many. Entries that come or
    /// change meanwhile are judged by a value they have, or not at all, as with
    /// [`iter`](ReadOnlyMap::iter). `keep` runs without any lock.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> Result<usize, SweepError> {
        let mut removed = 0;
        for entry in self.iter() {
            let (key, value) = entry?;
            if !keep(&key, &value) {
                let judged = self.remove_if(&key, |value| !keep(&key, value))?;
                removed += usize::from(judged.is_some());
            }
        }
        Ok(removed)
    }

    /// Removes all entries; returns how many. Entries that are inserted meanwhile may stay.
    pub fn clear(&self) -> Result<usize, SweepError> {
        clear(&self.reader.shared, Typed::<K, V>::SHAPE)
    }
}

/// [`ReadOnlyMap::stats`], for entries of any shape.
pub(crate) fn stats<S: Shape>(shared: &Shared, shape: S) -> MapStats {
    let table = shared.table(shape);
    let mut occupancy = [0; 17];
    let mut len = 0;
    for index in 0..table.buckets() {
        let entries = table.bucket(index).begin().occupied().len();
        occupancy[entries as usize] += 1;
        len += u64::from(entries);
    }
    let slots = table.buckets() * u64::from(shared.layout.counts.usable());
    MapStats {
        len,
        capacity: shared.layout.capacity,
        slots,
        load: len as f64 / slots as f64,
        bytes: shared.layout.places.end as u64 * 8,
        occupancy,
        displaced: table.moves().head(),
    }
}

/// [`Map::clear`], for entries of any shape.
pub(crate) fn clear<S: Shape>(shared: &Shared, shape: S) -> Result<usize, SweepError> {
    sweep(shared, shape, |_, _| true)
}

/// Removes the entries of which `is_unwanted` says so, by the words of key and value, when they
/// are met and again under their lock; returns how many.
pub(crate) fn sweep<S: Shape>(
    shared: &Shared,
    shape: S,
    is_unwanted: impl Fn(&[u64], &[u64]) -> bool,
) -> Result<usize, SweepError> {
    let table = shared.table(shape);
    let mut walk = Walk::new(&table);
    let mut entries = Entries::default();
    let mut old = vec![MaybeUninit::uninit(); shape.value_words()];
    let mut removed = 0;
    while walk
        .advance(&table, &mut entries)
        .map_err(IterError::from)?
    {
        for entry in entries.iter() {
            // By the stored words: a key that is no valid one is removed as well.
            let (words, value) = entry.split_at(shape.key_words());
            if !is_unwanted(words, value) {
                continue;
            }
            let probe = Probe {
                hash: table.hash_of(words),
                words,
            };
            let mut remove = |current: Option<&[u64]>, _: &mut [u64]| match current {
                Some(value) if is_unwanted(words, value) => Edit::Remove,
                _ => Edit::Keep,
            };
            let token = shared.token()?;
            let mut old = Sink::new(&mut old);
            let outcome = shared.edit(&table, token, probe, &mut old, &mut [], &mut remove)?;
            removed += usize::from(outcome == Outcome::Removed);
        }
    }
    Ok(removed)
}

/// What a transformation wants.
enum Change<V> {
    Keep,
    Put(V),
    Remove,
}

/// A value from the words that are stored, if they are one.
#[inline(always)]
pub(crate) fn decoded<V: Value>(words: &[u64]) -> Result<V, ReadError> {
    match decode::<V>(words) {
        Some(value) if value.is_valid() => Ok(*value),
        _ => Err(ReadError::InvalidValue),
    }
}

/// The same as the answer of a `get`. Not made of the other, from which the value would be copied
/// once more, in pieces that a processor waits for.
#[inline(always)]
pub(crate) fn found<V: Value>(words: &[u64]) -> Result<Option<V>, ReadError> {
    match decode::<V>(words) {
        Some(value) if value.is_valid() => Ok(Some(*value)),
        _ => Err(ReadError::InvalidValue),
    }
}

/// Iterator over the entries of a map, see [`ReadOnlyMap::iter`].
pub struct Iter<'a, K, V> {
    map: &'a ReadOnlyMap<K, V>,
    steps: Steps,
}

impl<K: Key, V: Value> Iterator for Iter<'_, K, V> {
    type Item = Result<(K, V), IterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let words = match self.steps.next(|| self.map.table())? {
            Ok(words) => words,
            Err(lost) => return Some(Err(lost.into())),
        };
        let (key, value) = words.split_at(Image::<K>::WORDS);
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
