//! Processes that use one cache all at once and are killed all the time.
//!
//! Every value is made of its key and a number, all of it, so a mixture or a value under the wrong
//! key is noticed by whoever reads it. Workers do everything that a cache can do; the parent
//! kills one every few milliseconds and starts another one. At the end nothing may be stuck,
//! lost from the books or beyond the capacity.

use std::time::{Duration, Instant};

use crate::support::*;
use shmkv::cache::{CacheBuilder, LoadError};
use shmkv::check::Problem;
use shmkv::{Cache, Segment, WriteError};

type Value = [u64; 5];

const CAPACITY: usize = 300;
const KEYS: u64 = 900;
const WORKERS: usize = 4;

fn builder() -> CacheBuilder<u64, Value> {
    Cache::builder()
        .max_capacity(CAPACITY)
        .time_to_idle(Duration::from_millis(400))
        .stale_while_revalidate(Duration::from_millis(5))
        .negative_ttl(Duration::from_millis(3))
        // A machine that is busy is no fault.
        .lock_timeout(Duration::from_secs(60))
        .load_timeout(Duration::from_secs(60))
}

fn open(segment: Segment) -> Cache<u64, Value> {
    builder().open(segment).unwrap()
}

fn value(key: u64, number: u64) -> Value {
    let mut random = Random(key.rotate_left(32) ^ number);
    let mut value = std::array::from_fn(|_| random.next());
    value[0] = number;
    value
}

#[track_caller]
fn assert_whole(key: u64, found: &Value) {
    assert_eq!(*found, value(key, found[0]), "a torn value of key {key}");
}

/// One operation, by chance. Small keys are asked for more often.
fn step(cache: &Cache<u64, Value>, random: &mut Random) -> Result<(), WriteError> {
    let bound = 1 + random.below(KEYS);
    let key = random.below(bound);
    let number: u64 = random.next();
    let check = |found: Option<Value>| found.iter().for_each(|found| assert_whole(key, found));
    match random.below(100) {
        0..40 => check(cache.get(&key)?),
        40..55 => cache.insert(key, value(key, number))?,
        55..65 => {
            let ttl = Duration::from_millis(random.below(20));
            cache.insert_with_ttl(key, value(key, number), ttl)?;
        }
        65..72 => check(cache.remove(&key)?),
        72..90 => {
            match cache.get_or_insert_with(&key, || value(key, number)) {
                Ok(found) => assert_whole(key, &found),
                Err(LoadError::Write(error)) => return Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        90..96 => {
            let load = || (!number.is_multiple_of(3)).then(|| value(key, number));
            match cache.get_or_insert_option_with(&key, load) {
                Ok(found) => check(found),
                Err(error) => panic!("{error}"),
            }
        }
        96 => {
            for entry in cache {
                let (key, found) = entry.expect("nothing is displaced");
                assert_whole(key, &found);
            }
        }
        97 => {
            let removed = cache.retain(|key, found| {
                assert_whole(*key, found);
                key % 64 != 1
            });
            removed.expect("nothing is displaced");
        }
        98 if number.is_multiple_of(16) => cache.invalidate_all().expect("one store"),
        _ => assert!(cache.len() <= CAPACITY),
    }
    Ok(())
}

#[test]
fn cache_survives_a_storm_of_kills() {
    const NAME: &str = "cache_storm::cache_survives_a_storm_of_kills";
    if role().is_some() {
        let cache = open(given_segment());
        let mut random = Random::seeded();
        notify("ready");
        loop {
            step(&cache, &mut random).unwrap();
        }
    }
    let took = Duration::from_secs(if long() { 120 } else { 4 });
    let scratch = Scratch::shm();
    let cache = builder().create(scratch.segment().clone()).unwrap();
    let start = || {
        let mut worker = Worker::start(child(NAME, "work", scratch.segment()));
        worker.expect("ready");
        worker
    };
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| start()).collect();
    let mut random = Random::seeded();
    let (mut kills, mut steps) = (0, 0u64);
    let end = Instant::now() + took;
    while Instant::now() < end {
        let pause = Instant::now() + Duration::from_micros(random.below(4000));
        while Instant::now() < pause {
            step(&cache, &mut random).unwrap();
            steps += 1;
        }
        let victim = random.below(WORKERS as u64) as usize;
        // One that has failed has closed its end by itself, and said why.
        workers[victim].kill();
        kills += 1;
        workers[victim] = start();
    }
    drop(workers);
    // Everything works, at once, and all of the room can be used.
    let recovery = cache.recover().unwrap();
    assert_eq!(recovery.busy + recovery.postponed, 0, "{recovery}");
    assert_eq!(recovery.deduplicated, 0, "nothing is displaced");
    for key in 0..4 * CAPACITY as u64 {
        cache.insert(key, value(key, key)).unwrap();
        assert_eq!(cache.get(&key).unwrap(), Some(value(key, key)));
        assert!(cache.len() <= CAPACITY);
    }
    assert_eq!(cache.len(), CAPACITY);
    let check = cache.check();
    let is_note = |problem: &Problem| matches!(problem, Problem::CountTooHigh { .. });
    assert!(check.problems.iter().all(is_note), "{check}");
    let stats = cache.stats();
    println!(
        "{kills} kills; {steps} steps of the parent; {} hits, {} misses, {} loads in all processes",
        stats.hits, stats.misses, stats.loads
    );
    assert!(kills > 0 && stats.hits > 0 && stats.loads > 0 && stats.evicted_for_room > 0);
}
