//! Looking a key up.

use super::ReadOnlyMap;
use crate::protocol::bucket::Bucket;
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Typed;
use crate::protocol::table::{HashedKey, Lookup, Table};
use crate::store::error::ReadError;
use crate::store::typed::found;
use crate::sys::copy::CopyBuf;
use crate::types::image::{WordBuf, with_buf};
use crate::types::{Key, Value};

/// Keys whose memory accesses overlap in `get_many`.
pub(super) const BATCH: usize = 16;

impl<K: Key, V: Value> ReadOnlyMap<K, V> {
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
        if const { WordBuf::<V>::IS_LARGE } {
            return self.get_large(key);
        }
        match self.shared.quick_table(Typed::SHAPE) {
            Some(table) => self.get_from(table, key),
            None => self.get_any_hash(key),
        }
    }

    /// `get` from a table whose hash function is not the usual one.
    #[cold]
    #[inline(never)]
    fn get_any_hash(&self, key: &K) -> Result<Option<V>, ReadError> {
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
        hash: KeyHash,
    ) -> Result<Option<V>, ReadError> {
        let mut key_image = WordBuf::uninit();
        let mut image = WordBuf::<V>::uninit();
        let mut value = image.sink();
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        match table.probe_primary(hashed, |bucket, slot| bucket.load_value(slot, &mut value)) {
            Some(Lookup::Hit) => found(value.words()),
            Some(_) => Ok(None),
            None => self.get_slow(key, hash),
        }
    }

    /// The rest of `get`, out of its caller's way: nothing of it is in the caller's registers.
    #[inline(never)]
    fn get_slow(&self, key: &K, hash: KeyHash) -> Result<Option<V>, ReadError> {
        let mut value_image = WordBuf::<V>::uninit();
        let mut value = value_image.sink();
        if self.fetch_slow(key, hash, &mut value)? {
            found(value.words())
        } else {
            Ok(None)
        }
    }

    /// Copies the value of a key that the fast path has not found, if it is there.
    fn fetch_slow(
        &self,
        key: &K,
        hash: KeyHash,
        value: &mut CopyBuf<'_>,
    ) -> Result<bool, ReadError> {
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        let take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, value);
        match self.table().read_slow(hashed, take) {
            Lookup::Hit => Ok(true),
            Lookup::Miss => Ok(false),
            Lookup::Contended => self.fetch_contended(hashed, value),
        }
    }

    /// Copies the value of a key, if it is there.
    #[inline(always)]
    pub(super) fn fetch(&self, key: &K, value: &mut CopyBuf<'_>) -> Result<bool, ReadError> {
        match self.shared.quick_table(Typed::SHAPE) {
            Some(table) => self.fetch_from(table, key, value),
            None => self.fetch_from(self.table(), key, value),
        }
    }

    #[inline(always)]
    fn fetch_from(
        &self,
        table: Table<'_, Typed<K, V>>,
        key: &K,
        value: &mut CopyBuf<'_>,
    ) -> Result<bool, ReadError> {
        let mut key_image = WordBuf::uninit();
        let hash = table.hash(key.as_bytes());
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        match table.probe_primary(hashed, |bucket, slot| bucket.load_value(slot, value)) {
            Some(lookup) => Ok(lookup == Lookup::Hit),
            None => self.fetch_slow(key, hash, value),
        }
    }

    /// `get` of a long value: its words are on the heap.
    #[inline(never)]
    fn get_large(&self, key: &K) -> Result<Option<V>, ReadError> {
        with_buf::<V, _>(|buffer| {
            let mut value = buffer.sink();
            match self.fetch(key, &mut value)? {
                true => found(value.words()),
                false => Ok(None),
            }
        })
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
        let mut key_image = WordBuf::uninit();
        let table = self.table();
        let hash = table.hash(key.as_bytes());
        let words = &*key_image.write(key);
        match table.probe_primary(HashedKey { hash, words }, |_, _| ()) {
            Some(lookup) => Ok(lookup == Lookup::Hit),
            None => self.contains_slow(key, hash),
        }
    }

    #[inline(never)]
    fn contains_slow(&self, key: &K, hash: KeyHash) -> Result<bool, ReadError> {
        let mut key_image = WordBuf::uninit();
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        match self.table().read_slow(hashed, |_, _| ()) {
            Lookup::Hit => Ok(true),
            Lookup::Miss => Ok(false),
            // Whether the value is valid is not the question.
            Lookup::Contended => self.fetch_contended(hashed, &mut WordBuf::<V>::uninit().sink()),
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
            let mut hashes = [KeyHash(0); BATCH];
            for (key, hash) in keys.iter().zip(&mut hashes) {
                *hash = table.hash(key.as_bytes());
                table.prefetch(*hash);
            }
            for hash in &hashes[..keys.len()] {
                table.prefetch_slot(*hash);
            }
            for ((key, value), hash) in keys.iter().zip(values).zip(hashes) {
                *value = match const { WordBuf::<V>::IS_LARGE } {
                    true => self.get_large(key)?,
                    false => self.get_hashed(table, key, hash)?,
                };
                found += usize::from(value.is_some());
            }
        }
        Ok(found)
    }

    #[cold]
    #[inline(never)]
    fn fetch_contended(
        &self,
        hashed: HashedKey<'_>,
        value: &mut CopyBuf<'_>,
    ) -> Result<bool, ReadError> {
        self.shared.read_contended(&self.table(), hashed, value)
    }
}
