//! Parallel fuzzers that share what they have seen: each signature is found once, by one of them.
//!
//! ```text
//! cargo run --release --example fuzz_dedup -- --processes 4 --seconds 5 --kills 20
//! ```
//!
//! A fuzzer runs a program on inputs that it makes up, and keeps an input if its run took a path
//! that none had taken before: a new *signature*. Campaigns run many fuzzers at once, whose
//! processes die of what they find and are started again at will; what they have seen so far has
//! to survive them, and two that see the same signature at the same moment must not both keep
//! it. Here that is one map, from signatures to how often they were seen:
//!
//! ```text
//! match seen.try_insert(signature, 1)? {
//!     Inserted => keep(input),                      // exactly one process is told so
//!     Occupied(_) => seen.fetch_add(&signature, 1), // everybody else counts
//! }
//! ```
//!
//! Each fuzzer writes its own totals into a second map, after each step. In the end the sums must
//! agree: a signature that two had been told to keep, or a hit that was lost or counted twice,
//! would show. A fuzzer that is killed between a step and the note of it leaves a
//! difference of one, and in the direction that this explains; no other difference is allowed.
//!
//! The program that is fuzzed is a small parser of its own, with its branches marked by hand.
//!
//! Exits with 0 if the sums agree, 1 if not, 2 if it could not run.

#[path = "common/child.rs"]
mod child;
#[path = "fuzz_dedup/target.rs"]
mod target;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use shmkv::map::TryInsert;
use shmkv::{Map, Segment, WriteError};

use child::Child;
use target::{Mutator, signature_of};

/// Fuzzes a parser with several processes that share one map of signatures
#[derive(Parser)]
struct Args {
    /// Fuzzing processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=200))]
    processes: u32,

    /// How long to fuzz
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,

    /// How many of the processes are killed and started again meanwhile
    #[arg(long, default_value_t = 20)]
    kills: u32,

    /// Room for so many different signatures
    #[arg(long, default_value_t = 70_000)]
    capacity: usize,
}

/// What one fuzzer has done, by its own count.
#[shmkv::record]
#[derive(Debug, Default)]
struct Totals {
    /// Inputs that were run, each of which gave one signature.
    runs: u64,
    /// Signatures that it was told were new.
    kept: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("fuzz_dedup: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let duration = Duration::try_from_secs_f64(args.seconds)?;
    let starts = args.processes + args.kills;
    // The fuzzers inherit the mappings; fuzzers that were started separately would open a name.
    let seen: Map<u64, u64> = Map::builder()
        .capacity(args.capacity)
        .max_writers(args.processes + 1)
        .create(Segment::memfd("signatures")?)?;
    let totals: Map<u32, Totals> = Map::builder()
        .capacity(starts as usize)
        .max_writers(args.processes + 1)
        .create(Segment::memfd("totals")?)?;

    let begun = Instant::now();
    let mut fuzzers = Vec::new();
    let mut started = 0;
    let mut start = || {
        let number = started;
        started += 1;
        Child::fork(|| match fuzz(number, begun + duration, &seen, &totals) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("fuzz_dedup: fuzzer {number}: {error}");
                1
            }
        })
    };
    for _ in 0..args.processes {
        fuzzers.push(start()?);
    }
    let mut killed = 0;
    for kill in 0..args.kills {
        let at = duration.mul_f64(f64::from(kill + 1) / f64::from(args.kills + 1));
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
        let victim = kill as usize % fuzzers.len();
        fuzzers.swap_remove(victim).end();
        killed += 1;
        fuzzers.push(start()?);
    }
    let mut ended_well = true;
    for fuzzer in fuzzers {
        ended_well &= fuzzer.wait()? == Some(0);
    }
    let took = begun.elapsed();
    if !ended_well {
        return Err("a fuzzer failed".into());
    }
    report(&seen, &totals, killed, took)
}

/// The work of one process.
fn fuzz(
    number: u32,
    end: Instant,
    seen: &Map<u64, u64>,
    totals: &Map<u32, Totals>,
) -> Result<(), WriteError> {
    let mut mutator = Mutator::new(u64::from(number));
    let mut done = Totals::default();
    // The clock is looked at now and then only.
    while done.runs % 64 != 0 || Instant::now() < end {
        let input = mutator.next();
        let signature = signature_of(input);
        match seen.try_insert(signature, 1)? {
            TryInsert::Inserted => {
                done.kept += 1;
                mutator.keep();
            }
            TryInsert::Occupied(_) => {
                seen.fetch_add(&signature, 1)?;
            }
        }
        done.runs += 1;
        totals.insert(number, done)?;
    }
    Ok(())
}

/// Compares what the fuzzers say with what the map says.
fn report(
    seen: &Map<u64, u64>,
    totals: &Map<u32, Totals>,
    killed: u32,
    took: Duration,
) -> Result<bool, Box<dyn Error>> {
    let mut sum = Totals::default();
    for entry in totals.iter() {
        let (_, Totals { runs, kept }) = entry?;
        sum.runs += runs;
        sum.kept += kept;
    }
    let (mut signatures, mut hits) = (0u64, 0u64);
    for entry in seen.iter() {
        let (_, count) = entry?;
        signatures += 1;
        hits += count;
    }
    // What a process did and could not note any more because it was killed.
    let unnoted = u64::from(killed);
    let agrees = |noted: u64, found: u64| (noted..=noted + unnoted).contains(&found);
    let twice = sum.kept.saturating_sub(signatures);
    let is_right = agrees(sum.kept, signatures) && agrees(sum.runs, hits);
    let per_second = hits as f64 / took.as_secs_f64();
    println!(
        "{hits} signatures in {:.1} s, {per_second:.0} a second; {signatures} different ones, \
         {} kept by the fuzzers' own count; {killed} fuzzers killed",
        took.as_secs_f64(),
        sum.kept,
    );
    println!("{}", seen.check());
    println!(
        "{{\"hits\": {hits}, \"noted\": {}, \"signatures\": {signatures}, \"kept\": {}, \
         \"twice\": {twice}, \"killed\": {killed}, \"per_second\": {per_second:.0}, \
         \"right\": {is_right}}}",
        sum.runs, sum.kept,
    );
    Ok(is_right)
}
