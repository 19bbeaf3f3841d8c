//! Steps 1 to 5: whether the owner of a lock word, or of a slot, lives.

use super::Owners;
use super::byte_lock;
use super::info::OwnerInfo;
use super::process::{Home, Identity, Life, life_of};
use super::slot::{Claim, FileId, Record, Slot, Snapshot, State};
use super::token::{Token, Verdict};
use crate::sys::sync::AtomicU64;

impl Owners {
    /// Whether the owner of a lock word that has just been read lives.
    pub(crate) fn verdict(&self, table: &[AtomicU64], token: Token) -> Verdict {
        self.look_up(table, token).1
    }

    /// All that is known about the owner of a lock word.
    pub(crate) fn describe(&self, table: &[AtomicU64], token: Token) -> OwnerInfo {
        let (seen, verdict) = self.look_up(table, token);
        match (seen, token.slot()) {
            (Some(seen), Some(slot)) if seen.claim.generation() == token.generation() => {
                OwnerInfo::of(slot, seen, verdict)
            }
            // Somebody else has the slot now, or there is no such slot.
            (seen, slot) => {
                OwnerInfo::nobody(slot.filter(|_| seen.is_some()), token.generation(), verdict)
            }
        }
    }

    fn look_up(&self, table: &[AtomicU64], token: Token) -> (Option<Snapshot>, Verdict) {
        let slot = token
            .slot()
            .filter(|&index| index < self.slots)
            .and_then(|index| Some((index, Slot::named_by(table, token)?)));
        // No participant ever had a slot that does not exist.
        let Some((index, slot)) = slot else {
            return (None, Verdict::Dead);
        };
        let mut seen = slot.read();
        // Step 1.
        if self.private.token() == token.to_word() {
            return (Some(seen), Verdict::Alive);
        }
        // A holder's word 0 changes twice more at most; a hostile one is not waited for.
        for _ in 0..4 {
            // Step 2.
            if seen.claim.generation() != token.generation() {
                return (Some(seen), Verdict::Dead);
            }
            if seen.record.is_some() || seen.claim.state() == State::Free {
                break;
            }
            seen = slot.read();
        }
        (Some(seen), self.judge(index, seen))
    }

    /// Steps 3 to 5, for a slot as it was seen.
    pub(super) fn judge(&self, index: u32, seen: Snapshot) -> Verdict {
        match (seen.claim.state(), seen.record) {
            // Nobody's; and no participant of ours writes a state that does not exist.
            (State::Free | State::Wild, _) => Verdict::Dead,
            (State::Claiming, _) => self.judge_claimant(index, seen.claim),
            (State::Held, Some(record)) => self.judge_holder(index, seen.claim, record),
            // Written over by somebody who does not play by the rules.
            (State::Held, None) => self.alive_if_locked(index),
        }
    }

    /// It has no record yet. A mistake costs it another attempt, and the next holder nothing (see
    /// [`slot`](super::slot)).
    fn judge_claimant(&self, index: u32, claim: Claim) -> Verdict {
        if !claim.is_lockless()
            && let Some((file, _)) = self.private.file()
            && let Some(is_locked) = byte_lock::is_locked(file, index)
        {
            return if is_locked {
                Verdict::Alive
            } else {
                Verdict::Dead
            };
        }
        match life_of(claim.pid(), None) {
            Life::Dead => Verdict::Dead,
            Life::Alive | Life::Unsure => Verdict::Unknowable,
        }
    }

    fn judge_holder(&self, index: u32, claim: Claim, record: Record) -> Verdict {
        let me = Identity::of_this_process();
        let home = Home::from_words(&record);
        // An earlier program of this very process: whatever it had is gone.
        if record.is_an_earlier_program_of(claim, &me) {
            return Verdict::Dead;
        }
        // Step 3.
        if home.shares_pids_with(me.home) {
            let is_comparable = home.time_namespace == me.home.time_namespace;
            let started = Some(record.started).filter(|&start| is_comparable && start != 0);
            return match life_of(claim.pid(), started) {
                Life::Alive => Verdict::Alive,
                Life::Dead => Verdict::Dead,
                Life::Unsure => self.alive_if_locked(index),
            };
        }
        // Step 4.
        if claim.is_lockless() {
            return if home.is_of_another_boot_than(me.home) {
                Verdict::Dead
            } else {
                Verdict::Unknowable
            };
        }
        match self.is_locked(index, record.lock_file) {
            Some(true) => Verdict::Alive,
            Some(false) if home.is_known() && me.home.is_known() => Verdict::Dead,
            // Perhaps of our own namespace after all: then a free byte is no proof by itself.
            Some(false) if life_of(claim.pid(), None) == Life::Dead => Verdict::Dead,
            // Step 5.
            Some(false) | None => Verdict::Unknowable,
        }
    }

    pub(super) fn is_locked(&self, index: u32, locked_file: FileId) -> Option<bool> {
        let (file, id) = self.private.file()?;
        // A segment's own file is the same for all; a companion may have been replaced.
        if self.is_companion && id != locked_file {
            return None;
        }
        byte_lock::is_locked(file, index)
    }

    /// For where a free byte proves nothing.
    fn alive_if_locked(&self, index: u32) -> Verdict {
        let file = self.private.file();
        match file.and_then(|(file, _)| byte_lock::is_locked(file, index)) {
            Some(true) => Verdict::Alive,
            Some(false) | None => Verdict::Unknowable,
        }
    }
}

impl Record {
    fn is_an_earlier_program_of(&self, claim: Claim, me: &Identity) -> bool {
        let image = (self.boot_and_image >> 32) as u32;
        claim.pid() == me.pid
            && self.started == me.started
            && self.started != 0
            && Home::from_words(self) == me.home
            && me.home.is_known()
            && image != 0
            && me.image != 0
            && image != me.image
    }
}

impl Home {
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
