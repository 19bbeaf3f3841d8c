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
//! entries with a deadline, and until then a reader takes them for ended. (Where `/proc` does not
//! tell one boot from another, deadlines of an earlier boot are believed.)
//!
//! *Time namespaces* shift the clock. The shift is read from `/proc` when a cache is opened and
//! taken out again, so processes of several namespaces agree. A handle that was opened before
//! its process moved to another one (by a fork after `unshare`) does not notice.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const NANOS: i64 = 1_000_000_000;
const NANOS_PER_MS: i64 = 1_000_000;

/// The clock of one handle.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What the time namespace adds to the machine's clock, in nanoseconds.
    shift: i64,
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
        Self {
            shift: shift_of_the_namespace(),
            #[cfg(test)]
            injected: None,
            #[cfg(test)]
            reads: std::sync::Arc::new(crate::sys::sync::AtomicU64::new(0)),
        }
    }

    /// Milliseconds, by the cheap clock: never ahead, and behind by a tick at most.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        self.reads.fetch_add(1, crate::sys::sync::Ordering::Relaxed);
        #[cfg(test)]
        if let Some(injected) = &self.injected {
            return injected.load(crate::sys::sync::Ordering::Relaxed);
        }
        let now = self.nanos(ClockId::MonotonicCoarse);
        (now / NANOS_PER_MS).cast_unsigned()
    }

    /// The first millisecond that is not before `after` from now. It may be later than an entry can
    /// say: `Meta::new` takes the last that it can then.
    pub(crate) fn deadline(&self, after: Duration) -> u64 {
        #[cfg(test)]
        self.reads.fetch_add(1, crate::sys::sync::Ordering::Relaxed);
        let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        #[cfg(test)]
        if let Some(injected) = &self.injected {
            let now = injected.load(crate::sys::sync::Ordering::Relaxed);
            let after = after.cast_unsigned().div_ceil(NANOS_PER_MS.cast_unsigned());
            return now.saturating_add(after).max(1);
        }
        let end = self.nanos(ClockId::Monotonic).saturating_add(after);
        let end = end.cast_unsigned().div_ceil(NANOS_PER_MS.cast_unsigned());
        end.max(1)
    }

    /// How often this clock and its clones were looked at.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(crate::sys::sync::Ordering::Relaxed)
    }

    #[inline]
    fn nanos(&self, clock: ClockId) -> i64 {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
        let nanos = tv_sec.saturating_mul(NANOS).saturating_add(tv_nsec);
        nanos.saturating_sub(self.shift).max(0)
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
/// there are none, and in the first one.
fn shift_of_the_namespace() -> i64 {
    let namespace = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    // The file tells the shift of the namespace into which children are born.
    if namespace("time") != namespace("time_for_children") {
        return 0;
    }
    let text = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    shift_in(&text).unwrap_or(0)
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
