//! What a hit on a cache costs beside one on a map of the same types, in the same run:
//! `cargo bench -p shmkv-benches --bench cache`.
//!
//! Blocks of hits are timed by turns, each subject once a round in an order that rotates, so that
//! whatever else the machine does meets all of them. Per subject, the median over the rounds
//! counts; ratio and difference are those of medians of one run.
//!
//! ```text
//! --rounds N    rounds (default 101)
//! ```
//!
//! Exits with 1 if a hit without time limits costs more than 1.3 times a map's, one with a limit
//! more than 12 ns beyond a map's, or counting more than 2 ns.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shmkv::{Cache, CacheBuilder, Map, Value};

/// Entries: the table fits into a core's cache, so that nothing but the work itself counts.
const ENTRIES: u64 = 4096;
/// Hits that are timed at a stretch.
const BLOCK: usize = 100_000;

/// Most that a hit may cost.
const RATIO_MAX: f64 = 1.3;
const LIMIT_NS_MAX: f64 = 12.0;
const COUNT_NS_MAX: f64 = 2.0;

/// Looks a block of keys up.
type Block<'a> = Box<dyn FnMut(&[u64]) + 'a>;

struct Subject<'a> {
    name: &'static str,
    block: Block<'a>,
    ns: Vec<f64>,
}

impl<'a> Subject<'a> {
    fn new<T>(name: &'static str, mut get: impl FnMut(u64) -> T + 'a) -> Self {
        let block = move |keys: &[u64]| {
            for key in keys {
                black_box(get(black_box(*key)));
            }
        };
        Self {
            name,
            block: Box::new(block),
            ns: Vec::new(),
        }
    }

    fn median(&self) -> f64 {
        let mut ns = self.ns.clone();
        ns.sort_by(f64::total_cmp);
        ns[ns.len() / 2]
    }
}

/// Keys that are not in sequence.
fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn stream() -> Vec<u64> {
    let mut random = 1u64;
    (0..BLOCK)
        .map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            key((random >> 33) % ENTRIES)
        })
        .collect()
}

fn name(what: &str) -> String {
    format!("memfd:bench-cache-{what}")
}

fn cache<V: Value + Copy>(
    what: &str,
    value: V,
    set: impl FnOnce(CacheBuilder<u64, V>) -> CacheBuilder<u64, V>,
) -> Cache<u64, V> {
    // As loose as the map, so that both find their keys in the same number of buckets.
    let builder = Cache::builder().max_capacity(4 * ENTRIES as usize);
    let cache = set(builder).create(name(what).as_str()).expect("memory");
    for number in 0..ENTRIES {
        cache.insert(key(number), value).expect("room");
    }
    assert_eq!(cache.stats().evicted_for_room, 0);
    cache
}

/// Whether all limits were kept.
fn compare<V: Value + Copy>(types: &str, value: V, rounds: usize) -> bool {
    let map: Map<u64, V> = Map::builder()
        .capacity(4 * ENTRIES as usize)
        .create(name("map").as_str())
        .expect("memory");
    for number in 0..ENTRIES {
        map.insert(key(number), value).expect("room");
    }
    let hour = Duration::from_secs(3600);
    let plain = cache("plain", value, |builder| builder);
    let silent = cache("silent", value, |builder| builder.statistics(false));
    let limited = cache("ttl", value, |builder| builder.time_to_live(hour));
    let idle = cache("tti", value, |builder| builder.time_to_idle(hour));
    let reader = plain.read_only();
    let mut subjects = [
        Subject::new("map", |key| map.get(&key)),
        Subject::new("cache", |key| plain.get(&key)),
        Subject::new("cache, no statistics", |key| silent.get(&key)),
        Subject::new("cache, read-only", |key| reader.get(&key)),
        Subject::new("cache, time to live", |key| limited.get(&key)),
        Subject::new("cache, time to idle", |key| idle.get(&key)),
    ];
    let keys = stream();
    for round in 0..rounds + 2 {
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let subject = &mut subjects[at];
            let started = Instant::now();
            (subject.block)(&keys);
            let ns = started.elapsed().as_nanos() as f64 / BLOCK as f64;
            // The first rounds warm up.
            if round >= 2 {
                subject.ns.push(ns);
            }
        }
    }
    let medians = subjects.each_ref().map(Subject::median);
    println!("u64 to {types}, {ENTRIES} entries, median of {rounds} rounds");
    for (subject, ns) in subjects.iter().zip(medians) {
        let (ratio, more) = (ns / medians[0], ns - medians[0]);
        println!(
            "  {:<22} {ns:6.2} ns  {ratio:5.2} x map  {more:+6.2} ns",
            subject.name
        );
    }
    let counting = medians[1] - medians[2];
    println!("  counting a hit         {counting:6.2} ns");
    let mut is_good = true;
    let mut limit = |what: &str, found: f64, most: f64| {
        if found > most {
            println!("  LIMIT PASSED: {what} {found:.2}, at most {most}");
            is_good = false;
        }
    };
    limit("cache by map", medians[1] / medians[0], RATIO_MAX);
    limit(
        "nanoseconds of a time to live",
        medians[4] - medians[0],
        LIMIT_NS_MAX,
    );
    limit("nanoseconds of counting", counting, COUNT_NS_MAX);
    is_good
}

fn main() -> ExitCode {
    let mut rounds = 101;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let number = args.next().and_then(|number| number.parse().ok());
                rounds = number.filter(|&number| number > 0).unwrap_or(rounds);
            }
            // Of cargo's.
            "--bench" => {}
            other => eprintln!("cache: unknown argument {other}"),
        }
    }
    let good = [
        compare("u64", 7u64, rounds),
        compare("[u64; 4]", [7u64; 4], rounds),
        compare("[u64; 32]", [7u64; 32], rounds),
    ];
    ExitCode::from(u8::from(good.contains(&false)))
}
