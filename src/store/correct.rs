//! Putting right what can be computed anew: tags, and counts that are too low.
//!
//! A tag follows from its key, and a count from the keys that it counts. No process that follows the
//! protocol leaves a wrong one; but if another process wrote into the segment, an entry whose tag is wrong
//! or whose key is not counted is found by nobody. Keys and values follow from nothing: what is wrong with
//! them can only be removed, and is not, here.
//!
//! A tag that does not fit its key is wrong, or the key is. A wrong key seldom belongs into the
//! bucket where it is, but in a map of few buckets it often does: so a tag is put right only where the
//! keys beside it leave no doubt, or if the caller takes the keys for right.

use std::collections::BTreeMap;

use crate::liveness::RegisterError;
use crate::liveness::token::Token;
use crate::protocol::bucket::{Search, Slot};
use crate::protocol::shape::Shape;
use crate::protocol::table::Table;
use crate::store::Store;
use crate::sys::copy::Buffer;
use crate::sys::sync::{LOCK_SPINS, READ_TRIES_READ_ONLY, spin_hint};

/// A count that says "so many or more, for ever".
const COUNT_MAX: u64 = 15;

/// What a tag that does not fit its key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The tag is wrong, or the key is: the tag is put right only where the other keys of the bucket
    /// leave no doubt.
    MayBeWrong,
    /// The tag is wrong.
    AreRight,
}

/// What was put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corrections {
    /// Tags that were not those of their keys.
    pub tags: u64,
    /// Counts of keys in their secondary buckets that were too low.
    pub counts: u64,
}

/// Puts right, bucket by bucket, what can be. Others may read and write meanwhile; what they
/// have locked is left as it is.
pub(crate) fn correct<S: Shape>(
    shared: &Store,
    shape: S,
    keys: Keys,
) -> Result<Corrections, RegisterError> {
    let token = shared.token_or_error()?;
    let table = shared.table(shape);
    let mut corrections = Corrections::default();
    // Keys in their secondary buckets, by primary bucket and class.
    let mut found: BTreeMap<(u64, u32), u64> = BTreeMap::new();
    for index in 0..table.buckets() {
        let seen = look(&table, index);
        let are_right = keys == Keys::AreRight || seen.keys_are_right(table.buckets());
        for slot in seen.wrong.into_iter().filter(|_| are_right) {
            corrections.tags += u64::from(correct_tag(&table, token, index, slot));
        }
        for place in seen.counted {
            *found.entry(place).or_default() += 1;
        }
    }
    for ((bucket, class), keys) in found {
        corrections.counts += u64::from(correct_count(&table, token, bucket, class, keys));
    }
    Ok(corrections)
}

/// What one look at a bucket shows.
#[derive(Default)]
struct Seen {
    /// Slots with a wrong tag.
    wrong: Vec<Slot>,
    /// Whether there is a key that does not belong here, so that keys were overwritten.
    misplaced: bool,
    /// Primary bucket and class of the keys that are here in their secondary one.
    counted: Vec<(u64, u32)>,
}

impl Seen {
    /// Whether so many keys that do not fit their tags would not all belong here by chance, had they been
    /// overwritten: less than one time in a thousand.
    fn keys_are_right(&self, buckets: u64) -> bool {
        let chance = 2.0 / buckets as f64;
        let all = i32::try_from(self.wrong.len()).unwrap_or(i32::MAX);
        !self.misplaced && chance.powi(all) < 1e-3
    }
}

/// Nothing if others write there all the time: then their keys are found.
fn look<S: Shape>(table: &Table<'_, S>, index: u64) -> Seen {
    let mut buffer = table.shape().key_buffer();
    let bucket = table.bucket(index);
    for _ in 0..READ_TRIES_READ_ONLY {
        let mut seen = Seen::default();
        let state = bucket.read_begin();
        for slot in state.occupied() {
            let hash = table.hash_of(bucket.load_key(slot, buffer.words()));
            let Some(other) = table.alternate(hash, index) else {
                seen.misplaced = true;
                continue;
            };
            if bucket.tag(slot) != hash.tag().in_slot(slot.index()) {
                seen.wrong.push(slot);
            }
            let primary = hash.primary(table.buckets());
            if index != primary && index != other {
                seen.counted.push((primary, hash.class()));
            }
        }
        if bucket.validate(state) {
            return seen;
        }
        spin_hint();
    }
    Seen::default()
}

/// Both buckets of the key are locked, so that nobody inserts it beside the one that is found again.
fn correct_tag<S: Shape>(table: &Table<'_, S>, token: Token, index: u64, slot: Slot) -> bool {
    let mut buffer = table.shape().key_buffer();
    let view = table.bucket(index);
    let hash = table.hash_of(view.load_key(slot, buffer.words()));
    let Some(other) = table.alternate(hash, index) else {
        return false;
    };
    let lock = |bucket| table.bucket(bucket).try_lock(token, LOCK_SPINS).ok();
    let Some(first) = lock(index.min(other)) else {
        return false;
    };
    let second = match index == other {
        true => None,
        false => match lock(index.max(other)) {
            Some(second) => Some(second),
            None => return false,
        },
    };
    let (here, there) = match &second {
        Some(second) if index < other => (&first, Some(second)),
        Some(second) => (second, Some(&first)),
        None => (&first, None),
    };
    let key = here.load_key(slot, buffer.words());
    // Somebody may have been here between the look and the locks.
    if !here.state().occupied().contains(slot) || table.hash_of(key) != hash {
        return false;
    }
    let is_there = |search| matches!(search, Search::Found(_));
    let has_newer_copy = is_there(here.search(hash.tag(), key))
        || there.is_some_and(|there| is_there(there.search(hash.tag(), key)));
    // A newer entry of the same key is found, and this one must not be.
    if has_newer_copy {
        return false;
    }
    here.set_tag(slot, hash.tag());
    here.publish(here.state().occupied());
    true
}

/// Raises only: a count that is too high costs some misses a second look, and hides nothing.
fn correct_count<S: Shape>(
    table: &Table<'_, S>,
    token: Token,
    bucket: u64,
    class: u32,
    found: u64,
) -> bool {
    let found = found.min(COUNT_MAX);
    if table.bucket(bucket).overflow(class) >= found {
        return false;
    }
    let Ok(locked) = table.bucket(bucket).try_lock(token, LOCK_SPINS) else {
        return false;
    };
    let before = locked.overflow(class);
    // At most 15 steps.
    for _ in before..found {
        locked.increment_overflow(class);
    }
    before < found
}
