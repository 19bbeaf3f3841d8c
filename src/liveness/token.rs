//! What a lock word holds: the token of the participant that owns the lock.
//!
//! ```text
//!  63                     32 31            17 16             1   0
//! ┌─────────────────────────┬────────────────┬────────────────┬───┐
//! │ generation, high 32     │ gen., low 15   │ slot index + 1 │ W │
//! └─────────────────────────┴────────────────┴────────────────┴───┘
//! ```
//!
//! A participant is a process that writes through one handle. It owns a slot in the
//! segment's participant table for a while; each new holder of a slot gets a new
//! *generation*, so a token names one participant and never again another one.
//! Zero means "free". `W` says that somebody sleeps on the lock word: it belongs to
//! the word, not to the owner, and is ignored when tokens are compared. The kernel
//! compares only 32 bits when a thread goes to sleep, which is why slot, flag and the
//! fast-moving bits of the generation share the low half.

use std::num::NonZeroU64;

/// The most participant slots that a segment can have: their index plus one is 16 bits.
pub(crate) const MAX_PARTICIPANTS: u32 = 0xFFFF;

/// Generations are 47 bits wide; zero is never used.
pub(crate) const MAX_GENERATION: u64 = (1 << 47) - 1;

const WAITERS: u64 = 1;
const SLOT_SHIFT: u32 = 1;
const SLOT_BITS: u64 = 0xFFFF;
const GENERATION_SHIFT: u32 = 17;

/// The identity of one participant, as it stands in a lock word (without the flag).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token(NonZeroU64);

impl Token {
    /// The token of the participant that holds `slot` under `generation`.
    ///
    /// # Panics
    /// If either is out of range; both come from our own bookkeeping.
    pub(crate) fn new(slot: u32, generation: u64) -> Self {
        assert!(slot < MAX_PARTICIPANTS, "participant slots have 16 bits");
        assert!(
            (1..=MAX_GENERATION).contains(&generation),
            "generations have 47 bits"
        );
        let word = (generation << GENERATION_SHIFT) | ((u64::from(slot) + 1) << SLOT_SHIFT);
        Self(NonZeroU64::new(word).expect("the slot field is never zero"))
    }

    /// A token taken from private memory, where `to_word` had put it.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        NonZeroU64::new(word & !WAITERS).map(Self)
    }

    /// The lock word of this owner, nobody waiting.
    pub(crate) fn to_word(self) -> u64 {
        self.0.get()
    }

    /// Index of the participant slot. A token read from the segment may name any
    /// slot, or none (`None` if the field is zero): check it against the table's length.
    pub(crate) fn slot(self) -> Option<u32> {
        ((self.0.get() >> SLOT_SHIFT) & SLOT_BITS)
            .checked_sub(1)
            .map(|slot| slot as u32)
    }

    /// The generation under which the slot was held.
    pub(crate) fn generation(self) -> u64 {
        self.0.get() >> GENERATION_SHIFT
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Token(slot {:?}, generation {})",
            self.slot(),
            self.generation()
        )
    }
}

/// A lock word as it was read: free or owned, and whether somebody sleeps on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockWord(pub(crate) u64);

impl LockWord {
    /// Nobody owns the lock and nobody sleeps on it.
    pub(crate) const FREE: Self = Self(0);

    /// Who holds the lock.
    pub(crate) fn owner(self) -> Option<Token> {
        Token::from_word(self.0)
    }

    /// Whether somebody may be asleep.
    pub(crate) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    /// The same word with the flag raised.
    pub(crate) fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    /// The word that `token` writes when it takes the lock over from this state:
    /// the flag is kept, since the sleepers are still there.
    pub(crate) fn taken_by(self, token: Token) -> Self {
        Self(token.to_word() | (self.0 & WAITERS))
    }
}

/// What is known about the process behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It lives: its locks are never taken, however long it is stopped.
    Alive,
    /// Proven dead: its locks may be taken over.
    Dead,
    /// Cannot be told from here, which is treated like alive.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_round_trips_slot_and_generation() {
        for slot in [0, 1, 127, MAX_PARTICIPANTS - 1] {
            for generation in [1, 2, 0x7FFF, 0x8000, MAX_GENERATION] {
                let token = Token::new(slot, generation);
                assert_eq!((token.slot(), token.generation()), (Some(slot), generation));
                assert_eq!(Token::from_word(token.to_word()), Some(token));
            }
        }
    }

    #[test]
    fn waiters_flag_does_not_change_the_owner() {
        let token = Token::new(7, 99);
        let word = LockWord(token.to_word());
        assert!(!word.has_waiters());
        assert!(word.with_waiters().has_waiters());
        assert_eq!(word.with_waiters().owner(), Some(token));
        let taker = Token::new(8, 100);
        assert!(word.with_waiters().taken_by(taker).has_waiters());
        assert_eq!(word.with_waiters().taken_by(taker).owner(), Some(taker));
        assert_eq!(LockWord::FREE.with_waiters().owner(), None);
    }
}
