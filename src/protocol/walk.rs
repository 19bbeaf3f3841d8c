//! Walking through all entries while others write.
//!
//! A walk passes over the buckets one or several times, and yields in each pass the keys of one class
//! ([`crate::protocol::order`]). What follows holds for each pass and its keys.
//!
//! It visits the buckets one after the other, from some start round to the one before it, and
//! copies each one whole, at one version; "before" and "behind" are meant in that order. An
//! entry that stays in its bucket is therefore met exactly once. One that is displaced
//! meanwhile could be met twice or never; the ring of recent moves ([`crate::protocol::move_log`]) tells:
//!
//! After each bucket `c`, the walker reads the records that are new. A record is written before
//! its move is published, and readers of a publication see what came before it; so a record that is
//! *not* there after the copy of bucket `c` was made belongs to a move that none of the copies
//! so far has seen. Hence for a key that moves from bucket `from`:
//!
//! - `from < c`: it was in the copy of `from`, so it has been yielded;
//! - `from >= c`: it has not, unless the copy of `c` itself shows it.
//!
//! The walker remembers such a key (by its hash) with that bit until it has passed both of its
//! buckets. Where it meets a remembered key, the bit decides; where it has passed both and the bit
//! is still clear, it looks the key up. What it remembers is bounded by the moves that
//! really happened and by a constant; a walker that is left behind by more moves than the ring
//! holds says so ([`Lost::Lagged`]) and does not guess.

use std::collections::BTreeMap;

use crate::protocol::hash::KeyHash;
use crate::protocol::move_log::{Direction, Move, Record};
use crate::protocol::order::Order;
use crate::protocol::shape::Shape;
use crate::protocol::table::Table;
use crate::sys::sync::READ_TRIES_READ_ONLY;
use crate::sys::sync::spin_hint;

/// Most keys that a walker remembers: some megabytes.
const MAX_MOVED_KEYS: usize = 1 << 16;

/// Most claimed but unwritten records that a walker keeps an eye on: each is a writer that
/// stands, or died, in the few instructions between claiming and writing a record.
const MAX_UNFINISHED: usize = 64;

/// Why a walk cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// More entries were displaced meanwhile than the walker could keep track of.
    Lagged,
    /// A bucket did not come to rest within the bounded number of tries.
    Contended,
}

/// A key that changes its bucket during the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MovedKey {
    /// The position of the later one of its two buckets: behind it the key can be forgotten.
    last: u64,
    hash: u64,
}

/// The place of a walk.
pub(crate) struct Scan {
    order: Order,
    /// The number of the pass.
    pass: u32,
    /// How many buckets there are.
    buckets: u64,
    /// The bucket where the pass began.
    start: u64,
    /// The position of the next bucket: how many come before it in this pass.
    next: u64,
    /// The next record of the ring.
    record: u64,
    /// Records that were claimed but not written when we came by.
    unfinished: Vec<u64>,
    /// Keys that move, and whether they have been yielded.
    moved_keys: BTreeMap<MovedKey, bool>,
}

/// Entries copied out of the segment: whole slots, one after the other.
#[derive(Default)]
pub(crate) struct Entries {
    words: Vec<u64>,
    count: usize,
}

impl Entries {
    fn clear(&mut self) {
        self.words.clear();
        self.count = 0;
    }

    /// All of them, each the words of a slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u64]> {
        let slot_words = self.words.len().checked_div(self.count).unwrap_or(0);
        (0..self.count).map(move |entry| &self.words[entry * slot_words..][..slot_words])
    }

    /// The entry number `index`, if there are that many.
    pub(crate) fn get(&self, index: usize) -> Option<&[u64]> {
        let slot_words = self.words.len().checked_div(self.count)?;
        self.words
            .get(index * slot_words..)?
            .get(..slot_words)
            .filter(|_| index < self.count)
    }

    /// Keeps the entries of which `keep` says so.
    fn retain(&mut self, mut keep: impl FnMut(&[u64]) -> bool) {
        let slot_words = self.words.len().checked_div(self.count).unwrap_or(0);
        let mut kept = 0;
        for entry in 0..self.count {
            let at = entry * slot_words;
            if keep(&self.words[at..at + slot_words]) {
                self.words
                    .copy_within(at..at + slot_words, kept * slot_words);
                kept += 1;
            }
        }
        self.words.truncate(kept * slot_words);
        self.count = kept;
    }
}

impl Scan {
    /// A walk that starts now.
    pub(crate) fn new<S: Shape>(table: &Table<'_, S>, order: Order) -> Self {
        Self::pass(table, order, 0)
    }

    /// A pass that starts now.
    fn pass<S: Shape>(table: &Table<'_, S>, order: Order, pass: u32) -> Self {
        // Read before any bucket is: a record that is older belongs to a move that may still be
        // unpublished only if its writer holds its locks now, which is rare but possible,
        // so as many records as there can be such writers are looked at again.
        let record = table.moves().head().saturating_sub(MAX_UNFINISHED as u64);
        Self {
            order,
            pass,
            buckets: table.buckets(),
            start: order.start(table, pass),
            next: 0,
            record,
            unfinished: Vec::new(),
            moved_keys: BTreeMap::new(),
        }
    }

    /// How many buckets are done: of several passes, their mean.
    pub(crate) fn done(&self) -> u64 {
        let visits = u128::from(self.pass) * u128::from(self.buckets) + u128::from(self.next);
        (visits / u128::from(self.order.passes())) as u64
    }

    /// Fills `entries` with what the next bucket contributes (perhaps nothing). False at the end.
    /// A walk that is lost contributes nothing any more.
    pub(crate) fn advance<S: Shape>(
        &mut self,
        table: &Table<'_, S>,
        entries: &mut Entries,
    ) -> Result<bool, Lost> {
        let result = self.try_advance(table, entries);
        if result.is_err() {
            // What was copied of the last bucket may have been yielded before.
            entries.clear();
        }
        result
    }

    fn try_advance<S: Shape>(
        &mut self,
        table: &Table<'_, S>,
        entries: &mut Entries,
    ) -> Result<bool, Lost> {
        entries.clear();
        if self.next >= self.buckets {
            if self.pass + 1 >= self.order.passes() {
                return Ok(false);
            }
            *self = Self::pass(table, self.order, self.pass + 1);
        }
        let current = self.next;
        copy_bucket(table, self.bucket_at(current), entries)?;
        if self.order.passes() > 1 {
            entries.retain(|entry| {
                let hash = table.hash_of(&entry[..table.shape().key_words()]);
                self.order.includes(self.pass, hash)
            });
        }
        self.read_records(table, current)?;
        self.next += 1;
        if !self.moved_keys.is_empty() {
            let mut moved_keys = std::mem::take(&mut self.moved_keys);
            entries.retain(|entry| {
                let hash = table.hash_of(&entry[..table.shape().key_words()]);
                match moved_keys.get_mut(&self.moved_key(hash)) {
                    Some(yielded) => !std::mem::replace(yielded, true),
                    None => true,
                }
            });
            self.moved_keys = moved_keys;
            self.look_up_the_passed(table, current, entries)?;
        }
        Ok(true)
    }

    /// The bucket at a position of this pass.
    fn bucket_at(&self, position: u64) -> u64 {
        match position.checked_sub(self.buckets - self.start) {
            Some(round) => round,
            None => self.start + position,
        }
    }

    /// The position of a bucket in this pass.
    fn position(&self, bucket: u64) -> u64 {
        match bucket.checked_sub(self.start) {
            Some(position) => position,
            None => bucket + (self.buckets - self.start),
        }
    }

    fn moved_key(&self, hash: KeyHash) -> MovedKey {
        let primary = self.position(hash.primary(self.buckets));
        let secondary = self.position(hash.secondary(self.buckets));
        MovedKey {
            last: primary.max(secondary),
            hash: hash.0,
        }
    }

    /// Reads the records that are new since the last bucket.
    fn read_records<S: Shape>(&mut self, table: &Table<'_, S>, current: u64) -> Result<(), Lost> {
        let moves = table.moves();
        let head = moves.head();
        // A head that went backwards was not written by this protocol.
        let new = head.checked_sub(self.record).ok_or(Lost::Lagged)?;
        if new > moves.len() {
            return Err(Lost::Lagged);
        }
        let pending = std::mem::take(&mut self.unfinished);
        for number in pending.into_iter().chain(self.record..head) {
            match moves.get(number) {
                Record::Finished(found) => self.note(table, found, current)?,
                Record::Overwritten => return Err(Lost::Lagged),
                Record::Unfinished => {
                    // A place that was claimed again since may have been overwritten unseen.
                    let too_old = head - number > moves.len();
                    if too_old || self.unfinished.len() == MAX_UNFINISHED {
                        return Err(Lost::Lagged);
                    }
                    self.unfinished.push(number);
                }
            }
        }
        self.record = head;
        Ok(())
    }

    fn note<S: Shape>(
        &mut self,
        table: &Table<'_, S>,
        found: Move,
        current: u64,
    ) -> Result<(), Lost> {
        if !self.order.includes(self.pass, found.hash) {
            return Ok(()); // Another pass yields it.
        }
        let moved_key = self.moved_key(found.hash);
        if moved_key.last < current {
            return Ok(()); // Both of its buckets are behind us.
        }
        let from = match found.direction {
            Direction::ToPrimary => found.hash.secondary(table.buckets()),
            Direction::ToSecondary => found.hash.primary(table.buckets()),
        };
        let from = self.position(from);
        if self.moved_keys.len() >= MAX_MOVED_KEYS {
            return Err(Lost::Lagged);
        }
        self.moved_keys.entry(moved_key).or_insert(from < current);
        Ok(())
    }

    /// Yields those whose two buckets are behind us and that were seen in neither.
    fn look_up_the_passed<S: Shape>(
        &mut self,
        table: &Table<'_, S>,
        current: u64,
        entries: &mut Entries,
    ) -> Result<(), Lost> {
        while let Some(moved_key) = self.moved_keys.first_entry() {
            if moved_key.key().last > current {
                break;
            }
            let (moved_key, yielded) = moved_key.remove_entry();
            if !yielded {
                copy_by_hash(table, KeyHash(moved_key.hash), entries)?;
            }
        }
        Ok(())
    }
}

/// A walk that hands out its entries one by one.
pub(crate) struct Cursor {
    walk: Scan,
    /// What the last bucket contributed.
    entries: Entries,
    /// How many of these have been handed out.
    taken: usize,
    is_over: bool,
}

impl Cursor {
    /// A walk that starts now.
    pub(crate) fn new<S: Shape>(table: &Table<'_, S>, order: Order) -> Self {
        Self {
            walk: Scan::new(table, order),
            entries: Entries::default(),
            taken: 0,
            is_over: false,
        }
    }

    /// How many buckets are done.
    pub(crate) fn done(&self) -> u64 {
        self.walk.done()
    }

    /// The words of the next entry, those of its key first. A walk that is lost says so once. The
    /// table is asked for once a bucket.
    pub(crate) fn next<'a, S: Shape>(
        &mut self,
        table: impl Fn() -> Table<'a, S>,
    ) -> Option<Result<&[u64], Lost>> {
        while self.taken == self.entries.count {
            if self.is_over {
                return None;
            }
            self.taken = 0;
            match self.walk.advance(&table(), &mut self.entries) {
                Ok(more) => self.is_over = !more,
                Err(lost) => {
                    self.is_over = true;
                    return Some(Err(lost));
                }
            }
        }
        self.taken += 1;
        self.entries.get(self.taken - 1).map(Ok)
    }
}

/// Copies all entries of a bucket at one version.
fn copy_bucket<S: Shape>(
    table: &Table<'_, S>,
    index: u64,
    entries: &mut Entries,
) -> Result<(), Lost> {
    let bucket = table.bucket(index);
    for _ in 0..READ_TRIES_READ_ONLY {
        entries.clear();
        let state = bucket.read_begin();
        for slot in state.occupied() {
            bucket.append_entry(slot, &mut entries.words);
            entries.count += 1;
        }
        if bucket.validate(state) {
            return Ok(());
        }
        spin_hint();
    }
    Err(Lost::Contended)
}

/// Copies the entry whose key has this hash, if it is there, from either of its buckets.
fn copy_by_hash<S: Shape>(
    table: &Table<'_, S>,
    hash: KeyHash,
    entries: &mut Entries,
) -> Result<(), Lost> {
    let (words, count) = (entries.words.len(), entries.count);
    let buckets = [
        hash.primary(table.buckets()),
        hash.secondary(table.buckets()),
    ];
    for _ in 0..READ_TRIES_READ_ONLY {
        entries.words.truncate(words);
        entries.count = count;
        let [primary, secondary] = buckets.map(|index| table.bucket(index));
        let states = [primary.read_begin(), secondary.read_begin()];
        'search: for (bucket, state) in [primary, secondary].iter().zip(states) {
            for slot in bucket.tagged(state, hash.tag()) {
                let start = entries.words.len();
                bucket.append_entry(slot, &mut entries.words);
                let key = &entries.words[start..start + table.shape().key_words()];
                if table.hash_of(key) == hash {
                    entries.count += 1;
                    break 'search;
                }
                entries.words.truncate(start);
            }
        }
        if secondary.validate(states[1]) && primary.validate(states[0]) {
            return Ok(());
        }
        spin_hint();
    }
    Err(Lost::Contended)
}
