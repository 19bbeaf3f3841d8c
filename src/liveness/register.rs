//! Taking a slot: at the first write of a process.

use super::byte_lock::{self, Locking};
use super::process::{self, Identity, Origin};
use super::slot::{FileId, Record, Slot, State};
use super::token::{Liveness, Token};
use super::{RegisterError, Registration};
use crate::sys::sync::AtomicU64;

/// Which slots a search for one looks at.
#[derive(Clone, Copy)]
struct Pass {
    /// Those of dead holders too.
    dead: bool,
    /// Without locking the byte.
    no_file_lock: bool,
}

impl Registration {
    #[cold]
    pub(super) fn register(&self, table: &[AtomicU64]) -> Result<Token, RegisterError> {
        if !self.private.knows_of_forks() {
            return Err(RegisterError::ForksGoUnnoticed);
        }
        let _guard = self.private.enter();
        // Another thread was faster.
        if let Some(token) = Token::from_word(self.private.token()) {
            return Ok(token);
        }
        let me = Identity::of_this_process();
        let slots = self.slots;
        // Start at different places, so that many who register at once seldom collide.
        let order = || (0..slots).map(|i| (u64::from(i) + u64::from(me.pid)) % u64::from(slots));
        // Twice, as slots change hands meanwhile. The last pass is for slots whose
        // byte a process has locked that is no participant (a read-only peer can do that).
        let passes = [
            Pass {
                dead: false,
                no_file_lock: false,
            },
            Pass {
                dead: true,
                no_file_lock: false,
            },
            Pass {
                dead: true,
                no_file_lock: false,
            },
            Pass {
                dead: true,
                no_file_lock: true,
            },
        ];
        for pass in passes {
            for index in order() {
                let index = index as u32;
                if let Some(slot) = Slot::of(table, index)
                    && let Some(token) = self.try_slot(index, slot, &me, pass)?
                {
                    self.private.set_token(token.to_word());
                    return Ok(token);
                }
            }
        }
        let is_own = |index: &u32| {
            Slot::of(table, *index).is_some_and(|slot| {
                let seen = slot.read();
                seen.record
                    .is_some_and(|record| me.is_holder_of(seen.claim.pid(), &record))
            })
        };
        let own = (0..slots).filter(is_own).count();
        Err(RegisterError::NoFreeSlot {
            slots,
            own: u32::try_from(own).unwrap_or(slots),
        })
    }

    fn try_slot(
        &self,
        index: u32,
        slot: Slot<'_>,
        me: &Identity,
        pass: Pass,
    ) -> Result<Option<Token>, RegisterError> {
        let seen = slot.read();
        let is_ours_to_take = match seen.claim.state() {
            State::Free => true,
            _ => pass.dead && self.judge(index, seen) == Liveness::Dead,
        };
        if !is_ours_to_take {
            return Ok(None);
        }
        // First the byte, then the slot: whoever dies in between leaves a slot that is free.
        let file = self.private.file().filter(|_| !pass.no_file_lock);
        let locked = match file {
            Some((file, id)) => match byte_lock::lock(file, index) {
                Locking::Locked => Some((file, id)),
                Locking::Taken => return Ok(None),
                Locking::Impossible => None,
            },
            None => None,
        };
        // Nobody could ever tell that it is dead, and what it held would stay locked for ever.
        if locked.is_none() && !me.can_be_judged() {
            return Err(RegisterError::NoSignOfLife);
        }
        let record = Record::of(me, locked.map(|(_, id)| id));
        let held = slot
            .try_claim(seen.claim, me.pid, locked.is_none())
            .and_then(|claim| slot.publish(claim, record));
        if held.is_none()
            && let Some((file, _)) = locked
        {
            byte_lock::unlock(file, index);
        }
        Ok(held.map(|held| Token::new(index, held.generation())))
    }
}

impl Identity {
    /// Whether a slot is taken by a handle of this very process. What is not known is no proof.
    fn is_holder_of(&self, pid: u32, record: &Record) -> bool {
        pid == self.pid
            && self.started != 0
            && record.started == self.started
            && self.can_be_judged()
            && Origin::from_words(record).shares_pids_with(self.origin)
    }
}

impl Record {
    pub(super) fn of(me: &Identity, lock_file: Option<FileId>) -> Self {
        let Origin {
            pid_namespace,
            time_namespace,
            boot,
        } = me.origin;
        Self {
            started: me.started,
            namespaces: (u64::from(time_namespace) << 32) | u64::from(pid_namespace),
            boot_and_image: (u64::from(me.image) << 32) | u64::from(boot),
            lock_file: lock_file.unwrap_or_default(),
            since: process::now(),
        }
    }
}
