//! The system calls that rustix does not have, each behind a safe function.
//!
//! These are System V shared memory, and the duplication of a descriptor that is known
//! by its number only.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;

use crate::sys::access::Access;
use crate::sys::mapping::Mapping;

/// What the kernel knows about a System V segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShmFacts {
    pub(crate) len: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Who created it, which `IPC_SET` cannot change.
    pub(crate) cuid: u32,
    /// The process that created it; 0 if that is not visible from our pid namespace.
    pub(crate) creator: i32,
    pub(crate) attached: u64,
    /// Seconds since 1970 of the creation or of the last `IPC_SET`.
    pub(crate) changed: i64,
    /// Marked for destruction: its key is free, and it goes with the last attachment.
    pub(crate) removed: bool,
}

/// In `shm_perm.mode`; from linux/shm.h, libc does not have it.
const SHM_DEST: u32 = 0o1000;

/// The identifier of an existing segment, whatever its permissions.
pub(crate) fn shmget(key: i32) -> io::Result<i32> {
    // SAFETY: takes three numbers and touches no memory of ours.
    #[expect(unsafe_code, reason = "a foreign function")]
    let id = unsafe { libc::shmget(key, 0, 0) };
    check(id)
}

/// Makes a new segment of zeros; `AlreadyExists` if there is one.
pub(crate) fn shmget_new(key: i32, len: usize, mode: u32) -> io::Result<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as i32;
    // SAFETY: takes three numbers and touches no memory of ours.
    #[expect(unsafe_code, reason = "a foreign function")]
    let id = unsafe { libc::shmget(key, len, flags) };
    check(id)
}

/// Attaches `len` bytes, which must not be more than `stat` says: a System V segment
/// never changes its length, and its identifier is not given to another one soon.
pub(crate) fn shmat(id: i32, len: usize, access: Access) -> io::Result<Mapping> {
    let flags = match access {
        Access::ReadOnly => libc::SHM_RDONLY,
        Access::ReadWrite => 0,
    };
    // Where huge pages can be, if there is such a place and nobody else takes it meanwhile.
    let hint = crate::sys::huge::suitable_address(len);
    let attach = |address: *const libc::c_void| {
        // SAFETY: the kernel attaches to a free range of its choice, or to the given address if
        // that is free: without SHM_REMAP no memory in use is replaced.
        #[expect(unsafe_code, reason = "a foreign function")]
        let base = unsafe { libc::shmat(id, address, flags) };
        // The error is (void *) -1.
        if base.addr() == usize::MAX {
            Err(io::Error::last_os_error())
        } else {
            Ok(base)
        }
    };
    let base = match hint.map(|hint| attach(hint.as_ptr().cast_const().cast())) {
        Some(Ok(base)) => base,
        Some(Err(_)) | None => attach(std::ptr::null())?,
    };
    let Some(base) = NonNull::new(base.cast::<u8>()) else {
        return Err(io::Error::other(
            "the kernel attached the segment at address zero",
        ));
    };
    // The identifier could have been reused since the caller asked for the length (after
    // some 65536 others), so ask again now that the attachment pins the segment.
    let shorter = match stat(id) {
        Ok(facts) => facts.len < len as u64,
        Err(error) => {
            detach(base);
            return Err(error);
        }
    };
    if shorter {
        detach(base);
        return Err(io::Error::from_raw_os_error(libc::EIDRM));
    }
    // SAFETY: `shmat` has just returned `base`, for a segment of at least `len` bytes,
    // with SHM_RDONLY exactly for read-only access; nobody else knows the address.
    #[expect(unsafe_code, reason = "hands the attachment over to its owner")]
    let mapping = unsafe { Mapping::of_shmat(base, len, access) };
    Ok(mapping)
}

fn detach(base: NonNull<u8>) {
    // SAFETY: called with what `shmat` has just returned, before anybody else knows it.
    #[expect(unsafe_code, reason = "a foreign function")]
    unsafe {
        libc::shmdt(base.as_ptr().cast());
    }
}

/// Needs permission to read the segment.
pub(crate) fn stat(id: i32) -> io::Result<ShmFacts> {
    let raw = stat_raw(id)?;
    let mode = u32::from(raw.shm_perm.mode);
    // The widths of these fields differ between platforms; all fit.
    Ok(ShmFacts {
        len: raw.shm_segsz as u64,
        mode: mode & 0o777,
        uid: raw.shm_perm.uid,
        gid: raw.shm_perm.gid,
        cuid: raw.shm_perm.cuid,
        creator: raw.shm_cpid,
        attached: raw.shm_nattch as u64,
        changed: raw.shm_ctime as i64,
        removed: mode & SHM_DEST != 0,
    })
}

fn stat_raw(id: i32) -> io::Result<libc::shmid_ds> {
    let mut raw = MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: `raw` is valid for writes of the structure that IPC_STAT fills in.
    #[expect(unsafe_code, reason = "a foreign function")]
    let result = unsafe { libc::shmctl(id, libc::IPC_STAT, raw.as_mut_ptr()) };
    check(result)?;
    // SAFETY: all bytes were zero, which is a valid value of this structure of
    // integers, and the kernel has written a value over them.
    #[expect(unsafe_code, reason = "the kernel has filled it in")]
    let raw = unsafe { raw.assume_init() };
    Ok(raw)
}

/// Changes what is given. Needs to be owner, creator or privileged, and, unless all
/// three are given, permission to read the segment.
pub(crate) fn set(
    id: i32,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
) -> io::Result<()> {
    let mut raw = if let (Some(_), Some(_), Some(_)) = (mode, uid, gid) {
        // SAFETY: zero is a valid value of this structure of integers, of which IPC_SET
        // reads the three fields that are set below.
        #[expect(unsafe_code, reason = "libc has no other constructor")]
        unsafe {
            MaybeUninit::<libc::shmid_ds>::zeroed().assume_init()
        }
    } else {
        stat_raw(id)?
    };
    if let Some(mode) = mode {
        // The field has 16 or 32 bits, depending on the platform; these are nine.
        raw.shm_perm.mode = (mode & 0o777) as _;
    }
    raw.shm_perm.uid = uid.unwrap_or(raw.shm_perm.uid);
    raw.shm_perm.gid = gid.unwrap_or(raw.shm_perm.gid);
    // SAFETY: `raw` is a valid structure, which IPC_SET reads.
    #[expect(unsafe_code, reason = "a foreign function")]
    let result = unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut raw) };
    check(result).map(drop)
}

/// Marks a segment for destruction. Its key, if it has one, is free at once.
pub(crate) fn remove(id: i32) -> io::Result<()> {
    // SAFETY: IPC_RMID ignores the pointer. Attachments stay valid until they are
    // detached, so no mapping of anybody is invalidated.
    #[expect(unsafe_code, reason = "a foreign function")]
    let result = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    check(result).map(drop)
}

/// A new descriptor, closed on exec, for what an open descriptor refers to.
pub(crate) fn duplicate(raw: u32) -> io::Result<OwnedFd> {
    /// Out of the way of standard input, output and error.
    const LOWEST: libc::c_int = 3;
    let raw = libc::c_int::try_from(raw).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: takes numbers only; one that is not open is answered with EBADF.
    #[expect(unsafe_code, reason = "a foreign function")]
    let new = unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, LOWEST) };
    let new = check(new)?;
    // SAFETY: the kernel has just made `new`, so nobody else owns it.
    #[expect(unsafe_code, reason = "takes ownership of a number")]
    let new = unsafe { OwnedFd::from_raw_fd(new) };
    Ok(new)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
