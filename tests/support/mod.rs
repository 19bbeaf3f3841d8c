//! What several integration tests need: names that are removed again, random numbers, and
//! children that run another part of the same test.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test uses its own part of this"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use shmkv::Segment;

/// A name of our own, free at the beginning and again at the end, however the test ends.
pub struct Scratch {
    segment: Segment,
    _directory: Option<tempfile::TempDir>,
}

impl Scratch {
    fn number() -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    pub fn shm() -> Self {
        let name = format!("shmkv-it-{}-{}", std::process::id(), Self::number());
        Self {
            segment: Segment::shm(&name).unwrap(),
            _directory: None,
        }
    }

    pub fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            segment: Segment::file(directory.path().join("segment")).unwrap(),
            _directory: Some(directory),
        }
    }

    pub fn sysv() -> Self {
        // Keys are 32 bits for the whole machine: a random one is hardly ever taken.
        let key = Random::seeded().next() as i32 & 0x7FFF_FF00 | Self::number() as i32 & 0xFF | 1;
        Self {
            segment: Segment::sysv_key(key).unwrap(),
            _directory: None,
        }
    }

    /// One of each kind that has a name.
    pub fn each() -> [Self; 3] {
        [Self::shm(), Self::file(), Self::sysv()]
    }

    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The file behind it, which System V has not.
    pub fn path(&self) -> PathBuf {
        match &self.segment {
            Segment::Shm(name) => PathBuf::from("/dev/shm").join(name.as_str()),
            Segment::File(path) => path.as_path().to_owned(),
            other => panic!("{other} has no path"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}

/// splitmix64 (Steele, Lea and Flood).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Another sequence each time.
    pub fn seeded() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(std::process::id()))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

/// Where the parts of a segment are, by the table of the format and the bytes of its file:
/// written anew from the documentation, so that the two are compared.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    pub header_len: u64,
    pub participants: u64,
    pub moves: u64,
    pub buckets: u64,
    pub bucket_count: u64,
    pub bucket_len: u64,
    pub key_len: u64,
    pub value_len: u64,
    pub end: u64,
}

impl Parts {
    pub fn of(file: &File) -> Self {
        let word = |at| read_word(file, at);
        let half = |at: u64| word(at & !7) >> (at % 8 * 8) & 0xFFFF_FFFF;
        let (header_len, bucket_count) = (word(24), word(136));
        let (key_len, value_len) = (half(144), half(148));
        let participants = header_len + 4096;
        let moves = participants + 64 * half(156);
        let moves_end = (moves + 64 + 24 * half(160)).next_multiple_of(64);
        let buckets = moves_end.next_multiple_of(4096);
        let slot = key_len.next_multiple_of(8) + value_len.next_multiple_of(8) + 8 * half(152);
        let bucket_len = 64 + 16 * slot;
        let parts = Self {
            header_len,
            participants,
            moves,
            buckets,
            bucket_count,
            bucket_len,
            key_len,
            value_len,
            end: buckets + bucket_count * bucket_len,
        };
        assert_eq!(parts.end, word(32), "total_len is the sum of the parts");
        parts
    }

    pub fn bucket(&self, index: u64) -> u64 {
        self.buckets + index * self.bucket_len
    }
}

pub fn read_word(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    u64::from_ne_bytes(bytes)
}

pub fn write_word(file: &File, at: u64, word: u64) {
    file.write_all_at(&word.to_ne_bytes(), at).unwrap();
}

const ROLE: &str = "SHMKV_TEST_ROLE";
const SEGMENT: &str = "SHMKV_TEST_SEGMENT";

/// What this process is to do, if it is the child of a test.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The segment that the parent of this child names.
pub fn given_segment() -> Segment {
    std::env::var(SEGMENT).unwrap().parse().unwrap()
}

/// A child that runs the test `test` of this binary, in another role.
pub fn child(test: &str, role: &str, segment: &Segment) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(SEGMENT, segment.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Says a line to the parent.
pub fn notify(line: &str) {
    eprintln!("> {line}");
}

/// Waits until the parent writes a line, and returns it; empty when the parent has closed.
pub fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A child at work.
pub struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Worker {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The next line that it tells; whatever else it prints is passed on.
    pub fn hear(&mut self) -> Option<String> {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            match line.strip_prefix("> ") {
                Some(told) => return Some(told.to_owned()),
                None if line.is_empty() => {}
                None => eprintln!("child: {line}"),
            }
        }
        None
    }

    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.hear().as_deref(), Some(line));
    }

    pub fn say(&mut self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Lets it come to its end, which must be a good one; returns what it tells until then.
    #[track_caller]
    pub fn finish(mut self) -> Vec<String> {
        self.end()
    }

    /// As `finish`, for a worker that is part of something else.
    #[track_caller]
    pub fn end(&mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let told = std::iter::from_fn(|| self.hear()).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        told
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Worker {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `count` children that begin at the same moment, and returns what each of them
/// tells, in the order in which they were started.
pub fn together(count: usize, command: impl Fn(usize) -> Command) -> Vec<Vec<String>> {
    let mut workers: Vec<Worker> = (0..count).map(|n| Worker::start(command(n))).collect();
    for worker in &mut workers {
        worker.expect("ready");
    }
    for worker in &mut workers {
        worker.say("go");
    }
    workers.into_iter().map(Worker::finish).collect()
}

/// The child's side of [`together`].
pub fn ready() {
    notify("ready");
    assert_eq!(listen(), "go");
}

/// Waits for what must become true soon. What is closed here may be open for a moment more in a child
/// that another test forks.
#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "not so: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Whether the long forms of the tests are asked for.
pub fn long() -> bool {
    std::env::var("SHMKV_LONG").is_ok_and(|value| value == "1")
}
