//! Deploys: a segment is replaced by one with the settings and types of the new program.

use std::sync::Barrier;
use std::time::Duration;

use shmkv::segment::SegmentError;
use shmkv::{Cache, DynMap, Map, OpenError, Segment};

use crate::support::Scratch;

type Sessions = Cache<u64, u64>;

fn open(segment: &Segment, ttl: u64, carry_over: bool) -> Result<Sessions, OpenError> {
    Sessions::builder()
        .max_capacity(100)
        .time_to_live(Duration::from_secs(ttl))
        .carry_over(carry_over)
        .open_or_replace(segment.clone())
}

#[test]
fn of_many_that_start_at_once_one_replaces_the_segment() {
    const WORKERS: usize = 8;
    for round in 0..50 {
        for scratch in [Scratch::shm(), Scratch::file()] {
            let segment = scratch.segment();
            let old = open(segment, 10, false).unwrap();
            let barrier = Barrier::new(WORKERS);
            let ids: Vec<_> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..WORKERS)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            let cache = open(segment, 20, round % 2 == 0).unwrap();
                            cache.ensure_current().unwrap();
                            cache.header().segment_id()
                        })
                    })
                    .collect();
                workers.into_iter().map(|w| w.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "round {round}: {ids:?}");
            assert_ne!(ids[0], old.header().segment_id());
            // Whoever has the old one keeps it, and learns of the new one.
            old.insert(1, 1).unwrap();
            let error = old.ensure_current().unwrap_err();
            assert!(matches!(error, SegmentError::NotCurrent { .. }), "{error}");
        }
    }
}

#[test]
fn content_is_carried_over_by_choice_with_the_time_that_is_left() {
    for carry_over in [false, true] {
        let scratch = Scratch::shm();
        let old = open(scratch.segment(), 1000, false).unwrap();
        old.insert(1, 10).unwrap();
        old.insert_with_ttl(2, 20, Duration::from_secs(50)).unwrap();
        let new = open(scratch.segment(), 2000, carry_over).unwrap();
        assert_eq!(new.get(&1).unwrap(), carry_over.then_some(10));
        assert_eq!(new.get(&2).unwrap(), carry_over.then_some(20));
        let left = DynMap::builder()
            .open_read_only(scratch.segment().clone())
            .unwrap()
            .remaining_ttl(&2_u64.to_ne_bytes())
            .unwrap()
            .flatten();
        let is_kept = left.is_some_and(|left| left <= Duration::from_millis(50_100));
        assert_eq!(is_kept, carry_over, "{left:?}");
    }
}

#[test]
fn a_segment_that_agrees_is_opened_and_another_type_capacity_or_kind_replaces_it() {
    let scratch = Scratch::file();
    let segment = || scratch.segment().clone();
    let builder = |capacity| {
        Map::<u64, u64>::builder()
            .capacity(capacity)
            .carry_over(true)
    };
    let first = builder(100).open_or_replace(segment()).unwrap();
    first.insert(1, 10).unwrap();
    let same = builder(50).open_or_replace(segment()).unwrap();
    assert_eq!(same.header().segment_id(), first.header().segment_id());
    let larger = builder(200).open_or_replace(segment()).unwrap();
    assert_ne!(larger.header().segment_id(), first.header().segment_id());
    assert_eq!(larger.get(&1).unwrap(), Some(10));
    let other: Map<u64, u32> = Map::builder()
        .capacity(200)
        .carry_over(true)
        .open_or_replace(segment())
        .unwrap();
    assert_eq!(other.get(&1).unwrap(), None, "another type of value");
    open(scratch.segment(), 10, true).unwrap();
    let (key, value) = ("u64".parse().unwrap(), "u32".parse().unwrap());
    let untyped = |capacity| {
        DynMap::builder()
            .capacity(capacity)
            .open_or_replace(segment(), &key, &value)
            .unwrap()
    };
    let made = untyped(100);
    made.ensure_current().unwrap();
    assert_eq!(
        untyped(100).header().segment_id(),
        made.header().segment_id()
    );
    assert_ne!(
        untyped(200).header().segment_id(),
        made.header().segment_id()
    );
    let directory = scratch.path();
    let files = std::fs::read_dir(directory.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1, "temporary files");
}

#[test]
fn what_cannot_be_replaced_stays_as_it_is() {
    // A key of System V cannot pass to another segment in one step.
    let scratch = Scratch::sysv();
    let old = open(scratch.segment(), 10, false).unwrap();
    let error = open(scratch.segment(), 20, false).unwrap_err();
    let is_refused = matches!(
        error,
        OpenError::Segment(SegmentError::Unsupported {
            action: "replace",
            ..
        })
    );
    assert!(is_refused, "{error}");
    old.ensure_current().unwrap();
    open(scratch.segment(), 10, false).unwrap();

    // A file that is none of ours.
    let scratch = Scratch::file();
    std::fs::write(scratch.path(), [7; 8192]).unwrap();
    open(scratch.segment(), 20, false).unwrap_err();
    assert_eq!(std::fs::read(scratch.path()).unwrap(), [7; 8192]);

    // Content that does not fit in.
    let scratch = Scratch::file();
    let old: Map<u64, u64> = Map::builder()
        .capacity(1000)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..1000 {
        old.insert(key, key).unwrap();
    }
    let error = Map::<u64, u64>::builder()
        .capacity(10)
        .hash(shmkv::format::HashFunction::Sip)
        .carry_over(true)
        .open_or_replace(scratch.segment().clone())
        .unwrap_err();
    assert!(matches!(error, OpenError::CarryOver { .. }), "{error}");
    old.ensure_current().unwrap();
    let path = scratch.path();
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1, "temporary files");
}
