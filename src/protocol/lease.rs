//! Loading once: who of all that miss a key runs the loader.
//!
//! Loads under way stand in a small table of cells of one cache line each.
//!
//! ```text
//!  word 0   owner token of the loading process, 0 = free; its flag says that somebody waits
//!  word 1   hash of the key (never 0), 0 while none is written
//!  word 2   thread that loads, for people
//!  word 3   when it began, in milliseconds of the clock, for people
//!  words 4..8  reserved, zero
//! ```
//!
//! The cell of a key is one of [`WINDOW`] that its hash names. Whoever looks for it or claims it
//! holds the lock of the key's primary bucket (for the few dozen nanoseconds that this takes, never
//! while a loader runs); so for one key there is no race, and a key that was absent is absent
//! still. Different keys contend for free cells by compare-exchange. If no cell of the window is
//! free, the loader runs without a lease: then two may run it, which costs work and nothing else,
//! and nobody waits because of keys that are not its own.
//!
//! The owner of a cell frees it when it has stored the value, or failed. One that died is found
//! out by whoever waits for it, as with the lock of a bucket, and replaced by compare-exchange
//! of exactly its word. A live one is never replaced, however long it takes: those who wait have
//! a deadline.

use crate::liveness::token::{Liveness, LockWord, Token};
use crate::protocol::hash::KeyHash;
use crate::protocol::table::LivenessCheck;
use crate::sys::sync::WAIT_SLICE_US;
use crate::sys::sync::{AtomicU64, Ordering, futex_wait, futex_wake_all};

/// Words that a cell takes.
pub(crate) const CELL_WORDS: usize = 8;

/// Cells in which the load of a key may stand.
pub(crate) const WINDOW: usize = 16;

const OWNER: usize = 0;
const HASH: usize = 1;
const THREAD: usize = 2;
const SINCE: usize = 3;

/// Cells of a new cache for so many entries: there are no more loads than entries worth loading.
pub(crate) fn new_cells(capacity: u64) -> u32 {
    capacity.clamp(64, 1024).next_power_of_two() as u32
}

/// The table.
#[derive(Clone, Copy)]
pub(crate) struct Leases<'a> {
    cells: &'a [AtomicU64],
}

/// What came of trying to get the lease of a key.
#[must_use]
pub(crate) enum Claim<'a> {
    /// We load.
    Ours(Lease<'a>),
    /// Somebody else does.
    Theirs(Holder<'a>),
    /// All cells where it could stand are taken by other keys.
    NoFreeCell,
}

/// Somebody who loads.
#[derive(Clone, Copy)]
pub(crate) struct Holder<'a> {
    cell: &'a [AtomicU64],
    found: LockWord,
}

/// The right to load a key. Dropping it lets others.
pub(crate) struct Lease<'a> {
    cell: &'a [AtomicU64],
    token: Token,
}

impl<'a> Leases<'a> {
    pub(crate) fn new(cells: &'a [AtomicU64]) -> Self {
        Self { cells }
    }

    fn window(self, hash: KeyHash) -> impl Iterator<Item = &'a [AtomicU64]> {
        let count = self.cells.len() / CELL_WORDS;
        let first = ((u128::from(hash.0) * count as u128) >> 64) as usize;
        (0..WINDOW.min(count)).map(move |step| {
            let start = (first + step) % count * CELL_WORDS;
            &self.cells[start..start + CELL_WORDS]
        })
    }

    /// Gets the lease of a key, from nobody or from the `dead` holder who was judged before. The
    /// primary bucket of the key is locked.
    pub(crate) fn claim(
        self,
        hash: KeyHash,
        token: Token,
        dead: Option<LockWord>,
        thread: u64,
        now: u64,
    ) -> Claim<'a> {
        let take = |cell: &'a [AtomicU64], found: LockWord| {
            let taken = found.taken_by(token).0;
            // Acquire: pairs with the Release in `Lease::drop`: what the last owner wrote and
            // cleared comes before what we write. Release: as in `Bucket::try_lock`.
            cell[OWNER]
                .compare_exchange(found.0, taken, Ordering::AcqRel, Ordering::Relaxed)
                .ok()?;
            cell[HASH].store(named(hash), Ordering::Relaxed);
            cell[THREAD].store(thread, Ordering::Relaxed);
            cell[SINCE].store(now, Ordering::Relaxed);
            Some(Claim::Ours(Lease { cell, token }))
        };
        if let Some(holder) = self.holder(hash) {
            // A dead one's word may have got the flag since.
            let is_dead = dead.is_some_and(|dead| dead.owner() == holder.found.owner());
            return match is_dead.then(|| take(holder.cell, holder.found)).flatten() {
                Some(ours) => ours,
                None => Claim::Theirs(holder),
            };
        }
        for cell in self.window(hash) {
            // Once more if somebody raised the flag, or let go, in between.
            for _ in 0..2 {
                let found = LockWord(cell[OWNER].load(Ordering::Relaxed));
                if found.owner().is_none()
                    && let Some(ours) = take(cell, found)
                {
                    return ours;
                }
            }
        }
        Claim::NoFreeCell
    }

    /// Who loads a key. Its primary bucket is locked, so nobody begins to meanwhile.
    pub(crate) fn holder(self, hash: KeyHash) -> Option<Holder<'a>> {
        self.window(hash).find_map(|cell| {
            // Acquire: pairs with the Release in `Lease::drop`: the hash of an owner whose cell was
            // freed is not taken for that of the next one.
            let found = LockWord(cell[OWNER].load(Ordering::Acquire));
            let is_it =
                found.owner().is_some() && cell[HASH].load(Ordering::Relaxed) == named(hash);
            is_it.then_some(Holder { cell, found })
        })
    }

    /// Frees the cells of dead processes among those where the load of a key could stand.
    pub(crate) fn free_dead_cells<W: LivenessCheck>(self, who: &W, hash: KeyHash, token: Token) {
        self.window(hash)
            .for_each(|cell| free_if_dead(cell, who, token));
    }

    /// Frees all cells of dead processes.
    pub(crate) fn free_all_dead_cells<W: LivenessCheck>(self, who: &W, token: Token) {
        self.cells
            .chunks_exact(CELL_WORDS)
            .for_each(|cell| free_if_dead(cell, who, token));
    }
}

fn free_if_dead<W: LivenessCheck>(cell: &[AtomicU64], who: &W, token: Token) {
    let found = LockWord(cell[OWNER].load(Ordering::Relaxed));
    let is_dead = found
        .owner()
        .is_some_and(|owner| owner != token && who.liveness(owner) == Liveness::Dead);
    let taken = found.taken_by(token).0;
    // AcqRel: as in `claim`.
    if is_dead
        && cell[OWNER]
            .compare_exchange(found.0, taken, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    {
        drop(Lease { cell, token });
    }
}

impl Holder<'_> {
    pub(crate) fn word(&self) -> LockWord {
        self.found
    }

    /// Sleeps until the lease changes hands, or a slice of time is over. Says whether that load is
    /// still under way, as far as one look can tell.
    pub(crate) fn wait(&mut self) -> bool {
        let owner = &self.cell[OWNER];
        let now = LockWord(owner.load(Ordering::Relaxed));
        if now.owner() != self.found.owner() {
            return false;
        }
        let flagged = now.with_waiters();
        // Relaxed: the flag orders nothing, it only asks for a wake-up.
        if now == flagged
            || owner
                .compare_exchange(now.0, flagged.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            futex_wait(owner, flagged.0, WAIT_SLICE_US);
        }
        self.found = LockWord(owner.load(Ordering::Relaxed));
        self.found.owner() == now.owner()
    }
}

impl Lease<'_> {
    /// The token under which it is held.
    pub(crate) fn token(&self) -> Token {
        self.token
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.cell[HASH].store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `claim` and `holder`; the cleared hash, and the value
        // that was stored, come before.
        let left = LockWord(self.cell[OWNER].swap(0, Ordering::Release));
        if left.has_waiters() {
            futex_wake_all(&self.cell[OWNER]);
        }
    }
}

/// A hash as it stands in a cell.
fn named(hash: KeyHash) -> u64 {
    hash.0.max(1)
}
