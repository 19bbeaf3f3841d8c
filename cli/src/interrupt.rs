//! Signals that ask this program to end, while something has to be put in order first.
//!
//! A signal that was ignored when this program began (`nohup`, a job in the background of a script)
//! stays ignored.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, Outcome};

/// The signals that ask for the end.
const ENDING: [i32; 4] = [SIGTERM, SIGHUP, SIGINT, SIGQUIT];

/// How long a command has to notice a signal before it is ended wherever it is.
const GRACE: Duration = Duration::from_millis(500);

/// Notes a signal instead of ending by it. Whoever holds this looks for it often, tidies up, and
/// lets [`Failure::Interrupted`] end the program as the signal would have.
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    pub(crate) fn catch() -> io::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in caught_signals() {
            let number = usize::try_from(signal).unwrap_or(0);
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), number)?;
        }
        Ok(Self(caught))
    }

    /// As [`catch`](Self::catch), for a command that can wait for ever in a system call (a terminal
    /// or a pipe that takes nothing, input that does not come). If it goes on for long
    /// after the signal, another thread does what is in `last` and ends the program.
    pub(crate) fn catch_or_end(last: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::catch()?;
        let mut signals = Signals::new(caught_signals())?;
        thread::Builder::new().spawn(move || {
            let Some(signal) = signals.forever().next() else {
                return;
            };
            thread::sleep(GRACE);
            last();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        })?;
        Ok(interrupt)
    }

    /// Fails once a signal has come.
    pub(crate) fn check(&self) -> Outcome<()> {
        // Relaxed: nothing but the number is told.
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(Failure::Interrupted(
                i32::try_from(number).unwrap_or(SIGTERM),
            )),
        }
    }
}

/// Those that whoever started us did not make us ignore. Where that cannot be read, all of them: a
/// signal too many that ends a command is better than one that cannot end it.
fn caught_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status).unwrap_or(0);
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 != 0;
    ENDING
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .collect()
}

/// Bit n - 1 stands for signal n.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_that_are_ignored_are_read() {
        let status = "Name:\tshmkv\nSigIgn:\t0000000000000003\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), Some(0b11));
        for unreadable in ["", "SigIgn:\tx", "SigBlk:\t0000000000000003"] {
            assert_eq!(ignored_signals(unreadable), None, "{unreadable:?}");
        }
    }
}
