//! Whole caches in private memory, played with streams of keys for which the right answer is known.
//! The seeds are fixed, so these tests give the same numbers each time.

use std::collections::{BTreeMap, HashMap};

use super::Numbers;
use crate::policy::estimator::{ESTIMATOR_WORDS, Estimator, Memory};
use crate::policy::*;
use crate::sys::sync::AtomicU64;

const LIMIT: u32 = 15;

#[derive(Clone, Default)]
struct Set {
    keys: [u64; 16],
    tags: [u8; 16],
    occupied: u16,
    words: Words,
    version: u64,
}

/// As `evict` does it, without the locks.
struct Sets {
    sets: Vec<Set>,
    estimator: Estimator,
    counts: Vec<AtomicU64>,
    ghosts: Vec<AtomicU64>,
}

impl Sets {
    fn new(entries: usize) -> Self {
        let buckets = entries.div_ceil(LIMIT as usize).max(2);
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            sets: vec![Set::default(); buckets],
            estimator: Estimator::new(),
            counts: zeros(ESTIMATOR_WORDS),
            ghosts: zeros(buckets * Ghosts::WORDS),
        }
    }

    fn entries(&self) -> usize {
        self.sets.len() * LIMIT as usize
    }

    /// Asks for a key and inserts it if it is not there. Whether it was a hit.
    fn ask(&mut self, key: u64) -> bool {
        let hash = Rng::new(key, 1).0;
        let tag = hash as u8;
        let buckets = self.sets.len() as u64;
        let primary = ((hash >> 32) * buckets) >> 32;
        let rest = ((hash & 0xFFFF_FFFF) * (buckets - 1)) >> 32;
        let pair = [primary, rest + u64::from(rest >= primary)];
        for set in pair.map(|number| number as usize) {
            let set = &mut self.sets[set];
            if let Some(slot) = slots(set.occupied).find(|slot| set.keys[*slot as usize] == key) {
                set.words[0] = hit(set.words[0], slot);
                return true;
            }
        }
        let memory = Memory {
            estimator: &self.estimator,
            counts: &self.counts,
            ghosts: &self.ghosts,
        };
        let [in_primary, in_secondary] = pair.map(|number| &self.sets[number as usize]);
        let seen = |age_class| memory.estimator.hit(age_class);
        let rng = Rng::new(hash, in_primary.version);
        let mut words = [
            aged(in_primary.words, in_primary.occupied, rng, seen),
            aged(
                in_secondary.words,
                in_secondary.occupied,
                rng.for_the_secondary(),
                seen,
            ),
        ];
        let room = [in_primary, in_secondary].map(|set| set.occupied.count_ones() < LIMIT);
        let (chosen, gone, returned) = match room {
            [true, _] => (0, None, false),
            [_, true] => (1, None, false),
            _ => {
                let candidates = [0, 1].map(|number| Candidates {
                    occupied: [in_primary, in_secondary][number].occupied,
                    stale: 0,
                    words: words[number],
                });
                let found = victim(candidates[0], candidates[1], &memory.ranks(), rng).unwrap();
                let chosen = usize::from(found.is_in_secondary);
                memory.evicted(age_class(words[chosen], found.slot));
                let ghosts = pair.map(|number| memory.ghosts(number));
                let returned = ghosts.iter().any(|ghosts| ghosts.know(tag));
                let gone = [in_primary, in_secondary][chosen].tags[found.slot as usize];
                memory.set_ghosts(pair[chosen], ghosts[chosen].with(gone));
                (chosen, Some(found.slot), returned)
            }
        };
        let place = [in_primary, in_secondary][chosen].occupied.trailing_ones();
        words[chosen] = inserted(words[chosen], place, returned);
        for (number, words) in pair.into_iter().zip(words) {
            self.sets[number as usize].words = words;
        }
        let set = &mut self.sets[pair[chosen] as usize];
        set.occupied = (set.occupied | 1 << place) & !gone.map_or(0, |slot| 1 << slot);
        set.keys[place as usize] = key;
        set.tags[place as usize] = tag;
        set.version += 1;
        false
    }
}

/// Hits of ours and of exact LRU, in per cent of the requests after the first third, by which time
/// whatever there is to be learnt has been.
fn compare(entries: usize, keys: &[u64]) -> (f64, f64) {
    let mut ours = Sets::new(entries);
    let (mut lru, mut last, mut order) = (0u32, HashMap::new(), BTreeMap::new());
    let mut hits = 0u32;
    let first = keys.len() / 3;
    for (now, key) in keys.iter().enumerate() {
        let counts = u32::from(now >= first);
        hits += u32::from(ours.ask(*key)) * counts;
        match last.insert(*key, now) {
            Some(before) => {
                order.remove(&before);
                lru += counts;
            }
            None if order.len() == ours.entries() => {
                let (_, oldest) = order.pop_first().unwrap();
                last.remove(&oldest);
            }
            None => {}
        }
        order.insert(now, *key);
    }
    let per_cent = |hits: u32| 100.0 * f64::from(hits) / (keys.len() - first) as f64;
    (per_cent(hits), per_cent(lru))
}

fn zipf(keys: u64, exponent: f64, len: usize, numbers: &mut Numbers) -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    let draw = |_| {
        let number = numbers.below(1 << 53) as f64 / (1u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum < number) as u64
    };
    (0..len).map(draw).collect()
}

#[test]
fn a_loop_over_more_than_fits_gets_most_of_what_is_possible_where_lru_gets_nothing() {
    let keys: Vec<u64> = (0..60_000).map(|number| number % 3000).collect();
    let (ours, lru) = compare(600, &keys);
    assert_eq!(lru, 0.0);
    assert!(ours > 15.0, "{ours} % of 20 % that are possible");
}

#[test]
fn popularity_is_estimated() {
    let keys = zipf(20_000, 0.9, 90_000, &mut Numbers(10));
    let (ours, lru) = compare(300, &keys);
    assert!(ours > lru + 4.0, "ours {ours}, lru {lru}");
}

#[test]
fn a_scan_does_not_flush_what_is_popular() {
    let mut numbers = Numbers(11);
    let mut keys = zipf(5_000, 0.9, 90_000, &mut numbers);
    let mut fresh = 1 << 32;
    for start in (0..keys.len()).step_by(6000) {
        for key in &mut keys[start..start + 2500] {
            fresh += 1;
            *key = fresh;
        }
    }
    let (ours, lru) = compare(600, &keys);
    assert!(ours > lru + 3.0, "ours {ours}, lru {lru}");
}

/// Draws the depth in the list of keys by recency: by construction nobody can do better than LRU
/// without knowing the future.
fn by_recency(keys: usize, len: usize, depth: impl Fn(f64) -> f64, seed: u64) -> Vec<u64> {
    let mut numbers = Numbers(seed);
    let mut list: Vec<u64> = (0..keys as u64).collect();
    let draw = |_| {
        let number = numbers.below(1 << 53) as f64 / (1u64 << 53) as f64;
        let at = list.len() - 1 - (depth(number) as usize).min(list.len() - 1);
        let key = list.remove(at);
        list.push(key);
        key
    };
    (0..len).map(draw).collect()
}

#[test]
fn pure_recency_costs_next_to_nothing_against_lru() {
    let steep = by_recency(4000, 60_000, |number| 4000f64.powf(number), 12);
    let flat = by_recency(4000, 60_000, |number| 4000.0 * number.powi(3), 13);
    for keys in [steep, flat] {
        for entries in [60, 300, 900] {
            let (ours, lru) = compare(entries, &keys);
            assert!(
                ours > lru - 1.0,
                "{entries} entries: ours {ours}, lru {lru}"
            );
        }
    }
}

#[test]
fn a_window_that_moves_on_is_followed() {
    let mut numbers = Numbers(14);
    let keys: Vec<u64> = (0..60_000)
        .map(|now| now / 8 + numbers.below(500))
        .collect();
    let (ours, lru) = compare(450, &keys);
    assert!(ours > lru - 2.5, "ours {ours}, lru {lru}");
}

#[test]
fn an_estimate_is_revised() {
    // A loop, in which the old are to be kept; then recency, in which the young are.
    let mut keys: Vec<u64> = (0..45_000)
        .map(|number| (1 << 32) + number % 2000)
        .collect();
    keys.extend(by_recency(4000, 90_000, |number| 4000f64.powf(number), 15));
    // What is counted begins with the recency.
    let (ours, lru) = compare(300, &keys);
    assert!(ours > lru - 2.0, "ours {ours}, lru {lru}");
}

#[test]
fn invalid_bytes_in_the_segment_cost_hits_and_are_forgotten() {
    let keys = zipf(3_000, 1.0, 60_000, &mut Numbers(16));
    let (clean, _) = compare(300, &keys);
    let mut sets = Sets::new(300);
    let mut numbers = Numbers(17);
    for word in sets.counts.iter_mut().chain(&mut sets.ghosts) {
        *word = AtomicU64::new(numbers.next());
    }
    let first = keys.len() / 3;
    for key in &keys[..first] {
        sets.ask(*key);
    }
    // The counts fade by a tenth an update: from 2^32 it takes some hundred of them.
    for _ in 0..4 {
        for key in &keys {
            sets.ask(*key);
        }
    }
    let hits = keys[first..].iter().filter(|key| sets.ask(**key)).count();
    let hits = 100.0 * hits as f64 / (keys.len() - first) as f64;
    assert!(
        hits > clean - 2.0,
        "{hits} after invalid bytes, {clean} without"
    );
}
