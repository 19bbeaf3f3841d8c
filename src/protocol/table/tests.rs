//! The table on plain memory, against a `HashMap`, one thread. (Threads are the business of
//! `tests/loom.rs` and of the multi-process tests.)

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::liveness::token::Liveness;
use crate::protocol::hash::{HashFunction, Secret};
use crate::protocol::move_log::ring_words;
use crate::protocol::shape::Typed;
use crate::sys::copy::Buffer;
use crate::sys::sync::AtomicU64;
use crate::types::image::{WordBuf, decode};

/// Nobody else is there.
struct Alone;

impl LivenessCheck for Alone {
    fn liveness(&self, _: Token) -> Liveness {
        Liveness::Unknown
    }
}

/// Memory for a table and all that it needs.
struct Memory {
    area: Vec<AtomicU64>,
    ring: Vec<AtomicU64>,
    secret: Secret,
    buckets: u64,
}

type Pair = Typed<u64, [u64; 2]>;

impl Memory {
    fn new(buckets: u64) -> Self {
        let words = buckets as usize * Pair::SHAPE.bucket_words();
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self {
            area: zeros(words),
            ring: zeros(ring_words(16) as usize),
            secret: Secret::new(std::array::from_fn(|i| random(&mut (i as u64)))),
            buckets,
        }
    }

    fn table(&self) -> Table<'_, Pair> {
        Table::new(
            Buckets::new(&self.area, self.buckets, Pair::SHAPE),
            KeyHasher::new(HashFunction::Rapid, &self.secret),
            Moves::new(&self.ring),
        )
    }

    fn get(&self, key: u64) -> Option<[u64; 2]> {
        let table = self.table();
        let words = [key];
        let mut value = WordBuf::<[u64; 2]>::uninit();
        let mut value = value.sink();
        let hash = table.hash_of(&words);
        let hashed = HashedKey {
            hash,
            words: &words,
        };
        let mut take = |bucket: Bucket<'_, Pair>, slot| bucket.load_value(slot, &mut value);
        let lookup = table.probe_primary(hashed, &mut take);
        match lookup.unwrap_or_else(|| table.read_slow(hashed, &mut take)) {
            Lookup::Hit => decode(value.words()).map(|value| *value),
            Lookup::Miss => None,
            Lookup::Contended => panic!("nobody else is there"),
        }
    }

    fn edit(&self, key: u64, edit: Edit, value: [u64; 2]) -> Result<Outcome, Blocked> {
        let table = self.table();
        let words = [key];
        let mut old = WordBuf::<[u64; 2]>::uninit();
        let mut new = value;
        let mut writer = Writer::new(&Alone, Token::new(0, 1), Duration::from_millis(50));
        let hashed = HashedKey {
            hash: table.hash_of(&words),
            words: &words,
        };
        let mut old = old.sink();
        let mut decide = |_: Option<&[u64]>, _: &mut [u64]| edit;
        match table.edit_in_primary(writer.token(), hashed, &mut old, &mut new, &mut decide) {
            Some(outcome) => Ok(outcome),
            None => table.edit(&mut writer, hashed, &mut old, &mut new, &mut decide),
        }
    }

    fn keys(&self) -> Vec<u64> {
        let table = self.table();
        let mut keys = Vec::new();
        for index in 0..self.buckets {
            let bucket = table.bucket(index);
            for slot in bucket.read_begin().occupied() {
                let mut key = WordBuf::<u64>::uninit();
                keys.push(bucket.load_key(slot, key.words())[0]);
            }
        }
        keys
    }

    /// Every counter of keys in their secondary bucket, derived from the entries.
    fn assert_overflow_counts_are_exact(&self) {
        let table = self.table();
        let mut expected: HashMap<(u64, u32), u64> = HashMap::new();
        for key in self.keys() {
            let hash = table.hash_of(&[key]);
            let primary = hash.primary(self.buckets);
            let in_primary =
                table.search_bucket(primary, hash.tag(), &[key]) != Some(Search::Absent);
            *expected.entry((primary, hash.class())).or_default() += u64::from(!in_primary);
        }
        for index in 0..self.buckets {
            for class in 0..32 {
                let count = expected.get(&(index, class)).copied().unwrap_or(0);
                assert_eq!(
                    table.bucket(index).overflow(class),
                    count,
                    "bucket {index} class {class}"
                );
            }
        }
    }
}

/// splitmix64 (Steele, Lea and Flood).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn table_agrees_with_a_hash_map_at_every_load_up_to_full() {
    for (buckets, keys) in [(2, 60), (3, 80), (16, 400), (64, 1600)] {
        let memory = Memory::new(buckets);
        let mut model: HashMap<u64, [u64; 2]> = HashMap::new();
        let mut state = buckets;
        let mut full = 0;
        for step in 0..40_000u64 {
            let key = random(&mut state) % keys;
            let value = [step, !step];
            match random(&mut state) % 8 {
                0..4 => match memory.edit(key, Edit::Put, value) {
                    Ok(Outcome::Inserted) => assert_eq!(model.insert(key, value), None),
                    Ok(Outcome::Replaced) => assert!(model.insert(key, value).is_some()),
                    Err(Blocked::Full) => {
                        assert!(!model.contains_key(&key));
                        full += 1;
                    }
                    outcome => panic!("unexpected {outcome:?}"),
                },
                4..6 => {
                    let removed = model.remove(&key).is_some();
                    let outcome = memory.edit(key, Edit::Remove, value).unwrap();
                    assert_eq!(outcome == Outcome::Removed, removed);
                }
                _ => {}
            }
            let probed = random(&mut state) % keys;
            assert_eq!(memory.get(probed), model.get(&probed).copied());
            assert_eq!(memory.get(key), model.get(&key).copied());
            if step % 1000 == 0 {
                memory.assert_overflow_counts_are_exact();
            }
        }
        let mut keys = memory.keys();
        keys.sort_unstable();
        let mut expected: Vec<u64> = model.keys().copied().collect();
        expected.sort_unstable();
        assert_eq!(keys, expected, "no key twice, none lost");
        memory.assert_overflow_counts_are_exact();
        let displaced = memory.table().moves().head();
        assert!(
            displaced > 0 || buckets == 2,
            "{buckets} buckets, {full} full: the test must reach displacement"
        );
        assert!(full > 0, "the small tables must get full");
    }
}

#[test]
fn full_is_answered_only_when_nothing_fits_and_changes_nothing() {
    let memory = Memory::new(2);
    // Two buckets: every key may go to either, so exactly thirty fit.
    for key in 0..30 {
        assert_eq!(memory.edit(key, Edit::Put, [key, 0]), Ok(Outcome::Inserted));
    }
    assert_eq!(memory.edit(30, Edit::Put, [30, 0]), Err(Blocked::Full));
    assert_eq!(memory.keys().len(), 30);
    for key in 0..30 {
        assert_eq!(memory.get(key), Some([key, 0]));
    }
    assert_eq!(memory.get(30), None);
    assert_eq!(
        memory.edit(7, Edit::Put, [8, 8]),
        Ok(Outcome::Replaced),
        "replacing needs no room"
    );
}

#[test]
fn a_held_lock_makes_writers_busy_and_leaves_readers_alone() {
    let memory = Memory::new(2);
    for key in 0..10 {
        let _ = memory.edit(key, Edit::Put, [key, 1]).unwrap();
    }
    let table = memory.table();
    let held = Token::new(5, 77);
    let locks: Vec<_> = (0..2)
        .map(|index| table.bucket(index).try_lock(held, 0).ok().unwrap())
        .collect();
    for key in 0..10 {
        assert_eq!(memory.get(key), Some([key, 1]));
        let Err(Blocked::Busy { found, .. }) = memory.edit(key, Edit::Put, [0, 0]) else {
            panic!("the lock is held");
        };
        assert_eq!(found.owner(), Some(held));
    }
    drop(locks);
    assert_eq!(memory.edit(1, Edit::Put, [4, 4]), Ok(Outcome::Replaced));
}

/// Lives when it is first asked about, and is dead from then on.
struct Dying(std::cell::Cell<u32>);

impl LivenessCheck for Dying {
    fn liveness(&self, _: Token) -> Liveness {
        let asked = self.0.replace(self.0.get() + 1);
        if asked == 0 {
            Liveness::Alive
        } else {
            Liveness::Dead
        }
    }
}

/// The owner dies while the writer sleeps, and by the time that the writer looks again its timeout
/// is over as well: it must not be told that a dead process keeps it from writing.
#[test]
fn an_owner_that_dies_as_the_deadline_passes_is_taken_over_and_not_called_busy() {
    let memory = Memory::new(4);
    assert_eq!(memory.edit(1, Edit::Put, [1, 1]), Ok(Outcome::Inserted));
    let table = memory.table();
    let words = [1];
    let hash = table.hash_of(&words);
    let primary = table.bucket(hash.primary(memory.buckets));
    core::mem::forget(primary.try_lock_once(Token::new(1, 7)).expect("it is free"));
    let dying = Dying(std::cell::Cell::new(0));
    // Less than it sleeps; under loom, where a millisecond is a turn, one turn.
    let timeout = Duration::from_millis(1);
    let mut writer = Writer::new(&dying, Token::new(0, 1), timeout);
    let mut old = WordBuf::<[u64; 2]>::uninit();
    let mut old = old.sink();
    let hashed = HashedKey {
        hash,
        words: &words,
    };
    let mut put = |_: Option<&[u64]>, _: &mut [u64]| Edit::Put;
    let outcome = table.edit(&mut writer, hashed, &mut old, &mut [2, 2], &mut put);
    assert_eq!(outcome, Ok(Outcome::Replaced));
    assert_eq!(memory.get(1), Some([2, 2]));
    assert!(dying.0.get() >= 2, "it was asked again after the deadline");
}
