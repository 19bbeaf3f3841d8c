//! What this module promises about single buckets; `sets` plays whole caches.

use super::*;

mod sets;

/// Numbers without order, the same in each run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 += 1;
        Rng::new(self.0, !self.0).0
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

/// The same as [`aged`], an entry at a time.
fn aged_plainly(words: Words, occupied: u16, quarter: u32) -> (Words, Vec<AgeClass>) {
    let mut planes = Planes::of(words);
    let mut seen = Vec::new();
    for slot in (0..16).filter(|slot| occupied >> slot & 1 != 0) {
        let age_class = planes.age_class(slot);
        let (class, level) = (age_class.index() / LEVELS, age_class.index() % LEVELS);
        if planes.hit >> slot & 1 != 0 {
            seen.push(age_class);
            planes.set_age_class(slot, AgeClass::of((class + 1).min(CLASSES - 1), 0));
        } else if level < 4 * quarter as usize {
            planes.set_age_class(slot, AgeClass::of(class, (level + 1).min(LEVELS - 1)));
        }
    }
    planes.hit = 0;
    (planes.words(), seen)
}

fn rng_with_quarter(quarter: u32) -> Rng {
    Rng(1 << (quarter - 2))
}

fn full(words: Words) -> Candidates {
    Candidates {
        occupied: 0x7FFF,
        stale: 0,
        words,
    }
}

/// An Rng that leaves nothing to chance, and begin at slot 0.
const PLAIN: Rng = Rng(1 << 16);

/// A bucket with these age classes, from slot 0.
fn bucket(age_classes: &[AgeClass]) -> Candidates {
    let words = (0..)
        .zip(age_classes)
        .fold([0; 2], |words, (slot, age_class)| {
            let mut planes = Planes::of(words);
            planes.set_age_class(slot, *age_class);
            planes.words()
        });
    Candidates {
        occupied: ((1u32 << age_classes.len()) - 1) as u16,
        ..full(words)
    }
}

#[test]
fn a_hit_sets_one_bit_and_only_once() {
    for slot in 0..16 {
        for word in [0, 0xFFFF_FFFF_FFFF_0000, 0x1234_5678_9ABC_0000] {
            assert!(!is_hit(word, slot));
            let after = hit(word, slot);
            assert_eq!(after ^ word, 1 << slot);
            assert!(is_hit(after, slot));
            assert_eq!(hit(after, slot), after);
        }
    }
}

#[test]
fn planes_are_the_words_whatever_those_are() {
    let mut numbers = Numbers(0);
    for _ in 0..1000 {
        let words = [numbers.next(), numbers.next()];
        assert_eq!(Planes::of(words).words(), words);
    }
}

#[test]
fn an_age_class_is_kept_for_every_slot_alone() {
    let mut numbers = Numbers(1);
    for age_class in (0..AGE_CLASSES as u8).map(AgeClass) {
        for slot in 0..16 {
            let before = Planes::of([numbers.next(), numbers.next()]);
            let mut after = before;
            after.set_age_class(slot, age_class);
            for secondary in 0..16 {
                let expected = match secondary == slot {
                    true => age_class,
                    false => before.age_class(secondary),
                };
                assert_eq!(after.age_class(secondary), expected);
            }
            assert_eq!(after.hit, before.hit);
        }
    }
}

#[test]
fn every_age_class_ages_as_an_entry_at_a_time_would() {
    // All age classes, hit or not, at all random numbers, in every slot.
    for quarter in 2..=8 {
        for (age_class, is_hit) in
            (0..AGE_CLASSES as u8).flat_map(|age_class| [(age_class, false), (age_class, true)])
        {
            let mut planes = Planes::of([0; 2]);
            for slot in 0..16 {
                planes.set_age_class(slot, AgeClass(age_class));
            }
            planes.hit = if is_hit { 0xFFFF } else { 0 };
            for occupied in [0xFFFF, 0x7FFF, 0x8001, 0] {
                let mut seen = Vec::new();
                let words = planes.words();
                let after = aged(words, occupied, rng_with_quarter(quarter), |age_class| {
                    seen.push(age_class);
                });
                assert_eq!((after, seen), aged_plainly(words, occupied, quarter));
            }
        }
    }
    // Mixtures.
    let mut numbers = Numbers(2);
    for _ in 0..20_000 {
        let words = [numbers.next(), numbers.next()];
        let occupied = numbers.next() as u16;
        let rng = Rng(numbers.next());
        let mut seen = Vec::new();
        let after = aged(words, occupied, rng, |age_class| seen.push(age_class));
        assert_eq!((after, seen), aged_plainly(words, occupied, rng.quarter()));
    }
}

#[test]
fn a_level_lasts_as_many_ticks_as_it_says() {
    // An entry that is never hit needs, on average, the sum of the ticks to come to the last level.
    let expected: u32 = (0..LEVELS - 1).map(AgeClass::ticks).sum();
    assert_eq!(expected, 8 + 4 * (2 + 4 + 8 + 16 + 32) + 3 * 64);
    let mut ticks = 0u32;
    let mut numbers = Numbers(3);
    let rounds = 2000;
    for _ in 0..rounds {
        let mut words = [0; 2];
        while age_class(words, 5) != AgeClass::of(0, LEVELS - 1) {
            words = aged(words, 1 << 5, Rng(numbers.next()), |_| ());
            ticks += 1;
        }
    }
    let mean = f64::from(ticks) / f64::from(rounds);
    let wrong_by = (mean / f64::from(expected) - 1.0).abs();
    assert!(wrong_by < 0.03, "{mean} ticks, expected {expected}");
}

#[test]
fn the_last_level_is_never_left_but_by_a_hit() {
    let old = bucket(&[AgeClass::of(2, LEVELS - 1)]).words;
    assert_eq!(aged(old, 1, rng_with_quarter(8), |_| ()), old);
    let hit = [hit(old[0], 0), old[1]];
    let after = aged(hit, 1, rng_with_quarter(2), |_| ());
    assert_eq!(age_class(after, 0), AgeClass::of(3, 0));
}

#[test]
fn the_first_levels_are_exact() {
    // Whatever the random numbers, so that who came or was hit a few ticks ago is in order.
    let mut numbers = Numbers(4);
    let mut words = [0; 2];
    for level in 1..=8 {
        words = aged(words, 1, Rng(numbers.next()), |_| ());
        assert_eq!(age_class(words, 0), AgeClass::of(0, level));
    }
}

#[test]
fn an_entry_begins_without_the_age_class_of_its_slot() {
    for slot in 0..16 {
        let words = inserted([u64::MAX; 2], slot, false);
        assert_eq!(age_class(words, slot), AgeClass::of(0, 0));
        assert!(
            !is_hit(words[0], slot),
            "the bit of the predecessor is gone"
        );
        let words = inserted([u64::MAX; 2], slot, true);
        assert_eq!(age_class(words, slot), AgeClass::of(1, 0));
        let secondary = (slot + 1) % 16;
        assert_eq!(age_class(words, secondary), AgeClass::of(3, 31));
    }
}

#[test]
fn a_new_value_is_a_hit_and_takes_the_age_class_along() {
    for from in 0..16 {
        for to in (0..16).filter(|to| *to != from) {
            let mut planes = Planes::of([0; 2]);
            planes.set_age_class(from, AgeClass::of(2, 17));
            let words = updated(planes.words(), from, to);
            assert_eq!(age_class(words, to), AgeClass::of(2, 17));
            assert!(is_hit(words[0], to));
        }
    }
}

#[test]
fn ghosts_are_the_last_sixteen() {
    let mut ghosts = Ghosts([0; 2]);
    let tags: Vec<u8> = (0..200u8)
        .map(|number| number.wrapping_mul(37).wrapping_add(11))
        .collect();
    for (number, tag) in tags.iter().enumerate() {
        assert!(!ghosts.know(*tag) || number == 0);
        ghosts = ghosts.with(*tag);
        for (before, secondary) in tags[..=number].iter().rev().enumerate() {
            assert_eq!(
                ghosts.know(*secondary),
                before < 16,
                "{before} before {number}"
            );
        }
    }
}

#[test]
fn ghosts_know_exactly_the_tags_in_their_words() {
    let mut numbers = Numbers(5);
    for _ in 0..2000 {
        // Few different bytes, so that neighbours borrow from each other.
        let words = [0; 2].map(|_: u64| numbers.next() & 0x8101_0181_0100_8001);
        let ghosts = Ghosts(words);
        for tag in 0..=255 {
            let expected = words.iter().any(|word| word.to_ne_bytes().contains(&tag));
            assert_eq!(ghosts.know(tag), expected, "{tag} in {words:x?}");
        }
    }
}

#[test]
fn what_is_out_of_date_goes_first_and_from_primary_before_all() {
    let secondary = Candidates {
        stale: 1 << 9,
        ..full([u64::MAX, 0])
    };
    let rng = [PLAIN, Rng(0)];
    for rng in rng {
        let found = victim(full([0, 0]), secondary, &Ranks::UNTAUGHT, rng).unwrap();
        assert_eq!((found.is_in_secondary, found.slot), (true, 9));
        let primary = Candidates {
            stale: 1 << 3 | 1 << 15,
            ..full([0; 2])
        };
        let found = victim(primary, secondary, &Ranks::UNTAUGHT, rng).unwrap();
        assert_eq!((found.is_in_secondary, found.slot), (false, 3));
        // A slot that is not in use has no entry that could be out of date.
        let primary = Candidates {
            stale: 1 << 15,
            ..full([0; 2])
        };
        let found = victim(primary, secondary, &Ranks::UNTAUGHT, rng).unwrap();
        assert_eq!((found.is_in_secondary, found.slot), (true, 9));
    }
}

#[test]
fn until_something_is_known_the_longest_untouched_goes() {
    let mut age_classes: Vec<AgeClass> = (0..15).map(|level| AgeClass::of(0, level)).collect();
    age_classes[6] = AgeClass::of(3, 20);
    let primary = bucket(&age_classes);
    let found = victim(primary, primary, &Ranks::UNTAUGHT, PLAIN).unwrap();
    assert_eq!((found.is_in_secondary, found.slot), (false, 6));
}

#[test]
fn the_secondary_bucket_has_to_be_worse_by_more_than_the_advantage_of_the_primary() {
    let ranks = Ranks::UNTAUGHT;
    for primary in 0..LEVELS {
        for secondary in 0..LEVELS {
            let (primary, secondary) = (AgeClass::of(1, primary), AgeClass::of(2, secondary));
            let found = victim(
                bucket(&[primary; 3]),
                bucket(&[secondary; 3]),
                &ranks,
                PLAIN,
            )
            .unwrap();
            let is_in_secondary = ranks.of(secondary) + PRIMARY_ADVANTAGE < ranks.of(primary);
            assert_eq!(found.is_in_secondary, is_in_secondary);
        }
    }
}

#[test]
fn equals_take_turns() {
    let primary = bucket(&[AgeClass::of(0, 3); 15]);
    let mut numbers = Numbers(6);
    let mut taken = 0u16;
    for _ in 0..500 {
        let rng = Rng(numbers.next() | 1 << 16);
        taken |= 1
            << victim(primary, primary, &Ranks::UNTAUGHT, rng)
                .unwrap()
                .slot;
    }
    assert_eq!(taken, 0x7FFF);
}

#[test]
fn one_of_sixty_four_is_left_to_chance_and_reaches_everybody() {
    let mut numbers = Numbers(7);
    // The best entries, which would never be chosen otherwise.
    let mut age_classes = [AgeClass::of(3, 0); 15];
    age_classes[4] = AgeClass::of(0, 31);
    let buckets = [bucket(&age_classes), bucket(&age_classes[..7])];
    let (mut explored, mut taken) = (0, [0u16; 2]);
    for _ in 0..64_000 {
        let rng = Rng(numbers.next());
        let found = victim(buckets[0], buckets[1], &Ranks::UNTAUGHT, rng).unwrap();
        match rng.explores() {
            true => {
                explored += 1;
                taken[usize::from(found.is_in_secondary)] |= 1 << found.slot;
            }
            false => assert_eq!((found.is_in_secondary, found.slot), (false, 4)),
        }
    }
    assert!((800..1200).contains(&explored), "{explored} of 64,000");
    assert_eq!(taken, [0x7FFF, 0x7F]);
}

#[test]
fn any_history_has_a_victim_that_is_there() {
    let numbers = [0, 1, 0x5555_5555, u64::MAX, 1 << 63, 0xDEAD_BEEF_0BAD_F00D];
    let ranks = [Ranks::UNTAUGHT, Ranks::from_words([u64::MAX; Ranks::WORDS])];
    for primary in numbers {
        for secondary in numbers {
            for occupied in [0u16, 1, 0x8000, 0x7FFF, 0xFFFF] {
                for stale in [0, 0xFFFF, 2] {
                    let of = |words| Candidates {
                        occupied,
                        stale,
                        words,
                    };
                    for (ranks, rng) in ranks.iter().zip(numbers.map(Rng)) {
                        let found = victim(
                            of([primary, secondary]),
                            of([secondary, primary]),
                            ranks,
                            rng,
                        );
                        assert_eq!(found.is_some(), occupied != 0);
                        if let Some(found) = found {
                            assert!(occupied & 1 << found.slot != 0);
                        }
                        // One of the two may be empty.
                        let none = Candidates {
                            occupied: 0,
                            ..of([0; 2])
                        };
                        let here = victim(of([primary, secondary]), none, ranks, rng);
                        assert_eq!(
                            here.map(|found| found.is_in_secondary),
                            found.map(|_| false)
                        );
                        let there = victim(none, of([primary, secondary]), ranks, rng);
                        assert_eq!(
                            there.map(|found| found.is_in_secondary),
                            found.map(|_| true)
                        );
                    }
                }
            }
        }
    }
}
