//! Breaks the protocol in a hundred ways and shows that its models notice.
//!
//! # A mutant
//!
//! is a list of exact replacements in the sources, written down in `tests/mutants/*.txt` (the
//! format is explained in `list.rs`). Each must match exactly once, else nothing is run: a
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

mod list;
mod run;
mod splice;

use std::path::PathBuf;
use std::process::exit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use list::Mutant;
use run::{Noticed, Program};

/// Ends with status 2: nothing was shown.
fn fail(message: &str) -> ! {
    eprintln!("mutants: {message}");
    exit(2)
}

/// What is asked for.
#[derive(Default)]
struct Request {
    quick: bool,
    check: bool,
    patterns: Vec<String>,
}

impl Request {
    fn selects(&self, mutant: &Mutant) -> bool {
        if self.quick {
            return mutant.quick;
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

fn main() {
    let mut arguments = std::env::args().skip(1);
    let target = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| fail("run tests/mutants.sh")),
    );
    let mut request = Request::default();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => request.quick = true,
            "--check" => request.check = true,
            option if option.starts_with('-') => fail(&format!("there is no option {option}")),
            _ => request.patterns.push(argument),
        }
    }
    let lists = list::read("tests/mutants").unwrap_or_else(|error| fail(&error));
    let mutants: Vec<Mutant> = (lists.mutants.into_iter())
        .filter(|mutant| request.selects(mutant))
        .collect();
    if mutants.is_empty() {
        fail("no mutant has such a name");
    }
    let program =
        Program::build(&target, &lists.helpers, &mutants).unwrap_or_else(|error| fail(&error));
    if request.check {
        println!("{} mutants apply and compile", mutants.len());
        return;
    }

    // A model that fails anyway notices every mutant.
    let all = request.patterns.is_empty() && !request.quick;
    let killers: Vec<String> = match all {
        true => Vec::new(),
        false => mutants
            .iter()
            .flat_map(|mutant| mutant.killers.clone())
            .collect(),
    };
    if let Some(noticed) = program.run(0, &killers) {
        eprintln!("{}", noticed.log);
        fail("the models fail without any mutant");
    }

    println!(
        "{:<11} {:<66} {:<74} executions",
        "file", "mutant", "killed by"
    );
    let next = AtomicUsize::new(0);
    let verdicts: Mutex<Vec<Option<Verdict>>> = Mutex::new(mutants.iter().map(|_| None).collect());
    let printed = Mutex::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(index) else {
                        return;
                    };
                    let verdict = judge(&program, index, mutant);
                    verdicts.lock().expect("no panic")[index] = Some(verdict);
                    print_what_is_known(&mutants, &verdicts, &printed);
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
    exit(i32::from(survived > 0));
}

/// First the tests that are known to notice, then all of them.
fn judge(program: &Program, index: usize, mutant: &Mutant) -> Verdict {
    let number = index + 1;
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
    mutants: &[Mutant],
    verdicts: &Mutex<Vec<Option<Verdict>>>,
    printed: &Mutex<usize>,
) {
    let mut printed = printed.lock().expect("no panic");
    let verdicts = verdicts.lock().expect("no panic");
    while let Some(Some(verdict)) = verdicts.get(*printed) {
        let mutant = &mutants[*printed];
        let (by, executions) = match verdict {
            Verdict::Killed(noticed) => (noticed.by.as_str(), noticed.executions.as_str()),
            Verdict::Equivalent => ("- (argued equivalent)", "-"),
            Verdict::Survived => ("- SURVIVED", "-"),
        };
        let file = mutant.file.trim_start_matches("src/");
        println!("{file:<11} {:<66} {by:<74} {executions}", mutant.name);
        *printed += 1;
    }
}
