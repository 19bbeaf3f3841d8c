//! `shmkv ls`: the segments of this machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use shmkv::format::FormatError;
use shmkv::segment::{SegmentMetadata, SegmentOptions};
use shmkv::{DynMap, OpenError, ReadOnlyDynMap, Segment};

use super::check::is_damage;
use super::rm::living;
use crate::advice;
use crate::failure::{ExitStatus, Outcome, complain};
use crate::output::Output;
use crate::process;
use crate::table::{Column, Table};
use crate::text;

/// Lists the segments of shmkv in /dev/shm, of System V, and in the given directories, as far as
/// this user may read them.
///
/// ENTRIES are those that are there, of CAPACITY that were promised to fit. WRITERS are
/// processes that are registered as writers and live. AGE counts from the creation. In place of a
/// kind stands "version" if another version of shmkv made the segment, "crashed" if the machine
/// crashed while it was in use, "damaged" or "unknown" if it cannot be read; the reason follows.
///
/// On a terminal, columns that do not fit are left out; into a pipe or a file all of them go.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv ls\n  shmkv ls /var/cache --json | jq -r '.[].name'")]
pub(crate) struct Ls {
    /// Directories to look into as well. (Those below them are not searched.)
    directories: Vec<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// One segment, as far as it could be looked at.
struct Found {
    segment: Segment,
    metadata: SegmentMetadata,
    map: Result<ReadOnlyDynMap, OpenError>,
}

impl Ls {
    pub(crate) fn run(self) -> Outcome {
        let mut segments = Segment::list()?;
        for directory in &self.directories {
            segments.extend(Segment::list_directory(directory)?);
        }
        if let Err(error) = std::fs::File::open("/proc/sysvipc/shm") {
            complain(&format!("System V segments cannot be listed: {error}"));
        }
        let found: Vec<Found> = segments.into_iter().filter_map(look).collect();
        let mut output = Output::new();
        if self.json {
            output.document(&Value::Array(found.iter().map(describe).collect()))?;
        } else if !found.is_empty() {
            output.text(&table(&found, output.columns()).to_string())?;
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
}

/// `None` if it vanished meanwhile.
fn look(segment: Segment) -> Option<Found> {
    let metadata = segment.metadata().ok()?;
    let map = DynMap::builder()
        // Looking is harmless; a list of one's own segments only would hide the others.
        .segment_options(SegmentOptions::new().any_owner())
        .open_read_only(segment.clone());
    Some(Found {
        segment,
        metadata,
        map,
    })
}

/// All there is to show. On a terminal that is too narrow for it some is left out: the name says
/// which segment it is, the kind what is wrong with one that cannot be shown.
const COLUMNS: [Column; 11] = [
    Column::left("NAME", 0),
    Column::left("KIND", 1),
    Column::left("KEY", 8).at_least(6),
    Column::left("VALUE", 7).at_least(8),
    Column::right("ENTRIES", 2),
    Column::right("CAPACITY", 6),
    Column::right("SIZE", 3),
    Column::left("OWNER", 9),
    Column::left("MODE", 10),
    Column::right("WRITERS", 4),
    Column::right("AGE", 5),
];

fn table(found: &[Found], room: Option<usize>) -> Table {
    let mut table = Table::new(&COLUMNS).within(room);
    for Found {
        segment,
        metadata,
        map,
    } in found
    {
        let owner = process::user(metadata.uid);
        let mode = text::mode(metadata.mode);
        let (size, name) = (text::bytes(metadata.len), segment.to_string());
        match map {
            Ok(map) => table.row([
                name,
                map.kind().to_string(),
                brief(&map.key_type().to_string()),
                brief(&map.value_type().to_string()),
                map.len().to_string(),
                map.capacity().to_string(),
                size,
                owner,
                mode,
                living(map.participants()).len().to_string(),
                text::duration(text::age(map.header().created_at())),
            ]),
            Err(error) => table.row([
                name,
                state(error).to_owned(),
                brief(&error.to_string()),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                size,
                owner,
                mode,
                "-".to_owned(),
                "-".to_owned(),
            ]),
        }
    }
    table
}

/// What is wrong with a segment that cannot be shown, in the column for its kind.
fn state(error: &OpenError) -> &'static str {
    match error {
        OpenError::Header(FormatError::WrongVersion { .. }) => "version",
        OpenError::Header(error) if is_damage(error) => "damaged",
        OpenError::MachineCrash { .. } => "crashed",
        _ => "unknown",
    }
}

/// A type in one cell.
fn brief(text: &str) -> String {
    const MAX: usize = 28;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

fn describe(found: &Found) -> Value {
    let Found {
        segment,
        metadata,
        map,
    } = found;
    let mut object = json!({
        "name": segment.to_string(),
        "bytes": metadata.len,
        "uid": metadata.uid,
        "gid": metadata.gid,
        "owner": process::user(metadata.uid),
        "mode": format!("{:03o}", metadata.mode),
        "attached": metadata.attached,
    });
    let more = match map {
        Ok(map) => json!({
            "kind": map.kind().to_string(),
            "key": map.key_type().to_string(),
            "value": map.value_type().to_string(),
            "entries": map.len(),
            "capacity": map.capacity(),
            "writers": living(map.participants()).len(),
            "age_seconds": text::age(map.header().created_at()).as_secs(),
        }),
        Err(error) => json!({"state": state(error), "error": advice::message(segment, error)}),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
