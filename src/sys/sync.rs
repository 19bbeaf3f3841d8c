//! The only facade over atomics, fences and futexes.
//!
//! The protocol modules name this module and never `core::sync::atomic`, so the
//! very same source files can be compiled against `loom` in `tests/loom.rs`,
//! which supplies a module of the same shape. Keep the two in step.

pub(crate) use core::sync::atomic::{Ordering, fence};

pub(crate) use crate::sys::atomic::AtomicU64;

use std::time::{Duration, Instant};

use rustix::thread::futex;

use crate::sys::words;

/// Whether an atomic is a word of memory and nothing else, so that assembly may copy many at
/// once. Under loom it is more than that, and so it is while somebody watches.
#[inline(always)]
pub(crate) fn atomics_are_words() -> bool {
    #[cfg(any(test, fuzzing))]
    return !crate::sys::watched::is_watched();
    #[cfg(not(any(test, fuzzing)))]
    true
}

/// How often a writer looks at a lock before it lets go of all and waits properly. A lock is
/// held for a few dozen nanoseconds unless its owner was descheduled.
pub(crate) const LOCK_SPINS: u32 = 64;

/// How often a search is begun again before the answer is "contended". Each time, somebody
/// has published in the very bucket within the nanoseconds that one look takes.
pub(crate) const READ_TRIES: u32 = 256;

/// The same for a handle that cannot fall back on locking, so must rely on retries. (A fuzzer
/// finds out in fewer tries.)
pub(crate) const READ_TRIES_READ_ONLY: u32 = if cfg!(fuzzing) { 1 << 9 } else { 1 << 18 };

/// How long a waiter sleeps before it looks at the lock and at its owner again, at most, in
/// microseconds. This bounds how long the death of an owner goes unnoticed when the wake-up died
/// with it.
pub(crate) const WAIT_SLICE_US: u32 = 1000;

/// Reads a word that only the holder of its lock may write, while the lock is held.
///
/// It is an ordinary relaxed load here. The loom twin reads without telling the
/// scheduler, because a thread that loads a word and later stores to the same
/// word makes loom 0.7 drop the interleavings in which others touch it.
#[inline(always)]
pub(crate) fn unsync_load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// One turn of a spin loop: tells the core that we wait for another one.
#[inline(always)]
pub(crate) fn spin_hint() {
    core::hint::spin_loop();
}

/// Sleeps until somebody wakes `word`, its low half differs from that of
/// `expected`, or `timeout_us` microseconds have passed, whichever is first.
///
/// It may return early for no reason, as futexes do. The futex is a shared one
/// (not `PRIVATE`), since the sleepers live in several processes.
pub(crate) fn futex_wait(word: &AtomicU64, expected: u64, timeout_us: u32) {
    let timeout = futex::Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(timeout_us.min(999_999)) * 1000,
    };
    // A failure means "woken", "changed already" or "timed out": in each case the
    // caller looks at the word again, so there is nothing to tell apart.
    let _ = futex::wait(
        words::low_half(word),
        futex::Flags::empty(),
        expected as u32,
        Some(&timeout),
    );
}

/// Wakes every sleeper of `word`.
pub(crate) fn futex_wake_all(word: &AtomicU64) {
    // Nobody to wake is no error; an unmapped page cannot happen while `word` is borrowed.
    let _ = futex::wake(
        words::low_half(word),
        futex::Flags::empty(),
        i32::MAX as u32,
    );
}

/// Asks the processor to bring the line of `word` near, if there is a way to ask.
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64) {
    words::prefetch(word);
}

/// The same for the word `OFFSET + index` of `words`: one instruction.
#[inline(always)]
pub(crate) fn prefetch_at<const OFFSET: usize>(words: &[AtomicU64], index: usize) {
    words::prefetch_at::<OFFSET>(words, index);
}

/// How long an operation has been waiting. The clock is first read when it first has to wait.
#[derive(Debug)]
pub(crate) struct Deadline {
    timeout: Duration,
    started: Option<Instant>,
}

impl Deadline {
    /// A deadline `timeout` after the first call of `passed`.
    #[inline(always)]
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            started: None,
        }
    }

    /// Whether the time is over.
    pub(crate) fn passed(&mut self) -> bool {
        match self.started {
            // The first conflict is always met with at least one look at its owner.
            None => {
                self.started = Some(Instant::now());
                false
            }
            Some(started) => started.elapsed() >= self.timeout,
        }
    }
}
