//! Several processes that share one cache, each with every so-manieth request of a stream.
//!
//! Each is this program started again. They would drift apart, and the stream would be another
//! one, so each publishes how far it is in a map that they share as well, and none goes
//! further than [`LEAD`] requests ahead of the slowest.

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shmkv::{Cache, Map};

use super::Score;
use super::caches::{Place, ask};
use super::traces::{Source, Trace};

/// First argument of a program that is a worker; the second is its [`Job`].
const WORKER: &str = "--hit-ratio-worker";

/// Requests of its own that a worker may be ahead of the others.
pub const LEAD: u64 = 32;

/// How long the slowest may do nothing until the others give up.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    source: Source,
    cache: String,
    progress: String,
    entries: usize,
    worker: u64,
    workers: u64,
}

/// How far a worker is.
#[shmkv::record]
#[derive(Debug)]
struct Progress {
    requests: u64,
    hits: u64,
}

/// Does the job, if this process was started for one. To be called first in `main`.
///
/// # Panics
/// If the job cannot be done: the parent sees the exit status.
pub fn serve_if_worker() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(WORKER) {
        return false;
    }
    let job = arguments.next().expect("a worker has a job");
    let job: Job = serde_json::from_str(&job).expect("a job is from this program");
    work(&job);
    true
}

fn work(job: &Job) {
    let trace = job.source.load().expect("the parent has read it as well");
    let cache: Cache<u64, u64> = (Cache::builder().max_capacity(job.entries))
        .open(&*job.cache)
        .expect("the parent has created the cache");
    let progress: Map<u64, Progress> =
        (Map::builder().open(&*job.progress)).expect("the parent has created the map of progress");
    let mut mine = Progress {
        requests: 0,
        hits: 0,
    };
    let own = trace
        .keys
        .iter()
        .enumerate()
        .skip(job.worker as usize)
        .step_by(job.workers as usize);
    for (request, key) in own {
        if mine.requests.is_multiple_of(LEAD / 2) {
            progress.insert(job.worker, mine).expect("it has room");
            wait_for_the_others(job, &progress, mine.requests);
        }
        mine.hits += u64::from(ask(&cache, *key, request, job.entries));
        mine.requests += 1;
    }
    let end = Progress {
        // Nobody waits for who is done.
        requests: u64::MAX,
        ..mine
    };
    progress.insert(job.worker, end).expect("it has room");
}

fn wait_for_the_others(job: &Job, progress: &Map<u64, Progress>, mine: u64) {
    let slowest = || {
        let of = |worker| {
            let found = progress.get(&worker).expect("a map of our own answers");
            found.expect("everybody is in it").requests
        };
        (0..job.workers).map(of).min().expect("there are workers")
    };
    let (mut last, mut since) = (slowest(), Instant::now());
    while last.saturating_add(LEAD) < mine {
        thread::yield_now();
        let now = slowest();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < TIMEOUT,
            "another worker makes no progress"
        );
    }
}

/// Replays a stream by `workers` processes.
///
/// # Errors
/// A process cannot be started, or fails.
///
/// # Panics
/// If the cache has more entries than it may.
pub fn replay(trace: &Trace, entries: usize, workers: u64) -> io::Result<Score> {
    let (place, progress_place) = (Place::new(), Place::new());
    let cache = place.create(entries);
    let progress: Map<u64, Progress> = (Map::builder().capacity(workers as usize))
        .create(progress_place.name())
        .map_err(io::Error::other)?;
    let none = Progress {
        requests: 0,
        hits: 0,
    };
    let mut crew = Crew(Vec::new());
    for worker in 0..workers {
        progress.insert(worker, none).map_err(io::Error::other)?;
    }
    for worker in 0..workers {
        let job = Job {
            source: trace.source.clone(),
            cache: place.name().to_owned(),
            progress: progress_place.name().to_owned(),
            entries,
            worker,
            workers,
        };
        let child = Command::new(std::env::current_exe()?)
            .arg(WORKER)
            .arg(serde_json::to_string(&job)?)
            .stdin(Stdio::null())
            .spawn()?;
        crew.0.push(child);
    }
    crew.finish()?;
    let len = cache.len();
    assert!(len <= entries, "{len} entries where {entries} are allowed");
    let mut hits = 0;
    for worker in 0..workers {
        let found = progress.get(&worker).map_err(io::Error::other)?;
        hits += found.expect("everybody is in it").hits;
    }
    Ok(Score {
        hits,
        requests: trace.keys.len() as u64,
    })
}

/// Processes that do not outlive what they work for.
struct Crew(Vec<Child>);

impl Crew {
    /// Waits for all to end well.
    fn finish(&mut self) -> io::Result<()> {
        for child in &mut self.0 {
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("a worker failed: {status}")));
            }
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails for those that have expired.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
