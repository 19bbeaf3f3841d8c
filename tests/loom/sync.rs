//! The twin of `src/sys/sync.rs`: same names, loom behind them.
//!
//! Words come in three sorts. *Plain* ones are for the unit tests of the modules, outside of any
//! model. In a model, words that somebody writes are *live*, loom's atomics; the rest are
//! *still*: a bucket has fifty words, of which a model touches ten, and a word that nobody
//! ever writes has only one value to load. A store to a still word is a failure, so nothing is
//! left out unnoticed.
//!
//! loom 0.7 loses interleavings when a thread loads a word and later stores to it: the load
//! stands in the search's books where another thread's load stood before. So whoever holds a
//! bucket's lock reads the words of that bucket by `unsync_load`, which does not enter the
//! books (and fails unless all stores to the word happened before): a word of a bucket knows who
//! holds the lock. What remains, a writer that peeks into a bucket before it locks it,
//! is met by starting the threads of each model in every rotation (see `model::explore`).
//!
//! A thread can be made *mortal*: it dies, as a process does, just before its n-th write. The
//! rest of it unwinds without a trace: no access of a thread that is unwinding does anything.

use core::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicU64 as PlainU64;
use std::thread::panicking;
use std::time::Duration;

pub(crate) use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU64 as LoomU64;
use loom::thread::{Thread, ThreadId};

/// An atomic here is a whole apparatus.
pub(crate) fn atomics_are_words() -> bool {
    false
}

/// The twins of the constants: small, so that a model soon reaches what comes after them.
pub(crate) const LOCK_SPINS: u32 = 1;
pub(crate) const READ_TRIES: u32 = 4;
pub(crate) const READ_TRIES_READ_ONLY: u32 = 6;
pub(crate) const WAIT_SLICE_US: u32 = 1000;

thread_local! {
    /// Whether a model is running on this thread of the operating system.
    static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    /// Whether the accesses are those of a read-only view after the end, with nobody else left.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Whether a sleeper wakes when its slice of time is over: else only if somebody wakes it,
    /// or dies.
    static SLICES: Cell<bool> = const { Cell::new(false) };
    /// How often who spins looks again at once, instead of letting others run before.
    static NIMBLE: Cell<u32> = const { Cell::new(0) };
    /// The owners that died in this execution, as they stand in lock words.
    static DEAD: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// The threads of the model that are going to die, and the writes that each has left.
    static MORTALS: RefCell<Vec<(ThreadId, u32)>> = const { RefCell::new(Vec::new()) };
}

/// Makes the accesses from here on those of a new execution of a model.
pub(crate) fn begin_execution() {
    IN_MODEL.set(true);
    QUIET.set(false);
    SLICES.set(false);
    NIMBLE.set(0);
    DEAD.take();
    MORTALS.take();
}

/// Makes this thread of the operating system an ordinary one again.
pub(crate) fn end_of_model() {
    IN_MODEL.set(false);
}

/// Runs `f` as a read-only view after all threads were joined.
pub(crate) fn quiet<R>(f: impl FnOnce() -> R) -> R {
    QUIET.set(true);
    let result = f();
    QUIET.set(false);
    result
}

/// From here to the end of this execution, sleepers wake by themselves, and have deadlines.
///
/// It is not the rule, because two sleepers that wake each other up over and over, while the
/// owner of the lock is never scheduled, are schedules without number and without interest.
pub(crate) fn sleep_in_slices() {
    SLICES.set(true);
}

/// The next `spins` times in this execution, who spins does not yield. loom does not run a
/// thread that has yielded while any other can run, so else no thread could stand still in the middle
/// of a step while another one comes past a lock that is held.
pub(crate) fn spin_nimbly(spins: u32) {
    NIMBLE.set(spins);
}

/// Says that an owner has died: who sleeps on one of `words` wakes up and asks, and nobody falls
/// asleep any more on a word of its own. (In reality sleepers wake up from time to time, and that
/// they do so after the death is all that matters.)
pub(crate) fn death(owner: u64, words: &[AtomicU64]) {
    DEAD.with_borrow_mut(|dead| dead.push(owner));
    for word in words {
        futex_wake_all(word);
    }
}

/// What a dying thread unwinds with.
struct Died;

/// Runs `f` in the current thread, which dies instead of its write number `writes` (from zero).
/// `None` if it died.
pub(crate) fn mortal<R>(writes: u32, f: impl FnOnce() -> R) -> Option<R> {
    let me = loom::thread::current().id();
    MORTALS.with_borrow_mut(|mortals| mortals.push((me, writes)));
    let result = catch_unwind(AssertUnwindSafe(f));
    MORTALS.with_borrow_mut(|mortals| mortals.retain(|(thread, _)| *thread != me));
    match result {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Died>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Dies, if this is the write to die at.
fn before_write() {
    if MORTALS.with_borrow(Vec::is_empty) {
        return;
    }
    let me = loom::thread::current().id();
    let dies = MORTALS.with_borrow_mut(|mortals| {
        let left = mortals.iter_mut().find(|(thread, _)| *thread == me);
        left.is_some_and(|(_, left)| match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                false
            }
            None => true,
        })
    });
    if dies {
        resume_unwind(Box::new(Died));
    }
}

/// Who holds the lock of a bucket.
#[derive(Default)]
pub(crate) struct Guard {
    holder: RefCell<Option<ThreadId>>,
}

impl Guard {
    fn is_mine(&self) -> bool {
        let holder = *self.holder.borrow();
        holder.is_some_and(|holder| holder == loom::thread::current().id())
    }
}

struct Live {
    word: LoomU64,
    /// The bucket that the word belongs to, if any.
    guard: Option<Rc<Guard>>,
    /// Whether it is that bucket's lock.
    is_lock: bool,
    /// Who sleeps on it, and whether they have been woken.
    sleepers: RefCell<Vec<(Thread, Rc<Cell<bool>>)>>,
}

enum Word {
    Plain(PlainU64),
    Still(u64),
    Live(Box<Live>),
}

pub(crate) struct AtomicU64(Word);

impl std::fmt::Debug for AtomicU64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Looking at the value would be an access that the model explores.
        f.write_str("AtomicU64")
    }
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(Word::Plain(PlainU64::new(value)))
    }

    /// A word that no thread of the model writes.
    pub(crate) fn still(value: u64) -> Self {
        Self(Word::Still(value))
    }

    /// A word that threads write.
    pub(crate) fn live(value: u64) -> Self {
        Self::with_guard(value, None, false)
    }

    /// The same, of a bucket.
    pub(crate) fn guarded(value: u64, guard: &Rc<Guard>, is_lock: bool) -> Self {
        Self::with_guard(value, Some(guard.clone()), is_lock)
    }

    fn with_guard(value: u64, guard: Option<Rc<Guard>>, is_lock: bool) -> Self {
        Self(Word::Live(Box::new(Live {
            word: LoomU64::new(value),
            guard,
            is_lock,
            sleepers: RefCell::default(),
        })))
    }

    fn live_word(&self) -> &Live {
        match &self.0 {
            Word::Live(live) => live,
            Word::Still(_) => panic!("a word that no thread was expected to write is written"),
            Word::Plain(_) => panic!("a plain word in a model"),
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        match &self.0 {
            Word::Plain(word) => word.load(order),
            Word::Still(value) => *value,
            Word::Live(_) if panicking() => 0,
            Word::Live(live) => {
                let alone = QUIET.get()
                    || (!live.is_lock && live.guard.as_ref().is_some_and(|guard| guard.is_mine()));
                if alone {
                    unsync(live)
                } else {
                    live.word.load(order)
                }
            }
        }
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        if let Word::Plain(word) = &self.0 {
            return word.store(value, order);
        }
        if panicking() {
            return;
        }
        before_write();
        self.live_word().word.store(value, order);
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        if let Word::Plain(word) = &self.0 {
            return word.swap(value, order);
        }
        if panicking() {
            return 0;
        }
        before_write();
        let live = self.live_word();
        let previous = live.word.swap(value, order);
        if let Some(guard) = live.guard.as_ref().filter(|_| live.is_lock) {
            guard.holder.take();
        }
        previous
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        if let Word::Plain(word) = &self.0 {
            return word.fetch_add(value, order);
        }
        if panicking() {
            return 0;
        }
        before_write();
        self.live_word().word.fetch_add(value, order)
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if let Word::Plain(word) = &self.0 {
            return word.compare_exchange(current, new, success, failure);
        }
        if panicking() {
            return Err(0);
        }
        before_write();
        let live = self.live_word();
        let result = live.word.compare_exchange(current, new, success, failure);
        // The lowest bit says that somebody waits; it has no part in who owns the lock.
        if result.is_ok()
            && new >> 1 != current >> 1
            && let Some(guard) = live.guard.as_ref().filter(|_| live.is_lock)
        {
            let holder = (new >> 1 != 0).then(|| loom::thread::current().id());
            guard.holder.replace(holder);
        }
        result
    }
}

#[expect(unsafe_code, reason = "loom's load that its search does not see")]
fn unsync(live: &Live) -> u64 {
    // SAFETY: loom asks for the absence of concurrent stores, and fails the model if there are any.
    unsafe { live.word.unsync_load() }
}

pub(crate) fn unsync_load(word: &AtomicU64) -> u64 {
    match &word.0 {
        Word::Plain(word) => word.load(Ordering::Relaxed),
        Word::Still(value) => *value,
        Word::Live(_) if panicking() => 0,
        Word::Live(live) => unsync(live),
    }
}

pub(crate) fn fence(order: Ordering) {
    if !IN_MODEL.get() {
        std::sync::atomic::fence(order);
    } else if !panicking() && !QUIET.get() {
        loom::sync::atomic::fence(order);
    }
}

pub(crate) fn spin_hint() {
    match NIMBLE.get().checked_sub(1) {
        Some(fewer) => NIMBLE.set(fewer),
        None => let_others_run(),
    }
}

fn let_others_run() {
    if !IN_MODEL.get() {
        std::thread::yield_now();
    } else if !panicking() {
        loom::thread::yield_now();
    }
}

pub(crate) fn futex_wait(word: &AtomicU64, expected: u64, _timeout_us: u32) {
    let is_dead = || DEAD.with_borrow(|dead| dead.contains(&(expected & !1)));
    if SLICES.get() || !IN_MODEL.get() || is_dead() {
        // The slice of time is over when somebody else has run.
        return let_others_run();
    }
    let live = word.live_word();
    // The kernel reads the word's latest value, and nothing comes between that and falling asleep.
    let found = live.word.fetch_or(0, Ordering::Relaxed);
    if found as u32 != expected as u32 {
        return;
    }
    // The owner may have died during that access, and woken those who slept by then.
    if is_dead() {
        return let_others_run();
    }
    let woken = Rc::new(Cell::new(false));
    let sleeper = (loom::thread::current(), woken.clone());
    live.sleepers.borrow_mut().push(sleeper);
    while !woken.get() {
        loom::thread::park();
    }
}

pub(crate) fn futex_wake_all(word: &AtomicU64) {
    if let Word::Live(live) = &word.0 {
        for (thread, woken) in live.sleepers.take() {
            woken.set(true);
            thread.unpark();
        }
    }
}

pub(crate) fn prefetch(_: &AtomicU64) {}

pub(crate) fn prefetch_at<const OFFSET: usize>(_: &[AtomicU64], _: usize) {}

/// A deadline in turns instead of time: each turn of a waiter lets everybody else run.
#[derive(Debug)]
pub(crate) struct Deadline {
    turns_left: u64,
}

impl Deadline {
    /// The models say how many turns by as many milliseconds.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            turns_left: timeout.as_millis() as u64,
        }
    }

    pub(crate) fn passed(&mut self) -> bool {
        let passed = self.turns_left == 0;
        self.turns_left = self.turns_left.saturating_sub(1);
        passed && (SLICES.get() || !IN_MODEL.get())
    }
}
