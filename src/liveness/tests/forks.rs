//! Forks, raw clones, dropped privileges, received descriptors.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use super::registration::relocate;
use super::*;
use crate::liveness::byte_lock;

#[test]
fn forked_child_writes_under_its_own_token() {
    let segment = Segment::new();
    let owners = segment.owners();
    let mine = owners.token(segment.table()).unwrap();
    let child = Child::fork(|| {
        segment.register_and_say(&owners, 0);
        let parent = owners.liveness(segment.table(), mine);
        segment.say(1, 1 + u64::from(parent == Liveness::Alive));
        // A fork has nothing of the parent's to give back.
        stay();
    });
    let theirs = segment.hear_token(0);
    assert_ne!(theirs.slot(), mine.slot());
    assert_eq!(owners.token(segment.table()).unwrap(), mine);
    assert_eq!(segment.hear(1), 2, "the parent is alive to the child");
    assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Alive);
    assert!(
        owners
            .list(segment.table())
            .iter()
            .all(|p| !p.has_no_file_lock)
    );
    child.kill();
    assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Dead);
    assert_eq!(owners.liveness(segment.table(), mine), Liveness::Alive);
}

#[test]
fn release_in_a_child_does_not_give_the_parents_slot_back() {
    let segment = Segment::new();
    let owners = segment.owners();
    let mine = owners.token(segment.table()).unwrap();
    let status = Child::fork(|| owners.release(segment.table())).wait();
    assert_eq!(status, 0);
    relocate(&segment, mine.slot().unwrap());
    let other = segment.owners();
    assert_eq!(other.liveness(segment.table(), mine), Liveness::Alive);
}

#[test]
fn idle_child_does_not_keep_its_dead_parent_looking_alive() {
    let segment = Segment::new();
    let parent = Child::fork(|| {
        let owners = segment.owners();
        segment.register_and_say(&owners, 0);
        let grandchild = Child::fork(|| {
            segment.say(1, u64::from(std::process::id()));
            stay();
        });
        segment.hear(1);
        std::mem::forget(grandchild);
        segment.say(2, 1);
        stay();
    });
    let token = segment.hear_token(0);
    let grandchild = segment.hear(1) as i32;
    segment.hear(2);
    // Seen from another pid namespace, where only the byte can tell.
    relocate(&segment, token.slot().unwrap());
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    parent.kill();
    let liveness = owners.liveness(segment.table(), token);
    kill_process(grandchild);
    assert_eq!(liveness, Liveness::Dead);
}

#[test]
fn child_that_dropped_its_privileges_registers_and_its_death_is_seen() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can drop privileges");
        return;
    }
    let segment = Segment::private();
    let owners = segment.owners();
    owners.token(segment.table()).unwrap();
    let child = Child::fork(|| {
        become_nobody();
        assert!(crate::liveness::fork::reopen(segment.file.as_fd()).is_err());
        segment.register_and_say(&owners, 0);
        stay();
    });
    let token = segment.hear_token(0);
    let listed = owners.list(segment.table());
    assert_eq!((listed.len(), live(&listed)), (2, 2));
    assert!(
        listed.iter().all(|p| !p.has_no_file_lock),
        "the handler was in time"
    );
    relocate(&segment, token.slot().unwrap());
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

#[test]
fn child_without_any_lock_registers_and_its_death_is_seen() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can drop privileges");
        return;
    }
    alone(|| {
        let segment = Segment::private();
        let owners = segment.owners();
        // A raw clone: no handler runs, and by its first write it may not open the file.
        let child = Child::raw_clone(0, || {
            become_nobody();
            segment.register_and_say(&owners, 0);
            stay();
        });
        let token = segment.hear_token(0);
        assert!(owners.list(segment.table())[0].has_no_file_lock);
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
        child.signal(libc::SIGSTOP);
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
        child.kill_without_reaping();
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
        // From another namespace its free byte proves nothing.
        relocate(&segment, token.slot().unwrap());
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Unknown);
    });
}

#[test]
fn raw_clone_never_takes_its_live_parent_for_dead() {
    alone(|| {
        let segment = Segment::new();
        let owners = segment.owners();
        let mine = owners.token(segment.table()).unwrap();
        // Judged by the byte alone, as in another pid namespace.
        relocate(&segment, mine.slot().unwrap());
        let child = Child::raw_clone(0, || {
            let parent = owners.liveness(segment.table(), mine);
            segment.say(0, 1 + u64::from(parent == Liveness::Alive));
            segment.register_and_say(&owners, 1);
            stay();
        });
        assert_eq!(segment.hear(0), 2, "the inherited description was not used");
        let theirs = segment.hear_token(1);
        assert_ne!(theirs.slot(), mine.slot());
        relocate(&segment, theirs.slot().unwrap());
        assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Alive);
        child.kill();
        assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Dead);
    });
}

#[test]
fn fork_while_a_thread_registers_does_not_wedge_the_child() {
    let segment = Segment::new();
    let owners = segment.owners();
    let entered = owners.private.enter();
    let child = Child::fork(|| segment.register_and_say(&owners, 0));
    segment.hear_token(0);
    drop(entered);
    assert_eq!(child.wait(), 0);
}

#[test]
fn spawned_program_inherits_nothing() {
    let segment = Segment::new();
    let owners = segment.owners();
    owners.token(segment.table()).unwrap();
    let (file, _) = owners.private.file().unwrap();
    let number = file.as_raw_fd();
    let flags = rustix::io::fcntl_getfd(file).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let missing = format!("! test -e /proc/self/fd/{number}");
    // Number and all: dash itself opens nothing in that place.
    let spawned = Command::new("sh").args(["-c", &missing]).status().unwrap();
    assert!(spawned.success());
    assert!(byte_lock::any_is_locked(segment.owners().private.file().unwrap().0).unwrap());
}

/// Over a received memfd all processes share one description, whose locks never conflict.
#[test]
fn received_descriptor_with_a_shared_description_does_not_confuse() {
    use rustix::net::*;
    let segment = Segment::new();
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let child = Child::fork(|| {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut parts = [rustix::io::IoSliceMut::new(&mut byte)];
        recvmsg(&theirs, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let file = control
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut files) => files.next(),
                _ => None,
            })
            .unwrap();
        let received = Segment::of(file);
        let owners = received.owners();
        received.register_and_say(&owners, 0);
        let parent = received.hear_token(1);
        received.say(
            2,
            1 + u64::from(owners.liveness(received.table(), parent) == Liveness::Alive),
        );
        stay();
    });
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [segment.file.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let parts = [rustix::io::IoSlice::new(&[1])];
    sendmsg(&ours, &parts, &mut control, SendFlags::empty()).unwrap();

    let owners = segment.owners();
    let mine = owners.token(segment.table()).unwrap();
    let theirs = segment.hear_token(0);
    assert_ne!(mine.slot(), theirs.slot());
    // Only the bytes can tell.
    relocate(&segment, mine.slot().unwrap());
    relocate(&segment, theirs.slot().unwrap());
    segment.say(1, mine.to_word());
    assert_eq!(segment.hear(2), 2);
    assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), theirs), Liveness::Dead);
}

/// A number that was closed behind our back and names another file now.
#[test]
fn reused_descriptor_number_is_neither_probed_nor_closed() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let owners = segment.owners();
        let mine = owners.token(segment.table()).unwrap();
        let number = owners.private.file().unwrap().0.as_raw_fd();
        #[expect(unsafe_code, reason = "this is the misdeed under test")]
        // SAFETY: the node checks what the number names before each use.
        let closed = unsafe { OwnedFd::from_raw_fd(number) };
        drop(closed);
        let other = rustix::fs::memfd_create("other", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        assert_eq!(other.as_raw_fd(), number);
        assert!(owners.private.file().is_none());
        assert_eq!(owners.liveness(segment.table(), mine), Liveness::Alive);
        let inner = Child::fork(|| assert!(rustix::fs::fstat(&other).is_ok()));
        assert_eq!(inner.wait(), 0, "the handler left it alone");
        drop(owners);
        assert!(rustix::fs::fstat(&other).is_ok(), "so did the drop");
    });
    assert_eq!(child.wait(), 0);
}

fn become_nobody() {
    // SAFETY: plain system calls (raw ones, since libc's tell the other threads, and a
    // child has none).
    #[expect(unsafe_code, reason = "dropping privileges")]
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_setgid, 65534), 0);
        assert_eq!(libc::syscall(libc::SYS_setuid, 65534), 0);
    }
}

pub(super) fn kill_process(pid: i32) {
    // SAFETY: a process that this test has started.
    #[expect(unsafe_code, reason = "a grandchild has no handle")]
    unsafe {
        libc::kill(pid, libc::SIGKILL);
    }
}
