//! Running a model, and demanding that it explored something.

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::sys::sync;

/// Preemptions that a schedule may contain, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

/// A thread of a model: what it did becomes part of the outcome.
pub(crate) type Role = Box<dyn FnOnce() -> String>;

/// Boxes a role.
pub(crate) fn role(f: impl FnOnce() -> String + 'static) -> Role {
    Box::new(f)
}

/// Runs the roles as threads that are started beginning with number `turn`, and gives what
/// they did in the order in which they are written down.
pub(crate) fn race<const N: usize>(turn: usize, roles: [Role; N]) -> String {
    let mut roles = roles.map(Some);
    let mut threads: [_; N] = std::array::from_fn(|_| None);
    for start in 0..N {
        let number = (start + turn) % N;
        threads[number] = roles[number].take().map(loom::thread::spawn);
    }
    let done = threads.map(|thread| {
        thread
            .and_then(|thread| thread.join().ok())
            .expect("every thread was started, and a panic ends the model")
    });
    done.join(" ")
}

/// Explores the variants `0..variants` of a model (at least: each rotation of the order in which
/// its threads start), and checks that there were `least` executions or more in total, and
/// exactly the `expected` outcomes.
pub(crate) fn explore(
    variants: usize,
    least: usize,
    expected: &[&str],
    model: impl Fn(usize) -> String + Send + Sync + 'static,
) {
    explore_within(PREEMPTIONS, variants, least, expected, model);
}

/// The same with another bound of preemptions, for models whose schedules are long.
pub(crate) fn explore_within(
    preemptions: usize,
    variants: usize,
    least: usize,
    expected: &[&str],
    model: impl Fn(usize) -> String + Send + Sync + 'static,
) {
    let executions = Arc::new(AtomicUsize::new(0));
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let model = Arc::new(model);
    let started = std::time::Instant::now();
    let explored = catch_unwind(AssertUnwindSafe(|| {
        for variant in 0..variants {
            let (executions, outcomes, model) =
                (executions.clone(), outcomes.clone(), model.clone());
            builder(preemptions).check(move || {
                executions.fetch_add(1, Ordering::Relaxed);
                sync::begin_execution();
                let outcome = model(variant);
                outcomes
                    .lock()
                    .expect("no panic while the lock is held")
                    .insert(outcome);
            });
        }
    }));
    sync::end_of_model();
    let executions = executions.load(Ordering::Relaxed);
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let outcomes: Vec<String> = match outcomes.lock() {
        Ok(outcomes) => outcomes.iter().cloned().collect(),
        Err(_) => Vec::new(),
    };
    let liveness = match &explored {
        Ok(()) if outcomes == expected => "passed",
        _ => "failed",
    };
    let line = format!("model {name} {liveness} after {executions} executions");
    if std::env::var_os("SHMKV_MODEL_EXIT").is_some() {
        // `cargo xtask mutants` wants to know no more than this, and a mutant is not killed by
        // being explored in fewer executions. (Not by `println!`, whose output would be kept
        // until the test is over.)
        if liveness == "failed" {
            let _ = writeln!(std::io::stdout(), "\n{line}");
            std::process::exit(1);
        }
        return;
    }
    println!("{line}");
    println!("  {:.1?}, outcomes {outcomes:?}", started.elapsed());
    if let Err(panic) = explored {
        resume_unwind(panic);
    }
    assert_eq!(
        outcomes, expected,
        "the outcomes that must be seen, and no others"
    );
    assert!(
        executions >= least,
        "{executions} executions, {least} are the least"
    );
}

fn builder(preemptions: usize) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    builder
}
