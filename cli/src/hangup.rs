//! Whether anybody is left at the other end of our terminal or pipe.
//!
//! A window that is closed or a connection that is lost sends SIGHUP, but not always to us: not where
//! the terminal is not our controlling one (a container's), nor where the signal is ignored.
//! The kernel's answer to `poll` is always there.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::SIGHUP;

use crate::failure::{Failure, Outcome};

/// Stdin and stdout, as they were at the start: a terminal that is gone no longer says that it was
/// one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    stdin_is_terminal: bool,
    stdout_is_terminal: bool,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self {
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Whether both are terminals.
    pub(crate) fn are_terminals(self) -> bool {
        self.stdin_is_terminal && self.stdout_is_terminal
    }

    /// Waits so long, and fails as soon as nobody can read what we write any more, or our terminal is
    /// gone. (A stdin that is no terminal may end when it likes: nothing was asked of it. The
    /// one of a job of cron is at its end from the start.)
    pub(crate) fn pause(self, time: Duration) -> Outcome<()> {
        self.wait(time, PollFlags::empty()).map(drop)
    }

    /// As [`pause`](Self::pause), but returns once there is something to read on the terminal, and says
    /// whether there is. A signal may end it early.
    pub(crate) fn wait_for_input(self, time: Duration) -> Outcome<bool> {
        self.wait(time, PollFlags::IN)
    }

    fn wait(self, time: Duration, wanted: PollFlags) -> Outcome<bool> {
        const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut polled = vec![PollFd::new(&stdout, PollFlags::empty())];
        if self.stdin_is_terminal {
            polled.push(PollFd::new(&stdin, wanted));
        }
        let until = Instant::now().checked_add(time);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match poll(&mut polled, left.map(timespec).as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(Errno::INTR) if wanted.is_empty() => {}
                Err(Errno::INTR) => return Ok(false),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        if polled[0].revents().intersects(GONE) {
            return Err(match self.stdout_is_terminal {
                true => Failure::Interrupted(SIGHUP),
                false => Failure::BrokenPipe,
            });
        }
        let input = polled.get(1).map_or(PollFlags::empty(), PollFd::revents);
        match input.intersects(GONE) {
            true => Err(Failure::Interrupted(SIGHUP)),
            false => Ok(input.contains(PollFlags::IN)),
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
