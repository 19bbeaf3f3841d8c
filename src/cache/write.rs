//! A cache as its users have it: one that can be written to, and whose hits count.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::format::SizeError;
use crate::protocol::bucket::Bucket;
use crate::protocol::counters::Counter;
use crate::protocol::hash::KeyHash;
use crate::protocol::replacement::{Replaced, Replacement};
use crate::protocol::shape::{Cached, MetaWords, One, Two};
use crate::protocol::table::{Edit, HashedKey, Lookup, Outcome, Table};
use crate::schema::Schema;
use crate::store::Store;
use crate::store::error::{OpenError, ReadError, WriteError};
use crate::store::statistics::Recorder;
use crate::store::typed::{decoded, found};
use crate::sys::copy::CopyBuf;
use crate::sys::sync::Ordering;
use crate::types::image::{WordBuf, WordBufWithMeta, with_meta_buf};
use crate::types::metadata::Meta;
use crate::types::{Key, Value};

use super::builder::Listener;
use super::expiry::{count_write, replacement};
use super::{
    Answer, CacheBuilder, Freshness, HAS_TTL, Place, ReadOnlyCache, RemovalCause, is_negative,
};

/// A typed cache in a shared segment, used by many processes at once.
///
/// It is a [`Map`](crate::Map) that forgets: an insertion always finds room, since an entry that is
/// out of date, or is asked for little, is evicted. The guarantees of the map hold: hits are
/// whole, nobody waits for a dead or stopped process, nothing in the segment is trusted.
///
/// ```no_run
/// use shmkv::Cache;
/// use std::time::Duration;
///
/// let squares: Cache<u64, u64> = Cache::builder()
///     .max_capacity(1000)
///     .time_to_live(Duration::from_secs(60))
///     .open_or_create("shm:squares")?;
/// // Of all threads and processes that ask at once, one computes.
/// let square = squares.get_or_insert_with(&12, || 12 * 12)?;
/// assert_eq!(square, 144);
/// assert_eq!(squares.get(&12)?, Some(144));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Time
///
/// An entry ends for all processes alike, by the monotonic clock of the machine: not before its
/// time, and at most one [`clock_resolution`](ReadOnlyCache::clock_resolution) after it. Steps of
/// the wall clock change nothing; while the machine is suspended no time passes; after a reboot,
/// entries of a `file:` segment that had a limit have expired. Processes in other time namespaces
/// see the same. Hits and insertions of a cache without limits never read a clock.
///
/// # Hits
///
/// A hit may leave a trace in the segment, for the policy and the statistics: at most a store
/// without a lock each, never a wait. The first hit registers this process as a participant, if
/// there is room for one more; if not, hits are as good. So unlike a map's, a
/// cache's [`get`](Self::get) is not for signal handlers, except through a read-only handle.
#[repr(C)]
pub struct Cache<K, V> {
    /// First, as `repr(C)` keeps it: so a hit, which needs both the reader and the rest, has one
    /// address to remember and not two.
    pub(super) reader: ReadOnlyCache<K, V>,
    pub(super) recorder: Recorder,
    pub(super) load_timeout: Duration,
    pub(super) listener: Option<Listener<K, V>>,
}

/// What belongs to a handle and not to the segment.
pub(super) struct Local<K, V> {
    pub(super) counts: bool,
    pub(super) load_timeout: Duration,
    pub(super) listener: Option<Listener<K, V>>,
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            recorder: self.recorder.clone(),
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

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.reader.shared).finish()
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

    pub(super) fn new(reader: ReadOnlyCache<K, V>, local: Local<K, V>) -> Result<Self, OpenError> {
        let cache = Self {
            recorder: Recorder::new(&reader.shared, local.counts),
            reader,
            load_timeout: local.load_timeout,
            listener: local.listener,
        };
        cache.adopt_this_boot();
        Ok(cache)
    }

    /// A handle on the same mapping that cannot write.
    pub fn read_only(&self) -> ReadOnlyCache<K, V> {
        self.reader.clone()
    }

    #[inline(always)]
    pub(super) fn shared(&self) -> &Arc<Store> {
        &self.reader.shared
    }

    #[inline(always)]
    pub(super) fn count(&self, counter: Counter) {
        self.recorder.add(counter, 1);
    }

    /// Not part of its callers, which are of hits most of all.
    #[inline(never)]
    pub(super) fn count_miss(&self) {
        self.count(Counter::Misses);
    }

    /// The value of a key, if it is there and has not expired. A hit is noted for the policy, and
    /// counted.
    ///
    /// # Errors
    /// [`ReadError::InvalidValue`] if the stored bytes are not a `V`; [`ReadError::Contended`],
    /// which is no miss, as told there.
    #[inline(always)]
    pub fn get(&self, key: &K) -> Result<Option<V>, ReadError> {
        if const { WordBuf::<V>::IS_LARGE } {
            return self.get_large(key);
        }
        // Whether there is one word behind each value is part of the same question.
        match self.shared().quick_table(Cached::new(One)) {
            Some(table) => self.get_from(table, key, One),
            None => self.get_any_hash(key),
        }
    }

    /// `get` where entries have to be asked for to stay, or another hash function was chosen.
    #[inline(never)]
    fn get_any_hash(&self, key: &K) -> Result<Option<V>, ReadError> {
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
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let mut room = WordBufWithMeta::<V>::uninit();
        let mut sink = room.sink(meta.count());
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, &mut sink);
            place = Some((bucket, slot));
        };
        match table.probe_primary(HashedKey { hash, words }, take) {
            Some(Lookup::Hit) => self.answer(key, place, sink.words()),
            Some(_) => {
                self.count_miss();
                Ok(None)
            }
            None => self.get_slow(key, hash, meta),
        }
    }

    /// The rest of `get_from`, as the reader's.
    #[inline(never)]
    fn get_slow<M: MetaWords>(
        &self,
        key: &K,
        hash: KeyHash,
        meta: M,
    ) -> Result<Option<V>, ReadError> {
        let mut room = WordBufWithMeta::<V>::uninit();
        let mut sink = room.sink(meta.count());
        match self.find_slow(key, hash, meta, &mut sink)? {
            Some(place) => self.answer(key, place, sink.words()),
            None => {
                self.count_miss();
                Ok(None)
            }
        }
    }

    /// `get` of a long value: its words are on the heap.
    #[inline(never)]
    fn get_large(&self, key: &K) -> Result<Option<V>, ReadError> {
        let meta = self.meta_words();
        with_meta_buf::<V, _>(|room| {
            let mut sink = room.sink(meta);
            match self.find(key, meta, &mut sink)? {
                Some(place) => self.answer(key, place, sink.words()),
                None => {
                    self.count_miss();
                    Ok(None)
                }
            }
        })
    }

    /// What `get` says of an entry that it has found, by its words. Notes the hit, if it is one.
    #[inline(always)]
    pub(super) fn answer<M: MetaWords>(
        &self,
        key: &K,
        place: Place<'_, 'static, K, V, M>,
        words: &[u64],
    ) -> Result<Option<V>, ReadError> {
        let (value, meta) = words.split_at(WordBuf::<V>::WORDS);
        let word = Meta(meta[0]);
        let Some(accessed) = meta.get(1).copied() else {
            // Apart from the rest, so that it needs no registers for it.
            if word.says_nothing_but(self.epoch()) {
                self.note_hit(place);
                return found(value);
            }
            let answer = self.answer_by(word);
            if answer == Answer::Unknown {
                self.count_miss();
                return Ok(None);
            }
            self.note_hit(place);
            return match answer {
                Answer::Value => found(value),
                _ => Ok(None),
            };
        };
        let now = self.clock.now();
        if self.freshness_at(now, word, accessed) != Freshness::Live {
            self.count_miss();
            return Ok(None);
        }
        self.note_hit(place);
        self.refresh(key, place, now, accessed);
        match word.is_negative() {
            true => Ok(None),
            false => found(value),
        }
    }

    /// What a hit leaves behind.
    #[inline(always)]
    pub(super) fn note_hit<M: MetaWords>(&self, place: Place<'_, 'static, K, V, M>) {
        if let Some((bucket, slot)) = place {
            bucket.touch(slot);
        }
        self.count(Counter::Hits);
    }

    /// Notes when an entry was last asked for, if that is worth it and can be done at once.
    #[inline(always)]
    pub(super) fn refresh<M: MetaWords>(
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
    pub(super) fn refresh_now<M: MetaWords>(
        &self,
        key: &K,
        place: Place<'_, 'static, K, V, M>,
        now: u64,
    ) {
        let hash = self.hash(key);
        let mut image = WordBuf::uninit();
        let key = &*image.write(key);
        if let Some((bucket, _)) = place
            && let Some(token) = self.shared().token_for_hits()
            && let Some(locked) = bucket.try_lock_once(token)
            // The slot may have become another entry's since.
            && let crate::protocol::bucket::Search::Found(slot) = locked.search(hash.tag(), key)
        {
            locked.store_value_word(slot, WordBuf::<V>::WORDS + 1, now);
        }
    }

    /// Gives a key a value, for the cache's time to live if it has one. An entry is evicted if
    /// there is no room.
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
        let has_ttl = self.word(HAS_TTL);
        if has_ttl.load(Ordering::Relaxed) == 0 {
            // Before the entry is there. Relaxed: it is only asked for when victims are chosen.
            has_ttl.store(1, Ordering::Relaxed);
        }
        self.put(&key, Some(&value), self.clock.deadline(ttl), self.epoch())
    }

    #[inline(always)]
    pub(super) fn default_deadline(&self) -> u64 {
        match self.fields().time_to_live {
            0 => 0,
            ttl => self.clock.deadline(Duration::from_millis(ttl)),
        }
    }

    /// What an insertion goes by.
    pub(super) fn replacement(&self) -> Replacement<'_> {
        let mut replacement = replacement(self.shared(), || self.clock.now());
        if self.listener.is_some() {
            replacement.victim = Some(Default::default());
        }
        replacement
    }

    /// Stores a value, or a negative entry.
    pub(super) fn put(
        &self,
        key: &K,
        value: Option<&V>,
        deadline: u64,
        epoch: u64,
    ) -> Result<(), WriteError> {
        let meta_words = self.meta_words();
        let replacement = self.replacement();
        let mut meta = [Meta::new(deadline, epoch, value.is_none()).0, 0];
        if meta_words > 1 {
            meta[1] = self.clock.now();
        }
        let mut key_image = WordBuf::uninit();
        let hashed = HashedKey {
            hash: self.hash(key),
            words: key_image.write(key),
        };
        let meta = &meta[..meta_words];
        with_meta_buf(|new| {
            with_meta_buf::<V, _>(|old| {
                self.put_words(
                    key,
                    hashed,
                    new.write(value, meta),
                    &mut old.sink(meta_words),
                    &replacement,
                )
            })
        })
    }

    /// The same, given as words.
    #[inline]
    fn put_words(
        &self,
        key: &K,
        hashed: HashedKey<'_>,
        new: &mut [u64],
        old: &mut CopyBuf<'_>,
        replacement: &Replacement<'_>,
    ) -> Result<(), WriteError> {
        let table = self
            .shared()
            .table(Cached::<K, V, _>::replacing(self.meta_words(), replacement));
        let mut freshness = Freshness::Invalidated;
        let put = |current: Option<&[u64]>, _: &mut [u64]| {
            freshness = current.map_or(Freshness::Invalidated, |words| self.freshness(words));
            Edit::Put
        };
        let outcome = self.shared().edit_key(&table, hashed, old, new, put)?;
        let was_live = freshness == Freshness::Live;
        count_write(&self.recorder, outcome, was_live, replacement);
        if self.listener.is_some() {
            match outcome {
                Outcome::Replaced => self.notify_old(key, old.words(), freshness),
                _ => self.notify_evicted(replacement),
            }
        }
        Ok(())
    }

    /// Tells the listener of a value that was replaced.
    #[cold]
    pub(super) fn notify_old(&self, key: &K, old: &[u64], freshness: Freshness) {
        let cause = match freshness {
            Freshness::Live => RemovalCause::Replaced,
            Freshness::Expired(_) | Freshness::Invalidated => RemovalCause::Expired,
        };
        let mut image = WordBuf::uninit();
        self.notify(&*image.write(key), old, cause);
    }

    /// Tells the listener of an entry that was evicted.
    #[cold]
    pub(super) fn notify_evicted(&self, replacement: &Replacement<'_>) {
        let cause = match replacement.replaced.get() {
            Some(Replaced::ForRoom) => RemovalCause::Size,
            Some(Replaced::Stale) => RemovalCause::Expired,
            None => return,
        };
        if let Some(victim) = &replacement.victim {
            let victim = victim.take();
            let (key, value) = victim.split_at(WordBuf::<K>::WORDS.min(victim.len()));
            self.notify(key, value, cause);
        }
    }

    /// Tells the listener, unless the entry was none that one can be told of.
    pub(super) fn notify(&self, key: &[u64], value: &[u64], cause: RemovalCause) {
        if let Some(listener) = &self.listener
            && value.len() > WordBuf::<V>::WORDS
            && !is_negative::<V>(value)
            && let (Ok(key), Ok(value)) = (decoded(key), decoded(&value[..WordBuf::<V>::WORDS]))
        {
            listener(key, value, cause);
        }
    }

    /// Removes a key and returns its value, if it was there (and had not expired, and was valid).
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn remove(&self, key: &K) -> Result<Option<V>, WriteError> {
        let meta = self.meta_words();
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let hash = self.hash(key);
        let hashed = HashedKey { hash, words };
        with_meta_buf::<V, _>(|old| self.remove_words(hashed, &mut old.sink(meta)))
    }

    /// The same, given as words.
    fn remove_words(
        &self,
        hashed: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
    ) -> Result<Option<V>, WriteError> {
        let (table, words) = (self.table(self.meta_words()), hashed.words);
        let remove = |_: Option<&[u64]>, _: &mut [u64]| Edit::Remove;
        let outcome = self
            .shared()
            .edit_key(&table, hashed, old, &mut [], remove)?;
        if outcome != Outcome::Removed {
            return Ok(None);
        }
        match self.freshness(old.words()) {
            Freshness::Live => {
                self.count(Counter::Removed);
                self.notify(words, old.words(), RemovalCause::Explicit);
            }
            Freshness::Expired(_) | Freshness::Invalidated => {
                self.count(Counter::EvictedExpired);
                self.notify(words, old.words(), RemovalCause::Expired);
            }
        }
        // Invalid bytes that were removed are no reason to fail.
        Ok(self.live_value(old.words()).unwrap_or(None))
    }
}
