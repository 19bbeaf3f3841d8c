//! What `check` finds, what of it counts, and what to do next. `repair` asks the same at its end.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use shmkv::check::{CheckReport as Checked, Problem, Severity};
use shmkv::dynamic::HeldLock;
use shmkv::process::Liveness as Life;
use shmkv::{ReadOnlyDynMap, Segment};

use super::scan::{Seen, walk};
use crate::failure::{ExitStatus, Outcome};
use crate::process;
use crate::progress::Progress;

/// How often a lock is looked at whose owner nobody here can judge, before it is taken to be stuck.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) struct Findings {
    pub(super) checked: Checked,
    /// Locks of processes that ended without giving them back.
    pub(super) dead_locks: usize,
    /// Likewise slots of writers.
    pub(super) dead_writers: usize,
    /// Locks that stand still, of owners that cannot be judged from here.
    pub(super) stuck: Vec<HeldLock>,
    /// Whether there are bytes that are no values of their types.
    pub(super) has_invalid_bytes: bool,
}

impl Findings {
    /// Looks the segment over.
    pub(super) fn look(map: &ReadOnlyDynMap, what: &'static str) -> Outcome<Self> {
        let checked = map.check();
        let (mut dead_locks, mut unknown) = (0, Vec::new());
        for problem in &checked.problems {
            if let Problem::Locked { bucket, owner } = problem {
                match owner.liveness() {
                    Life::Dead => dead_locks += 1,
                    Life::Unknown => unknown.push(*bucket),
                    Life::Alive => {}
                }
            }
        }
        let participants = map.participants();
        let dead = participants
            .iter()
            .filter(|writer| writer.owner.liveness() == Life::Dead);
        let progress = Progress::new(what, Some(map.header().buckets()));
        let walked = walk(map, None, Some(&progress), |_| Ok(Seen::Counts))?;
        Ok(Self {
            checked,
            dead_locks,
            dead_writers: dead.count(),
            stuck: stuck(map, &unknown),
            has_invalid_bytes: walked == ExitStatus::Found,
        })
    }

    /// Whether nothing is wrong. What dead processes have left is everyday: the next writer takes
    /// it over.
    pub(super) fn is_sound(&self) -> bool {
        self.checked.is_sound() && self.stuck.is_empty() && !self.has_invalid_bytes
    }

    /// Lines about what the check of the library does not tell.
    pub(super) fn remarks(&self) -> String {
        let mut text = String::new();
        let (slots, locks) = (self.dead_writers, self.dead_locks);
        if slots + locks > 0 {
            text += &format!(
                "note: dead writers have left {slots} slots and {locks} locks; the next writers \
                 take them over,\nor `shmkv repair` does it now\n"
            );
        }
        for lock in &self.stuck {
            text += &format!(
                "serious: bucket {} stays locked by {}, and nobody here can tell whether it \
                 lives\n",
                lock.bucket,
                process::who(&lock.owner)
            );
        }
        text
    }

    /// What is wrong, a line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let serious = |problem: &&Problem| problem.severity() == Severity::Error;
        let problems = self.checked.problems.iter().filter(serious);
        let mut faults: Vec<String> = problems.map(ToString::to_string).collect();
        if self.has_invalid_bytes {
            faults.push("there are bytes that are no values of their types".to_owned());
        }
        faults.extend(self.stuck.iter().map(|lock| {
            let owner = process::who(&lock.owner);
            format!("bucket {} stays locked by {owner}", lock.bucket)
        }));
        faults
    }

    /// What to do about it.
    pub(super) fn next_steps(&self, segment: &Segment, is_after_repair: bool) -> Vec<String> {
        let mut steps = Vec::new();
        let is_tag = |problem: &Problem| matches!(problem, Problem::WrongTag { .. });
        let is_curable = |problem: &Problem| {
            matches!(
                problem,
                Problem::WrongTag { .. } | Problem::CountTooLow { .. }
            )
        };
        let serious = |problem: &&Problem| problem.severity() == Severity::Error;
        let problems = || self.checked.problems.iter().filter(serious);
        if !is_after_repair && (self.has_invalid_bytes || problems().any(is_curable)) {
            steps.push(format!(
                "`shmkv repair {segment}` removes what is no value, and puts tags and counts right"
            ));
        }
        if is_after_repair && problems().any(is_tag) {
            steps.push(format!(
                "`shmkv repair --trust-keys {segment}` if the keys that `shmkv keys` shows are right"
            ));
        }
        if problems().any(|problem| is_after_repair || !is_curable(problem)) {
            steps.push(format!(
                "`shmkv cp {segment} NEW` copies each entry that is there into a sound segment; \
                 those of damaged\nkeys as they are, so look at them"
            ));
        }
        if is_after_repair && self.has_invalid_bytes {
            steps.push(format!(
                "`shmkv repair {segment}` again: others write such bytes"
            ));
        }
        if !self.stuck.is_empty() {
            steps.push(
                "a writer of the same pid namespace takes the stuck lock over, if its owner is dead"
                    .to_owned(),
            );
        }
        steps
    }

    pub(super) fn to_json(&self, segment: &Segment, is_after_repair: bool) -> Value {
        let checked = &self.checked;
        let stuck: Vec<Value> = self
            .stuck
            .iter()
            .map(|lock| json!({"bucket": lock.bucket, "owner": lock.owner.to_string()}))
            .collect();
        let problem = |problem: &Problem| json!({"severity": problem.severity().to_string(), "problem": problem.to_string()});
        let problems: Vec<Value> = checked.problems.iter().map(problem).collect();
        json!({
            "segment": segment.to_string(),
            "sound": self.is_sound(),
            "buckets": checked.buckets,
            "entries": checked.entries,
            "overflow": checked.overflow,
            "quiet": checked.is_quiet,
            "errors": checked.errors,
            "warnings": checked.warnings,
            "dead_locks": self.dead_locks,
            "dead_writers": self.dead_writers,
            "stuck_locks": stuck,
            "invalid": self.has_invalid_bytes,
            "problems": problems,
            "next": self.next_steps(segment, is_after_repair),
        })
    }
}

/// Those of the locks that stand still: held by the same owner each time, and nothing published.
fn stuck(map: &ReadOnlyDynMap, buckets: &[u64]) -> Vec<HeldLock> {
    if buckets.is_empty() {
        return Vec::new();
    }
    let mut stuck = map.locks_of(buckets);
    for _ in 1..LOOKS {
        thread::sleep(BETWEEN_LOOKS);
        let now = map.locks_of(buckets);
        let is_same = |one: &HeldLock, other: &HeldLock| {
            let key = |lock: &HeldLock| {
                let owner = &lock.owner;
                (lock.bucket, lock.stamp, owner.slot(), owner.generation())
            };
            key(one) == key(other)
        };
        stuck.retain(|lock| now.iter().any(|other| is_same(lock, other)));
    }
    stuck.retain(|lock| lock.owner.liveness() == Life::Unknown);
    stuck
}
