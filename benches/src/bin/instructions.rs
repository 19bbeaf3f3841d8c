//! Instructions an operation.
//!
//! `instructions run <operation>` does [`OPERATIONS`] of them in a function that
//! callgrind can tell from the rest by its name; `instructions compare <file>`
//! reads lines of `<operation> <instructions in total>` from standard input and
//! compares the median of each operation's with the recorded one. `benches/instructions.sh` does both.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use shmkv::Cache;
use shmkv_benches::keys::Keys;
use shmkv_benches::ours::{Ours, Storable};
use shmkv_benches::subject::{BATCH, Subject};

/// Entries of the table, which is at its full promised load.
const ENTRIES: usize = 10_000;

/// Operations of one run. The loop around them costs two or three instructions
/// each, which are counted too: what matters is the difference.
const OPERATIONS: usize = 4096;

/// Per cent by which a count may grow.
const TOLERANCE: f64 = 3.0;

type Map = Ours<u64, u64>;
type Key16 = [u8; 16];
type Value64 = [u8; 64];

#[derive(Debug, Parser)]
enum Command {
    /// Prints the names of all operations.
    List,
    /// Does one operation many times, to be counted by callgrind.
    Run {
        /// Which one.
        operation: Operation,
    },
    /// Compares counts on standard input with recorded ones.
    Compare {
        /// The recorded ones.
        recorded: PathBuf,
        /// Record these instead.
        #[arg(long)]
        record: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Operation {
    GetHit,
    GetHit64,
    GetMiss,
    GetMany16,
    CacheHit,
    CacheHitSilent,
    CacheHitReadOnly,
    CacheHit64,
    CacheMiss,
    InsertNew,
    InsertReplace,
    Remove,
    Update,
    FetchAdd,
    CompareExchange,
    Iter,
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::List => {
            for operation in Operation::value_variants() {
                let name = operation.to_possible_value().expect("none is hidden");
                println!("{}", name.get_name());
            }
            ExitCode::SUCCESS
        }
        Command::Run { operation } => {
            run(operation);
            ExitCode::SUCCESS
        }
        Command::Compare { recorded, record } => compare(recorded, record),
    }
}

fn run(operation: Operation) {
    if run_on_cache(operation) {
        return;
    }
    let keys = Keys::<u64, u64>::new(ENTRIES);
    let mut map = Map::create(ENTRIES);
    map.prefill(keys.population());
    let hits = &keys.uniform()[..OPERATIONS];
    let misses = &keys.absent()[..OPERATIONS];
    let oldest: Vec<u64> = (0..OPERATIONS as u64).map(Keys::<u64, u64>::key).collect();
    match operation {
        Operation::GetHit => each(hits, |key| map.get(key)),
        Operation::GetMiss => each(misses, |key| map.get(key)),
        Operation::GetMany16 => {
            let mut values = [None; BATCH];
            each(hits.as_chunks::<BATCH>().0, |batch| {
                map.get_batch(batch, &mut values);
                black_box(&values);
            });
        }
        Operation::InsertNew => {
            for key in &oldest {
                map.remove(key);
            }
            each(misses, |key| map.insert(key, key));
        }
        Operation::InsertReplace => each(hits, |key| map.insert(key, key)),
        Operation::Remove => each(&oldest, |key| map.remove(key)),
        Operation::Update => each(hits, |key| map.update(key, |value| value.wrapping_add(1))),
        Operation::FetchAdd => each(hits, |key| map.fetch_add(key, 1)),
        Operation::CompareExchange => {
            for key in hits {
                map.insert(key, &7);
            }
            each(hits, |key| map.compare_exchange(key, 7));
        }
        Operation::Iter => each(&[()], |()| map.count_by_iteration()),
        Operation::GetHit64
        | Operation::CacheHit
        | Operation::CacheHitSilent
        | Operation::CacheHitReadOnly
        | Operation::CacheHit64
        | Operation::CacheMiss => unreachable!("done by `run_on_cache`"),
    }
}

/// The operations that have a table of their own; says whether this was one. (Hits with a time
/// limit are not counted: valgrind hides the vDSO, so their clock is another one.)
fn run_on_cache(operation: Operation) -> bool {
    let keys = Keys::<u64, u64>::new(ENTRIES);
    let hits = &keys.uniform()[..OPERATIONS];
    match operation {
        Operation::GetHit64 => {
            let keys = Keys::<Key16, Value64>::new(ENTRIES);
            let mut map = Ours::<Key16, Value64>::create(ENTRIES);
            map.prefill(keys.population());
            each(&keys.uniform()[..OPERATIONS], |key| map.get(key));
        }
        Operation::CacheHit => hit(&cache(keys.population(), true), hits),
        Operation::CacheHitSilent => hit(&cache(keys.population(), false), hits),
        Operation::CacheHitReadOnly => {
            let cache = cache(keys.population(), true).read_only();
            each(hits, |key| cache.get(key).expect("sound"));
        }
        Operation::CacheHit64 => {
            let keys = Keys::<Key16, Value64>::new(ENTRIES);
            hit(
                &cache(keys.population(), true),
                &keys.uniform()[..OPERATIONS],
            );
        }
        Operation::CacheMiss => hit(
            &cache(keys.population(), true),
            &keys.absent()[..OPERATIONS],
        ),
        _ => return false,
    }
    true
}

/// A cache with room for twice its entries, so that all are there.
fn cache<K: Storable, V: Storable>(
    entries: impl Iterator<Item = (K, V)>,
    statistics: bool,
) -> Cache<K, V> {
    let cache = Cache::builder()
        .max_capacity(2 * ENTRIES)
        .statistics(statistics)
        .create("memfd:instructions")
        .expect("memory");
    for (key, value) in entries {
        cache.insert(key, value).expect("room");
    }
    cache
}

fn hit<K: Storable, V: Storable>(cache: &Cache<K, V>, keys: &[K]) {
    // The first hits are noted for the policy, once; the others are what counts.
    for key in keys {
        black_box(&cache.get(key).expect("sound"));
    }
    each(keys, |key| cache.get(key).expect("sound"));
}

/// What callgrind counts: it collects inside functions of this name only.
#[inline(never)]
fn each<T, R>(arguments: &[T], mut operation: impl FnMut(&T) -> R) {
    for argument in arguments {
        black_box(&operation(argument));
    }
}

/// How many operations a run of this name is divided by.
fn operations(name: &str) -> usize {
    if name == "iter" { ENTRIES } else { OPERATIONS }
}

fn compare(recorded: PathBuf, record: bool) -> ExitCode {
    let mut totals = BTreeMap::<String, Vec<f64>>::new();
    for line in io::stdin().lines() {
        let line = line.expect("standard input is text");
        let Some((name, total)) = line.split_once(' ') else {
            continue;
        };
        let total: f64 = total.trim().parse().expect("a count");
        // Nothing was collected: the check would compare zeros, and never fail.
        assert!(total > 0.0, "{name} was not counted");
        totals.entry(name.to_owned()).or_default().push(total);
    }
    let counts: BTreeMap<String, f64> = totals
        .into_iter()
        .map(|(name, mut totals)| {
            totals.sort_by(f64::total_cmp);
            let median = totals[totals.len() / 2] / operations(&name) as f64;
            (name, (median * 10.0).round() / 10.0)
        })
        .collect();
    if record {
        let json = serde_json::to_string_pretty(&counts).expect("plain data");
        return match fs::write(&recorded, json + "\n") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cannot write {}: {error}", recorded.display());
                ExitCode::from(2)
            }
        };
    }
    let before: BTreeMap<String, f64> = match fs::read_to_string(&recorded) {
        Ok(text) => serde_json::from_str(&text).expect("recorded counts are an object of numbers"),
        Err(error) => {
            eprintln!("cannot read {}: {error}", recorded.display());
            return ExitCode::from(2);
        }
    };
    let mut is_slower = false;
    println!(
        "{:<18} {:>10} {:>10} {:>8}",
        "instructions", "recorded", "now", "change"
    );
    for (name, now) in &counts {
        let Some(before) = before.get(name) else {
            println!(
                "{name:<18} {:>10} {now:>10.1} {:>8}  not recorded yet: --record",
                "-", "-"
            );
            continue;
        };
        let change = (now / before - 1.0) * 100.0;
        let remark = if change > TOLERANCE {
            is_slower = true;
            "SLOWER"
        } else if change < -TOLERANCE {
            "faster: --record"
        } else {
            ""
        };
        println!("{name:<18} {before:>10.1} {now:>10.1} {change:>+7.1}%  {remark}");
    }
    if is_slower {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}
