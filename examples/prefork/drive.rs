//! The load that the server puts on itself, and the comparison of every answer.
//!
//! Files are asked for as people ask for things: a few all the time, most of them rarely (by
//! Zipf's law). Each answer is compared with what this process reads from the file itself.
//! A file that is being changed at that very moment has no right answer; it is asked for again
//! until it stands still, and given up as *moving* if it never does.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use sha2::{Digest as _, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::client::{Answer, Client};
use crate::counters::Tally;
use crate::digest::{Stamp, hex};
use crate::root::FilePath;
use crate::worker::Server;

/// Larger files are left out: the server would be busy with hashing, not with sharing.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Directories that are left out.
const SKIPPED: [&str; 2] = [".git", "target"];

/// How often, and with what pause, a file is asked for until it stands still.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Wrong answers that are shown.
const SHOWN: u64 = 10;

/// A drive that is about to begin.
pub(crate) struct Drive {
    root: PathBuf,
    address: SocketAddr,
    requests: u64,
    clients: u16,
    files: Vec<Target>,
}

/// A file to ask for.
struct Target {
    path: PathBuf,
    url: String,
    /// What was computed for its last known version.
    direct: Mutex<Option<(Stamp, Direct)>>,
}

/// What an answer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Direct {
    sha256: String,
    size: u64,
    lines: u64,
    mtime_ns: i64,
}

enum Verdict {
    Right { is_hit: bool },
    Wrong(String),
    Moving,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    hits: AtomicU64,
    right: AtomicU64,
    wrong: AtomicU64,
    moving: AtomicU64,
    retries: AtomicU64,
}

impl Drive {
    /// Looks for files below `root`.
    pub(crate) fn new(
        root: &Path,
        address: SocketAddr,
        requests: u64,
        clients: u16,
    ) -> Result<Self, Box<dyn Error>> {
        let mut files = Vec::new();
        let walk = WalkDir::new(root).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(is_wanted) {
            match entry {
                Ok(entry) => files.extend(Target::new(&entry, root)),
                Err(error) => eprintln!("prefork: left out: {error}"),
            }
        }
        if files.is_empty() {
            let root = root.display();
            return Err(format!("no file below {root} that could be asked for").into());
        }
        // Which files are popular has nothing to do with their names; but a run is
        // like the next one.
        files.shuffle(&mut SmallRng::seed_from_u64(0));
        Ok(Self {
            root: root.to_owned(),
            address,
            requests,
            clients,
            files,
        })
    }

    /// Sends all requests and reports on them. Returns an exit code.
    pub(crate) fn run(&self, server: &Server) -> u8 {
        let outcome = Outcome::default();
        let started = Instant::now();
        let issued = AtomicU64::new(0);
        let result = thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients)
                .map(|client| {
                    let (issued, outcome) = (&issued, &outcome);
                    scope.spawn(move || self.run_client(client, issued, outcome))
                })
                .collect();
            clients.into_iter().try_for_each(|client| {
                let ended = client.join();
                ended.unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
        });
        if let Err(error) = &result {
            eprintln!("prefork: the drive ended early: {error}");
        }
        if let Err(error) = self.report(server, &outcome, started.elapsed()) {
            eprintln!("prefork: {error}");
            return 2;
        }
        let complete = Outcome::get(&outcome.right) == self.requests;
        u8::from(result.is_err() || !complete)
    }

    fn run_client(&self, number: u16, issued: &AtomicU64, outcome: &Outcome) -> io::Result<()> {
        let mut client = Client::new(self.address);
        let mut random = SmallRng::seed_from_u64(1 + u64::from(number));
        let popularity = Zipf::new(self.files.len() as f64, 1.0).map_err(io::Error::other)?;
        while issued.fetch_add(1, Ordering::Relaxed) < self.requests {
            // A moving file makes room for another one, but not for ever.
            for _ in 0..ATTEMPTS {
                // Ranks are whole numbers from 1 up to the number of files.
                let rank = random.sample(popularity) as usize - 1;
                let file = &self.files[rank.min(self.files.len() - 1)];
                let verdict = file.ask(&mut client)?;
                outcome.add(&verdict, &file.url);
                if !matches!(verdict, Verdict::Moving) {
                    break;
                }
            }
        }
        outcome.retries.fetch_add(client.retries, Ordering::Relaxed);
        Ok(())
    }

    fn report(
        &self,
        server: &Server,
        outcome: &Outcome,
        took: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let tallies = server.counters.tallies()?;
        let all = Tally::sum(&tallies);
        let [right, wrong, hits, moving, retries] = [
            &outcome.right,
            &outcome.wrong,
            &outcome.hits,
            &outcome.moving,
            &outcome.retries,
        ]
        .map(Outcome::get);
        let requests = right + wrong;
        // Numbers of requests are far below 2^53.
        let hit_ratio = hits as f64 / (requests as f64).max(1.0);
        let seconds = took.as_secs_f64();

        let mut text = format!(
            "{requests} requests for {} files below {}, {} clients, {} workers, {seconds:.2} s, \
             {:.0} requests/s\n\n\
             worker     pid  requests      hits  misses  entries  hit ratio  p50 ns  p99 ns\n",
            self.files.len(),
            self.root.display(),
            self.clients,
            tallies.len(),
            requests as f64 / seconds,
        );
        let mut row = |name: &str, pid: &str, entries: u64, tally: &Tally| {
            let quantile = |fraction| {
                let ns = tally.lookups.quantile(fraction);
                ns.map_or("-".to_owned(), |ns| ns.to_string())
            };
            text.push_str(&format!(
                "{name:>6} {pid:>7} {:>9} {:>9} {:>7} {entries:>8} {:>10.4} {:>7} {:>7}\n",
                tally.answers,
                tally.hits,
                tally.misses,
                tally.hits as f64 / (tally.hits as f64 + tally.misses as f64).max(1.0),
                quantile(0.5),
                quantile(0.99),
            ));
        };
        for (index, tally) in tallies.iter().enumerate() {
            row(
                &index.to_string(),
                &tally.pid.to_string(),
                tally.entries,
                tally,
            );
        }
        row("all", "", server.cache.len() as u64, &all);
        text.push_str(&format!(
            "\nns: one lookup in the shared map, with the reading of a clock before and after it \
             ({} ns by itself)\n\
             {wrong} wrong answers, {retries} requests sent again, {moving} files given up while \
             they changed\n",
            clock_ns(),
        ));
        let line = serde_json::json!({
            "requests": requests,
            "workers": tallies.len(),
            "hit_ratio": hit_ratio,
            "wrong": wrong,
            "files": self.files.len(),
            "clients": self.clients,
            "retries": retries,
            "moving": moving,
            "entries": server.cache.len(),
            "lookup_p50_ns": all.lookups.quantile(0.5),
            "lookup_p99_ns": all.lookups.quantile(0.99),
            "seconds": seconds,
        });
        text.push_str(&format!("{line}\n"));
        match io::stdout().write_all(text.as_bytes()) {
            // Who reads only the beginning wants no more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

impl Target {
    /// A file that was found, if it can be asked for.
    fn new(entry: &DirEntry, root: &Path) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        if !entry.file_type().is_file() || entry.metadata().ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        if let Err(error) = File::open(entry.path()) {
            eprintln!("prefork: left out: {}: {error}", entry.path().display());
            return None;
        }
        let below = entry.path().strip_prefix(root).ok()?;
        let path = FilePath::from_bytes(below.as_os_str().as_bytes());
        Some(Self {
            path: entry.path().to_owned(),
            url: format!("/digest/{}", path.to_url()),
            direct: Mutex::new(None),
        })
    }

    /// Asks for the file and judges the answer.
    fn ask(&self, client: &mut Client) -> io::Result<Verdict> {
        for _ in 0..ATTEMPTS {
            let before = self.stamp();
            let answer = client.get(&self.url)?;
            let expected = self.direct();
            let stood_still = match (before, &expected) {
                (Some(before), Some((after, _))) => before == *after && before.has_adopted_boot(),
                // It was not there before and is not there after.
                (None, None) => return Ok(Verdict::Moving),
                _ => false,
            };
            match expected.map(|(_, direct)| direct.compare(&answer)) {
                Some(Ok(())) => {
                    return Ok(Verdict::Right {
                        is_hit: answer.is_hit,
                    });
                }
                Some(Err(difference)) if stood_still => return Ok(Verdict::Wrong(difference)),
                _ => thread::sleep(PAUSE),
            }
        }
        Ok(Verdict::Moving)
    }

    fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&File::open(&self.path).ok()?).ok()
    }

    /// What the file holds, and which version that is; `None` if it cannot be read as a whole.
    fn direct(&self) -> Option<(Stamp, Direct)> {
        let mut known = self.direct.lock().unwrap_or_else(|it| it.into_inner());
        let file = File::open(&self.path).ok()?;
        let stamp = Stamp::of(&file).ok()?;
        match &*known {
            Some((of, direct)) if *of == stamp => return Some((stamp, direct.clone())),
            _ => *known = None,
        }
        let mut content = Vec::new();
        (&file).read_to_end(&mut content).ok()?;
        if Stamp::of(&file).ok()? != stamp || content.len() as u64 != stamp.size {
            return None;
        }
        let direct = Direct {
            sha256: hex(&Sha256::digest(&content)),
            size: content.len() as u64,
            lines: content.iter().filter(|&&byte| byte == b'\n').count() as u64,
            mtime_ns: stamp.mtime_ns,
        };
        if stamp.has_adopted_boot() {
            *known = Some((stamp, direct.clone()));
        }
        Some((stamp, direct))
    }
}

impl Direct {
    /// Says what is wrong with an answer.
    fn compare(&self, answer: &Answer) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let json: serde_json::Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
        let expected = [
            ("sha256", serde_json::Value::from(self.sha256.as_str())),
            ("size", self.size.into()),
            ("lines", self.lines.into()),
            ("mtime_ns", self.mtime_ns.into()),
        ];
        for (name, expected) in expected {
            if json[name] != expected {
                return Err(format!("{name} is {expected}, not {}", json[name]));
            }
        }
        Ok(())
    }
}

impl Outcome {
    fn add(&self, verdict: &Verdict, url: &str) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match verdict {
            Verdict::Right { is_hit } => {
                count(&self.right);
                self.hits.fetch_add((*is_hit).into(), Ordering::Relaxed);
            }
            Verdict::Wrong(difference) => {
                if count(&self.wrong) < SHOWN {
                    eprintln!("prefork: wrong answer to {url}: {difference}");
                }
            }
            Verdict::Moving => {
                count(&self.moving);
            }
        }
    }

    fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

fn is_wanted(entry: &DirEntry) -> bool {
    // The root itself is wanted, whatever it is called.
    let is_skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
    entry.depth() == 0 || !(is_skipped && entry.file_type().is_dir())
}

/// What it takes to read the clock twice: part of every time that was measured.
fn clock_ns() -> u128 {
    let mut times: Vec<_> = (0..1000)
        .map(|_| Instant::now().elapsed().as_nanos())
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
