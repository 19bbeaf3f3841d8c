//! A map in this process, shared by threads.

use std::fmt::Debug;
use std::sync::Barrier;
use std::thread;

use super::{Runner, Single, worker_start};
use crate::keys::Keys;
use crate::subject::Subject;
use crate::types::Plain;
use crate::workload::{self, Crew, Slice, Span, Workload};

/// Clones of the handle go to the threads.
#[derive(Debug)]
pub struct Threads<S>(Single<S>);

impl<S> Threads<S> {
    /// Fills the subject.
    pub fn new<K: Plain, V: Plain>(subject: S, keys: &Keys<K, V>) -> Self
    where
        S: Subject<K, V>,
    {
        Threads(Single::new(subject, keys))
    }
}

impl<K: Plain, V: Plain, S: Subject<K, V> + Clone + Send + Debug> Runner<K, V> for Threads<S> {
    fn solo(&mut self, workload: Workload, keys: &Keys<K, V>, span: Span) -> Option<Slice> {
        self.0.solo(workload, keys, span)
    }

    fn crew(&mut self, crew: Crew, keys: &Keys<K, V>, span: Span) -> Option<f64> {
        // Made before the clock runs.
        keys.zipf();
        let barrier = Barrier::new(crew.workers);
        let slices: Vec<Slice> = thread::scope(|scope| {
            let threads: Vec<_> = (0..crew.workers)
                .map(|worker| {
                    let mut subject = self.0.subject.clone();
                    let start = worker_start(keys, span, worker, crew.workers);
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        workload::mix(&mut subject, crew.writes, keys, Span { start, ..span })
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a worker finishes"))
                .collect()
        });
        Some(slices.into_iter().map(Slice::mops).sum())
    }

    fn footprint(&self) -> Option<u64> {
        Runner::<K, V>::footprint(&self.0)
    }
}
