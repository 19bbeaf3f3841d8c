//! Whether a participant is alive.

use crate::liveness::token::Liveness;

/// What the slot says that a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotSays {
    /// It is our own token.
    Ours,
    /// The slot is free or was given to another one since, or there is no such slot.
    Gone,
    /// Its holder was still registering, so it has no locks yet.
    Claimed,
    /// It has a holder, whose record is whole.
    Held,
    /// It has a holder, whose record cannot be read.
    Unreadable,
}

/// The byte that a participant keeps locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byte {
    /// Somebody holds it for writing.
    Locked,
    /// Nobody does.
    Free,
    /// The participant says that it never had a lock.
    Never,
    /// Cannot be asked from here, or only in another file than it locked.
    Unknown,
}

/// The boot of the machine, compared with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// The same.
    Same,
    /// Another one.
    Other,
    /// One of the two cannot be read.
    Unknown,
}

/// The pid namespace, compared with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// The same.
    Same,
    /// Another one.
    Other,
    /// The participant could not read its own, its start time or its boot when it registered, so
    /// its byte is its only sign of life.
    Unsaid,
    /// Ours cannot be read.
    Unknown,
}

/// What our kernel says about the process id, as a number of our own pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// A process lives that has it and started at the same time.
    Same,
    /// It is this very process, which ran another program then.
    Earlier,
    /// A process has it that started at another time.
    Another,
    /// No process has it.
    Gone,
    /// A process has it, and whether it is the one cannot be read.
    Unknown,
}

/// What is known about a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParticipantEvidence {
    pub(crate) slot: SlotSays,
    pub(crate) byte: Byte,
    pub(crate) boot: Boot,
    pub(crate) namespace: Namespace,
    pub(crate) process: Process,
}

impl ParticipantEvidence {
    /// What the slot says, and nothing else.
    pub(crate) fn of_slot(slot: SlotSays) -> Self {
        Self {
            slot,
            byte: Byte::Unknown,
            boot: Boot::Unknown,
            namespace: Namespace::Unknown,
            process: Process::Unknown,
        }
    }
}

/// The table "Is a participant alive?".
pub(crate) fn is_alive(evidence: ParticipantEvidence) -> Liveness {
    use Liveness::{Alive, Dead, Unknown};
    let ParticipantEvidence {
        slot,
        byte,
        boot,
        namespace,
        process,
    } = evidence;
    match slot {
        SlotSays::Ours => return Alive,
        SlotSays::Gone => return Dead,
        _ if byte == Byte::Locked => return Alive,
        SlotSays::Unreadable => return Unknown,
        // It locks its byte before it claims the slot, and owns nothing yet: a mistake costs it
        // another attempt.
        SlotSays::Claimed => {
            return match (byte, process) {
                (Byte::Free, _) | (_, Process::Gone) => Dead,
                _ => Unknown,
            };
        }
        SlotSays::Held => {}
    }
    match (boot, namespace, process, byte) {
        (Boot::Same, Namespace::Same, Process::Same, _) => Alive,
        (Boot::Same, Namespace::Same, Process::Earlier | Process::Gone, _) => Dead,
        // Restored from a checkpoint, it would have another start time, and its byte.
        (Boot::Same, Namespace::Same, Process::Another, Byte::Free | Byte::Never) => Dead,
        // It says that it keeps its byte locked until it ends, and the kernel that nobody does. (In
        // our own namespace a process with its number is stronger: a program may have unmapped the
        // page that keeps its lock.)
        (Boot::Same, Namespace::Other, _, Byte::Free)
        | (Boot::Other, _, _, Byte::Free)
        | (_, Namespace::Unsaid, _, Byte::Free)
        | (_, _, Process::Gone, Byte::Free) => Dead,
        _ => Unknown,
    }
}
