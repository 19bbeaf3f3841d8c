//! Hits of a cache of ours beside those of other caches with as many entries.
//!
//! ```text
//! SHMKV_TRACES=directory cargo bench -p shmkv-benches --bench hit_ratio   # its *.u32 files
//! cargo bench -p shmkv-benches --bench hit_ratio                          # generated streams
//! cargo bench -p shmkv-benches --bench hit_ratio -- --short               # seconds
//! ```
//!
//! A trace is a file of little-endian 32-bit key numbers, one a request. Each stream is replayed
//! with as many entries as 0.1, 1, 5, 10 and 20 per cent of its distinct keys, by everyone
//! alone, then by four processes that share one cache of ours. A miss is followed by an
//! insertion, and nothing else happens: what is compared is what is kept.
//!
//! Ours draws a secret for its hashes at each creation, so its numbers vary a little from run to
//! run (by some tenths of a point, in the smallest caches more).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use shmkv_benches::hit_ratio::caches::Contestant;
use shmkv_benches::hit_ratio::sharing;
use shmkv_benches::hit_ratio::table::{Cell, Table};
use shmkv_benches::hit_ratio::traces::{self, Pattern, Source};
use shmkv_benches::report;

/// Shares of the distinct keys that the caches have room for.
const SHARES: [f64; 5] = [0.001, 0.01, 0.05, 0.1, 0.2];
/// The same for a short run.
const SHORT_SHARES: [f64; 2] = [0.01, 0.1];
/// Requests of a generated stream.
const REQUESTS: usize = 500_000;
/// Requests of any stream in a short run.
const SHORT_REQUESTS: usize = 50_000;

/// Compares hit ratios with exact LRU, moka, quick_cache, TinyUFO and the optimum.
#[derive(Debug, Parser)]
#[command(name = "hit_ratio")]
struct Options {
    /// Seconds: 1 and 10 per cent of the keys, 50,000 requests of each stream.
    #[arg(long)]
    short: bool,

    /// Generated streams, whatever SHMKV_TRACES names.
    #[arg(long)]
    generated: bool,

    /// Processes that share a cache; 0 leaves that out.
    #[arg(long, default_value_t = 4)]
    processes: u64,

    /// Exit with 1 if a claim is missed.
    #[arg(long)]
    strict: bool,

    /// Where to write the rows [default: hit_ratio.json in the target directory].
    #[arg(long)]
    json: Option<PathBuf>,

    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if sharing::serve_if_worker() {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    match run(&options) {
        Ok(missed) => ExitCode::from(u8::from(options.strict && missed > 0)),
        Err(error) => {
            eprintln!("hit_ratio: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> std::io::Result<usize> {
    let (sources, is_recorded) = options.sources()?;
    let mut table = Table {
        cells: Vec::new(),
        is_recorded,
        disorder: (sharing::LEAD * options.processes) as usize,
    };
    let shares = match options.short {
        true => &SHORT_SHARES[..],
        false => &SHARES,
    };
    for source in sources {
        let trace = source.load()?;
        eprintln!(
            "{}: {} requests for {} keys",
            trace.name,
            trace.keys.len(),
            trace.distinct
        );
        for &share in shares {
            let entries = ((trace.distinct as f64 * share).round() as usize).max(1);
            let mut scores: BTreeMap<_, _> = (Contestant::ALONE.into_iter())
                .map(|contestant| (contestant, contestant.replay(&trace, entries)))
                .collect();
            if options.processes > 0 {
                let score = sharing::replay(&trace, entries, options.processes)?;
                scores.insert(Contestant::OursShared, score);
            }
            table.cells.push(Cell {
                trace: trace.name.clone(),
                share,
                entries,
                scores,
            });
        }
    }
    println!(
        "shmkv-shared: {} processes share one cache",
        options.processes
    );
    let missed = table.print();
    let path = options
        .json
        .clone()
        .unwrap_or_else(|| report::target_directory().join("hit_ratio.json"));
    table.write_json(&path)?;
    eprintln!("rows written to {}", path.display());
    Ok(missed)
}

impl Options {
    /// The streams, and whether they are recorded ones, whole.
    fn sources(&self) -> std::io::Result<(Vec<Source>, bool)> {
        let most = self.short.then_some(SHORT_REQUESTS);
        if let (false, Some(directory)) = (self.generated, std::env::var_os(traces::DIRECTORY)) {
            // Benchmarks start in the directory of their package, people in that of the workspace.
            let mut directory = PathBuf::from(directory);
            if directory.is_relative() {
                let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
                directory = workspace.join(directory);
            }
            let sources = traces::recorded(&directory, most).map_err(|error| {
                let message = format!(
                    "cannot read {} ({}): {error}",
                    directory.display(),
                    traces::DIRECTORY
                );
                std::io::Error::new(error.kind(), message)
            })?;
            if !sources.is_empty() {
                return Ok((sources, !self.short));
            }
            eprintln!(
                "{} has no *.u32 files: generated streams instead",
                directory.display()
            );
        }
        let requests = most.unwrap_or(REQUESTS);
        let generated = Pattern::ALL.map(|pattern| Source::Generated(pattern, requests));
        Ok((generated.to_vec(), false))
    }
}
