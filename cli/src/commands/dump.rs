//! `shmkv dump`: all entries, in a form that `load` reads.

use clap::{Args, ValueEnum};
use serde_json::json;
use shmkv::format::{FORMAT_VERSION, StoreKind};
use shmkv::{ReadOnlyDynMap, Segment};

use super::columns::{Columns, END_COLUMN, TTL_COLUMN};
use super::scan::{Seen, milliseconds, walk, write_line};
use super::settings;
use crate::failure::Outcome;
use crate::open::Global;
use crate::output::Output;
use crate::progress::Progress;

/// Writes all entries to stdout, for `shmkv load`.
///
/// As JSON lines: a line that describes the segment, one for each entry, and one with their number. As
/// CSV: a line of column names, one for each entry, and one that has their number in the column "#end",
/// which is empty in all other rows. So a dump that was cut short does not load as a whole one. What entries of
/// a cache have left is in "ttl_ms", in milliseconds, in both. Others may go on writing: each entry
/// is whole, and one that is there all the time is written once.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv dump shm:quotes > quotes.jsonl\n  shmkv dump --format csv shm:quotes | sort > quotes.csv"
)]
pub(crate) struct Dump {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[arg(long, short, default_value = "jsonl")]
    format: Format,
}

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON lines.
    Jsonl,
    /// Comma-separated values; fields of structs in columns of their own.
    Csv,
}

impl Dump {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let mut output = Output::new();
        let progress = Progress::beside(&output, "dump", Some(map.header().buckets()));
        let status = match self.format {
            Format::Jsonl => dump_json(&map, &mut output, &progress),
            Format::Csv => dump_csv(&map, &mut output, &progress),
        }?;
        output.flush()?;
        Ok(status)
    }
}

fn dump_json(map: &ReadOnlyDynMap, output: &mut Output, progress: &Progress) -> Outcome {
    let mut header = json!({
        "layout": FORMAT_VERSION,
        "kind": map.kind().to_string(),
        "key": map.key_type().to_string(),
        "value": map.value_type().to_string(),
        "capacity": map.capacity(),
    });
    if let Some(settings) = map.cache_settings() {
        header["cache"] = settings::to_json(&settings);
    }
    output.json(&json!({"shmkv": header}))?;
    let mut count = 0_u64;
    let mut line = Vec::new();
    let status = walk(map, None, Some(progress), |entry| {
        write_line(map, entry, &mut line)?;
        output.json_text(&line)?;
        count += 1;
        Ok(Seen::Counts)
    })?;
    output.json(&json!({"shmkv": {"end": count}}))?;
    Ok(status)
}

fn dump_csv(map: &ReadOnlyDynMap, output: &mut Output, progress: &Progress) -> Outcome {
    let columns = Columns::of(map.key_type(), map.value_type());
    let has_ttl = map.kind() == StoreKind::Cache;
    let mut rows = csv::Writer::from_writer(output);
    let own = has_ttl
        .then_some(TTL_COLUMN)
        .into_iter()
        .chain([END_COLUMN]);
    rows.write_record(columns.names().chain(own))?;
    let mut count = 0_u64;
    let status = walk(map, None, Some(progress), |entry| {
        for cell in columns.cells(&entry.key, &entry.value) {
            rows.write_field(cell?)?;
        }
        if has_ttl {
            let left = entry.time_left.map(milliseconds);
            rows.write_field(left.map(|left| left.to_string()).unwrap_or_default())?;
        }
        rows.write_field("")?;
        rows.write_record(None::<&[u8]>)?;
        count += 1;
        Ok(Seen::Counts)
    })?;
    for _ in columns.names().chain(has_ttl.then_some(TTL_COLUMN)) {
        rows.write_field("")?;
    }
    rows.write_field(count.to_string())?;
    rows.write_record(None::<&[u8]>)?;
    rows.flush()?;
    Ok(status)
}
