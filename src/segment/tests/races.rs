//! Many processes at the same moment.

use std::time::Duration;

use super::*;

const PROCESSES: usize = 32;

/// Starts `count` processes that wait for each other, and returns what they tell after
/// "ready". All must end well.
fn race(name: &str, role: &str, segment: &Segment, count: usize) -> Vec<String> {
    let (gate, opener) = std::io::pipe().unwrap();
    let (results, stderr) = std::io::pipe().unwrap();
    let mut children: Vec<Child> = (0..count)
        .map(|_| {
            child(module_path!(), name, role, segment)
                .stdin(gate.try_clone().unwrap())
                .stderr(stderr.try_clone().unwrap())
                .spawn()
                .unwrap()
        })
        .collect();
    drop((gate, stderr));
    let mut lines = told(results);
    for _ in 0..count {
        assert_eq!(lines.next().as_deref(), Some("ready"));
    }
    drop(opener);
    let lines = lines.collect();
    for child in &mut children {
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
    lines
}

#[test]
fn of_32_processes_that_open_or_create_one_creates_and_all_share() {
    const NAME: &str = "of_32_processes_that_open_or_create_one_creates_and_all_share";
    if role().is_some() {
        let segment = given_segment();
        notify("ready");
        wait_for_parent();
        let (attached, created) = segment.open_or_create(&options(), &new_segment()).unwrap();
        // Before anything else: is it complete?
        let maker = maker(&attached);
        assert_eq!(
            created == Created::Yes,
            maker == u64::from(std::process::id())
        );
        return notify(&format!("{:?} {maker} {created:?}", attached.identity));
    }
    for scratch in Scratch::each() {
        for _ in 0..3 {
            let lines = race(NAME, "open or create", &scratch, PROCESSES);
            assert_eq!(lines.len(), PROCESSES);
            let creators = lines.iter().filter(|line| line.ends_with(" Yes")).count();
            assert_eq!(creators, 1, "{lines:#?}");
            let mut shared: Vec<_> = lines
                .iter()
                .map(|line| line.rsplit_once(' ').unwrap().0)
                .collect();
            shared.dedup();
            assert_eq!(shared.len(), 1, "{lines:#?}");
            scratch.remove().unwrap();
        }
    }
}

#[test]
fn of_32_processes_that_create_one_succeeds() {
    const NAME: &str = "of_32_processes_that_create_one_succeeds";
    if role().is_some() {
        let segment = given_segment();
        notify("ready");
        wait_for_parent();
        return match create(&segment) {
            Ok(_) => notify("created"),
            Err(SegmentError::AlreadyExists { .. }) => notify("exists"),
            Err(error) => panic!("{error}"),
        };
    }
    for scratch in Scratch::each() {
        let lines = race(NAME, "create", &scratch, PROCESSES);
        assert_eq!(lines.iter().filter(|line| *line == "created").count(), 1);
        assert_eq!(lines.len(), PROCESSES);
    }
}

#[test]
fn processes_that_create_and_remove_all_the_time_never_see_half_a_segment() {
    const NAME: &str = "processes_that_create_and_remove_all_the_time_never_see_half_a_segment";
    if role().is_some() {
        let segment = given_segment();
        notify("ready");
        wait_for_parent();
        for _ in 0..200 {
            let (attached, _) = segment.open_or_create(&options(), &new_segment()).unwrap();
            maker(&attached);
            match segment.remove() {
                Ok(()) | Err(SegmentError::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        return;
    }
    for scratch in Scratch::each() {
        race(NAME, "churn", &scratch, 8);
    }
}

#[test]
fn of_32_processes_that_find_remains_one_creates_and_all_share() {
    const NAME: &str = "of_32_processes_that_find_remains_one_creates_and_all_share";
    match role().as_deref() {
        Some("die") => {
            let _ = given_segment().create(&options(), &stuck_new_segment());
            return;
        }
        Some("reserve and die") => {
            let Segment::SysV(SysVKey::Number(key)) = given_segment() else {
                panic!("a key was expected")
            };
            crate::sys::shm::shmget_new(key.get(), LEN, 0o600).unwrap();
            return;
        }
        Some(_) => {
            notify("ready");
            wait_for_parent();
            let segment = given_segment();
            let (attached, created) = segment.open_or_create(&options(), &new_segment()).unwrap();
            return notify(&format!("{} {created:?}", maker(&attached)));
        }
        None => {}
    }
    for reserved_only in [false, true] {
        let scratch = Scratch::sysv();
        if reserved_only {
            run(child(module_path!(), NAME, "reserve and die", &scratch));
        } else {
            let mut creator = start_until_ready(child(module_path!(), NAME, "die", &scratch));
            creator.kill().unwrap();
            creator.wait().unwrap();
        }
        let mut lines = race(NAME, "take over", &scratch, PROCESSES);
        assert_eq!(
            lines.iter().filter(|line| line.ends_with(" Yes")).count(),
            1,
            "{lines:?}"
        );
        for line in &mut lines {
            line.truncate(line.find(' ').unwrap());
        }
        lines.dedup();
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn of_64_processes_some_of_which_are_killed_all_others_share_one_segment() {
    const NAME: &str = "of_64_processes_some_of_which_are_killed_all_others_share_one_segment";
    const CROWD: usize = 64;
    if role().is_some() {
        let segment = given_segment();
        notify("ready");
        wait_for_parent();
        // Slowly enough that it can be killed anywhere in between.
        let init = &|words: &[AtomicU64], _: Option<FileWords>| {
            let id = u64::from(std::process::id());
            for words in words[1..].chunks(64) {
                words
                    .iter()
                    .for_each(|word| word.store(id, Ordering::Relaxed));
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        };
        let new_segment = NewSegment {
            len: LEN,
            magic: MAGIC,
            init,
            prepare: &no_wish,
        };
        let (attached, _) = segment.open_or_create(&options(), &new_segment).unwrap();
        return notify(&format!("{:?} {}", attached.identity, maker(&attached)));
    }
    let rounds = if std::env::var_os("SHMKV_LONG").is_some() {
        40
    } else {
        4
    };
    for (kind, scratch) in Scratch::each().into_iter().enumerate() {
        for round in 0..rounds {
            let (gate, opener) = std::io::pipe().unwrap();
            let (results, stderr) = std::io::pipe().unwrap();
            let mut children: Vec<Child> = (0..CROWD)
                .map(|_| {
                    child(module_path!(), NAME, "crowd", &scratch)
                        .stdin(gate.try_clone().unwrap())
                        .stderr(stderr.try_clone().unwrap())
                        .spawn()
                        .unwrap()
                })
                .collect();
            drop((gate, stderr));
            let mut lines = told(results);
            for _ in 0..CROWD {
                assert_eq!(lines.next().as_deref(), Some("ready"));
            }
            drop(opener);
            // Whoever creates is among those alive or among the killed, and of these at any
            // point: three of four are killed one after the other, from the first moment on.
            let mut state = 1 + kind as u64 * 1000 + round;
            let mut random = |end: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) % end
            };
            let mut order: Vec<usize> = (0..CROWD).collect();
            for i in (1..CROWD).rev() {
                order.swap(i, random(i as u64 + 1) as usize);
            }
            let (killed, spared) = order.split_at(CROWD * 3 / 4);
            for &victim in killed {
                std::thread::sleep(std::time::Duration::from_micros(random(1500)));
                children[victim].kill().unwrap();
            }
            // Nobody hangs: the pipe ends when the last of them has exited.
            let lines: Vec<String> = lines.collect();
            for &survivor in spared {
                let status = children[survivor].wait().unwrap();
                assert!(status.success(), "{status}");
            }
            for &victim in killed {
                children[victim].wait().unwrap();
            }
            assert!(lines.len() >= spared.len(), "{lines:?}");
            // All that got one got the same, and it is there, whole.
            let attached = open(&scratch).unwrap();
            let expected = format!("{:?} {}", attached.identity, maker(&attached));
            assert!(
                lines.iter().all(|line| *line == expected),
                "{expected}: {lines:#?}"
            );
            scratch.remove().unwrap();
        }
    }
}

#[test]
fn asking_whether_a_segment_is_open_fails_nobody_who_opens_it() {
    let scratch = &Scratch::shm();
    drop(create(scratch).unwrap());
    let deadline = std::time::Instant::now() + Duration::from_millis(500);
    std::thread::scope(|scope| {
        // By the clock, so that it ends also if the other one fails.
        let asking = scope.spawn(move || {
            let mut closed = 0;
            while std::time::Instant::now() < deadline {
                closed += u32::from(scratch.open_state().unwrap() == OpenState::Closed);
            }
            closed
        });
        while std::time::Instant::now() < deadline {
            let attached = open(scratch).unwrap();
            assert_eq!(scratch.open_state().unwrap(), OpenState::Open);
            drop(attached);
        }
        assert!(
            asking.join().unwrap() > 0,
            "it was asked while it was closed"
        );
    });
}
