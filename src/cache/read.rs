//! A cache as somebody sees it who may only read.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::format::{CacheFields, Header};
use crate::protocol::bucket::Bucket;
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::{Cached, MetaWords, One, Two};
use crate::protocol::table::{HashedKey, Lookup, Table};
use crate::segment::{Segment, SegmentError};
use crate::store::Store;
use crate::store::error::ReadError;
use crate::store::typed::found;
use crate::sys::clock::Clock;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::{AtomicU64, Ordering};
use crate::types::image::{WordBuf, WordBufWithMeta, with_meta_buf};
use crate::types::metadata::Meta;
use crate::types::{Key, Value};

use super::{Answer, BOOT, EPOCH, Freshness, Place, duration, is_negative};

/// A cache in a shared segment, opened for reading only.
///
/// It stands on a mapping without write permission, needs no more than permission to read the
/// segment, registers nowhere, is not counted, and keeps no entry from going: its hits leave no
/// trace. Otherwise it is read like a [`Cache`](crate::Cache).
pub struct ReadOnlyCache<K, V> {
    pub(super) shared: Arc<Store>,
    pub(super) clock: Clock,
    /// What the boot word says if deadlines are by our clock; 0 if that cannot be told.
    pub(super) boot: u64,
    pub(super) types: PhantomData<fn(K) -> V>,
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

impl<K, V> fmt::Debug for ReadOnlyCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyCache").field(&self.shared).finish()
    }
}

#[cfg(fuzzing)]
impl<K, V> ReadOnlyCache<K, V> {
    /// What all clones of the handle have in common, to outlive this one.
    pub(crate) fn clone_shared(&self) -> Arc<Store> {
        Arc::clone(&self.shared)
    }
}

impl<K: Key, V: Value> ReadOnlyCache<K, V> {
    pub(super) fn new(shared: Arc<Store>) -> Self {
        let clock = Clock::of_this_process();
        Self {
            boot: shared.boot_of_deadlines(&clock),
            shared,
            clock,
            types: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn fields(&self) -> &CacheFields {
        &self.shared.layout.cache
    }

    /// One of the words that belong to a cache.
    #[inline(always)]
    pub(super) fn word(&self, word: usize) -> &AtomicU64 {
        &self.shared.mapping.shared()[word]
    }

    #[inline(always)]
    pub(super) fn epoch(&self) -> u64 {
        self.word(EPOCH).load(Ordering::Relaxed)
    }

    /// Words behind a value.
    #[inline(always)]
    pub(super) fn meta_words(&self) -> usize {
        self.fields().meta_words() as usize
    }

    /// The table, for what inserts nothing.
    #[inline(always)]
    pub(super) fn table<M: MetaWords>(&self, meta: M) -> Table<'_, Cached<'static, K, V, M>> {
        self.shared.table(Cached::new(meta))
    }

    /// Judges an entry by its words, value first. Reads the clock only if the entry has an end.
    pub(super) fn freshness(&self, words: &[u64]) -> Freshness {
        let meta = &words[WordBuf::<V>::WORDS..];
        let (word, accessed) = (Meta(meta[0]), meta.get(1).copied().unwrap_or(0));
        if word.end(accessed, self.fields().time_to_idle) == 0 {
            return self.freshness_at(0, word, accessed);
        }
        self.freshness_at(self.clock.now(), word, accessed)
    }

    /// The same by a time that is known, which does not matter if the entry has no end.
    #[inline]
    pub(super) fn freshness_at(&self, now: u64, word: Meta, accessed: u64) -> Freshness {
        if !word.is_of(self.epoch()) {
            return Freshness::Invalidated;
        }
        let end = word.end(accessed, self.fields().time_to_idle);
        if end == 0 {
            return Freshness::Live;
        }
        if self.word(BOOT).load(Ordering::Relaxed) != self.boot {
            return Freshness::Invalidated; // By a clock that is gone.
        }
        match now.checked_sub(end) {
            None => Freshness::Live,
            Some(since) => Freshness::Expired(since),
        }
    }

    /// What an entry says to whoever asks, by its words, value first.
    #[inline(always)]
    pub(super) fn answer_of(&self, words: &[u64]) -> Answer {
        let meta = &words[WordBuf::<V>::WORDS..];
        let word = Meta(meta[0]);
        match meta.get(1) {
            None if word.says_nothing_but(self.epoch()) => Answer::Value,
            None => self.answer_by(word),
            Some(_) => Answer::new(word, self.freshness(words)),
        }
    }

    /// The same where one word of metadata has something to say. Not part of its callers, which
    /// need none of its registers where that has not.
    #[inline(never)]
    pub(super) fn answer_by(&self, word: Meta) -> Answer {
        let now = match word.deadline() {
            0 => 0,
            _ => self.clock.now(),
        };
        Answer::new(word, self.freshness_at(now, word, 0))
    }

    pub(super) fn hash(&self, key: &K) -> KeyHash {
        self.shared.hasher().hash(key.as_bytes())
    }

    /// Copies the words of an entry, if the key is there, whatever its freshness.
    pub(super) fn find<'s, M: MetaWords>(
        &'s self,
        key: &K,
        meta: M,
        sink: &mut CopyBuf<'_>,
    ) -> Result<Option<Place<'s, 'static, K, V, M>>, ReadError> {
        let table = self.table(meta);
        let hash = table.hash(key.as_bytes());
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, sink);
            place = Some((bucket, slot));
        };
        match table.probe_primary(HashedKey { hash, words }, take) {
            Some(Lookup::Hit) => Ok(Some(place)),
            Some(_) => Ok(None),
            None => self.find_slow(key, hash, meta, sink),
        }
    }

    /// The rest of `find`: what follows when the fast path did not do.
    #[inline(never)]
    pub(super) fn find_slow<'s, M: MetaWords>(
        &'s self,
        key: &K,
        hash: KeyHash,
        meta: M,
        sink: &mut CopyBuf<'_>,
    ) -> Result<Option<Place<'s, 'static, K, V, M>>, ReadError> {
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        let table = self.table(meta);
        let mut place = None;
        let take = |bucket: Bucket<'s, _>, slot| {
            bucket.load_value(slot, sink);
            place = Some((bucket, slot));
        };
        match table.read_slow(hashed, take) {
            Lookup::Hit => Ok(Some(place)),
            Lookup::Miss => Ok(None),
            Lookup::Contended => {
                let found = self.shared.read_contended(&table, hashed, sink)?;
                Ok(found.then_some(None))
            }
        }
    }

    /// The value of a key, if it is there and has not expired.
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
        match self.shared.quick_table(Cached::new(One)) {
            Some(table) => self.get_from(table, key, One),
            None => self.get_any_hash(key),
        }
    }

    /// `get` of a long value: its words are on the heap.
    #[inline(never)]
    fn get_large(&self, key: &K) -> Result<Option<V>, ReadError> {
        let meta = self.meta_words();
        with_meta_buf::<V, _>(|room| {
            let mut sink = room.sink(meta);
            match self.find(key, meta, &mut sink)? {
                Some(_) => self.live_value(sink.words()),
                None => Ok(None),
            }
        })
    }

    /// `get` where entries have to be asked for to stay, or another hash function was chosen.
    #[inline(never)]
    fn get_any_hash(&self, key: &K) -> Result<Option<V>, ReadError> {
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
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let mut room = WordBufWithMeta::<V>::uninit();
        let mut sink = room.sink(meta.count());
        let take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, &mut sink);
        match table.probe_primary(HashedKey { hash, words }, take) {
            Some(Lookup::Hit) => self.live_value(sink.words()),
            Some(_) => Ok(None),
            None => self.get_slow(key, hash, meta),
        }
    }

    /// The rest of `get_from`, out of its caller's way, which shares no memory with it: what one
    /// copies into is in registers then.
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
            Some(_) => self.live_value(sink.words()),
            None => Ok(None),
        }
    }

    /// The value of an entry, if it counts and is one.
    #[inline(always)]
    pub(super) fn live_value(&self, words: &[u64]) -> Result<Option<V>, ReadError> {
        match self.answer_of(words) {
            Answer::Value => found(&words[..WordBuf::<V>::WORDS]),
            Answer::Negative | Answer::Unknown => Ok(None),
        }
    }

    /// Whether the key is there and has not expired. Is no hit: neither counted nor a reason to
    /// keep the entry. Does not look at the value.
    ///
    /// # Errors
    /// [`ReadError::Contended`], as [`get`](Self::get).
    pub fn contains_key(&self, key: &K) -> Result<bool, ReadError> {
        let meta = self.meta_words();
        let mut room = WordBufWithMeta::<V>::uninit();
        let mut sink = room.sink(meta);
        Ok(self.find(key, meta, &mut sink)?.is_some_and(|_| {
            let words = sink.words();
            self.freshness(words) == Freshness::Live && !is_negative::<V>(words)
        }))
    }

    /// How many entries there are, never more than [`capacity`](Self::capacity): exact while nobody
    /// writes. Those that are out of date count until something takes their place, and so do
    /// those that are negative. Reads one line of each bucket.
    pub fn len(&self) -> usize {
        let table = self.table(self.meta_words());
        (0..table.buckets())
            .map(|index| table.bucket(index).read_begin().occupied().len() as usize)
            .sum()
    }

    /// Whether there is no entry. Ends at the first one.
    pub fn is_empty(&self) -> bool {
        let table = self.table(self.meta_words());
        (0..table.buckets()).all(|index| table.bucket(index).read_begin().occupied().is_empty())
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
    pub fn clock_resolution(&self) -> Duration {
        crate::sys::clock::tick()
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

    /// The file behind the segment: to be inherited or sent (see [`crate::segment`]). System V
    /// segments have none.
    pub fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.shared.fd()
    }
}
