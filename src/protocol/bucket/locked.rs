//! A bucket whose lock we hold: what only its writer may do.

use core::mem::MaybeUninit;

use super::header::{POLICY, STATE, Slot, SlotSet, State, TAGS, overflow_counter};
use super::{Bucket, Search};
use crate::liveness::token::LockWord;
use crate::policy;
use crate::protocol::shape::Shape;
use crate::sys::copy::{self, CopyBuf};
use crate::sys::sync::{Ordering, fence, futex_wake_all, unsync_load};
use crate::sys::tags::Tag;

/// A bucket whose lock we hold. Dropping it unlocks.
///
/// No code of the user's runs while one of these exists, and no thread sleeps.
pub(crate) struct BucketGuard<'a, S: Shape> {
    bucket: Bucket<'a, S>,
}

impl<'a, S: Shape> BucketGuard<'a, S> {
    #[inline(always)]
    pub(super) fn new(bucket: Bucket<'a, S>) -> Self {
        // Release: pairs with the Acquire fences in `validate_slot` and `validate`. Whoever
        // sees a word that we write from here on sees the states published before.
        fence(Ordering::Release);
        Self { bucket }
    }

    /// The state, which only we may change.
    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        State(unsync_load(&self.bucket.words[STATE]))
    }

    /// As [`Bucket::preferred`].
    #[inline(always)]
    pub(crate) fn preferred(&self, choice: u32) -> SlotSet {
        self.bucket.preferred(choice)
    }

    /// Looks for a key; the answer stays true until we change it.
    #[inline(always)]
    pub(crate) fn search(&self, tag: Tag, key: &[u64]) -> Search {
        self.bucket.search(self.state(), tag, key)
    }

    /// Copies the key in `slot`.
    pub(crate) fn load_key<'t>(&self, slot: Slot, to: &'t mut [MaybeUninit<u64>]) -> &'t [u64] {
        self.bucket.load_key(slot, to)
    }

    /// Copies the value in `slot`.
    #[inline(always)]
    pub(crate) fn load_value<'s>(&self, slot: Slot, to: &'s mut CopyBuf<'_>) -> &'s [u64] {
        to.load(self.bucket.value(slot))
    }

    /// Replaces a value of at most one word in place.
    #[inline(always)]
    pub(crate) fn store_in_place(&self, slot: Slot, value: &[u64]) {
        debug_assert!(value.len() <= 1, "longer values could be seen half written");
        if let (Some(word), Some(value)) = (self.bucket.value(slot).first(), value.first()) {
            // Release: a reader of a former occupant of this slot that copies the new
            // value sees, at its second look, that the version has moved on.
            word.store(*value, Ordering::Release);
        }
    }

    /// Stores the word at `offset` behind the key of `slot`, which is in use: one that says the
    /// same of the entry before and after, so that readers may see either.
    pub(crate) fn store_value_word(&self, slot: Slot, offset: usize, value: u64) {
        if let Some(word) = self.bucket.value(slot).get(offset) {
            // Release: as in `store_in_place`.
            word.store(value, Ordering::Release);
        }
    }

    /// The dimensions of its entries.
    pub(crate) fn shape(&self) -> &S {
        &self.bucket.shape
    }

    /// What the policy remembers about the bucket.
    pub(crate) fn policy(&self) -> policy::Words {
        // Not `unsync_load`: hits change them without the lock.
        [POLICY, POLICY + 1].map(|word| self.bucket.words[word].load(Ordering::Relaxed))
    }

    /// Stores what the policy shall remember. A hit that comes between is lost to it.
    pub(crate) fn set_policy(&self, before: policy::Words, after: policy::Words) {
        for (at, (before, after)) in before.into_iter().zip(after).enumerate() {
            if before != after {
                // Relaxed: see `touch`.
                self.bucket.words[POLICY + at].store(after, Ordering::Relaxed);
            }
        }
    }

    /// As [`Bucket::append_entry`], and valid.
    pub(crate) fn append_entry(&self, slot: Slot, to: &mut Vec<u64>) {
        self.bucket.append_entry(slot, to);
    }

    /// The word at `offset` behind the key of `slot`, if there is one.
    pub(crate) fn value_word(&self, slot: Slot, offset: usize) -> Option<u64> {
        self.bucket.value(slot).get(offset).map(unsync_load)
    }

    /// Fills a slot that is not in use. Nobody sees it before `publish`.
    #[inline(always)]
    pub(crate) fn fill(&self, slot: Slot, tag: Tag, key: &[u64], value: &[u64]) {
        self.set_tag(slot, tag);
        copy::store(key, self.bucket.key(slot));
        copy::store(value, self.bucket.value(slot));
    }

    #[inline(always)]
    pub(crate) fn set_tag(&self, slot: Slot, tag: Tag) {
        let word = &self.bucket.words[TAGS + slot.index() / 8];
        let shift = slot.index() % 8 * 8;
        let tags =
            unsync_load(word) & !(0xFF << shift) | u64::from(tag.in_slot(slot.index())) << shift;
        word.store(tags, Ordering::Relaxed);
    }

    /// Fills a slot that is not in use with the entry in `slot` of `from`, which is locked too.
    pub(crate) fn fill_from(&self, place: Slot, tag: Tag, from: &Self, slot: Slot) {
        self.set_tag(place, tag);
        for (word, to) in from.bucket.slot(slot).iter().zip(self.bucket.slot(place)) {
            to.store(unsync_load(word), Ordering::Relaxed);
        }
    }

    /// The commit point: makes `occupied` the slots in use, and what they hold visible.
    #[inline(always)]
    pub(crate) fn publish(&self, occupied: SlotSet) {
        let next = self.state().next(occupied);
        // Release: pairs with the Acquire fence in `read_begin`; makes the slots' words visible.
        self.bucket.words[STATE].store(next.0, Ordering::Release);
    }

    /// Unlocks, but puts the word of its dead owner back: for all
    /// others it is as if nobody had come.
    pub(crate) fn restore(self, dead: LockWord) {
        let lock = self.bucket.lock_word();
        // Not unlocked by `drop`: the bucket would be anyone's for a moment.
        core::mem::forget(self);
        // Release: pairs with the Acquire in `take_over`. Who sleeps on our word wakes up and
        // finds the word of its dead owner.
        if LockWord(lock.swap(dead.0, Ordering::Release)).has_waiters() {
            futex_wake_all(lock);
        }
    }

    /// As [`Bucket::overflow`]; only we may change it.
    #[inline(always)]
    pub(crate) fn overflow(&self, class: u32) -> u64 {
        let (word, shift) = overflow_counter(class);
        (unsync_load(&self.bucket.words[word]) >> shift) & 15
    }

    /// Between two commits under one lock: what is written from here on belongs to the second.
    pub(crate) fn begin_next(&self) {
        // Release: as in `new`, for the state that was just published.
        fence(Ordering::Release);
    }

    /// Counts one more key of `class` that is in its secondary bucket; before that key is published
    /// there.
    pub(crate) fn increment_overflow(&self, class: u32) {
        let (word, shift) = overflow_counter(class);
        let counts = unsync_load(&self.bucket.words[word]);
        if (counts >> shift) & 15 < 15 {
            // Release: ordered before the publication in the secondary bucket in any case;
            // stated here so that the pair with `decrement_overflow` is one mechanism.
            self.bucket.words[word].store(counts + (1 << shift), Ordering::Release);
        }
    }

    /// Counts one key of `class` less; after it is gone from the secondary bucket, for all to see.
    pub(crate) fn decrement_overflow(&self, class: u32) {
        let (word, shift) = overflow_counter(class);
        let counts = unsync_load(&self.bucket.words[word]);
        if matches!((counts >> shift) & 15, 1..15) {
            // Release: whoever sees the lower count sees the removal that came before.
            self.bucket.words[word].store(counts - (1 << shift), Ordering::Release);
        }
    }
}

impl<S: Shape> Drop for BucketGuard<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        let lock = self.bucket.lock_word();
        // Release: pairs with the Acquire in `try_lock`. A swap and not a store: it tells
        // whether somebody sleeps, and no store of ours is still in the buffer when the
        // call returns.
        if LockWord(lock.swap(0, Ordering::Release)).has_waiters() {
            futex_wake_all(lock);
        }
    }
}
