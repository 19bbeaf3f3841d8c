//! How soon after the death of a lock's owner the next writer succeeds, and what readers notice.
//!
//! ```text
//! cargo run --release --example takeover [KILLS]      100 unless given
//! ```
//!
//! A child writes large values without a pause. It is stopped again and again until it happens to
//! hold the lock; a second process is then waiting for that lock in `insert`. The child is
//! killed; the clock starts when the kernel shows it as dead (its pidfd becomes readable), and
//! stops when the waiting `insert` returns.
//!
//! A third process reads the same key all the time, and writes down how long each `get` takes:
//! in the time from each death to the next writer's success, and, interleaved with that, while
//! nobody does anything else. The kills are divided into runs; a run has a p99.9 of each kind,
//! and the ratio of the two is given for the median run. (A reader that the scheduler
//! interrupts is slow in both; single runs differ a lot on a machine that does other things.)

#![expect(unsafe_code, reason = "processes, signals, clocks and shared memory")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shmkv::check::Problem;
use shmkv::{Map, Segment};

/// Large, so that the lock is held most of the time.
type Large = [u64; 2048];

/// Runs into which the kills are divided.
const RUNS: usize = 9;
/// How long the reader is alone after each kill.
const QUIET: Duration = Duration::from_millis(2);

/// What the reader is told to write down.
const NOTHING: u64 = 0;
const ALONE: u64 = 1;
const DEATH: u64 = 2;

fn main() {
    let kills: usize = std::env::args()
        .nth(1)
        .map_or(100, |text| text.parse().expect("the number of kills"));
    let name = Segment::shm(&format!("shmkv-takeover-{}", std::process::id())).unwrap();
    let map: Map<u64, Large> = Map::builder().capacity(20).create(name.clone()).unwrap();
    map.insert(1, [0; 2048]).unwrap();

    let log = Log(shared_words(1 + 2 * RUNS * Histogram::WORDS));
    let reader = fork(|| read_for_ever(&name, log));
    let mut delays = Vec::with_capacity(kills);
    for run in 0..RUNS {
        let end = kills * (run + 1) / RUNS;
        while delays.len() < end {
            log.notify(ALONE, run);
            std::thread::sleep(QUIET);
            log.notify(NOTHING, run);
            delays.extend(one_death(&name, &map, || log.notify(DEATH, run)));
            log.notify(NOTHING, run);
        }
    }
    signal(reader, libc::SIGKILL);
    wait(reader, 0);
    map.segment().remove().unwrap();

    println!("{kills} owners killed while they held a bucket's lock");
    println!("from death to the next writer's success:");
    print_percentiles(&mut delays, &[50.0, 99.0, 100.0]);
    println!("one get of 16 KiB by another process, p99.9 in each run:");
    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let (alone, death) = (log.histogram(ALONE, run), log.histogram(DEATH, run));
        let (Some(quiet), Some(meanwhile)) = (alone.percentile(99.9), death.percentile(99.9))
        else {
            continue;
        };
        let ratio = meanwhile as f64 / quiet as f64;
        ratios.push(ratio);
        println!(
            "  alone {:>10.2?} ({:>7} gets)   from death to success {:>10.2?} ({:>7} gets)   ratio {ratio:.2}",
            Duration::from_nanos(quiet),
            alone.len(),
            Duration::from_nanos(meanwhile),
            death.len(),
        );
    }
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        println!("  median of the ratios: {median:.2}");
    }
}

/// What the reader is told, and what it writes down: a histogram for each run and kind.
#[derive(Clone, Copy)]
struct Log(&'static [AtomicU64]);

impl Log {
    fn notify(self, what: u64, run: usize) {
        self.0[0].store(what << 32 | run as u64, Ordering::Release);
    }

    fn histogram(self, what: u64, run: usize) -> Histogram {
        let start = 1 + (run * 2 + (what - 1) as usize) * Histogram::WORDS;
        Histogram(&self.0[start..start + Histogram::WORDS])
    }

    /// Where the next latency is to be written down, if anywhere.
    fn told(self) -> Option<Histogram> {
        let told = self.0[0].load(Ordering::Acquire);
        (told >> 32 != NOTHING).then(|| self.histogram(told >> 32, told as u32 as usize))
    }
}

/// Counts of nanoseconds, with 32 steps in each power of two.
#[derive(Clone, Copy)]
struct Histogram(&'static [AtomicU64]);

impl Histogram {
    const STEPS: u64 = 32;
    const WORDS: usize = 64 * Self::STEPS as usize;

    fn add(self, nanoseconds: u64) {
        let power = u64::from((nanoseconds | Self::STEPS).ilog2());
        let step = (nanoseconds | Self::STEPS) >> (power - 5) & (Self::STEPS - 1);
        self.0[(power * Self::STEPS + step) as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn len(self) -> u64 {
        self.0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    fn percentile(self, percent: f64) -> Option<u64> {
        let wanted = (self.len() as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let place = self.0.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            seen >= wanted && seen > 0
        })? as u64;
        let (power, step) = (place / Self::STEPS, place % Self::STEPS);
        Some((Self::STEPS + step) << power >> 5)
    }
}

/// Kills a writer that holds the lock for which another one waits. `None` if none could be
/// caught with it.
fn one_death(name: &Segment, map: &Map<u64, Large>, begins: impl FnOnce()) -> Option<u64> {
    let victim = fork(|| {
        let map = open(name);
        for round in 0.. {
            map.insert(1, [round; 2048]).unwrap();
        }
    });
    let mut caught = false;
    for _ in 0..2000 {
        std::thread::sleep(Duration::from_micros(300));
        signal(victim, libc::SIGSTOP);
        wait(victim, libc::WUNTRACED);
        let held = |problem: &Problem| match problem {
            Problem::Locked { owner, .. } => owner.pid() == Some(victim as u32),
            _ => false,
        };
        caught = map.check().problems.iter().any(held);
        if caught {
            break;
        }
        signal(victim, libc::SIGCONT);
    }
    static DONE: std::sync::OnceLock<&[AtomicU64]> = std::sync::OnceLock::new();
    let shared = *DONE.get_or_init(|| shared_words(1));
    let waiter = caught.then(|| {
        fork(|| {
            let map: Map<u64, Large> = Map::builder()
                .lock_timeout(Duration::from_secs(10))
                .open(name.clone())
                .unwrap();
            map.insert(1, [7; 2048]).unwrap();
            shared[0].store(now(), Ordering::Release);
        })
    });
    if caught {
        // Until it has used up its spins and sleeps.
        std::thread::sleep(Duration::from_millis(5));
    }
    let pidfd = pidfd(victim);
    if caught {
        begins();
    }
    signal(victim, libc::SIGKILL);
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one descriptor, ours.
    unsafe { libc::poll(&mut poll, 1, -1) };
    let dead = now();
    wait(victim, 0);
    let waiter = waiter?;
    wait(waiter, 0);
    Some(shared[0].load(Ordering::Acquire).saturating_sub(dead))
}

/// Reads, until killed.
fn read_for_ever(name: &Segment, log: Log) {
    let map = Map::<u64, Large>::builder()
        .open_read_only(name.clone())
        .unwrap();
    loop {
        let histogram = log.told();
        let started = now();
        let value = map.get(&1).unwrap();
        let done = now();
        assert!(value.is_some());
        if let Some(histogram) = histogram {
            histogram.add(done - started);
        }
    }
}

fn open(name: &Segment) -> Map<u64, Large> {
    Map::builder().open(name.clone()).unwrap()
}

fn print_percentiles(nanoseconds: &mut [u64], wanted: &[f64]) {
    nanoseconds.sort_unstable();
    for percent in wanted {
        let last = nanoseconds.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0).round() as usize;
        println!(
            "  p{percent:<5} {:>10.2?}",
            Duration::from_nanos(nanoseconds[at])
        );
    }
}

fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: this program has one thread, so the child may run any code.
    match unsafe { libc::fork() } {
        0 => {
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the child without running what the parent has to run at its end.
            unsafe { libc::_exit(i32::from(unwound.is_err())) }
        }
        pid => pid,
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a child that is not reaped yet.
    unsafe { libc::kill(pid, signal) };
}

fn wait(pid: i32, flags: i32) {
    // SAFETY: the status is not asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), flags) };
}

fn pidfd(pid: i32) -> OwnedFd {
    // SAFETY: a new descriptor, or an error, which the assertion catches.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
        assert!(fd >= 0, "pidfd_open");
        OwnedFd::from_raw_fd(fd)
    }
}

fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn shared_words(count: usize) -> &'static [AtomicU64] {
    // SAFETY: a new anonymous mapping, never unmapped, zeroed, aligned to pages.
    unsafe {
        let base = libc::mmap(
            std::ptr::null_mut(),
            count * 8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(base, libc::MAP_FAILED);
        std::slice::from_raw_parts(base.cast(), count)
    }
}
