use super::*;
use crate::policy::tests::Numbers;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn count(words: &[AtomicU64], age_class: AgeClass) -> Count {
    Count::from_word(words[OUTCOMES + age_class.index()].load(Ordering::Relaxed))
}

fn all(words: &[AtomicU64]) -> Vec<u64> {
    words
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
}

#[test]
fn a_batch_is_told_at_once_and_not_before() {
    let (estimator, counts) = (Estimator::new(), words(ESTIMATOR_WORDS));
    let (hit, gone) = (AgeClass::of(1, 2), AgeClass::of(0, 9));
    for _ in 0..3 {
        estimator.hit(hit);
    }
    for _ in 1..BATCH {
        estimator.evicted(gone, &counts, 1000);
    }
    assert!(all(&counts).iter().all(|word| *word == 0));
    estimator.evicted(gone, &counts, 1000);
    let batch = u64::from(BATCH);
    let expected = |hits, evictions| Count {
        hits: hits * UNIT,
        evictions: evictions * UNIT,
    };
    assert_eq!(count(&counts, hit), expected(3, 0));
    assert_eq!(count(&counts, gone), expected(0, batch));
    assert_eq!(counts[EVICTIONS].load(Ordering::Relaxed), batch);
    // And not again.
    for _ in 0..BATCH {
        estimator.evicted(gone, &counts, 1000);
    }
    assert_eq!(count(&counts, hit), expected(3, 0));
    assert_eq!(count(&counts, gone), expected(0, 2 * batch));
}

#[test]
fn what_several_processes_count_adds_up_to_one_update_for_all() {
    let counts = words(ESTIMATOR_WORDS);
    let estimators = [Estimator::new(), Estimator::new()];
    let (popular, gone) = (AgeClass::of(3, 20), AgeClass::of(0, 0));
    let ghosts = words(2000);
    let memory = |estimator| Memory {
        estimator,
        counts: &counts,
        ghosts: &ghosts,
    };
    assert_eq!(memory(&estimators[0]).ranks(), Ranks::UNTAUGHT);
    let needed = update_interval(1000);
    for number in 0..needed.next_multiple_of(2 * u64::from(BATCH)) {
        let estimator = &estimators[number as usize % 2];
        estimator.hit(popular);
        memory(estimator).evicted(gone);
    }
    let ranks = memory(&estimators[0]).ranks();
    assert_ne!(ranks, Ranks::UNTAUGHT);
    assert_eq!(ranks, memory(&estimators[1]).ranks());
    assert!(ranks.of(gone) < ranks.of(popular));
    // What led to it fades, and is counted from the start.
    let kept = count(&counts, gone).evictions as f64 / (needed * UNIT) as f64;
    assert!((0.89..0.97).contains(&kept), "{kept} is left");
    assert!(counts[EVICTIONS].load(Ordering::Relaxed) < u64::from(2 * BATCH));
}

#[test]
fn updates_come_sooner_in_small_caches() {
    assert_eq!(update_interval(2), 250);
    assert_eq!(update_interval(1000), 4000);
    assert_eq!(update_interval(u64::MAX), 20_000);
}

#[test]
fn counts_fade_to_nothing_and_never_overflow() {
    let mut left = u64::from(u32::MAX);
    for _ in 0..300 {
        left = faded(left);
    }
    assert_eq!(left, 0);
    let most = Count {
        hits: u64::from(u32::MAX),
        evictions: u64::from(u32::MAX),
    };
    assert_eq!(most.plus(most), most);
    assert_eq!(Count::from_word(most.to_word()), most);
    let one = Count {
        hits: 1,
        evictions: 2,
    };
    assert_eq!(Count::from_word(one.to_word()), one);
    assert_eq!(most.plus(one), most);
}

#[test]
fn whatever_stands_in_the_segment_is_survived() {
    let mut numbers = Numbers(30);
    for round in 0..50 {
        let invalid = |_| match round {
            0 => u64::MAX,
            _ => numbers.next(),
        };
        let counts: Vec<AtomicU64> = (0..ESTIMATOR_WORDS)
            .map(invalid)
            .map(AtomicU64::new)
            .collect();
        let estimator = Estimator::new();
        let memory = Memory {
            estimator: &estimator,
            counts: &counts,
            ghosts: &words(8),
        };
        for age_class in (0..=u8::MAX).map(AgeClass) {
            estimator.hit(age_class);
            memory.evicted(age_class);
            let _ = memory.ranks().of(age_class);
        }
    }
}

#[test]
fn without_a_part_in_the_segment_nothing_is_remembered() {
    let estimator = Estimator::new();
    let memory = Memory {
        estimator: &estimator,
        counts: &[],
        ghosts: &[],
    };
    for _ in 0..1000 {
        memory.evicted(AgeClass::of(0, 0));
    }
    memory.set_ghosts(3, Ghosts([1, 2]));
    assert_eq!(memory.ghosts(3), Ghosts([0; 2]));
    assert_eq!(memory.ranks(), Ranks::UNTAUGHT);
}

#[test]
fn each_bucket_has_its_own_ghosts() {
    let estimator = Estimator::new();
    let ghosts = words(3 * Ghosts::WORDS);
    let memory = Memory {
        estimator: &estimator,
        counts: &[],
        ghosts: &ghosts,
    };
    for bucket in 0..3 {
        memory.set_ghosts(bucket, Ghosts([bucket, 7]));
    }
    for bucket in 0..3 {
        assert_eq!(memory.ghosts(bucket), Ghosts([bucket, 7]));
    }
    assert_eq!(memory.ghosts(3), Ghosts([0; 2]));
    assert_eq!(all(&ghosts), [0, 7, 1, 7, 2, 7]);
}
