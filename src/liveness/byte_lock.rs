//! One locked byte a participant: the sign of life that crosses pid namespaces.
//!
//! Open-file-description locks belong to the description, not to the process. The
//! kernel drops them when the last descriptor of it is closed, which for a process
//! that dies comes after its memory is gone and when its last thread is. Locks of
//! *one* description never conflict with each other; who locks and probes
//! through a description that it shares with another process learns nothing. Hence
//! [`super::private`].

use std::os::fd::{AsRawFd, BorrowedFd};

/// The byte of slot 0, far beyond the end of any segment: nobody's data, and
/// out of the way of programs that lock whole files from the start.
const FIRST_BYTE: libc::off_t = 1 << 62;

/// The bytes of handles that may write, behind those of all participants (16 bits of them): such a
/// handle holds one of these from its opening on, before it is a participant.
const FIRST_HANDLE: libc::off_t = FIRST_BYTE + (1 << 20);
/// How many there are.
const HANDLES: u32 = 1 << 20;

/// What became of an attempt to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locking {
    Locked,
    /// Somebody else has it.
    Taken,
    /// This file system, or this descriptor, does not do it.
    Impossible,
}

/// Locks the byte of `slot`, without waiting.
pub(super) fn lock(file: BorrowedFd<'_>, slot: u32) -> Locking {
    match command(file, libc::F_OFD_SETLK, libc::F_WRLCK, slot) {
        Ok(_) => Locking::Locked,
        Err(libc::EAGAIN | libc::EACCES) => Locking::Taken,
        Err(_) => Locking::Impossible,
    }
}

/// Locks the byte in front of all participants' for whoever must be alone with the segment,
/// without waiting.
pub(super) fn lock_admission(file: BorrowedFd<'_>) -> Locking {
    match range(file, libc::F_OFD_SETLK, libc::F_WRLCK, FIRST_BYTE - 1, 1) {
        Ok(_) => Locking::Locked,
        Err(libc::EAGAIN | libc::EACCES) => Locking::Taken,
        Err(_) => Locking::Impossible,
    }
}

/// Lets the next one in.
pub(super) fn unlock_admission(file: BorrowedFd<'_>) {
    let _ = range(file, libc::F_OFD_SETLK, libc::F_UNLCK, FIRST_BYTE - 1, 1);
}

/// Locks a byte for a handle that may write: one that is free, of a few that are tried. Async-signal-safe.
pub(super) fn lock_for_handle(file: BorrowedFd<'_>) {
    let pid = rustix::process::getpid().as_raw_pid().cast_unsigned();
    for attempt in 0..64 {
        // Handles of one process, and processes of several namespaces, may have the same number.
        let byte = pid.wrapping_add(attempt).wrapping_mul(0x9E37_79B1) % HANDLES;
        let start = FIRST_HANDLE + libc::off_t::from(byte);
        match range(file, libc::F_OFD_SETLK, libc::F_WRLCK, start, 1) {
            Err(libc::EAGAIN | libc::EACCES) => {}
            _ => return,
        }
    }
}

/// Locks the bytes of all participants and handles, so that none can register.
pub(super) fn lock_all(file: BorrowedFd<'_>) -> Locking {
    match range(file, libc::F_OFD_SETLK, libc::F_WRLCK, FIRST_BYTE, 0) {
        Ok(_) => Locking::Locked,
        Err(libc::EAGAIN | libc::EACCES) => Locking::Taken,
        Err(_) => Locking::Impossible,
    }
}

/// Gives them back.
pub(super) fn unlock_all(file: BorrowedFd<'_>) {
    let _ = range(file, libc::F_OFD_SETLK, libc::F_UNLCK, FIRST_BYTE, 0);
}

/// Gives the byte back.
pub(super) fn unlock(file: BorrowedFd<'_>, slot: u32) {
    // A descriptor that was closed behind our back has lost the lock already.
    let _ = command(file, libc::F_OFD_SETLK, libc::F_UNLCK, slot);
}

/// Whether another description has the byte locked for writing; `None` if nobody can tell. (Locks
/// for reading do not count: a peer that may only read the file can have those.)
pub(super) fn is_locked(file: BorrowedFd<'_>, slot: u32) -> Option<bool> {
    let found = command(file, libc::F_OFD_GETLK, libc::F_RDLCK, slot).ok()?;
    Some(found != libc::F_UNLCK)
}

/// Whether anybody else holds any participant's byte, or that of a handle.
pub(super) fn any_is_locked(file: BorrowedFd<'_>) -> Option<bool> {
    let found = range(file, libc::F_OFD_GETLK, libc::F_RDLCK, FIRST_BYTE, 0).ok()?;
    Some(found != libc::F_UNLCK)
}

/// What a peer that may only read the file can do.
#[cfg(test)]
pub(super) fn lock_for_reading(file: BorrowedFd<'_>, slot: u32) {
    command(file, libc::F_OFD_SETLK, libc::F_RDLCK, slot).expect("a shared lock");
}

fn command(file: BorrowedFd<'_>, command: i32, kind: i32, slot: u32) -> Result<i32, i32> {
    let start = FIRST_BYTE + libc::off_t::from(slot);
    range(file, command, kind, start, 1)
}

/// The kernel's answer: the kind of lock found, or the error number.
fn range(
    file: BorrowedFd<'_>,
    command: i32,
    kind: i32,
    start: libc::off_t,
    len: libc::off_t,
) -> Result<i32, i32> {
    let mut flock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // Must be zero for locks of this sort.
        l_pid: 0,
    };
    // SAFETY: both commands take a pointer to a `flock`, which lives until the call is over.
    #[expect(unsafe_code, reason = "only libc knows this kind of lock")]
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut flock) };
    if result == -1 {
        let error = std::io::Error::last_os_error();
        return Err(error.raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(i32::from(flock.l_type))
}
