//! What a process may go through while it lives, and when it is dead.

use super::forks::kill_process;
use super::registration::{relocate, rewrite};
use std::os::fd::AsFd;

use super::*;
use crate::liveness::process::Identity;
use crate::liveness::slot::{Record, Slot};

#[test]
fn killed_owner_is_dead_and_its_slot_is_used_again() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    let pid = child.pid;
    child.kill();
    let info = owners.describe(segment.table(), token);
    assert_eq!(info.liveness(), Liveness::Dead);
    assert_eq!(info.pid(), Some(pid.cast_unsigned()));
    let text = info.to_string();
    assert!(
        text.contains(&format!("process {pid} (pid namespace ")),
        "{text}"
    );
    assert!(text.ends_with(": dead"), "{text}");
    let reclaimed = owners.reclaim_dead(segment.table());
    assert_eq!(reclaimed.len(), 1);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    assert_eq!(owners.describe(segment.table(), token).slot(), token.slot());
}

#[test]
fn zombie_owner_is_dead() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    child.kill_without_reaping();
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    relocate(&segment, token.slot().unwrap());
    assert_eq!(
        owners.liveness(segment.table(), token),
        Liveness::Dead,
        "by its byte"
    );
}

/// Five seconds here; `SHMKV_LONG=1` makes it a minute.
#[test]
fn stopped_owner_is_alive_however_long() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    child.signal(libc::SIGSTOP);
    let owners = segment.owners();
    let seconds = if std::env::var_os("SHMKV_LONG").is_some() {
        60
    } else {
        5
    };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
        assert!(owners.reclaim_dead(segment.table()).is_empty());
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

/// A process that is restored from a checkpoint has another start time, and its byte.
#[test]
fn owner_with_another_start_time_is_alive_while_its_byte_is_locked() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    rewrite(&segment, token.slot().unwrap(), |record| {
        record.started -= 1
    });
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.signal(libc::SIGSTOP);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

/// Another boot id on the same machine is no death either.
#[test]
fn owner_of_another_boot_is_alive_while_its_byte_is_locked() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    rewrite(&segment, token.slot().unwrap(), |record| {
        record.boot_and_image ^= 1
    });
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

/// A slot as a process that is gone left it, its byte free.
fn left_by(segment: &Segment, pid: u32, change: impl FnOnce(&mut Record)) -> Token {
    let slot = Slot::of(segment.table(), 9).unwrap();
    let claim = slot.try_claim(slot.claim(), pid, false).unwrap();
    let owners = segment.owners();
    let (_, id) = owners.private.file().unwrap();
    let mut record = Record::of(&Identity::of_this_process(), Some(id));
    change(&mut record);
    let held = slot.publish(claim, record).unwrap();
    Token::new(9, held.generation())
}

#[test]
fn another_process_under_the_same_pid_is_not_the_owner() {
    let segment = Segment::new();
    let child = Child::fork(stay);
    let pid = child.pid.cast_unsigned();
    // As if the owner had started earlier, died, and its pid been given to this child.
    let token = left_by(&segment, pid, |record| record.started = 1);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    drop(child);
}

/// A container that is started again is often process 1 again, in a namespace with the same number.
#[test]
fn owner_with_our_own_pid_and_another_start_time_is_dead() {
    alone(|| {
        let segment = Segment::new();
        let token = left_by(&segment, std::process::id(), |record| record.started -= 1);
        let owners = segment.owners();
        let none_left = rustix::process::Rlimit {
            current: Some(0),
            maximum: None,
        };
        // Reading our own start time takes one.
        let before = Identity::of_this_process();
        assert_ne!(before.started, 0);
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, none_left);
        assert_ne!(owners.liveness(segment.table(), token), Liveness::Alive);
    });
}

/// The real thing: the pid of a dead owner is given to another process, which lives.
#[test]
fn process_that_got_the_pid_of_a_dead_owner_is_not_the_owner() {
    alone(|| {
        let segment = Segment::new();
        let first = owner(&segment);
        let (pid, token) = (first.pid, segment.hear_token(0));
        first.kill();
        // Start times count hundredths of a second.
        std::thread::sleep(Duration::from_millis(40));
        let Some(second) = Child::clone_as(pid, stay) else {
            println!("skipped: processes cannot be given a pid here");
            return;
        };
        assert_eq!(second.pid, pid);
        let owners = segment.owners();
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
        second.signal(libc::SIGSTOP);
        assert_eq!(owners.reclaim_dead(segment.table()).len(), 1);
    });
}

#[test]
fn unknown_start_time_never_makes_a_live_process_dead() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    rewrite(&segment, token.slot().unwrap(), |record| record.started = 0);
    assert_eq!(
        owners.liveness(segment.table(), token),
        Liveness::Alive,
        "its byte says so"
    );
    child.kill();
    assert_eq!(
        owners.liveness(segment.table(), token),
        Liveness::Dead,
        "no such process"
    );
}

#[test]
fn owner_of_an_earlier_boot_is_dead() {
    let segment = Segment::new();
    let child = owner(&segment);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    child.kill();
    rewrite(&segment, token.slot().unwrap(), |record| {
        record.boot_and_image ^= 1
    });
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

#[test]
fn what_an_earlier_program_of_this_process_held_is_dead() {
    let segment = Segment::new();
    // As it looks after an `exec`, which closes the descriptor.
    let token = left_by(&segment, std::process::id(), |record| {
        record.boot_and_image ^= 1 << 40
    });
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    let same = left_by_this_program(&segment);
    assert_eq!(owners.liveness(segment.table(), same), Liveness::Alive);
}

fn left_by_this_program(segment: &Segment) -> Token {
    let earlier = Box::leak(Box::new(segment.owners()));
    earlier.token(segment.table()).unwrap()
}

#[test]
fn owner_whose_main_thread_exited_is_alive_and_may_register() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                segment.hear(5);
                // Registration, too, works without a main thread.
                let owners = segment.owners();
                segment.register_and_say(&owners, 0);
                stay();
            });
            // SAFETY: ends this thread only, by the raw call: nothing unwinds, and the scope,
            // whose stack stays mapped, is never left.
            #[expect(unsafe_code, reason = "there is no safe way to exit the main thread")]
            unsafe {
                libc::syscall(libc::SYS_exit, 0);
            }
        });
    });
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid)).unwrap();
        stat.rsplit(") ").next().unwrap().as_bytes()[0]
    };
    wait_until("the main thread's end", || state() == b'Z');
    segment.say(5, 1);
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    assert!(
        owners
            .list(segment.table())
            .iter()
            .all(|p| !p.has_no_file_lock)
    );
    relocate(&segment, token.slot().unwrap());
    assert_eq!(
        owners.liveness(segment.table(), token),
        Liveness::Alive,
        "by its byte"
    );
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

#[test]
fn owner_that_opened_and_closed_the_same_file_again_is_alive() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let owners = segment.owners();
        let token = owners.token(segment.table()).unwrap();
        // This would cost a POSIX lock its life.
        for _ in 0..3 {
            drop(crate::liveness::fork::reopen(segment.file.as_fd()).unwrap());
        }
        drop(segment.owners());
        segment.say(0, token.to_word());
        stay();
    });
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    relocate(&segment, token.slot().unwrap());
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

#[test]
fn owner_that_closed_all_its_descriptors_is_alive() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let owners = segment.owners();
        let token = owners.token(segment.table()).unwrap();
        close_all();
        segment.say(0, token.to_word());
        stay();
    });
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    // Where start times cannot be compared, and where its process id says nothing, its byte
    // tells: it stays locked.
    rewrite(&segment, token.slot().unwrap(), |record| record.started = 0);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    relocate(&segment, token.slot().unwrap());
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    child.kill();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

/// The mapping that keeps the lock must not be inherited, or a child would keep it as well.
#[test]
fn owner_that_closed_all_its_descriptors_is_dead_though_its_children_live() {
    for raw in [false, true] {
        let segment = Segment::new();
        let child = Child::fork(|| {
            let owners = segment.owners();
            let token = owners.token(segment.table()).unwrap();
            close_all();
            let idle = || {
                segment.say(1, u64::from(std::process::id()));
                stay();
            };
            let grandchild = match raw {
                false => Child::fork(idle),
                true => Child::raw_clone(0, idle),
            };
            std::mem::forget(grandchild);
            segment.hear(1);
            segment.say(0, token.to_word());
            stay();
        });
        let token = segment.hear_token(0);
        let grandchild = segment.hear(1) as i32;
        let owners = segment.owners();
        relocate(&segment, token.slot().unwrap());
        let before = owners.liveness(segment.table(), token);
        child.kill();
        let after = owners.liveness(segment.table(), token);
        kill_process(grandchild);
        assert_eq!((before, after), (Liveness::Alive, Liveness::Dead));
    }
}

/// What it holds when it leaves must be free for the next one, closed descriptor or not.
#[test]
fn release_after_all_descriptors_were_closed_frees_the_slot_and_its_byte() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let owners = segment.owners();
        let token = owners.token(segment.table()).unwrap();
        close_all();
        owners.release(segment.table());
        drop(owners);
        segment.say(0, token.to_word());
        stay();
    });
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    let (file, _) = owners.private.file().unwrap();
    let locked = crate::liveness::byte_lock::is_locked(file, token.slot().unwrap());
    assert_eq!(locked, Some(false));
    drop(child);
}

/// A daemon: opens, forks, closes everything, and only then writes.
#[test]
fn owner_that_closed_all_its_descriptors_before_its_first_write_says_it_has_no_lock() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let owners = segment.owners();
        close_all();
        segment.register_and_say(&owners, 0);
        stay();
    });
    let token = segment.hear_token(0);
    let owners = segment.owners();
    assert!(owners.list(segment.table())[0].has_no_file_lock);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    relocate(&segment, token.slot().unwrap());
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Unknown);
    drop(child);
}

#[test]
fn owner_that_dumps_core_is_alive_until_it_is_done() {
    let segment = Segment::new();
    let directory = tempfile::tempdir().unwrap();
    let child = Child::fork(|| {
        std::env::set_current_dir(directory.path()).unwrap();
        let unlimited = rustix::process::Rlimit {
            current: None,
            maximum: None,
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, unlimited);
        let memory = vec![7_u8; 64 << 20];
        let owners = segment.owners();
        segment.register_and_say(&owners, 0);
        std::hint::black_box(&memory);
        stay();
    });
    let token = segment.hear_token(0);
    let owners = segment.owners();
    child.signal(libc::SIGQUIT);
    let path = format!("/proc/{}/status", child.pid);
    let dumps = || {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        status.contains("CoreDumping:\t1")
    };
    // The disk may be busy.
    let (mut seen, deadline) = (0, Instant::now() + Duration::from_secs(300));
    while owners.liveness(segment.table(), token) != Liveness::Dead {
        assert!(Instant::now() < deadline);
        if dumps() {
            let liveness = owners.liveness(segment.table(), token);
            if dumps() {
                assert_eq!(liveness, Liveness::Alive);
                seen += 1;
            }
        }
    }
    if seen == 0 {
        println!("skipped: no core dump was seen (core_pattern, limits)");
    } else {
        println!("asked {seen} times during the dump");
    }
    drop(child);
}

fn owner(segment: &Segment) -> Child {
    Child::fork(|| {
        let owners = segment.owners();
        segment.register_and_say(&owners, 0);
        stay();
    })
}

fn close_all() {
    // SAFETY: a child that uses no descriptor from here on, save those that it opens.
    #[expect(unsafe_code, reason = "this is what daemons do")]
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
    }
}
