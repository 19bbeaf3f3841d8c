//! One bucket: a header line and sixteen slots.
//!
//! ```text
//! word 0   state     version:48 | occupied:16    what readers depend on; the commit point
//! word 1   lock      owner token, 0 = free       readers never look at it
//! word 2   tags      8 x 8 bits                  slots 0..8
//! word 3   tags      8 x 8 bits                  slots 8..16
//! word 4   policy    see module `policy`         what a cache remembers about its entries;
//! word 5   policy                                zero in a map
//! word 6   away      16 x 4 bits                 how many keys at home here live elsewhere,
//! word 7   away      16 x 4 bits                 for each of 32 classes of keys
//! word 8.. slots     key words, then value words, then metadata words (module `entry`)
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
//! | reader | `begin`: relaxed load of `state`, then `fence(Acquire)` | pairs with the `Release` store in `publish`: the slots of that version, and everything published before, are visible |
//! | reader | `confirms`, `unchanged`: `fence(Acquire)`, then relaxed load of `state` | pairs with the `fence(Release)` in `try_lock`: if any word we copied was written by a later writer, the state published before that writer took the lock is visible, and it is not ours |
//! | writer | `try_lock`: compare-exchange, `AcqRel` | `Acquire` pairs with the `Release` of the former owner's unlocking swap; `Release` with the fence in `Slot::named_by`: whoever sees our token sees our participant slot |
//! | writer | `try_lock`: `fence(Release)` after it | see the reader's second fence |
//! | writer | slots and tags: relaxed stores | ordered by the fence above and the publication below |
//! | writer | `publish`: `Release` store of `state` | see the reader's first fence |
//! | writer | `begin_next`: `fence(Release)` | the same for a second commit under one lock: between the first publication and the words of the second |
//! | writer | `store_in_place`: `Release` store of the value | if a reader of a former occupant of the slot sees this value, it must also see that the version moved on |
//! | writer | `raise_away`, `lower_away`: `Release` store | a reader that sees a lowered count sees the removal before it |
//! | taker | `take_over`: compare-exchange, `AcqRel` | `Acquire` pairs with the `Release` swap in `give_back`: what an earlier taker changed is visible |
//! | writer | unlock: swap, `Release` | hands the bucket on; being a read-modify-write it also drains the store buffer before the call returns, so an operation that starts later, by the wall clock, sees the commit |
//!
//! A read-only mapping is read by relaxed loads and fences alone: an `Acquire` load or a
//! compare-exchange there is not defined.

use core::mem::MaybeUninit;

use crate::liveness::token::{LockWord, Token};
use crate::policy;
use crate::protocol::table::evict::Replacement;
use crate::sys::copy::{self, Sink};
use crate::sys::sync::{
    AtomicU64, Ordering, fence, futex_wake_all, prefetch, prefetch_at, spin_hint, unsync_load,
};
use crate::sys::tags::{self, Tag};

/// Words before the first slot.
pub(crate) const HEADER_WORDS: usize = 8;
/// Words of a cache line.
const LINE_WORDS: u32 = 8;
/// Slots in a bucket.
pub(crate) const SLOTS: usize = 16;

/// Slots of a bucket that can be in use at a time, for values of so many words: one is spare, to
/// write the next version of an entry into, unless values are replaced in place, which needs
/// that there is no metadata.
pub(crate) const fn usable(value_words: u64, meta_words: u32) -> u32 {
    if value_words <= 1 && meta_words == 0 {
        SLOTS as u32
    } else {
        SLOTS as u32 - 1
    }
}

/// Places in the header line.
const STATE: usize = 0;
const LOCK: usize = 1;
const TAGS: usize = 2;
const POLICY: usize = 4;
const AWAY: usize = 6;

/// The word and the shift of the counter for a class of keys.
#[inline(always)]
fn away_count(class: u32) -> (usize, u32) {
    (AWAY + (class as usize >> 4 & 1), (class & 15) * 4)
}

/// Private memory for words that are about to be copied out of a segment.
pub(crate) trait Buffer {
    /// All of it.
    fn words(&mut self) -> &mut [MaybeUninit<u64>];
}

/// The dimensions of an entry. Constants for a typed map, values for an untyped handle.
pub(crate) trait Shape: Copy {
    /// Private memory for the words of one key.
    type KeyBuffer: Buffer;

    /// Bytes of a key; what is hashed.
    fn key_len(self) -> usize;
    /// Words of a key: its bytes rounded up, the rest zero.
    fn key_words(self) -> usize;
    /// Words of a value, the metadata of a cache included.
    fn value_words(self) -> usize;
    /// A buffer for one key.
    fn key_buffer(self) -> Self::KeyBuffer;

    /// What a cache does when there is no room; `None` in a map, whose entries move.
    #[inline(always)]
    fn replacement(&self) -> Option<&Replacement<'_>> {
        None
    }

    /// Words behind the value in a slot; part of [`value_words`](Self::value_words).
    #[inline(always)]
    fn meta_words(self) -> usize {
        0
    }

    /// Slots that can be in use at a time.
    #[inline(always)]
    fn usable(self) -> u32 {
        usable(self.value_words() as u64, self.meta_words() as u32)
    }

    /// Slots of bucket number `bucket` that may be in use at a time: a cache promises an upper
    /// limit of its entries.
    #[inline(always)]
    fn limit(self, bucket: u64) -> u32 {
        match self.replacement() {
            Some(replacement) => replacement.limit(bucket),
            None => self.usable(),
        }
    }

    /// Whether values are replaced in place.
    #[inline(always)]
    fn is_in_place(self) -> bool {
        self.usable() as usize == SLOTS
    }

    /// Words of a slot.
    #[inline(always)]
    fn slot_words(self) -> usize {
        self.key_words() + self.value_words()
    }

    /// Words of a bucket. Memory safety depends on that a shape gives the same answer each time
    /// (see [`crate::protocol::buckets`]), and that the answers that this one is made of do: they are constants, or
    /// copies of private fields.
    #[inline(always)]
    fn bucket_words(self) -> usize {
        HEADER_WORDS + SLOTS * self.slot_words()
    }
}

/// The word that readers depend on: how often the bucket was published, and which slots are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    /// The slots in use.
    #[inline(always)]
    pub(crate) fn occupied(self) -> SlotSet {
        SlotSet(self.0 as u16)
    }

    /// How often the bucket was published.
    pub(crate) fn version(self) -> u64 {
        self.0 >> 16
    }

    /// Whether exactly one commit separates this state from `before`, and left `slot` in use.
    #[cold]
    fn follows_and_keeps(self, before: Self, slot: Slot) -> bool {
        let commits = (self.0 >> 16).wrapping_sub(before.0 >> 16) & ((1 << 48) - 1);
        commits == 1 && self.occupied().contains(slot)
    }

    /// The state that follows this one. The version wraps after 2^48 publications of one
    /// bucket: years of them while a single read is under way.
    #[inline(always)]
    fn next(self, occupied: SlotSet) -> Self {
        Self((self.0 & !0xFFFF).wrapping_add(1 << 16) | u64::from(occupied.0))
    }
}

/// A place for an entry, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    #[inline(always)]
    fn bit(self) -> u16 {
        1 << (self.0 & 15)
    }

    /// Slot number `index`, of which the low four bits count.
    #[inline(always)]
    pub(crate) fn new(index: u32) -> Self {
        Self(index & 15)
    }

    /// The number, certainly below 16 (which spares bounds checks).
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        (self.0 & 15) as usize
    }
}

/// A set of slots. Iterates from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotSet(u16);

impl SlotSet {
    /// The set as bits, the lowest for slot 0.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(crate) fn contains(self, slot: Slot) -> bool {
        self.0 & slot.bit() != 0
    }

    #[inline(always)]
    pub(crate) fn with(self, slot: Slot) -> Self {
        Self(self.0 | slot.bit())
    }

    #[inline(always)]
    pub(crate) fn without(self, slot: Slot) -> Self {
        Self(self.0 & !slot.bit())
    }

    /// Where one more entry may go, if `usable` slots may be in use: not beyond, so that a spare
    /// slot remains.
    #[inline(always)]
    pub(crate) fn room(self, usable: u32, preferred: Self) -> Option<Slot> {
        if self.len() < usable {
            self.free(preferred)
        } else {
            None
        }
    }

    /// A slot that is not in the set, a preferred one if possible.
    #[inline(always)]
    pub(crate) fn free(self, preferred: Self) -> Option<Slot> {
        match !self.0 & preferred.0 {
            0 => self.first_free(),
            free => Some(Slot(free.trailing_zeros())),
        }
    }

    /// The lowest slot that is not in the set.
    #[inline(always)]
    pub(crate) fn first_free(self) -> Option<Slot> {
        (self.0 != u16::MAX).then(|| Slot(self.0.trailing_ones()))
    }
}

impl Iterator for SlotSet {
    type Item = Slot;

    #[inline(always)]
    fn next(&mut self) -> Option<Slot> {
        if self.0 == 0 {
            return None;
        }
        let slot = Slot(self.0.trailing_zeros());
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

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
    pub(crate) fn begin(&self) -> State {
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
    pub(crate) fn confirms(&self, state: State, slot: Slot) -> bool {
        // Acquire: pairs with the Release fence in `try_lock`.
        fence(Ordering::Acquire);
        let now = State(self.words[STATE].load(Ordering::Relaxed));
        now == state || now.follows_and_keeps(state, slot)
    }

    /// Whether nothing has been published here since `state`.
    #[inline(always)]
    pub(crate) fn unchanged(&self, state: State) -> bool {
        // Acquire: pairs with the Release fence in `try_lock`.
        fence(Ordering::Acquire);
        State(self.words[STATE].load(Ordering::Relaxed)) == state
    }

    /// How many keys of `class` that are at home here live in their other bucket:
    /// never too low, and 15 means "15 or more, for ever".
    #[inline(always)]
    pub(crate) fn away(&self, class: u32) -> u64 {
        let (word, shift) = away_count(class);
        (self.words[word].load(Ordering::Relaxed) >> shift) & 15
    }

    /// Copies the key in `slot`; to be validated by the caller.
    #[inline(always)]
    pub(crate) fn load_key<'t>(&self, slot: Slot, to: &'t mut [MaybeUninit<u64>]) -> &'t [u64] {
        copy::load(self.key(slot), to)
    }

    /// Copies the value in `slot`; to be validated by the caller.
    #[inline(always)]
    pub(crate) fn load_value(&self, slot: Slot, to: &mut Sink<'_>) {
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
        let slot = self.tagged(self.begin(), tag).next();
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
    pub(crate) fn try_lock_once(self, token: Token) -> Option<Locked<'a, S>> {
        self.try_lock_or_see(token).ok()
    }

    #[inline(always)]
    fn try_lock_or_see(self, token: Token) -> Result<Locked<'a, S>, LockWord> {
        // Acquire: pairs with the Release swap in `Locked::drop`. Release: our participant slot,
        // written before the token was first used, is visible to whoever sees the token.
        self.lock_word()
            .compare_exchange(0, token.to_word(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| Locked::new(self))
            .map_err(LockWord)
    }

    /// Tries to take the lock, spinning for a moment while somebody holds it. What it
    /// finds in the end is the answer: ours, or the word that stood there.
    #[inline(always)]
    pub(crate) fn try_lock(self, token: Token, spins: u32) -> Result<Locked<'a, S>, LockWord> {
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
    ) -> Result<Locked<'a, S>, LockWord> {
        let lock = self.lock_word();
        for spin in 0..=spins {
            // A word without an owner is free, whatever else may stand in it.
            if found.owner().is_none() {
                let taken = found.taken_by(token).0;
                // AcqRel: as in `try_lock`.
                match lock.compare_exchange(found.0, taken, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return Ok(Locked::new(self)),
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
    pub(crate) fn take_over(self, dead: LockWord, token: Token) -> Option<Locked<'a, S>> {
        let taken = dead.taken_by(token).0;
        // Acquire: pairs with the Release swap in `give_back`, whose caller may have changed
        // the bucket. The dead process's own publications were ordered before its death by
        // the kernel, whose answer the caller has. Release: as in `try_lock`.
        self.lock_word()
            .compare_exchange(dead.0, taken, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| Locked::new(self))
    }
}

/// A bucket whose lock we hold. Dropping it unlocks.
///
/// No code of the user's runs while one of these exists, and no thread sleeps.
pub(crate) struct Locked<'a, S: Shape> {
    bucket: Bucket<'a, S>,
}

impl<'a, S: Shape> Locked<'a, S> {
    #[inline(always)]
    fn new(bucket: Bucket<'a, S>) -> Self {
        // Release: pairs with the Acquire fences in `confirms` and `unchanged`. Whoever
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
    pub(crate) fn load_value<'s>(&self, slot: Slot, to: &'s mut Sink<'_>) -> &'s [u64] {
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
    fn set_tag(&self, slot: Slot, tag: Tag) {
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
        // Release: pairs with the Acquire fence in `begin`; makes the slots' words visible.
        self.bucket.words[STATE].store(next.0, Ordering::Release);
    }

    /// Unlocks, but puts the word of the dead owner back from whom the lock was taken: for all
    /// others it is as if nobody had come.
    pub(crate) fn give_back(self, dead: LockWord) {
        let lock = self.bucket.lock_word();
        // Not unlocked by `drop`: the bucket would be anyone's for a moment.
        core::mem::forget(self);
        // Release: pairs with the Acquire in `take_over`. Who sleeps on our word wakes up and
        // finds the dead one's.
        if LockWord(lock.swap(dead.0, Ordering::Release)).has_waiters() {
            futex_wake_all(lock);
        }
    }

    /// As [`Bucket::away`]; only we may change it.
    #[inline(always)]
    pub(crate) fn away(&self, class: u32) -> u64 {
        let (word, shift) = away_count(class);
        (unsync_load(&self.bucket.words[word]) >> shift) & 15
    }

    /// Between two commits under one lock: what is written from here on belongs to the second.
    pub(crate) fn begin_next(&self) {
        // Release: as in `new`, for the state that was just published.
        fence(Ordering::Release);
    }

    /// Counts one more key of `class` that lives away; before that key is published there.
    pub(crate) fn raise_away(&self, class: u32) {
        let (word, shift) = away_count(class);
        let counts = unsync_load(&self.bucket.words[word]);
        if (counts >> shift) & 15 < 15 {
            // Release: ordered before the publication in the other bucket in any case;
            // stated here so that the pair with `lower_away` is one mechanism.
            self.bucket.words[word].store(counts + (1 << shift), Ordering::Release);
        }
    }

    /// Counts one key of `class` less; after it is gone from the other bucket, for all to see.
    pub(crate) fn lower_away(&self, class: u32) {
        let (word, shift) = away_count(class);
        let counts = unsync_load(&self.bucket.words[word]);
        if matches!((counts >> shift) & 15, 1..15) {
            // Release: whoever sees the lower count sees the removal that came before.
            self.bucket.words[word].store(counts - (1 << shift), Ordering::Release);
        }
    }
}

impl<S: Shape> Drop for Locked<'_, S> {
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
