//! Being the only one at work on a segment for a while.
//!
//! After a crash of the machine somebody has to look a file over before anybody writes. Whoever
//! does that holds the *door*: a byte of the lock file in front of all participants' own. As
//! with these, the kernel drops the lock with its holder, so nobody waits for the dead.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::Owners;
use super::byte_lock::{self, Locking};

/// The door, held until dropped.
pub(crate) struct Door<'a>(BorrowedFd<'a>);

/// Why the door could not be had.
#[derive(Debug)]
pub(crate) enum DoorError {
    /// Somebody else has had it all the time.
    Taken,
    /// The file cannot be locked.
    Impossible(io::Error),
}

impl Owners {
    /// Takes the door, waiting for it for at most so long.
    pub(crate) fn door(&self, patience: Duration) -> Result<Door<'_>, DoorError> {
        let Some((file, _)) = self.private.file() else {
            let why =
                "the file cannot be opened anew through /proc, so nothing in it can be locked";
            return Err(DoorError::Impossible(io::Error::other(why)));
        };
        let started = Instant::now();
        loop {
            match byte_lock::lock_door(file) {
                Locking::Locked => return Ok(Door(file)),
                Locking::Impossible => {
                    let why = "the file system has no locks of open file descriptions";
                    return Err(DoorError::Impossible(io::Error::other(why)));
                }
                Locking::Taken if started.elapsed() >= patience => return Err(DoorError::Taken),
                Locking::Taken => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        byte_lock::unlock_door(self.0);
    }
}
