//! Taking a slot: never two in one slot, nothing leaks, whoever dies and whenever.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::*;
use crate::liveness::process::Identity;
use crate::liveness::slot::{Record, Slot};
use crate::liveness::{RegisterError, byte_lock, lock_file};

#[test]
fn one_process_keeps_its_token_until_it_is_released() {
    let segment = Segment::new();
    let owners = segment.owners();
    assert!(owners.list(segment.table()).is_empty(), "not at open");
    let token = owners.token(segment.table()).unwrap();
    assert_eq!(owners.token(segment.table()).unwrap(), token);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    let listed = owners.list(segment.table());
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_self && !listed[0].has_no_file_lock && !listed[0].is_registering);
    owners.release(segment.table());
    owners.release(segment.table());
    assert!(owners.list(segment.table()).is_empty());
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
    let again = owners.token(segment.table()).unwrap();
    assert_eq!(again.slot(), token.slot());
    assert_eq!(again.generation(), token.generation() + 1);
    assert_eq!(owners.liveness(segment.table(), token), Liveness::Dead);
}

#[test]
fn threads_that_register_at_once_get_one_token() {
    let segment = Segment::new();
    let owners = segment.owners();
    let tokens: HashSet<Token> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| owners.token(segment.table()).unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(tokens.len(), 1);
    assert_eq!(owners.list(segment.table()).len(), 1);
}

#[test]
fn two_threads_and_two_handles_of_one_process_are_alive_to_each_other() {
    let segment = Segment::new();
    let (first, second) = (segment.owners(), segment.owners());
    let token = first.token(segment.table()).unwrap();
    let other = second.token(segment.table()).unwrap();
    assert_ne!(token, other);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for owners in [&first, &second] {
                for token in [token, other] {
                    assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
                }
            }
        });
    });
    assert!(first.reclaim_dead(segment.table()).is_empty());
}

#[test]
fn sixty_four_processes_at_once_get_sixty_four_slots() {
    let segment = Segment::new();
    let children: Vec<_> = (0..SLOTS)
        .map(|_| {
            Child::fork(|| {
                segment.hear(0);
                let owners = segment.owners();
                let token = owners.token(segment.table()).unwrap();
                // One word a slot: a second holder would be seen here.
                let word = segment.mapping.words();
                let mine = TABLE_WORDS + 1 + token.slot().unwrap() as usize % 60;
                word[mine].fetch_add(1, Ordering::AcqRel);
                segment.word(63).fetch_add(1, Ordering::AcqRel);
                stay();
            })
        })
        .collect();
    segment.say(0, 1);
    wait_until("64 registrations", || {
        segment.word(63).load(Ordering::Acquire) == u64::from(SLOTS)
    });
    let owners = segment.owners();
    let listed = owners.list(segment.table());
    assert_eq!((listed.len(), live(&listed)), (64, 64));
    let pids: HashSet<_> = listed.iter().map(|p| p.owner.pid()).collect();
    assert_eq!(pids.len(), 64);
    assert!(listed.iter().all(|p| !p.has_no_file_lock));

    // The 65th is told what to do, and gets in as soon as one is dead.
    let error = owners.token(segment.table()).unwrap_err();
    assert!(matches!(
        error,
        RegisterError::NoFreeSlot { slots: 64, own: 0 }
    ));
    for words in [
        "max_writers",
        "handles of processes that are not provably dead",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut children = children;
    children.pop().unwrap().kill();
    owners.token(segment.table()).unwrap();
}

#[test]
fn handles_of_one_process_that_take_all_slots_are_counted_as_such() {
    let segment = Segment::new();
    let handles: Vec<_> = (0..SLOTS).map(|_| segment.owners()).collect();
    for handle in &handles {
        handle.token(segment.table()).unwrap();
    }
    let one_more = segment.owners();
    let error = one_more.token(segment.table()).unwrap_err();
    let all = RegisterError::NoFreeSlot {
        slots: SLOTS,
        own: SLOTS,
    };
    assert_eq!(error, all);
    for words in [
        "all by handles of this process",
        "clone the handle",
        "max_writers",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(!error.to_string().contains("provably dead"), "{error}");
}

#[test]
fn processes_killed_at_random_points_leak_no_slot() {
    let segment = Segment::new();
    let owners = segment.owners();
    owners.token(segment.table()).unwrap();
    let mut random = 0x9E37_79B9_u64;
    let (mut seen_claiming, mut reclaimed) = (0, 0);
    for _ in 0..500 {
        segment.say(0, 0);
        let child = Child::fork(|| {
            let mine = segment.owners();
            segment.say(0, 1);
            loop {
                mine.token(segment.table()).unwrap();
                // As long again with the slot as without.
                Identity::of_this_process();
                mine.release(segment.table());
            }
        });
        segment.hear(0);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 300));
        child.kill();
        let dead = owners.reclaim_dead(segment.table());
        assert!(dead.len() <= 1);
        seen_claiming += dead.iter().filter(|p| p.is_registering).count();
        reclaimed += dead.len();
        let listed = owners.list(segment.table());
        assert_eq!((listed.len(), live(&listed)), (1, 1));
    }
    println!("500 kills: {reclaimed} slots to reclaim, {seen_claiming} in the middle of a claim");
    assert!(reclaimed > 0);
}

/// Each step of a registration, and what a death after it leaves.
#[test]
fn death_after_each_step_of_a_registration_leaks_no_slot() {
    for no_file_lock in [false, true] {
        for step in 0..3 {
            let segment = Segment::new();
            let child = Child::fork(|| {
                let mine = segment.owners();
                let slot = Slot::of(segment.table(), 5).unwrap();
                let me = Identity::of_this_process();
                let (file, id) = mine.private.file().unwrap();
                if !no_file_lock {
                    byte_lock::lock(file, 5);
                }
                if step > 0 {
                    let claim = slot.try_claim(slot.claim(), me.pid, no_file_lock).unwrap();
                    if step > 1 {
                        slot.publish(claim, Record::of(&me, (!no_file_lock).then_some(id)));
                    }
                }
                segment.say(0, 1);
                stay();
            });
            segment.hear(0);
            let owners = segment.owners();
            assert!(owners.reclaim_dead(segment.table()).is_empty(), "it lives");
            child.kill();
            let dead = owners.reclaim_dead(segment.table());
            assert_eq!(dead.len(), usize::from(step > 0), "step {step}");
            assert!(owners.list(segment.table()).is_empty());
            let (file, _) = owners.private.file().unwrap();
            assert_eq!(byte_lock::lock(file, 5), byte_lock::Locking::Locked);
        }
    }
}

#[test]
fn read_only_peer_with_locks_of_its_own_keeps_nobody_from_writing() {
    let segment = Segment::new();
    let child = Child::fork(|| {
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&segment.file)
        );
        let file = std::fs::File::open(path).unwrap();
        for slot in 0..SLOTS {
            byte_lock::lock_for_reading(file.as_fd(), slot);
        }
        segment.say(0, 1);
        stay();
    });
    segment.hear(0);
    let owners = segment.owners();
    let token = owners.token(segment.table()).unwrap();
    assert!(owners.list(segment.table())[0].has_no_file_lock);
    assert_eq!(
        segment.owners().liveness(segment.table(), token),
        Liveness::Alive
    );
    child.kill();
}

#[test]
fn lost_or_replaced_lock_file_makes_nobody_look_dead() {
    const LOCK_FILE: [u64; 2] = [0xC0, 0xFFEE];
    let me = rustix::process::geteuid().as_raw();
    let place = LockPlace::LockFile {
        owner: me,
        mode: 0o600,
    };
    let _ = lock_file::remove(LOCK_FILE);
    let segment = Segment::new();
    let open = || Registration::new(place, None, LOCK_FILE, SLOTS);
    let child = Child::fork(|| {
        let owners = open();
        segment.register_and_say(&owners, 0);
        stay();
    });
    let token = segment.hear_token(0);
    let index = token.slot().unwrap();
    let before = open();
    lock_file::remove(LOCK_FILE).unwrap();
    let after = open();
    let file_of_child = Slot::of(segment.table(), index).unwrap().read();
    let file_of_child = file_of_child.record.unwrap().lock_file;
    assert_eq!(before.is_locked(index, file_of_child), Some(true));
    assert_eq!(after.is_locked(index, file_of_child), None, "another file");
    for owners in [&before, &after] {
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
    }
    // As if it were of another pid namespace: only the right file may call it dead.
    relocate(&segment, index);
    assert_eq!(before.liveness(segment.table(), token), Liveness::Alive);
    assert_eq!(after.liveness(segment.table(), token), Liveness::Unknown);
    child.kill();
    assert_eq!(before.liveness(segment.table(), token), Liveness::Dead);
    assert_eq!(after.liveness(segment.table(), token), Liveness::Unknown);
    lock_file::remove(LOCK_FILE).unwrap();
}

/// Rewrites a slot as if its holder were of a pid namespace that is not ours.
pub(super) fn relocate(segment: &Segment, index: u32) {
    rewrite(segment, index, |record| record.namespaces ^= 1);
}

/// Changes what a holder says about itself.
pub(super) fn rewrite(segment: &Segment, index: u32, change: impl FnOnce(&mut Record)) {
    let slot = Slot::of(segment.table(), index).unwrap();
    let seen = slot.read();
    let mut record = seen.record.unwrap();
    change(&mut record);
    slot.overwrite(seen.claim, record);
}
