//! Counting what a cache does, without anybody waiting for anybody.
//!
//! The segment has a number of *lines* of counters. A thread claims one and is then the only one
//! to write to it, so it counts with a load and a store. The sum over all lines is the
//! statistics of the cache. A line belongs to its thread until that ends, or its process does;
//! then another one takes it and counts on: numbers are never set back.
//!
//! ```text
//!  word 0        owner token of the claimant, 0 = free
//!  words 1..11   counters, see `Counter`
//!  words 11..16  reserved, zero
//! ```
//!
//! Line 0 belongs to nobody. Threads that find no other count there, by read-modify-write.
//!
//! Which line is its own a thread knows from a thread-local variable that holds the last one
//! it used, by the number of the registration under which that was claimed; threads that work with
//! several caches by turns find the others in a list. After a fork the number is gone (module
//! `owner`), so the child claims a line of its own.

use std::cell::{Cell, RefCell};
use std::hint::cold_path;
use std::sync::{Arc, Weak};

use crate::liveness::Registration;
use crate::liveness::token::{Liveness, LockWord, Token};
use crate::protocol::counters::{Counter, LINE_WORDS};
use crate::protocol::table::LivenessCheck;
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering};

/// Lines of a new cache.
pub(crate) const NEW_LINES: u32 = 256;

/// Is the number of no registration: they are counted from 1.
const NO_REGISTRATION: u64 = u64::MAX;

/// The line that this thread used last. No destructor, so that looking at it costs nothing.
struct Last {
    /// Under which registration: of this very process, in one segment.
    registration: Cell<u64>,
    /// The line, if there is such a registration.
    line: Cell<Line>,
    /// Another registration, under which this thread found no line for itself.
    full_for: Cell<u64>,
}

impl Last {
    fn forget(&self) {
        self.registration.set(NO_REGISTRATION);
        self.full_for.set(NO_REGISTRATION);
    }
}

/// A line, wherever the segment is mapped.
#[derive(Clone, Copy)]
struct Line(*const [AtomicU64; LINE_WORDS]);

impl Line {
    /// Where no line is.
    const NONE: Self = Self(std::ptr::null());

    /// A counter of the line.
    ///
    /// # Safety
    /// It is not `NONE`, and what it was taken from is mapped for as long as the result is used.
    #[inline(always)]
    #[expect(unsafe_code, reason = "a known line needs no bounds")]
    unsafe fn counter<'s>(self, counter: Counter) -> &'s AtomicU64 {
        // SAFETY: as the caller vouches for, there is such an array of words that are accessed as
        // atomics only; the index is a variant's, below the array's length.
        unsafe { &(&(*self.0))[counter as usize] }
    }
}

thread_local! {
    static LAST: Last = const {
        Last {
            registration: Cell::new(NO_REGISTRATION),
            line: Cell::new(Line::NONE),
            full_for: Cell::new(NO_REGISTRATION),
        }
    };
    /// All lines of this thread.
    static CLAIMED: RefCell<Vec<Claimed>> = const { RefCell::new(Vec::new()) };
}

/// A line that a thread has claimed, or line 0 if there was none left. Given back when the thread ends.
struct Claimed {
    shared: Weak<Store>,
    registration: u64,
    token: u64,
    line: usize,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // What else runs while the thread ends counts in a line that is not its own.
        LAST.with(Last::forget);
        if let Some(shared) = self.shared.upgrade()
            // Not in the child of a fork, which has a copy of the list.
            && shared.current_token().map(Token::to_word) == Some(self.token)
            && let Some(owner) = shared.mapping.statistics().get(self.line * LINE_WORDS)
        {
            // Release: the next claimant goes on from what this thread counted last.
            let _ = owner.compare_exchange(self.token, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// Counts for one open segment.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    /// Where the number stands by which a thread recognizes its line: `shared`'s.
    registration: &'static AtomicU64,
    shared: Arc<Store>,
    /// Different for every one that this process ever had.
    id: u64,
    is_on: bool,
}

impl Recorder {
    /// One that counts in this segment, or one that does not.
    pub(crate) fn new(shared: &Arc<Store>, is_on: bool) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        static NOBODY: AtomicU64 = AtomicU64::new(0);
        let owners = shared.owners.as_ref();
        Self {
            registration: owners.map_or(&NOBODY, Registration::registration),
            shared: Arc::clone(shared),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            is_on,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Adds to a counter.
    #[inline(always)]
    pub(crate) fn add(&self, counter: Counter, more: u64) {
        // The usual case first, so that it asks for nothing that it can do without. (The bounds of the
        // lines were a sixth of a hit in a table that does not fit into a core's cache.)
        let registration = self.registration.load(Ordering::Relaxed);
        let line = LAST.with(|last| {
            let is_mine = last.registration.get() == registration;
            is_mine.then(|| last.line.get())
        });
        if let Some(line) = line {
            #[expect(unsafe_code, reason = "a line of a segment that is open")]
            // SAFETY: no two registrations that this process ever had have the same number, so it was
            // our `shared`, which keeps its segment mapped, from which `find_line` took the line
            // when it wrote down that number. And there is a line with each number that it writes
            // down; what stands there before is the number of no registration.
            let word = unsafe { line.counter(counter) };
            // Nobody else writes here. Relaxed: a counter orders nothing.
            let sum = word.load(Ordering::Relaxed).wrapping_add(more);
            word.store(sum, Ordering::Relaxed);
        } else {
            // To be put out of the way of a hit, which has few instructions to lose.
            cold_path();
            if self.is_on {
                self.add_slow(counter, more);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn add_slow(&self, counter: Counter, more: u64) {
        let words = self.shared.mapping.statistics();
        let line = self.find_line();
        let at = line * LINE_WORDS + counter as usize;
        if let Some(word) = words.get(at) {
            // Also right, if not as cheap, on a line of our own.
            word.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// The line of this thread, claimed if it had none: 0 if all are taken.
    fn find_line(&self) -> usize {
        let shared = &self.shared;
        let token = shared.token_for_hits();
        // Only with a token of ours: another thread may be about to register, and whoever missed
        // that shall look for a line again the next time. (The number is stored before the token.)
        let registration = token.map_or(0, |_| self.registration.load(Ordering::Relaxed));
        if LAST.with(|last| last.full_for.get() == registration) {
            return 0;
        }
        // While the thread is ending there is no list any more, and nothing is claimed.
        let line = CLAIMED.try_with(|claimed| {
            let mut claimed = claimed.try_borrow_mut().ok()?;
            let mut lines = claimed.iter();
            if let Some(found) = lines.find(|one| one.registration == registration) {
                return Some(found.line);
            }
            let token = token?;
            // Where all are taken, that is remembered as well: looking for one takes long.
            let line = claim(shared, token).unwrap_or(0);
            // Those of segments that are closed, or were ours before a fork, are of no more use.
            let here = Arc::as_ptr(shared);
            claimed.retain(|one| one.shared.as_ptr() != here && one.shared.strong_count() > 0);
            claimed.push(Claimed {
                shared: Arc::downgrade(shared),
                registration,
                token: token.to_word(),
                line,
            });
            Some(line)
        });
        let (lines, _) = shared.mapping.statistics().as_chunks();
        let found = line
            .ok()
            .flatten()
            .filter(|line| *line != 0 && registration != 0);
        LAST.with(
            |last| match found.and_then(|line| Some((line, lines.get(line)?))) {
                Some((line, words)) => {
                    last.line.set(Line(words));
                    last.registration.set(registration);
                    line
                }
                None => {
                    last.full_for.set(registration);
                    0
                }
            },
        )
    }
}

/// Claims a line that is free, or whose owner is dead.
fn claim(shared: &Store, token: Token) -> Option<usize> {
    let words = shared.mapping.statistics();
    let lines = words.len() / LINE_WORDS;
    let take = |line: usize, found: u64| {
        // Acquire: pairs with the Release with which the last owner gave it back.
        let new = token.to_word();
        words[line * LINE_WORDS]
            .compare_exchange(found, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    };
    // Processes start at different places, so that they seldom collide.
    let start = token.slot().unwrap_or(0) as usize;
    let order = || (0..lines.saturating_sub(1)).map(|i| 1 + (start + i) % (lines - 1));
    let owner = |line: usize| words[line * LINE_WORDS].load(Ordering::Relaxed);
    if let Some(line) = order().find(|line| owner(*line) == 0 && take(*line, 0)) {
        return Some(line);
    }
    // Neighbouring lines often have one owner, who is asked about once.
    let mut last = None;
    order().find(|line| {
        let found = owner(*line);
        let Some(owner) = LockWord(found).owner() else {
            return take(*line, found);
        };
        if owner == token {
            return false;
        }
        let liveness = match last {
            Some((asked, liveness)) if asked == owner => liveness,
            _ => shared.liveness(owner),
        };
        last = Some((owner, liveness));
        liveness == Liveness::Dead && take(*line, found)
    })
}
