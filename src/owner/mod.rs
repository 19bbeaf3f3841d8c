//! Who writes, and who of them is dead.
//!
//! A *participant* is a process that writes through one handle. At its first write it
//! takes a slot of the table in the segment ([`slot`]) and holds a lock on one byte of
//! the segment's file for as long as it is attached ([`byte_lock`]). Its lock words carry the
//! [`token`] of slot and generation. Readers never register.
//!
//! *Who is dead?* Whoever waits too long for a bucket asks about the token that stands in
//! its lock word. The answer is found in this order, the first that applies:
//!
//! 1. it is our own token (another thread of ours): alive;
//! 2. the slot is free or has another generation: dead. A slot has its new generation
//!    before its holder's first lock; the holder takes locks with `Release`
//!    (or `AcqRel`), and the fence in [`Owners::verdict`] pairs with it;
//! 3. it is of our pid namespace and boot: a pidfd and the start time decide, both ways
//!    ([`process`]). Only if they cannot (`/proc` missing or hidden, no descriptor left), and some
//!    process has that id, is the byte asked, and it can only say "alive" then;
//! 4. its byte, probed through a description of our own: free means dead. (A program
//!    that closes descriptors which are not its own keeps its lock, see [`private`].) Not asked of
//!    those who never had a lock, nor if the lock file is not the one that they locked;
//! 5. anything else is unknowable, and treated like alive.
//!
//! *Forks.* Neither token nor lock is inherited ([`private`]). A child registers at its
//! own first write. One that has no lock (privileges dropped where the handler could not
//! run, a file system without such locks, no `/proc`) says so in its slot; its process id
//! and start time decide then, and from other pid namespaces it is unknowable. Only if the
//! machine was booted since is it dead without further proof.
//!
//! *Exec.* Replacing the program keeps process id and start time; only the lock goes. Within its
//! pid namespace its slot counts as alive until the process ends or registers again (from
//! others it is dead): it knows by itself that what its earlier program held is dead.
//!
//! *Trust.* Everything in the table may be garbage. Indexes are bounded by the number of slots
//! that the checked layout has given us, loops by constants; a wrong word gives a
//! wrong verdict at worst, as a peer that may write to the segment can always forge one.

mod byte_lock;
pub(crate) mod companion;
pub(crate) mod door;
mod info;
mod private;
mod process;
mod slot;
pub(crate) mod token;

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::fd::BorrowedFd;

use self::byte_lock::Locking;
use self::private::Private;
use self::process::{Home, Identity, Life, life_of};
use self::slot::{Claim, FileId, Record, Slot, Snapshot, State};
use self::token::Token;
use crate::sync::{AtomicU64, Ordering, fence};

pub use self::info::{OwnerInfo, Participant};
pub(crate) use self::slot::SLOT_WORDS;
pub use self::token::Verdict;

/// Where participants lock and probe their bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LockPlace<'a> {
    /// In the segment's own file. It is opened anew; the descriptor is not kept.
    File(BorrowedFd<'a>),
    /// In a file beside the segment (System V).
    Companion {
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
    /// As many processes write already as the segment has room for.
    #[error(
        "all {slots} writer slots of the segment are taken by processes that are not provably dead: \
         close a writer, or create the segment again with a higher `max_writers`"
    )]
    NoFreeSlot {
        /// How many there are.
        slots: u32,
    },
    /// The kernel offers no memory that a fork wipes, so a child could pass for its parent.
    #[error(
        "the kernel gave no memory with MADV_WIPEONFORK (Linux 4.14 or later is needed, and a free page): \
         this process can read the segment but not write to it"
    )]
    ForksGoUnnoticed,
}

/// This process as a participant through one handle, shared by its threads.
pub(crate) struct Owners {
    private: Private,
    slots: u32,
    /// The lock file can be replaced by another of the same name.
    is_companion: bool,
}

impl Owners {
    /// Opens the lock file, which is done now because later this process may have
    /// dropped the privileges that it takes. Registers nothing.
    pub(crate) fn new(place: LockPlace<'_>, segment_id: [u64; 2], slots: u32) -> Self {
        let file = match place {
            LockPlace::File(file) => private::reopen(file).ok(),
            LockPlace::Companion { owner, mode } => {
                companion::open_or_create(segment_id, owner, mode).ok()
            }
            LockPlace::None => None,
        };
        Self {
            private: Private::new(file),
            slots: slots.min(token::MAX_PARTICIPANTS),
            is_companion: matches!(place, LockPlace::Companion { .. }),
        }
    }

    /// For a process that only looks: creates nothing, needs no permission to write, and never
    /// registers.
    pub(crate) fn observing(place: LockPlace<'_>, segment_id: [u64; 2], slots: u32) -> Self {
        let file = match place {
            LockPlace::File(file) => private::reopen_for_reading(file).ok(),
            LockPlace::Companion { owner, .. } => companion::open_to_look(segment_id, owner).ok(),
            LockPlace::None => None,
        };
        Self {
            private: Private::new(file),
            slots: slots.min(token::MAX_PARTICIPANTS),
            is_companion: matches!(place, LockPlace::Companion { .. }),
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

    /// Gives the slot back. A fork of the process that registered has nothing to give.
    /// No lock may be held any more.
    pub(crate) fn release(&self, table: &[AtomicU64]) {
        let _entered = self.private.enter();
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

    /// Empties the table. Only by whoever holds the door, and only if all that is in it is of an
    /// earlier boot.
    pub(crate) fn forget_all(&self, table: &[AtomicU64], _door: &door::Door<'_>) {
        for index in 0..self.slots {
            if let Some(slot) = Slot::of(table, index) {
                slot.reset();
            }
        }
    }

    /// Whether this process is registered through this handle.
    pub(crate) fn is_registered(&self) -> bool {
        self.private.token() != 0
    }

    /// Every slot that is not free.
    pub(crate) fn survey(&self, table: &[AtomicU64]) -> Vec<Participant> {
        self.participants(table)
            .map(|(_, _, found)| found)
            .collect()
    }

    /// Frees the slots of the dead and says who they were. This may be done at any time:
    /// lock words that still carry their tokens are dead by generation from then on.
    pub(crate) fn reclaim_dead(&self, table: &[AtomicU64]) -> Vec<Participant> {
        // A claim that another thread of ours is making has its byte locked through our own
        // description, which we would not see.
        let _entered = self.private.enter();
        self.participants(table)
            .filter(|(slot, seen, found)| {
                found.owner.verdict() == Verdict::Dead && slot.free(seen.claim)
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
            let verdict = if is_self {
                Verdict::Alive
            } else {
                self.judge(index, seen)
            };
            let found = Participant::of(index, seen, verdict, is_self);
            Some((slot, seen, found))
        })
    }

    fn look_up(&self, table: &[AtomicU64], token: Token) -> (Option<Snapshot>, Verdict) {
        // Acquire: pairs with the owner's release when it took the lock, so that the
        // slot is read at least as new as it was then.
        fence(Ordering::Acquire);
        let slot = token
            .slot()
            .filter(|&index| index < self.slots)
            .and_then(|index| Some((index, Slot::of(table, index)?)));
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
    fn judge(&self, index: u32, seen: Snapshot) -> Verdict {
        match (seen.claim.state(), seen.record) {
            // Nobody's; and no participant of ours writes a state that does not exist.
            (State::Free | State::Wild, _) => Verdict::Dead,
            (State::Claiming, _) => self.judge_claimant(index, seen.claim),
            (State::Held, Some(record)) => self.judge_holder(index, seen.claim, record),
            // Written over by somebody who does not play by the rules.
            (State::Held, None) => self.alive_if_locked(index),
        }
    }

    /// It has no record yet. A mistake costs it another attempt, nothing else.
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

    fn is_locked(&self, index: u32, locked_file: FileId) -> Option<bool> {
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

    #[cold]
    fn register(&self, table: &[AtomicU64]) -> Result<Token, RegisterError> {
        if !self.private.knows_of_forks() {
            return Err(RegisterError::ForksGoUnnoticed);
        }
        let _entered = self.private.enter();
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
                lockless: false,
            },
            Pass {
                dead: true,
                lockless: false,
            },
            Pass {
                dead: true,
                lockless: false,
            },
            Pass {
                dead: true,
                lockless: true,
            },
        ];
        for pass in passes {
            for index in order() {
                let index = index as u32;
                if let Some(slot) = Slot::of(table, index)
                    && let Some(token) = self.try_slot(index, slot, &me, pass)
                {
                    self.private.set_token(token.to_word());
                    return Ok(token);
                }
            }
        }
        Err(RegisterError::NoFreeSlot { slots })
    }

    fn try_slot(&self, index: u32, slot: Slot<'_>, me: &Identity, pass: Pass) -> Option<Token> {
        let seen = slot.read();
        let is_ours_to_take = match seen.claim.state() {
            State::Free => true,
            _ => pass.dead && self.judge(index, seen) == Verdict::Dead,
        };
        if !is_ours_to_take {
            return None;
        }
        // First the byte, then the slot: whoever dies in between leaves a slot that is free.
        let file = self.private.file().filter(|_| !pass.lockless);
        let locked = match file {
            Some((file, id)) => match byte_lock::lock(file, index) {
                Locking::Locked => Some((file, id)),
                Locking::Taken => return None,
                Locking::Impossible => None,
            },
            None => None,
        };
        let record = Record::of(me, locked.map(|(_, id)| id));
        let held = slot
            .try_claim(seen.claim, me.pid, locked.is_none())
            .and_then(|claim| slot.publish(claim, record));
        if held.is_none()
            && let Some((file, _)) = locked
        {
            byte_lock::unlock(file, index);
        }
        held.map(|held| Token::new(index, held.generation()))
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners")
            .field("token", &Token::from_word(self.private.token()))
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// Which slots a search for one looks at.
#[derive(Clone, Copy)]
struct Pass {
    /// Those of dead holders too.
    dead: bool,
    /// Without locking the byte.
    lockless: bool,
}

impl Record {
    fn of(me: &Identity, lock_file: Option<FileId>) -> Self {
        let Home {
            pid_namespace,
            time_namespace,
            boot,
        } = me.home;
        Self {
            started: me.started,
            namespaces: (u64::from(time_namespace) << 32) | u64::from(pid_namespace),
            boot_and_image: (u64::from(me.image) << 32) | u64::from(boot),
            lock_file: lock_file.unwrap_or_default(),
            since: process::now(),
        }
    }

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
    fn from_words(record: &Record) -> Self {
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
