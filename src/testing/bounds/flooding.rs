//! Keys that somebody has prepared so that they collide: they do so without the segment's secret.
//!
//! rapidhash multiplies the two halves of a key, each exclusive-or'd with a constant. A half that
//! equals its constant makes the product zero, whatever the other half: any number of keys
//! with one and the same hash, for everybody who uses the published constants. A segment draws
//! its constants at its creation.

use std::collections::HashSet;
use std::time::Instant;

use rapidhash::v3::{DEFAULT_RAPID_SECRETS, rapidhash_v3};

use crate::format::HashFunction;
use crate::{Map, Segment};

const KEYS: u64 = 100_000;

type Key = [u64; 2];

/// So many keys that all have the same hash under the published constants.
fn colliding() -> Vec<Key> {
    let constants = DEFAULT_RAPID_SECRETS
        .secrets
        .into_iter()
        .chain([DEFAULT_RAPID_SECRETS.seed]);
    for constant in constants {
        for is_first in [true, false] {
            let key = |other: u64| match is_first {
                true => [constant, other],
                false => [other, constant],
            };
            let hash = |key: Key| rapidhash_v3(zerocopy::IntoBytes::as_bytes(&key));
            let hashes: HashSet<u64> = (0..100).map(|number| hash(key(number))).collect();
            if hashes.len() == 1 {
                let keys: Vec<Key> = (0..KEYS)
                    .map(|n| key(n.wrapping_mul(0x9E37_79B9)))
                    .collect();
                assert!(keys.iter().all(|key| hashes.contains(&hash(*key))));
                return keys;
            }
        }
    }
    panic!("rapidhash has no such keys any more: find others");
}

fn random(count: u64) -> Vec<Key> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ (z >> 27)
    };
    (0..count).map(|_| [next(), next()]).collect()
}

/// What a full map of some keys costs.
#[derive(Debug)]
struct Cost {
    /// Accesses to words, of one `get` of each key in sum, and of the dearest one.
    accesses: u64,
    dearest: u64,
    /// Entries that live in the bucket which is not their primary bucket.
    overflow: u64,
    /// Entries that had to make room while the map was filled.
    displaced: u64,
}

fn cost_of(keys: &[Key], hash: HashFunction) -> Cost {
    let map: Map<Key, u64> = Map::builder()
        .capacity(keys.len())
        .hash(hash)
        .create(Segment::memfd("flooded").unwrap())
        .unwrap();
    let begun = Instant::now();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(map.insert(*key, number as u64), Ok(None));
    }
    let filled = begun.elapsed();
    let begun = Instant::now();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(map.get(key), Ok(Some(number as u64)));
    }
    println!(
        "{hash:?}: filled in {:.0} ns a key, read in {:.0} ns a key",
        filled.as_nanos() as f64 / keys.len() as f64,
        begun.elapsed().as_nanos() as f64 / keys.len() as f64
    );
    let (mut accesses, mut dearest) = (0, 0);
    for key in keys {
        let count = super::tests::accesses(&map, || {
            let _ = map.get(key);
        });
        accesses += count;
        dearest = dearest.max(count);
    }
    assert!(dearest <= super::StepBounds::of(map.shared()).read(false));
    Cost {
        accesses,
        dearest,
        overflow: map.check().overflow,
        displaced: map.stats().displaced,
    }
}

#[test]
fn a_hundred_thousand_keys_that_collide_without_the_secret_cost_what_random_ones_do() {
    let keys = colliding();
    for hash in [HashFunction::Rapid, HashFunction::Sip] {
        let (flooded, usual) = (cost_of(&keys, hash), cost_of(&random(KEYS), hash));
        println!("{hash:?}: {flooded:?}, random keys: {usual:?}");
        // Counts of 1e5 keys: their spread from one secret to the next is far below this.
        let is_alike = |one: u64, other: u64, share: f64, some: u64| {
            one.abs_diff(other) as f64 <= share * other as f64 + some as f64
        };
        assert!(is_alike(flooded.accesses, usual.accesses, 0.02, 0));
        assert!(is_alike(flooded.overflow, usual.overflow, 0.1, 0));
        assert!(is_alike(flooded.displaced, usual.displaced, 0.5, 200));
        assert!(flooded.dearest <= usual.dearest + 20);
    }
}
