//! One measured slice of a peer: by itself, by threads, by processes.
//!
//! Dispatch is dynamic here, once a slice; the loops below are monomorphised.

mod processes;
mod threads;

use std::fmt::Debug;

pub(crate) use processes::Job;
pub use processes::{Processes, serve_if_worker};
pub use threads::Threads;

use crate::keys::Keys;
use crate::subject::Subject;
use crate::types::Plain;
use crate::workload::{self, Crew, Replaced, Slice, Span, Workload};

/// A filled table that can be measured.
pub trait Runner<K, V>: Debug {
    /// A slice of a workload for one. `None` if the peer takes no part in it.
    fn solo(&mut self, workload: Workload, keys: &Keys<K, V>, span: Span) -> Option<Slice>;

    /// Millions of operations a second of all workers together. `None` if the
    /// peer cannot be shared.
    fn crew(&mut self, crew: Crew, keys: &Keys<K, V>, span: Span) -> Option<f64>;

    /// Bytes of the file or segment that holds the table.
    fn footprint(&self) -> Option<u64>;

    /// Either, in the unit of the workload.
    fn measure(&mut self, workload: Workload, keys: &Keys<K, V>, span: Span) -> Option<f64> {
        match workload.crew() {
            Some(crew) => self.crew(crew, keys, span),
            None => self.solo(workload, keys, span).map(Slice::ns),
        }
    }
}

/// A table for one: a plain map, or a connection to a server.
#[derive(Debug)]
pub struct Single<S> {
    subject: S,
    replaced: Replaced,
}

impl<S> Single<S> {
    /// Fills the subject.
    pub fn new<K: Plain, V: Plain>(mut subject: S, keys: &Keys<K, V>) -> Self
    where
        S: Subject<K, V>,
    {
        subject.prefill(keys.population());
        Self::filled(subject)
    }

    /// Takes a subject that somebody else has filled.
    pub fn filled(subject: S) -> Self {
        Single {
            subject,
            replaced: 0,
        }
    }
}

impl<K: Plain, V: Plain, S: Subject<K, V> + Debug> Runner<K, V> for Single<S> {
    fn solo(&mut self, workload: Workload, keys: &Keys<K, V>, span: Span) -> Option<Slice> {
        self.subject
            .supports(workload)
            .then(|| workload::solo(&mut self.subject, workload, keys, &mut self.replaced, span))
    }

    fn crew(&mut self, _crew: Crew, _keys: &Keys<K, V>, _span: Span) -> Option<f64> {
        None
    }

    fn footprint(&self) -> Option<u64> {
        self.subject.footprint()
    }
}

/// Where the worker with this number begins in the streams, far from the others.
fn worker_start<K: Plain, V: Plain>(
    keys: &Keys<K, V>,
    span: Span,
    worker: usize,
    workers: usize,
) -> usize {
    span.start + keys.stream_len() / crate::keys::CHUNK * worker / workers
}
