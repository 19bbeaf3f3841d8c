//! Who writes, and who of them is dead.
//!
//! A *participant* is a process that writes through one handle. At its first write it
//! takes a slot of the table in the segment ([`slot`]) and holds a lock on one byte of
//! the segment's file for as long as it is attached ([`byte_lock`]). Its lock words carry the
//! [`token`] of slot and generation. Readers never register.
//!
//! *Who is dead?* Whoever waits too long for a bucket asks about the token that stands in
//! its lock word. [`judge`] gathers what the slot, its byte, the boot, the pid namespace and the
//! kernel say about its owner, and [`trust`] answers by a table. A slot has its new generation
//! before its holder's first lock; the holder takes locks with `Release` (or `AcqRel`), and the
//! fence in [`Slot::named_by`] pairs with it. The byte is probed through a description of
//! our own. (A program that closes descriptors which are not its own keeps its lock, see [`fork`].)
//!
//! *Forks.* Neither token nor lock is inherited ([`private`]). A child registers at its
//! own first write. One that has no lock (privileges dropped where the handler could not
//! run, a file system without such locks) says so in its slot; its process id
//! and start time decide then, and from other pid namespaces it is unknown. One that can leave
//! neither sign is refused as a writer.
//!
//! *Exec.* Replacing the program keeps process id and start time; only the lock goes. Within its
//! pid namespace its slot counts as alive until the process ends or registers again (from
//! others it is dead): it knows by itself that what its earlier program held is dead.
//!
//! *Trust.* Everything in the table may be invalid. Indexes are bounded by the number of slots
//! that the checked layout has given us, loops by constants; a wrong word gives a
//! wrong judgement at worst, as a peer that may write to the segment can always forge one.

pub(crate) mod admission_lock;
mod byte_lock;
mod fork;
mod info;
mod judge;
pub(crate) mod lock_file;
pub(crate) mod process;
mod register;
mod slot;
pub(crate) mod token;
pub(crate) mod trust;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;

use self::fork::ForkState;
use self::slot::{Slot, Snapshot, State};
use self::token::Token;
use crate::sys::sync::AtomicU64;

pub use self::info::{OwnerInfo, Participant};
pub(crate) use self::slot::SLOT_WORDS;
pub use self::token::Liveness;

/// Where participants lock and probe their bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LockPlace<'a> {
    /// In the segment's own file. It is opened anew; the descriptor is not kept.
    File(BorrowedFd<'a>),
    /// In a file beside the segment (System V).
    LockFile {
        /// The user to whom the segment belongs.
        owner: u32,
        /// The segment's mode.
        mode: u32,
    },
    /// Nowhere: process ids decide alone.
    None,
}

/// Why a process cannot write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// As many handles write already as the segment has room for. Each handle that was opened and
    /// has written takes a slot; its clones share it.
    #[error("all {slots} writer slots of the segment are taken, {}", SlotHolders { slots: *slots, own: *own })]
    NoFreeSlot {
        /// How many there are.
        slots: u32,
        /// How many of them are taken by handles of this process.
        own: u32,
    },
    /// The kernel offers no memory that a fork wipes, so a child could pass for its parent.
    #[error(
        "the kernel gave no memory with MADV_WIPEONFORK (Linux 4.14 or later is needed, and a free page): \
         this process can read the segment but not write to it"
    )]
    ForksGoUnnoticed,
    /// Nobody could ever tell whether this process is still alive, so what it holds when it is killed
    /// would stay locked for ever.
    #[error(
        "this process can leave no sign of life: the segment's file cannot be opened a second time \
         to lock a byte of it (no /proc and no path to it, no free descriptor, or no permission), \
         and /proc does not tell its start time, pid namespace and boot: mount /proc, raise the \
         limit of open files, or open the segment by its name; it can be read as it is"
    )]
    NoSignOfLife,
    /// Another process took the segment over, as after a crash of the machine, since this handle
    /// was opened.
    #[error(
        "the segment was taken over by a process of another boot since this handle was opened: \
         open it again"
    )]
    TakenOver,
}

/// The second half of the message of `NoFreeSlot`.
struct SlotHolders {
    slots: u32,
    own: u32,
}

impl fmt::Display for SlotHolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHARE: &str = "open it once and clone the handle, whose clones share its slot";
        const MORE: &str = "or create the segment with a higher `max_writers`";
        match *self {
            Self { own: 0, .. } => write!(
                f,
                "by handles of processes that are not provably dead: close one of them, {MORE}"
            ),
            Self { slots, own } if own >= slots => {
                write!(f, "all by handles of this process: {SHARE}, {MORE}")
            }
            Self { own, .. } => write!(
                f,
                "{own} of them by handles of this process, the others by handles of processes that \
                 are not provably dead: {SHARE}, {MORE}"
            ),
        }
    }
}

/// This process as a participant through one handle, shared by its threads.
pub(crate) struct Registration {
    private: ForkState,
    slots: u32,
    /// The lock file can be replaced by another of the same name.
    is_lock_file: bool,
}

impl Registration {
    /// Opens the lock file, which is done now because later this process may have
    /// dropped the privileges that it takes. Registers nothing.
    ///
    /// `path` leads to the segment's file where `/proc` does not.
    pub(crate) fn new(
        place: LockPlace<'_>,
        path: Option<&Path>,
        segment_id: [u64; 2],
        slots: u32,
    ) -> Self {
        let file = match place {
            LockPlace::File(file) => fork::reopen(file)
                .or_else(|error| fork::reopen_by_path(file, path.ok_or(error)?))
                .ok(),
            LockPlace::LockFile { owner, mode } => {
                lock_file::open_or_create(segment_id, owner, mode).ok()
            }
            LockPlace::None => None,
        };
        Self {
            private: ForkState::new(file),
            slots: slots.min(token::MAX_PARTICIPANTS),
            is_lock_file: matches!(place, LockPlace::LockFile { .. }),
        }
    }

    /// For a process that only looks: creates nothing, needs no permission to write, and never
    /// registers.
    pub(crate) fn read_only(place: LockPlace<'_>, segment_id: [u64; 2], slots: u32) -> Self {
        let file = match place {
            // Through `/proc` or not: a description that holds no lock of ours can be asked.
            LockPlace::File(file) => fork::reopen_for_reading(file)
                .or_else(|_| file.try_clone_to_owned())
                .ok(),
            LockPlace::LockFile { owner, .. } => lock_file::open_to_look(segment_id, owner).ok(),
            LockPlace::None => None,
        };
        Self {
            private: ForkState::new(file),
            slots: slots.min(token::MAX_PARTICIPANTS),
            is_lock_file: matches!(place, LockPlace::LockFile { .. }),
        }
    }

    /// The token of this process, which is registered at first use.
    ///
    /// A lock word that receives it must do so with `Release` or stronger (see the module).
    #[inline]
    pub(crate) fn token(&self, table: &[AtomicU64]) -> Result<Token, RegisterError> {
        match Token::from_word(self.private.token()) {
            Some(token) => Ok(token),
            None => self.register(table),
        }
    }

    /// The token of this process, if it is registered.
    #[inline(always)]
    pub(crate) fn current(&self) -> Option<Token> {
        Token::from_word(self.private.token())
    }

    /// Where a number stands that is another one for each registration that this process ever had
    /// in any segment, or its ancestors before they forked; 0 while it is not registered. The memory
    /// is never given back, but serves others once this is dropped.
    pub(crate) fn registration(&self) -> &'static AtomicU64 {
        self.private.registration()
    }

    /// Gives the slot back. A fork of the process that registered has nothing to give.
    /// No lock may be held any more.
    pub(crate) fn release(&self, table: &[AtomicU64]) {
        let _guard = self.private.enter();
        let Some(token) = Token::from_word(self.private.token()) else {
            return;
        };
        self.private.set_token(0);
        let Some(index) = token.slot() else { return };
        if let Some(slot) = Slot::of(table, index) {
            let claim = slot.claim();
            if claim.generation() == token.generation() {
                slot.free(claim);
            }
        }
        if let Some((file, _)) = self.private.file() {
            byte_lock::unlock(file, index);
        }
    }

    /// Empties the table. Only by whoever holds the admission lock, and only if all that is in it
    /// is of an earlier boot.
    pub(crate) fn reset(
        &self,
        table: &[AtomicU64],
        _admission: &admission_lock::AdmissionLock<'_>,
    ) {
        for index in 0..self.slots {
            if let Some(slot) = Slot::of(table, index) {
                slot.reset();
            }
        }
    }

    /// Holds a byte from here on that shows others that a handle is open which may write, on this
    /// file and in this boot.
    pub(crate) fn show_writer(&self) {
        self.private.show_writer();
    }

    /// Gives that byte back. Only by who is not registered.
    pub(crate) fn hide_writer(&self) {
        self.private.hide_writer();
    }

    /// Whether anybody holds a participant byte; `None` if that cannot be asked.
    pub(crate) fn any_byte_is_locked(&self) -> Option<bool> {
        let (file, _) = self.private.file()?;
        byte_lock::any_is_locked(file)
    }

    /// Whether there is a writer without a lock of whom it cannot be proven that it is dead.
    pub(crate) fn has_unprovable_writer(&self, table: &[AtomicU64]) -> bool {
        (0..self.slots).any(|index| {
            Slot::of(table, index).is_some_and(|slot| {
                let seen = slot.read();
                // Who is still claiming it looks at the count of admissions afterwards.
                seen.record.is_some()
                    && seen.claim.has_no_file_lock()
                    && self.judge(index, seen) != Liveness::Dead
            })
        })
    }

    /// Whether this process is registered through this handle.
    pub(crate) fn is_registered(&self) -> bool {
        self.private.token() != 0
    }

    /// Every slot that is not free.
    pub(crate) fn list(&self, table: &[AtomicU64]) -> Vec<Participant> {
        self.participants(table)
            .map(|(_, _, found)| found)
            .collect()
    }

    /// Frees the slots of dead processes and says who they were. This may be done at any time:
    /// lock words that still carry their tokens are dead by generation from then on.
    pub(crate) fn reclaim_dead(&self, table: &[AtomicU64]) -> Vec<Participant> {
        // A claim that another thread of ours is making has its byte locked through our own
        // description, which we would not see.
        let _guard = self.private.enter();
        self.participants(table)
            .filter(|(slot, seen, found)| {
                found.owner.liveness() == Liveness::Dead && slot.free(seen.claim)
            })
            .map(|(_, _, found)| found)
            .collect()
    }

    /// Frees the slots of participants of whom nobody can tell whether they live, and for which
    /// `is_dead` says that they do not; says who they were. Who provably lives is not asked about.
    pub(crate) fn free_unknown(
        &self,
        table: &[AtomicU64],
        is_dead: impl Fn(&Participant) -> bool,
    ) -> Vec<Participant> {
        let _guard = self.private.enter();
        self.participants(table)
            .filter(|(slot, seen, found)| {
                found.owner.liveness() == Liveness::Unknown
                    && is_dead(found)
                    && slot.free(seen.claim)
            })
            .map(|(_, _, found)| found)
            .collect()
    }

    fn participants<'a>(
        &'a self,
        table: &'a [AtomicU64],
    ) -> impl Iterator<Item = (Slot<'a>, Snapshot, Participant)> + 'a {
        (0..self.slots).filter_map(move |index| {
            let slot = Slot::of(table, index)?;
            let seen = slot.read();
            if seen.claim.state() == State::Free {
                return None;
            }
            let own = Token::from_word(self.private.token());
            let is_self = own.is_some_and(|own| {
                own.slot() == Some(index) && own.generation() == seen.claim.generation()
            });
            let liveness = if is_self {
                Liveness::Alive
            } else {
                self.judge(index, seen)
            };
            let found = Participant::of(index, seen, liveness, is_self);
            Some((slot, seen, found))
        })
    }
}

/// Whether anybody holds a participant byte of a file, asked through a description by which nobody
/// locks; `None` if that cannot be asked.
pub(crate) fn any_byte_is_locked(file: BorrowedFd<'_>) -> Option<bool> {
    byte_lock::any_is_locked(file)
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners")
            .field("token", &Token::from_word(self.private.token()))
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
