//! The measured loops.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::keys::{CHUNK, Keys};
use crate::subject::{BATCH, Subject};
use crate::types::Plain;

/// What is asked of a table.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Present keys, uniformly distributed.
    GetHit,
    /// Present keys, zipf 0.99.
    GetZipf,
    /// Each key depends on the value read before it.
    GetDependent,
    /// Absent keys.
    GetMiss,
    /// Present keys in batches of 16; peers without batches loop.
    GetMany,
    /// Insert over an existing key, uniformly distributed.
    Update,
    /// One worker, reads only, zipf: what the next three are compared with.
    One100,
    /// Two workers, reads only, zipf.
    Two100,
    /// Two workers, 95 % reads, zipf.
    Two95,
    /// Two workers, half reads, zipf.
    Two50,
    /// Remove the oldest key and insert a new one: two operations, timed as one.
    /// Last, because it changes the population.
    Churn,
}

/// Workers side by side, each doing this share of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// Threads or processes.
    pub workers: usize,
    /// Per cent of the operations that are writes: 0, 5 or 50.
    pub writes: u32,
}

impl Workload {
    /// All, in the order in which they are run.
    pub const ALL: [Workload; 11] = [
        Workload::GetHit,
        Workload::GetZipf,
        Workload::GetDependent,
        Workload::GetMiss,
        Workload::GetMany,
        Workload::Update,
        Workload::One100,
        Workload::Two100,
        Workload::Two95,
        Workload::Two50,
        Workload::Churn,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Workload::GetHit => "get hit, uniform",
            Workload::GetZipf => "get hit, zipf",
            Workload::GetDependent => "get hit, dependent",
            Workload::GetMiss => "get miss",
            Workload::GetMany => "get_many, batches of 16",
            Workload::Update => "update",
            Workload::One100 => "one worker 100:0",
            Workload::Two100 => "two workers 100:0",
            Workload::Two95 => "two workers 95:5",
            Workload::Two50 => "two workers 50:50",
            Workload::Churn => "remove + insert",
        }
    }

    /// The workers, if the workload is about several of them.
    pub fn crew(self) -> Option<Crew> {
        let (workers, writes) = match self {
            Workload::One100 => (1, 0),
            Workload::Two100 => (2, 0),
            Workload::Two95 => (2, 5),
            Workload::Two50 => (2, 50),
            _ => return None,
        };
        Some(Crew { workers, writes })
    }

    /// The unit of the results.
    pub fn unit(self) -> &'static str {
        if self.crew().is_some() {
            "Mops/s"
        } else {
            "ns"
        }
    }
}

/// One measured slice.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Operations done.
    pub operations: u64,
    /// Time they took.
    pub elapsed: Duration,
}

impl Slice {
    /// Nanoseconds an operation.
    pub fn ns(self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.operations as f64
    }

    /// Millions of operations a second.
    pub fn mops(self) -> f64 {
        1e3 / self.ns()
    }
}

/// How a slice is bounded: where in the streams it begins and how long it runs.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first chunk of the stream.
    pub start: usize,
    /// Time to measure, after a tenth of it to warm up.
    pub budget: Duration,
}

/// How many entries a subject's churn has replaced so far.
pub type Replaced = u64;

/// Runs one workload on one subject by itself.
///
/// # Panics
/// If the table lost an entry, or has one that it should not have.
pub fn solo<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    workload: Workload,
    keys: &Keys<K, V>,
    replaced: &mut Replaced,
    span: Span,
) -> Slice {
    match workload {
        Workload::GetHit => gets(subject, keys.uniform(), CHUNK, span),
        Workload::GetZipf => gets(subject, keys.zipf(), CHUNK, span),
        Workload::GetMiss => gets(subject, keys.absent(), 0, span),
        Workload::GetDependent => dependent(subject, keys, span),
        Workload::GetMany => batches(subject, keys.uniform(), span),
        Workload::Update => chunks(keys.uniform(), span, |chunk| {
            subject.insert_chunk(chunk, keys.values())
        }),
        Workload::Churn => churn(subject, keys, replaced, span),
        Workload::One100 | Workload::Two100 | Workload::Two95 | Workload::Two50 => {
            unreachable!("a workload for a crew")
        }
    }
}

/// Runs one worker's share of a mix over the zipf stream.
///
/// # Panics
/// If the table lost an entry.
pub fn mix<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    writes: u32,
    keys: &Keys<K, V>,
    span: Span,
) -> Slice {
    let stream = keys.zipf();
    if writes == 0 {
        return gets(subject, stream, CHUNK, span);
    }
    let is_write = keys.writes(writes);
    let mut at = span.start * CHUNK % stream.len();
    timed(span.budget, || {
        let mut misses = 0;
        let range = at..at + CHUNK;
        for (n, (key, &is_write)) in stream[range.clone()]
            .iter()
            .zip(&is_write[range])
            .enumerate()
        {
            if is_write {
                subject.insert(key, keys.value(n));
            } else {
                let value = subject.get(key);
                misses += usize::from(value.is_none());
                black_box(&value);
            }
        }
        assert_eq!(misses, 0, "the table lost an entry");
        at = (at + CHUNK) % stream.len();
    })
}

fn gets<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    stream: &[K],
    hits: usize,
    span: Span,
) -> Slice {
    chunks(stream, span, |chunk| {
        assert_eq!(subject.get_chunk(chunk), hits, "wrong number of hits");
    })
}

fn dependent<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    keys: &Keys<K, V>,
    span: Span,
) -> Slice {
    let mut key = keys.uniform()[span.start * CHUNK % keys.stream_len()];
    timed(span.budget, || {
        for _ in 0..CHUNK {
            let value = subject.get(&key).expect("the chain stays inside the table");
            key = K::from_seed(black_box(&value).seed());
        }
    })
}

fn batches<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    stream: &[K],
    span: Span,
) -> Slice {
    let mut values = [const { None }; BATCH];
    chunks(stream, span, |chunk| {
        let (batches, _) = chunk.as_chunks::<BATCH>();
        for batch in batches {
            subject.get_batch(batch, &mut values);
            black_box(&values);
        }
        assert!(
            values.iter().all(Option::is_some),
            "the table lost an entry"
        );
    })
}

/// The population is a window of key numbers: the oldest leaves, the next
/// comes. Keys of a chunk are made outside the measured time.
fn churn<K: Plain, V: Plain, S: Subject<K, V>>(
    subject: &mut S,
    keys: &Keys<K, V>,
    replaced: &mut Replaced,
    span: Span,
) -> Slice {
    let mut total = Slice {
        operations: 0,
        elapsed: Duration::ZERO,
    };
    let entries = keys.entries() as u64;
    while total.elapsed < span.budget {
        let old: [K; CHUNK] = std::array::from_fn(|n| Keys::<K, V>::key(*replaced + n as u64));
        let new: [K; CHUNK] =
            std::array::from_fn(|n| Keys::<K, V>::key(*replaced + entries + n as u64));
        let mut removed = 0;
        let begin = Instant::now();
        for (n, (old, new)) in old.iter().zip(&new).enumerate() {
            removed += usize::from(subject.remove(old));
            subject.insert(new, keys.value(n));
        }
        total.elapsed += begin.elapsed();
        total.operations += CHUNK as u64;
        assert_eq!(removed, CHUNK, "the table lost an entry");
        *replaced += CHUNK as u64;
    }
    total
}

/// Gives the chunks of a stream to `each`, round and round.
fn chunks<K>(stream: &[K], span: Span, mut each: impl FnMut(&[K])) -> Slice {
    let mut at = span.start * CHUNK % stream.len();
    timed(span.budget, || {
        each(&stream[at..at + CHUNK]);
        at = (at + CHUNK) % stream.len();
    })
}

/// Repeats `chunk`, which does [`CHUNK`] operations: a tenth of the time to
/// warm up, then the time itself.
fn timed(budget: Duration, mut chunk: impl FnMut()) -> Slice {
    let begin = Instant::now();
    while begin.elapsed() < budget / 10 {
        chunk();
    }
    let mut operations = 0;
    let begin = Instant::now();
    loop {
        chunk();
        operations += CHUNK as u64;
        let elapsed = begin.elapsed();
        if elapsed >= budget {
            return Slice {
                operations,
                elapsed,
            };
        }
    }
}
