//! Processes as the kernel knows them: who we are, and whether a given one lives.
//!
//! A process id means something only within its pid namespace, and only together
//! with the start time of the process, since ids are used again. Start times are
//! clock ticks since boot and are shown relative to the *reader's* time namespace, so
//! they are compared only within one of those too.
//!
//! A pidfd tells when the last thread of a process has exited: a zombie is dead, a
//! process whose first thread has left is not, nor is one that still dumps core.
//! (A descriptor can be had for all three; asking with the id of a thread that
//! is no process gives `ENOENT`, seen on Linux 6.18.)
//!
//! `/proc` may show another pid namespace's numbers than ours (a new namespace whose
//! `/proc` was not mounted anew). So the way to a start time leads from the
//! pidfd over its `fdinfo`, which gives the number that this `/proc` uses, to `stat`.
//! Where `/proc` is not mounted or hides the process, its start time is not known: then a
//! process that is gone is dead all the same, and one that lives may be another.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};

use crate::sys::sync::{AtomicU64, Ordering};

/// What the kernel says about a process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// That very process lives.
    Alive,
    /// No process has that id.
    Gone,
    /// Another process, which started at another time, has that id.
    Another,
    /// Some process has that id; whether it is the one, nobody can tell us.
    Unsure,
}

/// A process, as it describes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Ticks since boot, plus one; 0 if not known.
    pub(super) started: u64,
    pub(super) origin: Origin,
    /// Digest of what `exec` has drawn at random for this program.
    pub(super) image: u32,
}

/// The realm in which a process id and a start time have their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Inode of the pid namespace; 0 if not known.
    pub(super) pid_namespace: u32,
    /// Inode of the time namespace; 0 if there are none.
    pub(super) time_namespace: u32,
    /// Digest of the boot id; 0 if not known.
    pub(super) boot: u32,
}

impl Origin {
    pub(super) fn here() -> Self {
        // `thread-self`, since `self` loses its files when the first thread exits.
        Self {
            pid_namespace: inode_of("/proc/thread-self/ns/pid"),
            time_namespace: inode_of("/proc/thread-self/ns/time"),
            boot: boot(),
        }
    }
}

impl Origin {
    /// Whether a process id means the same in both.
    pub(super) fn shares_pids_with(self, other: Self) -> bool {
        (self.pid_namespace, self.boot) == (other.pid_namespace, other.boot)
    }
}

impl Identity {
    /// Whether processes of our own pid namespace can tell from this that we are dead.
    pub(super) fn can_be_judged(&self) -> bool {
        self.started != 0 && self.origin.pid_namespace != 0 && self.origin.boot != 0
    }

    pub(super) fn of_this_process() -> Self {
        Self {
            pid: rustix::process::getpid().as_raw_pid().cast_unsigned(),
            started: start_in_stat("/proc/self/stat").unwrap_or(0),
            origin: Origin::here(),
            image: image(),
        }
    }
}

/// Whether the process `pid` of our own pid namespace, which started at `started`, lives.
pub(crate) fn life_of(pid: u32, started: Option<u64>) -> Life {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Life::Unsure;
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        // Nobody; or a mere thread of some process has that number now.
        Err(Errno::SRCH | Errno::NOENT) => return Life::Gone,
        // No descriptor left, or forbidden by a sandbox.
        Err(_) => {
            return match test_kill_process(pid) {
                Err(Errno::SRCH) => Life::Gone,
                _ => Life::Unsure,
            };
        }
    };
    match has_exited(&pidfd) {
        Some(true) => return Life::Gone,
        Some(false) => {}
        None => return Life::Unsure,
    }
    let (Some(expected), Some(found)) = (started, start_of(&pidfd)) else {
        return Life::Unsure;
    };
    // The number was taken from the descriptor; if the process still lives after `stat`
    // was read, nobody else can have had the number in between.
    match has_exited(&pidfd) {
        Some(true) => Life::Gone,
        Some(false) if expected == found => Life::Alive,
        Some(false) => Life::Another,
        None => Life::Unsure,
    }
}

/// A pidfd becomes readable when the last thread is gone, reaped or not.
fn has_exited(pidfd: &OwnedFd) -> Option<bool> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    for _ in 0..8 {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)) {
            Ok(ready) => return Some(ready > 0),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    None
}

fn start_of(pidfd: &OwnedFd) -> Option<u64> {
    let info = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(info).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // -1: reaped, 0: not visible in the namespace of this `/proc`.
    let pid: u32 = pid.trim().parse().ok().filter(|&pid| pid > 0)?;
    start_in_stat(&format!("/proc/{pid}/stat"))
}

fn start_in_stat(path: &str) -> Option<u64> {
    parse_start(&std::fs::read(path).ok()?)
}

/// Field 22 of a `stat` line, plus one. The name of the program, field 2, stands in
/// parentheses and may contain anything, parentheses and line ends included.
fn parse_start(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let start: u64 = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    start.checked_add(1)
}

fn inode_of(path: &str) -> u32 {
    let Ok(stat) = rustix::fs::stat(path) else {
        return 0;
    };
    u32::try_from(stat.st_ino).unwrap_or(0)
}

/// The boot id never changes while we run, so any thread may store what it has read.
fn boot() -> u32 {
    static BOOT: AtomicU64 = AtomicU64::new(0);
    let known = BOOT.load(Ordering::Relaxed) as u32;
    if known != 0 {
        return known;
    }
    let Some(id) = crate::sys::boot::boot_id() else {
        return 0;
    };
    let boot = digest(&id);
    BOOT.store(u64::from(boot), Ordering::Relaxed);
    boot
}

/// Tells this program from one that had the same process before an `exec`: that
/// changes neither the process id nor its start time. 0 if not known.
fn image() -> u32 {
    // SAFETY: `getauxval` has no preconditions. `AT_RANDOM` is, by the kernel's promise,
    // zero or the address of 16 bytes that nobody changes while the program runs.
    #[expect(unsafe_code, reason = "the auxiliary vector has no safe interface")]
    let random = unsafe {
        let address = libc::getauxval(libc::AT_RANDOM) as *const [u8; 16];
        if address.is_null() {
            return 0;
        }
        address.read_unaligned()
    };
    // A digest, since the bytes themselves are the seed of stack canaries.
    digest(&random)
}

/// 32 bits of SipHash, never zero.
fn digest(bytes: &[u8]) -> u32 {
    let hash = siphasher::sip::SipHasher24::new_with_keys(0x7368_6D6B, 0x76).hash(bytes);
    ((hash >> 32) as u32).max(1)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_program_name() {
        let rest = "S 1 2 3 0 -1 4 5 0 0 0 0 0 0 0 20 0 2 0 211448 0 0";
        for name in ["a", "a b", ") S 1 2 3", "((", "x)\n(y", ""] {
            let line = format!("77 ({name}) {rest}\n");
            assert_eq!(parse_start(line.as_bytes()), Some(211_449), "{name:?}");
        }
        for line in [
            "",
            "77",
            "77 (a",
            "77 (a) S 1",
            "77 (a) S 1 x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(parse_start(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_is_alive_by_its_own_description() {
        let me = Identity::of_this_process();
        assert_ne!((me.started, me.image, me.origin.boot), (0, 0, 0));
        assert_ne!(me.origin.pid_namespace, 0);
        assert_eq!(life_of(me.pid, Some(me.started)), Life::Alive);
        assert_eq!(life_of(me.pid, Some(me.started + 1)), Life::Another);
        assert_eq!(life_of(me.pid, None), Life::Unsure);
    }

    #[test]
    fn numbers_that_name_no_process_are_not_alive() {
        assert_eq!(life_of(0, Some(1)), Life::Unsure);
        assert_eq!(life_of(u32::MAX, Some(1)), Life::Unsure);
        assert_eq!(life_of((1 << 22) - 1, Some(1)), Life::Gone);
    }
}
