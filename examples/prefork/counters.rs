//! Counters of all workers, in a map of their own.
//!
//! A segment without a name is enough here: everybody who needs it is forked from the
//! process that made it. The counters of a worker go on when another process takes its place.

use std::time::Duration;

use shmkv::error::IterError;
use shmkv::{Map, OpenError, Segment, WriteError};

use crate::histogram::{CLASSES, Histogram, class};

/// One number.
#[shmkv::record]
#[derive(PartialEq, Eq)]
struct Counter {
    worker: u16,
    of: What,
    /// Of a histogram; 0 for the others.
    class: u16,
}

/// What is counted.
#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum What {
    /// Which process it is: the one number here that is set and not counted.
    Pid,
    /// Answers to any request.
    Answer,
    /// Digests from the shared cache.
    Hit,
    /// Digests that had to be computed.
    Miss,
    /// Digests that this worker has put into the cache.
    Entry,
    /// Operations of the cache that failed.
    Error,
    /// Lookups, by how long they took.
    Lookup,
}

#[derive(Clone)]
pub(crate) struct Counters {
    map: Map<Counter, u64>,
    workers: u16,
}

/// What one worker has done so far.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) pid: u64,
    pub(crate) answers: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) entries: u64,
    pub(crate) errors: u64,
    pub(crate) lookups: Histogram,
}

impl Counters {
    pub(crate) fn create(workers: u16) -> Result<Self, OpenError> {
        let each = usize::from(CLASSES) + 8;
        let map = Map::builder()
            .capacity(usize::from(workers) * each)
            .max_writers(2 * u32::from(workers) + 16)
            .create(Segment::memfd("prefork-counters")?)?;
        Ok(Self { map, workers })
    }

    /// The counters that one worker moves.
    pub(crate) fn of_worker(&self, worker: u16) -> WorkerCounters {
        WorkerCounters {
            map: self.map.clone(),
            worker,
        }
    }

    /// What all workers have done so far. No snapshot: they go on meanwhile.
    pub(crate) fn tallies(&self) -> Result<Vec<Tally>, IterError> {
        let mut tallies = vec![Tally::new(); self.workers.into()];
        for entry in &self.map {
            let (counter, count) = entry?;
            let Some(tally) = tallies.get_mut(usize::from(counter.worker)) else {
                continue;
            };
            match counter.of {
                What::Pid => tally.pid = count,
                What::Answer => tally.answers = count,
                What::Hit => tally.hits = count,
                What::Miss => tally.misses = count,
                What::Entry => tally.entries = count,
                What::Error => tally.errors = count,
                What::Lookup => tally.lookups.add(counter.class, count),
            }
        }
        Ok(tallies)
    }
}

/// See [`Counters::of_worker`].
#[derive(Clone)]
pub(crate) struct WorkerCounters {
    map: Map<Counter, u64>,
    worker: u16,
}

impl WorkerCounters {
    /// Says which process this worker is now.
    pub(crate) fn introduce(&self, pid: u32) -> Result<(), WriteError> {
        let counter = self.counter(What::Pid, 0);
        self.map.insert(counter, pid.into()).map(drop)
    }

    pub(crate) fn count(&self, what: What) {
        self.add(self.counter(what, 0));
    }

    pub(crate) fn count_lookup(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.add(self.counter(What::Lookup, class(ns)));
    }

    fn counter(&self, of: What, class: u16) -> Counter {
        Counter {
            worker: self.worker,
            of,
            class,
        }
    }

    fn add(&self, counter: Counter) {
        // A request is not failed for its statistics.
        if let Err(error) = self.map.fetch_add(&counter, 1) {
            eprintln!("prefork: worker {}: not counted: {error}", self.worker);
        }
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            pid: 0,
            answers: 0,
            hits: 0,
            misses: 0,
            entries: 0,
            errors: 0,
            lookups: Histogram::new(),
        }
    }

    pub(crate) fn sum(tallies: &[Self]) -> Self {
        let mut sum = Self::new();
        for it in tallies {
            sum.answers += it.answers;
            sum.hits += it.hits;
            sum.misses += it.misses;
            sum.entries += it.entries;
            sum.errors += it.errors;
            sum.lookups.merge(&it.lookups);
        }
        sum
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "requests": self.answers,
            "hits": self.hits,
            "misses": self.misses,
            "entries": self.entries,
            "errors": self.errors,
            "lookup_p50_ns": self.lookups.quantile(0.5),
            "lookup_p99_ns": self.lookups.quantile(0.99),
        })
    }
}
