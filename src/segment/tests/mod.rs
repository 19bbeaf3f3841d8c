//! Segments, shown at work on the real kernel.
//!
//! What needs other processes re-executes the test binary: the same test runs in the
//! child, sees [`role`], and does the child's part. All names contain the process id and
//! are removed when the test ends, however it ends.

mod creation;
mod kinds;
mod listing;
mod names;
mod passing;
mod permissions;
mod races;
mod refusals;
mod sysv;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;

use super::*;

const MAGIC: u64 = u64::from_ne_bytes(*b"segment!");
const LEN: usize = 16 * 1024;

/// Every word but the first holds the id of the process that made the segment.
fn stamp(words: &[AtomicU64], _: Option<FileWords>) {
    for word in &words[1..] {
        word.store(u64::from(std::process::id()), Ordering::Relaxed);
    }
}

fn no_wish(_: &Mapping) -> Result<(), SegmentError> {
    Ok(())
}

fn new_segment() -> NewSegment<'static> {
    new_segment_of(LEN)
}

fn new_segment_of(len: usize) -> NewSegment<'static> {
    let init = &stamp;
    NewSegment {
        len,
        magic: MAGIC,
        init,
        prepare: &no_wish,
    }
}

/// The process that made the segment, if all of it is there.
fn maker(attached: &Attached) -> u64 {
    let words = attached.mapping.words();
    assert_eq!(words.len(), LEN / 8);
    assert_eq!(words[0].load(Ordering::Acquire), MAGIC, "the magic word");
    let first = words[1].load(Ordering::Relaxed);
    for word in &words[1..] {
        assert_eq!(word.load(Ordering::Relaxed), first, "half a segment");
    }
    first
}

fn options() -> SegmentOptions {
    SegmentOptions::new()
}

fn create(segment: &Segment) -> Result<Attached, SegmentError> {
    segment.create(&options(), &new_segment())
}

fn open(segment: &Segment) -> Result<Attached, SegmentError> {
    segment.open(&options(), Access::ReadWrite, MAGIC)
}

fn open_read_only(segment: &Segment) -> Result<Attached, SegmentError> {
    segment.open(&options(), Access::ReadOnly, MAGIC)
}

/// A name of our own, free at the beginning, and again at the end.
struct Scratch {
    segment: Segment,
    _directory: Option<tempfile::TempDir>,
}

impl Scratch {
    fn number() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn shm() -> Self {
        let name = format!("shmkv-test-{}-{}", std::process::id(), Self::number());
        Self {
            segment: Segment::shm(&name).unwrap(),
            _directory: None,
        }
    }

    fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            segment: Segment::file(directory.path().join("segment")).unwrap(),
            _directory: Some(directory),
        }
    }

    fn sysv() -> Self {
        let key = 0x5100_0000 | (std::process::id() << 8 & 0xFF_FF00) | (Self::number() & 0xFF);
        Self {
            segment: Segment::sysv_key(key.cast_signed()).unwrap(),
            _directory: None,
        }
    }

    /// One of each kind that has a name.
    fn each() -> [Self; 3] {
        [Self::shm(), Self::file(), Self::sysv()]
    }

    fn path(&self) -> std::path::PathBuf {
        match &self.segment {
            Segment::Shm(name) => Path::new("/dev/shm").join(name.as_str()),
            Segment::File(path) => path.as_path().to_owned(),
            other => panic!("{other} has no path"),
        }
    }
}

impl std::ops::Deref for Scratch {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.segment
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}

const ROLE: &str = "SHMKV_TEST_ROLE";
const SEGMENT: &str = "SHMKV_TEST_SEGMENT";

/// What this process is to do, if it is the child of a test.
fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The segment that the parent has named.
fn given_segment() -> Segment {
    std::env::var(SEGMENT).unwrap().parse().unwrap()
}

/// The command that runs the test `module::name` once more, in another role.
fn child(module: &str, name: &str, role: &str, segment: &Segment) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    set_up_child(&mut command, module, name, role, segment);
    command
}

fn set_up_child(command: &mut Command, module: &str, name: &str, role: &str, segment: &Segment) {
    let module = module.split_once("::").expect("a crate in front").1;
    command
        .args([&format!("{module}::{name}"), "--exact", "--nocapture"])
        .arg("--test-threads=1")
        .env(ROLE, role)
        .env(SEGMENT, segment.to_string())
        .stdout(Stdio::null());
}

/// Tells the parent something, in one write.
fn notify(line: &str) {
    let line = format!("\n> {line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Waits until the parent closes our standard input.
fn wait_for_parent() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

/// What children tell, one after the other. Everything else they print is passed on.
fn told(stderr: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(stderr).lines().filter_map(|line| {
        let line = line.unwrap();
        let told = line.strip_prefix("> ").map(str::to_owned);
        if told.is_none() && !line.is_empty() {
            eprintln!("child: {line}");
        }
        told
    })
}

/// Runs a child to its end and returns what it tells.
fn run(mut command: Command) -> Vec<String> {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let lines = told(&output.stderr[..]).collect();
    assert!(output.status.success(), "{}", output.status);
    lines
}

/// Starts a child that says "ready" and then goes no further by itself.
fn start_until_ready(mut command: Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = told(child.stderr.take().unwrap());
    assert_eq!(lines.next().as_deref(), Some("ready"));
    child
}

/// An initializer that never gets done: the creator says "ready" in the middle, and stays.
fn stuck_new_segment() -> NewSegment<'static> {
    let init = &|words: &[AtomicU64], _: Option<FileWords>| {
        words[1].store(1, Ordering::Relaxed);
        notify("ready");
        wait_for_parent();
        panic!("the parent should have killed this process");
    };
    NewSegment {
        len: LEN,
        magic: MAGIC,
        init,
        prepare: &no_wish,
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs to be root");
    }
    root
}
