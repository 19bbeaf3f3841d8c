//! Writers against writers.

use crate::memory::{Draft, Narrow, Number, Wide, key};
use crate::model::{explore, race, role};

const BUCKETS: u64 = 2;

fn k() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

fn one_entry<V: Number>() -> Draft<V> {
    let mut draft = Draft::new(BUCKETS);
    draft.put(0, 0, k(), 1).live(0, &[0, 1, 2]);
    draft
}

fn sums<V: Number>(least: usize) {
    let (k, draft) = (k(), one_entry::<V>());
    explore(
        2,
        least,
        &["from1 from11 31", "from21 from1 31"],
        move |turn| {
            let [a, b, end] = draft.share();
            let first = role(move || a.add(0, k, 10));
            let second = role(move || b.add(1, k, 20));
            let outcome = race(turn, [first, second]);
            format!("{outcome} {}", end.settled(&[k], true))
        },
    );
}

/// Smallest interesting schedule: the second writer comes while the first holds the lock, and
/// must see, once it has it, what the first left.
#[test]
fn two_additions_are_both_counted() {
    sums::<Narrow>(22);
}

/// As above, out of place.
#[test]
fn two_additions_out_of_place_are_both_counted() {
    sums::<Wide>(22);
}

/// Smallest interesting schedule: three writers; the last waits for two owners in turn.
#[test]
fn three_additions_are_all_counted() {
    let (k, draft) = (k(), one_entry::<Narrow>());
    explore(3, 920, &["111"], move |turn| {
        let [a, b, c, end] = draft.share();
        let roles = [(a, 10), (b, 40), (c, 60)];
        let roles = roles.map(|(s, more)| role(move || s.add(more as u32 / 30, k, more)));
        race(turn, roles);
        end.settled(&[k], true)
    });
}

/// Smallest interesting schedule: both find the value that they expect, if the lock did not
/// keep the second one from looking.
#[test]
fn of_two_exchanges_exactly_one_succeeds() {
    let (k, draft) = (k(), one_entry::<Narrow>());
    explore(2, 22, &["false true 3", "true false 2"], move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || a.exchange(0, k, 1, 2).to_string());
        let second = role(move || b.exchange(1, k, 1, 3).to_string());
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", end.settled(&[k], true))
    });
}

/// Smallest interesting schedule: one after the other; the reader sees either, whole.
#[test]
fn two_updates_of_one_key_under_a_reader() {
    let (k, draft) = (k(), one_entry::<Wide>());
    let expected = [
        "replaced replaced 1 2",
        "replaced replaced 1 3",
        "replaced replaced 2 2",
    ];
    let more = [
        "replaced replaced 2 3",
        "replaced replaced 3 2",
        "replaced replaced 3 3",
    ];
    explore(3, 27000, &[expected, more].concat(), move |turn| {
        let [a, b, r, end] = draft.share();
        let first = role(move || a.put(0, k, 2));
        let second = role(move || b.put(1, k, 3));
        let reader = role(move || r.get(k).to_string());
        let outcome = race(turn, [first, second, reader]);
        format!("{outcome} {}", end.settled(&[k], true))
    });
}

/// Smallest interesting schedule: both find the key absent, if the lock did not keep the
/// second one from looking.
#[test]
fn absent_key_is_inserted_once() {
    let (k, draft) = (key(BUCKETS, 0, 1, 0, 1), one_entry::<Wide>());
    explore(
        2,
        22,
        &["inserted present 5", "present inserted 6"],
        move |turn| {
            let [a, b, end] = draft.share();
            let first = role(move || a.insert(0, k, 5));
            let second = role(move || b.insert(1, k, 6));
            let outcome = race(turn, [first, second]);
            format!(
                "{outcome} {}",
                end.settled(&[self::k(), k], true).replace("1,", "")
            )
        },
    );
}

/// As above; the primary bucket is full, so the key goes to its secondary bucket.
#[test]
fn absent_key_is_inserted_once_in_secondary_bucket() {
    let k = k();
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.fill(0, 1, 0..15).live(0, &[]).live(1, &[0, 1]);
    explore(
        2,
        22,
        &["inserted present 5", "present inserted 6"],
        move |turn| {
            let [a, b, end] = draft.share();
            let first = role(move || a.insert(0, k, 5));
            let second = role(move || b.insert(1, k, 6));
            let outcome = race(turn, [first, second]);
            format!("{outcome} {}", end.settled(&[k], true))
        },
    );
}

/// Smallest interesting schedule: the first finds the primary bucket full; the second makes room
/// there and finds the key absent, before the first has put it into the secondary bucket.
#[test]
fn absent_key_is_inserted_once_while_primary_gets_room() {
    let (k, gone) = (k(), key(BUCKETS, 0, 1, 1, 0));
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.fill(0, 1, 0..14).put(0, 14, gone, 9);
    draft.live(0, &[14, 15]).live(1, &[0, 1]);
    let expected = ["inserted removed present 5", "present removed inserted 6"];
    explore(2, 40, &expected, move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || a.insert(0, k, 5));
        let second = role(move || format!("{} {}", b.remove(1, gone), b.insert(1, k, 6)));
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", end.settled(&[k], true))
    });
}

/// Smallest interesting schedule: both have chosen the same free slot, if the lock did not
/// keep the second one from choosing.
#[test]
fn two_keys_go_into_one_bucket() {
    let draft = one_entry::<Wide>();
    let [k, a_key, b_key] = [0, 1, 2].map(|nth| key(BUCKETS, 0, 1, 0, nth));
    explore(2, 22, &["inserted inserted 1,5,6"], move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || a.insert(0, a_key, 5));
        let second = role(move || b.insert(1, b_key, 6));
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", end.settled(&[k, a_key, b_key], true))
    });
}

/// Smallest interesting schedule: each holds the primary bucket of its key and wants the other's,
/// where its own key lives.
#[test]
fn crossed_buckets_do_not_deadlock() {
    let (a_key, b_key) = (key(BUCKETS, 0, 1, 0, 0), key(BUCKETS, 1, 0, 0, 0));
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.put(1, 0, a_key, 1).put(0, 0, b_key, 2);
    draft.live(0, &[0, 1]).live(1, &[0, 1]);
    explore(2, 48, &["from1 from2 11,22"], move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || a.add(0, a_key, 10));
        let second = role(move || b.add(1, b_key, 20));
        let outcome = race(turn, [first, second]);
        format!("{outcome} {}", end.settled(&[a_key, b_key], true))
    });
}

/// Smallest interesting schedule: the update finds the key, the remove takes it out; whoever
/// comes second finds what the first left.
#[test]
fn update_against_remove() {
    let (k, draft) = (k(), one_entry::<Wide>());
    let expected = [
        "absent removed - 1",
        "absent removed - miss",
        "from1 removed - 1",
    ];
    let more = ["from1 removed - 11", "from1 removed - miss"];
    explore(3, 1600, &[&expected[..], &more[..]].concat(), move |turn| {
        let [a, b, r, end] = draft.share();
        let first = role(move || a.add(0, k, 10));
        let second = role(move || b.remove(1, k));
        let reader = role(move || format!("- {}", r.get(k)));
        let outcome = race(turn, [first, second, reader]);
        assert_eq!(end.settled(&[k], true), "-");
        outcome
    });
}
