//! Memfds, and how they get to other processes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::*;

fn memfd() -> Attached {
    create(&Segment::memfd("passing").unwrap()).unwrap()
}

/// The child's part: opens `fd`, reads the parent's stamp, leaves one of its own.
fn greet(fd: &Segment) {
    let attached = open(fd).unwrap();
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
    assert_eq!(maker(&attached), u64::from(parent.cast_unsigned()));
    attached.mapping.words()[9].store(999, Ordering::Relaxed);
}

fn assert_greeted(attached: &Attached) {
    assert_eq!(attached.mapping.words()[9].load(Ordering::Relaxed), 999);
}

#[test]
fn a_memfd_goes_by_its_descriptor_and_its_length_is_fixed() {
    let attached = memfd();
    maker(&attached);
    let file = attached.file.as_ref().unwrap();
    assert_eq!(attached.segment, Segment::fd(file.as_raw_fd()).unwrap());
    let metadata = attached.segment.metadata().unwrap();
    assert!(metadata.sealed);
    assert_eq!(
        (metadata.kind, metadata.mode),
        (SegmentKind::Descriptor, 0o600)
    );
    assert_eq!(
        (metadata.len, metadata.identity),
        (LEN as u64, attached.identity)
    );
    for len in [0, LEN as u64 * 2] {
        assert_eq!(
            rustix::fs::ftruncate(file, len),
            Err(rustix::io::Errno::PERM)
        );
    }
    let write = rustix::fs::SealFlags::WRITE;
    assert!(
        rustix::fs::fcntl_add_seals(file, write).is_err(),
        "nor sealed any further"
    );
    attached.segment.ensure_current(attached.identity).unwrap();
}

#[test]
fn an_unsealed_descriptor_is_opened_and_said_to_be_unsealed() {
    let scratch = Scratch::shm();
    let attached = create(&scratch).unwrap();
    let segment = Segment::fd(attached.file.as_ref().unwrap().as_raw_fd()).unwrap();
    assert!(!segment.metadata().unwrap().sealed);
    assert_eq!(open(&segment).unwrap().identity, attached.identity);
}

#[test]
fn a_memfd_cannot_be_found_by_its_label() {
    let _attached = memfd();
    let segment = Segment::memfd("passing").unwrap();
    let error = open(&segment).unwrap_err();
    assert!(matches!(error, SegmentError::Unsupported { .. }));
    assert!(error.to_string().contains("use fd:N"), "{error}");
    assert!(!segment.exists().unwrap());
    assert!(matches!(
        segment.remove(),
        Err(SegmentError::Unsupported { .. })
    ));
    let (other, created) = segment.open_or_create(&options(), &new_segment()).unwrap();
    assert_eq!(created, Created::Yes);
    assert_ne!(other.identity, _attached.identity);
}

#[test]
fn a_handle_outlives_the_descriptor_that_it_was_opened_by() {
    let Attached {
        segment,
        identity,
        file,
        ..
    } = memfd();
    let opened = open(&segment).unwrap();
    drop(file);
    assert_ne!(opened.segment, segment);
    assert_eq!(opened.identity, identity);
    opened.segment.ensure_current(identity).unwrap();
    maker(&open(&opened.segment).unwrap());
}

#[test]
fn a_number_that_is_no_open_descriptor_is_not_found() {
    let segment = Segment::fd(i32::MAX).unwrap();
    assert!(matches!(open(&segment), Err(SegmentError::NotFound { .. })));
    assert!(!segment.exists().unwrap());
    assert!(matches!(
        create(&segment),
        Err(SegmentError::Unsupported { .. })
    ));
}

#[test]
fn a_descriptor_opened_for_reading_serves_readers_only() {
    let scratch = Scratch::file();
    create(&scratch).unwrap();
    let reading = std::fs::File::open(scratch.path()).unwrap();
    let segment = Segment::fd(reading.as_raw_fd()).unwrap();
    maker(&open_read_only(&segment).unwrap());
    let error = open(&segment).unwrap_err();
    assert!(
        matches!(error, SegmentError::DescriptorAccess { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("opened for reading, reading and writing is needed")
    );
    let writing = std::fs::File::options()
        .write(true)
        .open(scratch.path())
        .unwrap();
    let segment = Segment::fd(writing.as_raw_fd()).unwrap();
    let error = open_read_only(&segment).unwrap_err();
    assert!(
        matches!(error, SegmentError::DescriptorAccess { .. }),
        "{error}"
    );
}

#[test]
fn a_memfd_is_inherited_across_exec() {
    const NAME: &str = "a_memfd_is_inherited_across_exec";
    if role().is_some() {
        return greet(&given_segment());
    }
    let attached = memfd();
    keep_across_exec(attached.file.as_ref().unwrap()).unwrap();
    run(child(module_path!(), NAME, "heir", &attached.segment));
    assert_greeted(&attached);
}

#[test]
fn a_memfd_is_sent_to_an_unrelated_process() {
    const NAME: &str = "a_memfd_is_sent_to_an_unrelated_process";
    if role().is_some() {
        let received = recv_fd(std::io::stdin()).unwrap();
        let flags = rustix::io::fcntl_getfd(&received).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        return greet(&Segment::fd(received.as_raw_fd()).unwrap());
    }
    let attached = memfd();
    let (ours, theirs) = UnixStream::pair().unwrap();
    send_fd(&ours, attached.file.as_ref().unwrap()).unwrap();
    let mut command = child(module_path!(), NAME, "receiver", &attached.segment);
    command.stdin(OwnedFd::from(theirs));
    run(command);
    assert_greeted(&attached);
}

#[test]
fn what_comes_instead_of_a_descriptor_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (&theirs).write_all(b"x").unwrap();
    let error = recv_fd(&ours).unwrap_err().to_string();
    assert!(error.contains("without a descriptor"), "{error}");
    drop(theirs);
    let error = recv_fd(&ours).unwrap_err().to_string();
    assert!(error.contains("closed the socket"), "{error}");
    // And no SIGPIPE.
    assert!(send_fd(&ours, ours.as_fd()).is_err());
}
