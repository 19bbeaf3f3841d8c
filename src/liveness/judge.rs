//! Gathering the evidence about the owner of a lock word, or of a slot, for [`trust`](super::trust).

use super::Registration;
use super::byte_lock;
use super::info::OwnerInfo;
use super::process::{Identity, Life, Origin, life_of};
use super::slot::{FileId, Record, Slot, Snapshot, State};
use super::token::{Liveness, Token};
use super::trust::{Boot, Byte, Namespace, ParticipantEvidence, Process, SlotSays, is_alive};
use crate::sys::sync::AtomicU64;

impl Registration {
    /// Whether the owner of a lock word that has just been read lives.
    pub(crate) fn liveness(&self, table: &[AtomicU64], token: Token) -> Liveness {
        self.look_up(table, token).1
    }

    /// All that is known about the owner of a lock word.
    pub(crate) fn describe(&self, table: &[AtomicU64], token: Token) -> OwnerInfo {
        let (seen, liveness) = self.look_up(table, token);
        match (seen, token.slot()) {
            (Some(seen), Some(slot)) if seen.claim.generation() == token.generation() => {
                OwnerInfo::of(slot, seen, liveness)
            }
            // Somebody else has the slot now, or there is no such slot.
            (seen, slot) => OwnerInfo::nobody(
                slot.filter(|_| seen.is_some()),
                token.generation(),
                liveness,
            ),
        }
    }

    fn look_up(&self, table: &[AtomicU64], token: Token) -> (Option<Snapshot>, Liveness) {
        let slot = token
            .slot()
            .filter(|&index| index < self.slots)
            .and_then(|index| Some((index, Slot::named_by(table, token)?)));
        // No participant ever had a slot that does not exist.
        let Some((index, slot)) = slot else {
            return (None, is_alive(ParticipantEvidence::of_slot(SlotSays::Gone)));
        };
        let mut seen = slot.read();
        // Our own token.
        if self.private.token() == token.to_word() {
            return (
                Some(seen),
                is_alive(ParticipantEvidence::of_slot(SlotSays::Ours)),
            );
        }
        // A holder's word 0 changes twice more at most; a hostile one is not waited for.
        for _ in 0..4 {
            // Somebody else's by now.
            if seen.claim.generation() != token.generation() {
                return (
                    Some(seen),
                    is_alive(ParticipantEvidence::of_slot(SlotSays::Gone)),
                );
            }
            if seen.record.is_some() || seen.claim.state() == State::Free {
                break;
            }
            seen = slot.read();
        }
        (Some(seen), self.judge(index, seen))
    }

    /// Gathers what is known about the holder of a slot, as it was seen, and judges.
    pub(super) fn judge(&self, index: u32, seen: Snapshot) -> Liveness {
        is_alive(self.evidence(index, seen))
    }

    fn evidence(&self, index: u32, seen: Snapshot) -> ParticipantEvidence {
        let claim = seen.claim;
        let slot = match (claim.state(), seen.record) {
            // Nobody's; and no participant of ours writes a state that does not exist.
            (State::Free | State::Invalid, _) => SlotSays::Gone,
            (State::Claiming, _) => SlotSays::Claimed,
            (State::Held, Some(_)) => SlotSays::Held,
            // Written over by somebody who does not play by the rules.
            (State::Held, None) => SlotSays::Unreadable,
        };
        let mut evidence = ParticipantEvidence::of_slot(slot);
        if slot == SlotSays::Gone {
            return evidence;
        }
        // First of all: if it is locked, whatever else there is to know does not matter.
        evidence.byte = self.byte(index, seen);
        if evidence.byte == Byte::Locked {
            return evidence;
        }
        let Some(record) = seen.record else {
            evidence.process = process_of(claim.pid(), None);
            return evidence;
        };
        let me = Identity::of_this_process();
        let origin = Origin::from_words(&record);
        evidence.boot = origin.compare_boot(me.origin);
        evidence.namespace = match record.can_be_judged() {
            true => origin.compare_namespace(me.origin),
            false => Namespace::Unsaid,
        };
        evidence.process = match (evidence.boot, evidence.namespace) {
            (Boot::Same, Namespace::Same) => {
                let is_comparable = origin.time_namespace == me.origin.time_namespace;
                let started = Some(record.started).filter(|&start| is_comparable && start != 0);
                if claim.pid() == me.pid {
                    record.compare_with_us(started, &me)
                } else {
                    process_of(claim.pid(), started)
                }
            }
            _ => process_of(claim.pid(), None),
        };
        evidence
    }

    /// What the lock file says about the byte of a slot.
    fn byte(&self, index: u32, seen: Snapshot) -> Byte {
        if seen.claim.has_no_file_lock() {
            return Byte::Never;
        }
        let locked = match seen.record {
            Some(record) => self.is_locked(index, record.lock_file),
            None => self
                .private
                .file()
                .and_then(|(file, _)| byte_lock::is_locked(file, index)),
        };
        match locked {
            Some(true) => Byte::Locked,
            Some(false) => Byte::Free,
            None => Byte::Unknown,
        }
    }

    pub(super) fn is_locked(&self, index: u32, locked_file: FileId) -> Option<bool> {
        let (file, id) = self.private.file()?;
        // A segment's own file is the same for all; a lock file may have been replaced.
        if self.is_lock_file && id != locked_file {
            return None;
        }
        byte_lock::is_locked(file, index)
    }
}

fn process_of(pid: u32, started: Option<u64>) -> Process {
    match life_of(pid, started) {
        Life::Alive => Process::Same,
        Life::Gone => Process::Gone,
        Life::Another => Process::Another,
        Life::Unsure => Process::Unknown,
    }
}

impl Record {
    /// Whether its holder left more than its byte, see [`Identity::can_be_judged`].
    fn can_be_judged(&self) -> bool {
        let origin = Origin::from_words(self);
        self.started != 0 && origin.pid_namespace != 0 && origin.boot != 0
    }

    /// Of a record with our own process id, in our own namespace and boot. No descriptor is
    /// needed for that.
    fn compare_with_us(&self, started: Option<u64>, me: &Identity) -> Process {
        let image = (self.boot_and_image >> 32) as u32;
        match started {
            Some(started) if me.started == started => {
                if image != 0 && me.image != 0 && image != me.image {
                    Process::Earlier
                } else {
                    Process::Same
                }
            }
            Some(_) if me.started != 0 => Process::Another,
            _ => Process::Unknown,
        }
    }
}

impl Origin {
    pub(super) fn from_words(record: &Record) -> Self {
        Self {
            pid_namespace: record.namespaces as u32,
            time_namespace: (record.namespaces >> 32) as u32,
            boot: record.boot_and_image as u32,
        }
    }

    /// Whether both are of the same run of the kernel.
    fn compare_boot(self, ours: Self) -> Boot {
        match (self.boot, ours.boot) {
            (0, _) | (_, 0) => Boot::Unknown,
            (one, other) if one == other => Boot::Same,
            _ => Boot::Other,
        }
    }

    /// Whether a process id means the same in both, if both are of the same boot.
    fn compare_namespace(self, ours: Self) -> Namespace {
        match (self.pid_namespace, ours.pid_namespace) {
            (_, 0) => Namespace::Unknown,
            (one, other) if one == other => Namespace::Same,
            _ => Namespace::Other,
        }
    }
}
