//! A process that dies at any instruction of any operation, and nobody else notices.
//!
//! For each operation a child is stepped through it by ptrace, one instruction at a time. While it
//! holds something that others could wait for (the lock of a bucket, a participant slot that is
//! claimed and not filled in yet) it is really killed, by SIGKILL, after *every single
//! instruction*: one child for each, and a few more before and behind. Each death is then judged.
//! (In the short form that is so for all operations on one entry, a thousand instructions at most; in
//! longer ones strides are taken, see below.)
//!
//! Everywhere else in an operation nothing of the segment changes, but for single stores (a slot
//! that is given back). There, *every* state of the segment that there was is put back and judged
//! as what a crash at that instruction leaves behind. That is the same as a kill there, because all
//! that a dead process leaves to others is
//!
//! - the bytes of the segment: copied after the instruction. Instructions between two
//!   changes of the bytes leave the same bytes, so one judgement serves for all of them;
//! - its lock on a byte of the file: gone with the process, in both cases;
//! - its process id: that of a process that is dead and reaped, in both cases;
//!
//! and because a single step retires the store buffer as a kill does: stores of a dead process
//! reach memory in the order of the program.
//!
//! Each judgement opens the segment anew, reads all keys (old or new value, whole; nothing
//! else touched), writes the key of the operation and another one of its bucket, lets
//! `recover` and `check` look at everything, and demands that no lock, no copy and no
//! participant slot is left over. Every other judgement recovers first and writes later.
//!
//! Each write must return within 50 ms by the clock. A machine that is busy with other things
//! can hold a process up for longer, whatever the process does; so a judgement that was too slow is
//! repeated, from a new death at the same instruction, and only one that is too slow five
//! times in a row is wrong. A take-over that really had to wait for something would wait each
//! time, since what it finds is each time the same. The number of repetitions is printed.
//!
//! The short form takes strides through operations that hold something for longer, about two dozen
//! kills each (fewer where a taker asks whether others live, which takes a hundred thousand
//! instructions), and tries chains of takers that die with one type of values only; `SHMKV_LONG=1`
//! kills after every instruction of all of them, hours long. A name, or a part of it, chooses among
//! the operations: `cargo test --test crash_every_instruction -- 'displacement, primary'`.
//!
//! # What else is shown here, and by which of the tests
//!
//! - [`stopped`]: a process that is *stopped* at any of these instructions loses no lock, and what
//!   others do meanwhile and it does afterwards has one order.
//! - [`takeovers`]: a taker that comes late gives back what it cannot repair.
//!
//! Broken on purpose, one at a time, this is what fails:
//!
//! | mutant | what fails |
//! |--------|------------|
//! | a writer steals the lock at its deadline, from live processes too | [`stopped`]: a live process lost its lock |
//! | publish before the words are written | the kills in "insert, replace": a key is missing, or torn |
//! | unlock before publishing | [`stopped`]: no order explains the results |
//! | no repair of what a displacement left twice | the kills in "recover after displacement", and that `recover` finds nothing to repair |
//! | a repair that unlocks instead of giving back | [`takeovers`]: an entry is in two unlocked buckets |

#![cfg(target_os = "linux")]

#[path = "crash/bytes.rs"]
#[allow(dead_code, reason = "shared with the storm, which uses more of it")]
mod bytes;
#[path = "crash/caching.rs"]
mod caching;
#[path = "crash/creation.rs"]
mod creation;
#[path = "crash/judge.rs"]
mod judge;
#[path = "crash/record.rs"]
mod record;
#[path = "crash/scenarios.rs"]
mod scenarios;
#[path = "crash/stage.rs"]
mod stage;
#[path = "crash/stopped.rs"]
mod stopped;
#[path = "crash/takeovers.rs"]
mod takeovers;
#[path = "crash/trace.rs"]
mod trace;

use std::time::Instant;

use bytes::Image;
use judge::{Tally, Wrong};
use record::{MARGIN, Recording};
use stage::{Scenario, Stage, Val};
use trace::Child;

/// Instructions with something held of which each is killed at in the short form too.
const SHORT_REGION: usize = 1000;

/// Kills of one operation of more than these in the short form, about.
const SHORT_KILLS: usize = 24;

/// Steps on the way to the kills of one operation in the short form, about.
const SHORT_STEPS: usize = 10_000;

/// How often a judgement may be too slow before it is wrong.
const SLOW: usize = 5;

fn is_long() -> bool {
    std::env::var_os("SHMKV_LONG").is_some_and(|value| value == "1")
}

/// Asks to be scheduled before others, where that is permitted: each step waits twice for a turn,
/// and on a busy machine hundreds of thousands of turns are minutes.
fn be_quick() {
    // Not by `nice`, which counts among the processes of one session only.
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: a plain system call; a refusal changes nothing.
    #[expect(unsafe_code, reason = "sched_setscheduler")]
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_RR, &priority);
    }
}

/// What was done altogether.
#[derive(Default)]
struct Sums {
    instructions: usize,
    at_work: usize,
    states: usize,
    real_kills: usize,
    again: usize,
}

impl Sums {
    fn add(&mut self, name: &str, tally: &Tally) {
        println!(
            "{name:<62} {:>8} {:>7} {:>7} {:>7} {:>9.2?} {:>9.2?} {:>4} {:>4}",
            tally.instructions,
            tally.at_work,
            tally.real_kills,
            tally.states,
            tally.slowest_read,
            tally.slowest_write,
            tally.repaired,
            tally.again,
        );
        self.instructions += tally.instructions;
        self.at_work += tally.at_work;
        self.states += tally.states;
        self.real_kills += tally.real_kills;
        self.again += tally.again;
    }
}

/// Judges what `die` leaves; again, from a new death, if the machine was slow.
fn judge_with_retries<V: Val>(
    stage: &Stage<V>,
    scenario: &Scenario<V>,
    write_first: bool,
    tally: &mut Tally,
    mut die: impl FnMut() -> String,
) {
    for attempt in 1.. {
        let place = die();
        match stage.judge(scenario, write_first, tally) {
            Ok(()) => return,
            Err(Wrong::Fault(wrong)) => panic!("{}, {place}: {wrong}", scenario.name),
            Err(Wrong::Slow(elapsed)) if attempt == SLOW => {
                panic!(
                    "{}, {place}: a write took {elapsed:?}, each time",
                    scenario.name
                )
            }
            Err(Wrong::Slow(_)) => tally.again += 1,
        }
    }
}

fn kill_everywhere<V: Val>(
    stage: &Stage<V>,
    scenario: &Scenario<V>,
    recording: &Recording,
) -> Tally {
    let Recording {
        states,
        instructions,
        regions,
        ..
    } = recording;
    let mut tally = Tally {
        instructions: *instructions,
        at_work: regions.iter().map(|region| region.len).sum(),
        states: states.len(),
        ..Tally::default()
    };
    for (number, (step, state)) in states.iter().enumerate() {
        judge_with_retries(stage, scenario, number % 2 == 0, &mut tally, || {
            stage.bytes.restore(state);
            format!("after instruction {step}")
        });
    }
    // Who asks whether another one lives, with a lock in its hands, takes a hundred thousand steps.
    let way = tally.at_work / regions.len().max(1) / 2;
    let kills = (SHORT_STEPS / way.max(1)).clamp(4, SHORT_KILLS);
    let stride = match is_long() || tally.at_work <= SHORT_REGION {
        true => 1,
        false => tally.at_work.div_ceil(kills).max(1),
    };
    let inside = regions
        .iter()
        .flat_map(|region| (0..region.len + MARGIN).map(move |step| (region, step)));
    let mut number = 0;
    // Strides begin at different places of the regions.
    for (region, step) in inside.step_by(stride) {
        judge_with_retries(stage, scenario, number % 2 == 0, &mut tally, || {
            stage.child_inside(scenario, recording, region, step).kill();
            format!("killed {step} instructions into {region:?}")
        });
        number += 1;
    }
    // Before the first of them, at single stores outside of them, and at the very end.
    let mut others: Vec<usize> = states
        .iter()
        .flat_map(|(step, _)| [step.saturating_sub(1), *step])
        .chain(regions.iter().map(|region| region.start - 1))
        .filter(|step| {
            let is_inside = |region: &record::Region| {
                (region.start..region.start + region.len + MARGIN).contains(step)
            };
            !regions.iter().any(is_inside)
        })
        .chain([1, *instructions])
        .chain(0..if regions.is_empty() { *instructions } else { 0 })
        .collect();
    others.sort_unstable();
    others.dedup();
    let stride = match is_long() {
        true => 1,
        false => others.len().div_ceil(24).max(1),
    };
    for step in others.into_iter().step_by(stride) {
        judge_with_retries(stage, scenario, number % 2 == 0, &mut tally, || {
            stage.child_at(scenario, recording, step).kill();
            format!("killed after instruction {step}")
        });
        number += 1;
    }
    tally.real_kills = number;
    tally
}

/// Judges the deaths of one operation, if it is wanted; returns its states.
fn run<V: Val>(
    stage: &Stage<V>,
    scenario: &Scenario<V>,
    filter: &str,
    sums: &mut Sums,
) -> Vec<(usize, Image)> {
    let recording = stage.record(scenario);
    if scenario.name.contains(filter) {
        sums.add(
            &scenario.name,
            &kill_everywhere(stage, scenario, &recording),
        );
    }
    recording.states
}

fn all_of<V: Val>(stage: &Stage<V>, filter: &str, is_thorough: bool, sums: &mut Sums) {
    let registration = scenarios::full_registration(stage);
    for scenario in scenarios::single_entry(stage).iter().chain([&registration]) {
        if scenario.name.contains(filter) {
            run(stage, scenario, filter, sums);
        }
    }
    for mover in scenarios::displacements(stage) {
        let prefixes = [
            "",
            "recover after ",
            "insert after ",
            "second taker: insert after ",
        ];
        let names = prefixes.map(|prefix| format!("{prefix}{}", mover.name));
        if !names.iter().any(|name| name.contains(filter)) {
            continue;
        }
        let states = run(stage, &mover, filter, sums);
        let is_thorough =
            is_long() || is_thorough && mover.name.starts_with("displacement, secondary");
        for taker in scenarios::recoveries(stage, &mover, states, u32::from(is_thorough)) {
            let states = run(stage, &taker, filter, sums);
            if is_thorough && taker.name.starts_with("insert") {
                for second in scenarios::second_recoveries(stage, &taker, states) {
                    if second.name.contains(filter) {
                        run(stage, &second, filter, sums);
                    }
                }
            }
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let is_name = |argument: &&String| !argument.starts_with('-');
    let filter = arguments.iter().find(is_name).cloned().unwrap_or_default();
    if let Err(error) = Child::fork(|| (), |()| ()) {
        println!("skipped: processes cannot be traced here: {error}");
        return;
    }
    be_quick();
    let started = Instant::now();
    println!(
        "{:<62} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9} {:>4} {:>4}",
        "killed after every instruction of",
        "steps",
        "at work",
        "killed",
        "states",
        "read",
        "write",
        "rep.",
        "slow"
    );
    let mut sums = Sums::default();
    {
        let stage = Stage::<[u64; 4]>::new("wide");
        all_of(&stage, &filter, true, &mut sums);
        if "stopped".contains(&filter) {
            stopped::all(&stage);
        }
        if "takeovers".contains(&filter) {
            takeovers::late_taker_gives_back_what_another_death_left(&stage);
        }
    }
    {
        let stage = Stage::<u64>::new("word");
        all_of(&stage, &filter, false, &mut sums);
        for scenario in scenarios::additions(&stage) {
            run(&stage, &scenario, &filter, &mut sums);
        }
        if "stopped".contains(&filter) {
            stopped::all(&stage);
            stopped::additions(&stage);
        }
    }
    caching::all(&filter, &mut sums);
    creation::all(&filter, &mut sums);
    println!(
        "{} instructions stepped through, {} of them with something held; {} real kills, {} states of the segment \
         judged ({} again, since the machine was slow): nothing lost, nothing torn, nothing \
         stuck, no slot leaked; {:.1?}",
        sums.instructions,
        sums.at_work,
        sums.real_kills,
        sums.states,
        sums.again,
        started.elapsed()
    );
}
