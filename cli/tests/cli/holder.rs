//! A writer that is met with the lock of a bucket in its hands.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shmkv::Map;
use shmkv::check::Problem;

use crate::support::*;

/// Long, so that the lock is held for most of the time that a write takes.
#[shmkv::record]
#[derive(Debug)]
pub(crate) struct Long {
    pub(crate) n: u64,
    pub(crate) rest: [u64; 2047],
}

impl Long {
    pub(crate) fn of(n: u64) -> Self {
        Self { n, rest: [n; 2047] }
    }
}

/// What the child does: writes to key 1 until it is killed.
pub(crate) fn write_for_ever() -> ! {
    let map: Map<u64, Long> = Map::builder().open(given_segment()).unwrap();
    ready();
    for round in 0.. {
        map.insert(1, Long::of(round)).unwrap();
    }
    unreachable!("rounds have no end");
}

/// Creates a segment, and a writer of it that is stopped while it holds a lock. The child runs
/// `test`, which has to call [`write_for_ever`].
pub(crate) fn stopped(test: &str, scratch: &Scratch) -> (Map<u64, Long>, Worker) {
    let map: Map<u64, Long> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(1, Long::of(0)).unwrap();
    let mut worker = Worker::start(child(test, "writer", scratch.segment()));
    worker.expect("ready");
    worker.say("go");
    let number = worker.pid();
    let pid = Pid::from_raw(number).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        kill_process(pid, Signal::STOP).unwrap();
        // Stopped when /proc says so; then nothing moves.
        while !std::fs::read_to_string(format!("/proc/{number}/stat"))
            .unwrap()
            .contains(") T ")
        {
            std::thread::yield_now();
        }
        let is_its_lock = |problem: &Problem| matches!(problem, Problem::Locked { owner, .. } if owner.pid() == Some(number as u32));
        if map.check().problems.iter().any(is_its_lock) {
            return (map, worker);
        }
        assert!(
            Instant::now() < deadline,
            "the writer was never met with its lock held"
        );
        kill_process(pid, Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// As [`stopped`], and then killed: the lock of a dead process. Returns its number.
pub(crate) fn killed(test: &str, scratch: &Scratch) -> u32 {
    let (_, mut worker) = stopped(test, scratch);
    let number = worker.pid() as u32;
    worker.kill();
    number
}
