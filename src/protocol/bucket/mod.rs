//! One bucket: a header line and sixteen slots.
//!
//! ```text
//! word 0   state     version:48 | occupied:16    what readers depend on; the commit point
//! word 1   lock      owner token, 0 = free       readers never look at it
//! word 2   tags      8 x 8 bits                  slots 0..8
//! word 3   tags      8 x 8 bits                  slots 8..16
//! word 4   policy    see module `policy`         what a cache remembers about its entries;
//! word 5   policy                                zero in a map
//! word 6   overflow  16 x 4 bits                 how many keys whose primary bucket this is
//! word 7   overflow  16 x 4 bits                 are in their secondary one, by 32 classes
//! word 8.. slots     key words, then value words, then metadata words (module `metadata`)
//! ```
//!
//! # Writing
//!
//! A writer takes the lock, fills a slot that is *not* in `occupied` (at most fifteen ever are, so
//! there is a spare one), and publishes with **one** store of `state`: version plus one, the new slot
//! in, the old slot out. Before that store nothing has happened; after it everything has.
//! A writer that dies before it has changed nothing that anyone looks at.
//!
//! A value of at most one word is the exception: it is replaced in place by one store, which no
//! reader can see half of. It leaves the version alone, so it disturbs no reader; and such
//! maps need no spare slot, so all sixteen can be in use.
//!
//! # Reading
//!
//! A reader loads `state`, looks, and loads `state` again: if the version is the same, then
//! all that it saw in between was one consistent bucket. If the version went up by exactly
//! one and the slot it copied is still in `occupied`, the copy is good as well: that commit
//! filled a slot that had been free, and whoever writes next can only fill slots that are
//! free *now*. Anything else: begin again. This is a sequence lock (Boehm, "Can seqlocks
//! get along with programming language memory models?", 2012) turned around: the sequence
//! changes at the commit and not around it, so a writer that stops in the middle of a write
//! keeps nobody waiting.
//!
//! # Orderings
//!
//! | who | access | why |
//! |-----|--------|-----|
//! | reader | `read_begin`: relaxed load of `state`, then `fence(Acquire)` | pairs with the `Release` store in `publish`: the slots of that version, and everything published before, are visible |
//! | reader | `validate_slot`, `validate`: `fence(Acquire)`, then relaxed load of `state` | pairs with the `fence(Release)` in `try_lock`: if any word we copied was written by a later writer, the state published before that writer took the lock is visible, and it is not ours |
//! | writer | `try_lock`: compare-exchange, `AcqRel` | `Acquire` pairs with the `Release` of the former owner's unlocking swap; `Release` with the fence in `Slot::named_by`: whoever sees our token sees our participant slot |
//! | writer | `try_lock`: `fence(Release)` after it | see the reader's second fence |
//! | writer | slots and tags: relaxed stores | ordered by the fence above and the publication below |
//! | writer | `publish`: `Release` store of `state` | see the reader's first fence |
//! | writer | `begin_next`: `fence(Release)` | the same for a second commit under one lock: between the first publication and the words of the second |
//! | writer | `store_in_place`: `Release` store of the value | if a reader of a former occupant of the slot sees this value, it must also see that the version moved on |
//! | writer | `increment_overflow`, `decrement_overflow`: `Release` store | a reader that sees a lowered count sees the removal before it |
//! | taker | `take_over`: compare-exchange, `AcqRel` | `Acquire` pairs with the `Release` swap in `restore`: what an earlier taker changed is visible |
//! | writer | unlock: swap, `Release` | hands the bucket on; being a read-modify-write it also drains the store buffer before the call returns, so an operation that starts later, by the wall clock, sees the commit |
//!
//! A read-only mapping is read by relaxed loads and fences alone: an `Acquire` load or a
//! compare-exchange there is not defined.

mod header;
mod locked;

use core::mem::MaybeUninit;

use crate::liveness::token::{LockWord, Token};
use crate::policy;
use crate::protocol::shape::{HEADER_WORDS, SLOTS, Shape};
use crate::sys::copy::{self, CopyBuf};
use crate::sys::sync::{AtomicU64, Ordering, fence, prefetch, prefetch_at, spin_hint};
use crate::sys::tags::{self, Tag};

use self::header::{LOCK, POLICY, STATE, TAGS, overflow_counter};
pub(crate) use self::header::{Slot, SlotSet, State};
pub(crate) use self::locked::BucketGuard;

/// Words of a cache line.
const LINE_WORDS: u32 = 8;

/// A view of one bucket, for anyone.
#[derive(Clone, Copy)]
pub(crate) struct Bucket<'a, S> {
    /// Exactly `shape.bucket_words()` of them.
    words: &'a [AtomicU64],
    shape: S,
}

/// What a search in one bucket, at one state, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// The key is in this slot.
    Found(Slot),
    /// The key is in no slot, provided that the state has not changed meanwhile.
    Absent,
}

impl<'a, S: Shape> Bucket<'a, S> {
    /// The bucket that these words are.
    #[inline(always)]
    pub(crate) fn new(words: &'a [AtomicU64], shape: S) -> Self {
        debug_assert_eq!(words.len(), shape.bucket_words());
        Self { words, shape }
    }

    /// The words of a slot: first the key's, then the value's.
    #[inline(always)]
    fn slot(&self, slot: Slot) -> &'a [AtomicU64] {
        let start = HEADER_WORDS + slot.index() * self.shape.slot_words();
        &self.words[start..start + self.shape.slot_words()]
    }

    #[inline(always)]
    fn key(&self, slot: Slot) -> &'a [AtomicU64] {
        &self.slot(slot)[..self.shape.key_words()]
    }

    #[inline(always)]
    fn value(&self, slot: Slot) -> &'a [AtomicU64] {
        &self.slot(slot)[self.shape.key_words()..]
    }

    /// The slots where a key with this choice of [`SLOTS`] prefers to be: those that begin in the
    /// cache line where the chosen one does. (The lowest first: if one of them reaches into the
    /// next line, it is the highest.)
    #[inline(always)]
    pub(crate) fn preferred(&self, choice: u32) -> SlotSet {
        let words = self.shape.slot_words().max(1) as u32;
        let line = Slot::new(choice).0 * words / LINE_WORDS;
        let first_of = |line: u32| (line * LINE_WORDS).div_ceil(words).min(SLOTS as u32);
        let below = |slot: u32| (1u32 << slot) - 1;
        SlotSet((below(first_of(line + 1)) & !below(first_of(line))) as u16)
    }

    /// Asks for the line where a key with this choice begins, if it is where it prefers to be: the
    /// processor fetches it together with the header.
    #[inline(always)]
    pub(crate) fn prefetch_preferred(&self, choice: u32) {
        let chosen = Slot::new(choice).index();
        prefetch_at::<HEADER_WORDS>(self.words, chosen * self.shape.slot_words());
    }

    /// Where a reader starts: the state that all it sees from here on must belong to.
    #[inline(always)]
    pub(crate) fn read_begin(&self) -> State {
        let state = self.words[STATE].load(Ordering::Relaxed);
        // Acquire: pairs with the Release store in `publish`.
        fence(Ordering::Acquire);
        State(state)
    }

    /// Looks for a key among the slots that `state` says are in use.
    #[inline(always)]
    pub(crate) fn search(&self, state: State, tag: Tag, key: &[u64]) -> Search {
        for slot in self.tagged(state, tag) {
            // A key that is being overwritten may compare as anything: the caller
            // validates a match as well as a miss.
            let words = self.key(slot);
            if words
                .iter()
                .zip(key)
                .all(|(word, key)| word.load(Ordering::Relaxed) == *key)
            {
                return Search::Found(slot);
            }
        }
        Search::Absent
    }

    /// The slots in use under `state` whose tag is `tag`.
    #[inline(always)]
    pub(crate) fn tagged(&self, state: State, tag: Tag) -> SlotSet {
        SlotSet(tags::matches::<TAGS>(self.words, tag) & state.occupied().0)
    }

    /// The byte that is the tag of the entry in `slot`; to be validated by the caller.
    pub(crate) fn tag(&self, slot: Slot) -> u8 {
        let tags = self.words[TAGS + slot.index() / 8].load(Ordering::Relaxed);
        (tags >> (slot.index() % 8 * 8)) as u8
    }

    /// Appends a copy of the entry in `slot`, key then value; to be validated by the caller.
    pub(crate) fn append_entry(&self, slot: Slot, to: &mut Vec<u64>) {
        copy::append(self.slot(slot), to);
    }

    /// Whether what was read of `slot` since `state` is whole (see the module's head).
    #[inline(always)]
    pub(crate) fn validate_slot(&self, state: State, slot: Slot) -> bool {
        // Acquire: pairs with the Release fence in `try_lock`.
        fence(Ordering::Acquire);
        let now = State(self.words[STATE].load(Ordering::Relaxed));
        now == state || now.follows_and_keeps(state, slot)
    }

    /// Whether nothing has been published here since `state`.
    #[inline(always)]
    pub(crate) fn validate(&self, state: State) -> bool {
        // Acquire: pairs with the Release fence in `try_lock`.
        fence(Ordering::Acquire);
        State(self.words[STATE].load(Ordering::Relaxed)) == state
    }

    /// How many keys of `class` whose primary bucket this is live in their secondary bucket:
    /// never too low, and 15 means "15 or more, for ever".
    #[inline(always)]
    pub(crate) fn overflow(&self, class: u32) -> u64 {
        let (word, shift) = overflow_counter(class);
        (self.words[word].load(Ordering::Relaxed) >> shift) & 15
    }

    /// Copies the key in `slot`; to be validated by the caller.
    #[inline(always)]
    pub(crate) fn load_key<'t>(&self, slot: Slot, to: &'t mut [MaybeUninit<u64>]) -> &'t [u64] {
        copy::load(self.key(slot), to)
    }

    /// Copies the value in `slot`; to be validated by the caller.
    #[inline(always)]
    pub(crate) fn load_value(&self, slot: Slot, to: &mut CopyBuf<'_>) {
        to.load(self.value(slot));
    }

    /// Lets the policy know of a hit. Writes only if that changes something, and at most tries to:
    /// what another hit overtakes is not worth another attempt.
    #[inline(always)]
    pub(crate) fn touch(&self, slot: Slot) {
        let word = &self.words[POLICY];
        if !policy::is_hit(word.load(Ordering::Relaxed), slot.index() as u32) {
            Self::note_hit(word, slot);
        }
    }

    /// Apart from `touch`, so that a hot entry costs its readers not even the registers for this.
    #[cold]
    #[inline(never)]
    fn note_hit(word: &AtomicU64, slot: Slot) {
        let before = word.load(Ordering::Relaxed);
        let after = policy::hit(before, slot.index() as u32);
        if after != before {
            // Relaxed: the policy's words order nothing, and any value of them is harmless.
            let _ = word.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Asks for the header line ahead of time.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.words[STATE]);
    }

    /// Asks for the line where the entry with this tag probably starts. Looks at the header, and says
    /// whether there is one.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, tag: Tag) -> bool {
        let slot = self.tagged(self.read_begin(), tag).next();
        if let Some(slot) = slot
            && let Some(word) = self.slot(slot).first()
        {
            prefetch(word);
        }
        slot.is_some()
    }

    /// The lock word, for those who wait.
    pub(crate) fn lock_word(&self) -> &'a AtomicU64 {
        &self.words[LOCK]
    }

    /// Takes the lock if it is free and nobody waits for it.
    #[inline(always)]
    pub(crate) fn try_lock_once(self, token: Token) -> Option<BucketGuard<'a, S>> {
        self.try_lock_or_see(token).ok()
    }

    #[inline(always)]
    fn try_lock_or_see(self, token: Token) -> Result<BucketGuard<'a, S>, LockWord> {
        // Acquire: pairs with the Release swap in `BucketGuard::drop`. Release: our participant
        // slot, written before the token was first used, is visible to whoever sees the token.
        self.lock_word()
            .compare_exchange(0, token.to_word(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| BucketGuard::new(self))
            .map_err(LockWord)
    }

    /// Tries to take the lock, spinning for a moment while somebody holds it. What it
    /// finds in the end is the answer: ours, or the word that stood there.
    #[inline(always)]
    pub(crate) fn try_lock(self, token: Token, spins: u32) -> Result<BucketGuard<'a, S>, LockWord> {
        self.try_lock_or_see(token)
            .or_else(|found| self.try_lock_contended(token, spins, found))
    }

    #[cold]
    #[inline(never)]
    fn try_lock_contended(
        self,
        token: Token,
        spins: u32,
        mut found: LockWord,
    ) -> Result<BucketGuard<'a, S>, LockWord> {
        let lock = self.lock_word();
        for spin in 0..=spins {
            // A word without an owner is free, whatever else may stand in it.
            if found.owner().is_none() {
                let taken = found.taken_by(token).0;
                // AcqRel: as in `try_lock`.
                match lock.compare_exchange(found.0, taken, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return Ok(BucketGuard::new(self)),
                    Err(word) => found = LockWord(word),
                }
            } else if spin < spins {
                spin_hint();
                found = LockWord(lock.load(Ordering::Relaxed));
            }
        }
        Err(found)
    }

    /// Takes the lock from a dead owner: only if exactly the word `dead` still stands there.
    pub(crate) fn take_over(self, dead: LockWord, token: Token) -> Option<BucketGuard<'a, S>> {
        let taken = dead.taken_by(token).0;
        // Acquire: pairs with the Release swap in `restore`, whose caller may have changed
        // the bucket. A dead process's own publications were ordered before its death by
        // the kernel, whose answer the caller has. Release: as in `try_lock`.
        self.lock_word()
            .compare_exchange(dead.0, taken, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| BucketGuard::new(self))
    }
}
