//! System V: creators that die half-way, and keys that others use as well.

use std::time::{Duration, Instant};

use super::*;
use crate::segment::sysv::BUILDING;
use crate::sys::shm;

fn with_short_timeout() -> SegmentOptions {
    options().creation_timeout(Duration::from_millis(50))
}

fn key(segment: &Segment) -> i32 {
    match segment {
        Segment::SysV(SysVKey::Number(key)) => key.get(),
        other => panic!("{other} has no key"),
    }
}

/// What a creator does, up to a point at which it may die.
fn half_create(segment: &Segment, how_far: &str) {
    match how_far {
        "reserved" => drop(shm::shmget_new(key(segment), LEN, 0o600).unwrap()),
        "attached" => {
            let id = shm::shmget_new(key(segment), LEN, 0o600).unwrap();
            shm::shmat(id, LEN, Access::ReadWrite).unwrap();
        }
        "building" => drop(segment.create(&options(), &stuck_new_segment())),
        other => panic!("{other}?"),
    }
}

/// Leaves what a creator leaves that was killed at that point.
fn leave_half(name: &str, how_far: &str, segment: &Segment) {
    let command = child(module_path!(), name, how_far, segment);
    if how_far == "building" {
        let mut creator = start_until_ready(command);
        creator.kill().unwrap();
        creator.wait().unwrap();
    } else {
        run(command);
    }
    assert!(segment.exists().unwrap());
}

#[test]
fn the_remains_of_a_dead_creator_are_taken_over() {
    const NAME: &str = "the_remains_of_a_dead_creator_are_taken_over";
    if let Some(how_far) = role() {
        return half_create(&given_segment(), &how_far);
    }
    for how_far in ["reserved", "attached", "building"] {
        let scratch = Scratch::sysv();

        leave_half(NAME, how_far, &scratch);
        let error = open_read_only(&scratch).unwrap_err();
        assert!(
            matches!(error, SegmentError::Abandoned { removed: false, .. }),
            "{error}"
        );
        assert!(scratch.exists().unwrap(), "a reader changes nothing");
        let error = open(&scratch).unwrap_err();
        assert!(
            matches!(error, SegmentError::Abandoned { removed: true, .. }),
            "{error}"
        );
        assert!(!scratch.exists().unwrap());

        leave_half(NAME, how_far, &scratch);
        let start = Instant::now();
        let (attached, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
        assert_eq!(created, Created::Yes);
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "at once, not at the deadline"
        );
        maker(&attached);
        scratch.remove().unwrap();

        leave_half(NAME, how_far, &scratch);
        maker(&create(&scratch).unwrap());
    }
}

#[test]
fn a_creator_that_is_alive_is_waited_for_and_never_replaced() {
    const NAME: &str = "a_creator_that_is_alive_is_waited_for_and_never_replaced";
    if let Some(how_far) = role() {
        return half_create(&given_segment(), &how_far);
    }
    let scratch = Scratch::sysv();
    let mut creator = start_until_ready(child(module_path!(), NAME, "building", &scratch));
    let pid = creator.id();
    let identity = scratch.metadata().unwrap().identity;
    for error in [
        scratch
            .open(&with_short_timeout(), Access::ReadWrite, MAGIC)
            .unwrap_err(),
        scratch
            .open(&with_short_timeout(), Access::ReadOnly, MAGIC)
            .unwrap_err(),
        scratch
            .open_or_create(&with_short_timeout(), &new_segment())
            .unwrap_err(),
    ] {
        match error {
            SegmentError::NotReady {
                waited, creator, ..
            } => {
                assert!(waited >= Duration::from_millis(50));
                assert_eq!(creator, Some(pid));
            }
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        create(&scratch),
        Err(SegmentError::AlreadyExists { .. })
    ));
    scratch.ensure_current(identity).unwrap();
    creator.kill().unwrap();
    creator.wait().unwrap();
}

#[test]
fn a_slow_creator_is_waited_for() {
    let scratch = Scratch::sysv();
    let segment = scratch.segment.clone();
    let begun = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let init = &|words: &[AtomicU64], _: Option<FileWords>| {
                begun.wait();
                std::thread::sleep(Duration::from_millis(100));
                stamp(words, None);
            };
            let new_segment = NewSegment {
                len: LEN,
                magic: MAGIC,
                init,
                prepare: &no_wish,
            };
            segment.create(&options(), &new_segment).unwrap();
        });
        begun.wait();
        maker(&open_read_only(&scratch).unwrap());
    });
}

#[test]
fn a_segment_of_another_program_is_never_removed_or_written() {
    const NAME: &str = "a_segment_of_another_program_is_never_removed_or_written";
    if let Some(what) = role() {
        // Its creator exits, so nothing but the contents speaks for it.
        let id = shm::shmget_new(key(&given_segment()), LEN, 0o600).unwrap();
        let mapping = shm::shmat(id, LEN, Access::ReadWrite).unwrap();
        match what.as_str() {
            "begins with zeros" => mapping.words()[LEN / 8 - 1].store(7, Ordering::Relaxed),
            "second word" => mapping.words()[1].store(7, Ordering::Relaxed),
            "other magic" => mapping.words()[0].store(7, Ordering::Relaxed),
            other => panic!("{other}?"),
        }
        return;
    }
    for what in ["begins with zeros", "second word"] {
        let scratch = Scratch::sysv();
        run(child(module_path!(), NAME, what, &scratch));
        let identity = scratch.metadata().unwrap().identity;
        let error = scratch
            .open_or_create(&with_short_timeout(), &new_segment())
            .unwrap_err();
        assert!(
            matches!(error, SegmentError::NotReady { .. }),
            "{what}: {error}"
        );
        scratch.ensure_current(identity).unwrap();
    }
    let scratch = Scratch::sysv();
    run(child(module_path!(), NAME, "other magic", &scratch));
    let (attached, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
    assert_eq!(created, Created::No);
    assert_eq!(attached.mapping.words()[0].load(Ordering::Relaxed), 7);
    assert_eq!(attached.mapping.words()[1].load(Ordering::Relaxed), 0);
}

#[test]
fn an_empty_segment_that_somebody_has_attached_is_not_removed() {
    const NAME: &str = "an_empty_segment_that_somebody_has_attached_is_not_removed";
    if let Some(how_far) = role() {
        return half_create(&given_segment(), &how_far);
    }
    let scratch = Scratch::sysv();
    leave_half(NAME, "attached", &scratch);
    let id = shm::shmget(key(&scratch)).unwrap();
    let theirs = shm::shmat(id, LEN, Access::ReadOnly).unwrap();
    let error = scratch
        .open_or_create(&with_short_timeout(), &new_segment())
        .unwrap_err();
    assert!(matches!(error, SegmentError::NotReady { .. }), "{error}");
    drop(theirs);
    let (_, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
    assert_eq!(created, Created::Yes);
}

#[test]
fn a_mark_of_a_live_process_is_respected() {
    let scratch = Scratch::sysv();
    let id = shm::shmget_new(key(&scratch), LEN, 0o600).unwrap();
    let mapping = shm::shmat(id, LEN, Access::ReadWrite).unwrap();
    for word in [0, BUILDING] {
        mapping.words()[0].store(word, Ordering::Relaxed);
        let error = scratch
            .open(&with_short_timeout(), Access::ReadWrite, MAGIC)
            .unwrap_err();
        assert!(matches!(error, SegmentError::NotReady { .. }), "{error}");
    }
    mapping.words()[0].store(MAGIC, Ordering::Release);
    open(&scratch).unwrap();
}

#[test]
fn what_is_not_complete_is_listed_as_such() {
    let scratch = Scratch::sysv();
    let id = shm::shmget_new(key(&scratch), LEN, 0o600).unwrap();
    let mapping = shm::shmat(id, LEN, Access::ReadWrite).unwrap();
    let is_listed = || {
        let unfinished = Segment::list_unfinished().unwrap();
        unfinished.contains(&scratch)
    };
    assert!(!is_listed(), "zeros may be anybody's");
    mapping.words()[0].store(BUILDING, Ordering::Relaxed);
    assert!(is_listed());
    mapping.words()[0].store(MAGIC, Ordering::Release);
    assert!(!is_listed());
}

#[test]
fn a_short_segment_under_our_key_is_too_small() {
    let scratch = Scratch::sysv();
    shm::shmget_new(key(&scratch), 100, 0o600).unwrap();
    for error in [
        open(&scratch).unwrap_err(),
        scratch
            .open_or_create(&options(), &new_segment())
            .unwrap_err(),
    ] {
        assert!(
            matches!(error, SegmentError::TooSmall { found: 100, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_identifier_names_the_same_segment_as_its_key() {
    let scratch = Scratch::sysv();
    let attached = create(&scratch).unwrap();
    let SegmentId::SysV { shmid } = attached.identity else {
        panic!("not System V")
    };
    let by_id: Segment = format!("sysv-id:{shmid}").parse().unwrap();
    assert_eq!(open(&by_id).unwrap().identity, attached.identity);
    assert_eq!(by_id.metadata().unwrap(), scratch.metadata().unwrap());
    assert!(matches!(
        create(&by_id),
        Err(SegmentError::Unsupported { .. })
    ));
    by_id.ensure_current(attached.identity).unwrap();
    by_id.remove().unwrap();
    // Still attached, by us, and yet gone for everybody else.
    assert!(!by_id.exists().unwrap());
    assert!(!scratch.exists().unwrap());
    assert!(matches!(open(&by_id), Err(SegmentError::NotFound { .. })));
    let result = by_id.open_or_create(&options(), &new_segment());
    assert!(matches!(result, Err(SegmentError::NotFound { .. })));
    assert!(by_id.ensure_current(attached.identity).is_err());
}

#[test]
fn a_key_can_be_made_of_a_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("sysv:{}#7", file.path().display());
    let scratch = Scratch {
        segment: text.parse().unwrap(),
        _directory: None,
    };
    let attached = create(&scratch).unwrap();
    assert_eq!(attached.segment.to_string(), text);
    assert_eq!(open(&scratch).unwrap().identity, attached.identity);
    let other: Segment = text.replace("#7", "#8").parse().unwrap();
    assert!(matches!(open(&other), Err(SegmentError::NotFound { .. })));
    let error = open(&"sysv:/nonexistent#1".parse().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("cannot look at /nonexistent"),
        "{error}"
    );
}

#[test]
fn a_succession_of_creators_is_not_taken_for_one_that_is_stuck() {
    let scratch = Scratch::sysv();
    let reserve = || {
        let id = shm::shmget_new(key(&scratch), LEN, 0o600).ok()?;
        let mapping = shm::shmat(id, LEN, Access::ReadWrite).unwrap();
        mapping.words()[0].store(BUILDING, Ordering::Relaxed);
        Some(id)
    };
    let mut id = reserve();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Six times the opener's timeout in all, half of it each.
            for _ in 0..12 {
                std::thread::sleep(Duration::from_millis(100));
                let Some(old) = id else {
                    // The opener has found the key free, and made the segment itself.
                    return;
                };
                shm::remove(old).unwrap();
                id = reserve();
            }
            id.map(shm::remove);
        });
        let options = options().creation_timeout(Duration::from_millis(200));
        let (attached, _) = scratch.open_or_create(&options, &new_segment()).unwrap();
        maker(&attached);
    });
}
