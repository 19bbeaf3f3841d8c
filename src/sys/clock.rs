//! The time by which entries of a cache expire: the same for all processes of the machine.
//!
//! It counts milliseconds of `CLOCK_MONOTONIC`: steps of the wall clock do not touch it.
//!
//! | who | clock | why |
//! |-----|-------|-----|
//! | whoever sets a deadline | `CLOCK_MONOTONIC`, rounded up | an entry never ends early |
//! | whoever asks whether it has passed | `CLOCK_MONOTONIC_COARSE`, rounded down | it costs a third, and lags by its resolution (1 to 10 ms) at most |
//!
//! So an entry ends not before its time, and at most one *tick* after it, which is the
//! resolution of the coarse clock plus one millisecond.
//!
//! *Suspend:* the clock stands while the machine sleeps, and so do the times of all entries.
//!
//! *Reboot:* the clock begins anew. A `file:` segment outlives that, so the segment says during which
//! boot its deadlines were made: the first who opens it for writing in another boot removes all
//! entries with a deadline, and until then a reader takes them for ended. A segment in
//! memory ends with the machine, and one that a live writer has open is of this boot, whatever the boot
//! ids say. Where that cannot be told, a reader takes such entries for ended, nobody removes them, and
//! a cache with times to live is not opened for writing.
//!
//! *Time namespaces* shift the clock. The shift is read from `/proc` when a cache is opened, and
//! again in each child (a process moves to another namespace by a fork after `unshare`), and
//! taken out again, so processes of several namespaces agree. Where it cannot be read the time
//! is not known, with the same consequences.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// What the time namespace of this process adds to the machine's clock, in nanoseconds. One for
/// all handles, so that the child of a fork can put it right before it reads any.
static SHIFT: AtomicI64 = AtomicI64::new(0);
/// Whether that could be read.
static IS_KNOWN: AtomicBool = AtomicBool::new(false);

/// The inode of the first time namespace (`PROC_TIME_INIT_INO`).
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFA;

const NANOS: i64 = 1_000_000_000;
const NANOS_PER_MS: i64 = 1_000_000;

/// The clock of one handle.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// A time that a test has set.
    #[cfg(test)]
    pub(crate) injected: Option<std::sync::Arc<crate::sys::sync::AtomicU64>>,
    /// How often it was looked at.
    #[cfg(test)]
    reads: std::sync::Arc<crate::sys::sync::AtomicU64>,
}

impl Clock {
    /// The clock of the machine, as this process sees it.
    pub(crate) fn of_this_process() -> Self {
        install_fork_handler();
        read_shift();
        Self {
            #[cfg(test)]
            injected: None,
            #[cfg(test)]
            reads: std::sync::Arc::new(crate::sys::sync::AtomicU64::new(0)),
        }
    }

    /// Whether it is known what the time namespace adds, and so which time it is.
    pub(crate) fn is_known(&self) -> bool {
        IS_KNOWN.load(Ordering::Relaxed)
    }

    /// Milliseconds, by the cheap clock: never ahead, and behind by a tick at most.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        self.reads.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        if let Some(injected) = &self.injected {
            return injected.load(Ordering::Relaxed);
        }
        let now = self.nanos(ClockId::MonotonicCoarse);
        (now / NANOS_PER_MS).cast_unsigned()
    }

    /// The first millisecond that is not before `after` from now. It may be later than an entry can
    /// say: `Meta::new` takes the last that it can then. If nobody can tell the time, it is over at
    /// once.
    pub(crate) fn deadline(&self, after: Duration) -> u64 {
        #[cfg(test)]
        self.reads.fetch_add(1, Ordering::Relaxed);
        let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        #[cfg(test)]
        if let Some(injected) = &self.injected {
            let now = injected.load(Ordering::Relaxed);
            let after = after.cast_unsigned().div_ceil(NANOS_PER_MS.cast_unsigned());
            return now.saturating_add(after).max(1);
        }
        if !self.is_known() {
            return 1;
        }
        let end = self.nanos(ClockId::Monotonic).saturating_add(after);
        let end = end.cast_unsigned().div_ceil(NANOS_PER_MS.cast_unsigned());
        end.max(1)
    }

    /// How often this clock and its clones were looked at.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    #[inline]
    fn nanos(&self, clock: ClockId) -> i64 {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
        let nanos = tv_sec.saturating_mul(NANOS).saturating_add(tv_nsec);
        nanos.saturating_sub(SHIFT.load(Ordering::Relaxed)).max(0)
    }
}

/// How late an entry may end.
pub(crate) fn tick() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_getres(ClockId::MonotonicCoarse);
    let resolution = Duration::new(
        tv_sec.try_into().unwrap_or(0),
        tv_nsec.try_into().unwrap_or(0),
    );
    resolution + Duration::from_millis(1)
}

/// A duration as a setting of a segment: milliseconds, rounded up.
pub(crate) fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// What the time namespace of this process adds to `CLOCK_MONOTONIC`, in nanoseconds; zero where
/// there are none, and in the first one. `None` if it cannot be read. Async-signal-safe.
fn shift_of_the_namespace() -> Option<i64> {
    let inode = |path: &CStr| rustix::fs::stat(path).map(|stat| stat.st_ino);
    let ours = match inode(c"/proc/thread-self/ns/time") {
        Ok(FIRST_NAMESPACE) => return Some(0),
        Ok(ours) => ours,
        // A kernel without time namespaces, but with others.
        Err(Errno::NOENT) if inode(c"/proc/thread-self/ns/pid").is_ok() => return Some(0),
        Err(_) => return None,
    };
    // The file tells the shift of the namespace into which children are born.
    if inode(c"/proc/thread-self/ns/time_for_children") != Ok(ours) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/timens_offsets", flags, Mode::empty()).ok()?;
    let mut text = [0_u8; 256];
    let len = rustix::io::read(&file, &mut text).ok()?;
    shift_in(std::str::from_utf8(&text[..len]).ok()?)
}

/// Reads the shift again: at each opening, and in each child, since a process comes into another
/// time namespace by being forked into it. (By `setns` as well: then with its next opening.)
fn read_shift() {
    let found = shift_of_the_namespace();
    SHIFT.store(found.unwrap_or(0), Ordering::Relaxed);
    IS_KNOWN.store(found.is_some(), Ordering::Relaxed);
}

extern "C" fn in_forked_child() {
    read_shift();
}

fn install_fork_handler() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    // Two threads may both install it: it then runs twice, to the same effect.
    if !INSTALLED.load(Ordering::Acquire) {
        // SAFETY: the handler only makes system calls and touches atomics, which is allowed in the
        // child of a process with many threads, and it never unwinds.
        #[expect(unsafe_code, reason = "pthread_atfork is a foreign function")]
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
        INSTALLED.store(result == 0, Ordering::Release);
    }
}

fn shift_in(offsets: &str) -> Option<i64> {
    let line = offsets.lines().find(|line| {
        // Written as a name today, as the clock's number by the first kernels that had it.
        matches!(line.split_whitespace().next(), Some("monotonic" | "1"))
    })?;
    let mut numbers = line.split_whitespace().skip(1);
    let seconds: i64 = numbers.next()?.parse().ok()?;
    let nanos: i64 = numbers.next()?.parse().ok()?;
    seconds.checked_mul(NANOS)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_of_a_time_namespace_is_understood() {
        let text = "monotonic           0         0\nboottime            0         0\n";
        assert_eq!(shift_in(text), Some(0));
        let text = "monotonic        1000        17\nboottime           -5         0\n";
        assert_eq!(shift_in(text), Some(1000 * NANOS + 17));
        assert_eq!(shift_in("1 -3 0\n7 0 0"), Some(-3 * NANOS));
        assert_eq!(shift_in(""), None);
        assert_eq!(shift_in("monotonic x y"), None);
    }

    #[test]
    fn a_deadline_is_not_reached_before_its_time_and_a_tick_after_it_is() {
        let clock = Clock::of_this_process();
        for after in [0, 1, 7, 20] {
            let after = Duration::from_millis(after);
            let started = std::time::Instant::now();
            let deadline = clock.deadline(after);
            while clock.now() < deadline {
                std::thread::yield_now();
            }
            assert!(started.elapsed() >= after, "ended early");
            // How late is known only to a machine that has nothing else to do: so the clocks
            // are compared at one moment instead. Where the machine is a virtual one that was
            // delayed, its kernel's tick comes late now and then; not each time.
            let is_near = |_| {
                let before = clock.deadline(Duration::ZERO);
                let is_near = clock.now() + millis(tick()) >= before;
                std::thread::sleep(Duration::from_micros(300));
                is_near
            };
            assert!((0..20).map(is_near).filter(|near| *near).count() >= 10);
        }
    }

    #[test]
    fn settings_are_rounded_up() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }

    #[test]
    fn far_deadlines_do_not_wrap() {
        let clock = Clock::of_this_process();
        let century = Duration::from_secs(100 * 366 * 24 * 3600);
        assert!(clock.deadline(Duration::MAX) > clock.deadline(century));
        assert!(clock.deadline(century) > clock.deadline(Duration::from_secs(1)));
    }
}
