//! A participant's slot in the segment: eight words, one of which decides.
//!
//! ```text
//!  word 0  claim      generation:39 | pid:22 | no_file_lock:1 | state:2
//!  word 1  started    start of the process in clock ticks since boot, plus one; 0 = not known
//!  word 2  namespace  inodes: time namespace:32 | pid namespace:32
//!  word 3  boot       digest of the program image:32 | digest of the boot id:32
//!  word 4  lock file  inode of the file whose byte is locked, 0 if there is no file lock
//!  word 5  lock file  device
//!  word 6  since      when the slot was taken, seconds since 1970, for people
//!  word 7  seal       digest of words 0 to 6 (of word 0: generation and pid)
//! ```
//!
//! Words 1 to 6 are stored under a mask that is made of the claim, so that no two claims ever
//! store the same.
//!
//! *Claiming.* All that arbitrates is word 0, by compare-exchange:
//!
//! ```text
//!  FREE(g) ──▶ CLAIMING(g+1, pid) ──▶ HELD(g+1, pid) ──▶ FREE(g+1)
//!                     │                     │
//!                     └── proven dead ──────┴──▶ CLAIMING(g+2, another pid) or FREE
//! ```
//!
//! Each step replaces the exact word that was judged, and a generation is never used
//! twice, so of any number of claimants one wins and nobody loses a claim by a decision
//! that was made about an earlier holder. The byte of the slot in the lock file is
//! locked *before* word 0 changes: whoever dies between the two leaves a free slot.
//! Who dies while CLAIMING has named itself by then, so the slot is found dead like
//! any other. A claimant owns no bucket lock yet; if one that lives is mistaken for
//! dead, its own last step fails and it looks for another slot.
//!
//! *Writing the record.* Such a claimant may be stopped before it has written its record, and go
//! on when the slot is long another's, whose record must survive: a holder whose record cannot
//! be read can never be proven dead, and its locks would stand for ever. So each word is
//! exchanged, against what stood there while the claim was still ours. A word that a later
//! claimant has written is another by its mask, so the exchange fails. The later one
//! does the same, so of two exchanges of one word the later claimant's comes last.
//!
//! *Reading.* The words are read in any state, while others write them. They are
//! believed only if word 0 was the same before and after, and the seal fits.
//!
//! A slot whose generations are used up (5 * 10^11) is retired: it stays FREE for ever.

use super::token::{MAX_GENERATION, Token};
use crate::sys::sync::{AtomicU64, Ordering, fence};

/// Words (of 8 bytes) that a slot takes.
pub(crate) const SLOT_WORDS: usize = 8;

/// How often a record is written anew because an earlier claimant wrote as well. It does so once,
/// and there are seldom two; a hostile peer is not waited for.
const PUBLISH_TRIES: u32 = 8;

/// A slot's generations have this many bits (a token has room for more).
const GENERATION_BITS: u32 = 39;
/// The last generation of a slot.
pub(super) const LAST_GENERATION: u64 = (1 << GENERATION_BITS) - 1;
const _: () = assert!(LAST_GENERATION <= MAX_GENERATION);

/// The kernel's own limit of process ids (`PID_MAX_LIMIT`).
const PID_BITS: u32 = 22;

const STATE_BITS: u64 = 0b11;
const NO_FILE_LOCK: u64 = 0b100;
const PID_SHIFT: u32 = 3;
const PID_MASK: u64 = (1 << PID_BITS) - 1;
const GENERATION_SHIFT: u32 = PID_SHIFT + PID_BITS;

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Claiming,
    Held,
    /// Never written by us.
    Invalid,
}

/// Word 0 of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim(u64);

impl Claim {
    pub(super) fn state(self) -> State {
        match self.0 & STATE_BITS {
            0 => State::Free,
            1 => State::Claiming,
            2 => State::Held,
            _ => State::Invalid,
        }
    }

    pub(super) fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    pub(super) fn pid(self) -> u32 {
        ((self.0 >> PID_SHIFT) & PID_MASK) as u32
    }

    /// Whether the holder could not lock its byte, so that a free byte says nothing.
    pub(super) fn has_no_file_lock(self) -> bool {
        self.0 & NO_FILE_LOCK != 0
    }

    /// The next holder's first word; `None` if the slot is retired.
    pub(super) fn claimed_by(self, pid: u32, no_file_lock: bool) -> Option<Self> {
        if self.generation() >= LAST_GENERATION || u64::from(pid) > PID_MASK {
            return None;
        }
        let generation = (self.generation() + 1) << GENERATION_SHIFT;
        let no_file_lock = if no_file_lock { NO_FILE_LOCK } else { 0 };
        Some(Self(
            generation | (u64::from(pid) << PID_SHIFT) | no_file_lock | 1,
        ))
    }

    fn held(self) -> Self {
        Self((self.0 & !STATE_BITS) | 2)
    }

    /// What the words of this claim's record are stored under.
    fn mask(self) -> u64 {
        self.held().0.wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    fn freed(self) -> Self {
        Self(self.generation() << GENERATION_SHIFT)
    }
}

/// The file whose byte a participant has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Words 1 to 6: what a participant says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Start of the process, plus one.
    pub(super) started: u64,
    pub(super) namespaces: u64,
    /// Boot and image digests.
    pub(super) boot_and_image: u64,
    pub(super) lock_file: FileId,
    pub(super) since: u64,
}

impl Record {
    fn words(self) -> [u64; 6] {
        [
            self.started,
            self.namespaces,
            self.boot_and_image,
            self.lock_file.inode,
            self.lock_file.device,
            self.since,
        ]
    }

    /// Words 1 to 7, as they are stored.
    fn stored(self, claim: Claim) -> [u64; 7] {
        let words = self.words();
        std::array::from_fn(|i| match words.get(i) {
            Some(word) => word ^ claim.mask(),
            None => self.seal(claim),
        })
    }

    /// From words 1 to 6, as they are stored.
    fn from_stored(words: [u64; 6], claim: Claim) -> Self {
        let words = words.map(|word| word ^ claim.mask());
        Self {
            started: words[0],
            namespaces: words[1],
            boot_and_image: words[2],
            lock_file: FileId {
                inode: words[3],
                device: words[4],
            },
            since: words[5],
        }
    }

    /// Ties the words to one holder, so that leftovers of another are not believed.
    /// It guards against accidents, not against a peer that computes it.
    fn seal(self, claim: Claim) -> u64 {
        let mut digest = claim.held().0 ^ 0x7368_6D6B_765F_6F77;
        for word in self.words() {
            digest = (digest ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            digest ^= digest >> 29;
        }
        digest
    }
}

/// What a slot said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) claim: Claim,
    /// Only if it was whole and belongs to `claim`.
    pub(super) record: Option<Record>,
}

/// One slot of the table in the segment.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a>(&'a [AtomicU64]);

impl<'a> Slot<'a> {
    /// Slot `index` of `table`; `None` if the table is not that long.
    pub(super) fn of(table: &'a [AtomicU64], index: u32) -> Option<Self> {
        let first = usize::try_from(index).ok()?.checked_mul(SLOT_WORDS)?;
        table.get(first..first.checked_add(SLOT_WORDS)?).map(Self)
    }

    /// The slot that a lock word names which has just been read, as new as it was when that word
    /// was written.
    pub(super) fn named_by(table: &'a [AtomicU64], token: Token) -> Option<Self> {
        // Acquire: pairs with the owner's release when it took the lock. It had its slot before.
        fence(Ordering::Acquire);
        Self::of(table, token.slot()?)
    }

    pub(super) fn claim(self) -> Claim {
        Claim(self.0[0].load(Ordering::Acquire))
    }

    /// Reads the slot. Its table may be read-only: only relaxed loads and fences.
    pub(super) fn read(self) -> Snapshot {
        let before = Claim(self.0[0].load(Ordering::Relaxed));
        // Acquire: pairs with `publish`; a held slot's words are those of its holder or later.
        fence(Ordering::Acquire);
        let words = std::array::from_fn(|i| self.0[i + 1].load(Ordering::Relaxed));
        let record = Record::from_stored(words, before);
        let seal = self.0[7].load(Ordering::Relaxed);
        // Acquire: if any of the words was a later claimant's, word 0 is seen to have changed.
        fence(Ordering::Acquire);
        let after = Claim(self.0[0].load(Ordering::Relaxed));
        let whole = before == after && before.state() == State::Held && seal == record.seal(before);
        Snapshot {
            claim: after,
            record: whole.then_some(record),
        }
    }

    /// First step: `seen`, free or proven dead, becomes a claim of ours.
    pub(super) fn try_claim(self, seen: Claim, pid: u32, no_file_lock: bool) -> Option<Claim> {
        let claim = seen.claimed_by(pid, no_file_lock)?;
        if !self.replace(seen, claim) {
            return None;
        }
        // Release: pairs with the second fence in `read`, which must not pair our record
        // with the claim of our predecessor, and with that in `publish`, where a predecessor
        // who sees a word of ours must see that its claim is gone.
        fence(Ordering::Release);
        Some(claim)
    }

    /// Second step: says who we are, then that it is complete. `None` if somebody took
    /// the claim from us, which is harmless: no token was given out yet.
    pub(super) fn publish(self, claim: Claim, record: Record) -> Option<Claim> {
        let words = &self.0[1..];
        for _ in 0..PUBLISH_TRIES {
            let found: [u64; 7] = std::array::from_fn(|i| words[i].load(Ordering::Relaxed));
            // Acquire: pairs with the fence in `try_claim`: had one of them been written by
            // whoever took the claim, word 0 would be seen to have changed.
            fence(Ordering::Acquire);
            if Claim(self.0[0].load(Ordering::Relaxed)) != claim {
                return None;
            }
            let mut is_written = true;
            for ((word, found), ours) in words.iter().zip(found).zip(record.stored(claim)) {
                // Relaxed: published by the exchange of word 0.
                let exchanged =
                    word.compare_exchange(found, ours, Ordering::Relaxed, Ordering::Relaxed);
                is_written &= exchanged.is_ok();
            }
            if is_written {
                return self.replace(claim, claim.held()).then_some(claim.held());
            }
        }
        self.free(claim);
        None
    }

    /// Gives the slot back, or takes it from a holder who is proven dead. Whoever finds
    /// the old token in a lock word knows its owner to be gone: the slot is free, or has
    /// a newer generation. So a slot may be freed at any time.
    pub(super) fn free(self, seen: Claim) -> bool {
        self.replace(seen, seen.freed())
    }

    /// Frees the slot whatever stands in it, and blots out the rest. Only while nobody else
    /// has the segment.
    pub(super) fn reset(self) {
        let freed = self.claim().freed();
        for word in &self.0[1..] {
            word.store(0, Ordering::Relaxed);
        }
        self.0[0].store(freed.0, Ordering::Release);
    }

    /// Puts another record under the same claim, sealed.
    #[cfg(test)]
    pub(super) fn overwrite(self, claim: Claim, record: Record) {
        for (word, value) in self.0[1..].iter().zip(record.stored(claim)) {
            word.store(value, Ordering::Release);
        }
    }

    fn replace(self, seen: Claim, new: Claim) -> bool {
        // Release: publishes the words written before. Acquire: what we find in the words is no
        // older than what the previous holder published.
        self.0[0]
            .compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<AtomicU64> {
        (0..2 * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_record_is_believed_only_when_complete() {
        let table = table();
        let slot = Slot::of(&table, 1).unwrap();
        let record = Record {
            started: 5,
            ..Record::default()
        };
        let claim = slot.try_claim(slot.claim(), 42, false).unwrap();
        assert_eq!(slot.read().record, None);
        let held = slot.publish(claim, record).unwrap();
        assert_eq!(slot.read().record, Some(record));
        assert_eq!(slot.read().claim, held);
        table[SLOT_WORDS + 1].store(6, Ordering::Relaxed);
        assert_eq!(slot.read().record, None, "a word of somebody else");
    }

    #[test]
    fn each_holder_has_a_new_generation() {
        let table = table();
        let slot = Slot::of(&table, 0).unwrap();
        for generation in 1..10 {
            let claim = slot.try_claim(slot.claim(), 42, false).unwrap();
            assert_eq!(claim.generation(), generation);
            assert_eq!((claim.pid(), claim.state()), (42, State::Claiming));
            let held = slot.publish(claim, Record::default()).unwrap();
            assert!(slot.free(held));
            assert!(!slot.free(held), "only once");
        }
    }

    #[test]
    fn a_replaced_claimant_notices() {
        let table = table();
        let slot = Slot::of(&table, 0).unwrap();
        let first = slot.try_claim(slot.claim(), 42, false).unwrap();
        let second = slot.try_claim(first, 43, true).unwrap();
        assert_eq!(slot.publish(first, Record::default()), None);
        assert_eq!(slot.claim(), second);
    }

    #[test]
    fn a_replaced_claimant_spoils_nobodys_record() {
        let table = table();
        let slot = Slot::of(&table, 0).unwrap();
        let first = slot.try_claim(slot.claim(), 42, false).unwrap();
        let second = slot.try_claim(first, 43, true).unwrap();
        let record = Record {
            started: 5,
            ..Record::default()
        };
        let held = slot.publish(second, record).unwrap();
        assert_eq!(slot.publish(first, Record::default()), None);
        assert_eq!(
            slot.read(),
            Snapshot {
                claim: held,
                record: Some(record)
            }
        );
    }

    #[test]
    fn generations_end_instead_of_starting_again() {
        let last = Claim(LAST_GENERATION << GENERATION_SHIFT);
        assert_eq!(last.claimed_by(42, false), None);
        assert_eq!(Claim(u64::MAX).claimed_by(42, false), None);
        let last_but_one = Claim((LAST_GENERATION - 1) << GENERATION_SHIFT);
        let claim = last_but_one.claimed_by(42, false).unwrap();
        assert_eq!(claim.generation(), LAST_GENERATION);
    }

    #[test]
    fn a_slot_beyond_the_table_is_none() {
        let table = table();
        assert!(Slot::of(&table, 1).is_some());
        assert!(Slot::of(&table, 2).is_none());
        assert!(Slot::of(&table, u32::MAX).is_none());
    }
}
