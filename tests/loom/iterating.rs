//! Walks through the table while others write: whatever stays in the table is met exactly once.
//!
//! The walk gives the values that it met, in order of value.

use crate::memory::{Draft, Fate, Narrow, Number, Wide, key};
use crate::model::{explore, explore_within, race, role};

const BUCKETS: u64 = 3;

/// Smallest interesting schedule: the entry changes its slot while its bucket is copied.
#[test]
fn walk_against_updates() {
    let (a, b) = (key(BUCKETS, 0, 1, 0, 0), key(BUCKETS, 1, 2, 0, 0));
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft
        .put(0, 0, a, 1)
        .live(0, &[0, 1])
        .put(1, 0, b, 11)
        .live(1, &[0, 1]);
    let expected = ["1+11 -", "1+12 -", "2+11 -", "2+12 -", "3+11 -", "3+12 -"];
    explore(2, 1700, &expected, move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || r.walk());
        let writer = role(move || {
            assert_eq!(w.put(0, a, 2), "replaced");
            assert_eq!(w.put(0, a, 3), "replaced");
            assert_eq!(w.put(0, b, 12), "replaced");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

/// Smallest interesting schedule: an entry goes and its slot is filled again.
#[test]
fn walk_against_remove_and_insert() {
    let [a, b, c] = [0, 1, 2].map(|nth| key(BUCKETS, 0, 1, 0, nth));
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.put(0, 0, a, 1).put(0, 1, b, 2).live(0, &[0, 2]);
    let expected = ["1+2 -", "2 -", "2+3 -"];
    explore(2, 510, &expected, move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || r.walk());
        let writer = role(move || {
            assert_eq!(w.remove(0, a), "removed");
            assert_eq!(w.insert(0, c, 3), "inserted");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

/// An entry `e` of bucket `from` that will move to `to` when `n` is inserted; `middle` is full.
struct Journey<V> {
    e: u64,
    n: u64,
    draft: Draft<V>,
}

/// `e` is in its primary bucket, `from`, where `n` goes.
fn overflow<V: Number>(from: u64, middle: u64, to: u64) -> Journey<V> {
    let (e, n) = (
        key(BUCKETS, from, to, 1, 0),
        key(BUCKETS, from, middle, 0, 0),
    );
    let mut draft = Draft::new(BUCKETS);
    draft.fill(from, middle, 0..14).put(from, 14, e, 5);
    draft.fill(middle, from, 0..15);
    draft
        .live(from, &[14, 15])
        .live(middle, &[])
        .live(to, &[0, 1])
        .moves();
    Journey { e, n, draft }
}

/// `e` is in its secondary bucket, `from`, where `n`, whose primary bucket is the full `middle`,
/// goes.
fn primary<V: Number>(from: u64, middle: u64, to: u64) -> Journey<V> {
    let (e, n) = (
        key(BUCKETS, to, from, 1, 0),
        key(BUCKETS, middle, from, 0, 0),
    );
    let mut draft = Draft::new(BUCKETS);
    draft
        .fill(middle, from, 0..15)
        .fill(from, middle, 0..14)
        .put(from, 14, e, 5);
    draft
        .live(middle, &[])
        .live(from, &[14, 15])
        .live(to, &[0, 1])
        .moves();
    Journey { e, n, draft }
}

fn walk_against(journeys: [Journey<Narrow>; 2], least: usize) {
    for Journey { e, n, draft } in journeys {
        explore(2, least, &["5 inserted", "5+9 inserted"], move |turn| {
            let [r, w, end] = draft.share();
            let reader = role(move || r.walk());
            let writer = role(move || w.insert(0, n, 9));
            let outcome = race(turn, [reader, writer]);
            assert_eq!(end.settled(&[e, n], true), "5,9");
            outcome
        });
    }
}

/// Smallest interesting schedule: the walk has passed bucket 0 when the entry goes there from
/// bucket 2.
#[test]
fn entry_that_moves_behind_the_walk_is_met() {
    walk_against([overflow(2, 1, 0), primary(2, 1, 0)], 9500);
}

/// Smallest interesting schedule: the walk has met the entry in bucket 0 when it goes to 2.
#[test]
fn entry_that_moves_ahead_of_the_walk_is_met_once() {
    walk_against([overflow(0, 1, 2), primary(0, 1, 2)], 11000);
}

/// Smallest interesting schedule: the entry moves between the bucket where the walk is and
/// the next one.
#[test]
fn entry_that_moves_beside_the_walk_is_met_once() {
    walk_against([overflow(1, 2, 0), overflow(1, 0, 2)], 7600);
    walk_against([primary(1, 2, 0), primary(1, 0, 2)], 7600);
}

/// Smallest interesting schedule: the displacer dies between its two publications and nobody
/// takes over it: the walk finds the entry in both buckets, and yields it once.
#[test]
fn walk_over_an_orphaned_displacement_meets_the_entry_once() {
    for Journey { e: _, n, mut draft } in [overflow::<Narrow>(0, 1, 2), primary(2, 1, 0)] {
        draft.fate(0, Fate::Mortal);
        let expected = ["5 died", "5 inserted", "5+9 died", "5+9 inserted"];
        explore(24, 37000, &expected, move |writes| {
            let [r, m] = draft.share();
            let reader = role(move || r.walk());
            let mortal = role(move || m.mortal(0, writes as u32, || m.insert(0, n, 9)));
            race(writes % 2, [reader, mortal])
        });
    }
}

/// Smallest interesting schedule: the entry has moved behind the walk, which looks it up; it is
/// updated there twice meanwhile, the second time in the slot that is being copied.
#[test]
fn entry_that_moves_behind_the_walk_and_changes_is_met_whole() {
    for (turn, Journey { e, n, draft }) in [overflow::<Wide>(2, 1, 0), primary(2, 1, 0)]
        .into_iter()
        .enumerate()
    {
        let expected = ["5 -", "5+9 -", "6+9 -", "7+9 -"];
        explore_within(1, 1, 15000, &expected, move |_| {
            let [r, w] = draft.share();
            let reader = role(move || r.walk());
            let writer = role(move || {
                assert_eq!(w.insert(0, n, 9), "inserted");
                assert_eq!(w.put(0, e, 6), "replaced");
                assert_eq!(w.put(0, e, 7), "replaced");
                "-".to_owned()
            });
            race(turn, [reader, writer])
        });
    }
}
