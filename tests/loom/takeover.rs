//! Writers that die, and those who take their locks.
//!
//! A participant dies instead of its n-th write, for every n; or the memory that a dead one left
//! is laid out before the threads start. Who is dead is known from an atomic that
//! stands for the kernel's answer, never from a join.

use crate::memory::{Draft, Fate, Narrow, Number, Wide, key, token};
use crate::model::{explore, explore_within, race, role};
use crate::moving::{moves_to_primary, moves_to_secondary};
use crate::sys::sync;

const BUCKETS: u64 = 3;

fn k() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

fn one_entry<V: Number>() -> Draft<V> {
    let mut draft = Draft::new(BUCKETS);
    draft.put(0, 0, k(), 1).live(0, &[0, 1, 2]);
    draft
}

/// Smallest interesting schedule: both find the lock of dead processes; the second takes it from
/// dead processes, too, when it is the first one's.
#[test]
fn two_takers_of_one_lock_lose_no_update() {
    let (k, mut draft) = (k(), one_entry::<Wide>());
    draft.lock(0, 0).fate(0, Fate::Dead);
    explore(
        2,
        190,
        &["from1 from11 31", "from21 from1 31"],
        move |turn| {
            let [a, b, end] = draft.share();
            let first = role(move || a.add(1, k, 10));
            let second = role(move || b.add(2, k, 20));
            let outcome = race(turn, [first, second]);
            format!("{outcome} {}", end.settled(&[k], true))
        },
    );
}

/// Smallest interesting schedule: the taker unlocks and locks again, and begins to write into
/// the slot that the reader copies.
#[test]
fn taker_under_a_reader() {
    let (k, mut draft) = (k(), one_entry::<Wide>());
    draft.lock(0, 0).fate(0, Fate::Dead);
    explore(
        2,
        550,
        &["from1 from11 1", "from1 from11 11", "from1 from11 31"],
        move |turn| {
            let [w, r] = draft.share();
            let taker = role(move || format!("{} {}", w.add(1, k, 10), w.add(1, k, 20)));
            let reader = role(move || r.get(k).to_string());
            race(turn, [taker, reader])
        },
    );
}

/// Smallest interesting schedule: the owner stands still; the other's timeout ends.
#[test]
fn lock_of_a_live_owner_is_never_stolen() {
    for fate in [Fate::Alive, Fate::Unknown] {
        let (k, mut draft) = (k(), one_entry::<Narrow>());
        draft.lock(0, 0).fate(0, fate).turns(2);
        explore(2, 4, &["busy 1 token"], move |turn| {
            sync::sleep_in_slices();
            let [w, r, end] = draft.share();
            let writer = role(move || w.add(1, k, 10));
            let reader = role(move || r.get(k).to_string());
            let outcome = race(turn, [writer, reader]);
            let owner = end.lock_after_all(0).owner();
            assert_eq!(owner, Some(token(0)), "the lock is still the owner's");
            format!("{outcome} token")
        });
    }
}

fn stopped_writer<V: Number>(writes: usize, expected: &[&str]) {
    let (k, mut draft) = (k(), one_entry::<V>());
    draft.turns(1);
    explore((writes + 1) * 2, 1, expected, move |variant| {
        sync::sleep_in_slices();
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [a, b, end] = draft.share();
        let stopped = role(move || a.stopping(writes, || a.put(0, k, 2)));
        let writer = role(move || format!("{} {}", b.add(1, k, 10), b.get(k)));
        let outcome = race(turn, [stopped, writer]);
        let stands = end.lock_after_all(0).owner().is_some();
        format!("{outcome} {}", if stands { "held" } else { "free" })
    });
}

/// Smallest interesting schedule: the owner is stopped with half a value written, for ever. The
/// other's timeout ends; what it reads is whole.
#[test]
fn stopped_writer_keeps_its_lock_and_hides_nothing() {
    let expected = [
        "replaced from1 11 free",
        "replaced from1 2 free",
        "replaced from2 12 free",
        "stopped busy 1 held",
        "stopped busy 2 held",
        "stopped from1 11 free",
        "stopped from1 11 held",
        "stopped from1 2 held",
    ];
    stopped_writer::<Wide>(7, &expected);
    stopped_writer::<Narrow>(3, &expected);
}

fn death_in_an_update<V: Number>(writes: usize, least: usize) {
    let (k, mut draft) = (k(), one_entry::<V>());
    draft.fate(0, Fate::Mortal);
    // The last number is what remains: if the mortal one wrote last, it may have died before
    // it unlocked.
    let expected = [
        "died from1 1 11",
        "died from1 1 2",
        "died from1 11 11",
        "died from1 11 2",
        "died from1 2 2",
        "died from2 1 12",
        "died from2 12 12",
        "died from2 2 12",
        "replaced from1 1 2",
        "replaced from1 11 2",
        "replaced from1 2 2",
        "replaced from2 1 12",
        "replaced from2 12 12",
        "replaced from2 2 12",
    ];
    explore(writes + 1, least, &expected, move |writes| {
        let (writes, turn) = (writes as u32, writes % 2);
        let [m, t, r, end] = draft.share();
        let mortal = role(move || m.mortal(0, writes, || m.put(0, k, 2)));
        let taker = role(move || t.add(1, k, 10));
        let reader = role(move || r.get(k).to_string());
        let outcome = race(turn, [mortal, taker, reader]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[k], true))
    });
}

/// Smallest interesting schedule: the owner dies with half a value written; the taker, who
/// writes into the same slot, is observed by a reader of the old one.
#[test]
fn death_in_an_update_leaves_the_old_or_the_new_value() {
    death_in_an_update::<Wide>(7, 15000);
}

/// As above, in place.
#[test]
fn death_in_an_update_in_place_leaves_the_old_or_the_new_value() {
    death_in_an_update::<Narrow>(3, 500);
}

/// Smallest interesting schedule: the owner dies after the entry is published in the secondary
/// bucket; if it were not counted by then, nobody would find it, and the next one would insert it
/// again.
#[test]
fn death_in_an_insertion_in_secondary_bucket_leaves_all_or_nothing() {
    let k = k();
    let mut draft = Draft::<Narrow>::new(BUCKETS);
    draft
        .fill(0, 1, 0..15)
        .live(0, &[])
        .live(1, &[0, 1])
        .fate(0, Fate::Mortal);
    let expected = [
        "died inserted 6",
        "died present 5",
        "inserted present 5",
        "present inserted 6",
    ];
    explore(12 * 2, 270, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t, end] = draft.share();
        let mortal = role(move || m.mortal(0, writes, || m.insert(0, k, 5)));
        let taker = role(move || t.insert(1, k, 6));
        let outcome = race(turn, [mortal, taker]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[k], false))
    });
}

/// Smallest interesting schedule: the owner dies between taking the entry out and counting it;
/// in the other order, an entry that is still there would be found by nobody.
#[test]
fn death_in_a_removal_in_secondary_bucket_leaves_all_or_nothing() {
    let k = k();
    let mut draft = Draft::<Narrow>::new(BUCKETS);
    draft
        .fill(0, 1, 0..15)
        .put(1, 0, k, 1)
        .live(0, &[])
        .live(1, &[0, 1]);
    draft.fate(0, Fate::Mortal);
    let expected = [
        "died inserted 6",
        "died present -",
        "died present 1",
        "removed inserted 6",
        "removed present -",
    ];
    explore(9 * 2, 180, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t, end] = draft.share();
        let mortal = role(move || m.mortal(0, writes, || m.remove(0, k)));
        let taker = role(move || t.insert(1, k, 6));
        let outcome = race(turn, [mortal, taker]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[k], false))
    });
}

/// The same bucket array, where the process that moves `e` may die.
fn mortal<V: Number>((e, mut draft): (u64, Draft<V>)) -> (u64, Draft<V>) {
    draft.fate(0, Fate::Mortal);
    (e, draft)
}

/// Writes of a displacement of narrow entries, the three locks and unlockings included, and the
/// lock and unlocking of the look in the primary bucket before.
const DISPLACEMENT_WRITES: usize = 23;

/// Three threads with one preemption, and each two of them with more: three with two preemptions have
/// shown no other outcome in the 150,000 executions that they take.
fn death_in_a_displacement((e, draft): (u64, Draft<Narrow>), least: usize) {
    let k = k();
    let (three, taken, read) = (draft.clone(), draft.clone(), draft);
    let expected = [
        "died from5 15 15,-",
        "died from5 15 15,9",
        "died from5 5 15,-",
        "died from5 5 15,9",
        "inserted from5 15 15,9",
        "inserted from5 5 15,9",
    ];
    let variants = DISPLACEMENT_WRITES + 1;
    explore_within(1, variants, least, &expected, move |writes| {
        let (writes, turn) = (writes as u32, writes % 3);
        let [m, t, r, end] = three.share();
        let mortal = role(move || m.mortal(0, writes, || m.insert(0, k, 9)));
        let taker = role(move || t.add(1, e, 10));
        let reader = role(move || r.get(e).to_string());
        let outcome = race(turn, [mortal, taker, reader]);
        // Whoever died may have left a lock that nobody has met yet: meet them all.
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[e, k], false))
    });
    let expected = ["died from5 15,-", "died from5 15,9", "inserted from5 15,9"];
    explore(variants * 2, variants * 10, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t, end] = taken.share();
        let mortal = role(move || m.mortal(0, writes, || m.insert(0, k, 9)));
        let taker = role(move || t.add(1, e, 10));
        let outcome = race(turn, [mortal, taker]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[e, k], false))
    });
    let expected = ["died 5 5,-", "died 5 5,9", "inserted 5 5,9"];
    explore(variants * 2, variants * 10, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, r, end] = read.share();
        let mortal = role(move || m.mortal(0, writes, || m.insert(0, k, 9)));
        let reader = role(move || r.get(e).to_string());
        let outcome = race(turn, [mortal, reader]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[e, k], false))
    });
}

/// Smallest interesting schedule: the displacer dies between its two publications; the taker
/// updates one of the two copies; the reader finds the other.
#[test]
fn death_in_a_displacement_to_secondary_leaves_one_entry() {
    death_in_a_displacement(mortal(moves_to_secondary()), 3000);
}

/// As above, the other way.
#[test]
fn death_in_a_displacement_to_primary_leaves_one_entry() {
    death_in_a_displacement(mortal(moves_to_primary()), 6500);
}

/// What a displacement that died between its publications leaves: `e` is twice in the table, in
/// buckets 0 and 2, whose locks (and that of 1) are held by these participants.
fn twice(owners: [u32; 3]) -> (u64, Draft<Narrow>) {
    let (e, mut draft) = mortal(moves_to_secondary());
    draft.put(2, 0, e, 5);
    for (bucket, owner) in (0..).zip(owners) {
        draft.lock(bucket, owner).fate(owner, Fate::Dead);
    }
    (e, draft)
}

/// Smallest interesting schedule: the takers come from the two ends, each takes one lock and
/// removes the copy there; or they wait for each other. (The first taker died too, after it had
/// taken one lock: so there are two dead tokens.)
#[test]
fn two_takers_from_both_ends_leave_one_entry() {
    let p = key(BUCKETS, 2, 1, 0, 0);
    for (turn, owners) in [[0, 0, 0], [0, 0, 5], [5, 0, 0]].into_iter().enumerate() {
        let (e, draft) = twice(owners);
        let expected = ["from5 inserted 15 15,7", "from5 inserted 5 15,7"];
        explore(1, 2400, &expected, move |_| {
            let [a, b, r, end] = draft.share();
            let from_primary = role(move || a.add(1, e, 10));
            let from_other = role(move || b.insert(2, p, 7));
            let reader = role(move || r.get(e).to_string());
            let outcome = race(turn, [from_primary, from_other, reader]);
            end.take_over_all(3);
            format!("{outcome} {}", end.settled(&[e, p], true))
        });
    }
}

/// Smallest interesting schedule: a waiter asks whether the owner lives, and is told yes; the
/// owner dies; the taker has one of the two locks and reads the other; the waiter raises
/// its flag there, and the taker's exchange fails. It must not let go of the first lock
/// before the second copy is gone: the removed key would come back.
#[test]
fn waiter_that_raises_its_flag_does_not_stop_a_takeover_half_way() {
    let p = key(BUCKETS, 2, 1, 0, 0);
    let (e, mut draft) = twice([0, 0, 0]);
    draft.fate(0, Fate::Mortal);
    explore(1, 17000, &["- removed inserted -,7"], move |_| {
        sync::spin_nimbly(4);
        let [kernel, a, b, end] = draft.share();
        let kernel = role(move || {
            kernel.take_over(0);
            "-".to_owned()
        });
        let remover = role(move || a.remove(1, e));
        let waiter = role(move || b.insert(2, p, 7));
        let outcome = race(2, [kernel, remover, waiter]);
        end.take_over_all(3);
        format!("{outcome} {}", end.settled(&[e, p], true))
    });
}

/// Smallest interesting schedule: the taker dies as well, after any of its writes; the next one,
/// who comes from the other end, finishes what was begun. A second key of the same class
/// shows that the counter is not lowered twice.
#[test]
fn death_of_a_taker_leaves_one_entry() {
    let (e, mut draft) = twice([0, 0, 0]);
    let (neighbour, p) = (key(BUCKETS, 0, 2, 1, 1), key(BUCKETS, 2, 1, 0, 0));
    draft
        .put(2, 1, neighbour, 6)
        .live(2, &[0, 1, 2])
        .fate(1, Fate::Mortal);
    let expected = [
        "died inserted 15,6,7",
        "died inserted 5,6,7",
        "from5 inserted 15,6,7",
    ];
    explore(16 * 2, 5500, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t, end] = draft.share();
        let mortal = role(move || m.mortal(1, writes, || m.add(1, e, 10)));
        let taker = role(move || t.insert(2, p, 7));
        let outcome = race(turn, [mortal, taker]);
        end.take_over_all(3);
        format!("{outcome} {}", end.settled(&[e, neighbour, p], false))
    });
}

/// Smallest interesting schedule: the taker finds the entry twice and pauses; another one takes
/// over dead processes, the entry moves on, and a second displacement dies in the same bucket. The
/// first taker must not let go of a lock whose owner left another entry twice.
#[test]
fn late_taker_does_not_unlock_what_another_death_left() {
    let (e, mut draft) = twice([0, 0, 0]);
    let f = key(BUCKETS, 0, 1, 2, 0);
    // A bucket 1 with a copy of `f`, which also stands in bucket 0: the second death's. The locks
    // of 0 and 1 are the second dead one's, that of 2 the first one's.
    draft
        .replace_filler(0, 13, f, 4)
        .replace_filler(1, 14, f, 4);
    draft.lock(0, 4).lock(1, 4).fate(4, Fate::Dead);
    draft.live(0, &[13, 14, 15]).live(1, &[14, 15]);
    let p = key(BUCKETS, 2, 1, 0, 0);
    explore(2, 710, &["inserted removed 5,-,7"], move |turn| {
        let [a, b, end] = draft.share();
        // Comes from bucket 2, finds `e` in 0 as well, and takes both locks.
        let first = role(move || a.insert(1, p, 7));
        let second = role(move || b.remove(2, f));
        let outcome = race(turn, [first, second]);
        end.take_over_all(3);
        format!("{outcome} {}", end.settled(&[e, f, p], true))
    });
}

/// Smallest interesting schedule: the taker finds the entry twice and pauses; another one takes
/// over dead processes and displaces the entry once more, which is then in the secondary bucket,
/// and nowhere else. The first taker must not take it for the second copy.
#[test]
fn late_taker_does_not_remove_the_only_copy() {
    let (e, draft) = twice([0, 0, 0]);
    explore_within(1, 2, 50, &["from5 inserted 15,9"], move |turn| {
        sync::spin_nimbly(30);
        let [a, b, end] = draft.share();
        let first = role(move || a.add(1, e, 10));
        let second = role(move || b.insert(2, k(), 9));
        let outcome = race(turn, [first, second]);
        end.take_over_all(3);
        format!("{outcome} {}", end.settled(&[e, k()], true))
    });
}
