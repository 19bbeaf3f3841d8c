//! Real processes, real deaths.
//!
//! The tests fork. A child does a few system calls and atomics and leaves through `_exit`; it
//! never returns into the test harness. What it has to say it says through
//! shared words behind the participant table.

mod forks;
mod hostile;
mod lifetimes;
mod namespaces;
mod registration;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::token::{Token, Verdict};
use super::{LockPlace, Owners, Participant, SLOT_WORDS};
use crate::mapping::{Access, Mapping};
use crate::sync::{AtomicU64, Ordering};

const SLOTS: u32 = 64;
const TABLE_WORDS: usize = SLOTS as usize * SLOT_WORDS;
const WORDS: usize = TABLE_WORDS + 64;
const ID: [u64; 2] = [1, 2];

/// A segment that has only a participant table, and words for messages behind it.
struct Segment {
    file: OwnedFd,
    mapping: Mapping,
}

impl Segment {
    fn new() -> Self {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        let file = memfd_create("owners", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, (WORDS * 8) as u64).unwrap();
        Self::of(file)
    }

    /// On tmpfs, with a mode that keeps other users out.
    fn private() -> Self {
        use rustix::fs::{Mode, OFlags, ftruncate, open};
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = open("/dev/shm", flags, Mode::RUSR | Mode::WUSR).unwrap();
        ftruncate(&file, (WORDS * 8) as u64).unwrap();
        Self::of(file)
    }

    fn of(file: OwnedFd) -> Self {
        let mapping = Mapping::of_file(&file, WORDS * 8, Access::ReadWrite).unwrap();
        Self { file, mapping }
    }

    fn owners(&self) -> Owners {
        Owners::new(LockPlace::File(self.file.as_fd()), ID, SLOTS)
    }

    fn table(&self) -> &[AtomicU64] {
        &self.mapping.words()[..TABLE_WORDS]
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.mapping.words()[TABLE_WORDS + index]
    }

    fn say(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    /// Waits until somebody says something there.
    fn hear(&self, index: usize) -> u64 {
        let mut heard = 0;
        wait_until("a word from the other process", || {
            heard = self.word(index).load(Ordering::Acquire);
            heard != 0
        });
        heard
    }

    fn hear_token(&self, index: usize) -> Token {
        Token::from_word(self.hear(index)).unwrap()
    }

    /// Registers and says which token it got, or 1.
    fn register_and_say(&self, owners: &Owners, index: usize) {
        let word = owners.token(self.table()).map_or(1, Token::to_word);
        self.say(index, word);
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A child, killed and reaped when dropped.
struct Child {
    pid: i32,
    is_reaped: bool,
}

#[expect(unsafe_code, reason = "the tests are about fork, kill and wait")]
impl Child {
    /// Runs `work` in a child.
    fn fork(work: impl FnOnce()) -> Self {
        // SAFETY: the child runs `work`, which by this module's rule keeps to what the
        // child of a process with threads may do, and leaves without unwinding.
        let pid = unsafe { libc::fork() };
        Self::go_on(pid, work)
    }

    /// The same without running fork handlers.
    fn raw_clone(flags: i32, work: impl FnOnce()) -> Self {
        let flags = libc::c_long::from(flags | libc::SIGCHLD);
        // SAFETY: like fork: no shared memory, no new stack.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        Self::go_on(pid as i32, work)
    }

    fn go_on(pid: i32, work: impl FnOnce()) -> Self {
        assert_ne!(pid, -1, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: `_exit` may be called at any time.
            unsafe { libc::_exit(i32::from(result.is_err())) }
        }
        Self {
            pid,
            is_reaped: false,
        }
    }

    fn signal(&self, signal: i32) {
        assert!(!self.is_reaped);
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Waits for the end and returns the status.
    fn wait(mut self) -> i32 {
        self.reap()
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        self.is_reaped = true;
        status
    }

    /// Kills it; a zombie stays.
    fn kill_without_reaping(&self) {
        self.signal(libc::SIGKILL);
        // SAFETY: as above; WNOWAIT leaves it to be waited for again.
        unsafe {
            let mut info = std::mem::zeroed::<libc::siginfo_t>();
            let id = self.pid.cast_unsigned();
            libc::waitid(
                libc::P_PID,
                id,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            );
        }
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(libc::SIGKILL);
            self.reap();
        }
    }
}

/// Runs a test in a process with one thread. A raw clone of a process with several may find the
/// allocator locked for ever, since nothing prepares that for it.
fn alone(test: impl FnOnce()) {
    assert_eq!(Child::fork(test).wait(), 0);
}

/// Stays until killed, or until a test that failed must have forgotten it.
fn stay() {
    std::thread::sleep(Duration::from_secs(120));
}

fn live(participants: &[Participant]) -> usize {
    let is_alive = |found: &&Participant| found.owner.verdict() == Verdict::Alive;
    participants.iter().filter(is_alive).count()
}
