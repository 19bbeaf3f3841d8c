//! `list` finds what is ours, and nothing disturbs it.

use super::*;

/// A magic that no other test uses, since they all run at the same time.
const LISTED: u64 = u64::from_ne_bytes(*b"listing!");

fn create_listed(segment: &Segment) -> Attached {
    let new_segment = NewSegment {
        magic: LISTED,
        ..new_segment()
    };
    segment.create(&options(), &new_segment).unwrap()
}

fn list() -> Vec<Segment> {
    Segment::list_marked(LISTED).unwrap()
}

#[test]
fn list_finds_segments_of_ours_and_only_those() {
    let ours = [Scratch::shm(), Scratch::shm(), Scratch::sysv()];
    for scratch in &ours {
        create_listed(scratch);
    }
    let others = [Scratch::shm(), Scratch::sysv()];
    for scratch in &others {
        create(scratch).unwrap();
    }
    let link = Scratch::shm();
    std::os::unix::fs::symlink(ours[0].path(), link.path()).unwrap();
    let short = Scratch::shm();
    std::fs::write(short.path(), LISTED.to_ne_bytes()).unwrap();
    let fifo = Scratch::shm();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fifo.path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();

    let found = list();
    for scratch in &ours {
        assert!(found.contains(scratch), "{scratch:?} in {found:?}");
    }
    for scratch in others.iter().chain([&link, &short, &fifo]) {
        assert!(!found.contains(scratch), "{scratch:?} in {found:?}");
    }
    std::fs::remove_file(link.path()).unwrap();
    std::fs::remove_file(fifo.path()).unwrap();
}

#[test]
fn list_shows_a_removed_system_v_segment_by_its_identifier() {
    let scratch = Scratch::sysv();
    let attached = create_listed(&scratch);
    scratch.remove().unwrap();
    let SegmentId::SysV { shmid } = attached.identity else {
        panic!("not System V")
    };
    let by_id: Segment = format!("sysv-id:{shmid}").parse().unwrap();
    assert!(list().contains(&by_id));
    drop(attached);
    assert!(!list().contains(&by_id));
}

#[test]
fn list_does_not_mind_segments_that_come_and_go() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let steady = [Scratch::shm(), Scratch::sysv()];
    for scratch in &steady {
        create_listed(scratch);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for scratch in [Scratch::shm(), Scratch::sysv()] {
                    create_listed(&scratch);
                }
            }
        });
        for _ in 0..200 {
            let found = list();
            for scratch in &steady {
                assert!(found.contains(scratch), "{scratch:?} in {found:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
