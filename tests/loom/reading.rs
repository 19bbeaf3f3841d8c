//! Readers against writers of the bucket that they read.

use crate::memory::{Draft, Got, Narrow, Number, Wide, key, key_like};
use crate::model::{explore, race, role};
use crate::protocol::table::Lookup;
use crate::sys::sync;

const BUCKETS: u64 = 2;

/// The key that is read.
fn k() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

/// `k` with value 1 in slot 0 of its primary bucket; slots 0 to 2 are going to be written.
fn one_entry<V: Number>() -> Draft<V> {
    let mut draft = Draft::new(BUCKETS);
    draft.put(0, 0, k(), 1).live(0, &[0, 1, 2]);
    draft
}

/// Smallest interesting schedule: the reader matches the key in slot 0; the writer publishes 2
/// in slot 1 and begins to write 3 into slot 0; the reader copies the second word of slot 0.
#[test]
fn update_out_of_place_is_never_seen_half() {
    let (k, draft) = (k(), one_entry::<Wide>());
    explore(2, 4200, &["1 -", "2 -", "3 -"], move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || r.get(k).to_string());
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.put(0, k, 3), "replaced");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

/// As above, by a handle that cannot write: the reader would not survive a single write.
#[test]
fn read_only_reader_sees_whole_values_and_writes_nothing() {
    let (k, draft) = (k(), one_entry::<Wide>());
    explore(2, 1600, &["1 -", "2 -", "3 -"], move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || {
            let got = sync::mortal(0, || r.get_read_only(k));
            got.expect("a reader writes nothing").to_string()
        });
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.put(0, k, 3), "replaced");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

/// Smallest interesting schedule: the reader has read 2 once; its second look must not
/// find 1.
#[test]
fn update_in_place_never_goes_backwards() {
    let (k, draft) = (k(), one_entry::<Narrow>());
    let expected = ["1 1 -", "1 2 -", "1 3 -", "2 2 -", "2 3 -", "3 3 -"];
    explore(2, 80, &expected, move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || format!("{} {}", r.get(k), r.get(k)));
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.put(0, k, 3), "replaced");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

fn reuse<V: Number>(least: usize) {
    let (k, draft) = (k(), one_entry::<V>());
    let twin = key_like(BUCKETS, k);
    explore(2, least, &["1 -", "miss -"], move |turn| {
        let [r, w, end] = draft.share();
        let reader = role(move || r.get(k).to_string());
        let writer = role(move || {
            assert_eq!(w.remove(0, k), "removed");
            assert_eq!(w.insert(0, twin, 50), "inserted");
            assert_eq!(w.put(0, twin, 60), "replaced");
            "-".to_owned()
        });
        let outcome = race(turn, [reader, writer]);
        assert_eq!(end.settled(&[k, twin], true), "-,60");
        outcome
    });
}

/// Smallest interesting schedule: the reader matches the key; the writer removes it, puts another
/// one with the same tag into its slot and updates that in place; the reader copies the value.
#[test]
fn reader_never_gets_the_value_of_the_next_key_in_the_slot() {
    reuse::<Narrow>(1200);
}

/// As above, with values that take two words.
#[test]
fn reader_never_gets_half_of_the_value_of_the_next_key_in_the_slot() {
    reuse::<Wide>(8600);
}

fn moved_within<V: Number>(least: usize, expected: &[&str], twin: u64) {
    let (k, draft) = (k(), one_entry::<V>());
    explore(2, least, expected, move |turn| {
        let [r, w, end] = draft.share();
        let reader = role(move || r.get(k).to_string());
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.insert(0, twin, 50), "inserted");
            "-".to_owned()
        });
        let outcome = race(turn, [reader, writer]);
        assert_eq!(end.settled(&[k, twin], true), "2,50");
        outcome
    });
}

/// Smallest interesting schedule: the reader loads `state`; the writer moves the key to slot 1
/// by an update and puts another one into slot 0; the reader finds the other one's tag there.
#[test]
fn present_key_is_not_missed_when_its_old_slot_is_filled_again() {
    let other = key(BUCKETS, 0, 1, 0, 1);
    moved_within::<Wide>(2500, &["1 -", "2 -"], other);
}

/// As above, but the tags are the same, so that the reader compares the other key itself.
#[test]
fn present_key_is_not_missed_when_a_key_with_its_tag_takes_its_old_slot() {
    moved_within::<Wide>(2900, &["1 -", "2 -"], key_like(BUCKETS, k()));
}

/// Smallest interesting schedule: an insert is published between the reader's first and second
/// look at `state`; the entry that was copied is as good as before.
#[test]
fn insert_of_another_key_leaves_a_hit_a_hit() {
    let (k, draft) = (k(), one_entry::<Wide>());
    let other = key(BUCKETS, 0, 1, 0, 1);
    explore(2, 220, &["1 Hit inserted"], move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || format!("{} {:?}", r.get(k), r.contains(k)));
        let writer = role(move || w.insert(0, other, 50));
        race(turn, [reader, writer])
    });
}

/// Smallest interesting schedule: the writer dawdles between its two publications; the reader
/// finds nothing, then the key.
#[test]
fn insert_and_remove_are_seen_in_their_order() {
    let (k, draft) = (k(), one_entry::<Wide>());
    let other = key(BUCKETS, 0, 1, 0, 1);
    // The writer inserts `other`, then removes `k`: who misses `k` must find `other` after.
    let expected = ["1 50 -", "1 miss -", "miss 50 -"];
    explore(2, 750, &expected, move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || format!("{} {}", r.get(k), r.get(other)));
        let writer = role(move || {
            assert_eq!(w.insert(0, other, 50), "inserted");
            assert_eq!(w.remove(0, k), "removed");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

fn two_buckets<V: Number>(least: usize) {
    let (a, b) = (key(BUCKETS, 0, 1, 0, 0), key(BUCKETS, 1, 0, 0, 0));
    let mut draft = Draft::<V>::new(BUCKETS);
    draft.put(0, 0, a, 1).live(0, &[0, 1]);
    draft.put(1, 0, b, 11).live(1, &[0, 1]);
    explore(2, least, &["11 1 -", "11 2 -", "12 2 -"], move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || format!("{} {}", r.get(b), r.get(a)));
        let writer = role(move || {
            assert_eq!(w.put(0, a, 2), "replaced");
            assert_eq!(w.put(0, b, 12), "replaced");
            "-".to_owned()
        });
        race(turn, [reader, writer])
    });
}

/// Smallest interesting schedule: the reader sees the second write, then looks for the first,
/// which was made in another bucket.
#[test]
fn who_sees_a_write_sees_what_was_written_before_it() {
    two_buckets::<Wide>(270);
}

/// As above; the writes are made in place, so no state changes.
#[test]
fn who_sees_a_write_in_place_sees_what_was_written_before_it() {
    two_buckets::<Narrow>(44);
}

/// Smallest interesting schedule: two readers, one update between the first's look and the
/// second's, which starts when the first has finished.
#[test]
fn readers_agree_on_the_order_of_updates() {
    let (k, draft) = (k(), one_entry::<Wide>());
    let expected = [
        "1 1 replaced",
        "1 2 replaced",
        "2 1 replaced",
        "2 2 replaced",
    ];
    explore(3, 2400, &expected, move |turn| {
        let [a, b, w] = draft.share();
        let first = role(move || a.get(k).to_string());
        let second = role(move || b.get(k).to_string());
        let writer = role(move || w.put(0, k, 2));
        race(turn, [first, second, writer])
    });
}
