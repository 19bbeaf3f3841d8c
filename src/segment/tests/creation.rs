//! Creation in one step: what a creator leaves that fails, dies or lacks `O_TMPFILE`.

use super::*;
use crate::segment::build::{Strategy, TEMPORARY};

fn directory_of(scratch: &Scratch) -> Vec<String> {
    let name = scratch.path();
    std::fs::read_dir(name.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn create_by(strategy: Strategy, scratch: &Scratch) -> Result<Attached, SegmentError> {
    Place::of_file(scratch, &scratch.path()).create(&options(), &new_segment(), strategy)
}

#[test]
fn a_file_without_o_tmpfile_is_built_aside_and_leaves_no_trace() {
    let scratch = Scratch::file();
    let attached = create_by(Strategy::Named, &scratch).unwrap();
    maker(&attached);
    scratch.ensure_current(attached.identity).unwrap();
    assert_eq!(scratch.metadata().unwrap().mode, 0o600);
    assert_eq!(directory_of(&scratch), ["segment"]);
    maker(&open(&scratch).unwrap());
}

#[test]
fn both_ways_of_creation_refuse_a_name_that_was_taken_meanwhile() {
    for strategy in [Strategy::Unnamed, Strategy::Named] {
        let scratch = Scratch::file();
        let path = scratch.path();
        // Taken after the first look at the name, while the segment is being filled.
        let init =
            &|_: &[AtomicU64], _: Option<FileWords>| std::fs::write(&path, "theirs").unwrap();
        let new_segment = NewSegment {
            len: LEN,
            magic: MAGIC,
            init,
            prepare: &no_wish,
        };
        let place = Place::of_file(&scratch, &path);
        let error = place
            .create(&options(), &new_segment, strategy)
            .unwrap_err();
        assert!(
            matches!(error, SegmentError::AlreadyExists { .. }),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        assert_eq!(directory_of(&scratch), ["segment"]);
    }
}

#[test]
fn nobody_sees_a_segment_before_it_is_complete() {
    for strategy in [Strategy::Unnamed, Strategy::Named] {
        let scratch = Scratch::file();
        let init = &|words: &[AtomicU64], _: Option<FileWords>| {
            assert!(!scratch.exists().unwrap());
            assert!(matches!(open(&scratch), Err(SegmentError::NotFound { .. })));
            stamp(words, None);
        };
        let new_segment = NewSegment {
            len: LEN,
            magic: MAGIC,
            init,
            prepare: &no_wish,
        };
        let path = scratch.path();
        let place = Place::of_file(&scratch, &path);
        place.create(&options(), &new_segment, strategy).unwrap();
        maker(&open(&scratch).unwrap());
    }
}

#[test]
fn a_creator_that_is_killed_leaves_nothing() {
    const NAME: &str = "a_creator_that_is_killed_leaves_nothing";
    if role().is_some() {
        given_segment()
            .create(&options(), &stuck_new_segment())
            .unwrap();
        return;
    }
    for scratch in [Scratch::file(), Scratch::shm()] {
        let mut creator = start_until_ready(child(module_path!(), NAME, "create", &scratch));
        assert!(!scratch.exists().unwrap());
        creator.kill().unwrap();
        creator.wait().unwrap();
        assert!(!scratch.exists().unwrap());
        if matches!(scratch.segment, Segment::File(_)) {
            assert!(directory_of(&scratch).is_empty());
        }
        maker(&create(&scratch).unwrap());
    }
}

#[test]
fn an_initialisation_that_panics_leaves_nothing() {
    for scratch in Scratch::each() {
        let init = &|_: &[AtomicU64], _: Option<FileWords>| panic!("as the test wants it");
        let new_segment = NewSegment {
            len: LEN,
            magic: MAGIC,
            init,
            prepare: &no_wish,
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scratch.create(&options(), &new_segment).map(drop)
        }));
        assert!(result.is_err());
        assert!(!scratch.exists().unwrap());
    }
    let scratch = Scratch::file();
    let init = &|_: &[AtomicU64], _: Option<FileWords>| panic!("as the test wants it");
    let new_segment = NewSegment {
        len: LEN,
        magic: MAGIC,
        init,
        prepare: &no_wish,
    };
    let path = scratch.path();
    let place = Place::of_file(&scratch, &path);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        place
            .create(&options(), &new_segment, Strategy::Named)
            .map(drop)
    }));
    assert!(result.is_err());
    assert!(directory_of(&scratch).is_empty());
}

#[test]
fn a_full_file_system_is_an_error_at_creation_and_nothing_stays() {
    const NAME: &str = "a_full_file_system_is_an_error_at_creation_and_nothing_stays";
    if role().is_some() {
        // On a tmpfs of one MiB that the shell has just mounted.
        let Segment::File(path) = given_segment() else {
            panic!("a file was expected")
        };
        let directory = path.as_path().parent().unwrap();
        let place = Place::of_file(&given_segment(), path.as_path())
            .path()
            .to_owned();
        for strategy in [Strategy::Unnamed, Strategy::Named] {
            let segment = given_segment();
            let place = Place::of_file(&segment, &place);
            let error = place
                .create(&options(), &new_segment_of(4 << 20), strategy)
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    SegmentError::NoSpace {
                        needed: 0x40_0000,
                        ..
                    }
                ),
                "{error}"
            );
            assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
        }
        // All the space is there again.
        given_segment()
            .create(&options(), &new_segment_of(1000 << 10))
            .unwrap();
        notify("done");
        return;
    }
    on_a_small_tmpfs(NAME);
}

/// Runs a child of the test on a tmpfs of one MiB, if such a thing can be had here.
fn on_a_small_tmpfs(name: &str) {
    if !is_root() {
        return;
    }
    let scratch = Scratch::file();
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@""#;
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(scratch.path().parent().unwrap())
        .arg(std::env::current_exe().unwrap());
    set_up_child(&mut command, module_path!(), name, "create", &scratch);
    let output = command.stderr(Stdio::piped()).output();
    match output {
        Ok(output) if output.status.success() => {
            assert_eq!(told(&output.stderr[..]).collect::<Vec<_>>(), ["done"]);
        }
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                message.contains("unshare failed") || message.contains("mount:"),
                "{message}"
            );
            eprintln!("skipped: cannot mount a tmpfs: {message}");
        }
        Err(error) => eprintln!("skipped: cannot run unshare: {error}"),
    }
}

#[test]
fn holes_are_filled_for_writers_or_refused_when_the_file_system_is_full() {
    const NAME: &str = "holes_are_filled_for_writers_or_refused_when_the_file_system_is_full";
    if role().is_some() {
        use std::os::unix::fs::MetadataExt;
        const HALF: usize = 500 << 10;
        let segment = given_segment();
        let attached = segment.create(&options(), &new_segment_of(HALF)).unwrap();
        let file = attached.file.as_ref().unwrap();
        let punch = || {
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(file, flags, 8192, (HALF - 8192) as u64).unwrap();
        };
        let len_on_disk = || {
            std::fs::File::from(file.try_clone().unwrap())
                .metadata()
                .unwrap()
                .blocks()
                * 512
        };
        let opened = open(&segment).unwrap();
        punch();
        assert!(len_on_disk() < HALF as u64);
        opened.fill_holes().unwrap();
        assert!(len_on_disk() >= HALF as u64);
        assert_eq!(
            opened.mapping.words()[9].load(Ordering::Relaxed),
            u64::from(std::process::id())
        );
        assert_eq!(
            opened.mapping.words()[8192].load(Ordering::Relaxed),
            0,
            "a hole reads as zeros"
        );

        punch();
        let ballast = given_path().with_file_name("ballast");
        let filled = std::fs::write(&ballast, vec![1; 1 << 20]);
        assert!(filled.is_err(), "the file system is full");
        let error = opened.fill_holes().unwrap_err();
        assert!(matches!(error, SegmentError::Holes { needed, .. } if needed == HALF as u64));
        assert!(error.to_string().contains("has holes"), "{error}");
        notify("done");
        return;
    }
    on_a_small_tmpfs(NAME);
}

fn given_path() -> std::path::PathBuf {
    match given_segment() {
        Segment::File(path) => path.as_path().to_owned(),
        other => panic!("{other} has no path"),
    }
}

#[test]
fn more_than_dev_shm_can_hold_is_an_error_at_creation() {
    let facts = rustix::fs::statvfs("/dev/shm").unwrap();
    let all = usize::try_from(facts.f_blocks * facts.f_frsize).unwrap();
    if all == 0 {
        eprintln!("skipped: /dev/shm has no limit");
        return;
    }
    let scratch = Scratch::shm();
    let new_segment = new_segment_of(all + (1 << 20));
    let error = scratch.create(&options(), &new_segment).unwrap_err();
    assert!(matches!(error, SegmentError::NoSpace { .. }), "{error}");
    assert!(!scratch.exists().unwrap());
}

#[test]
fn lengths_beyond_all_limits_are_errors() {
    for scratch in Scratch::each() {
        let new_segment = new_segment_of(usize::MAX & !7);
        let error = scratch.create(&options(), &new_segment).unwrap_err();
        assert!(matches!(error, SegmentError::TooLarge { .. }), "{error}");
        let new_segment = new_segment_of(isize::MAX as usize & !7);
        let error = scratch.create(&options(), &new_segment).unwrap_err();
        assert!(
            matches!(
                error,
                SegmentError::TooLarge { .. } | SegmentError::NoSpace { .. }
            ),
            "{error}"
        );
        assert!(!scratch.exists().unwrap());
    }
}

#[test]
fn a_missing_directory_is_named() {
    let segment = Segment::file("/nonexistent-directory/segment").unwrap();
    let error = create(&segment).unwrap_err();
    assert!(matches!(error, SegmentError::Io { .. }));
    assert!(
        error.to_string().contains("/nonexistent-directory"),
        "{error}"
    );
}

#[test]
fn remains_of_a_creation_are_not_listed() {
    let name = format!("{TEMPORARY}{:016x}", std::process::id());
    let scratch = Scratch {
        segment: Segment::shm(&name).unwrap(),
        _directory: None,
    };
    create(&scratch).unwrap();
    assert!(!Segment::list_marked(MAGIC).unwrap().contains(&scratch));
}

#[test]
fn a_creation_whose_last_step_fails_leaves_nothing() {
    let refuse = |mapping: &Mapping| {
        assert_eq!(mapping.words().len(), LEN / 8);
        Err(SegmentError::io(
            "lock",
            &Segment::memfd("x").unwrap(),
            rustix::io::Errno::NOMEM,
        ))
    };
    let new_segment = NewSegment {
        prepare: &refuse,
        ..new_segment()
    };
    let check = |scratch: &Scratch, error: SegmentError| {
        assert!(matches!(error, SegmentError::Io { .. }), "{error}");
        assert!(
            !scratch.exists().unwrap(),
            "{} was left behind",
            scratch.segment
        );
    };
    for scratch in Scratch::each() {
        check(
            &scratch,
            scratch.create(&options(), &new_segment).unwrap_err(),
        );
        let error = scratch.open_or_create(&options(), &new_segment);
        check(&scratch, error.unwrap_err());
    }
    for strategy in [Strategy::Unnamed, Strategy::Named] {
        let scratch = Scratch::file();
        let place = Place::of_file(&scratch, &scratch.path());
        let error = place.create(&options(), &new_segment, strategy);
        check(&scratch, error.unwrap_err());
        assert!(directory_of(&scratch).is_empty());
    }
}
