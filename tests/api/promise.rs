//! `capacity(n)` is a promise: any `n` entries fit, also after millions of other ones came
//! and went.
//!
//! Plain `cargo test` runs a shorter form; `SHMKV_LONG=1` runs all of it, and prints what it
//! counted: `SHMKV_LONG=1 cargo test --release --test api promise -- --nocapture --test-threads=1`.

use crate::support::{Random, long};
use shmkv::zerocopy::FromZeros;
use shmkv::{Key, Map, Segment, Value, WriteError};

/// How much is done with one kind of entry.
struct Effort {
    capacity: usize,
    /// Maps, each with a secret and keys of its own.
    maps: usize,
    /// Steps that remove one entry and insert another, over all maps.
    steps: u64,
}

/// Fills maps to their capacity, then replaces entries one by one; counts refusals.
fn keep_the_promise<K: Key, V: Value + FromZeros>(effort: &Effort, key_of: impl Fn(u64) -> K) {
    let Effort {
        capacity,
        maps,
        steps,
    } = *effort;
    let mut random = Random::seeded();
    let (mut fills, mut churned, mut refused, mut displaced) = (0u64, 0u64, 0u64, 0u64);
    let mut seed = 0;
    for _ in 0..maps {
        let map: Map<K, V> = Map::builder()
            .capacity(capacity)
            .create(Segment::memfd("promise").unwrap())
            .unwrap();
        seed = random.next();
        let mut keys: Vec<u64> = (0..capacity).map(|_| random.next()).collect();
        let mut insert = |key| match map.insert(key_of(key), V::new_zeroed()) {
            Ok(previous) => assert!(previous.is_none(), "64 random bits are new"),
            Err(WriteError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        };
        for &key in &keys {
            insert(key);
            fills += 1;
        }
        for _ in 0..steps / maps as u64 {
            let old = random.below(capacity as u64) as usize;
            let new = random.next();
            let gone = map.remove(&key_of(keys[old])).unwrap();
            assert!(gone.is_some(), "an entry was lost");
            insert(new);
            churned += 1;
            keys[old] = new;
        }
        assert_eq!(map.len(), capacity);
        displaced += map.stats().displaced;
    }
    let what = format!(
        "{} + {} bytes, capacity {capacity}: {maps} maps, {fills} entries, {churned} steps, \
         {displaced} displaced, {refused} refused",
        size_of::<K>(),
        size_of::<V>(),
    );
    if long() {
        println!("{what}");
    }
    assert_eq!(refused, 0, "{what} (last seed {seed:#x})");
}

fn as_is(key: u64) -> u64 {
    key
}

/// Large maps get fewer steps unless the long form is asked for.
fn effort(capacity: usize, maps: usize, short: u64) -> Effort {
    let steps = if long() { 20_000_000 } else { short };
    Effort {
        capacity,
        maps,
        steps,
    }
}

#[test]
fn one_entry_fits_into_a_map_for_one() {
    keep_the_promise::<u64, u64>(&effort(1, 100, 100_000), as_is);
    keep_the_promise::<u64, [u64; 3]>(&effort(1, 100, 100_000), as_is);
    keep_the_promise::<u64, [u64; 127]>(&effort(1, 100, 100_000), as_is);
}

#[test]
fn ten_entries_fit_into_a_map_for_ten() {
    keep_the_promise::<u64, u64>(&effort(10, 300, 200_000), as_is);
    keep_the_promise::<u64, [u64; 3]>(&effort(10, 300, 200_000), as_is);
    keep_the_promise::<u64, [u64; 127]>(&effort(10, 300, 100_000), as_is);
}

#[test]
fn a_hundred_entries_fit_into_a_map_for_a_hundred() {
    keep_the_promise::<u64, u64>(&effort(100, 200, 500_000), as_is);
    keep_the_promise::<u64, [u64; 3]>(&effort(100, 200, 500_000), as_is);
}

#[test]
fn a_thousand_entries_fit_into_a_map_for_a_thousand() {
    keep_the_promise::<u64, ()>(&effort(1000, 50, 1_000_000), as_is);
    keep_the_promise::<u64, u64>(&effort(1000, 50, 1_000_000), as_is);
    keep_the_promise::<[u64; 3], [u64; 3]>(&effort(1000, 50, 1_000_000), |key| [0, key, key]);
    keep_the_promise::<u64, [u64; 127]>(&effort(1000, 20, 300_000), as_is);
}

#[test]
fn a_hundred_thousand_entries_fit_into_a_map_for_as_many() {
    keep_the_promise::<u64, u64>(&effort(100_000, 3, 1_000_000), as_is);
    keep_the_promise::<u64, [u64; 3]>(&effort(100_000, 3, 1_000_000), as_is);
    if long() {
        keep_the_promise::<u64, [u64; 127]>(&effort(100_000, 3, 0), as_is);
    }
}

#[test]
fn a_million_entries_fit_into_a_map_for_a_million() {
    keep_the_promise::<u64, u64>(&effort(1_000_000, 1, 2_000_000), as_is);
    if long() {
        keep_the_promise::<u64, [u64; 3]>(&effort(1_000_000, 3, 0), as_is);
        keep_the_promise::<u64, [u64; 127]>(&effort(1_000_000, 1, 0), as_is);
    }
}

#[test]
fn five_million_entries_fit_into_a_map_for_five_million() {
    keep_the_promise::<u64, ()>(&effort(5_000_000, 1, 500_000), as_is);
    if long() {
        keep_the_promise::<u64, u64>(&effort(5_000_000, 2, 0), as_is);
        keep_the_promise::<u64, [u64; 3]>(&effort(5_000_000, 1, 0), as_is);
        keep_the_promise::<u64, [u64; 15]>(&effort(5_000_000, 1, 0), as_is);
    }
}

#[test]
fn keys_that_follow_each_other_fit_as_well_as_random_ones() {
    for (capacity, stride) in [
        (1000usize, 1u64),
        (1000, 1 << 32),
        (100_000, 1),
        (100_000, 256),
    ] {
        for _ in 0..if long() { 100 } else { 3 } {
            let map: Map<u64, [u64; 2]> = Map::builder()
                .capacity(capacity)
                .create(Segment::memfd("promise").unwrap())
                .unwrap();
            for key in 0..capacity as u64 {
                map.insert(key * stride, [key; 2]).unwrap();
            }
            assert_eq!(map.len(), capacity);
        }
    }
}
