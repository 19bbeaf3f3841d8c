//! What tells one file from another, a copy with the same bytes included.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};

/// Longest handle that a kernel gives (`MAX_HANDLE_SZ`).
const HANDLE_MAX: usize = 128;

/// A file, by what its file system says of the inode. Zero stands for what it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) inode: u64,
    pub(crate) device: u64,
    /// The handle, which has the generation of the inode.
    pub(crate) handle: Option<[u8; HANDLE_MAX]>,
    /// When the inode was made, in nanoseconds since 1970.
    pub(crate) born: u64,
}

/// The facts of an open file; `None` if the kernel refuses.
pub(crate) fn file_facts(file: impl AsFd) -> Option<FileFacts> {
    let file = file.as_fd();
    let stat = rustix::fs::fstat(file).ok()?;
    Some(FileFacts {
        inode: stat.st_ino,
        device: stat.st_dev,
        handle: handle_of(file),
        born: birth_of(file),
    })
}

/// When the inode behind a descriptor was made; 0 if not known.
pub(crate) fn birth_of(file: impl AsFd) -> u64 {
    match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
        Ok(found) => birth_in(&found),
        Err(_) => 0,
    }
}

/// The same in an answer of `statx`.
pub(crate) fn birth_in(found: &rustix::fs::Statx) -> u64 {
    if found.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return 0;
    }
    let seconds = u64::try_from(found.stx_btime.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(found.stx_btime.tv_nsec))
}

#[repr(C)]
struct Handle {
    header: libc::file_handle,
    bytes: [u8; HANDLE_MAX],
}

fn handle_of(file: BorrowedFd<'_>) -> Option<[u8; HANDLE_MAX]> {
    let mut handle = Handle {
        header: libc::file_handle {
            handle_bytes: HANDLE_MAX as libc::c_uint,
            handle_type: 0,
            f_handle: [],
        },
        bytes: [0; HANDLE_MAX],
    };
    let mut mount = 0;
    // SAFETY: the path is a string that ends in NUL; `handle` is a header that says how many bytes
    // follow it, and they do; the kernel writes no more than that. `mount` is valid for writes.
    #[expect(unsafe_code, reason = "a foreign function")]
    let result = unsafe {
        libc::name_to_handle_at(
            file.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut handle).cast(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    let len = handle.header.handle_bytes as usize;
    if result != 0 || len == 0 || len > HANDLE_MAX {
        return None;
    }
    handle.bytes[len..].fill(0);
    Some(handle.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_another_file_and_a_hard_link_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("one"), "bytes").unwrap();
        std::fs::copy(path("one"), path("copy")).unwrap();
        std::fs::hard_link(path("one"), path("link")).unwrap();
        let facts = |name: &str| file_facts(std::fs::File::open(path(name)).unwrap()).unwrap();
        assert_ne!(facts("one"), facts("copy"));
        assert_eq!(facts("one"), facts("link"));
        assert_eq!(facts("one"), facts("one"));
    }
}
