//! Being the only one at work on a segment for a while.
//!
//! After a crash of the machine somebody has to look a file over before anybody writes. Whoever
//! does that holds the *admission lock*: a byte of the lock file in front of all participants' own.
//! As with these, the kernel drops the lock with its holder, so nobody waits for a dead process.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::Registration;
use super::byte_lock::{self, Locking};

/// The admission lock, held until dropped.
pub(crate) struct AdmissionLock<'a>(BorrowedFd<'a>);

/// Why the admission lock could not be had.
#[derive(Debug)]
pub(crate) enum AdmissionLockError {
    /// Somebody else has had it all the time.
    Taken,
    /// The file cannot be locked.
    Impossible(io::Error),
}

impl Registration {
    /// Takes the admission lock, waiting for it for at most so long.
    pub(crate) fn admission_lock(
        &self,
        timeout: Duration,
    ) -> Result<AdmissionLock<'_>, AdmissionLockError> {
        let Some((file, _)) = self.private.file() else {
            let why =
                "the file cannot be opened anew through /proc, so nothing in it can be locked";
            return Err(AdmissionLockError::Impossible(io::Error::other(why)));
        };
        let started = Instant::now();
        loop {
            match byte_lock::lock_admission(file) {
                Locking::Locked => return Ok(AdmissionLock(file)),
                Locking::Impossible => {
                    let why = "the file system has no locks of open file descriptions";
                    return Err(AdmissionLockError::Impossible(io::Error::other(why)));
                }
                Locking::Taken if started.elapsed() >= timeout => {
                    return Err(AdmissionLockError::Taken);
                }
                Locking::Taken => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// The bytes of all participants, locked until dropped: nobody can register.
pub(crate) struct AllBytes<'a>(BorrowedFd<'a>);

impl Registration {
    /// Locks the bytes of all participants; `None` if somebody has one. Only by who is not
    /// registered itself.
    pub(crate) fn lock_all_bytes<'a>(
        &self,
        lock: &AdmissionLock<'a>,
    ) -> Result<Option<AllBytes<'a>>, AdmissionLockError> {
        match byte_lock::lock_all(lock.0) {
            Locking::Locked => Ok(Some(AllBytes(lock.0))),
            Locking::Taken => Ok(None),
            Locking::Impossible => {
                let why = "the file system has no locks of open file descriptions";
                Err(AdmissionLockError::Impossible(io::Error::other(why)))
            }
        }
    }
}

impl Drop for AllBytes<'_> {
    fn drop(&mut self) {
        byte_lock::unlock_all(self.0);
    }
}

impl Drop for AdmissionLock<'_> {
    fn drop(&mut self) {
        byte_lock::unlock_admission(self.0);
    }
}
