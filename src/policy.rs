//! Which entry of a full cache gives way.
//!
//! Everything here is arithmetic on private copies: no shared word is read or written, and any
//! bits whatever are a valid history, since another process may have written them.
//!
//! Each bucket has two words for its policy. Hits see only the first one and may change it without
//! the bucket's lock (a change can get lost, then the policy knows a little less); insertions and
//! evictions see both, under the lock.
//!
//! ```text
//! word 0   2 bits a slot: how often it was asked for since it last was spared
//! word 1   the slot at which the next search for a victim begins
//! ```
//!
//! This is CLOCK with two bits, over the two buckets in which a key may live.

/// What a bucket's header remembers for the policy.
pub(crate) type Words = [u64; 2];

/// A bucket that may have to give something up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates {
    /// The slots in use, the lowest bit for slot 0.
    pub(crate) occupied: u16,
    /// Those of them whose entries are out of date anyway.
    pub(crate) stale: u16,
    pub(crate) words: Words,
}

/// Who has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    /// Whether it is in the second bucket that was offered.
    pub(crate) is_away: bool,
    pub(crate) slot: u32,
    /// What the buckets remember from here on.
    pub(crate) words: [Words; 2],
}

/// Hits that are counted.
const MOST: u64 = 3;

fn count(word: u64, slot: u32) -> u64 {
    word >> ((slot & 15) * 2) & MOST
}

fn with_count(word: u64, slot: u32, count: u64) -> u64 {
    let shift = (slot & 15) * 2;
    word & !(MOST << shift) | (count & MOST) << shift
}

/// The first word after a hit in `slot`; `None` if it stays as it is.
#[inline(always)]
pub(crate) fn hit(word: u64, slot: u32) -> Option<u64> {
    let count = count(word, slot);
    (count < MOST).then(|| with_count(word, slot, count + 1))
}

/// After an entry came into `slot`, which was free. `hash` is that of its key.
pub(crate) fn inserted(words: Words, slot: u32, hash: u64) -> Words {
    let _ = hash;
    [with_count(words[0], slot, 0), words[1]]
}

/// After an entry got a new value, and with it another slot.
pub(crate) fn updated(words: Words, from: u32, to: u32) -> Words {
    let count = count(words[0], from);
    [with_count(words[0], to, count + 1 - count / MOST), words[1]]
}

/// Chooses the entry that gives way to a key with this hash: from its home, or from its other
/// bucket. `None` only if there is no entry in either.
pub(crate) fn victim(home: Candidates, other: Candidates, hash: u64) -> Option<Victim> {
    let _ = hash;
    let buckets = [home, other];
    let mut words = [home.words, other.words];
    let found = |words: [Words; 2], bucket: usize, slot: u32| {
        Some(Victim {
            is_away: bucket == 1,
            slot,
            words,
        })
    };
    for (bucket, candidates) in buckets.iter().enumerate() {
        let stale = candidates.stale & candidates.occupied;
        if stale != 0 {
            return found(words, bucket, stale.trailing_zeros());
        }
    }
    // Each turn takes one from the count of everybody who is spared, so there are few.
    for _ in 0..=MOST {
        for (bucket, candidates) in buckets.iter().enumerate() {
            let start = words[bucket][1] as u32 & 15;
            for step in 0..16 {
                let slot = (start + step) & 15;
                if candidates.occupied & 1 << slot == 0 {
                    continue;
                }
                let count = count(words[bucket][0], slot);
                if count == 0 {
                    words[bucket][1] = u64::from((slot + 1) & 15);
                    return found(words, bucket, slot);
                }
                words[bucket][0] = with_count(words[bucket][0], slot, count - 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(words: Words) -> Candidates {
        Candidates {
            occupied: 0x7FFF,
            stale: 0,
            words,
        }
    }

    #[test]
    fn a_hit_changes_nothing_once_its_bits_are_set() {
        let mut word = 0;
        for _ in 0..MOST {
            word = hit(word, 5).unwrap();
        }
        assert_eq!(hit(word, 5), None);
        assert_eq!(count(word, 4), 0);
        assert_eq!(count(word, 6), 0);
    }

    #[test]
    fn what_is_out_of_date_goes_first() {
        let other = Candidates {
            stale: 1 << 9,
            ..full([u64::MAX, 0])
        };
        let victim = victim(full([0, 0]), other, 1).unwrap();
        assert!(victim.is_away);
        assert_eq!(victim.slot, 9);
    }

    #[test]
    fn what_was_asked_for_is_spared() {
        let asked = hit(0, 0).unwrap();
        let victim = victim(full([asked, 0]), full([0, 0]), 1).unwrap();
        assert!(!victim.is_away);
        assert_eq!(victim.slot, 1);
    }

    #[test]
    fn any_history_has_a_victim_that_is_there() {
        let numbers = [0, 1, 0x5555_5555, u64::MAX, 1 << 63, 0xDEAD_BEEF_0BAD_F00D];
        for home in numbers {
            for other in numbers {
                for occupied in [0u16, 1, 0x8000, 0x7FFF, 0xFFFF] {
                    for stale in [0, 0xFFFF, 2] {
                        let of = |words| Candidates {
                            occupied,
                            stale,
                            words,
                        };
                        let found = victim(of([home, other]), of([other, home]), 0);
                        assert_eq!(found.is_some(), occupied != 0);
                        if let Some(found) = found {
                            assert!(occupied & 1 << found.slot != 0);
                        }
                    }
                }
            }
        }
    }
}
