//! Histories: what several processes did with a map, written down with times, and whether there
//! is an order that explains all of it.
//!
//! Operations on one key are *linearizable* (Herlihy and Wing, 1990) if each can be given one moment
//! between its call and its return such that, one after the other in the order of these moments,
//! they have the results that were seen. Linearizability is local: a map is linearizable if each
//! key is, so keys are checked one by one.
//!
//! The checker is `porcupine-rs`, an implementation of Lowe's and Wing and Gong's search with
//! memory of what was tried. It wants short histories (its memory of one step is as long as the
//! history), so the workers stop together every few thousand operations, and the value that a
//! key has then is where its next history begins. Of the others, `stateright` 0.31 has a tester
//! for histories that arise inside its own models (it takes events one after the other, no times,
//! and tries all orders without remembering any), and `lincheck` 0.2 makes its own scenarios
//! and runs them inside of an old loom, which has no processes and no memory that they share.

#![allow(dead_code, reason = "each test uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests")]

use std::collections::BTreeMap;

/// A value goes by its number; this is a negative entry.
pub const ABSENT: u64 = 0;
/// What was read is no value that anybody wrote.
pub const TORN: u64 = u64::MAX;

/// What was done, with what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Found this value.
    Get(u64),
    /// Found out whether there was one.
    Contains(bool),
    /// Put the first in the place of the second.
    Insert(u64, u64),
    /// Put this, because there was none.
    TryInsert(u64),
    /// Removed this.
    Remove(u64),
    /// Put the second in the place of the first.
    Exchanged(u64, u64),
    /// Did not find the first, but the second.
    NotExchanged(u64, u64),
    /// Added the first to the second.
    Add(u64, u64),
}

impl Done {
    /// The value after it, if the value before explains its result.
    pub fn after(self, before: u64) -> Option<u64> {
        let (is_explained, after) = match self {
            Self::Get(found) => (found == before, before),
            Self::Contains(found) => (found == (before != ABSENT), before),
            Self::Insert(new, found) => (found == before, new),
            Self::TryInsert(new) => (before == ABSENT, new),
            Self::Remove(found) => (found == before, ABSENT),
            Self::Exchanged(expected, new) => (before == expected && before != ABSENT, new),
            Self::NotExchanged(expected, found) => (
                found == before && (before == ABSENT || before != expected),
                before,
            ),
            Self::Add(more, found) => (found == before, before.wrapping_add(more)),
        };
        is_explained.then_some(after)
    }
}

/// An operation that has returned. Operations that were refused are not written down: they have
/// changed nothing, and say nothing.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub worker: u32,
    pub key: u64,
    pub done: Done,
    pub called_ns: u64,
    pub returned_ns: u64,
}

/// One key, for the checker.
#[derive(Clone, Debug)]
struct Key;

impl porcupine_rs::Model for Key {
    type State = u64;
    /// `Err` is the first operation of a history: it says what the value was at its beginning.
    type Op = Result<Done, u64>;
    type Metadata = ();

    fn init() -> u64 {
        ABSENT
    }

    fn step(state: &u64, op: &Self::Op) -> (bool, u64) {
        match op {
            Err(initial) => (true, *initial),
            Ok(done) => match done.after(*state) {
                Some(after) => (true, after),
                None => (false, *state),
            },
        }
    }
}

/// Whether an order explains all `operations` on a key that had the value `initial` before any of
/// them was called.
pub fn is_explained(initial: u64, operations: &[Operation]) -> bool {
    let begins = operations.iter().map(|operation| operation.called_ns).min();
    let first = porcupine_rs::Operation::<Key> {
        client_id: None,
        call_time: 0,
        // Times are compared with one another, and at equal times calls come first.
        return_time: 0,
        op: Err(initial),
        metadata: None,
    };
    let since = begins.unwrap_or(0);
    let rest = operations.iter().map(|operation| porcupine_rs::Operation {
        client_id: Some(operation.worker),
        call_time: (operation.called_ns - since) as i64 + 1,
        return_time: (operation.returned_ns - since) as i64 + 1,
        op: Ok(operation.done),
        metadata: None,
    });
    let history: Vec<_> = std::iter::once(first).chain(rest).collect();
    porcupine_rs::check_operations(&history)
}

/// A key whose history has no explanation.
#[derive(Debug)]
pub struct Violation {
    pub key: u64,
    pub initial: u64,
    /// As short as leaving operations out of it makes it: those that are left contradict each other.
    pub history: Vec<Operation>,
}

/// Checks a round: each key by itself, from the value that it had before (nothing, if it is not
/// named) on.
pub fn check(initial: &BTreeMap<u64, u64>, operations: &[Operation]) -> Result<(), Violation> {
    let mut by_key: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        by_key.entry(operation.key).or_default().push(*operation);
    }
    for (key, history) in by_key {
        let initial = initial.get(&key).copied().unwrap_or(ABSENT);
        if !is_explained(initial, &history) {
            return Err(Violation {
                key,
                initial,
                history: shorten(initial, history),
            });
        }
    }
    Ok(())
}

/// A prefix by time of return is as wrong as the whole as soon as the culprit has returned (what was
/// called before, and returned later, stays: it may have taken effect). The shortest one.
fn shorten(initial: u64, mut history: Vec<Operation>) -> Vec<Operation> {
    history.sort_by_key(|operation| operation.returned_ns);
    let prefix = |ends: usize| -> Vec<Operation> {
        let end = history[ends].returned_ns;
        let before = history
            .iter()
            .filter(|operation| operation.called_ns <= end);
        before.copied().collect()
    };
    let (mut good, mut bad) = (0, history.len() - 1);
    while good < bad {
        let middle = (good + bad) / 2;
        match is_explained(initial, &prefix(middle)) {
            true => good = middle + 1,
            false => bad = middle,
        }
    }
    let mut shortest = prefix(bad);
    shortest.sort_by_key(|operation| operation.called_ns);
    shortest
}

/// The checker, checked: it explains what can be explained, and nothing else.
pub fn checker_finds_what_is_wrong() {
    let operation = |done, called_ns, returned_ns| Operation {
        worker: 0,
        key: 0,
        done,
        called_ns,
        returned_ns,
    };
    let write = operation(Done::Insert(7, ABSENT), 10, 20);
    let late = operation(Done::Get(ABSENT), 30, 40);
    let early = operation(Done::Get(ABSENT), 15, 40);
    assert!(is_explained(ABSENT, &[write, early]));
    assert!(!is_explained(ABSENT, &[write, late]), "a false miss");
    assert!(!is_explained(5, &[write]), "replaced 5 without knowing");
    assert!(!is_explained(
        ABSENT,
        &[write, operation(Done::Get(TORN), 30, 40)]
    ));
    // Equal times are no order.
    let touching = operation(Done::Get(ABSENT), 20, 40);
    assert!(is_explained(ABSENT, &[write, touching]));
    let [a, b] = [1, 2].map(|more| operation(Done::Add(more, 7), 30, 40));
    assert!(!is_explained(7, &[a, b]), "a lost update");
    let b = operation(Done::Add(2, 8), 30, 40);
    assert!(is_explained(7, &[b, a]));
    let [a, b] = [8, 9].map(|new| operation(Done::TryInsert(new), 30, 40));
    assert!(!is_explained(ABSENT, &[a, b]), "two winners");
    let gone = operation(Done::Remove(8), 35, 40);
    assert!(is_explained(ABSENT, &[a, b, gone]));
    let failed = operation(Done::NotExchanged(7, 8), 30, 40);
    assert!(is_explained(8, &[failed]) && !is_explained(7, &[failed]));
    let there = operation(Done::Contains(true), 30, 40);
    assert!(is_explained(8, &[there]) && !is_explained(ABSENT, &[there]));
    // The culprit is found, and what came after it is left out.
    let after = operation(Done::Get(7), 50, 60);
    let violation = check(&BTreeMap::new(), &[write, late, after]).expect_err("a false miss");
    assert_eq!(violation.history.len(), 2);
}
