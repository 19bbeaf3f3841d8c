//! What the structured targets do, as data: `arbitrary` makes it of any bytes, and
//! [`encode`](crate::encode) makes bytes of it, for the seeds.

use arbitrary::Arbitrary;

use crate::op::{CacheOp, Op};

/// What somebody writes into a segment.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Scribble {
    /// One field of the header, which everybody has read by then.
    Geometry { word: u8, value: ForgedWord },
    /// One word of the page that all share: who was admitted, and what a cache has once.
    Store { word: u8, value: ForgedWord },
    /// One word of a bucket's header line: state, lock, tags, …
    Header { bucket: u8, word: u8, value: ForgedWord },
    /// One word of a slot.
    Slot { bucket: u8, word: u16, value: ForgedWord },
    /// One word of the ring of moves, or of what a cache has behind it.
    Moves { word: u16, value: ForgedWord },
    /// One word of the participants.
    Participant { word: u8, value: ForgedWord },
    /// The lock of a bucket gets the token of a registered writer.
    LockOfTheLiving { bucket: u8, slot: u8, waiters: bool },
    /// One bucket becomes a copy of another.
    Copy { from: u8, to: u8 },
    /// Bits of any word behind the shared page.
    Flip { word: u32, bits: u64 },
}

/// Values that do harm more often than random ones.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum ForgedWord {
    Zero,
    Ones,
    Small(u8),
    AllSlots(u16),
    Any(u64),
}

impl ForgedWord {
    pub fn word(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Ones => u64::MAX,
            Self::Small(value) => value.into(),
            Self::AllSlots(version) => u64::from(version) << 16 | 0xFFFF,
            Self::Any(value) => value,
        }
    }
}

/// One rewriting of a word.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Strike {
    /// How many accesses after the last one.
    pub pause: u8,
    pub target: Target,
}

/// Which word is rewritten, seen from the one that is about to be accessed.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Target {
    /// That very word.
    This(ForgedWord),
    /// One nearby.
    Near(i8, ForgedWord),
    /// A word of the header line of the bucket to which it belongs.
    Line(u8, ForgedWord),
    /// The version of that bucket grows, and these slots are in use.
    Publish { commits: u8, occupied: u16 },
    /// What it held before the last strike: a state that comes back.
    Restore,
    /// Any word, bucket or lock.
    Somewhere(Scribble),
}

/// An operation, and what happens meanwhile.
#[derive(Arbitrary, Clone, Debug)]
pub struct Attack {
    pub op: Op,
    pub strikes: Vec<Strike>,
    /// The schedule begins anew when it is through.
    pub again: bool,
}

/// All of one run of the target `scribble`.
#[derive(Arbitrary, Clone, Debug)]
pub struct ScribblePlan {
    pub types: u8,
    pub capacity: u8,
    pub entries: u8,
    /// What is done before, so that it begins with invalid bytes.
    pub before: Vec<Scribble>,
    pub attacks: Vec<Attack>,
}

/// All of one run of the target `corrupt`.
#[derive(Arbitrary, Clone, Debug)]
pub struct CorruptPlan {
    pub types: u8,
    pub capacity: u8,
    pub entries: u8,
    pub steps: Vec<CorruptStep>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum CorruptStep {
    Scribble(Scribble),
    Use(Op),
    /// A process that comes later.
    Reopen,
    /// The machine was booted since.
    Reboot,
}

/// All of one run of the target `cache_scribble`.
#[derive(Arbitrary, Clone, Debug)]
pub struct CachePlan {
    pub types: u8,
    pub capacity: u8,
    pub times: Times,
    pub steps: Vec<CacheStep>,
}

/// Which limits a cache has, in milliseconds less one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Times {
    pub live: Option<u16>,
    pub idle: Option<u16>,
    pub stale: Option<u16>,
    pub negative: Option<u16>,
    pub statistics: bool,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum CacheStep {
    Scribble(Scribble),
    Use(CacheOp),
    /// Words are rewritten meanwhile.
    Attack {
        op: CacheOp,
        strikes: Vec<Strike>,
        again: bool,
    },
    /// Time passes.
    Wait(u8),
    /// A process that comes later.
    Reopen,
}
