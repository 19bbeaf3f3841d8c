//! The typed cache: a table that forgets.
//!
//! Buckets, slots, publication and locks are those of the map ([`crate::table`]). What a cache adds:
//!
//! | what | where |
//! |------|-------|
//! | an insertion into full buckets replaces an entry | [`crate::evict`], [`crate::policy`] |
//! | metadata behind each value: deadline, epoch, "there is none" | [`crate::entry`], [`crate::clock`] |
//! | loading once | [`load`], [`crate::lease`] |
//! | counters | [`crate::statistics`] |
//! | walking, sweeping, invalidating | [`sweep`] |
//! | looking it over | [`upkeep`] |
//!
//! Three words of the segment's shared part belong to it:
//!
//! ```text
//! word 16   epoch   raised by `invalidate_all`; entries of other epochs are out of date
//! word 17   boot    digest of the boot id under which the deadlines in the segment were made
//! word 18   timed   1 once an entry was given a deadline that is not a setting of the cache's
//! ```

mod builder;
mod load;
mod rules;
mod stats;
mod sweep;
mod upkeep;

#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::bucket::{Bucket, Slot};
use crate::clock::Clock;
use crate::copy::Sink;
use crate::entry::Meta;
use crate::error::{OpenError, ReadError, WriteError};
use crate::evict::{Replaced, Replacement};
use crate::hash::Hashed;
use crate::image::{Annotated, Cached, Image, MetaWords, One, Two};
use crate::layout::{CacheFields, Layout, SizeError};
use crate::map::decoded;
use crate::restart::boot_id;
use crate::schema::Schema;
use crate::segment::{Segment, SegmentError};
use crate::shared::Shared;
use crate::statistics::{Counter, Recorder};
use crate::sync::{AtomicU64, Ordering};
use crate::table::{Edit, Lookup, Outcome, Probe, Table};
use crate::types::{Key, Value};

pub use self::builder::CacheBuilder;
use self::builder::Listener;
pub use self::load::LoadError;
pub use self::rules::CacheSettings;
pub(crate) use self::rules::{Rules, Until};
pub use self::stats::CacheStats;
pub(crate) use self::stats::stats;
pub use self::sweep::CacheIter;

/// Words of the shared part.
const EPOCH: usize = 24;
const BOOT: usize = 25;
const TIMED: usize = 26;
/// All of them.
pub(crate) const SHARED_WORDS: std::ops::Range<usize> = EPOCH..TIMED + 1;

/// Why an entry went; see [`CacheBuilder::eviction_listener`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalCause {
    /// It gave way to another key.
    Size,
    /// It was past its time, or had been invalidated.
    Expired,
    /// It was removed by its key.
    Explicit,
    /// Its key got another value.
    Replaced,
}

/// A cache in a shared segment, opened for reading only.
///
/// It stands on a mapping without write permission, needs no more than permission to read the
/// segment, registers nowhere, is not counted, and keeps no entry from going: its hits leave no
/// trace. Otherwise it is read like a [`Cache`].
pub struct ReadOnlyCache<K, V> {
    shared: Arc<Shared>,
    clock: Clock,
    /// The digest of the current boot.
    boot: u64,
    types: PhantomData<fn(K) -> V>,
}

/// A typed cache in a shared segment, used by many processes at once.
///
/// It is a [`Map`](crate::Map) that forgets: an insertion always finds room, since an entry that is
/// out of date, or is asked for little, gives way. The guarantees of the map hold: hits are
/// whole, nobody waits for a dead or stopped process, nothing in the segment is trusted.
///
/// ```
/// use shmkv::Cache;
/// use std::time::Duration;
///
/// # let name = format!("shm:doc-cache-{}", std::process::id());
/// let squares: Cache<u64, u64> = Cache::builder()
///     .max_capacity(1000)
///     .time_to_live(Duration::from_secs(60))
///     .open_or_create(&*name)?;
/// // Of all threads and processes that ask at once, one computes.
/// let square = squares.get_or_insert_with(&12, || 12 * 12)?;
/// assert_eq!(square, 144);
/// assert_eq!(squares.get(&12)?, Some(144));
/// # squares.segment().remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Time
///
/// An entry ends for all processes alike, by the monotonic clock of the machine: not before its
/// time, and at most one [`tick`](ReadOnlyCache::tick) after it. Steps of the wall clock change nothing;
/// while the machine is suspended no time passes; after a reboot, entries of a `file:` segment that
/// had a limit have ended. Processes in other time namespaces see the same. Hits and insertions
/// of a cache without limits never read a clock.
///
/// # Hits
///
/// A hit may leave a trace in the segment, for the policy and the statistics: at most a store
/// without a lock each, never a wait. The first hit registers this process as a participant, if
/// there is room for one more; if not, hits are as good. So unlike a map's, a
/// cache's [`get`](Self::get) is not for signal handlers, except through a read-only handle.
pub struct Cache<K, V> {
    reader: ReadOnlyCache<K, V>,
    recorder: Recorder,
    load_timeout: Duration,
    listener: Option<Listener<K, V>>,
}

/// What belongs to a handle and not to the segment.
struct Local<K, V> {
    counts: bool,
    load_timeout: Duration,
    listener: Option<Listener<K, V>>,
}

impl<K, V> Clone for ReadOnlyCache<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            clock: self.clock.clone(),
            boot: self.boot,
            types: PhantomData,
        }
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            recorder: self.recorder,
            load_timeout: self.load_timeout,
            listener: self.listener.clone(),
        }
    }
}

impl<K, V> Deref for Cache<K, V> {
    type Target = ReadOnlyCache<K, V>;

    #[inline(always)]
    fn deref(&self) -> &ReadOnlyCache<K, V> {
        &self.reader
    }
}

impl<K, V> fmt::Debug for ReadOnlyCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyCache").field(&self.shared).finish()
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.reader.shared).finish()
    }
}

/// What is known of an entry whose words were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It counts.
    Live,
    /// It is past its time, since so many milliseconds.
    Ended(u64),
    /// It was invalidated.
    Void,
}

/// What a look at an entry tells whoever asked for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Its value.
    Value,
    /// That it is known that there is none.
    ThereIsNone,
    /// Nothing: it does not count any more.
    Unknown,
}

impl Answer {
    #[inline(always)]
    fn new(meta: Meta, standing: Standing) -> Self {
        match standing {
            Standing::Live if meta.is_negative() => Self::ThereIsNone,
            Standing::Live => Self::Value,
            Standing::Ended(_) | Standing::Void => Self::Unknown,
        }
    }
}

/// Where an entry was found, if that is known.
type Place<'a, 'r, K, V, M> = Option<(Bucket<'a, Cached<'r, K, V, M>>, Slot)>;

#[cfg(fuzzing)]
impl<K, V> ReadOnlyCache<K, V> {
    /// What all clones of the handle have in common, to outlive this one.
    pub(crate) fn clone_shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl<K: Key, V: Value> ReadOnlyCache<K, V> {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            clock: Clock::of_this_process(),
            boot: boot_digest(),
            types: PhantomData,
        }
    }

    #[inline(always)]
    fn fields(&self) -> &CacheFields {
        &self.shared.layout.cache
    }

    /// One of the words that belong to a cache.
    #[inline(always)]
    fn word(&self, word: usize) -> &AtomicU64 {
        &self.shared.mapping.shared()[word]
    }

    #[inline(always)]
    fn epoch(&self) -> u64 {
        self.word(EPOCH).load(Ordering::Relaxed)
    }

    /// Words behind a value.
    #[inline(always)]
    fn meta_words(&self) -> usize {
        self.fields().meta_words() as usize
    }

    /// The table, for what inserts nothing.
    #[inline(always)]
    fn table<M: MetaWords>(&self, meta: M) -> Table<'_, Cached<'static, K, V, M>> {
        self.shared.table(Cached::new(meta))
    }

    /// Judges an entry by its words, value first. Reads the clock only if the entry has an end.
    fn standing(&self, words: &[u64]) -> Standing {
        let meta = &words[Image::<V>::WORDS..];
        let (word, accessed) = (Meta(meta[0]), meta.get(1).copied().unwrap_or(0));
        if word.end(accessed, self.fields().time_to_idle) == 0 {
            return self.standing_at(0, word, accessed);
        }
        self.standing_at(self.clock.now(), word, accessed)
    }

    /// The same by a time that is known, which does not matter if the entry has no end.
    #[inline]
    fn standing_at(&self, now: u64, word: Meta, accessed: u64) -> Standing {
        if !word.is_of(self.epoch()) {
            return Standing::Void;
        }
        let end = word.end(accessed, self.fields().time_to_idle);
        if end == 0 {
            return Standing::Live;
        }
        if self.word(BOOT).load(Ordering::Relaxed) != self.boot {
            return Standing::Void; // By a clock that is gone.
        }
        match now.checked_sub(end) {
            None => Standing::Live,
            Some(since) => Standing::Ended(since),
        }
    }

    /// What an entry says to whoever asks, by its words, value first.
    #[inline(always)]
    fn answer_of(&self, words: &[u64]) -> Answer {
        let meta = &words[Image::<V>::WORDS..];
        let word = Meta(meta[0]);
        match meta.get(1) {
            None if word.says_nothing_but(self.epoch()) => Answer::Value,
            None => self.answer_by(word),
            Some(_) => Answer::new(word, self.standing(words)),
        }
    }

    /// The same where one word of metadata has something to say. Not part of its callers, which
    /// need none of its registers where that has not.
    #[inline(never)]
    fn answer_by(&self, word: Meta) -> Answer {
        let now = match word.deadline() {
            0 => 0,
            _ => self.clock.now(),
        };
        Answer::new(word, self.standing_at(now, word, 0))
    }

    fn hash(&self, key: &K) -> Hashed {
        self.shared.hasher().hash(key.as_bytes())
    }

    /// Copies the words of an entry, if the key is there, whatever its standing.
    fn find<'s, M: MetaWords>(
        &'s self,
        key: &K,
        meta: M,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Place<'s, 'static, K, V, M>>, ReadError> {
        let table = self.table(meta);
        let hash = table.hash(key.as_bytes());
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, sink);
            place = Some((bucket, slot));
        };
        match table.glance(Probe { hash, words }, take) {
            Some(Lookup::Hit) => Ok(Some(place)),
            Some(_) => Ok(None),
            None => self.find_elsewhere(key, hash, meta, sink),
        }
    }

    /// The rest of `find`: what follows a glance that did not do.
    #[inline(never)]
    fn find_elsewhere<'s, M: MetaWords>(
        &'s self,
        key: &K,
        hash: Hashed,
        meta: M,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Place<'s, 'static, K, V, M>>, ReadError> {
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let probe = Probe { hash, words };
        let table = self.table(meta);
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, sink);
            place = Some((bucket, slot));
        };
        match table.read_elsewhere(probe, take) {
            Lookup::Hit => Ok(Some(place)),
            Lookup::Miss => Ok(None),
            Lookup::Contended => {
                let found = self.shared.read_contended(&table, probe, sink)?;
                Ok(found.then_some(None))
            }
        }
    }

    /// The value of a key, if it is there and has not ended.
    ///
    /// # Errors
    /// [`ReadError::InvalidValue`] if the stored bytes are not a `V`; [`ReadError::Contended`],
    /// which is no miss, as told there.
    #[inline(always)]
    pub fn get(&self, key: &K) -> Result<Option<V>, ReadError> {
        // Whether there is one word behind each value is part of the same question.
        match self.shared.quick_table(Cached::new(One)) {
            Some(table) => self.get_from(table, key, One),
            None => self.get_unusual(key),
        }
    }

    /// `get` where entries have to be asked for to stay, or another hash function was chosen.
    #[inline(never)]
    fn get_unusual(&self, key: &K) -> Result<Option<V>, ReadError> {
        if let Some(table) = self.shared.quick_table(Cached::new(Two)) {
            return self.get_from(table, key, Two);
        }
        match self.meta_words() {
            1 => self.get_from(self.table(One), key, One),
            _ => self.get_from(self.table(Two), key, Two),
        }
    }

    #[inline(always)]
    fn get_from<M: MetaWords>(
        &self,
        table: Table<'_, Cached<'_, K, V, M>>,
        key: &K,
        meta: M,
    ) -> Result<Option<V>, ReadError> {
        let hash = table.hash(key.as_bytes());
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let mut room = Annotated::<V>::uninit();
        let mut sink = room.sink(meta.count());
        let take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, &mut sink);
        match table.glance(Probe { hash, words }, take) {
            Some(Lookup::Hit) => self.live_value(sink.words()),
            Some(_) => Ok(None),
            None => self.get_elsewhere(key, hash, meta),
        }
    }

    /// The rest of `get_as`, out of its caller's way, which shares no memory with it: what one
    /// copies into is in registers then.
    #[inline(never)]
    fn get_elsewhere<M: MetaWords>(
        &self,
        key: &K,
        hash: Hashed,
        meta: M,
    ) -> Result<Option<V>, ReadError> {
        let mut room = Annotated::<V>::uninit();
        let mut sink = room.sink(meta.count());
        match self.find_elsewhere(key, hash, meta, &mut sink)? {
            Some(_) => self.live_value(sink.words()),
            None => Ok(None),
        }
    }

    /// The value of an entry, if it counts and is one.
    #[inline(always)]
    fn live_value(&self, words: &[u64]) -> Result<Option<V>, ReadError> {
        match self.answer_of(words) {
            Answer::Value => decoded(&words[..Image::<V>::WORDS]).map(Some),
            Answer::ThereIsNone | Answer::Unknown => Ok(None),
        }
    }

    /// Whether the key is there and has not ended. Is no hit: neither counted nor a reason to keep
    /// the entry. Does not look at the value.
    ///
    /// # Errors
    /// [`ReadError::Contended`], as [`get`](Self::get).
    pub fn contains_key(&self, key: &K) -> Result<bool, ReadError> {
        let meta = self.meta_words();
        let mut room = Annotated::<V>::uninit();
        let mut sink = room.sink(meta);
        Ok(self.find(key, meta, &mut sink)?.is_some_and(|_| {
            let words = sink.words();
            self.standing(words) == Standing::Live && !is_negative::<V>(words)
        }))
    }

    /// How many entries there are, never more than [`capacity`](Self::capacity): exact while nobody
    /// writes. Those that are out of date count until something takes their place, and so do
    /// those that say that there is none. Reads one line of each bucket.
    pub fn len(&self) -> usize {
        let table = self.table(self.meta_words());
        (0..table.buckets())
            .map(|index| table.bucket(index).begin().occupied().len() as usize)
            .sum()
    }

    /// Whether there is no entry. Ends at the first one.
    pub fn is_empty(&self) -> bool {
        let table = self.table(self.meta_words());
        (0..table.buckets()).all(|index| table.bucket(index).begin().occupied().is_empty())
    }

    /// How many entries there are at most.
    pub fn capacity(&self) -> usize {
        // A validated layout has no more entries than fit into an address space.
        self.shared.layout.capacity as usize
    }

    /// How long an entry lives unless it is told otherwise.
    pub fn time_to_live(&self) -> Option<Duration> {
        duration(self.fields().time_to_live)
    }

    /// How long an entry lives unless it is asked for.
    pub fn time_to_idle(&self) -> Option<Duration> {
        duration(self.fields().time_to_idle)
    }

    /// For how long after its time a value may be served while a new one is loaded.
    pub fn stale_while_revalidate(&self) -> Option<Duration> {
        duration(self.fields().stale)
    }

    /// How long it is remembered that there is no value.
    pub fn negative_ttl(&self) -> Option<Duration> {
        duration(self.fields().negative_ttl)
    }

    /// How late an entry may end: what the clock of this machine can tell apart, and a millisecond.
    pub fn tick(&self) -> Duration {
        crate::clock::tick()
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

    /// The file behind the segment: to be inherited or sent (see [`crate::segment`]). System V
    /// segments have none.
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.shared.file.as_ref().map(|file| file.as_fd())
    }
}

impl<K: Key, V: Value> Cache<K, V> {
    /// Starts to create or open a cache.
    pub fn builder() -> CacheBuilder<K, V> {
        CacheBuilder::new()
    }

    /// Bytes of a segment for `max_capacity` entries, with the default settings.
    pub fn size_for(max_capacity: usize) -> Result<u64, SizeError>
    where
        K: Schema,
    {
        Self::builder().max_capacity(max_capacity).size()
    }

    fn new(reader: ReadOnlyCache<K, V>, local: Local<K, V>) -> Result<Self, OpenError> {
        let cache = Self {
            recorder: Recorder::new(&reader.shared, local.counts),
            reader,
            load_timeout: local.load_timeout,
            listener: local.listener,
        };
        cache.settle_into_this_boot();
        Ok(cache)
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyCache<K, V> {
        self.reader.clone()
    }

    #[inline(always)]
    fn shared(&self) -> &Arc<Shared> {
        &self.reader.shared
    }

    #[inline(always)]
    fn count(&self, counter: Counter) {
        self.recorder.add(self.shared(), counter, 1);
    }

    /// Not part of its callers, which are of hits most of all.
    #[inline(never)]
    fn count_miss(&self) {
        self.count(Counter::Misses);
    }

    /// The value of a key, if it is there and has not ended. A hit is noted for the policy, and
    /// counted.
    ///
    /// # Errors
    /// [`ReadError::InvalidValue`] if the stored bytes are not a `V`; [`ReadError::Contended`],
    /// which is no miss, as told there.
    #[inline(always)]
    pub fn get(&self, key: &K) -> Result<Option<V>, ReadError> {
        // Whether there is one word behind each value is part of the same question.
        match self.shared().quick_table(Cached::new(One)) {
            Some(table) => self.get_from(table, key, One),
            None => self.get_unusual(key),
        }
    }

    /// `get` where entries have to be asked for to stay, or another hash function was chosen.
    #[inline(never)]
    fn get_unusual(&self, key: &K) -> Result<Option<V>, ReadError> {
        if let Some(table) = self.shared().quick_table(Cached::new(Two)) {
            return self.get_from(table, key, Two);
        }
        match self.meta_words() {
            1 => self.get_from(self.table(One), key, One),
            _ => self.get_from(self.table(Two), key, Two),
        }
    }

    #[inline(always)]
    fn get_from<'s, M: MetaWords>(
        &'s self,
        table: Table<'s, Cached<'static, K, V, M>>,
        key: &K,
        meta: M,
    ) -> Result<Option<V>, ReadError> {
        let hash = table.hash(key.as_bytes());
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let mut room = Annotated::<V>::uninit();
        let mut sink = room.sink(meta.count());
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, &mut sink);
            place = Some((bucket, slot));
        };
        match table.glance(Probe { hash, words }, take) {
            Some(Lookup::Hit) => self.answer(key, place, sink.words()),
            Some(_) => {
                self.count_miss();
                Ok(None)
            }
            None => self.get_elsewhere(key, hash, meta),
        }
    }

    /// The rest of `get_as`, as the reader's.
    #[inline(never)]
    fn get_elsewhere<M: MetaWords>(
        &self,
        key: &K,
        hash: Hashed,
        meta: M,
    ) -> Result<Option<V>, ReadError> {
        let mut room = Annotated::<V>::uninit();
        let mut sink = room.sink(meta.count());
        match self.find_elsewhere(key, hash, meta, &mut sink)? {
            Some(place) => self.answer(key, place, sink.words()),
            None => {
                self.count_miss();
                Ok(None)
            }
        }
    }

    /// What `get` says of an entry that it has found, by its words. Notes the hit, if it is one.
    #[inline(always)]
    fn answer<M: MetaWords>(
        &self,
        key: &K,
        place: Place<'_, 'static, K, V, M>,
        words: &[u64],
    ) -> Result<Option<V>, ReadError> {
        let (value, meta) = words.split_at(Image::<V>::WORDS);
        let word = Meta(meta[0]);
        let Some(accessed) = meta.get(1).copied() else {
            // Apart from the rest, so that it needs no registers for it.
            if word.says_nothing_but(self.epoch()) {
                self.note_hit(place);
                return decoded(value).map(Some);
            }
            let answer = self.answer_by(word);
            if answer == Answer::Unknown {
                self.count_miss();
                return Ok(None);
            }
            self.note_hit(place);
            return match answer {
                Answer::Value => decoded(value).map(Some),
                _ => Ok(None),
            };
        };
        let now = self.clock.now();
        if self.standing_at(now, word, accessed) != Standing::Live {
            self.count_miss();
            return Ok(None);
        }
        self.note_hit(place);
        self.refresh(key, place, now, accessed);
        match word.is_negative() {
            true => Ok(None),
            false => decoded(value).map(Some),
        }
    }

    /// What a hit leaves behind.
    #[inline(always)]
    fn note_hit<M: MetaWords>(&self, place: Place<'_, 'static, K, V, M>) {
        if let Some((bucket, slot)) = place {
            bucket.touch(slot);
        }
        self.count(Counter::Hits);
    }

    /// Notes when an entry was last asked for, if that is worth it and can be done at once.
    #[inline(always)]
    fn refresh<M: MetaWords>(
        &self,
        key: &K,
        place: Place<'_, 'static, K, V, M>,
        now: u64,
        accessed: u64,
    ) {
        let fraction = (self.fields().time_to_idle / 16).max(1);
        if accessed > now || now - accessed >= fraction {
            self.refresh_now(key, place, now);
        }
    }

    #[inline(never)]
    fn refresh_now<M: MetaWords>(&self, key: &K, place: Place<'_, 'static, K, V, M>, now: u64) {
        let hash = self.hash(key);
        let mut image = Image::uninit();
        let key = &*image.write(key);
        if let Some((bucket, _)) = place
            && let Some(token) = self.shared().token_for_hits()
            && let Some(locked) = bucket.try_lock_once(token)
            // The slot may have become another entry's since.
            && let crate::bucket::Search::Found(slot) = locked.search(hash.tag(), key)
        {
            locked.store_value_word(slot, Image::<V>::WORDS + 1, now);
        }
    }

    /// Gives a key a value, for the cache's time to live if it has one. An entry gives way if there
    /// is no room.
    ///
    /// # Errors
    /// [`WriteError::Busy`]; [`WriteError::Register`] at the first write of a process. Never `Full`.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Result<(), WriteError> {
        let deadline = self.default_deadline();
        self.put(&key, Some(&value), deadline, self.epoch())
    }

    /// As [`insert`](Self::insert), with a time to live of its own: to the millisecond, and at most
    /// until the machine has been up for 34 years.
    ///
    /// # Errors
    /// As `insert`.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) -> Result<(), WriteError> {
        let timed = self.word(TIMED);
        if timed.load(Ordering::Relaxed) == 0 {
            // Before the entry is there. Relaxed: it is only asked for when victims are chosen.
            timed.store(1, Ordering::Relaxed);
        }
        self.put(&key, Some(&value), self.clock.deadline(ttl), self.epoch())
    }

    #[inline(always)]
    fn default_deadline(&self) -> u64 {
        match self.fields().time_to_live {
            0 => 0,
            ttl => self.clock.deadline(Duration::from_millis(ttl)),
        }
    }

    /// What an insertion goes by.
    fn replacement(&self) -> Replacement<'_> {
        let fields = self.fields();
        let layout = &self.shared().layout;
        let mut replacement = Replacement::new(layout.capacity, layout.counts.buckets);
        replacement.memory = Some(self.shared().memory());
        replacement.epoch = self.epoch();
        replacement.idle = fields.time_to_idle;
        let has_ends = fields.time_to_live | fields.time_to_idle | fields.negative_ttl != 0
            || self.word(TIMED).load(Ordering::Relaxed) != 0;
        if has_ends {
            replacement.now = self.clock.now();
        }
        replacement.may_be_stale = has_ends || replacement.epoch != 0;
        if self.listener.is_some() {
            replacement.victim = Some(Default::default());
        }
        replacement
    }

    /// Stores a value, or that there is none.
    fn put(&self, key: &K, value: Option<&V>, deadline: u64, epoch: u64) -> Result<(), WriteError> {
        let meta_words = self.meta_words();
        let replacement = self.replacement();
        let mut meta = [Meta::new(deadline, epoch, value.is_none()).0, 0];
        if meta_words > 1 {
            meta[1] = self.clock.now();
        }
        let mut key_image = Image::uninit();
        let probe = Probe {
            hash: self.hash(key),
            words: key_image.write(key),
        };
        let (mut new, mut old) = (Annotated::uninit(), Annotated::<V>::uninit());
        let new = new.write(value, &meta[..meta_words]);
        let mut old = old.sink(meta_words);
        let table = self
            .shared()
            .table(Cached::<K, V, _>::replacing(meta_words, &replacement));
        let mut standing = Standing::Void;
        let put = |current: Option<&[u64]>, _: &mut [u64]| {
            standing = current.map_or(Standing::Void, |words| self.standing(words));
            Edit::Put
        };
        let outcome = self.shared().edit_key(&table, probe, &mut old, new, put)?;
        match (outcome, standing) {
            (Outcome::Replaced, Standing::Live) => self.count(Counter::Updates),
            (Outcome::Replaced, _) => {
                self.count(Counter::EvictedExpired);
                self.count(Counter::Inserts);
            }
            _ => {
                match replacement.replaced.get() {
                    Some(Replaced::ForRoom) => self.count(Counter::EvictedForRoom),
                    Some(Replaced::Stale) => self.count(Counter::EvictedExpired),
                    None => {}
                }
                self.count(Counter::Inserts);
            }
        }
        if self.listener.is_some() {
            match outcome {
                Outcome::Replaced => self.tell_old(key, old.words(), standing),
                _ => self.tell_victim(&replacement),
            }
        }
        Ok(())
    }

    /// Tells the listener of a value that was replaced.
    #[cold]
    fn tell_old(&self, key: &K, old: &[u64], standing: Standing) {
        let cause = match standing {
            Standing::Live => RemovalCause::Replaced,
            Standing::Ended(_) | Standing::Void => RemovalCause::Expired,
        };
        let mut image = Image::uninit();
        self.tell(&*image.write(key), old, cause);
    }

    /// Tells the listener of an entry that gave way.
    #[cold]
    fn tell_victim(&self, replacement: &Replacement<'_>) {
        let cause = match replacement.replaced.get() {
            Some(Replaced::ForRoom) => RemovalCause::Size,
            Some(Replaced::Stale) => RemovalCause::Expired,
            None => return,
        };
        if let Some(victim) = &replacement.victim {
            let victim = victim.take();
            let (key, value) = victim.split_at(Image::<K>::WORDS.min(victim.len()));
            self.tell(key, value, cause);
        }
    }

    /// Tells the listener, unless the entry was none that one can be told of.
    fn tell(&self, key: &[u64], value: &[u64], cause: RemovalCause) {
        if let Some(listener) = &self.listener
            && value.len() > Image::<V>::WORDS
            && !is_negative::<V>(value)
            && let (Ok(key), Ok(value)) = (decoded(key), decoded(&value[..Image::<V>::WORDS]))
        {
            listener(key, value, cause);
        }
    }

    /// Removes a key and returns its value, if it was there (and had not ended, and was valid).
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn remove(&self, key: &K) -> Result<Option<V>, WriteError> {
        let meta = self.meta_words();
        let mut key_image = Image::uninit();
        let words = &*key_image.write(key);
        let hash = self.hash(key);
        let probe = Probe { hash, words };
        let mut old = Annotated::<V>::uninit();
        let mut old = old.sink(meta);
        let table = self.table(meta);
        let remove = |_: Option<&[u64]>, _: &mut [u64]| Edit::Remove;
        let outcome = self
            .shared()
            .edit_key(&table, probe, &mut old, &mut [], remove)?;
        if outcome != Outcome::Removed {
            return Ok(None);
        }
        match self.standing(old.words()) {
            Standing::Live => {
                self.count(Counter::Removed);
                self.tell(words, old.words(), RemovalCause::Explicit);
            }
            Standing::Ended(_) | Standing::Void => {
                self.count(Counter::EvictedExpired);
                self.tell(words, old.words(), RemovalCause::Expired);
            }
        }
        // Garbage that was removed is no reason to fail.
        Ok(self.live_value(old.words()).unwrap_or(None))
    }
}

/// Whether an entry, given as the words from its value on, says that there is none.
#[inline(always)]
fn is_negative<V>(words: &[u64]) -> bool {
    Meta(words[Image::<V>::WORDS]).is_negative()
}

fn duration(millis: u64) -> Option<Duration> {
    (millis != 0).then(|| Duration::from_millis(millis))
}

/// A number for this boot, not zero.
fn boot_digest() -> u64 {
    let id = u128::from_be_bytes(boot_id());
    (id as u64 ^ (id >> 64) as u64).max(1)
}
