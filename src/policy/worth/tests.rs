use super::*;
use crate::policy::tests::Numbers;

fn nothing() -> Outcomes {
    Outcomes {
        hits: [0.0; AGE_CLASSES],
        evictions: [0.0; AGE_CLASSES],
    }
}

/// Outcomes of `count` entries of a class that all reach `levels` levels at most, and are hit in each tick with the
/// probability that `hazard` gives for a level.
fn observed(
    to: &mut Outcomes,
    class: usize,
    count: f32,
    levels: usize,
    hazard: impl Fn(usize) -> f32,
) {
    let mut left = count;
    for level in 0..levels {
        let hits = left * (1.0 - (1.0 - hazard(level)).powf(AgeClass::ticks(level) as f32));
        to.hits[AgeClass::of(class, level).index()] += hits;
        left -= hits;
    }
    to.evictions[AgeClass::of(class, levels - 1).index()] += left;
}

fn assert_each_rank_once(ranks: Ranks) {
    let mut sorted = ranks.0;
    sorted.sort_unstable();
    assert!(
        sorted
            .iter()
            .enumerate()
            .all(|(rank, found)| rank == usize::from(*found))
    );
}

#[test]
fn nothing_teaches_nothing() {
    assert_each_rank_once(Ranks::UNTAUGHT);
    assert_eq!(Ranks::taught_by(&nothing()), Ranks::UNTAUGHT);
    assert_eq!(Ranks::from_words([0; Ranks::WORDS]), Ranks::UNTAUGHT);
}

#[test]
fn ranks_survive_being_words() {
    let mut outcomes = nothing();
    observed(&mut outcomes, 2, 100.0, 9, |_| 0.2);
    let ranks = Ranks::taught_by(&outcomes);
    assert_ne!(ranks, Ranks::UNTAUGHT);
    assert_eq!(Ranks::from_words(ranks.to_words()), ranks);
}

#[test]
fn any_counts_make_ranks() {
    let mut numbers = Numbers(20);
    for round in 0..300 {
        let mut outcomes = nothing();
        for count in outcomes.hits.iter_mut().chain(&mut outcomes.evictions) {
            // From nothing to all that the segment can say, alone and mixed.
            *count = match (round + numbers.below(3)) % 3 {
                0 => 0.0,
                1 => u32::MAX as f32,
                _ => (numbers.next() >> (32 + numbers.below(32))) as f32 / 16.0,
            };
        }
        assert_each_rank_once(Ranks::taught_by(&outcomes));
        assert!(
            worth(&outcomes)
                .iter()
                .all(|worth| worth.is_finite() && *worth > 0.0)
        );
    }
}

#[test]
fn constant_hazards_are_worth_what_they_are() {
    for hazard in [0.01, 0.1, 0.5] {
        let mut outcomes = nothing();
        // Evictions spread evenly: they must not change the estimate much.
        for levels in 1..=20 {
            observed(&mut outcomes, 3, 10_000.0, levels, |_| hazard);
        }
        let further = further_hits(&outcomes)[3];
        let worth = worth(&outcomes);
        for level in 0..12 {
            let found = worth[AgeClass::of(3, level).index()] / (1.0 + further);
            let off_by = found / hazard;
            assert!(
                (0.7..1.5).contains(&off_by),
                "level {level}: {found} for {hazard}"
            );
        }
    }
}

#[test]
fn the_best_horizon_is_found() {
    let stay = |hit, ticks| Stay { hit, ticks };
    // Nothing for eight ticks, then a hit for sure.
    let wait = [
        stay(0.0, 4.0),
        stay(0.0, 4.0),
        stay(1.0, 1.0),
        stay(0.0, 64.0),
    ];
    assert_eq!(best_rate(&wait, 1.0), 1.0 / 9.0);
    assert_eq!(best_rate(&wait[2..], 1.0), 1.0);
    assert_eq!(best_rate(&wait[3..], 1.0), 0.0);
    // A likely hit at once: what comes later does not lower it.
    assert_eq!(best_rate(&[stay(0.5, 1.0), stay(0.0, 64.0)], 2.0), 1.0);
}

#[test]
fn where_the_young_are_hit_the_old_go() {
    let mut outcomes = nothing();
    for class in 0..CLASSES {
        observed(&mut outcomes, class, 1000.0, 16, |level| {
            0.3 / (1 + level * level) as f32
        });
    }
    let ranks = Ranks::taught_by(&outcomes);
    for class in 0..CLASSES {
        for level in 1..LEVELS {
            assert!(
                ranks.of(AgeClass::of(class, level)) < ranks.of(AgeClass::of(class, level - 1))
            );
        }
    }
}

#[test]
fn where_nobody_is_hit_the_young_go_so_that_some_get_old() {
    let mut outcomes = nothing();
    observed(&mut outcomes, 0, 1000.0, 9, |_| 0.0);
    let ranks = Ranks::taught_by(&outcomes);
    for old in 9..LEVELS {
        assert!(ranks.of(AgeClass::of(0, 0)) < ranks.of(AgeClass::of(0, old)));
    }
}

#[test]
fn where_the_old_are_hit_they_stay() {
    // A loop of about 100 ticks, seen by a few of those who were kept that long.
    let mut outcomes = nothing();
    observed(&mut outcomes, 0, 1000.0, 9, |_| 0.0);
    observed(&mut outcomes, 0, 200.0, 24, |level| {
        if level == 22 { 0.02 } else { 0.0 }
    });
    let ranks = Ranks::taught_by(&outcomes);
    for level in 1..=22 {
        assert!(ranks.of(AgeClass::of(0, level - 1)) < ranks.of(AgeClass::of(0, level)));
    }
    assert!(
        ranks.of(AgeClass::of(0, 23)) < ranks.of(AgeClass::of(0, 15)),
        "its time is over"
    );
}

#[test]
fn what_was_asked_for_often_stays_longer_if_that_predicts_more() {
    let mut outcomes = nothing();
    observed(&mut outcomes, 0, 1000.0, 12, |_| 0.001);
    observed(&mut outcomes, 3, 1000.0, 24, |_| 0.05);
    let ranks = Ranks::taught_by(&outcomes);
    assert!(ranks.of(AgeClass::of(0, 0)) < ranks.of(AgeClass::of(3, 20)));
}

#[test]
fn evictions_are_no_evidence_against_those_who_were_not_evicted() {
    let mut outcomes = nothing();
    observed(&mut outcomes, 1, 1000.0, 20, |_| 0.05);
    let before = worth(&outcomes);
    // Many more, given up early, of which as many were hit until then.
    observed(&mut outcomes, 1, 100_000.0, 4, |_| 0.05);
    let after = worth(&outcomes);
    let further = |outcomes: &Outcomes| 1.0 + further_hits(outcomes)[2];
    for level in 6..16 {
        let age_class = AgeClass::of(1, level).index();
        let ratio = after[age_class] / before[age_class];
        assert!((0.99..1.01).contains(&ratio), "level {level}: {ratio}");
    }
    assert_eq!(further(&outcomes), further(&nothing()));
}
