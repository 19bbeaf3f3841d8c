//! What a hit on a cache costs beside one on a map of the same types, in the same run:
//! `cargo bench -p shmkv-benches --bench cache`.
//!
//! Short blocks of hits are timed by turns, each subject once a round in an order that rotates, with
//! the same keys, so that whatever else the machine does meets all of them. The tenth percentile
//! over the rounds counts: a block takes some 30 microseconds, so on a machine that is shared most
//! blocks may be interrupted, but one in ten is not. All of that is done with several sets of tables,
//! since where one comes to lie in memory changes its times by a few per cent for as long as it lives: the
//! median over the sets is printed: of the times, and of the ratios and differences, each for itself.
//!
//! ```text
//! --rounds N    rounds for each set of tables (default 301)
//! ```
//!
//! Exits with 1 if a hit without time limits costs more than 1.3 times a map's, one with a limit
//! more than 12 ns beyond a map's, or counting more than 2 ns, in a table that fits into a core's
//! cache. Larger ones are measured and printed as well, and not judged: there it counts how many
//! hits a core can have under way at once, which is how many of their instructions fit into it.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shmkv::cache::CacheBuilder;
use shmkv::{Cache, Map, Value};

/// Entries of a table that fits into a core's cache, so that nothing but the work itself counts.
const JUDGED: u64 = 1000;
/// Of those that do not.
const LARGER: [u64; 2] = [100_000, 1_000_000];
/// Hits that are timed at a stretch.
const BLOCK: usize = 4096;
/// Blocks of different keys.
const BLOCKS: usize = 64;

/// How often all tables are made anew.
const SETS: usize = 5;

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

    fn undisturbed(&self) -> f64 {
        let mut ns = self.ns.clone();
        ns.sort_by(f64::total_cmp);
        ns[ns.len() / 10]
    }
}

/// Keys that are not in sequence.
fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn stream(entries: u64) -> Vec<u64> {
    let mut random = 1u64;
    (0..BLOCK * BLOCKS)
        .map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            key((random >> 33) % entries)
        })
        .collect()
}

fn name(what: &str) -> String {
    format!("memfd:bench-cache-{what}")
}

fn cache<V: Value + Copy>(
    what: &str,
    value: V,
    entries: u64,
    set: impl FnOnce(CacheBuilder<u64, V>) -> CacheBuilder<u64, V>,
) -> Cache<u64, V> {
    // As loose as the map, so that both find their keys in the same number of buckets.
    let builder = Cache::builder().max_capacity(4 * entries as usize);
    let cache = set(builder).create(name(what).as_str()).expect("memory");
    for number in 0..entries {
        cache.insert(key(number), value).expect("room");
    }
    assert_eq!(cache.stats().evicted_for_room, 0);
    cache
}

/// Nanoseconds of a hit on each subject.
type Times = [(&'static str, f64); 6];

/// The times of one set of tables.
fn measure<V: Value + Copy>(value: V, entries: u64, rounds: usize) -> Times {
    let map: Map<u64, V> = Map::builder()
        .capacity(4 * entries as usize)
        .create(name("map").as_str())
        .expect("memory");
    for number in 0..entries {
        map.insert(key(number), value).expect("room");
    }
    let hour = Duration::from_secs(3600);
    let plain = cache("plain", value, entries, |builder| builder);
    let silent = cache("silent", value, entries, |builder| {
        builder.statistics(false)
    });
    let limited = cache("ttl", value, entries, |builder| builder.time_to_live(hour));
    let idle = cache("tti", value, entries, |builder| builder.time_to_idle(hour));
    // A table of its own, or it would find in the processor's cache what another has just read.
    let reader = cache("reader", value, entries, |builder| builder).read_only();
    let mut subjects = [
        Subject::new("map", |key| map.get(&key)),
        Subject::new("cache", |key| plain.get(&key)),
        Subject::new("cache, no statistics", |key| silent.get(&key)),
        Subject::new("cache, read-only", |key| reader.get(&key)),
        Subject::new("cache, time to live", |key| limited.get(&key)),
        Subject::new("cache, time to idle", |key| idle.get(&key)),
    ];
    let keys = stream(entries);
    for round in 0..rounds + 2 {
        let block = &keys[round % BLOCKS * BLOCK..][..BLOCK];
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let subject = &mut subjects[at];
            let started = Instant::now();
            (subject.block)(block);
            let ns = started.elapsed().as_nanos() as f64 / BLOCK as f64;
            // The first rounds warm up.
            if round >= 2 {
                subject.ns.push(ns);
            }
        }
    }
    (subjects.each_ref()).map(|subject| (subject.name, subject.undisturbed()))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether all limits were kept.
fn compare<V: Value + Copy>(types: &str, value: V, entries: u64, rounds: usize) -> bool {
    let sets: Vec<_> = (0..SETS).map(|_| measure(value, entries, rounds)).collect();
    let of_sets = |what: &dyn Fn(&Times) -> f64| median(sets.iter().map(what));
    println!("u64 to {types}, {entries} entries, {SETS} sets of tables, {rounds} rounds each");
    for (at, (name, _)) in sets[0].iter().enumerate() {
        let ns = of_sets(&|set| set[at].1);
        let ratio = of_sets(&|set| set[at].1 / set[0].1);
        let more = of_sets(&|set| set[at].1 - set[0].1);
        println!("  {name:<22} {ns:6.2} ns  {ratio:5.2} x map  {more:+6.2} ns");
    }
    let counting = of_sets(&|set| set[1].1 - set[2].1);
    println!("  counting a hit         {counting:6.2} ns");
    let mut is_good = true;
    if entries != JUDGED {
        return is_good;
    }
    let mut limit = |what: &str, found: f64, most: f64| {
        if found > most {
            println!("  LIMIT PASSED: {what} {found:.2}, at most {most}");
            is_good = false;
        }
    };
    let ratio = of_sets(&|set| set[1].1 / set[0].1);
    limit("cache by map", ratio, RATIO_MAX);
    limit(
        "nanoseconds of a time to live",
        of_sets(&|set| set[4].1 - set[0].1),
        LIMIT_NS_MAX,
    );
    limit("nanoseconds of counting", counting, COUNT_NS_MAX);
    is_good
}

fn main() -> ExitCode {
    let mut rounds = 301;
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
        compare("u64", 7u64, JUDGED, rounds),
        compare("[u64; 4]", [7u64; 4], JUDGED, rounds),
        compare("[u64; 8]", [7u64; 8], JUDGED, rounds),
        compare("[u64; 32]", [7u64; 32], JUDGED, rounds),
    ];
    for entries in LARGER {
        compare("u64", 7u64, entries, rounds.min(101));
    }
    ExitCode::from(u8::from(good.contains(&false)))
}
