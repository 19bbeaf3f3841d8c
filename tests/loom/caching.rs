//! What a cache adds to the table: insertions that replace an entry, hits that leave a trace,
//! times that are refreshed, and leases.
//!
//! An entry's value and its metadata word are the two words of a [`Wide`] number. All entries are
//! of the epoch in which the fillers are, except the one that shall be evicted: it has a small
//! number, hence another epoch ([`Wide`]), and what is out of date is evicted first, whatever the
//! policy.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::liveness::token::{Liveness, LockWord};
use crate::memory::{Draft, FILLER, Fate, Number, Segment, Wide, hash, key, short, token};
use crate::model::{explore, explore_within, race, role};
use crate::protocol::bucket::{Search, Slot};
use crate::protocol::lease::{CELL_WORDS, Claim, Leases};
use crate::protocol::replacement::Replacement;
use crate::protocol::shape::{Cached, One};
use crate::protocol::table::{Edit, HashedKey, LivenessCheck, Outcome, Table};
use crate::sys::sync::{self, AtomicU64};
use crate::types::image::WordBuf;
use crate::types::metadata::Meta;

const BUCKETS: u64 = 2;

/// Values of entries that are not out of date.
const FRESH: u64 = FILLER + 1;
const FRESHER: u64 = FILLER + 2;

/// Every bucket has its fifteen entries.
fn full() -> Replacement<'static> {
    let mut replacement = Replacement::new(15 * BUCKETS, BUCKETS);
    replacement.may_be_stale = true;
    let [_, meta] = Wide::of(FILLER);
    replacement.epoch = meta;
    assert!(Meta(meta).is_of(replacement.epoch));
    replacement
}

fn table<'a>(
    segment: &'a Segment<Wide>,
    replacement: &'a Replacement<'a>,
) -> Table<'a, Cached<'a, u64, u64, One>> {
    segment.table_of(Cached::replacing(One, replacement))
}

/// Inserts or replaces, as a cache does.
fn put(segment: &Segment<Wide>, me: u32, key: u64, value: u64) -> String {
    let replacement = full();
    let table = table(segment, &replacement);
    let words = [key];
    let hashed = HashedKey {
        hash: hash(key),
        words: &words,
    };
    let (mut new, mut old) = (WordBuf::<Wide>::uninit(), WordBuf::<Wide>::uninit());
    let new = new.write(&Wide::of(value));
    let mut old = old.sink();
    let mut put = |_: Option<&[u64]>, _: &mut [u64]| Edit::Put;
    short(
        match table.edit_in_primary(token(me), hashed, &mut old, new, &mut put) {
            Some(outcome) => Ok(outcome),
            None => table.edit(&mut segment.writer(me), hashed, &mut old, new, &mut put),
        },
    )
}

fn k() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

/// The key that is evicted.
fn v() -> u64 {
    key(BUCKETS, 0, 1, 0, 1)
}

/// Two full buckets; slot 0 of the first has an entry that is out of date.
fn crowd() -> Draft<Wide> {
    let mut draft = Draft::new(BUCKETS);
    draft.fill(0, 1, 1..15).put(0, 0, v(), 9).fill(1, 0, 0..15);
    draft.live(0, &[0, 15]).live(1, &[]).policy(0).policy(1);
    draft
}

/// Smallest interesting schedule: the new entry is written into the spare slot while the reader
/// copies the old one, and published while it looks again.
#[test]
fn reader_sees_the_old_entry_or_the_new_one_and_never_a_mixture() {
    let draft = crowd();
    let fresh = format!("inserted - {FRESH}");
    let expected = [fresh.as_str(), "inserted - miss"];
    explore(2, 20, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || put(&w, 0, k(), FRESH));
        let reader = role(move || format!("- {}", r.get(k())));
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k(), v()], true), format!("{FRESH},-"));
        outcome
    });
    let draft = crowd();
    let expected = ["inserted - 9", "inserted - miss"];
    explore(2, 20, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || put(&w, 0, k(), FRESH));
        let reader = role(move || format!("- {}", r.get(v())));
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k(), v()], true), format!("{FRESH},-"));
        outcome
    });
}

/// Smallest interesting schedule: the second one's slot is the one that the first has emptied,
/// and the reader still copies the entry that was there.
#[test]
fn slot_that_became_free_is_filled_again_under_a_reader() {
    let mut draft = crowd();
    let second = key(BUCKETS, 0, 1, 0, 2);
    let w = key(BUCKETS, 0, 1, 0, 3);
    draft.replace_filler(0, 1, w, 8).live(0, &[0, 1, 15]);
    let expected = ["- 9", "- miss"];
    explore(2, 50, &expected, move |turn| {
        let [a, r, end] = draft.share();
        let writer = role(move || {
            assert_eq!(put(&a, 0, k(), FRESH), "inserted");
            assert_eq!(put(&a, 0, second, FRESHER), "inserted");
            "-".to_owned()
        });
        let reader = role(move || r.get(v()).to_string());
        let outcome = race(turn, [writer, reader]);
        let end = end.settled(&[k(), second, v(), w], true);
        assert_eq!(end, format!("{FRESH},{FRESHER},-,-"));
        outcome
    });
}

/// Smallest interesting schedule: each has locked its primary bucket, which is the other's second
/// bucket.
#[test]
fn two_insertions_into_full_buckets_both_succeed() {
    let mut draft = crowd();
    let mirrored = key(BUCKETS, 1, 0, 0, 0);
    let w = key(BUCKETS, 0, 1, 0, 3);
    draft.replace_filler(0, 1, w, 8).live(0, &[0, 1, 15]);
    draft.live(1, &[]);
    explore(2, 40, &["inserted inserted"], move |turn| {
        let [a, b, end] = draft.share();
        let first = role(move || put(&a, 0, k(), FRESH));
        let second = role(move || put(&b, 1, mirrored, FRESHER));
        let outcome = race(turn, [first, second]);
        // The mirrored key is in its secondary bucket, which counts it.
        let end = end.settled(&[k(), mirrored, v(), w], true);
        assert_eq!(end, format!("{FRESH},{FRESHER},-,-"));
        outcome
    });
}

/// The process dies before each of its writes; another one comes and inserts too.
#[test]
fn death_in_a_replacement_leaves_the_old_entry_or_the_new_one() {
    const WRITES: usize = 12;
    let mut draft = crowd();
    draft.fate(0, Fate::Mortal);
    let (fresh, fresher) = (FRESH.to_string(), FRESHER.to_string());
    let expected = [
        // It died before it published, or after, or not at all.
        format!("died inserted {fresher},-"),
        format!("died replaced {fresher},-"),
        format!("inserted inserted {fresh},-"),
        format!("inserted replaced {fresher},-"),
    ];
    let _ = fresh;
    let expected: Vec<&str> = expected[..].iter().map(String::as_str).collect();
    let expected = [expected[0], expected[1], expected[3]];
    explore(WRITES * 2, 100, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t, end] = draft.share();
        let mortal = role(move || m.mortal(0, writes, || put(&m, 0, k(), FRESH)));
        let taker = role(move || put(&t, 1, k(), FRESHER));
        let outcome = race(turn, [mortal, taker]);
        end.take_over_all(2);
        let left = end.settled(&[k(), v()], false);
        // Whoever came last: the mortal one may have been the second.
        let left = match left.strip_prefix(&format!("{FRESH},")) {
            Some(rest) => format!("{FRESHER},{rest}"),
            None => left,
        };
        let outcome = outcome.replace("replaced inserted", "inserted replaced");
        format!("{outcome} {left}")
    });
}

/// Smallest interesting schedule: the slot becomes another entry's between the copy and the hit's
/// trace, which then speaks for the wrong entry: that is all.
#[test]
fn hit_that_comes_late_harms_nobody() {
    let draft = crowd();
    explore(2, 30, &["inserted hit", "inserted miss"], move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || put(&w, 0, k(), FRESH));
        let reader = role(move || {
            let replacement = full();
            let table = table(&r, &replacement);
            let bucket = table.bucket(0);
            let state = bucket.read_begin();
            match bucket.search(state, hash(v()).tag(), &[v()]) {
                Search::Found(slot) => {
                    bucket.touch(slot);
                    "hit".to_owned()
                }
                Search::Absent => "miss".to_owned(),
            }
        });
        let outcome = race(turn, [writer, reader]);
        assert_eq!(end.settled(&[k(), v()], true), format!("{FRESH},-"));
        outcome
    });
}

/// Smallest interesting schedule: the time is refreshed between the reader's copy and its
/// second look, which does not notice, and need not.
#[test]
fn refreshed_word_is_seen_old_or_new_with_the_same_value() {
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.put(0, 0, k(), 5).live(0, &[0]);
    explore(2, 10, &["refreshed new", "refreshed old"], move |turn| {
        let [w, r] = draft.share();
        let writer = role(move || {
            let replacement = full();
            let table = table(&w, &replacement);
            let locked = table.bucket(0).try_lock_once(token(0));
            let locked = locked.expect("nobody else wants it");
            let Search::Found(slot) = locked.search(hash(k()).tag(), &[k()]) else {
                panic!("the key is there");
            };
            assert_eq!(slot, Slot::new(0));
            locked.store_value_word(slot, 1, 77);
            "refreshed".to_owned()
        });
        let reader = role(move || {
            let replacement = full();
            let table = table(&r, &replacement);
            let words = [k()];
            let hashed = HashedKey {
                hash: hash(k()),
                words: &words,
            };
            let mut image = WordBuf::<Wide>::uninit();
            let mut sink = image.sink();
            let found =
                table.probe_primary(hashed, |bucket, slot| bucket.load_value(slot, &mut sink));
            assert_eq!(found, Some(crate::protocol::table::Lookup::Hit));
            let [value, meta] = *sink.words() else {
                panic!("two words");
            };
            match [value, meta] {
                [5, 77] => "new".to_owned(),
                words if words == Wide::of(5) => "old".to_owned(),
                other => panic!("{other:?}"),
            }
        });
        race(turn, [writer, reader])
    });
}

/// Cells for leases, beside a segment.
struct Cells(Vec<AtomicU64>);

impl Cells {
    fn new(count: usize) -> Rc<Self> {
        let words = (0..count * CELL_WORDS).map(|_| AtomicU64::live(0));
        Rc::new(Self(words.collect()))
    }
}

/// Looks under the lock of the key's primary bucket, and claims if there is nothing.
fn claim<'a>(
    segment: &Segment<Wide>,
    cells: &'a Cells,
    me: u32,
    key: u64,
    dead: Option<LockWord>,
) -> Result<u64, Claim<'a>> {
    let replacement = full();
    let table = table(segment, &replacement);
    let words = [key];
    let hashed = HashedKey {
        hash: hash(key),
        words: &words,
    };
    let mut old = WordBuf::<Wide>::uninit();
    let mut old = old.sink();
    let mut claim = None;
    let mut decide = |current: Option<&[u64]>, _: &mut [u64]| {
        if current.is_none() {
            claim = Some(Leases::new(&cells.0).claim(hashed.hash, token(me), dead, 1, 1));
        }
        Edit::Keep
    };
    let outcome = match table.edit_in_primary(token(me), hashed, &mut old, &mut [], &mut decide) {
        Some(outcome) => outcome,
        None => table
            .edit(
                &mut segment.writer(me),
                hashed,
                &mut old,
                &mut [],
                &mut decide,
            )
            .expect("the owner of a lock lives or is dead"),
    };
    match (outcome, claim) {
        (Outcome::KeptPresent, _) => Ok(old.words()[0]),
        (_, Some(claim)) => Err(claim),
        (other, None) => panic!("{other:?} without a claim"),
    }
}

/// Finds a value, or loads it, as `Cache::get_or_insert_with` does.
fn load(segment: &Segment<Wide>, cells: &Cells, me: u32, key: u64, loads: &AtomicUsize) -> u64 {
    let mut dead = None;
    loop {
        match claim(segment, cells, me, key, dead.take()) {
            Ok(value) => return value,
            Err(Claim::Ours(lease)) => {
                loads.fetch_add(1, Ordering::Relaxed);
                let value = FILLER + 1 + u64::from(me);
                put(segment, me, key, value);
                drop(lease);
                return value;
            }
            Err(Claim::Theirs(mut holder)) => {
                let word = holder.word();
                let owner = word.owner().expect("somebody holds it");
                if segment.who().liveness(owner) == Liveness::Dead {
                    dead = Some(word);
                } else {
                    holder.wait();
                }
            }
            // A loader has died between its claim and writing down of which key: the cell is
            // nobody's as far as one can see, and made free as the cache does.
            Err(Claim::NoFreeCell) => {
                Leases::new(&cells.0).free_dead_cells(segment.who(), hash(key), token(me));
                loom::thread::yield_now();
            }
        }
    }
}

fn one_absent() -> Draft<Wide> {
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.live(0, &[0, 1]).live(1, &[]).policy(0);
    draft
}

/// Smallest interesting schedule: the second finds the lease held, and the first lets go before
/// it falls asleep; it looks again and finds the value. Or another cell is free, which must not
/// tempt it to load as well.
#[test]
fn of_two_who_miss_one_loads() {
    let draft = one_absent();
    let (first, second) = (FILLER + 1, FILLER + 2);
    let expected = [format!("{first} {first}"), format!("{second} {second}")];
    let expected = expected.each_ref().map(String::as_str);
    explore(4, 40, &expected, move |variant| {
        let (turn, count) = (variant % 2, variant / 2 + 1);
        let [a, b] = draft.share();
        let cells = Cells::new(count);
        let loads = Rc::new(AtomicUsize::new(0));
        let roles = [(a, 0), (b, 1)].map(|(segment, me)| {
            let (cells, loads) = (cells.clone(), loads.clone());
            role(move || load(&segment, &cells, me, k(), &loads).to_string())
        });
        let outcome = race(turn, roles);
        assert_eq!(loads.load(Ordering::Relaxed), 1, "one loads");
        outcome
    });
}

/// The loader dies before each of its writes; the other one loads, or finds what it has left.
#[test]
fn loader_that_dies_is_followed_by_the_one_who_waits() {
    const WRITES: usize = 16;
    let mut draft = one_absent();
    draft.fate(0, Fate::Mortal);
    let (first, second) = (FILLER + 1, FILLER + 2);
    let expected = [
        format!("{first} {first}"),
        format!("{second} {second}"),
        format!("died {first}"),
        format!("died {second}"),
    ];
    let expected = expected.each_ref().map(String::as_str);
    explore(WRITES * 2, 200, &expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, t] = draft.share();
        let cells = Cells::new(1);
        let loads = Rc::new(AtomicUsize::new(0));
        let (cells_of_m, loads_of_m) = (cells.clone(), Rc::new(AtomicUsize::new(0)));
        let mortal = role(move || {
            let outcome = m.mortal(0, writes, || {
                load(&m, &cells_of_m, 0, k(), &loads_of_m).to_string()
            });
            if outcome == "died" {
                sync::death(token(0).to_word(), &cells_of_m.0);
            }
            outcome
        });
        let loads_of_t = loads.clone();
        let taker = role(move || load(&t, &cells, 1, k(), &loads_of_t).to_string());
        let outcome = race(turn, [mortal, taker]);
        assert!(loads.load(Ordering::Relaxed) <= 1);
        outcome
    });
}

/// Smallest interesting schedule: both find the one cell free.
#[test]
fn one_cell_is_given_to_one_of_two_keys() {
    let other = key(BUCKETS, 1, 0, 0, 0);
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft.live(0, &[0]).live(1, &[0]).policy(0).policy(1);
    let expected = ["full ours", "ours full", "ours ours"];
    explore(2, 10, &expected, move |turn| {
        let [a, b] = draft.share();
        let cells = Cells::new(1);
        let both = Rc::new(AtomicUsize::new(0));
        let roles = [(a, 0, k()), (b, 1, other)].map(|(segment, me, key)| {
            let (cells, both) = (cells.clone(), both.clone());
            role(move || match claim(&segment, &cells, me, key, None) {
                Err(Claim::Ours(lease)) => {
                    // While it is ours, nobody else has it.
                    assert_eq!(both.fetch_add(1, Ordering::Relaxed), 0);
                    loom::thread::yield_now();
                    both.fetch_sub(1, Ordering::Relaxed);
                    drop(lease);
                    "ours".to_owned()
                }
                Err(Claim::NoFreeCell) => "full".to_owned(),
                _ => panic!("the key is absent, and the other one's hash is another"),
            })
        });
        race(turn, roles)
    });
}

/// Smallest interesting schedule: the victim is in its secondary bucket, which counts it. If the
/// count were lowered first, the reader would miss it, and then find it.
#[test]
fn victim_in_its_secondary_bucket_is_not_missed_before_it_is_gone() {
    let overflow = key(BUCKETS, 1, 0, 3, 0);
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft
        .fill(0, 1, 1..15)
        .put(0, 0, overflow, 9)
        .fill(1, 0, 0..15);
    draft.live(0, &[0, 15]).live(1, &[]).policy(0).policy(1);
    let expected = ["inserted 9 9", "inserted 9 miss", "inserted miss miss"];
    explore(2, 50, &expected, move |turn| {
        let [w, r, end] = draft.share();
        let writer = role(move || put(&w, 0, k(), FRESH));
        let reader = role(move || format!("{} {}", r.get(overflow), r.get(overflow)));
        let outcome = race(turn, [writer, reader]);
        // Its primary bucket, the other one of the two, was locked: the count is exact.
        assert_eq!(end.settled(&[k(), overflow], true), format!("{FRESH},-"));
        outcome
    });
}

/// Smallest interesting schedule: the process dies between taking out the victim, which is in its
/// secondary bucket from its primary bucket, and counting it. In the other order, an entry that is
/// still there would be found by nobody, and inserted again.
#[test]
fn death_in_a_replacement_of_one_in_its_secondary_bucket_hides_nothing() {
    let overflow = key(BUCKETS, 1, 0, 3, 0);
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft
        .fill(0, 1, 1..15)
        .put(0, 0, overflow, 9)
        .fill(1, 0, 0..15);
    draft.live(0, &[0, 15]).live(1, &[]).policy(0).policy(1);
    draft.fate(0, Fate::Mortal);
    let expected = [
        "died 9 -,9".to_string(),
        format!("died 9 {FRESH},-"),
        format!("died miss {FRESH},-"),
        format!("inserted 9 {FRESH},-"),
        format!("inserted miss {FRESH},-"),
    ];
    let expected = expected.each_ref().map(String::as_str);
    die_while_replacing(draft, overflow, overflow, &expected);
}

/// Smallest interesting schedule: the new entry goes into its secondary bucket; the process dies
/// when it is published there. Were it not counted by then, nobody would find it.
#[test]
fn death_in_a_replacement_in_secondary_bucket_leaves_all_or_nothing() {
    let victim = key(BUCKETS, 1, 0, 0, 1);
    let mut draft = Draft::<Wide>::new(BUCKETS);
    draft
        .fill(0, 1, 0..15)
        .put(1, 0, victim, 9)
        .fill(1, 0, 1..15);
    draft.live(0, &[15]).live(1, &[0, 15]).policy(0).policy(1);
    draft.fate(0, Fate::Mortal);
    let expected = [
        format!("died {FRESH} {FRESH},-"),
        "died miss -,9".to_string(),
        format!("died miss {FRESH},-"),
        format!("inserted {FRESH} {FRESH},-"),
        format!("inserted miss {FRESH},-"),
    ];
    let expected = expected.each_ref().map(String::as_str);
    die_while_replacing(draft, k(), victim, &expected);
}

/// An insertion of `k()` that dies before each of its writes in turn, under a reader of `read`; what is
/// left of `k()` and of the replaced entry when the orphaned locks are taken over belongs to the
/// outcome.
fn die_while_replacing(draft: Draft<Wide>, read: u64, replaced: u64, expected: &[&str]) {
    const WRITES: usize = 20;
    explore(WRITES * 2, 200, expected, move |variant| {
        let (writes, turn) = ((variant / 2) as u32, variant % 2);
        let [m, r, end] = draft.share();
        let mortal = role(move || m.mortal(0, writes, || put(&m, 0, k(), FRESH)));
        let reader = role(move || r.get(read).to_string());
        let outcome = race(turn, [mortal, reader]);
        end.take_over_all(2);
        format!("{outcome} {}", end.settled(&[k(), replaced], false))
    });
}

/// Smallest interesting schedule: the holder lets go of the one cell; somebody takes it for another
/// key; who looks for the first key's holder must not get the second. (Nobody claims the key
/// meanwhile: who looks has locked its primary bucket.)
#[test]
fn holder_of_another_key_is_never_taken_for_the_one_that_is_looked_for() {
    let other = key(BUCKETS, 1, 0, 0, 0);
    let expected = [
        "free full 0",
        "free full nobody",
        "free ours 0",
        "free ours nobody",
    ];
    explore_within(1, 3, 100, &expected, move |turn| {
        let cells = Cells::new(1);
        let held = match Leases::new(&cells.0).claim(hash(k()), token(0), None, 1, 1) {
            Claim::Ours(lease) => {
                std::mem::forget(lease);
                LockWord(token(0).to_word())
            }
            _ => panic!("the cell is free"),
        };
        let (a, b, c) = (cells.clone(), cells.clone(), cells);
        let holder = role(move || {
            // Takes it from itself, to let go of it.
            match Leases::new(&a.0).claim(hash(k()), token(0), Some(held), 1, 1) {
                Claim::Ours(lease) => drop(lease),
                _ => panic!("it is the holder"),
            }
            "free".to_owned()
        });
        let next = role(
            move || match Leases::new(&b.0).claim(hash(other), token(1), None, 1, 1) {
                Claim::Ours(lease) => {
                    drop(lease);
                    "ours".to_owned()
                }
                Claim::Theirs(_) => panic!("nobody else wants this key"),
                Claim::NoFreeCell => "full".to_owned(),
            },
        );
        let looker = role(move || match Leases::new(&c.0).holder(hash(k())) {
            Some(holder) => {
                let owner = holder.word().owner().and_then(|owner| owner.slot());
                owner.map_or("free".to_owned(), |owner| owner.to_string())
            }
            None => "nobody".to_owned(),
        });
        race(turn, [holder, next, looker])
    });
}

/// Smallest interesting schedule: two wait for a dead loader, and both have found out that it is dead;
/// the second must not take the lease from the first.
#[test]
fn of_two_who_follow_a_dead_loader_one_loads() {
    let mut draft = one_absent();
    draft.fate(3, Fate::Dead);
    let (first, second) = (FILLER + 1, FILLER + 2);
    let expected = [format!("{first} {first}"), format!("{second} {second}")];
    let expected = expected.each_ref().map(String::as_str);
    explore(2, 100, &expected, move |turn| {
        let [a, b] = draft.share();
        let cells = Cells::new(1);
        match Leases::new(&cells.0).claim(hash(k()), token(3), None, 1, 1) {
            // It died with it.
            Claim::Ours(lease) => std::mem::forget(lease),
            _ => panic!("the cell is free"),
        }
        let loads = Rc::new(AtomicUsize::new(0));
        let roles = [(a, 0), (b, 1)].map(|(segment, me)| {
            let (cells, loads) = (cells.clone(), loads.clone());
            role(move || load(&segment, &cells, me, k(), &loads).to_string())
        });
        let outcome = race(turn, roles);
        assert_eq!(loads.load(Ordering::Relaxed), 1, "one loads");
        outcome
    });
}

/// Smallest interesting schedule: the one cell is held, by a loader who lives or by one who is
/// dead, when somebody makes room for another key.
#[test]
fn room_for_leases_is_made_of_dead_ones_only() {
    for (fate, expected) in [(Fate::Dead, ["0 ours"]), (Fate::Alive, ["3 full"])] {
        let mut draft = one_absent();
        draft.fate(3, fate);
        explore(1, 1, &expected, move |_| {
            let [segment] = draft.share();
            let cells = Cells::new(1);
            match Leases::new(&cells.0).claim(hash(k()), token(3), None, 1, 1) {
                Claim::Ours(lease) => std::mem::forget(lease),
                _ => panic!("the cell is free"),
            }
            let other = hash(key(BUCKETS, 1, 0, 0, 0));
            let maker = role(move || {
                let leases = Leases::new(&cells.0);
                leases.free_dead_cells(segment.who(), other, token(0));
                match leases.claim(other, token(0), None, 1, 1) {
                    Claim::Ours(lease) => {
                        std::mem::forget(lease);
                        "0 ours".to_owned()
                    }
                    Claim::NoFreeCell => "3 full".to_owned(),
                    Claim::Theirs(_) => panic!("nobody else wants this key"),
                }
            });
            race(0, [maker])
        });
    }
}
