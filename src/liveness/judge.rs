//! Steps 1 to 5: whether the owner of a lock word, or of a slot, lives.

use super::Registration;
use super::byte_lock;
use super::info::OwnerInfo;
use super::process::{Identity, Life, Origin, life_of};
use super::slot::{Claim, FileId, Record, Slot, Snapshot, State};
use super::token::{Liveness, Token};
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
            return (None, Liveness::Dead);
        };
        let mut seen = slot.read();
        // Step 1.
        if self.private.token() == token.to_word() {
            return (Some(seen), Liveness::Alive);
        }
        // A holder's word 0 changes twice more at most; a hostile one is not waited for.
        for _ in 0..4 {
            // Step 2.
            if seen.claim.generation() != token.generation() {
                return (Some(seen), Liveness::Dead);
            }
            if seen.record.is_some() || seen.claim.state() == State::Free {
                break;
            }
            seen = slot.read();
        }
        (Some(seen), self.judge(index, seen))
    }

    /// Steps 3 to 5, for a slot as it was seen.
    pub(super) fn judge(&self, index: u32, seen: Snapshot) -> Liveness {
        match (seen.claim.state(), seen.record) {
            // Nobody's; and no participant of ours writes a state that does not exist.
            (State::Free | State::Invalid, _) => Liveness::Dead,
            (State::Claiming, _) => self.judge_claimant(index, seen.claim),
            (State::Held, Some(record)) => self.judge_holder(index, seen.claim, record),
            // Written over by somebody who does not play by the rules.
            (State::Held, None) => self.alive_if_locked(index),
        }
    }

    /// It has no record yet. A mistake costs it another attempt, and the next holder nothing (see
    /// [`slot`](super::slot)).
    fn judge_claimant(&self, index: u32, claim: Claim) -> Liveness {
        if !claim.has_no_file_lock()
            && let Some((file, _)) = self.private.file()
            && let Some(is_locked) = byte_lock::is_locked(file, index)
        {
            return if is_locked {
                Liveness::Alive
            } else {
                Liveness::Dead
            };
        }
        match life_of(claim.pid(), None) {
            Life::Dead => Liveness::Dead,
            Life::Alive | Life::Unsure => Liveness::Unknown,
        }
    }

    fn judge_holder(&self, index: u32, claim: Claim, record: Record) -> Liveness {
        let me = Identity::of_this_process();
        let origin = Origin::from_words(&record);
        // An earlier program of this very process: whatever it had is gone.
        if record.is_an_earlier_program_of(claim, &me) {
            return Liveness::Dead;
        }
        // Step 3.
        if origin.shares_pids_with(me.origin) {
            let is_comparable = origin.time_namespace == me.origin.time_namespace;
            let started = Some(record.started).filter(|&start| is_comparable && start != 0);
            return match life_of(claim.pid(), started) {
                Life::Alive => Liveness::Alive,
                Life::Dead => Liveness::Dead,
                Life::Unsure => self.alive_if_locked(index),
            };
        }
        // Step 4.
        if claim.has_no_file_lock() {
            return if origin.is_of_another_boot_than(me.origin) {
                Liveness::Dead
            } else {
                Liveness::Unknown
            };
        }
        match self.is_locked(index, record.lock_file) {
            Some(true) => Liveness::Alive,
            Some(false) if origin.is_known() && me.origin.is_known() => Liveness::Dead,
            // Perhaps of our own namespace after all: then a free byte is no proof by itself.
            Some(false) if life_of(claim.pid(), None) == Life::Dead => Liveness::Dead,
            // Step 5.
            Some(false) | None => Liveness::Unknown,
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

    /// For where a free byte proves nothing.
    fn alive_if_locked(&self, index: u32) -> Liveness {
        let file = self.private.file();
        match file.and_then(|(file, _)| byte_lock::is_locked(file, index)) {
            Some(true) => Liveness::Alive,
            Some(false) | None => Liveness::Unknown,
        }
    }
}

impl Record {
    fn is_an_earlier_program_of(&self, claim: Claim, me: &Identity) -> bool {
        let image = (self.boot_and_image >> 32) as u32;
        claim.pid() == me.pid
            && self.started == me.started
            && self.started != 0
            && Origin::from_words(self) == me.origin
            && me.origin.is_known()
            && image != 0
            && me.image != 0
            && image != me.image
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

    fn is_known(self) -> bool {
        self.pid_namespace != 0 && self.boot != 0
    }
}
