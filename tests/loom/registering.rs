//! Participants: claiming a slot of the table, being read there, and being found behind a lock.

use std::rc::Rc;

use super::slot::{Claim, Record, SLOT_WORDS, Slot, Snapshot, State};
use super::token::{LockWord, Token};
use crate::memory::{Draft, Narrow, token};
use crate::model::{explore, race, role};
use crate::protocol::hash::KeyHash;
use crate::protocol::lease::{self, CELL_WORDS, Leases};
use crate::sys::sync::{self, AtomicU64, Ordering};

/// The slot that all are about.
const INDEX: u32 = 0;

/// A table of one slot, once for each thread of an execution and once for the read-only view; held
/// by the process `holder`, if that is not 0.
fn share<const N: usize>(holder: u32) -> [Rc<Vec<AtomicU64>>; N] {
    share_live(holder, &[0, 1, 2, 3, 4, 5, 6, 7])
}

/// The same; the model explores accesses to the words `live`. The others are written and read
/// as well, but each read returns the latest value.
fn share_live<const N: usize>(holder: u32, live: &[usize]) -> [Rc<Vec<AtomicU64>>; N] {
    let before = plain_table();
    if holder != 0 {
        assert_eq!(register(&before, free(), holder), "holds");
    }
    let words = before.iter().enumerate().map(|(word, before)| {
        let before = before.load(Ordering::Relaxed);
        match live.contains(&word) {
            true => AtomicU64::live(before),
            false => AtomicU64::new(before),
        }
    });
    let table = Rc::new(words.collect::<Vec<_>>());
    std::array::from_fn(|_| table.clone())
}

fn plain_table() -> Vec<AtomicU64> {
    (0..SLOT_WORDS).map(|_| AtomicU64::new(0)).collect()
}

fn slot(table: &[AtomicU64]) -> Slot<'_> {
    Slot::of(table, INDEX).expect("the table has a slot")
}

/// What the process `pid` says about itself.
fn record(pid: u32) -> Record {
    Record {
        started: u64::from(pid) + 1,
        ..Record::default()
    }
}

/// Whom a reader saw; what it saw must belong together.
fn seen(snapshot: Snapshot) -> String {
    let pid = snapshot.claim.pid();
    if let Some(found) = snapshot.record {
        assert_eq!(found, record(pid), "a record of somebody else");
    }
    match (snapshot.claim.state(), snapshot.record) {
        (State::Free, _) => "free".to_owned(),
        (State::Claiming, _) => format!("{pid}?"),
        (State::Held, Some(_)) => format!("{pid}"),
        (State::Held, None) => format!("{pid} unread"),
        (State::Invalid, _) => panic!("nobody wrote this"),
    }
}

/// Claims what was seen free, or proven dead, and publishes.
fn register(table: &[AtomicU64], found: Claim, pid: u32) -> String {
    let Some(claim) = slot(table).try_claim(found, pid, false) else {
        return "late".to_owned();
    };
    match slot(table).publish(claim, record(pid)) {
        Some(_) => "holds".to_owned(),
        None => "replaced".to_owned(),
    }
}

/// No participant yet.
fn free() -> Claim {
    slot(&plain_table()).claim()
}

/// Reads the slot as whoever asks about an owner does: a second time, if it was just changing.
fn look(table: &[AtomicU64]) -> String {
    let first = slot(table).read();
    match (first.claim.state(), first.record) {
        (State::Held, None) => seen(slot(table).read()),
        _ => seen(first),
    }
}

/// Smallest interesting schedule: the reader sees that the slot is held; the record that the holder
/// wrote before must be there.
#[test]
fn slot_that_is_held_is_read_whole() {
    let expected = ["holds 42", "holds 42?", "holds free"];
    explore(2, 100, &expected, |turn| {
        let [a, r] = share(0);
        let claimant = role(move || register(&a, free(), 42));
        let reader = role(move || look(&r));
        race(turn, [claimant, reader])
    });
}

/// Smallest interesting schedule: both have seen the slot free.
#[test]
fn of_two_claimants_one_holds_the_slot() {
    explore(2, 28, &["holds late 42", "late holds 43"], |turn| {
        let [a, b, end] = share(0);
        let first = role(move || register(&a, free(), 42));
        let second = role(move || register(&b, free(), 43));
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", sync::quiet(|| seen(slot(&end).read())))
    });
}

/// Smallest interesting schedule: a claimant that lives is mistaken for dead (it was stopped
/// before it had said when it started); the other one claims the slot and writes its record; the
/// first one goes on. It must not write over what the other has written, which is what stood there
/// before, but for the mask: the other one held the slot earlier as well.
#[test]
fn claimant_that_is_replaced_notices_and_spoils_nothing() {
    let expected = ["holds late 42", "replaced holds 43"];
    explore(2, 20, &expected, |turn| {
        let [a, b, end] = share_live(43, &[0, 1, 2, 7]);
        let dead = sync::quiet(|| slot(&end).claim());
        let first = role(move || register(&a, dead, 42));
        let second = role(move || {
            let claim = dead.claimed_by(42, false).expect("a generation");
            register(&b, claim, 43)
        });
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", sync::quiet(|| seen(slot(&end).read())))
    });
}

/// Smallest interesting schedule: the holder is dead, and another process writes its own record over
/// its while the reader looks.
#[test]
fn record_is_never_taken_for_another_holders() {
    let expected = ["holds 42", "holds 43", "holds 43?"];
    explore(2, 100, &expected, |turn| {
        let [a, r] = share(42);
        let dead = slot(&a).claim();
        let claimant = role(move || register(&a, dead, 43));
        let reader = role(move || look(&r));
        race(turn, [claimant, reader])
    });
}

/// How a lock is taken.
#[derive(Clone, Copy)]
enum Way {
    Free,
    /// Free, but somebody is said to wait.
    Flagged,
    /// From a dead owner.
    TakeOver,
    /// No lock, but the lease of a key.
    Lease,
}

/// Smallest interesting schedule: the holder registers and takes a lock; who finds its token there
/// looks into its slot, and must not take it for an older generation: "dead".
#[test]
fn owner_of_a_lock_is_found_in_its_slot() {
    for way in [Way::Free, Way::Flagged, Way::TakeOver, Way::Lease] {
        let mut draft = Draft::<Narrow>::new(2);
        draft.live(0, &[]);
        match way {
            Way::Free | Way::Lease => {}
            Way::Flagged => _ = draft.flag(0),
            Way::TakeOver => _ = draft.lock(0, 3),
        }
        explore(2, 20, &["holds 42", "holds nobody"], move |turn| {
            let ([a, r], [segment, seen_by]) = (share(0), draft.share());
            let cells: Rc<Vec<_>> = Rc::new((0..CELL_WORDS).map(|_| AtomicU64::live(0)).collect());
            let lease = cells.clone();
            let holder = role(move || {
                let outcome = register(&a, free(), 42);
                let (me, table) = (Token::new(INDEX, 1), segment.table());
                if let Way::Lease = way {
                    // As the lock below, held for ever.
                    match Leases::new(&lease).claim(KeyHash(5), me, None, 1, 1) {
                        lease::Claim::Ours(lease) => std::mem::forget(lease),
                        _ => panic!("nobody else wants it"),
                    }
                    return outcome;
                }
                let bucket = table.bucket(0);
                let locked = match way {
                    Way::TakeOver => bucket.take_over(LockWord(token(3).to_word()), me),
                    _ => bucket.try_lock(me, 0).ok(),
                };
                // Held for ever.
                std::mem::forget(locked.expect("nobody else wants it"));
                outcome
            });
            let contender = role(move || {
                let table = seen_by.table();
                let word = match way {
                    Way::Lease => &cells[0],
                    _ => table.bucket(0).lock_word(),
                };
                let word = LockWord(word.load(Ordering::Relaxed));
                match word.owner().filter(|owner| owner.slot() == Some(INDEX)) {
                    None => "nobody".to_owned(),
                    Some(owner) => {
                        let found = Slot::named_by(&r, owner).expect("a slot").read();
                        assert_eq!(found.claim.generation(), owner.generation());
                        seen(found)
                    }
                }
            });
            race(turn, [holder, contender])
        });
    }
}
