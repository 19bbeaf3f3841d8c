//! Sleeping for a lock. Nobody wakes up by itself in these models (nor in most of the others): a
//! wake-up that is lost is a deadlock, and loom says so.

use crate::memory::{Draft, Fate, Narrow, key};
use crate::model::{explore, race, role};

fn one_entry() -> (u64, Draft<Narrow>) {
    let k = key(2, 0, 1, 0, 0);
    let mut draft = Draft::new(2);
    draft.put(0, 0, k, 1).live(0, &[0]);
    (k, draft)
}

/// Smallest interesting schedule: the waiter raises the flag; the owner unlocks; the waiter must
/// not fall asleep.
#[test]
fn waiter_is_woken() {
    let (k, draft) = one_entry();
    explore(2, 22, &["from1 from11", "from21 from1"], move |turn| {
        let [a, b] = draft.share();
        let first = role(move || a.add(0, k, 10));
        let second = role(move || b.add(1, k, 20));
        race(turn, [first, second])
    });
}

/// Smallest interesting schedule: two sleep; the owner's unlocking clears the flag; the one
/// that takes the lock next does not know of the other, who must have been woken with it.
#[test]
fn all_waiters_are_woken() {
    let (k, draft) = one_entry();
    explore(3, 920, &["71"], move |turn| {
        let [a, b, c, end] = draft.share();
        let roles = [(a, 10), (b, 20), (c, 40)];
        let roles = roles.map(|(s, more)| role(move || s.add(more as u32 / 20, k, more)));
        race(turn, roles);
        end.settled(&[k], true)
    });
}

/// Smallest interesting schedule: one sleeps on the lock of an owner who lives; the owner
/// dies; somebody takes the lock over, and wakes the sleeper when it is done.
#[test]
fn who_sleeps_on_a_dead_owner_is_woken_by_the_taker() {
    let (k, mut draft) = one_entry();
    draft.lock(0, 0).fate(0, Fate::Mortal);
    let expected = ["from1 from11 31", "from21 from1 31"];
    explore(2, 330, &expected, move |turn| {
        let [a, b, end] = draft.share();
        let sleeper = role(move || a.add(1, k, 10));
        let taker = role(move || {
            b.take_over_silently(0);
            b.add(2, k, 20)
        });
        let outcome = race(turn, [sleeper, taker]);
        format!("{outcome} {}", end.settled(&[k], true))
    });
}
