//! A table that processes share: each worker is this program started again, so
//! that it inherits nothing and opens the table as a stranger would.

use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Runner, Single, worker_start};
use crate::keys::Keys;
use crate::memory;
use crate::roster::Peer;
use crate::subject::{Attach, Subject};
use crate::subjects::lmdb::Lmdb;
use crate::types::{Plain, Types};
use crate::with_types;
use crate::workload::{self, Crew, Slice, Span, Workload};

/// First argument of a program that is a worker; the second is its [`Job`].
const WORKER: &str = "--worker";

/// What a worker is started for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Opens a table and measures slices of it, as told on standard input.
    Mix {
        peer: Peer,
        types: Types,
        entries: usize,
        location: String,
    },
    /// Builds a table and reports how much memory that took.
    Footprint {
        peer: Peer,
        types: Types,
        entries: usize,
    },
}

impl Job {
    /// This program again, with that job.
    pub(crate) fn command(&self) -> Command {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command
            .arg(WORKER)
            .arg(serde_json::to_string(self).expect("a job is plain data"));
        command
    }
}

/// Does the job, if this process was started for one. To be called first in `main`.
///
/// # Panics
/// If the job cannot be done: the parent sees the end of its pipe.
pub fn serve_if_worker() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(WORKER) {
        return false;
    }
    let job = arguments.next().expect("a worker has a job");
    match serde_json::from_str(&job).expect("a job is valid") {
        Job::Mix {
            peer,
            types,
            entries,
            location,
        } => {
            with_types!(types, serve(peer, entries, &location));
        }
        Job::Footprint {
            peer,
            types,
            entries,
        } => with_types!(types, footprint(peer, types, entries)),
    }
    true
}

fn footprint<K: Plain, V: Plain>(peer: Peer, types: Types, entries: usize) {
    println!(
        "{}",
        memory::measure_here::<K, V>(peer, types, entries).unwrap_or(0)
    );
}

fn serve<K: Plain, V: Plain>(peer: Peer, entries: usize, location: &str) {
    let keys = Keys::<K, V>::new(entries);
    match peer {
        Peer::Ours => serve_slices(crate::ours::Ours::<K, V>::attach(location), &keys),
        Peer::Lmdb => serve_slices(Lmdb::attach(location), &keys),
        other => unreachable!("{other:?} cannot be shared by processes"),
    }
}

/// One line in, `writes start nanoseconds`; one line out, `operations nanoseconds`.
fn serve_slices<K: Plain, V: Plain, S: Subject<K, V>>(mut subject: S, keys: &Keys<K, V>) {
    keys.zipf();
    keys.writes(50);
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line.expect("the parent writes lines");
        let numbers: Vec<u64> = line
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        let [writes, start, budget] = numbers[..] else {
            panic!("expected three numbers, found {line:?}");
        };
        let span = Span {
            start: start as usize,
            budget: Duration::from_nanos(budget),
        };
        let slice = workload::mix(&mut subject, writes as u32, keys, span);
        println!("{} {}", slice.operations, slice.elapsed.as_nanos());
    }
}

/// A worker, seen from its parent.
#[derive(Debug)]
struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(job: &Job) -> io::Result<Self> {
        let mut child = job
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut worker = Worker {
            child,
            orders,
            answers,
        };
        assert_eq!(worker.answer(), "ready");
        Ok(worker)
    }

    fn answer(&mut self) -> String {
        self.answers
            .next()
            .expect("the worker lives")
            .expect("the worker writes lines")
    }

    fn slice(&mut self) -> Slice {
        let answer = self.answer();
        let (operations, nanos) = answer.split_once(' ').expect("two numbers");
        Slice {
            operations: operations.parse().expect("a number"),
            elapsed: Duration::from_nanos(nanos.parse().expect("a number")),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have exited by itself: then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A table of which this process holds one handle, and each worker another.
#[derive(Debug)]
pub struct Processes<S> {
    /// Stopped before the table goes.
    workers: Vec<Worker>,
    own: Single<S>,
    peer: Peer,
    types: Types,
}

impl<S: Attach> Processes<S> {
    /// Fills the subject.
    pub fn new<K: Plain, V: Plain>(subject: S, peer: Peer, types: Types, keys: &Keys<K, V>) -> Self
    where
        S: Subject<K, V>,
    {
        Processes {
            workers: Vec::new(),
            own: Single::new(subject, keys),
            peer,
            types,
        }
    }

    fn job(&self, entries: usize) -> Job {
        Job::Mix {
            peer: self.peer,
            types: self.types,
            entries,
            location: self.own.subject.location(),
        }
    }
}

impl<K: Plain, V: Plain, S: Subject<K, V> + Attach + Debug> Runner<K, V> for Processes<S> {
    fn solo(&mut self, workload: Workload, keys: &Keys<K, V>, span: Span) -> Option<Slice> {
        self.own.solo(workload, keys, span)
    }

    fn crew(&mut self, crew: Crew, keys: &Keys<K, V>, span: Span) -> Option<f64> {
        while self.workers.len() < crew.workers {
            let worker =
                Worker::start(&self.job(keys.entries())).expect("this program starts again");
            self.workers.push(worker);
        }
        let workers = &mut self.workers[..crew.workers];
        for (number, worker) in workers.iter_mut().enumerate() {
            let start = worker_start(keys, span, number, crew.workers);
            writeln!(
                worker.orders,
                "{} {} {}",
                crew.writes,
                start,
                span.budget.as_nanos()
            )
            .expect("the worker lives");
        }
        Some(workers.iter_mut().map(|worker| worker.slice().mops()).sum())
    }

    fn footprint(&self) -> Option<u64> {
        Runner::<K, V>::footprint(&self.own)
    }
}
