//! `shmkv load`: entries from stdin into a segment.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use shmkv::format::StoreKind;
use shmkv::schema::{Type, from_json};
use shmkv::segment::SegmentError;
use shmkv::{DynMap, ReadOnlyDynMap, Segment};

use super::columns::Columns;
use super::cp::insert;
use super::create::{lasting, octal};
use super::defaults::{Defaults, unknown};
use super::dump::Format;
use super::limits::{LONGEST_DESCRIPTION, clipped, excerpt, longest_line, read_line, too_long};
use super::settings;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::interrupt::Interrupt;
use crate::number::number;
use crate::open::Global;
use crate::progress::Progress;
use crate::text;

/// Reads entries from stdin, as `shmkv dump` and `shmkv scan` write them, and inserts them.
///
/// Stops at the first line that does not fit, and says which one it is; what came before it stays, but
/// a segment that it has created itself goes. A dump that was cut short is an error too.
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
    #[arg(long, requires = "create", value_name = "N", value_parser = number::<usize>)]
    capacity: Option<usize>,
    /// Permission bits of the segment to create.
    #[arg(long, requires = "create", default_value = "600", value_parser = octal)]
    mode: u32,
    /// What a field of the values has where a line does not say it: for a type that has grown.
    #[arg(long = "default", value_name = "FIELD=VALUE")]
    defaults: Vec<String>,
    /// Accept a dump that was cut short.
    #[arg(long)]
    partial: bool,
    /// Say nothing.
    #[arg(long, short)]
    quiet: bool,
}

/// What was loaded.
#[derive(Default)]
struct Counts {
    loaded: u64,
    kept: u64,
    /// Lines that said an entry.
    seen: u64,
}

impl Load {
    pub(crate) fn run(self, global: Global) -> Outcome {
        if self.create {
            lasting(&self.segment)?;
        }
        // It may wait for input that does not come: then the program ends where it is. (All entries so
        // far are whole.)
        let created = Arc::new(Mutex::new(None::<Segment>));
        let interrupt = Interrupt::catch_or_end({
            let created = Arc::clone(&created);
            move || remove(&created)
        })?;
        let mut input = Input::new(interrupt);
        let mut counts = Counts::default();
        let result = match self.format {
            Format::Jsonl => self.load_json(global, &mut input, &mut counts, &created),
            Format::Csv => self.load_csv(global, &mut input, &mut counts),
        };
        drop(input);
        if result.is_err() {
            remove(&created);
        }
        let Counts { loaded, kept, .. } = counts;
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
            Err(Failure::Message(message)) if self.create => Err(Failure::Message(format!(
                "{message}\n(the segment was not created)"
            ))),
            Err(Failure::Message(message)) if loaded + kept > 0 => Err(Failure::Message(format!(
                "{message}\n({summary} before that)"
            ))),
            Err(Failure::Interrupted(signal)) if !self.quiet && !self.create => {
                complain(&format!("{}: {summary} before the signal", self.segment));
                Err(Failure::Interrupted(signal))
            }
            Err(other) => Err(other),
        }
    }

    fn load_json(
        &self,
        global: Global,
        input: &mut Input,
        counts: &mut Counts,
        created: &Mutex<Option<Segment>>,
    ) -> Outcome<()> {
        let mut map = match self.create {
            true => None,
            false => Some(self.target(global.write(&self.segment)?)?),
        };
        let mut line = Vec::new();
        // The number that the last line of a dump tells; none has to come where no dump has begun.
        let mut end = None;
        let mut is_dump = false;
        for number in 1_u64.. {
            let at = |problem: String| {
                let problem = clipped(problem);
                Failure::new(format!("{}: line {number}: {problem}", self.segment))
            };
            let limit = map
                .as_ref()
                .map_or(LONGEST_DESCRIPTION, |target| target.limit);
            match read_line(&mut input.reader, &mut line, limit) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(at(error.to_string()));
                }
                Err(error) => return Err(unreadable(error)),
            }
            input.check()?;
            let text = match number {
                1 => without_mark(&line).map_err(at)?,
                _ => &line,
            };
            let text = text.trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            let value: Value = serde_json::from_slice(text).map_err(|error| {
                let column = error.column();
                at(format!(
                    "column {column}: this is no JSON: {}",
                    json_problem(&error)
                ))
            })?;
            if let Some(header) = value.get("shmkv") {
                if let Some(told) = header.get("end") {
                    end = Some(told.as_u64().ok_or_else(|| {
                        at("expected the number of entries as \"end\"".to_owned())
                    })?);
                    continue;
                }
                is_dump = true;
                match &map {
                    Some(target) => self.check_header(&target.map, header).map_err(at)?,
                    None => {
                        let new = self.create(header).map_err(at)??;
                        *created.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(self.segment.clone());
                        map = Some(self.target(new)?);
                    }
                }
                continue;
            }
            let Some(target) = &map else {
                return Err(at(
                    "--create needs the line that describes the segment, which `shmkv dump` writes \
                     first; create it with `shmkv create`, and load without --create"
                        .to_owned(),
                ));
            };
            let (key, value, ttl) = target.entry(value).map_err(at)?;
            self.put(&target.map, &key, &value, ttl, counts)
                .map_err(|error| at(error.to_string()))?;
            input.progress(counts);
        }
        if map.is_none() {
            return Err(Failure::new(format!(
                "{}: there is nothing on stdin that describes the segment to create",
                self.segment
            )));
        }
        self.check_end(is_dump, end, counts)
    }

    /// Whether a dump came to its end.
    fn check_end(&self, is_dump: bool, end: Option<u64>, counts: &Counts) -> Outcome<()> {
        let told = match end {
            Some(end) if end == counts.seen => return Ok(()),
            None if !is_dump => return Ok(()),
            Some(end) => format!("its last line says {}", text::thousands(end)),
            None => "its last line, which says how many there are, is missing".to_owned(),
        };
        if self.partial {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{}: the dump is not whole: {} entries were read, and {told}; dump again, or accept what \
             there is with --partial",
            self.segment,
            text::thousands(counts.seen),
        )))
    }

    fn load_csv(&self, global: Global, input: &mut Input, counts: &mut Counts) -> Outcome<()> {
        if self.create {
            return Err(Failure::new(
                "CSV does not say what the types are: create the segment with `shmkv create`, and \
                 load without --create",
            ));
        }
        let target = self.target(global.write(&self.segment)?)?;
        let map = &target.map;
        let columns = Columns::of(map.key_type(), map.value_type());
        let about = |line: u64, problem: String| {
            let problem = clipped(problem);
            Failure::new(format!("{}: line {line}: {problem}", self.segment))
        };
        let broken = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            match error.into_kind() {
                csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                    about(line, format!("this is no row: {error}"))
                }
                csv::ErrorKind::Io(error) => unreadable(error),
                kind => about(line, format!("this is no CSV: {}", csv_problem(&kind))),
            }
        };
        input.reader.limit = Some(target.limit);
        let mut rows = csv::Reader::from_reader(&mut input.reader);
        let names = rows.headers().map_err(broken)?.clone();
        if names
            .get(0)
            .is_some_and(|name| name.starts_with(['\u{FFFE}', '\0']))
        {
            return Err(about(1, UTF_16.to_owned()));
        }
        let places = columns
            .places(names.iter(), |name| target.defaults.has_column(name))
            .map_err(|problem| about(1, problem))?;
        rows.get_ref().begin_row();
        let mut end = None;
        let mut row = csv::StringRecord::new();
        while rows.read_record(&mut row).map_err(broken)? {
            rows.get_ref().begin_row();
            rows.get_ref().interrupt.check()?;
            let line = row.position().map_or(0, csv::Position::line);
            let own = |place: Option<usize>| place.and_then(|place| row.get(place)).unwrap_or("");
            let told = own(places.end);
            if !told.is_empty() {
                let told = told.parse::<u64>().map_err(|_| {
                    about(line, format!("column #end: {} is no number", excerpt(told)))
                })?;
                end = Some(told);
                continue;
            }
            let cells = places
                .ours
                .iter()
                .map(|place| place.map(|place| row.get(place).unwrap_or("")));
            let (key, value) = columns
                .entry(cells, &target.defaults)
                .map_err(|problem| about(line, problem))?;
            let ttl = match own(places.ttl) {
                "" => None,
                text => Some(text.parse().map_err(|_| {
                    about(
                        line,
                        format!("column ttl_ms: {} are no milliseconds", excerpt(text)),
                    )
                })?),
            };
            let ttl = ttl.filter(|_| map.kind() == StoreKind::Cache);
            self.put(map, &key, &value, ttl.map(Duration::from_millis), counts)
                .map_err(|error| about(line, error.to_string()))?;
            rows.get_ref().progress(counts);
        }
        self.check_end(places.end.is_some(), end, counts)
    }

    fn put(
        &self,
        map: &DynMap,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        counts: &mut Counts,
    ) -> Result<(), shmkv::dynamic::DynError> {
        counts.seen += 1;
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

    /// What is loaded into, with what is known of it.
    fn target(&self, map: DynMap) -> Outcome<Target> {
        let defaults = Defaults::parse(&self.defaults, map.value_type()).map_err(Failure::new)?;
        let limit = longest_line(map.key_type(), map.value_type());
        Ok(Target {
            map,
            defaults,
            limit,
        })
    }

    /// Whether a dump of other types is being loaded, which is told before any line of it is. Where
    /// fields have defaults, the values may be of another type: each line is looked at.
    fn check_header(&self, map: &ReadOnlyDynMap, header: &Value) -> Result<(), String> {
        for (name, stored) in [("key", map.key_type()), ("value", map.value_type())] {
            let text = header.get(name).and_then(Value::as_str).unwrap_or_default();
            let dumped = Type::parse(text).map_err(|error| format!("{name}: {error}"))?;
            let may_differ = name == "value" && !self.defaults.is_empty();
            if !may_differ && stored.mismatch(&dumped).is_some() {
                let advice = match name {
                    "value" => "; fields that are new can be given with --default FIELD=VALUE",
                    _ => "",
                };
                return Err(format!(
                    "the dump has other {name}s: `{dumped}`; those of the segment are:\n{stored:#}{advice}"
                ));
            }
        }
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

/// Removes what was created, if anything was.
fn remove(created: &Mutex<Option<Segment>>) {
    let segment = created
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(segment) = segment {
        let _ = segment.remove();
    }
}

const UTF_16: &str = "this is UTF-16: convert it to UTF-8 first (`iconv -f UTF-16 -t UTF-8`)";

/// Without the mark that some editors put in front of UTF-8.
fn without_mark(line: &[u8]) -> Result<&[u8], String> {
    match line {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Err(UTF_16.to_owned()),
        [0xEF, 0xBB, 0xBF, rest @ ..] => Ok(rest),
        _ => Ok(line),
    }
}

/// Without the place, which counts from the beginning of the line.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((problem, _)) => problem.to_owned(),
        None => text,
    }
}

/// Key, value, and what it has left.
type Entry = (Vec<u8>, Vec<u8>, Option<Duration>);

/// What is loaded into.
struct Target {
    map: DynMap,
    defaults: Defaults,
    /// Most bytes of a line.
    limit: usize,
}

impl Target {
    /// The entry of a line. A map has no use for the time that one of a cache had left.
    fn entry(&self, mut line: Value) -> Result<Entry, String> {
        const MEMBERS: [&str; 3] = ["key", "value", "ttl_ms"];
        let map = &self.map;
        let Value::Object(members) = &mut line else {
            return Err("expected {\"key\": …, \"value\": …}".to_owned());
        };
        if let Some(other) = members
            .keys()
            .find(|name| !MEMBERS.contains(&name.as_str()))
        {
            return Err(unknown("member", other, MEMBERS.into_iter()));
        }
        let ttl = match members.get("ttl_ms") {
            Some(ttl) if map.kind() == StoreKind::Cache => {
                let ttl = ttl.as_u64().ok_or("expected milliseconds as \"ttl_ms\"")?;
                Some(Duration::from_millis(ttl))
            }
            _ => None,
        };
        if let Some(value) = members.get_mut("value") {
            self.defaults.complete(value);
        }
        let part = |name: &str, ty: &Type| {
            let part = members.get(name).ok_or_else(|| {
                format!("expected {{\"key\": …, \"value\": …}}, there is no {name:?}")
            })?;
            from_json(ty, part).map_err(|error| {
                let reason = clipped(error.reason().to_string());
                format!("the {name} does not fit: {reason}")
            })
        };
        Ok((
            part("key", map.key_type())?,
            part("value", map.value_type())?,
            ttl,
        ))
    }
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
    interrupt: Interrupt,
    /// Most bytes of a row, if there is such a limit.
    limit: Option<usize>,
    /// What was read when the row began.
    row_began: Cell<u64>,
}

impl Input {
    fn new(interrupt: Interrupt) -> Self {
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
                interrupt,
                limit: None,
                row_began: Cell::new(0),
            },
        }
    }

    fn check(&self) -> Outcome<()> {
        self.reader.interrupt.check()
    }

    fn progress(&self, counts: &Counts) {
        self.reader.progress(counts);
    }
}

impl Counting {
    fn progress(&self, counts: &Counts) {
        if counts.seen.is_multiple_of(256) {
            self.progress.set(self.done, counts.seen);
        }
    }

    fn begin_row(&self) {
        self.row_began.set(self.done);
    }
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What a reader has taken ahead of the row belongs to it: so much is allowed beyond.
        const AHEAD: u64 = 64 << 10;
        if let Some(limit) = self.limit
            && self.done - self.row_began.get() > limit as u64 + AHEAD
        {
            return Err(too_long(limit));
        }
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
