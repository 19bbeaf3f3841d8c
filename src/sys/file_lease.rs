//! Whether a file is open anywhere: asked of the kernel by the offer of a lease.
//!
//! A write lease (`F_SETLEASE`) is granted only on a file of which no other open file description
//! exists, in whatever process and namespace; a mapping keeps its description open. So the answer needs
//! no `/proc`, and nobody can be hidden from it. The lease is given back at once. Who opens the file in
//! between waits for that, or with `O_NONBLOCK` gets `EWOULDBLOCK`.

use std::os::fd::{AsRawFd, BorrowedFd};

/// From asm-generic/fcntl.h; libc does not have it.
const F_SETSIG: i32 = 10;

/// What the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// No other description of this file is open.
    None,
    /// At least one is.
    Some,
    /// This file system has no leases, or this process may not have one (it needs the owner's
    /// user, or `CAP_LEASE`).
    Unknown,
}

/// Whether anybody else has this file open. `file` must be the only description that its caller has.
pub(crate) fn others(file: BorrowedFd<'_>) -> Others {
    // Who breaks the lease makes the kernel send a signal to us. SIGIO would end a process that knows
    // nothing of it; SIGURG is ignored by default.
    if fcntl(file, F_SETSIG, libc::SIGURG).is_err() {
        return Others::Unknown;
    }
    match fcntl(file, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => {
            let _ = fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
            Others::None
        }
        Err(libc::EAGAIN) => Others::Some,
        Err(_) => Others::Unknown,
    }
}

fn fcntl(file: BorrowedFd<'_>, command: i32, argument: i32) -> Result<(), i32> {
    // SAFETY: both commands take a number, and touch no memory of ours.
    #[expect(unsafe_code, reason = "rustix does not have these commands")]
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    match result {
        -1 => {
            let error = std::io::Error::last_os_error();
            Err(error.raw_os_error().unwrap_or(libc::EIO))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_other_description_of_a_file_is_seen() {
        for directory in ["/dev/shm", "/tmp"] {
            let file = tempfile::NamedTempFile::new_in(directory).unwrap();
            std::fs::write(file.path(), [1; 4096]).unwrap();
            let path = file.into_temp_path();
            let ask = || others(File::open(&path).unwrap().as_fd());
            assert_eq!(ask(), Others::None, "{directory}");
            assert_eq!(ask(), Others::None, "and again");
            let reader = File::open(&path).unwrap();
            assert_eq!(ask(), Others::Some);
            drop(reader);
            let writer = File::options().write(true).open(&path).unwrap();
            assert_eq!(ask(), Others::Some);
            drop(writer);
            // A mapping alone, its descriptor closed.
            let mapped = File::open(&path).unwrap();
            let len = 4096;
            let mapping = crate::sys::mapping::Mapping::of_file(
                mapped.as_fd(),
                len,
                crate::sys::access::Access::ReadOnly,
            )
            .unwrap();
            drop(mapped);
            assert_eq!(ask(), Others::Some, "a mapping in {directory}");
            drop(mapping);
            assert_eq!(ask(), Others::None);
        }
    }

    #[test]
    fn what_has_no_leases_is_unknown() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(others(end.as_fd()), Others::Unknown);
    }
}
