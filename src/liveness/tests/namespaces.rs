//! Pid namespaces: equal pids, other pids, and a `/proc` that is not ours.

use super::*;

/// Two children, each process 2 of a pid namespace of its own (process 1 forks it).
#[test]
fn equal_pids_in_two_namespaces_are_two_processes() {
    let segment = Segment::new();
    let Some(first) = namespaced(&segment, 0) else {
        println!("skipped: no permission to make pid namespaces");
        return;
    };
    let one = segment.hear_token(0);
    let second = namespaced(&segment, 10).unwrap();
    let two = segment.hear_token(10);
    let owners = segment.owners();
    let info = |token| owners.describe(segment.table(), token);
    assert_eq!((info(one).pid(), info(two).pid()), (Some(1), Some(1)));
    assert_ne!(info(one).pid_namespace(), info(two).pid_namespace());

    // From outside, and from each other.
    let ask = |asked: usize, token: Token| {
        segment.say(asked + 2, 0);
        segment.say(asked + 1, token.to_word());
        match segment.hear(asked + 2) {
            1 => Liveness::Alive,
            2 => Liveness::Dead,
            _ => Liveness::Unknown,
        }
    };
    for token in [one, two] {
        assert_eq!(owners.liveness(segment.table(), token), Liveness::Alive);
        assert_eq!(ask(0, token), Liveness::Alive);
        assert_eq!(ask(10, token), Liveness::Alive);
    }
    first.kill();
    wait_until("the end of a namespace", || {
        owners.liveness(segment.table(), one) == Liveness::Dead
    });
    // Process 1 lives in the second one's namespace; it is not that one.
    assert_eq!(ask(10, one), Liveness::Dead);
    assert_eq!(ask(10, two), Liveness::Alive);
    second.kill();
    wait_until("the end of the other namespace", || {
        owners.liveness(segment.table(), two) == Liveness::Dead
    });
}

/// In a new namespace whose `/proc` still shows the old one's numbers.
#[test]
fn foreign_proc_does_not_make_live_processes_look_dead() {
    let segment = Segment::new();
    let Some(child) = namespaced_with(&segment, || {
        // Process 2 registers, process 1 judges; /proc/2 is a process of the outer namespace.
        let inner = Child::fork(|| {
            let owners = segment.owners();
            segment.register_and_say(&owners, 1);
            stay();
        });
        let token = segment.hear_token(1);
        let owners = segment.owners();
        let alive = owners.liveness(segment.table(), token);
        inner.kill();
        let dead = owners.liveness(segment.table(), token);
        segment.say(
            2,
            1 + u64::from((alive, dead) == (Liveness::Alive, Liveness::Dead)),
        );
    }) else {
        println!("skipped: no permission to make pid namespaces");
        return;
    };
    assert_eq!(segment.hear(2), 2);
    drop(child);
}

/// A raw clone into a new namespace shares its parent's description until it replaces it.
#[test]
fn raw_clone_into_a_new_namespace_finds_its_parent_alive() {
    let segment = Segment::new();
    if namespaced_with(&segment, || ()).is_none() {
        println!("skipped: no permission to make pid namespaces");
        return;
    }
    alone(|| {
        let owners = segment.owners();
        let mine = owners.token(segment.table()).unwrap();
        let child = Child::raw_clone(libc::CLONE_NEWPID, || {
            let parent = owners.liveness(segment.table(), mine);
            segment.say(0, 1 + u64::from(parent == Liveness::Alive));
        });
        assert_eq!(segment.hear(0), 2);
        drop(child);
    });
}

/// Process 1 of a new namespace: registers, then answers questions about tokens.
fn namespaced(segment: &Segment, base: usize) -> Option<Child> {
    namespaced_with(segment, || {
        let owners = segment.owners();
        segment.register_and_say(&owners, base);
        loop {
            let token = segment.word(base + 1).swap(0, Ordering::AcqRel);
            if let Some(token) = Token::from_word(token) {
                let answer = match owners.liveness(segment.table(), token) {
                    Liveness::Alive => 1,
                    Liveness::Dead => 2,
                    Liveness::Unknown => 3,
                };
                segment.say(base + 2, answer);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    })
}

/// The parent of process 1; its death takes the namespace along.
fn namespaced_with(segment: &Segment, work: impl FnOnce()) -> Option<Child> {
    const READY: usize = 40;
    segment.say(READY, 0);
    let child = Child::fork(|| {
        // SAFETY: a plain system call in a process with one thread.
        #[expect(unsafe_code, reason = "rustix gates it")]
        let result = unsafe { libc::unshare(libc::CLONE_NEWPID) };
        if result != 0 {
            segment.say(READY, 2);
            return;
        }
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "the namespace ends with its maker")]
        let inner = Child::fork(|| unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            segment.say(READY, 1);
            work();
        });
        inner.wait();
    });
    (segment.hear(READY) == 1).then_some(child)
}
