//! What may be believed: of a participant, of a segment, of a file. Evidence in, answer out.
//!
//! Everything that decides about another process's locks, or about the content of a segment, asks
//! here, and nowhere else. These are pure functions on small enums: whoever asks gathers the
//! evidence ([`super::judge`], `store::restart`), and says *unknown* where something could not be
//! read. The tables of `docs::trust` are these functions, row by row; a test compares them for
//! every combination.
//!
//! Three rules stand behind every row:
//!
//! 1. A locked participant byte is proof of life, and of the machine's not having crashed since:
//!    the kernel drops it with its holder, and no disk, copy or other boot brings it back. It
//!    is stronger than process ids, start times and boot ids, which containers may replace and a
//!    restored checkpoint changes.
//! 2. What is unknown takes no lock, discards nothing, and certifies nothing.
//! 3. Content that has the digest of its last sync is whole, wherever it comes from.

mod participant;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use self::participant::is_alive;
pub(crate) use self::participant::{Boot, Byte, Namespace, ParticipantEvidence, Process, SlotSays};
#[cfg(test)]
pub(crate) use self::segment::FileMatch;
pub(crate) use self::segment::{
    Bytes, Content, FileWords, Medium, SegmentEvidence, SegmentState, compare_files, state_of,
};
