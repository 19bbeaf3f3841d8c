//! What is not opened: things that are no files, and what others could have planted.

use std::os::fd::AsRawFd;

use rustix::fs::{CWD, FileType, Mode, Uid, mknodat};

use super::*;

fn all_ways(segment: &Segment) -> Vec<SegmentError> {
    let mut errors = vec![
        open(segment).unwrap_err(),
        open_read_only(segment).unwrap_err(),
        segment
            .open_or_create(&options(), &new_segment())
            .unwrap_err(),
    ];
    errors.extend(segment.metadata().err());
    errors
}

fn assert_not_regular(segment: &Segment, expected: FileKind) {
    for error in all_ways(segment) {
        match error {
            SegmentError::NotRegular { found, .. } => assert_eq!(found, expected),
            other => panic!("{segment}: {other}"),
        }
    }
    assert!(segment.exists().is_err());
    assert!(
        segment.remove().is_err(),
        "what is no segment is not removed"
    );
    assert!(segment.set_permissions(Some(0o600), None, None).is_err());
    let error = create(segment).unwrap_err();
    assert!(
        matches!(error, SegmentError::AlreadyExists { .. }),
        "{error}"
    );
}

#[test]
fn a_symbolic_link_is_not_followed() {
    for (target, scratch) in [
        (Scratch::shm(), Scratch::shm()),
        (Scratch::file(), Scratch::file()),
    ] {
        let attached = create(&target).unwrap();
        std::os::unix::fs::symlink(target.path(), scratch.path()).unwrap();
        assert_not_regular(&scratch, FileKind::Symlink);
        target.ensure_current(attached.identity).unwrap();
        std::fs::remove_file(scratch.path()).unwrap();
    }
}

#[test]
fn a_dangling_link_does_not_make_us_create_its_target() {
    let (target, scratch) = (Scratch::file(), Scratch::file());
    std::os::unix::fs::symlink(target.path(), scratch.path()).unwrap();
    assert_not_regular(&scratch, FileKind::Symlink);
    assert!(!target.exists().unwrap());
}

#[test]
fn a_directory_is_refused() {
    let scratch = Scratch::file();
    std::fs::create_dir(scratch.path()).unwrap();
    assert_not_regular(&scratch, FileKind::Directory);
}

#[test]
fn a_fifo_is_refused_without_waiting_for_its_other_end() {
    let scratch = Scratch::file();
    mknodat(CWD, scratch.path(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_not_regular(&scratch, FileKind::Fifo);
}

#[test]
fn a_socket_is_refused() {
    let scratch = Scratch::file();
    let _listener = std::os::unix::net::UnixListener::bind(scratch.path()).unwrap();
    assert_not_regular(&scratch, FileKind::Socket);
}

#[test]
fn a_device_is_refused() {
    let segment = Segment::file("/dev/zero").unwrap();
    for error in all_ways(&segment) {
        let found = FileKind::Device;
        assert!(matches!(error, SegmentError::NotRegular { found: kind, .. } if kind == found));
    }
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let segment = Segment::fd(zero.as_raw_fd()).unwrap();
    let error = open_read_only(&segment).unwrap_err();
    assert!(matches!(error, SegmentError::NotRegular { .. }), "{error}");
}

#[test]
fn a_segment_of_another_user_is_refused_unless_expected() {
    const OTHER: u32 = 1;
    if !is_root() {
        return;
    }
    let own = rustix::process::geteuid().as_raw();
    for scratch in Scratch::each() {
        let attached = create(&scratch).unwrap();
        scratch.set_permissions(None, Some(OTHER), None).unwrap();
        for error in all_ways(&scratch) {
            match error {
                SegmentError::ForeignOwner {
                    expected, found, ..
                } => {
                    assert_eq!((expected, found), (own, OTHER));
                }
                other => panic!("{other}"),
            }
        }
        let open_with = |options: SegmentOptions| {
            scratch
                .open(&options, Access::ReadWrite, MAGIC)
                .map(|opened| assert_eq!(opened.identity, attached.identity))
        };
        open_with(options().expect_owner(OTHER)).unwrap();
        open_with(options().any_owner()).unwrap();
        let error = open_with(options().expect_owner(2)).unwrap_err();
        assert!(matches!(
            error,
            SegmentError::ForeignOwner {
                expected: 2,
                found: 1,
                ..
            }
        ));
    }
}

#[test]
fn a_descriptor_of_another_users_file_is_refused_as_well() {
    if !is_root() {
        return;
    }
    let attached = create(&Segment::memfd("owned").unwrap()).unwrap();
    rustix::fs::fchown(
        attached.file.as_ref().unwrap(),
        Some(Uid::from_raw(1)),
        None,
    )
    .unwrap();
    let error = open(&attached.segment).unwrap_err();
    assert!(
        matches!(error, SegmentError::ForeignOwner { found: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_file_on_an_incoherent_file_system_is_refused_by_name() {
    // procfs is not on the list, and its files are too short: the order of the checks.
    let error = open_read_only(&Segment::file("/proc/self/status").unwrap()).unwrap_err();
    assert!(
        matches!(error, SegmentError::TooSmall { found: 0, .. }),
        "{error}"
    );
    let error = SegmentError::Incoherent {
        segment: Segment::file("/mnt/x").unwrap(),
        file_system: "NFS",
    };
    assert!(
        error.to_string().contains("file:/mnt/x is on NFS"),
        "{error}"
    );
}
