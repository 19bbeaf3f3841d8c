//! Real processes, real deaths.
//!
//! The tests fork. A child does a few system calls and atomics and leaves through `_exit`; it
//! never returns into the test harness. What it has to say it says through
//! shared words behind the participant table.
//!
//! What can happen to an owner, and the test that shows the judgement on it:
//!
//! | case | test |
//! |------|------|
//! | fork; fork without exec | `forks::forked_child_writes_under_its_own_token`, `idle_child_does_not_keep_its_dead_parent_looking_alive` |
//! | vfork or `posix_spawn`, and exec | `forks::spawned_program_inherits_nothing`, `lifetimes::what_an_earlier_program_of_this_process_held_is_dead` |
//! | raw clone | `forks::raw_clone_never_takes_its_live_parent_for_dead`, `namespaces::raw_clone_into_a_new_namespace_finds_its_parent_alive` |
//! | setuid after fork | `forks::child_that_dropped_its_privileges_registers_and_its_death_is_seen`, `child_without_any_lock_registers_and_its_death_is_seen` |
//! | memfd over `SCM_RIGHTS` (one description) | `forks::received_descriptor_with_a_shared_description_does_not_confuse` |
//! | equal pids in two namespaces; a foreign `/proc` | `namespaces::equal_pids_in_two_namespaces_are_two_processes`, `foreign_proc_does_not_make_live_processes_look_dead` |
//! | pid reuse | `lifetimes::process_that_got_the_pid_of_a_dead_owner_is_not_the_owner`, `another_process_under_the_same_pid_is_not_the_owner` |
//! | zombie | `lifetimes::zombie_owner_is_dead` |
//! | stopped, for 5 s or 60 s | `lifetimes::stopped_owner_is_alive_however_long` |
//! | main thread gone | `lifetimes::owner_whose_main_thread_exited_is_alive_and_may_register` |
//! | the same file opened and closed in another place | `lifetimes::owner_that_opened_and_closed_the_same_file_again_is_alive` |
//! | all descriptors closed | `lifetimes::owner_that_closed_all_its_descriptors_is_alive`, `…_is_dead_though_its_children_live`, `…_before_its_first_write_says_it_has_no_lock`, `forks::reused_descriptor_number_is_neither_probed_nor_closed` |
//! | two threads, two handles | `registration::two_threads_and_two_handles_of_one_process_are_alive_to_each_other` |
//! | read-only peer with locks of its own | `registration::read_only_peer_with_locks_of_its_own_keeps_nobody_from_writing` |
//! | lost or replaced lock file | `registration::lost_or_replaced_lock_file_makes_nobody_look_dead` |
//! | core dump in progress | `lifetimes::owner_that_dumps_core_is_alive_until_it_is_done` |
//! | an earlier boot | `lifetimes::owner_of_an_earlier_boot_is_dead` |

mod forks;
mod hostile;
mod lifetimes;
mod namespaces;
mod registration;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::token::{Liveness, Token};
use super::{LockPlace, Participant, Registration, SLOT_WORDS};
use crate::sys::access::Access;
use crate::sys::mapping::Mapping;
use crate::sys::sync::{AtomicU64, Ordering};

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

    fn owners(&self) -> Registration {
        Registration::new(LockPlace::File(self.file.as_fd()), None, ID, SLOTS)
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
    fn register_and_say(&self, owners: &Registration, index: usize) {
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
pub(crate) struct Child {
    pid: i32,
    is_reaped: bool,
}

#[expect(unsafe_code, reason = "the tests are about fork, kill and wait")]
impl Child {
    /// Runs `work` in a child.
    pub(crate) fn fork(work: impl FnOnce()) -> Self {
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

    /// The same under a process id of our choice; `None` if that is not permitted, or not free.
    fn clone_as(pid: i32, work: impl FnOnce()) -> Option<Self> {
        // SAFETY: all zeros is a valid request, for a child like a fork's.
        let mut request = unsafe { std::mem::zeroed::<libc::clone_args>() };
        request.exit_signal = libc::SIGCHLD as u64;
        request.set_tid = (&raw const pid).expose_provenance() as u64;
        request.set_tid_size = 1;
        let len = size_of::<libc::clone_args>();
        // SAFETY: as `raw_clone`; `request` and `pid` live until the call is over.
        let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const request, len) };
        (made != -1).then(|| Self::go_on(made as i32, work))
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
    pub(crate) fn wait(mut self) -> i32 {
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
    let is_alive = |found: &&Participant| found.owner.liveness() == Liveness::Alive;
    participants.iter().filter(is_alive).count()
}
