//! `shmkv scan`: the entries of a segment; and the walk that all commands share that visit them.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use shmkv::dynamic::{DynEntry, DynError};
use shmkv::schema::{InvalidValue, write_json};
use shmkv::{ReadOnlyDynMap, Segment};

use super::keys::has_prefix;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::number::number;
use crate::open::{self, Global};
use crate::output::Output;
use crate::progress::Progress;

/// Prints entries as JSON, one a line, in no particular order.
///
/// Each entry is whole. One that is there all the time is printed once; one that is inserted,
/// changed or removed meanwhile appears as it was before or as it is after, or (if it was not
/// there all the time) perhaps not at all.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv scan shm:quotes --limit 3")]
pub(crate) struct Scan {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// Only keys whose text begins so.
    #[arg(long)]
    prefix: Option<String>,
    /// At most so many.
    #[arg(long, value_parser = number::<u64>)]
    limit: Option<u64>,
}

impl Scan {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let mut output = Output::new();
        let mut line = Vec::new();
        let status = walk(&map, self.limit, None, |entry| {
            if let Some(prefix) = self.prefix.as_deref() {
                let key = open::json(map.key_type(), &entry.key)?;
                if !has_prefix(&key, Some(prefix)) {
                    return Ok(Seen::PassedOver);
                }
            }
            write_line(&map, entry, &mut line)?;
            output.json_text(&line)?;
            Ok(Seen::Counts)
        })?;
        output.flush()?;
        Ok(status)
    }
}

/// An entry as a line of JSON, with what it has left in milliseconds if it has an end. What was in
/// `line` is overwritten.
pub(crate) fn write_line(
    map: &ReadOnlyDynMap,
    entry: &DynEntry,
    line: &mut Vec<u8>,
) -> Outcome<()> {
    let failed = |error: InvalidValue| Failure::new(error.to_string());
    line.clear();
    line.extend_from_slice(b"{\"key\":");
    write_json(map.key_type(), &entry.key, line).map_err(failed)?;
    line.extend_from_slice(b",\"value\":");
    write_json(map.value_type(), &entry.value, line).map_err(failed)?;
    if let Some(left) = entry.time_left {
        write!(line, ",\"ttl_ms\":{}", milliseconds(left))?;
    }
    line.extend_from_slice(b"}\n");
    Ok(())
}

/// What an entry has left, as it is written down.
pub(crate) fn milliseconds(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// What a visitor did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It counts towards the limit.
    Counts,
    /// It does not.
    PassedOver,
}

/// Visits the entries. Those that are invalid are complained about and make for exit code 1.
pub(crate) fn walk(
    map: &ReadOnlyDynMap,
    limit: Option<u64>,
    progress: Option<&Progress>,
    mut visit: impl FnMut(&DynEntry) -> Outcome<Seen>,
) -> Outcome {
    /// Whoever has more invalid entries than this knows it by then.
    const MAX_COMPLAINTS: u64 = 20;
    let notify = |message: &str| match progress {
        Some(progress) => progress.complain(message),
        None => complain(message),
    };
    let (mut counted, mut invalid) = (0_u64, 0_u64);
    let mut entries = map.iter();
    while limit.is_none_or(|limit| counted < limit) {
        match entries.next() {
            None => break,
            Some(Ok(entry)) => {
                counted += u64::from(visit(&entry)? == Seen::Counts);
            }
            Some(Err(error @ DynError::Invalid { .. })) => {
                invalid += 1;
                if invalid <= MAX_COMPLAINTS {
                    notify(&format!("{}: {error}", map.segment()));
                }
            }
            Some(Err(error)) => return Err(Failure::about(map.segment(), error)),
        }
        if let Some(progress) = progress
            && counted.is_multiple_of(256)
        {
            progress.set(entries.progress().0, counted);
        }
    }
    if invalid > MAX_COMPLAINTS {
        let more = invalid - MAX_COMPLAINTS;
        notify(&format!("{}: {more} more invalid entries", map.segment()));
    }
    Ok(match invalid {
        0 => ExitStatus::Fine,
        _ => ExitStatus::Found,
    })
}
