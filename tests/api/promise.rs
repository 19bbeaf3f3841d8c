//! `capacity(n)` is a promise: any `n` entries fit, also after millions of other ones came
//! and went, in any order that the API lets a program see.
//!
//! Plain `cargo test` runs a shorter form; `SHMKV_LONG=1` runs all of it, and prints what it
//! counted: `SHMKV_LONG=1 cargo test --release --test api promise -- --nocapture --test-threads=1`.

use std::collections::HashSet;

use crate::support::{Random, long};
use shmkv::zerocopy::FromZeros;
use shmkv::{Cache, Key, Map, Segment, Value, WriteError};

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

/// Which entries a program removes, before it inserts as many others.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Those that an iteration yields first, last, in the middle, or from somewhere on.
    First,
    Last,
    Middle,
    Somewhere,
    /// Every so-manieth of an iteration.
    Every,
    /// By `retain`, which sees the entries in the order of iteration, until there were enough.
    Retained,
    /// By `retain`, by value.
    Value,
    Oldest,
    Newest,
    Random,
    Smallest,
}

const ORDERS: [Order; 11] = [
    Order::First,
    Order::Last,
    Order::Middle,
    Order::Somewhere,
    Order::Every,
    Order::Retained,
    Order::Value,
    Order::Oldest,
    Order::Newest,
    Order::Random,
    Order::Smallest,
];

/// The keys of a map or a cache that a program chooses to remove, `count` of them.
fn chosen(
    order: Order,
    count: usize,
    random: &mut Random,
    inserted: &[u64],
    iterate: impl Fn() -> Vec<u64>,
) -> Vec<u64> {
    let part = |keys: Vec<u64>, start: usize| keys[start..][..count].to_vec();
    let rest = inserted.len() - count;
    match order {
        Order::First | Order::Retained => part(iterate(), 0),
        Order::Last => part(iterate(), rest),
        Order::Middle => part(iterate(), rest / 2),
        Order::Somewhere => part(iterate(), random.below(rest as u64 + 1) as usize),
        Order::Every => {
            let step = inserted.len().div_ceil(count);
            iterate().into_iter().step_by(step).collect()
        }
        Order::Oldest => part(inserted.to_vec(), 0),
        Order::Newest => part(inserted.to_vec(), rest),
        Order::Smallest => {
            let mut keys = inserted.to_vec();
            keys.sort_unstable();
            part(keys, 0)
        }
        Order::Random | Order::Value => {
            let mut keys = inserted.to_vec();
            for at in 0..count {
                let other = at + random.below((keys.len() - at) as u64) as usize;
                keys.swap(at, other);
            }
            part(keys, 0)
        }
    }
}

/// The size of the next round: the same each time, or any up to it.
fn round(capacity: usize, share: f64, varied: bool, random: &mut Random) -> usize {
    let most = ((capacity as f64 * share) as usize).clamp(1, capacity);
    match varied {
        true => 1 + random.below(most as u64) as usize,
        false => most,
    }
}

/// Removes entries of a full map in one order and inserts as many, until there were `steps`.
fn churn<V: Value + FromZeros>(
    capacity: usize,
    order: Order,
    share: f64,
    varied: bool,
    steps: u64,
) -> (u64, u64) {
    let map: Map<u64, V> = Map::builder()
        .capacity(capacity)
        .create(Segment::memfd("churn").unwrap())
        .unwrap();
    let mut random = Random::seeded();
    let mut inserted: Vec<u64> = Vec::with_capacity(capacity);
    let (mut done, mut refused) = (0, 0);
    while done < steps {
        while inserted.len() < capacity {
            let key = random.next();
            match map.insert(key, V::new_zeroed()) {
                Ok(previous) => assert!(previous.is_none(), "64 random bits are new"),
                Err(WriteError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            if refused > 0 {
                return (done, refused);
            }
            inserted.push(key);
            done += 1;
        }
        let count = round(capacity, share, varied, &mut random);
        if let Order::Retained = order {
            // Asked twice for an entry that goes: when it is met, and under its lock.
            let mut going = HashSet::new();
            let removed = map.retain(|key, _| {
                let goes = going.contains(key) || going.len() < count;
                if goes {
                    going.insert(*key);
                }
                !goes
            });
            assert_eq!(removed.unwrap(), count);
            inserted.retain(|key| !going.contains(key));
            continue;
        }
        let gone = chosen(order, count, &mut random, &inserted, || {
            map.keys().map(Result::unwrap).collect()
        });
        let gone: HashSet<u64> = gone.into_iter().collect();
        if let Order::Value = order {
            let removed = map.retain(|key, _| !gone.contains(key));
            assert_eq!(removed.unwrap(), gone.len());
        } else {
            for key in &gone {
                assert!(map.remove(key).unwrap().is_some(), "an entry was lost");
            }
        }
        inserted.retain(|key| !gone.contains(key));
    }
    assert_eq!(map.len(), inserted.len());
    (done, refused)
}

fn every_order_of<V: Value + FromZeros>(capacities: &[usize], short: u64) {
    for capacity in capacities {
        for order in ORDERS {
            for (share, varied) in [(0.02, false), (0.1, false), (0.5, false), (0.9, true)] {
                let steps = if long() { 10_000_000 } else { short };
                // A round of a large map costs an iteration.
                let share = if *capacity >= 100_000 {
                    f64::max(share, 0.1)
                } else {
                    share
                };
                let (done, refused) = churn::<V>(*capacity, order, share, varied, steps);
                if long() {
                    println!("{capacity}, {order:?}, {share} {varied}: {done} inserted");
                }
                assert_eq!(
                    refused, 0,
                    "capacity {capacity}, {order:?}, {share} of them (up to: {varied}), after {done}"
                );
            }
        }
    }
}

#[test]
fn a_full_map_takes_new_entries_in_whatever_order_others_are_removed() {
    every_order_of::<u64>(&[1, 10, 100, 1000], 30_000);
    every_order_of::<[u64; 3]>(&[300, 700, 1000, 4000], 30_000);
    if long() {
        every_order_of::<[u64; 3]>(&[100_000, 1_000_000], 0);
    }
}

/// How many entries a cache has after rounds of removals in one order, refilled with twice as many
/// entries as were removed.
fn refilled(capacity: usize, order: Order, share: f64, steps: u64) -> f64 {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_capacity(capacity)
        .create(Segment::memfd("churn").unwrap())
        .unwrap();
    let mut random = Random::seeded();
    for _ in 0..4 * capacity {
        cache.insert(random.next(), 0).unwrap();
    }
    let (mut done, mut rounds, mut lengths) = (0, 0, 0);
    while done < steps {
        let keys: Vec<u64> = cache.keys().map(Result::unwrap).collect();
        assert!(keys.len() <= capacity);
        lengths += keys.len();
        rounds += 1;
        let count = ((keys.len() as f64 * share) as usize).max(1);
        let gone = chosen(order, count, &mut random, &keys, || {
            cache.keys().map(Result::unwrap).collect()
        });
        for key in &gone {
            assert!(cache.remove(key).unwrap().is_some());
        }
        for _ in 0..2 * gone.len() {
            cache.insert(random.next(), 0).unwrap();
            done += 1;
        }
    }
    lengths as f64 / rounds as f64 / capacity as f64
}

#[test]
fn a_cache_is_as_full_in_whatever_order_entries_are_removed() {
    let steps = if long() { 10_000_000 } else { 60_000 };
    for capacity in [100, 1000, 20_000] {
        for share in [0.1, 0.5] {
            let usual = refilled(capacity, Order::Random, share, steps);
            for order in [Order::First, Order::Last, Order::Somewhere] {
                let filled = refilled(capacity, order, share, steps);
                if long() {
                    println!("{capacity}, {order:?}, {share}: {filled:.3} full, else {usual:.3}");
                }
                assert!(
                    filled > usual - 0.03,
                    "capacity {capacity}, {order:?}, {share}: {filled:.3} full, else {usual:.3}"
                );
            }
        }
    }
}
