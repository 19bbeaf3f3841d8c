//! Looking a key up.

use super::ReadOnlyMap;
use crate::protocol::bucket::Bucket;
use crate::protocol::hash::Hashed;
use crate::protocol::shape::Typed;
use crate::protocol::table::{Lookup, Probe, Table};
use crate::store::error::ReadError;
use crate::store::typed::found;
use crate::sys::copy::Sink;
use crate::types::image::Image;
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
}
