//! Forked children.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::process::{getpid, getppid, set_parent_process_death_signal};

/// A child process, which has everything that its parent had at the fork: open maps too.
///
/// Neither drop nor exit of the parent waits for it; if the parent dies, it is killed.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
}

impl Child {
    /// Forks; the child runs `work`, and what that returns is its exit code. A panic is code 101.
    ///
    /// The process must have one thread only: in the child, the others would be gone, with
    /// whatever they had locked. (The map would not mind; the allocator might.)
    pub(crate) fn fork(work: impl FnOnce() -> u8) -> io::Result<Self> {
        let parent = getpid();
        #[expect(unsafe_code, reason = "no safe function forks")]
        // SAFETY: the process has one thread, by this function's contract, so the child
        // finds no lock held and no data half changed, and may do what its parent may do.
        let forked = unsafe { libc::fork() };
        match forked {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let _ = set_parent_process_death_signal(Some(Signal::KILL));
                // It may have died before it was to be watched.
                if getppid() != Some(parent) {
                    std::process::exit(101);
                }
                let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
                // Without unwinding: what is on the stack belongs to the parent.
                std::process::exit(code.into())
            }
            pid => Ok(Self {
                pid: Pid::from_raw(pid).expect("fork returns the id of a process"),
            }),
        }
    }

    #[allow(dead_code, reason = "not every example asks for it")]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills the child, if it still runs, and waits until it is gone.
    pub(crate) fn end(self) {
        // Nobody else waits for it, so the id is still its own. And a stopped process would
        // not notice any other signal.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = self.wait();
    }

    /// Waits for the child's end: its exit code, or `None` if a signal ended it.
    pub(crate) fn wait(self) -> io::Result<Option<i32>> {
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => return Ok(status.exit_status()),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
