//! `shmkv load`: entries from stdin into a segment.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::os::fd::AsFd;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use shmkv::format::StoreKind;
use shmkv::schema::{Type, from_json};
use shmkv::segment::SegmentError;
use shmkv::{DynMap, ReadOnlyDynMap, Segment};

use super::columns::Columns;
use super::cp::insert;
use super::create::octal;
use super::dump::Format;
use super::settings;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::Global;
use crate::progress::Progress;
use crate::text;

/// Reads entries from stdin, as `shmkv dump` and `shmkv scan` write them, and inserts them.
///
/// Stops at the first line that does not fit, and says which one it is; what came before it stays.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv load shm:quotes < quotes.jsonl\n  shmkv load --create --capacity 20000 shm:quotes2 < quotes.jsonl\n  shmkv load --format csv shm:quotes < quotes.csv"
)]
pub(crate) struct Load {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[arg(long, short, default_value = "jsonl")]
    format: Format,
    /// Leave keys alone that are there already.
    #[arg(long)]
    keep: bool,
    /// Create the segment, as the first line of the dump describes it. It must not exist.
    #[arg(long)]
    create: bool,
    /// Capacity of the segment to create, instead of that in the dump.
    #[arg(long, requires = "create", value_name = "N")]
    capacity: Option<usize>,
    /// Permission bits of the segment to create.
    #[arg(long, requires = "create", default_value = "600", value_parser = octal)]
    mode: u32,
    /// Say nothing.
    #[arg(long, short)]
    quiet: bool,
}

/// What was loaded.
#[derive(Default)]
struct Counts {
    loaded: u64,
    kept: u64,
}

impl Load {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let mut input = Input::new();
        let mut counts = Counts::default();
        let result = match self.format {
            Format::Jsonl => self.load_json(global, &mut input, &mut counts),
            Format::Csv => self.load_csv(global, &mut input, &mut counts),
        };
        drop(input);
        let Counts { loaded, kept } = counts;
        let mut summary = format!("{} entries loaded", text::thousands(loaded));
        if kept > 0 {
            summary += &format!(", {} left as they were", text::thousands(kept));
        }
        match result {
            Ok(()) if self.quiet => Ok(ExitStatus::Fine),
            Ok(()) => {
                complain(&format!("{}: {summary}", self.segment));
                Ok(ExitStatus::Fine)
            }
            Err(Failure::Message(message)) if loaded + kept > 0 => Err(Failure::Message(format!(
                "{message}\n({summary} before that)"
            ))),
            Err(other) => Err(other),
        }
    }

    fn load_json(&self, global: Global, input: &mut Input, counts: &mut Counts) -> Outcome<()> {
        let mut map = match self.create {
            true => None,
            false => Some(global.write(&self.segment)?),
        };
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = input.reader.read_until(b'\n', &mut line);
            if read.map_err(unreadable)? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let at = |problem: String| {
                Failure::new(format!("{}: line {number}: {problem}", self.segment))
            };
            let value: Value = serde_json::from_slice(&line)
                .map_err(|error| at(format!("this is no JSON: {error}")))?;
            if let Some(header) = value.get("shmkv") {
                match &map {
                    Some(map) => check_header(map, header).map_err(at)?,
                    None => map = Some(self.create(header).map_err(at)??),
                }
                continue;
            }
            let Some(map) = &map else {
                return Err(at(
                    "--create needs the line that describes the segment, which `shmkv dump` writes \
                     first; create it with `shmkv create`, and load without --create"
                        .to_owned(),
                ));
            };
            let (key, value, ttl) = entry(map, &value).map_err(at)?;
            self.put(map, &key, &value, ttl, counts)
                .map_err(|error| at(error.to_string()))?;
            input.progress(counts);
        }
        if map.is_none() {
            return Err(Failure::new(format!(
                "{}: there is nothing on stdin that describes the segment to create",
                self.segment
            )));
        }
        Ok(())
    }

    fn load_csv(&self, global: Global, input: &mut Input, counts: &mut Counts) -> Outcome<()> {
        if self.create {
            return Err(Failure::new(
                "CSV does not say what the types are: create the segment with `shmkv create`, and \
                 load without --create",
            ));
        }
        let map = global.write(&self.segment)?;
        let columns = Columns::of(map.key_type(), map.value_type());
        let about = |line: u64, problem: String| {
            Failure::new(format!("{}: line {line}: {problem}", self.segment))
        };
        let broken = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            match error.into_kind() {
                csv::ErrorKind::Io(error) => unreadable(error),
                kind => about(line, format!("this is no CSV: {}", csv_problem(&kind))),
            }
        };
        let mut rows = csv::Reader::from_reader(&mut input.reader);
        let names = rows.headers().map_err(broken)?.clone();
        let places = columns
            .places(names.iter())
            .map_err(|problem| about(1, problem))?;
        let mut row = csv::StringRecord::new();
        while rows.read_record(&mut row).map_err(broken)? {
            let line = row.position().map_or(0, csv::Position::line);
            let cells = places.iter().map(|&place| row.get(place).unwrap_or(""));
            let (key, value) = columns
                .entry(cells)
                .map_err(|problem| about(line, problem))?;
            self.put(&map, &key, &value, None, counts)
                .map_err(|error| about(line, error.to_string()))?;
            rows.get_ref().progress(counts);
        }
        Ok(())
    }

    fn put(
        &self,
        map: &DynMap,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        counts: &mut Counts,
    ) -> Result<(), shmkv::dynamic::DynError> {
        if self.keep {
            // An entry that is there stays; that it is gone a moment later is its writer's will.
            let is_there = match ttl {
                Some(_) => map.contains_key(key)?,
                None => map.try_insert(key, value)?.is_some(),
            };
            if is_there {
                counts.kept += 1;
                return Ok(());
            }
        }
        if !self.keep || ttl.is_some() {
            insert(map, key, value, ttl)?;
        }
        counts.loaded += 1;
        Ok(())
    }

    fn create(&self, header: &Value) -> Result<Outcome<DynMap>, String> {
        let text = |name: &str| {
            let text = header.get(name).and_then(Value::as_str);
            text.ok_or_else(|| format!("the description has no {name:?}"))
        };
        let ty = |name| Type::parse(text(name)?).map_err(|error| format!("{name}: {error}"));
        let (key, value) = (ty("key")?, ty("value")?);
        let step_bounds = header
            .get("capacity")
            .and_then(Value::as_u64)
            .and_then(|it| usize::try_from(it).ok());
        let Some(capacity) = self.capacity.or(step_bounds) else {
            return Err("the description has no capacity: give --capacity".to_owned());
        };
        let mut builder = DynMap::builder();
        if let Some(cache) = header.get("cache") {
            builder = builder.cache(settings::from_json(cache)?);
        }
        Ok(builder
            .capacity(capacity)
            .mode(self.mode)
            .create(self.segment.clone(), &key, &value)
            .map_err(|error| match error {
                shmkv::OpenError::Segment(SegmentError::AlreadyExists { segment }) => Failure::new(
                    format!("{segment} exists already: load without --create, or remove it first"),
                ),
                error => Failure::opening(&self.segment, error),
            }))
    }
}

/// In our words: those of the library count bytes, and name the line again.
fn csv_problem(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Utf8 { err, .. } => format!("{err}"),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("expected {expected_len} fields, found {len}"),
        other => format!("{other:?}"),
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(format!("cannot read stdin: {error}"))
}

/// Whether a dump of other types is being loaded, which is told before any line of it is.
fn check_header(map: &ReadOnlyDynMap, header: &Value) -> Result<(), String> {
    for (name, stored) in [("key", map.key_type()), ("value", map.value_type())] {
        let text = header.get(name).and_then(Value::as_str).unwrap_or_default();
        let dumped = Type::parse(text).map_err(|error| format!("{name}: {error}"))?;
        if stored.mismatch(&dumped).is_some() {
            return Err(format!(
                "the dump has other {name}s: `{dumped}`; those of the segment are:\n{stored:#}"
            ));
        }
    }
    Ok(())
}

/// Key, value, and what it has left.
type Entry = (Vec<u8>, Vec<u8>, Option<Duration>);

/// The entry of a line. A map has no use for the time that one of a cache had left.
fn entry(map: &ReadOnlyDynMap, line: &Value) -> Result<Entry, String> {
    let part = |name: &str, ty: &Type| {
        let part = line.get(name).ok_or_else(|| {
            format!("expected {{\"key\": …, \"value\": …}}, there is no {name:?}")
        })?;
        from_json(ty, part).map_err(|error| {
            let reason = error.reason();
            format!(
                "the {name} does not fit: {reason}; the type is:\n{:#}",
                error.schema()
            )
        })
    };
    let ttl = match line.get("ttl_ms") {
        Some(ttl) if map.kind() == StoreKind::Cache => {
            let ttl = ttl.as_u64().ok_or("expected milliseconds as \"ttl_ms\"")?;
            Some(Duration::from_millis(ttl))
        }
        _ => None,
    };
    Ok((
        part("key", map.key_type())?,
        part("value", map.value_type())?,
        ttl,
    ))
}

/// Standard input, with a progress bar.
struct Input {
    reader: Counting,
}

/// Counts what is read. (The bar is here because a CSV reader has us in its hands.)
struct Counting {
    reader: BufReader<Stdin>,
    done: u64,
    progress: Progress,
}

impl Input {
    fn new() -> Self {
        let stdin = io::stdin();
        // A file has a length; a pipe ends when it ends.
        let total = stdin
            .as_fd()
            .try_clone_to_owned()
            .ok()
            .and_then(|fd| File::from(fd).metadata().ok())
            .filter(|metadata| metadata.is_file())
            .map(|metadata| metadata.len());
        Self {
            reader: Counting {
                reader: BufReader::with_capacity(1 << 16, stdin),
                done: 0,
                progress: Progress::new("load", total),
            },
        }
    }

    fn progress(&self, counts: &Counts) {
        self.reader.progress(counts);
    }
}

impl Counting {
    fn progress(&self, counts: &Counts) {
        let entries = counts.loaded + counts.kept;
        if entries.is_multiple_of(256) {
            self.progress.set(self.done, entries);
        }
    }
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.done += read as u64;
        Ok(read)
    }
}

impl BufRead for Counting {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.done += amount as u64;
        self.reader.consume(amount);
    }
}
