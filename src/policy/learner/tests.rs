use super::*;
use crate::policy::tests::Numbers;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn count(words: &[AtomicU64], past: Past) -> Count {
    Count::from_word(words[OUTCOMES + past.index()].load(Ordering::Relaxed))
}

fn all(words: &[AtomicU64]) -> Vec<u64> {
    words
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
}

#[test]
fn a_batch_is_told_at_once_and_not_before() {
    let (learner, lessons) = (Learner::new(), words(LEARNER_WORDS));
    let (hit, gone) = (Past::of(1, 2), Past::of(0, 9));
    for _ in 0..3 {
        learner.hit(hit);
    }
    for _ in 1..BATCH {
        learner.evicted(gone, &lessons, 1000);
    }
    assert!(all(&lessons).iter().all(|word| *word == 0));
    learner.evicted(gone, &lessons, 1000);
    let batch = u64::from(BATCH);
    let expected = |hits, evictions| Count {
        hits: hits * UNIT,
        evictions: evictions * UNIT,
    };
    assert_eq!(count(&lessons, hit), expected(3, 0));
    assert_eq!(count(&lessons, gone), expected(0, batch));
    assert_eq!(lessons[EVICTIONS].load(Ordering::Relaxed), batch);
    // And not again.
    for _ in 0..BATCH {
        learner.evicted(gone, &lessons, 1000);
    }
    assert_eq!(count(&lessons, hit), expected(3, 0));
    assert_eq!(count(&lessons, gone), expected(0, 2 * batch));
}

#[test]
fn what_several_processes_count_adds_up_to_one_lesson_for_all() {
    let lessons = words(LEARNER_WORDS);
    let learners = [Learner::new(), Learner::new()];
    let (popular, gone) = (Past::of(3, 20), Past::of(0, 0));
    let ghosts = words(2000);
    let memory = |learner| Memory {
        learner,
        lessons: &lessons,
        ghosts: &ghosts,
    };
    assert_eq!(memory(&learners[0]).ranks(), Ranks::UNTAUGHT);
    let needed = lesson(1000);
    for number in 0..needed.next_multiple_of(2 * u64::from(BATCH)) {
        let learner = &learners[number as usize % 2];
        learner.hit(popular);
        memory(learner).evicted(gone);
    }
    let ranks = memory(&learners[0]).ranks();
    assert_ne!(ranks, Ranks::UNTAUGHT);
    assert_eq!(ranks, memory(&learners[1]).ranks());
    assert!(ranks.of(gone) < ranks.of(popular));
    // What led to it fades, and is counted from the start.
    let kept = count(&lessons, gone).evictions as f64 / (needed * UNIT) as f64;
    assert!((0.89..0.97).contains(&kept), "{kept} is left");
    assert!(lessons[EVICTIONS].load(Ordering::Relaxed) < u64::from(2 * BATCH));
}

#[test]
fn lessons_come_sooner_in_small_caches() {
    assert_eq!(lesson(2), 250);
    assert_eq!(lesson(1000), 4000);
    assert_eq!(lesson(u64::MAX), 20_000);
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
        let garbage = |_| match round {
            0 => u64::MAX,
            _ => numbers.next(),
        };
        let lessons: Vec<AtomicU64> = (0..LEARNER_WORDS)
            .map(garbage)
            .map(AtomicU64::new)
            .collect();
        let learner = Learner::new();
        let memory = Memory {
            learner: &learner,
            lessons: &lessons,
            ghosts: &words(8),
        };
        for past in (0..=u8::MAX).map(Past) {
            learner.hit(past);
            memory.evicted(past);
            let _ = memory.ranks().of(past);
        }
    }
}

#[test]
fn without_a_part_in_the_segment_nothing_is_remembered() {
    let learner = Learner::new();
    let memory = Memory {
        learner: &learner,
        lessons: &[],
        ghosts: &[],
    };
    for _ in 0..1000 {
        memory.evicted(Past::of(0, 0));
    }
    memory.set_ghosts(3, Ghosts([1, 2]));
    assert_eq!(memory.ghosts(3), Ghosts([0; 2]));
    assert_eq!(memory.ranks(), Ranks::UNTAUGHT);
}

#[test]
fn each_bucket_has_its_own_ghosts() {
    let learner = Learner::new();
    let ghosts = words(3 * Ghosts::WORDS);
    let memory = Memory {
        learner: &learner,
        lessons: &[],
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
