//! What holds for every kind of segment that has a name.

use std::os::unix::process::ExitStatusExt;

use super::*;

#[test]
fn what_one_handle_stores_all_others_see() {
    for scratch in Scratch::each() {
        let creator = create(&scratch).unwrap();
        assert_eq!(maker(&creator), u64::from(std::process::id()));
        let peer = open(&scratch).unwrap();
        let reader = open_read_only(&scratch).unwrap();
        assert_eq!(peer.identity, creator.identity);
        assert_eq!(reader.identity, creator.identity);
        creator.mapping.words()[7].store(77, Ordering::Relaxed);
        assert_eq!(peer.mapping.words()[7].load(Ordering::Relaxed), 77);
        // In any order.
        drop(creator);
        peer.mapping.words()[7].store(78, Ordering::Relaxed);
        assert_eq!(reader.mapping.words()[7].load(Ordering::Relaxed), 78);
        drop(peer);
        drop(reader);
        assert!(scratch.exists().unwrap(), "dropping removes nothing");
        let later = open(&scratch).unwrap();
        assert_eq!(later.mapping.words()[7].load(Ordering::Relaxed), 78);
    }
}

#[test]
fn create_refuses_a_name_that_is_taken() {
    for scratch in Scratch::each() {
        let first = create(&scratch).unwrap();
        let error = create(&scratch).unwrap_err();
        assert!(
            matches!(error, SegmentError::AlreadyExists { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(&scratch.to_string()));
        scratch.ensure_current(first.identity).unwrap();
    }
}

#[test]
fn open_says_that_nothing_is_there() {
    for scratch in Scratch::each() {
        for error in [
            open(&scratch).unwrap_err(),
            open_read_only(&scratch).unwrap_err(),
        ] {
            assert!(matches!(error, SegmentError::NotFound { .. }), "{error}");
        }
        assert!(!scratch.exists().unwrap());
        assert!(matches!(
            scratch.metadata(),
            Err(SegmentError::NotFound { .. })
        ));
        assert!(matches!(
            scratch.remove(),
            Err(SegmentError::NotFound { .. })
        ));
        let error = scratch
            .set_permissions(Some(0o600), None, None)
            .unwrap_err();
        assert!(matches!(error, SegmentError::NotFound { .. }), "{error}");
    }
}

#[test]
fn open_or_create_creates_once() {
    for scratch in Scratch::each() {
        let (first, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
        assert_eq!(created, Created::Yes);
        let (second, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
        assert_eq!(created, Created::No);
        assert_eq!(first.identity, second.identity);
    }
}

#[test]
fn a_store_through_a_read_only_handle_is_stopped_by_the_kernel() {
    const NAME: &str = "a_store_through_a_read_only_handle_is_stopped_by_the_kernel";
    if role().is_some() {
        // The parent expects this death, it need not leave a core behind.
        let none = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        let attached = open_read_only(&given_segment()).unwrap();
        assert_eq!(attached.mapping.access(), Access::ReadOnly);
        notify("open");
        attached.mapping.words()[1].store(0, Ordering::Relaxed);
        notify("stored");
        return;
    }
    for scratch in Scratch::each() {
        let attached = create(&scratch).unwrap();
        let output = child(module_path!(), NAME, "store", &scratch)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(told(&output.stderr[..]).collect::<Vec<_>>(), ["open"]);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{scratch:?}");
        maker(&attached);
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.segment.fmt(f)
    }
}

#[test]
fn read_only_handles_need_no_permission_to_write() {
    for scratch in [Scratch::shm(), Scratch::file()] {
        create(&scratch).unwrap();
        let attached = open_read_only(&scratch).unwrap();
        let flags = rustix::fs::fcntl_getfl(attached.file.as_ref().unwrap()).unwrap();
        assert_eq!(
            flags & rustix::fs::OFlags::RWMODE,
            rustix::fs::OFlags::RDONLY
        );
    }
}

#[test]
fn descriptors_are_closed_on_exec() {
    for scratch in [Scratch::shm(), Scratch::file()] {
        let created = create(&scratch).unwrap();
        let opened = open(&scratch).unwrap();
        let received = open(
            &Segment::fd(std::os::fd::AsRawFd::as_raw_fd(
                opened.file.as_ref().unwrap(),
            ))
            .unwrap(),
        )
        .unwrap();
        for attached in [created, opened, received] {
            let flags = rustix::io::fcntl_getfd(attached.file.unwrap()).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
}

#[test]
fn a_removed_segment_serves_those_who_have_it_open() {
    for scratch in Scratch::each() {
        let attached = create(&scratch).unwrap();
        scratch.ensure_current(attached.identity).unwrap();
        scratch.remove().unwrap();
        maker(&attached);
        assert!(!scratch.exists().unwrap());
        let error = scratch.ensure_current(attached.identity).unwrap_err();
        let now = NameStatus::Removed;
        assert!(matches!(error, SegmentError::NotCurrent { now: found, .. } if found == now));
        assert!(error.to_string().contains("was removed"), "{error}");
    }
}

#[test]
fn a_handle_can_tell_that_its_name_means_another_segment() {
    for scratch in Scratch::each() {
        let old = create(&scratch).unwrap();
        scratch.remove().unwrap();
        let new = create(&scratch).unwrap();
        let error = scratch.ensure_current(old.identity).unwrap_err();
        let now = NameStatus::Replaced;
        assert!(matches!(error, SegmentError::NotCurrent { now: found, .. } if found == now));
        scratch.ensure_current(new.identity).unwrap();
    }
}

#[test]
fn metadata_tells_what_the_kernel_knows() {
    for scratch in Scratch::each() {
        let attached = create(&scratch).unwrap();
        let _second = open(&scratch).unwrap();
        let metadata = scratch.metadata().unwrap();
        assert_eq!(metadata.len, LEN as u64);
        assert_eq!(metadata.mode, 0o600);
        assert_eq!(metadata.uid, rustix::process::geteuid().as_raw());
        assert_eq!(metadata.identity, attached.identity);
        let sysv = metadata.kind == SegmentKind::SysV;
        // At least: a test that forks meanwhile has attached it as well.
        assert_eq!(metadata.attached.is_some(), sysv);
        assert!(
            metadata
                .attached
                .is_none_or(|count| (2..100).contains(&count))
        );
        assert_eq!(metadata.sealed, sysv);
        let age = metadata.changed.unwrap().elapsed().unwrap_or_default();
        assert!(age < std::time::Duration::from_secs(60), "{age:?}");
    }
    assert_eq!(Scratch::shm().metadata().ok(), None);
}

#[test]
fn what_is_too_short_or_no_whole_number_of_words_is_refused() {
    for scratch in Scratch::each() {
        for len in [0, 8, 4088] {
            let error = scratch
                .create(&options(), &new_segment_of(len))
                .unwrap_err();
            assert!(
                matches!(error, SegmentError::TooSmall { needed: 4096, found, .. } if found == len as u64)
            );
        }
        let error = scratch
            .create(&options(), &new_segment_of(4100))
            .unwrap_err();
        assert!(matches!(error, SegmentError::OddLength { found: 4100, .. }));
        assert!(!scratch.exists().unwrap());
    }
    let scratch = Scratch::file();
    for (len, refused) in [(0, true), (4095, true), (4097, true), (4096, false)] {
        std::fs::write(scratch.path(), vec![0_u8; len]).unwrap();
        assert_eq!(open(&scratch).is_err(), refused, "{len}");
    }
}

#[test]
fn contents_that_are_none_of_ours_are_left_to_the_validation() {
    let scratch = Scratch::file();
    std::fs::write(scratch.path(), [0xAB; 8192]).unwrap();
    let attached = open(&scratch).unwrap();
    let (again, created) = scratch.open_or_create(&options(), &new_segment()).unwrap();
    assert_eq!(created, Created::No);
    for attached in [attached, again] {
        assert_eq!(attached.mapping.len(), 8192);
        assert_eq!(
            attached.mapping.words()[0].load(Ordering::Relaxed),
            0xABAB_ABAB_ABAB_ABAB
        );
    }
}
