//! Signals that ask this program to end, while something has to be put in order first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::failure::{Failure, Outcome};

/// Notes a signal instead of ending by it. Whoever holds this looks for it often, tidies up, and
/// lets [`Failure::Interrupted`] end the program as the signal would have.
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    pub(crate) fn catch() -> io::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            let number = usize::try_from(signal).unwrap_or(0);
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), number)?;
        }
        Ok(Self(caught))
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
