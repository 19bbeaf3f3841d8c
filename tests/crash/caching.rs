//! A process that dies at any instruction of an operation on a cache.
//!
//! Every instruction of the operation is the last of a child once (in the short form, every so
//! many). Afterwards each entry is read as what it was or became, or is gone if something may have
//! had to make room for another; the next writer writes, and the next loader loads, at once; no
//! bucket stays locked, and all slots for writers can be had.

use std::time::Instant;

use shmkv::{Cache, Segment};

use super::bytes::{Bytes, Image};
use super::judge::Tally;
use super::record::{Pathfinder, go_to};
use super::stage::{Val, WRITE_LIMIT};
use super::trace::{Child, Stop};
use super::{SLOW, Sums, is_long};

type Wide = [u64; 4];
type Act = fn(&Cache<u64, Wide>, u64);

const WRITERS: u32 = 3;
const CAPACITY: usize = 40;
/// The key with which the operation is done.
const KEY: u64 = 5000;
const NEW: u64 = 77_777;

/// What an operation starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A few entries, `KEY` not among them.
    Few,
    /// The same, with `KEY`.
    Present,
    /// As many entries as there can be: another one has to go for `KEY`.
    Full,
}

const OPERATIONS: [(&str, Before, Act); 6] = [
    ("cache: insert, absent", Before::Few, |cache, key| {
        cache.insert(key, Wide::of(NEW)).unwrap();
    }),
    ("cache: insert, replace", Before::Present, |cache, key| {
        cache.insert(key, Wide::of(NEW)).unwrap();
    }),
    ("cache: insert, evicting", Before::Full, |cache, key| {
        cache.insert(key, Wide::of(NEW)).unwrap();
    }),
    ("cache: remove", Before::Present, |cache, key| {
        assert!(cache.remove(&key).unwrap().is_some());
    }),
    ("cache: get, hit", Before::Present, |cache, key| {
        assert!(cache.get(&key).unwrap().is_some());
    }),
    ("cache: load", Before::Few, |cache, key| {
        cache.get_or_insert_with(&key, || Wide::of(NEW)).unwrap();
    }),
];

struct Stage {
    segment: Segment,
    bytes: Bytes,
    empty: Image,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}

pub(crate) fn all(filter: &str, sums: &mut Sums) {
    let name = format!("shmkv-crash-cache-{}", std::process::id());
    let segment = Segment::shm(&name).unwrap();
    drop(
        Cache::<u64, Wide>::builder()
            .max_capacity(CAPACITY)
            .max_writers(WRITERS)
            .create(segment.clone())
            .unwrap(),
    );
    let bytes = Bytes::map(&format!("/dev/shm/{name}"));
    let stage = Stage {
        segment,
        empty: bytes.image(),
        bytes,
    };
    for (name, before, act) in OPERATIONS {
        if name.contains(filter) {
            sums.add(name, &stage.run(name, before, act));
        }
    }
}

impl Stage {
    fn open(&self) -> Cache<u64, Wide> {
        Cache::builder().open(self.segment.clone()).unwrap()
    }

    /// What the segment is before the operation, and which keys are in it.
    fn prepare(&self, before: Before) -> (Image, Vec<u64>) {
        self.bytes.restore(&self.empty);
        let cache = self.open();
        let others = if before == Before::Full { 400 } else { 8 };
        for key in 0..others {
            cache.insert(key, Wide::of(key)).unwrap();
        }
        if before == Before::Present {
            cache.insert(KEY, Wide::of(KEY)).unwrap();
        }
        let keys = (0..others).filter(|key| cache.contains_key(key).unwrap());
        let keys = keys.collect();
        drop(cache);
        (self.bytes.image(), keys)
    }

    fn child(&self, image: &Image, act: Act) -> Child {
        self.bytes.restore(image);
        let prepare = || {
            let cache = self.open();
            // Registers, and changes nothing.
            cache.remove(&u64::MAX).unwrap();
            cache
        };
        Child::fork(prepare, |cache| {
            act(&cache, KEY);
            std::mem::forget(cache);
        })
        .unwrap()
    }

    fn run(&self, name: &str, before: Before, act: Act) -> Tally {
        let (image, keys) = self.prepare(before);
        let mut tally = Tally::default();
        let mut child = self.child(&image, act);
        let mut way = Pathfinder::default();
        let mut trail = vec![way.stopped(&child, 0)];
        loop {
            match child.step() {
                Stop::Trap => {
                    tally.instructions += 1;
                    trail.push(way.stepped(&child));
                }
                Stop::Boundary => break,
                Stop::Gone(status) => panic!("{name}: the child ended: {status}"),
            }
            tally.at_work += usize::from(self.bytes.is_at_work(child.pid()));
        }
        child.kill();
        let stride = match is_long() {
            true => 1,
            false => tally.instructions.div_ceil(100).max(1),
        };
        for step in (0..=tally.instructions).step_by(stride) {
            for attempt in 1.. {
                let mut child = self.child(&image, act);
                go_to(&mut child, trail[step]);
                child.kill();
                tally.real_kills += 1;
                if self.judge(name, before, &keys, step, &mut tally) {
                    break;
                }
                assert!(
                    attempt < SLOW,
                    "{name}, after instruction {step}: slow each time"
                );
                tally.again += 1;
            }
        }
        tally
    }

    /// `false` if a write took its time.
    fn judge(
        &self,
        name: &str,
        before: Before,
        keys: &[u64],
        step: usize,
        tally: &mut Tally,
    ) -> bool {
        let reader = Cache::<u64, Wide>::builder()
            .open_read_only(self.segment.clone())
            .unwrap();
        let started = Instant::now();
        let found = reader.get(&KEY).unwrap();
        tally.slowest_read = tally.slowest_read.max(started.elapsed());
        let old = (before == Before::Present).then(|| Wide::of(KEY));
        let may_be = match name {
            "cache: remove" => [old, None],
            "cache: get, hit" => [old, old],
            _ => [old, Some(Wide::of(NEW))],
        };
        assert!(
            may_be.contains(&found),
            "{name}, killed after {step}: {found:?}"
        );
        let mut gone = 0;
        for key in keys {
            match reader.get(key).unwrap() {
                Some(value) => assert_eq!(value, Wide::of(*key), "{name}, killed after {step}"),
                None => gone += 1,
            }
        }
        let may_go = usize::from(before == Before::Full);
        assert!(
            gone <= may_go,
            "{name}, killed after {step}: {gone} entries are gone"
        );

        let writer = self.open();
        let mut slowest = std::time::Duration::ZERO;
        let mut timed = |work: &mut dyn FnMut()| {
            let started = Instant::now();
            work();
            slowest = slowest.max(started.elapsed());
        };
        timed(&mut || {
            let loaded = writer.get_or_insert_with(&KEY, || Wide::of(3)).unwrap();
            assert!(loaded == Wide::of(3) || Some(loaded) == found);
        });
        timed(&mut || writer.insert(KEY, Wide::of(4)).unwrap());
        assert_eq!(writer.get(&KEY).unwrap(), Some(Wide::of(4)));
        // Some for each bucket, where dead processes may have left its lock.
        for key in 0..64 {
            timed(&mut || writer.insert(key, Wide::of(key)).unwrap());
        }
        let locks = self.bytes.locks();
        assert!(
            locks.iter().all(|lock| *lock == 0),
            "{name}, killed after {step}: {locks:x?}"
        );
        // One of the slots was the word of its dead owner.
        let writers: Vec<_> = (1..WRITERS).map(|_| self.open()).collect();
        for writer in &writers {
            writer.insert(KEY, Wide::of(5)).unwrap();
        }
        let is_quick = slowest <= WRITE_LIMIT;
        if is_quick {
            tally.slowest_write = tally.slowest_write.max(slowest);
        }
        tally.states += 1;
        is_quick
    }
}
