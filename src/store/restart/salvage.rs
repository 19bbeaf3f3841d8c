//! Keeping what passes a check of a table whose pages are of different times.
//!
//! Only whoever holds the admission lock works here, and nobody else has the segment: so plain
//! loads and stores do, and there is nothing to retry. What is checked of an entry:
//!
//! | check | what it finds |
//! |-------|---------------|
//! | the padding of the key is zero, the key is valid by its type | invalid bytes, a key half written |
//! | the key's hash names this bucket | another key's half, a slot of another time |
//! | the tag in the header line is that of the hash | a header line of another time than the slot |
//! | the key is not in this bucket already, nor in the primary bucket if it is in its secondary bucket | an entry of two times, half a move |
//! | the value is valid by its type | invalid bytes, as far as the type knows |
//!
//! Each step can be done again: who dies in the middle leaves a table of which less will be
//! dropped.

use std::collections::BTreeMap;

use super::report::{DropReason, SalvageReport};
use crate::format::StoreKind;
use crate::format::shared_page::is_in_use;
use crate::protocol::bucket::Search;
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::{SLOTS, Shape};
use crate::protocol::table::Table;
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering};

/// Classes of keys that a bucket counts.
const CLASSES: u32 = 32;
/// A count that says "so many or more, for ever".
const COUNT_MAX: u64 = 15;

/// Releases all locks.
pub(super) fn unlock_all<S: Shape>(table: Table<'_, S>) -> u64 {
    let locks = (0..table.buckets())
        .map(|index| table.bucket(index).lock_word().swap(0, Ordering::Relaxed));
    locks.filter(|&lock| lock != 0).count() as u64
}

/// Empties the table.
pub(super) fn discard<S: Shape>(shared: &Store, table: Table<'_, S>) -> SalvageReport {
    let mut salvage = SalvageReport {
        locks: unlock_all(table),
        ..SalvageReport::default()
    };
    for index in 0..table.buckets() {
        let bucket = Words::of(shared, index);
        salvage.dropped += u64::from((bucket.load(0) as u16).count_ones());
        bucket.occupy(0);
        (2..8).for_each(|word| bucket.store(word, 0));
    }
    zero_unused(shared);
    salvage
}

/// Drops what does not pass the checks.
pub(super) fn keep<S: Shape>(
    shared: &Store,
    table: Table<'_, S>,
    check: impl Fn(&[u64], &[u64]) -> Option<DropReason>,
) -> SalvageReport {
    let mut salvage = SalvageReport {
        locks: unlock_all(table),
        ..SalvageReport::default()
    };
    for index in 0..table.buckets() {
        keep_in_bucket(shared, table, index, &check, &mut salvage);
    }
    let mut overflow = BTreeMap::new();
    for index in 0..table.buckets() {
        salvage.kept += drop_second_copies(shared, table, index, &mut overflow, &mut salvage);
    }
    for index in 0..table.buckets() {
        salvage.recounted += u64::from(recount(shared, index, &overflow));
    }
    zero_unused(shared);
    salvage
}

fn keep_in_bucket<S: Shape>(
    shared: &Store,
    table: Table<'_, S>,
    index: u64,
    check: impl Fn(&[u64], &[u64]) -> Option<DropReason>,
    salvage: &mut SalvageReport,
) {
    let bucket = Words::of(shared, index);
    if shared.layout.kind == StoreKind::Map {
        // Recency and reserved.
        (4..6).for_each(|word| bucket.store(word, 0));
    }
    let shape = table.shape();
    let mut kept: Vec<(u32, Vec<u64>)> = Vec::with_capacity(SLOTS);
    let occupied = bucket.load(0) as u16;
    for slot in bucket.occupied() {
        let entry = bucket.entry(slot);
        let (key, value) = entry.split_at(shape.key_words());
        let hash = table.hash_of(key);
        let reason = if !is_padded(key, shape.key_len()) {
            Some(DropReason::BadPadding)
        } else if table.alternate(hash, index).is_none() {
            Some(DropReason::Misplaced)
        } else if bucket.tag(slot) != hash.tag().in_slot(slot as usize) {
            Some(DropReason::WrongTag)
        } else if kept.iter().any(|(_, seen)| seen == key) {
            Some(DropReason::Twice)
        } else if kept.len() as u32 >= shape.limit(index) {
            Some(DropReason::Overfull)
        } else {
            check(key, value)
        };
        match reason {
            Some(reason) => {
                let KeyHash(key_hash) = hash;
                salvage.drop_entry(index, key_hash, reason);
            }
            None => kept.push((slot, key.to_vec())),
        }
    }
    let kept = kept.iter().fold(0, |set, (slot, _)| set | 1 << slot);
    if kept != occupied {
        bucket.occupy(kept);
    }
}

/// Of entries that are in both their buckets, drops the one that is in its secondary bucket; counts
/// the others that are in their secondary bucket, and all that stay.
fn drop_second_copies<S: Shape>(
    shared: &Store,
    table: Table<'_, S>,
    index: u64,
    overflow: &mut BTreeMap<(u64, u32), u64>,
    salvage: &mut SalvageReport,
) -> u64 {
    let bucket = Words::of(shared, index);
    let mut kept = 0;
    for slot in bucket.occupied() {
        let entry = bucket.entry(slot);
        let key = &entry[..table.shape().key_words()];
        let hash = table.hash_of(key);
        kept += 1;
        let primary = hash.primary(table.buckets());
        if primary == index {
            continue;
        }
        let view = table.bucket(primary);
        if view.search(view.read_begin(), hash.tag(), key) == Search::Absent {
            *overflow.entry((primary, hash.class())).or_default() += 1;
        } else {
            let KeyHash(key_hash) = hash;
            salvage.drop_entry(index, key_hash, DropReason::Duplicate);
            bucket.occupy(bucket.load(0) as u16 & !(1 << slot));
            kept -= 1;
        }
    }
    kept
}

/// Puts the counts of a bucket right; says whether they were not.
fn recount(shared: &Store, index: u64, overflow: &BTreeMap<(u64, u32), u64>) -> bool {
    let bucket = Words::of(shared, index);
    let mut counts = [0_u64; 2];
    for (&(_, class), &found) in overflow.range((index, 0)..(index, CLASSES)) {
        counts[class as usize / 16] |= found.min(COUNT_MAX) << (class % 16 * 4);
    }
    let before = [6, 7].map(|word| bucket.load(word));
    for (word, count) in counts.iter().enumerate() {
        bucket.store(6 + word, *count);
    }
    before != counts
}

/// Zeros in what belongs to no entry: records of moves, of which nobody looks for old ones, and
/// what is reserved.
fn zero_unused(shared: &Store) {
    let places = &shared.layout.places;
    let words = shared.mapping.words();
    for word in &words[places.moves..places.buckets] {
        word.store(0, Ordering::Relaxed);
    }
    if shared.layout.kind == StoreKind::Map {
        let shared_part = &words[places.shared..places.participants];
        for (at, word) in shared_part.iter().enumerate() {
            if !is_in_use(at, false) {
                word.store(0, Ordering::Relaxed);
            }
        }
    }
}

fn is_padded(key: &[u64], len: usize) -> bool {
    use zerocopy::IntoBytes;
    let bytes = key.as_bytes();
    bytes[len.min(bytes.len())..].iter().all(|&byte| byte == 0)
}

/// A bucket of which nobody else knows.
struct Words<'a> {
    words: &'a [AtomicU64],
    slot_words: usize,
}

impl<'a> Words<'a> {
    fn of(shared: &'a Store, index: u64) -> Self {
        Self {
            words: super::content::words_of(shared, index as usize),
            slot_words: shared.layout.counts.slot_words() as usize,
        }
    }

    fn load(&self, word: usize) -> u64 {
        self.words[word].load(Ordering::Relaxed)
    }

    fn store(&self, word: usize, value: u64) {
        self.words[word].store(value, Ordering::Relaxed);
    }

    /// The slots that are in use now.
    fn occupied(&self) -> impl Iterator<Item = u32> + use<> {
        let occupied = self.load(0) as u16;
        (0..SLOTS as u32).filter(move |slot| occupied >> slot & 1 == 1)
    }

    fn tag(&self, slot: u32) -> u8 {
        (self.load(2 + slot as usize / 8) >> (slot % 8 * 8)) as u8
    }

    fn entry(&self, slot: u32) -> Vec<u64> {
        let start = 8 + slot as usize * self.slot_words;
        let mut entry = Vec::with_capacity(self.slot_words);
        crate::sys::copy::append(&self.words[start..start + self.slot_words], &mut entry);
        entry
    }

    /// Publishes other slots in use, under the next version.
    fn occupy(&self, slots: u16) {
        let version = self.load(0) >> 16;
        self.words[0].store(
            version.wrapping_add(1) << 16 | u64::from(slots),
            Ordering::Release,
        );
    }
}
