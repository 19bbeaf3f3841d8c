//! How soon after the death of a lock's owner the next writer succeeds, and what readers notice.
//!
//! ```text
//! cargo run --release --example takeover [KILLS]      100 unless given
//! ```
//!
//! A child writes large values without a pause. It is stopped again and again until it happens to
//! hold the lock; a second process is then waiting for that lock in `insert`. The child is
//! killed; the clock starts when the kernel shows it as dead (its pidfd becomes readable), and
//! stops when the waiting `insert` returns. A third process reads the same key all the time.

#![expect(unsafe_code, reason = "processes, signals, clocks and shared memory")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shmkv::{Map, Problem, Segment};

/// Large, so that the lock is held most of the time.
type Large = [u64; 2048];

const LOG_LEN: usize = 4_000_000;

fn main() {
    let kills: usize = std::env::args()
        .nth(1)
        .map_or(100, |text| text.parse().expect("the number of kills"));
    let name = Segment::shm(&format!("shmkv-takeover-{}", std::process::id())).unwrap();
    let map: Map<u64, Large> = Map::builder().capacity(20).create(name.clone()).unwrap();
    map.insert(1, [0; 2048]).unwrap();

    let quiet = read_latencies(&name, Duration::from_millis(500), || {
        std::thread::sleep(Duration::from_millis(500));
    });
    let mut delays = Vec::with_capacity(kills);
    let disturbed = read_latencies(&name, Duration::from_secs(600), || {
        while delays.len() < kills {
            if let Some(delay) = one_death(&name, &map) {
                delays.push(delay);
            }
        }
    });
    map.segment().remove().unwrap();

    println!("{kills} owners killed while they held a bucket's lock");
    println!("from death to the next writer's success:");
    print_percentiles(&mut delays, &[50.0, 99.0, 100.0]);
    for (what, mut latencies) in [("undisturbed", quiet), ("meanwhile", disturbed)] {
        println!("one get of 16 KiB, {what} ({} of them):", latencies.len());
        print_percentiles(&mut latencies, &[50.0, 99.0, 99.9]);
    }
}

/// Kills a writer that holds the lock for which another one waits. `None` if none could be
/// caught with it.
fn one_death(name: &Segment, map: &Map<u64, Large>) -> Option<u64> {
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
    let shared = shared_words(1);
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

/// How long reads take that another process does while `work` is done.
fn read_latencies(name: &Segment, at_most: Duration, work: impl FnOnce()) -> Vec<u64> {
    let log = shared_words(1 + LOG_LEN);
    let reader = fork(|| {
        let map = Map::<u64, Large>::builder()
            .open_read_only(name.clone())
            .unwrap();
        let end = now() + at_most.as_nanos() as u64;
        let mut count = 0;
        let mut started = now();
        while started < end {
            let value = map.get(&1).unwrap();
            let done = now();
            assert!(value.is_some());
            log[1 + count % LOG_LEN].store(done - started, Ordering::Relaxed);
            count += 1;
            log[0].store(count as u64, Ordering::Release);
            started = now();
        }
    });
    work();
    signal(reader, libc::SIGKILL);
    wait(reader, 0);
    let count = (log[0].load(Ordering::Acquire) as usize).min(LOG_LEN);
    log[1..=count]
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
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
