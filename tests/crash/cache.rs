//! Operations of a cache, and processes that die in them.
//!
//! As for a map: a child is stepped through each operation, every state of the segment that there
//! was is judged as what a crash leaves, and children are really killed, while they hold something
//! (in the short form, at a sample of those instructions) and elsewhere. A segment of two
//! buckets of four entries is full, so every insertion replaces something.
//!
//! What must be true afterwards: an entry reads as it was, as it was to become, or (where one
//! may give way, and one only) not at all; there are never more than the capacity; the next
//! insertion, and the next load of a key that was being loaded, are done at once; `recover`
//! and `check` find nothing that stays.

use std::time::{Duration, Instant};

use shmkv::{Cache, Problem, Segment};

use super::bytes::{Bytes, Image};
use super::judge::Tally;
use super::stage::WRITE_LIMIT;
use super::trace::{Child, Stop};
use super::{SLOW, Sums, is_long};

const ENTRIES: u64 = 8;
/// A key that is not there before.
const NEW: u64 = 100;
/// The key that operations on a present one are about.
const OLD: u64 = 3;

/// Kills of one operation in the short form, about.
const SHORT_KILLS: usize = 40;

struct Site {
    segment: Segment,
    bytes: Bytes,
    image: Image,
}

/// An operation, and what may be true after it, or after a part of it.
struct Scenario {
    name: &'static str,
    /// Whether the entries that are there were invalidated before.
    is_void: bool,
    act: fn(&Cache<u64, u64>),
    /// Entries that may have given way.
    may_go: usize,
    /// What `OLD` may read as besides what it was.
    old: Option<u64>,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "cache: insertion that replaces an entry",
        is_void: false,
        act: |cache| cache.insert(NEW, NEW).unwrap(),
        may_go: 1,
        old: Some(OLD),
    },
    Scenario {
        name: "cache: insertion that replaces an invalidated entry",
        is_void: true,
        act: |cache| cache.insert(NEW, NEW).unwrap(),
        may_go: 0,
        old: None,
    },
    Scenario {
        name: "cache: update",
        is_void: false,
        act: |cache| cache.insert(OLD, 33).unwrap(),
        may_go: 0,
        old: Some(33),
    },
    Scenario {
        name: "cache: removal",
        is_void: false,
        act: |cache| drop(cache.remove(&OLD).unwrap()),
        may_go: 1,
        old: None,
    },
    Scenario {
        name: "cache: hit and miss, which claim a line of counters",
        is_void: false,
        act: |cache| {
            assert_eq!(cache.get(&OLD).unwrap(), Some(OLD));
            assert_eq!(cache.get(&NEW).unwrap(), None);
        },
        may_go: 0,
        old: Some(OLD),
    },
    Scenario {
        name: "cache: load",
        is_void: false,
        act: |cache| assert_eq!(cache.get_or_insert_with(&NEW, || NEW).unwrap(), NEW),
        may_go: 1,
        old: Some(OLD),
    },
];

pub(crate) fn all(filter: &str, sums: &mut Sums) {
    for scenario in &SCENARIOS {
        if scenario.name.contains(filter) {
            let site = Site::new(scenario);
            sums.add(scenario.name, &site.run(scenario));
        }
    }
}

impl Site {
    fn new(scenario: &Scenario) -> Self {
        let name = format!("shmkv-crash-cache-{}", std::process::id());
        let segment = Segment::shm(&name).unwrap();
        let maker: Cache<u64, u64> = Cache::builder()
            .max_capacity(ENTRIES as usize)
            .max_writers(4)
            .create(segment.clone())
            .unwrap();
        // Until all of them are there: on the way, one bucket may be full and the other not.
        let is_there = |key: u64| maker.get(&key).unwrap().is_some();
        for _ in 0..100 {
            for key in 1..=ENTRIES {
                if !is_there(key) {
                    maker.insert(key, key).unwrap();
                }
            }
            if (1..=ENTRIES).all(is_there) {
                break;
            }
        }
        assert!((1..=ENTRIES).all(is_there), "eight entries fit");
        if scenario.is_void {
            maker.invalidate_all().unwrap();
        }
        drop(maker);
        let bytes = Bytes::map(&format!("/dev/shm/{name}"));
        let image = bytes.without_participants(&bytes.image());
        Self {
            segment,
            bytes,
            image,
        }
    }

    fn open(&self, patience: Duration) -> Cache<u64, u64> {
        Cache::builder()
            .lock_timeout(patience)
            .load_timeout(patience)
            .open(self.segment.clone())
            .unwrap()
    }

    fn child(&self, scenario: &Scenario) -> Child {
        self.bytes.restore(&self.image);
        let child = Child::fork(
            || {
                // By the clock, a traced process is slow.
                let cache = self.open(Duration::from_secs(60));
                // Registers the process.
                cache.remove(&77).unwrap();
                cache
            },
            |cache| {
                (scenario.act)(&cache);
                // What is left of it is not part of the operation.
                std::mem::forget(cache);
            },
        );
        child.unwrap()
    }

    fn run(&self, scenario: &Scenario) -> Tally {
        let mut tally = Tally::default();
        let mut states = Vec::new();
        let mut at_work = Vec::new();
        let mut child = self.child(scenario);
        let mut last = self.bytes.image();
        states.push(last.clone());
        loop {
            match child.step() {
                Stop::Trap => {}
                Stop::Boundary => break,
                Stop::Gone(status) => panic!("{}: the child ended: {status}", scenario.name),
            }
            tally.instructions += 1;
            if self.bytes.is_at_work(child.pid()) {
                at_work.push(tally.instructions);
            }
            if !self.bytes.is(&last) {
                last = self.bytes.image();
                states.push(last.clone());
            }
        }
        child.kill();
        assert!(states.len() > 1, "{}: nothing was done", scenario.name);
        tally.at_work = at_work.len();
        tally.states = states.len();
        for state in &states {
            self.judge_patiently(scenario, &mut tally, |site| site.bytes.restore(state));
        }
        let kill_at = |instructions: usize| {
            move |site: &Self| {
                let mut child = site.child(scenario);
                child.steps(instructions);
                child.kill();
            }
        };
        let stride = |count: usize, kills: usize| match is_long() {
            true => 1,
            false => count.div_ceil(kills).max(1),
        };
        let everywhere = (1..=tally.instructions).step_by(stride(tally.instructions, 8));
        let while_held = at_work.iter().copied();
        let while_held = while_held.step_by(stride(at_work.len(), SHORT_KILLS));
        let kills: Vec<usize> = everywhere.chain(while_held).collect();
        for &instructions in &kills {
            self.judge_patiently(scenario, &mut tally, kill_at(instructions));
        }
        tally.real_kills = kills.len();
        tally
    }

    fn judge_patiently(&self, scenario: &Scenario, tally: &mut Tally, die: impl Fn(&Self)) {
        for attempt in 1.. {
            die(self);
            match self.judge(scenario, tally) {
                None => return,
                Some(took) if attempt == SLOW => {
                    panic!("{}: a write took {took:?}, each time", scenario.name)
                }
                Some(_) => tally.again += 1,
            }
        }
    }

    /// Looks at the segment as it lies there. Returns how long a write took, if that was too long.
    fn judge(&self, scenario: &Scenario, tally: &mut Tally) -> Option<Duration> {
        let name = scenario.name;
        let reader = Cache::<u64, u64>::builder()
            .open_read_only(self.segment.clone())
            .unwrap();
        let mut gone = 0;
        for key in 1..=ENTRIES {
            let started = Instant::now();
            let found = reader.get(&key).unwrap();
            tally.slowest_read = tally.slowest_read.max(started.elapsed());
            match found {
                Some(value) if value == key => assert!(!scenario.is_void, "{name}: {key} is back"),
                Some(value) => {
                    assert_eq!((key, Some(value)), (OLD, scenario.old), "{name}");
                }
                None => gone += 1,
            }
        }
        if !scenario.is_void {
            assert!(gone <= scenario.may_go, "{name}: {gone} are gone");
        }
        let new = reader.get(&NEW).unwrap();
        assert!(matches!(new, None | Some(NEW)), "{name}: {new:?}");
        if !scenario.is_void && scenario.may_go == 1 && scenario.old == Some(OLD) {
            // The one comes in the moment in which the other goes.
            assert_eq!(gone == 1, new.is_some(), "{name}");
        }
        assert!(reader.len() <= ENTRIES as usize);
        let seen = reader.check();
        assert!(seen.is_sound(), "{name}: {seen}");

        let cache = self.open(WRITE_LIMIT);
        let mut slow = None;
        let mut timed = |what: &mut dyn FnMut()| {
            let started = Instant::now();
            what();
            let took = started.elapsed();
            tally.slowest_write = tally.slowest_write.max(took);
            slow = slow.max(Some(took).filter(|took| *took > WRITE_LIMIT));
        };
        // Whoever loaded it is dead, and has stored it or not.
        timed(&mut || assert_eq!(cache.get_or_insert_with(&NEW, || NEW).unwrap(), NEW));
        for key in [OLD, NEW + 1] {
            timed(&mut || cache.insert(key, key).unwrap());
            assert_eq!(cache.get(&key).unwrap(), Some(key));
        }
        assert!(cache.len() <= ENTRIES as usize);
        let recovery = cache.recover().unwrap();
        assert_eq!(recovery.busy + recovery.postponed, 0, "{name}: {recovery}");
        assert_eq!(recovery.deduplicated, 0, "{name}: nothing is displaced");
        let check = cache.check();
        let is_note = |problem: &Problem| matches!(problem, Problem::CountTooHigh { .. });
        assert!(check.problems.iter().all(is_note), "{name}: {check}");
        assert!(self.bytes.locks().iter().all(|lock| *lock == 0));
        assert!(cache.participants().iter().all(|found| found.is_self));
        slow
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}
