//! Entries that move between their two buckets: displacement, and the counters of overflowed keys
//! from the primary bucket.
//!
//! Of three buckets, 0 is the primary bucket of the key `n` that is inserted and 1 its secondary
//! bucket; both are full. An entry `e` moves between one of them and bucket 2.

use crate::memory::{Draft, Narrow, Number, Wide, key};
use crate::model::{explore, explore_within, race, role};

const BUCKETS: u64 = 3;

/// The key whose insertion displaces another.
fn n() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

/// `e` is in its primary bucket, 0, and moves to its secondary bucket, 2.
pub(crate) fn moves_to_secondary<V: Number>() -> (u64, Draft<V>) {
    let e = key(BUCKETS, 0, 2, 1, 0);
    let mut draft = Draft::new(BUCKETS);
    draft.fill(0, 1, 0..14).put(0, 14, e, 5).fill(1, 0, 0..15);
    draft
        .live(0, &[14, 15])
        .live(1, &[])
        .live(2, &[0, 1])
        .moves();
    (e, draft)
}

/// `e` is in its secondary bucket, 1, and moves to its primary bucket, 2.
pub(crate) fn moves_to_primary<V: Number>() -> (u64, Draft<V>) {
    let e = key(BUCKETS, 2, 1, 1, 0);
    let mut draft = Draft::new(BUCKETS);
    draft.fill(0, 1, 0..15).fill(1, 0, 0..14).put(1, 14, e, 5);
    draft
        .live(0, &[])
        .live(1, &[14, 15])
        .live(2, &[0, 1])
        .moves();
    (e, draft)
}

fn reader_of_the_moved_key<V: Number>(least: usize, (e, draft): (u64, Draft<V>)) {
    let n = n();
    explore(2, least, &["inserted 5 5,9"], move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || w.insert(0, n, 9));
        let reader = role(move || r.get(e).to_string());
        let outcome = race(turn, [writer, reader]);
        format!("{outcome} {}", end.settled(&[e, n], true))
    });
}

/// Smallest interesting schedule: the reader has found the secondary bucket's count to be zero
/// before the entry goes there, and looks again in the primary bucket when it is gone.
#[test]
fn key_that_moves_to_its_secondary_bucket_is_not_missed() {
    reader_of_the_moved_key(79, moves_to_secondary::<Wide>());
    reader_of_the_moved_key(79, moves_to_secondary::<Narrow>());
}

/// Smallest interesting schedule: the reader looks in the primary bucket before the entry comes,
/// and into the secondary bucket when it has gone; or it sees the counter lowered and stops there.
#[test]
fn key_that_moves_to_its_primary_bucket_is_not_missed() {
    reader_of_the_moved_key(540, moves_to_primary::<Wide>());
    reader_of_the_moved_key(540, moves_to_primary::<Narrow>());
}

/// Smallest interesting schedule: `e` goes to its primary bucket and back again while the reader
/// looks from one bucket to the other.
#[test]
fn key_that_moves_to_primary_and_back_again_is_not_missed() {
    let (n, back) = (n(), key(BUCKETS, 2, 0, 0, 0));
    let (e, mut draft) = moves_to_primary::<Narrow>();
    draft.fill(2, 0, 0..14).live(2, &[14, 15]);
    explore_within(1, 2, 6000, &["- 5 5,-,8"], move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || {
            assert_eq!(
                w.insert(0, n, 9),
                "inserted",
                "e goes to its primary bucket"
            );
            assert_eq!(w.remove(0, n), "removed", "there is room again where e was");
            assert_eq!(
                w.insert(0, back, 8),
                "inserted",
                "e goes to its secondary bucket"
            );
            "-".to_owned()
        });
        let reader = role(move || r.get(e).to_string());
        let outcome = race(turn, [writer, reader]);
        format!("{outcome} {}", end.settled(&[e, n, back], true))
    });
}

/// Smallest interesting schedule: the reader copies an entry whose neighbour leaves.
#[test]
fn displacement_leaves_other_keys_alone() {
    let (n, f) = (n(), key(BUCKETS, 0, 1, 2, 0));
    let (e, mut draft) = moves_to_secondary::<Wide>();
    let spared = 13;
    draft.replace_filler(0, spared, f, 6);
    let expected = ["inserted 6 9 5,6,9", "inserted 6 miss 5,6,9"];
    explore(2, 430, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || w.insert(0, n, 9));
        let reader = role(move || format!("{} {}", r.get(f), r.get(n)));
        let outcome = race(turn, [writer, reader]);
        format!("{outcome} {}", end.settled(&[e, f, n], true))
    });
}

/// Smallest interesting schedule: the reader finds the new key, which is in its secondary bucket,
/// and then must find the one that made room for it.
#[test]
fn new_key_and_displaced_key_are_both_found() {
    let n = n();
    let (e, draft) = moves_to_primary::<Narrow>();
    let expected = ["inserted 9 5", "inserted miss 5"];
    explore(2, 1600, &expected, move |turn| {
        let [w, r] = draft.share();
        let writer = role(move || w.insert(0, n, 9));
        let reader = role(move || format!("{} {}", r.get(n), r.get(e)));
        race(turn, [writer, reader])
    });
}

/// Smallest interesting schedule: both want to move the same entry; the second takes the next.
#[test]
fn two_insertions_displace_two_entries() {
    let [n1, n2] = [0, 1].map(|nth| key(BUCKETS, 0, 1, 0, nth));
    let [e1, e2] = [0, 1].map(|nth| key(BUCKETS, 0, 2, 1, nth));
    let mut draft = Draft::<Narrow>::new(BUCKETS);
    draft.fill(0, 1, 0..13).put(0, 13, e1, 5).put(0, 14, e2, 6);
    draft.fill(1, 0, 0..15);
    draft
        .live(0, &[13, 14, 15])
        .live(1, &[])
        .live(2, &[0, 1])
        .moves();
    explore(2, 22, &["inserted inserted 5,6,8,9"], move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || a.insert(0, n1, 8));
        let second = role(move || b.insert(1, n2, 9));
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", end.settled(&[e1, e2, n1, n2], true))
    });
}

/// Smallest interesting schedule: both want the last free slot of bucket 2; one of them is
/// told that there is no room, and nothing of it remains.
#[test]
fn of_two_displacements_into_one_slot_one_finds_it_full() {
    let [n1, n2] = [0, 1].map(|nth| key(BUCKETS, 0, 1, 0, nth));
    let (e, mut draft) = moves_to_secondary::<Narrow>();
    draft.fill(2, 0, 0..14).live(2, &[14]);
    explore(
        2,
        22,
        &["full inserted 5,-,9", "inserted full 5,8,-"],
        move |turn| {
            let [a, b, end] = draft.share();
            let first = role(move || a.insert(0, n1, 8));
            let second = role(move || b.insert(1, n2, 9));
            let outcome = race(turn, [first, second]);
            format!("{outcome} {}", end.settled(&[e, n1, n2], true))
        },
    );
}

fn writer_of_the_moved_key<V: Number>(least: usize, (e, draft): (u64, Draft<V>)) {
    let n = n();
    explore(2, least, &["inserted from5 15,9"], move |turn| {
        let [a, b, end] = draft.share();
        let displacer = role(move || a.insert(0, n, 9));
        let writer = role(move || b.add(1, e, 10));
        let outcome = race(turn, [displacer, writer]);
        format!("{outcome} {}", end.settled(&[e, n], true))
    });
}

/// Smallest interesting schedule: the writer has locked the primary bucket of `e` and found it not
/// there; until it has the secondary bucket's lock, `e` must not have gone.
#[test]
fn displacement_loses_no_update_of_the_moved_key() {
    writer_of_the_moved_key(22, moves_to_secondary::<Wide>());
    writer_of_the_moved_key(22, moves_to_secondary::<Narrow>());
    writer_of_the_moved_key(22, moves_to_primary::<Wide>());
    writer_of_the_moved_key(22, moves_to_primary::<Narrow>());
}

/// Smallest interesting schedule: the key is removed just before or just after it moves.
#[test]
fn removed_key_stays_removed_when_it_moves() {
    let n = n();
    for (e, draft) in [moves_to_secondary::<Narrow>(), moves_to_primary::<Narrow>()] {
        explore(
            3,
            4000,
            &["inserted removed 5 -,9", "inserted removed miss -,9"],
            move |turn| {
                let [a, b, r, end] = draft.share();
                let displacer = role(move || a.insert(0, n, 9));
                let remover = role(move || b.remove(1, e));
                let reader = role(move || r.get(e).to_string());
                let outcome = race(turn, [displacer, remover, reader]);
                format!("{outcome} {}", end.settled(&[e, n], true))
            },
        );
    }
}

fn bucket_that_fills_up<V: Number>() {
    let (n, p) = (n(), key(BUCKETS, 2, 0, 0, 0));
    let (e, mut draft) = moves_to_secondary::<V>();
    draft.fill(2, 0, 0..14).live(2, &[14, 15]);
    let expected = ["full inserted 5,-,7", "inserted full 5,9,-"];
    explore(2, 49, &expected, move |turn| {
        let [a, b, end] = draft.share();
        let displacer = role(move || a.insert(0, n, 9));
        let writer = role(move || b.insert(1, p, 7));
        let outcome = race(turn, [displacer, writer]);
        format!("{outcome} {}", end.settled(&[e, n, p], true))
    });
}

/// Smallest interesting schedule: bucket 2 fills up between the displacer's peek and its lock. Of
/// wide values, its last slot must stay spare.
#[test]
fn displacement_into_a_bucket_that_fills_up() {
    bucket_that_fills_up::<Narrow>();
    bucket_that_fills_up::<Wide>();
}

/// A full primary bucket and a key of it that lives, or is going to live, in bucket 1.
fn full_primary<V: Number>(present: bool) -> (u64, Draft<V>) {
    let k = n();
    let mut draft = Draft::new(BUCKETS);
    draft.fill(0, 1, 0..15).live(0, &[]).live(1, &[0, 1]);
    if present {
        draft.put(1, 0, k, 1);
    }
    (k, draft)
}

/// Smallest interesting schedule: the counter is raised, the entry not yet published.
#[test]
fn insertion_in_secondary_bucket_is_seen_or_not() {
    let (k, draft) = full_primary::<Narrow>(false);
    let expected = ["inserted 9 9", "inserted miss 9", "inserted miss miss"];
    explore(2, 250, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || w.insert(0, k, 9));
        let reader = role(move || format!("{} {}", r.get(k), r.get(k)));
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k], true), "9");
        outcome
    });
}

/// Smallest interesting schedule: the entry is gone, the counter not yet lowered.
#[test]
fn removal_in_secondary_bucket_is_seen_or_not() {
    let (k, draft) = full_primary::<Narrow>(true);
    let expected = ["removed 1 1", "removed 1 miss", "removed miss miss"];
    explore(2, 160, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || w.remove(0, k));
        let reader = role(move || format!("{} {}", r.get(k), r.get(k)));
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k], true), "-");
        outcome
    });
}

/// Smallest interesting schedule: of two keys that are counted together one goes to its secondary
/// bucket and one comes; the counter is never lower than the one that stays demands.
#[test]
fn counter_never_hides_a_key_that_stays() {
    let stays = key(BUCKETS, 0, 1, 0, 1);
    let (goes, mut draft) = full_primary::<Narrow>(true);
    draft.put(1, 1, stays, 4);
    let comes = key(BUCKETS, 0, 1, 0, 2);
    draft.live(1, &[0, 1, 2]);
    explore(3, 4200, &["removed inserted 4 -,4,9"], move |turn| {
        let [a, b, r, end] = draft.share();
        let remover = role(move || a.remove(0, goes));
        let inserter = role(move || b.insert(1, comes, 9));
        let reader = role(move || r.get(stays).to_string());
        let outcome = race(turn, [remover, inserter, reader]);
        format!("{outcome} {}", end.settled(&[goes, stays, comes], true))
    });
}

/// No schedule, only a rule: 15 means "15 or more", so it stays when one of them goes.
#[test]
fn saturated_counter_is_never_lowered() {
    let (k, mut draft) = full_primary::<Narrow>(true);
    for _ in 0..14 {
        draft.count_overflow(0, 0);
    }
    explore(1, 1, &["removed 15"], move |_| {
        let [w, end] = draft.share();
        let outcome = race(0, [role(move || w.remove(0, k))]);
        format!("{outcome} {}", end.in_secondary_after_all(0, 0))
    });
}

/// Smallest interesting schedule: the reader has loaded the state of the secondary bucket; the
/// writer moves the key to another slot there by an update and fills the old one again. One reader
/// begins with the fast path, the other one looks into both buckets from the start: only that one
/// meets the two commits in the look whose miss would count.
#[test]
fn key_in_secondary_bucket_is_not_missed_when_its_old_slot_is_filled_again() {
    let (k, mut draft) = full_primary::<Wide>(true);
    let next = key(BUCKETS, 1, 2, 0, 0);
    draft.live(1, &[0, 1, 2]);
    explore(4, 1000, &["- 1", "- 2"], move |variant| {
        let (turn, is_persistent) = (variant % 2, variant / 2 == 1);
        let [w, r, end] = draft.share();
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.insert(0, next, 50), "inserted");
            "-".to_owned()
        });
        let reader = role(move || match is_persistent {
            false => r.get(k).to_string(),
            true => r.get_read_only(k).to_string(),
        });
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k, next], true), "2,50");
        outcome
    });
}
