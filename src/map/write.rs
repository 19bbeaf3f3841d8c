//! Changing the entry of a key.

use zerocopy::IntoBytes;

use super::Map;
use super::read::BATCH;
use crate::protocol::hash::HashFunction;
use crate::protocol::shape::Typed;
use crate::protocol::table::{Edit, HashedKey, Outcome};
use crate::store::error::{CompareExchange, ReadError, SweepError, TryInsert, WriteError};
use crate::store::sweep::clear;
use crate::store::typed::decoded;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::Deadline;
use crate::types::image::{WordBuf, decode, same, with_buf};
use crate::types::integer::Integer;
use crate::types::{Key, Value};

impl<K: Key, V: Value> Map<K, V> {
    /// Runs one edit of an entry, in its bucket and under its lock.
    #[inline(always)]
    fn edit(
        &self,
        key: &K,
        decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut CopyBuf<'_>,
    ) -> Result<Outcome, WriteError> {
        let mut key_image = WordBuf::uninit();
        let table = self.reader.table();
        let hash = table.hash(key.as_bytes());
        let words = &*key_image.write(key);
        let hashed = HashedKey { hash, words };
        self.reader
            .shared
            .edit_key(&table, hashed, old, new, decide)
    }

    /// The short way of an edit, as [`Table::edit_in_primary`], in a map with the usual hash
    /// function and by a process that is registered. `None`: nothing has been done.
    ///
    /// Whoever tries this goes the [long way](Self::edit_slow) in a call of its own, which
    /// shares no memory with this one: so all of it is in registers here.
    #[inline(always)]
    fn edit_in_primary(
        &self,
        key: &K,
        mut decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut CopyBuf<'_>,
    ) -> Option<Outcome> {
        let shared = &self.reader.shared;
        let table = shared.quick_table(Typed::<K, V>::SHAPE)?;
        let token = shared.current_token()?;
        let mut key_image = WordBuf::uninit();
        let hashed = HashedKey {
            hash: table.hash(key.as_bytes()),
            words: key_image.write(key),
        };
        table.edit_in_primary(token, hashed, old, new, &mut decide)
    }

    /// The long way of an edit, wherever the key is.
    #[inline(always)]
    fn edit_slow(
        &self,
        key: &K,
        mut decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
        new: &mut [u64],
        old: &mut CopyBuf<'_>,
    ) -> Result<Outcome, WriteError> {
        let shared = &self.reader.shared;
        let table = self.reader.table();
        let mut key_image = WordBuf::uninit();
        let hashed = HashedKey {
            hash: table.hash(key.as_bytes()),
            words: key_image.write(key),
        };
        match shared.layout.hash {
            HashFunction::Rapid => {
                shared.edit(&table, shared.token()?, hashed, old, new, &mut decide)
            }
            // The short way was not tried yet.
            HashFunction::Sip => shared.edit_key(&table, hashed, old, new, decide),
        }
    }

    /// The value that was there before an edit.
    #[inline(always)]
    fn previous(outcome: Outcome, old: &CopyBuf<'_>) -> Result<Option<V>, WriteError> {
        match outcome {
            Outcome::Inserted | Outcome::KeptAbsent => Ok(None),
            Outcome::Replaced | Outcome::Removed | Outcome::KeptPresent => {
                // Invalid bytes that were overwritten or removed are no reason to fail.
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
        if const { WordBuf::<V>::IS_LARGE } {
            return self.insert_slow(&key, &value);
        }
        let (mut new, mut old) = (WordBuf::uninit(), WordBuf::<V>::uninit());
        let mut old = old.sink();
        match self.edit_in_primary(&key, |_, _| Edit::Put, new.write(&value), &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.insert_slow(&{ key }, &{ value }),
        }
    }

    #[inline(never)]
    fn insert_slow(&self, key: &K, value: &V) -> Result<Option<V>, WriteError> {
        with_buf(|new| {
            with_buf::<V, _>(|old| {
                let mut old = old.sink();
                let outcome = self.edit_slow(key, |_, _| Edit::Put, new.write(value), &mut old)?;
                Self::previous(outcome, &old)
            })
        })
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
                table.prefetch(table.hash_of(WordBuf::uninit().write(key)));
            }
            for (key, value) in entries {
                let put = |_: Option<&[u64]>, _: &mut [u64]| Edit::Put;
                let outcome = with_buf(|new| {
                    with_buf::<V, _>(|old| self.edit(key, put, new.write(value), &mut old.sink()))
                })?;
                inserted += usize::from(outcome == Outcome::Inserted);
            }
        }
        Ok(inserted)
    }

    /// Inserts an entry only if the key is absent. Of several processes that try at once, exactly
    /// one is told [`TryInsert::Inserted`].
    ///
    /// # Errors
    /// As [`insert`](Self::insert), and [`WriteError::InvalidValue`] if invalid bytes are there.
    #[inline]
    pub fn try_insert(&self, key: K, value: V) -> Result<TryInsert<V>, WriteError> {
        let unless_there = |current: Option<&[u64]>, _: &mut [u64]| match current {
            Some(_) => Edit::Keep,
            None => Edit::Put,
        };
        with_buf(|new| {
            with_buf::<V, _>(|old| {
                let mut old = old.sink();
                let outcome = self.edit(&key, unless_there, new.write(&value), &mut old)?;
                match outcome {
                    Outcome::Inserted => Ok(TryInsert::Inserted),
                    _ => Ok(TryInsert::Occupied(decoded(old.words())?)),
                }
            })
        })
    }

    /// Removes a key and returns its value, if it was there (and valid).
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`.
    #[inline(always)]
    pub fn remove(&self, key: &K) -> Result<Option<V>, WriteError> {
        if const { WordBuf::<V>::IS_LARGE } {
            return self.remove_slow(key);
        }
        let mut old = WordBuf::<V>::uninit();
        let mut old = old.sink();
        match self.edit_in_primary(key, |_, _| Edit::Remove, &mut [], &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.remove_slow(key),
        }
    }

    #[inline(never)]
    fn remove_slow(&self, key: &K) -> Result<Option<V>, WriteError> {
        with_buf::<V, _>(|old| {
            let mut old = old.sink();
            let outcome = self.edit_slow(key, |_, _| Edit::Remove, &mut [], &mut old)?;
            Self::previous(outcome, &old)
        })
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
        let mut before = None;
        let changed = self.transform(key, |current, _| {
            before = current.map(decoded).transpose()?;
            Ok(match &before {
                Some(value) if condition(value) => Change::Remove,
                _ => Change::Keep,
            })
        })?;
        Ok(before.filter(|_| changed))
    }

    /// Replaces the value of a key by what `update` makes of it. Returns the previous value, or
    /// `None` if the key is absent, which it stays.
    ///
    /// # Errors
    /// As [`fetch_update`](Self::fetch_update).
    pub fn update(&self, key: &K, mut update: impl FnMut(V) -> V) -> Result<Option<V>, WriteError> {
        let mut before = None;
        self.transform(key, |current, new| {
            before = current.map(decoded).transpose()?;
            Ok(match before {
                Some(value) => Change::Put(new.write(&update(value))),
                None => Change::Keep,
            })
        })?;
        Ok(before)
    }

    /// An atomic read-modify-write: `update` gets the value, or `None` if the key is absent, and
    /// returns the new one, or `None` to leave everything as it is. Returns what was there before.
    ///
    /// `update` runs without any lock, so it may take its time, may panic and may use the map.
    /// It runs again if another writer changed the value meanwhile.
    ///
    /// # Errors
    /// As [`insert`](Self::insert); [`WriteError::InvalidValue`] if invalid bytes are there;
    /// [`WriteError::Contended`] if others were always faster for the whole `lock_timeout`.
    pub fn fetch_update(
        &self,
        key: &K,
        mut update: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<Option<V>, WriteError> {
        let mut before = None;
        self.transform(key, |current, new| {
            before = current.map(decoded).transpose()?;
            Ok(match &update(before) {
                Some(value) => Change::Put(new.write(value)),
                None => Change::Keep,
            })
        })?;
        Ok(before)
    }

    /// Reads, asks what to do, and does it if nothing has changed meanwhile. `decide` gets the words
    /// of the value, if there is one, and writes the new one. Says whether anything was done.
    #[inline(always)]
    fn transform(
        &self,
        key: &K,
        decide: impl for<'n> FnMut(Option<&[u64]>, &'n mut WordBuf<V>) -> Result<Change<'n>, ReadError>,
    ) -> Result<bool, WriteError> {
        with_buf::<V, _>(|current| {
            with_buf(|new| with_buf(|old| self.transform_in(key, decide, current, new, old)))
        })
    }

    /// The same, in memory of the caller's.
    #[inline(always)]
    fn transform_in(
        &self,
        key: &K,
        mut decide: impl for<'n> FnMut(
            Option<&[u64]>,
            &'n mut WordBuf<V>,
        ) -> Result<Change<'n>, ReadError>,
        current: &mut WordBuf<V>,
        new: &mut WordBuf<V>,
        old: &mut WordBuf<V>,
    ) -> Result<bool, WriteError> {
        let waited = self.reader.shared.lock_timeout;
        let mut deadline = Deadline::new(waited);
        loop {
            let mut copied;
            let expected = if const { WordBuf::<V>::IS_LARGE } {
                copied = current.sink();
                self.fetch(key, &mut copied)?.then(|| copied.words())
            } else {
                // As a value first: that stays in registers.
                self.get(key)?.map(|value| &*current.write(&value))
            };
            let (edit, new) = match decide(expected, &mut *new)? {
                Change::Keep => return Ok(false),
                Change::Put(words) => (Edit::Put, words),
                Change::Remove => (Edit::Remove, Default::default()),
            };
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
            let _ = self.edit(key, if_unchanged, new, &mut old.sink())?;
            if !changed {
                return Ok(true);
            }
            if deadline.passed() {
                return Err(WriteError::Contended { waited });
            }
        }
    }

    /// Replaces the value of a key by `new` if it is `expected`, by its bytes.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), but never `Full`; [`WriteError::InvalidValue`] if invalid bytes
    /// are there.
    pub fn compare_exchange(
        &self,
        key: &K,
        expected: &V,
        new: V,
    ) -> Result<CompareExchange<V>, WriteError> {
        with_buf(|new_buf| {
            with_buf::<V, _>(|old| {
                let mut equal = false;
                let if_equal = |current: Option<&[u64]>, _: &mut [u64]| {
                    let bytes = |words: &[u64]| {
                        words.as_bytes().get(..size_of::<V>())
                            == Some(IntoBytes::as_bytes(expected))
                    };
                    equal = current.is_some_and(bytes);
                    if equal { Edit::Put } else { Edit::Keep }
                };
                let mut old = old.sink();
                let outcome = self.edit(key, if_equal, new_buf.write(&new), &mut old)?;
                match outcome {
                    _ if equal => Ok(CompareExchange::Exchanged),
                    Outcome::KeptAbsent => Ok(CompareExchange::Absent),
                    _ => Ok(CompareExchange::Mismatch(decoded(old.words())?)),
                }
            })
        })
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
        let (mut new, mut old) = (WordBuf::uninit(), WordBuf::<V>::uninit());
        let mut old = old.sink();
        match self.edit_in_primary(key, Self::adding(delta), new.write(&delta), &mut old) {
            Some(outcome) => Self::previous(outcome, &old),
            None => self.fetch_add_slow(key, delta),
        }
    }

    #[inline(never)]
    fn fetch_add_slow(&self, key: &K, delta: V) -> Result<Option<V>, WriteError>
    where
        V: Integer,
    {
        let (mut new, mut old) = (WordBuf::uninit(), WordBuf::<V>::uninit());
        let mut old = old.sink();
        let outcome = self.edit_slow(key, Self::adding(delta), new.write(&delta), &mut old)?;
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
            new.copy_from_slice(WordBuf::uninit().write(&sum));
            Edit::Put
        }
    }

    /// Removes the entries for which `keep` says no; returns how many. Entries that come or
    /// change meanwhile are judged by a value they have, or not at all, as with
    /// [`iter`](super::ReadOnlyMap::iter). `keep` runs without any lock.
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

/// What a transformation wants.
enum Change<'n> {
    Keep,
    /// The words of the new value.
    Put(&'n mut [u64]),
    Remove,
}
