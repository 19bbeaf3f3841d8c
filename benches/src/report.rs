//! Tables on standard output and rows for machines.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::limits::{self, Limit, Verdict};
use crate::record::{Cell, Record, Spread};
use crate::roster::Peer;
use crate::types::Types;
use crate::workload::Workload;

/// `target/` of this build: where results are written.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .parent()
                .expect("a workspace")
                .join("target")
        },
        PathBuf::from,
    )
}

/// One table a workload and pair of types: a line a peer, a column a size.
pub fn print_results(record: &Record) {
    let tables: BTreeSet<(Types, Workload)> = record
        .cells()
        .map(|cell| (cell.types, cell.workload))
        .collect();
    for (types, workload) in tables {
        let cells: Vec<Cell> = record
            .cells()
            .filter(|c| (c.types, c.workload) == (types, workload))
            .collect();
        println!(
            "\n{}, {} [{}: median, least .. greatest]",
            workload.name(),
            types.name(),
            workload.unit()
        );
        print!("{:>20}", "entries");
        for cell in &cells {
            print!("{:>30}", cell.entries);
        }
        println!();
        for peer in Peer::ALL {
            let spreads: Vec<Option<Spread>> =
                cells.iter().map(|&c| record.spread(c, peer)).collect();
            if spreads.iter().all(Option::is_none) {
                continue;
            }
            print!("{:>20}", peer.name());
            for spread in spreads {
                print!(
                    "{:>30}",
                    spread.map_or_else(|| "-".to_owned(), |s| spread_text(s, ""))
                );
            }
            println!();
        }
    }
}

/// The one table that matters: ratios, limits, verdicts. Returns how many
/// claims were met and missed.
pub fn print_ratios(record: &Record, subject: Peer) -> (usize, usize) {
    println!(
        "\nRatios of {}, a round at a time: median [least .. greatest]",
        subject.name()
    );
    println!(
        "  plain: time / time of the other, less is better; x: times as fast as the other, more is better"
    );
    println!("  point: the number of the claim; a claim is met when the median keeps the limit");
    println!(
        "{:<24} {:<14} {:>9}  {:<32} {:>30}  {:>10}  {:>5}  verdict",
        "workload", "types", "entries", "compared with", "ratio", "limit", "point"
    );
    let (mut met, mut missed) = (0, 0);
    for cell in record.cells() {
        for verdict in limits::verdicts(record, cell, subject) {
            print_verdict(&verdict);
            match verdict.is_met() {
                Some(true) => met += 1,
                Some(false) => missed += 1,
                None => {}
            }
        }
    }
    for (types, entries, peer, bytes) in record.bytes() {
        let limit = limits::bytes_limit(types).filter(|_| peer == subject);
        let is_met = limit.map(|limit| matches!(limit, Limit::BytesAtMost(most) if bytes <= most));
        println!(
            "{:<24} {:<14} {entries:>9}  {:<32} {:>30}  {:>10}  {:>5}  {}",
            "memory an entry",
            types.name(),
            peer.name(),
            format!("{bytes:.1} B"),
            limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            if limit.is_some() { "7" } else { "-" },
            verdict_text(is_met),
        );
        match is_met {
            Some(true) => met += 1,
            Some(false) => missed += 1,
            None => {}
        }
    }
    println!("{met} met, {missed} MISSED");
    (met, missed)
}

fn print_verdict(verdict: &Verdict) {
    println!(
        "{:<24} {:<14} {:>9}  {:<32} {:>30}  {:>10}  {:>5}  {}",
        verdict.cell.workload.name(),
        verdict.cell.types.name(),
        verdict.cell.entries,
        verdict.against,
        spread_text(verdict.ratio, if verdict.is_speed { " x" } else { "" }),
        verdict
            .limit
            .map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
        if verdict.point == 0 {
            "-".to_owned()
        } else {
            verdict.point.to_string()
        },
        verdict_text(verdict.is_met()),
    );
}

fn verdict_text(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

fn spread_text(spread: Spread, unit: &str) -> String {
    let digits = if spread.median < 10.0 {
        2
    } else {
        usize::from(spread.median < 1000.0)
    };
    format!(
        "{:.digits$}{unit} [{:.digits$} .. {:.digits$}]",
        spread.median, spread.min, spread.max
    )
}

/// Everything as JSON: an array of rows, one a workload, pair of types, size
/// and peer. `ratio` is the subject's number over this peer's.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(record: &Record, subject: Peer, path: &Path) -> io::Result<()> {
    let mut rows: Vec<Value> = Vec::new();
    for cell in record.cells() {
        for peer in record.peers(cell) {
            let Some(spread) = record.spread(cell, peer) else {
                continue;
            };
            let (unit, crew) = match cell.workload.crew() {
                Some(crew) => ("mops", Some(crew.workers)),
                None => ("ns_per_op", None),
            };
            let mut row = json!({
                "workload": cell.workload,
                "types": cell.types.name(),
                "entries": cell.entries,
                "peer": peer.name(),
                "min": spread.min,
                "max": spread.max,
                "rounds": spread.rounds,
            });
            row[unit] = json!(spread.median);
            if let Some(workers) = crew {
                row["workers"] = json!(workers);
            }
            if let Some(ratio) = record.ratio((cell, subject), (cell, peer)) {
                row["ratio"] = json!(ratio.median);
                row["ratio_min"] = json!(ratio.min);
                row["ratio_max"] = json!(ratio.max);
            }
            rows.push(row);
        }
    }
    for (types, entries, peer, bytes) in record.bytes() {
        rows.push(json!({
            "workload": "memory",
            "types": types.name(),
            "entries": entries,
            "peer": peer.name(),
            "bytes_per_entry": bytes,
        }));
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(path, format!("[\n{}\n]\n", lines.join(",\n")))
}
