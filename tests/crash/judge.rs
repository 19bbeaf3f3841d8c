//! Looking at what a death has left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use shmkv::Map;
use shmkv::check::Problem;

use super::stage::{Scenario, Stage, Val, WRITE_LIMIT};

/// What became of a scenario.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) instructions: usize,
    pub(crate) at_work: usize,
    pub(crate) states: usize,
    pub(crate) real_kills: usize,
    pub(crate) slowest_read: Duration,
    pub(crate) slowest_write: Duration,
    /// Judgements that were made again, since a write took its time.
    pub(crate) again: usize,
    pub(crate) repaired: u64,
}

/// What is wrong.
pub(crate) enum Wrong {
    /// A write took longer than it may. On a machine that does other things as well, this may
    /// be the machine's fault.
    Slow(Duration),
    Fault(String),
}

impl<V: Val> Stage<V> {
    /// Looks at the segment as it lies there, after the death of whoever worked on it.
    pub(crate) fn judge(
        &self,
        scenario: &Scenario<V>,
        write_first: bool,
        tally: &mut Tally,
    ) -> Result<(), Wrong> {
        let fault = |what: String| Err(Wrong::Fault(what));
        let fail = |what: &str, error: &dyn std::fmt::Display| {
            Err(Wrong::Fault(format!("{what}: {error}")))
        };
        let mut now = scenario.before.clone();
        let reader = Map::<u64, V>::builder()
            .open_read_only(self.segment.clone())
            .unwrap();
        let mut universe: BTreeSet<u64> = scenario.before.keys().copied().collect();
        universe.extend(scenario.after.keys());
        for key in &universe {
            let started = Instant::now();
            let found = match reader.get(key) {
                Ok(found) => found,
                Err(error) => return fail("get", &error),
            };
            tally.slowest_read = tally.slowest_read.max(started.elapsed());
            let old = scenario.before.get(key).copied();
            let new = scenario.after.get(key).copied().unwrap_or(old);
            if found != old && found != new {
                return fault(format!(
                    "key {key} reads {found:?}, was {old:?}, may be {new:?}"
                ));
            }
            match found {
                Some(value) => now.insert(*key, value),
                None => now.remove(key),
            };
        }
        let iterated: Vec<(u64, V)> = match reader.iter().collect() {
            Ok(iterated) => iterated,
            Err(error) => return fail("iter", &error),
        };
        let as_map: BTreeMap<u64, V> = iterated.iter().copied().collect();
        if as_map != now || iterated.len() != now.len() {
            return fault(format!("iterated {iterated:?}, single reads {now:?}"));
        }
        let seen = reader.check();
        if !seen.is_sound() {
            return fail("before anybody came", &seen);
        }

        let writer = self.open();
        let mut write = |now: &mut BTreeMap<u64, V>| {
            for (number, key) in [scenario.key, scenario.neighbour].into_iter().enumerate() {
                let value = V::of(1 << 40 | number as u64);
                let started = Instant::now();
                let previous = match writer.insert(key, value) {
                    Ok(previous) => previous,
                    Err(error) => return fail("insert", &error),
                };
                let elapsed = started.elapsed();
                if elapsed > WRITE_LIMIT {
                    return Err(Wrong::Slow(elapsed));
                }
                tally.slowest_write = tally.slowest_write.max(elapsed);
                let expected = now.insert(key, value);
                if previous != expected {
                    return fault(format!(
                        "insert of {key} replaced {previous:?}, {expected:?} was there"
                    ));
                }
            }
            Ok(())
        };
        if write_first {
            write(&mut now)?;
        }
        let recovery = match writer.recover() {
            Ok(recovery) => recovery,
            Err(error) => return fail("recover", &error),
        };
        if recovery.busy + recovery.postponed != 0 {
            return fail("recover", &recovery);
        }
        tally.repaired += recovery.deduplicated;
        if !write_first {
            write(&mut now)?;
        }
        let check = writer.check();
        let is_note = |problem: &Problem| matches!(problem, Problem::CountTooHigh { .. });
        if !check.problems.iter().all(is_note) || !check.is_quiet {
            return fail("after the recovery", &check);
        }
        if self.bytes.locks().iter().any(|lock| *lock != 0) {
            return fault(format!("lock words are left: {:x?}", self.bytes.locks()));
        }
        let after: BTreeMap<u64, V> = match writer.iter().collect() {
            Ok(entries) => entries,
            Err(error) => return fail("iter afterwards", &error),
        };
        if after != now || writer.len() != now.len() {
            return fault(format!("{after:?} is left, expected {now:?}"));
        }
        let strangers = |map: &Map<u64, V>| {
            let all = map.participants();
            all.into_iter().find(|found| !found.is_self)
        };
        if let Some(leaked) = strangers(&writer) {
            return fail("a participant slot is leaked", &leaked.owner);
        }
        drop(writer);
        match strangers(&self.open()) {
            Some(leaked) => fail("our own participant slot is leaked", &leaked.owner),
            None => Ok(()),
        }
    }
}
