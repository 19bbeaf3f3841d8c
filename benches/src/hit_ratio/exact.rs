//! The most hits that are possible.

use std::collections::BinaryHeap;

use super::Score;

/// Belady's optimum ("A study of replacement algorithms for a virtual-storage computer", 1966): the
/// entry that is asked for last is evicted. The keys are numbers below `distinct`.
pub fn optimum(keys: &[u64], distinct: usize, entries: usize) -> Score {
    const NEVER: usize = usize::MAX;
    let mut next = vec![NEVER; keys.len()];
    let mut last = vec![NEVER; distinct];
    for (now, key) in keys.iter().enumerate().rev() {
        next[now] = std::mem::replace(&mut last[*key as usize], now);
    }
    // The request at which a key that is in the cache is asked for next.
    let mut due: Vec<Option<usize>> = vec![None; distinct];
    let mut latest = BinaryHeap::new();
    let (mut len, mut hits) = (0, 0);
    for (now, key) in keys.iter().enumerate() {
        if due[*key as usize].is_some() {
            hits += 1;
        } else {
            while len == entries {
                let (when, victim): (usize, u64) = latest.pop().expect("the cache is full");
                // Older notes of a key do not count.
                if due[victim as usize] == Some(when) {
                    due[victim as usize] = None;
                    len -= 1;
                }
            }
            len += 1;
        }
        due[*key as usize] = Some(next[now]);
        latest.push((next[now], *key));
    }
    Score {
        hits,
        requests: keys.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries all choices.
    fn by_brute_force(keys: &[u64], cache: &mut Vec<u64>, entries: usize) -> u64 {
        let Some((key, rest)) = keys.split_first() else {
            return 0;
        };
        if cache.contains(key) {
            return 1 + by_brute_force(rest, cache, entries);
        }
        if cache.len() < entries {
            cache.push(*key);
            let hits = by_brute_force(rest, cache, entries);
            cache.pop();
            return hits;
        }
        let mut most = 0;
        for place in 0..cache.len() {
            let victim = std::mem::replace(&mut cache[place], *key);
            most = most.max(by_brute_force(rest, cache, entries));
            cache[place] = victim;
        }
        most
    }

    #[test]
    fn nobody_finds_more_hits_by_trying_everything() {
        let mut state = 1u64;
        for round in 0..300 {
            let keys: Vec<u64> = (0..11)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(round);
                    (state >> 33) % 5
                })
                .collect();
            for entries in 1..=3 {
                let expected = by_brute_force(&keys, &mut Vec::new(), entries);
                assert_eq!(optimum(&keys, 5, entries).hits, expected, "{keys:?}");
            }
        }
    }
}
