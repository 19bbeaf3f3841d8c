//! Breaks the protocol in a hundred ways and shows that its models notice.
//!
//! # A mutant
//!
//! is a list of exact replacements in the sources, written down in `tests/mutants/*.txt` (the
//! format is explained in `xtask/src/list.rs`). Each must match exactly once, else nothing is run: a
//! mutant that no longer applies shows nothing.
//!
//! # All of them in one build
//!
//! Compiling the models takes longer than most mutants live, so all are compiled at once. A
//! mutant may change the bodies of functions and nothing else; in a copy of the sources, the body
//! `B` of a function that mutants 3 and 8 change becomes
//!
//! ```text
//! match crate::mutant() { 3 => { B3 } 8 => { B8 } _ => { B } }
//! ```
//!
//! and the test program is run once for each mutant with `SHMKV_MUTANT` set to its number. The
//! copy is a package of its own below `target/`: nothing of this is ever part of the library.
//!
//! With `--real` the copy is the whole library, and the test program is `tests/linearizability.rs`:
//! real processes on this machine, instead of models. It runs mutants that are marked `real`, which
//! are those that need neither a memory model weaker than this machine's, nor a moment too rare for
//! a few seconds.
//!
//! For each mutant: what noticed it, and after how many executions of the model. The last line is
//! "N mutants, K killed, E argued equivalent, S survived". Exit status 0 only if S is 0, 1 if not, 2
//! if nothing was shown: a mutant that no longer applies, or does not compile.

mod run;
mod splice;

use std::path::Path;
use std::process::exit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::list::{self, Mutant};
use run::{Kind, Noticed, Program};

/// Where the lists are.
pub(crate) const LISTS: &str = "tests/mutants";

/// Ends with status 2: nothing was shown.
fn fail(message: &str) -> ! {
    eprintln!("mutants: {message}");
    exit(2)
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// A fixed handful: about two minutes
    #[arg(long)]
    quick: bool,
    /// Only whether all of them apply and compile
    #[arg(long)]
    check: bool,
    /// Some of them in the library, with real processes instead of models
    #[arg(long)]
    real: bool,
    /// Without those that are argued equivalent: nothing notices them, so all models run against each
    #[arg(long)]
    killable: bool,
    /// Do not first run the tests without any mutant
    #[arg(long)]
    no_baseline: bool,
    /// Those whose "file: name" contains the text
    patterns: Vec<String>,
}

impl Request {
    fn selects(&self, mutant: &Mutant) -> bool {
        let is_argued = !mutant.argument.is_empty();
        if (self.quick && !mutant.quick)
            || (self.real && !mutant.real)
            || (self.killable && is_argued)
        {
            return false;
        }
        let name = format!("{}: {}", mutant.file, mutant.name);
        self.patterns.is_empty() || self.patterns.iter().any(|part| name.contains(part))
    }
}

enum Verdict {
    Killed(Noticed),
    Equivalent,
    Survived,
}

/// Runs what is asked for, with copies and builds below `target`. Says whether none survived.
pub(crate) fn run(target: &Path, request: &Request) -> bool {
    let lists = list::read(LISTS).unwrap_or_else(|error| fail(&error));
    let kind = if request.real {
        Kind::Real
    } else {
        Kind::Models
    };
    let program = Program::build(kind, target, &lists).unwrap_or_else(|error| fail(&error));
    if request.check {
        println!("{} mutants apply and compile", lists.mutants.len());
        return true;
    }
    // The number of a mutant is its place in the lists, whichever are asked for.
    let mutants: Vec<(usize, Mutant)> = (1..)
        .zip(lists.mutants)
        .filter(|(_, mutant)| request.selects(mutant))
        .collect();
    if mutants.is_empty() {
        fail("no mutant has such a name");
    }

    let all = request.patterns.is_empty() && !request.quick && !request.killable;
    let killers: Vec<String> = match all {
        true => Vec::new(),
        false => (mutants
            .iter()
            .flat_map(|(_, mutant)| mutant.killers.clone()))
        .collect(),
    };
    println!(
        "{:<28} {:<68} {:<74} executions",
        "file", "mutant", "killed by"
    );
    let no_baseline = request.no_baseline;
    let next = AtomicUsize::new(0);
    let verdicts: Mutex<Vec<Option<Verdict>>> = Mutex::new(mutants.iter().map(|_| None).collect());
    let printed = Mutex::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers.max(2) {
            let (program, mutants, killers) = (&program, &mutants, &killers);
            let (next, verdicts, printed) = (&next, &verdicts, &printed);
            scope.spawn(move || {
                // A model that fails anyway notices every mutant.
                if worker == 0
                    && !no_baseline
                    && let Some(noticed) = program.run(0, killers)
                {
                    eprintln!("{}", noticed.log);
                    fail("the tests fail without any mutant");
                }
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((number, mutant)) = mutants.get(index) else {
                        return;
                    };
                    let verdict = judge(program, *number, mutant);
                    verdicts.lock().expect("no panic")[index] = Some(verdict);
                    print_what_is_known(mutants, verdicts, printed);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().expect("no panic");
    let count =
        |which: fn(&Verdict) -> bool| verdicts.iter().flatten().filter(|v| which(v)).count();
    let survived = count(|verdict| matches!(verdict, Verdict::Survived));
    println!(
        "{} mutants, {} killed, {} argued equivalent, {survived} survived",
        mutants.len(),
        count(|verdict| matches!(verdict, Verdict::Killed(_))),
        count(|verdict| matches!(verdict, Verdict::Equivalent)),
    );
    survived == 0
}

/// First the tests that are known to notice, then all of them.
fn judge(program: &Program, number: usize, mutant: &Mutant) -> Verdict {
    let noticed = (!mutant.killers.is_empty())
        .then(|| program.run(number, &mutant.killers))
        .flatten();
    match noticed.or_else(|| program.run(number, &[])) {
        Some(noticed) => Verdict::Killed(noticed),
        None if mutant.argument.is_empty() => Verdict::Survived,
        None => Verdict::Equivalent,
    }
}

/// Prints the verdicts in the order of the lists, as far as they have come in.
fn print_what_is_known(
    mutants: &[(usize, Mutant)],
    verdicts: &Mutex<Vec<Option<Verdict>>>,
    printed: &Mutex<usize>,
) {
    let mut printed = printed.lock().expect("no panic");
    let verdicts = verdicts.lock().expect("no panic");
    while let Some(Some(verdict)) = verdicts.get(*printed) {
        let (_, mutant) = &mutants[*printed];
        let (by, executions) = match verdict {
            Verdict::Killed(noticed) => (noticed.by.as_str(), noticed.executions.as_str()),
            Verdict::Equivalent => ("- (argued equivalent)", "-"),
            Verdict::Survived => ("- SURVIVED", "-"),
        };
        let file = mutant.file.trim_start_matches("src/");
        println!("{file:<28} {:<68} {by:<74} {executions}", mutant.name);
        *printed += 1;
    }
}
