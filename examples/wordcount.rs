//! Several processes count the words of all text files below a directory into one map.
//!
//! ```text
//! cargo run --release --example wordcount -- --processes 4 .
//! ```
//!
//! Every word of every file is one `fetch_add` on the shared map: the frequent ones are fought
//! for by all processes all the time. The files are handed out by a `fetch_add` too, on a
//! second map with a single entry. A count by this process alone comes first: it says how
//! much room the map needs and what must come out. Every count is compared with it.
//!
//! Exits with 0 if all counts are equal, 1 if not, 2 if it could not run.

#[path = "common/child.rs"]
mod child;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::fs::fstat;
use shmkv::{Map, Segment};
use walkdir::WalkDir;

use child::Child;

/// A word, lower case. Longer ones are cut at the last whole character that fits, in both counts.
type Word = shmkv::Str<32>;

/// Words that are shown.
const TOP: usize = 20;

/// How often the count begins anew because files changed during it.
const ATTEMPTS: u32 = 5;

/// Bytes that tell most binary files from text, so that the rest need not be read.
const BEGINNING: u64 = 8 * 1024;

/// Exit code of a child that found a file changed.
const CHANGED: u8 = 3;

/// Counts words with several processes, and compares
#[derive(Parser)]
struct Args {
    /// The directory whose text files are counted
    #[arg(default_value = ".")]
    root: PathBuf,

    /// Processes that count at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    processes: u16,

    /// Room for so many different words [default: as many as there are]
    #[arg(long)]
    capacity: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("wordcount: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    for _ in 0..ATTEMPTS {
        let texts = texts_below(&args.root)?;
        let started = Instant::now();
        let Some(alone) = count_alone(&texts) else {
            continue;
        };
        let alone_took = started.elapsed();
        // Nobody else needs a name: the children inherit the mapping.
        let counts: Map<Word, u64> = Map::builder()
            .capacity(args.capacity.unwrap_or(alone.len()).max(1))
            .max_writers(u32::from(args.processes) + 1)
            .create(Segment::memfd("wordcount")?)?;
        let started = Instant::now();
        if count_together(&texts, &counts, args.processes)? {
            let together_took = started.elapsed();
            return report(
                args,
                texts.len(),
                &counts,
                &alone,
                [alone_took, together_took],
            );
        }
        eprintln!("wordcount: files changed while they were counted, once more");
    }
    Err(format!("files changed during each of {ATTEMPTS} counts").into())
}

/// A file to count, and the version of it that both counts must see.
struct Text {
    path: PathBuf,
    stamp: Stamp,
}

type Stamp = [i128; 6];

fn stamp(file: &File) -> io::Result<Stamp> {
    let stat = fstat(file)?;
    Ok([
        stat.st_ino.into(),
        stat.st_size.into(),
        stat.st_mtime.into(),
        stat.st_mtime_nsec.into(),
        stat.st_ctime.into(),
        stat.st_ctime_nsec.into(),
    ])
}

/// The regular files below a directory that can be read and hold text. Symbolic links are
/// not followed.
fn texts_below(root: &Path) -> Result<Vec<Text>, walkdir::Error> {
    let mut texts = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(error),
            Err(error) => {
                eprintln!("wordcount: left out: {error}");
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.into_path();
        match read_text(&path) {
            Ok(Some((stamp, _))) => texts.push(Text { path, stamp }),
            Ok(None) => {}
            Err(error) => eprintln!("wordcount: left out: {}: {error}", path.display()),
        }
    }
    Ok(texts)
}

/// A file's content, if that is text: UTF-8 without zero bytes.
fn read_text(path: &Path) -> io::Result<Option<(Stamp, String)>> {
    let mut file = File::open(path)?;
    let before = stamp(&file)?;
    let mut bytes = Vec::new();
    (&mut file).take(BEGINNING).read_to_end(&mut bytes)?;
    if bytes.contains(&0) {
        return Ok(None);
    }
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).ok();
    Ok(text
        .filter(|text| !text.contains('\0'))
        .map(|text| (before, text)))
}

impl Text {
    /// Shows the words to `each`, one by one. `None` if the file is not what it was.
    fn for_each_word<E>(
        &self,
        mut each: impl FnMut(Word) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let (stamp, text) = read_text(&self.path).ok()??;
        if stamp != self.stamp {
            return None;
        }
        for word in text.split(|char: char| !char.is_alphanumeric()) {
            if word.is_empty() {
                continue;
            }
            if let Err(error) = each(Word::truncated(&word.to_lowercase())) {
                return Some(Err(error));
            }
        }
        Some(Ok(()))
    }
}

/// What must come out. `None` if a file changed.
fn count_alone(texts: &[Text]) -> Option<HashMap<Word, u64>> {
    let mut counts = HashMap::new();
    for text in texts {
        let counted = text.for_each_word(|word| {
            *counts.entry(word).or_default() += 1;
            Ok::<(), std::convert::Infallible>(())
        })?;
        match counted {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
    Some(counts)
}

/// The same, by several processes into one map. `false` if a file changed.
fn count_together(
    texts: &[Text],
    counts: &Map<Word, u64>,
    processes: u16,
) -> Result<bool, Box<dyn Error>> {
    // Of the files that are taken, how many? One entry, so its key says nothing.
    let taken: Map<(), u64> = Map::builder()
        .capacity(1)
        .max_writers(u32::from(processes) + 1)
        .create(Segment::memfd("wordcount-files")?)?;
    let mut children = Vec::new();
    for _ in 0..processes {
        children.push(Child::fork(|| match count_some(texts, counts, &taken) {
            Ok(true) => 0,
            Ok(false) => CHANGED,
            Err(error) => {
                eprintln!("wordcount: {error}");
                2
            }
        })?);
    }
    let mut unchanged = true;
    while let Some(child) = children.pop() {
        let pid = child.pid();
        match child.wait()? {
            Some(0) => {}
            Some(code) if code == i32::from(CHANGED) => unchanged = false,
            _ => {
                children.into_iter().for_each(Child::end);
                return Err(format!("process {pid} could not count its share").into());
            }
        }
    }
    Ok(unchanged)
}

/// What one process does. `false` if a file changed.
fn count_some(
    texts: &[Text],
    counts: &Map<Word, u64>,
    taken: &Map<(), u64>,
) -> Result<bool, shmkv::WriteError> {
    loop {
        let next = taken.fetch_add(&(), 1)?.unwrap_or(0);
        let Some(text) = usize::try_from(next).ok().and_then(|next| texts.get(next)) else {
            return Ok(true);
        };
        match text.for_each_word(|word| counts.fetch_add(&word, 1).map(drop)) {
            Some(counted) => counted?,
            None => return Ok(false),
        }
    }
}

/// Compares and prints. Says whether the counts are equal.
fn report(
    args: &Args,
    texts: usize,
    counts: &Map<Word, u64>,
    alone: &HashMap<Word, u64>,
    [alone_took, together_took]: [Duration; 2],
) -> Result<bool, Box<dyn Error>> {
    let mut words = counts.iter().collect::<Result<Vec<_>, _>>()?;
    words.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    let total: u64 = words.iter().map(|(_, count)| count).sum();
    let expected: u64 = alone.values().sum();
    let mut differences = 0;
    let mut differs = |word: &Word, counted: u64, expected: u64| {
        differences += 1;
        if differences <= 10 {
            eprintln!("wordcount: {word:?} was counted {counted} times, not {expected}");
        }
    };
    for (word, count) in &words {
        let expected = alone.get(word).copied().unwrap_or(0);
        if *count != expected {
            differs(word, *count, expected);
        }
    }
    for (word, expected) in alone {
        if !counts.contains_key(word)? {
            differs(word, 0, *expected);
        }
    }
    let equal = differences == 0 && total == expected && words.len() == alone.len();

    let mut text = String::new();
    for (word, count) in words.iter().take(TOP) {
        text.push_str(&format!("{count:>10} {word}\n"));
    }
    text.push_str(&format!(
        "\n{total} words ({} different) in {texts} files by {} processes in {together_took:.2?}, \
         {expected} ({} different) by one alone in {alone_took:.2?}: {}\n",
        words.len(),
        args.processes,
        alone.len(),
        if equal { "equal" } else { "NOT EQUAL" },
    ));
    let line = serde_json::json!({
        "files": texts,
        "processes": args.processes,
        "words": total,
        "expected": expected,
        "distinct": words.len(),
        "differences": differences,
        "equal": equal,
    });
    text.push_str(&format!("{line}\n"));
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads only the beginning wants no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(equal)
}
