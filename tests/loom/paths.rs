//! Insertions for which two entries move, one after the other.
//!
//! Of four buckets, 0 is the primary bucket of the key `n` that is inserted and 1 its secondary
//! bucket; 0, 1 and 2 are full. `e` can move from 1 to 2 once `f` has moved from 2 to 3, and nothing
//! else can move.

use crate::memory::{Draft, Fate, Narrow, Number, Wide, key};
use crate::model::{explore, explore_within, race, role};

const BUCKETS: u64 = 4;

/// The keys of a path.
#[derive(Clone, Copy)]
struct Keys {
    n: u64,
    e: u64,
    f: u64,
}

fn path<V: Number>() -> (Keys, Draft<V>) {
    let n = key(BUCKETS, 0, 1, 0, 0);
    let e = key(BUCKETS, 1, 2, 1, 0);
    let f = key(BUCKETS, 2, 3, 2, 0);
    let mut draft = Draft::new(BUCKETS);
    draft.fill(0, 1, 0..15);
    draft.fill(1, 0, 0..14).put(1, 14, e, 5);
    draft.fill(2, 1, 0..14).put(2, 14, f, 6);
    draft
        .live(0, &[])
        .live(1, &[14, 15])
        .live(2, &[14, 15])
        .live(3, &[0, 1])
        .moves();
    (Keys { n, e, f }, draft)
}

fn readers<V: Number>(least: usize) {
    let (Keys { n, e, f }, draft) = path::<V>();
    for looked_for in [e, f] {
        let value = if looked_for == e { "5" } else { "6" };
        let expected = format!("inserted {value} 9,5,6");
        let draft = draft.clone();
        explore(2, least, &[&expected], move |turn| {
            let [w, r, end] = draft.share();
            let writer = role(move || w.insert(0, n, 9));
            let reader = role(move || r.get(looked_for).to_string());
            let outcome = race(turn, [writer, reader]);
            format!("{outcome} {}", end.settled(&[n, e, f], true))
        });
    }
}

/// Smallest interesting schedule: the reader looks into the primary bucket before the counter is
/// raised there, and the entry is gone when it looks again.
#[test]
fn keys_of_a_path_are_never_missed() {
    readers::<Wide>(990);
    readers::<Narrow>(680);
}

/// Smallest interesting schedule: the walker is between the two buckets of `e` while both entries
/// move.
#[test]
fn walk_meets_the_keys_of_a_path_once() {
    let (Keys { n, e, f }, draft) = path::<Narrow>();
    let expected = ["inserted 5+6 9,5,6", "inserted 5+6+9 9,5,6"];
    // The walk reads every bucket: with preemptions, more schedules than there is time for.
    explore_within(0, 2, 28_000, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || w.insert(0, n, 9));
        let walker = role(move || r.walk());
        let outcome = race(turn, [writer, walker]);
        format!("{outcome} {}", end.settled(&[n, e, f], true))
    });
}

/// More writes than the insertion has.
const WRITES: usize = 64;

/// Smallest interesting schedule: the inserter dies between the two publications of the first or
/// the second move; the taker updates one of two copies.
#[test]
fn death_within_a_path_leaves_every_entry_once() {
    for updated in 0..2 {
        let (Keys { n, e, f }, mut draft) = path::<Narrow>();
        draft.fate(0, Fate::Mortal);
        let key = [e, f][updated];
        let expected: &[&str] = match updated {
            0 => &[
                "died from5 -,15,6",
                "died from5 9,15,6",
                "inserted from5 9,15,6",
            ],
            _ => &[
                "died from6 -,5,16",
                "died from6 9,5,16",
                "inserted from6 9,5,16",
            ],
        };
        explore_within(1, WRITES * 2, 1000, expected, move |variant| {
            let (writes, turn) = ((variant / 2) as u32, variant % 2);
            let [m, t, end] = draft.share();
            let mortal = role(move || m.mortal(0, writes, || m.insert(0, n, 9)));
            let taker = role(move || t.add(1, key, 10));
            let outcome = race(turn, [mortal, taker]);
            end.take_over_all(2);
            format!("{outcome} {}", end.settled(&[n, e, f], false))
        });
    }
}

/// Smallest interesting schedule: somebody takes the slot that the first move has made free.
#[test]
fn slot_that_a_path_made_free_can_be_taken_by_others() {
    let (Keys { n, e, f }, draft) = path::<Narrow>();
    let p = key(BUCKETS, 2, 3, 3, 1);
    let expected = ["inserted inserted 9,5,6,8"];
    explore(2, 140, &expected, move |turn| {
        let [w, o, end] = draft.share();
        let writer = role(move || w.insert(0, n, 9));
        let other = role(move || o.insert(1, p, 8));
        let outcome = race(turn, [writer, other]);
        format!("{outcome} {}", end.settled(&[n, e, f, p], true))
    });
}
