//! shmkv beside the peers, in one process and one run.
//!
//! ```text
//! cargo bench -p shmkv-benches --bench peers                 # everything; tens of minutes
//! cargo bench -p shmkv-benches --bench peers -- --short      # a few minutes
//! cargo bench -p shmkv-benches --bench peers -- --workload get-hit --types u64 --entries 100000 --peers ours,hashbrown
//! ```
//!
//! Peers take turns in short slices, round after round, so that drift of the
//! machine hits all alike; ratios are taken within a round. Peers that do not
//! fit into memory together are measured in groups, each with the subject and
//! hashbrown among them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use shmkv_benches::keys::Keys;
use shmkv_benches::record::{Cell, Record};
use shmkv_benches::roster::{Builder, Filled, Kind, Peer};
use shmkv_benches::runner::serve_if_worker;
use shmkv_benches::types::{Plain, Types};
use shmkv_benches::workload::{Span, Workload};
use shmkv_benches::{memory, report, with_types};

/// Compares shmkv with maps of one process, LMDB, Redis and memcached.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Options {
    /// A few minutes: 1e3 and 1e5 entries (u64 also 1e6 for gets, misses,
    /// updates and churn), 5 rounds of 20 ms.
    #[arg(long)]
    short: bool,

    /// Only these workloads.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,

    /// Only these types.
    #[arg(long, value_delimiter = ',')]
    types: Vec<Types>,

    /// These numbers of entries instead of 1e3, 1e5 and 1e7 (1e6 for 1 KiB).
    #[arg(long, value_delimiter = ',', value_parser = entries)]
    entries: Vec<usize>,

    /// Only these peers.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,

    /// Whose ratios are shown.
    #[arg(long, default_value = "ours")]
    subject: Peer,

    /// Rounds [default: 7, short: 5].
    #[arg(long)]
    rounds: Option<usize>,

    /// Milliseconds of a slice [default: 40, short: 20].
    #[arg(long)]
    slice_ms: Option<u64>,

    /// GiB that the tables of one group may take [default: 60 % of what is available].
    #[arg(long)]
    memory_gib: Option<u64>,

    /// Leave out the measurement of memory.
    #[arg(long)]
    no_memory: bool,

    /// Exit with 1 if a claim is missed.
    #[arg(long)]
    strict: bool,

    /// Where to write the rows [default: peers.json in the target directory].
    #[arg(long)]
    json: Option<PathBuf>,

    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A number of entries, also as `1e5`.
fn entries(text: &str) -> Result<usize, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("{text} is not a number"))?;
    if number < 1.0 || number.fract() != 0.0 {
        return Err("a table has a whole number of entries, at least one".to_owned());
    }
    Ok(number as usize)
}

fn main() {
    if serve_if_worker() {
        return;
    }
    let options = Options::parse();
    let mut record = Record::default();
    println!(
        "{} rounds of {:?} a slice; maps in this process use foldhash, std its default; \
         values are copied out; LMDB: a transaction an operation, no sync",
        options.rounds(),
        options.slice()
    );
    for types in Types::ALL {
        if !options.types.is_empty() && !options.types.contains(&types) {
            continue;
        }
        for entries in options.sizes(types) {
            with_types!(types, measure(&options, types, entries, &mut record));
            if !options.no_memory && entries >= memory::FEWEST_ENTRIES {
                measure_memory(&options, types, entries, &mut record);
            }
        }
    }
    report::print_results(&record);
    let (_, missed) = report::print_ratios(&record, options.subject);
    let path = options
        .json
        .clone()
        .unwrap_or_else(|| report::target_directory().join("peers.json"));
    if let Err(error) = report::write_json(&record, options.subject, &path) {
        eprintln!("cannot write {}: {error}", path.display());
        std::process::exit(2);
    }
    eprintln!("rows written to {}", path.display());
    if options.strict && missed > 0 {
        std::process::exit(1);
    }
}

impl Options {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 5 } else { 7 })
    }

    fn slice(&self) -> Duration {
        Duration::from_millis(self.slice_ms.unwrap_or(if self.short { 20 } else { 40 }))
    }

    fn sizes(&self, types: Types) -> Vec<usize> {
        if !self.entries.is_empty() {
            return self.entries.clone();
        }
        match (self.short, types) {
            (false, _) => vec![1_000, 100_000, types.most_entries()],
            (true, Types::U64) => vec![1_000, 100_000, 1_000_000],
            (true, _) => vec![1_000, 100_000],
        }
    }

    fn wants(&self, workload: Workload, entries: usize) -> bool {
        let is_for_the_cache_only = self.short && self.workload.is_empty() && entries > 100_000;
        let is_short = matches!(
            workload,
            Workload::GetHit | Workload::GetMiss | Workload::Update | Workload::Churn
        );
        (self.workload.is_empty() || self.workload.contains(&workload))
            && (!is_for_the_cache_only || is_short)
    }

    fn peers(&self) -> impl Iterator<Item = Peer> {
        let all = self.peers.is_empty();
        Peer::ALL
            .into_iter()
            .filter(move |peer| all || self.peers.contains(peer))
    }

    /// Peers that fit into memory together. The subject and hashbrown are in
    /// every group: ratios are taken within it.
    fn groups(&self, types: Types, entries: usize) -> Vec<Vec<Peer>> {
        let budget = self
            .memory_gib
            .map(|gib| gib << 30)
            .or_else(|| memory::available().map(|bytes| bytes / 10 * 6))
            .unwrap_or(u64::MAX);
        let is_always = |peer: &Peer| *peer == self.subject || *peer == Peer::Hashbrown;
        let base: Vec<Peer> = self.peers().filter(is_always).collect();
        let size =
            |peers: &[Peer]| -> u64 { peers.iter().map(|p| p.estimate(types, entries)).sum() };
        let mut groups = vec![base.clone()];
        for peer in self.peers().filter(|peer| !is_always(peer)) {
            let group = groups.last_mut().expect("there is a first group");
            let is_full = size(group) + peer.estimate(types, entries) > budget;
            if is_full && group.len() > base.len() {
                groups.push([base.as_slice(), &[peer]].concat());
            } else {
                group.push(peer);
            }
        }
        groups
    }
}

fn measure<K: Plain, V: Plain>(
    options: &Options,
    types: Types,
    entries: usize,
    record: &mut Record,
) {
    let keys = Keys::<K, V>::new(entries);
    for (number, group) in options.groups(types, entries).into_iter().enumerate() {
        eprintln!(
            "{}, {entries} entries: filling {}",
            types.name(),
            names(&group)
        );
        let mut builder = Builder::default();
        let mut runners: Vec<Filled<K, V>> = Vec::new();
        for peer in group {
            match builder.build(peer, types, &keys) {
                Ok(runner) => runners.push((peer, runner)),
                Err(reason) => println!("{reason}"),
            }
        }
        for workload in Workload::ALL {
            if options.wants(workload, entries) {
                let cell = Cell {
                    types,
                    entries,
                    workload,
                };
                interleave(
                    options,
                    cell,
                    number * options.rounds(),
                    &keys,
                    &mut runners,
                    record,
                );
            }
        }
    }
}

/// Slices of one workload, round-robin. Each round begins with another peer, so
/// that nobody always follows the same one.
fn interleave<K: Plain, V: Plain>(
    options: &Options,
    cell: Cell,
    first_round: usize,
    keys: &Keys<K, V>,
    runners: &mut [Filled<K, V>],
    record: &mut Record,
) {
    eprintln!(
        "{}, {} entries: {}",
        cell.types.name(),
        cell.entries,
        cell.workload.name()
    );
    let budget = options.slice();
    for round in 0..options.rounds() {
        let span = Span {
            start: round * 1009,
            budget,
        };
        let count = runners.len();
        for turn in 0..count {
            let (peer, runner) = &mut runners[(round + turn) % count];
            if let Some(number) = runner.measure(cell.workload, keys, span) {
                record.add(cell, *peer, first_round + round, number);
            }
        }
    }
}

fn measure_memory(options: &Options, types: Types, entries: usize, record: &mut Record) {
    eprintln!(
        "{}, {entries} entries: memory, each peer in a process of its own",
        types.name()
    );
    for peer in options
        .peers()
        .filter(|peer| peer.kind() != Kind::CrossProcess || !peer.is_server())
    {
        if let Some(bytes) = memory::bytes_per_entry(peer, types, entries) {
            record.add_bytes(types, entries, peer, bytes);
        }
    }
}

fn names(peers: &[Peer]) -> String {
    peers
        .iter()
        .map(|peer| peer.name())
        .collect::<Vec<_>>()
        .join(", ")
}
