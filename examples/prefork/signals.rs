//! The signals that the parent waits for.

use std::io;
use std::mem::MaybeUninit;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A child has exited (or several; signals of one kind merge).
    Child,
    /// Somebody wants this program to end.
    Stop,
}

/// `SIGCHLD`, `SIGINT`, `SIGTERM` and `SIGHUP`, blocked: they stay pending until they are waited for.
pub(crate) struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks the signals in this thread, and in all that it starts.
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        #[expect(unsafe_code, reason = "signal sets have no safe interface")]
        // SAFETY: `sigemptyset` initialises the whole set, whatever it was, and the others
        // get that valid set. The default disposition of SIGCHLD involves no handler.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in [libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            // Were it inherited as ignored, children would vanish unnoticed.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            set
        };
        let signals = Self { set };
        signals.mask(libc::SIG_BLOCK)?;
        Ok(signals)
    }

    /// Waits for the next one.
    pub(crate) fn wait(&self) -> io::Result<Event> {
        let mut signal = 0;
        #[expect(unsafe_code, reason = "signal sets have no safe interface")]
        // SAFETY: both point to values of their types that live during the call.
        let failed = unsafe { libc::sigwait(&raw const self.set, &raw mut signal) };
        match (failed, signal) {
            (0, libc::SIGCHLD) => Ok(Event::Child),
            (0, _) => Ok(Event::Stop),
            (errno, _) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Lets the signals end this process, as they usually do. For children.
    pub(crate) fn release(&self) -> io::Result<()> {
        self.mask(libc::SIG_UNBLOCK)
    }

    fn mask(&self, how: libc::c_int) -> io::Result<()> {
        #[expect(unsafe_code, reason = "signal sets have no safe interface")]
        // SAFETY: the set is valid, and the old mask is not asked for.
        let failed =
            unsafe { libc::pthread_sigmask(how, &raw const self.set, std::ptr::null_mut()) };
        match failed {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
