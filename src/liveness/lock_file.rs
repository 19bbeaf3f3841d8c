//! The lock file of a System V segment, which has no descriptor of its own.
//!
//! It is `/dev/shm/.shmkv-<id>.lock`, where `<id>` is the segment's random id in 32
//! hexadecimal digits. Its contents are a magic word and the id; its only purpose is
//! that participants lock bytes in it. It is made by whoever needs it first, complete
//! and in one step, with owner and mode of the segment.
//!
//! Anybody who may write to `/dev/shm` can make a file of that name, and an administrator can
//! remove ours. Neither may cost a live participant its locks: the file must belong to the
//! segment's owner (or root), and each participant notes device and inode of the
//! file that it has locked. Who has another one in hand cannot judge by bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::byte_lock;

const DIRECTORY: &str = "/dev/shm";
const PREFIX: &str = ".shmkv-";
const SUFFIX: &str = ".lock";
const MAGIC: [u8; 8] = *b"shmkvlck";
const LEN: usize = 24;

/// A lock file that was found in `/dev/shm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The random id of the segment to which it belongs.
    pub(crate) segment_id: [u64; 2],
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether somebody holds a lock in it. If not, and there is no such segment any
    /// more, it is left over and may be removed.
    pub(crate) in_use: bool,
}

/// Where the lock file of a segment is.
pub(crate) fn path(segment_id: [u64; 2]) -> PathBuf {
    let [high, low] = segment_id;
    PathBuf::from(format!("{DIRECTORY}/{PREFIX}{high:016x}{low:016x}{SUFFIX}"))
}

/// Removes the lock file, together with its segment. No file is no error.
pub(crate) fn remove(segment_id: [u64; 2]) -> io::Result<()> {
    match rustix::fs::unlink(path(segment_id)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All lock files that this user may open, for whoever looks for left-overs.
pub(crate) fn find_all() -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(DIRECTORY)? {
        let name = entry?.file_name();
        let Some(segment_id) = name.to_str().and_then(parse_name) else {
            continue;
        };
        let Ok(file) = open_unchecked(segment_id) else {
            continue;
        };
        if check_contents(&file, segment_id).is_ok() {
            found.push(Found {
                segment_id,
                path: path(segment_id),
                // When nobody can tell, it had better stay.
                in_use: byte_lock::any_is_locked(file.as_fd()).unwrap_or(true),
            });
        }
    }
    Ok(found)
}

/// Opens the lock file of a segment that belongs to `owner`, or makes it if it is not there.
pub(super) fn open_or_create(segment_id: [u64; 2], owner: u32, mode: u32) -> io::Result<OwnedFd> {
    // Twice: somebody may make it, or remove it, between our two steps.
    for _ in 0..2 {
        match open_unchecked(segment_id) {
            Ok(file) => {
                check_owner(&file, owner)?;
                check_contents(&file, segment_id)?;
                return Ok(file);
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match create(segment_id, owner, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Opens the lock file of a segment that belongs to `owner`, if there is one, to ask about locks.
pub(super) fn open_to_look(segment_id: [u64; 2], owner: u32) -> io::Result<OwnedFd> {
    let file = open_as(segment_id, OFlags::RDONLY)?;
    check_owner(&file, owner)?;
    check_contents(&file, segment_id)?;
    Ok(file)
}

fn open_unchecked(segment_id: [u64; 2]) -> Result<OwnedFd, Errno> {
    open_as(segment_id, OFlags::RDWR)
}

fn open_as(segment_id: [u64; 2], access: OFlags) -> Result<OwnedFd, Errno> {
    // NONBLOCK: a planted FIFO must not make us wait.
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(path(segment_id), flags, Mode::empty())
}

/// Built without a name, then linked: nobody sees half a file, and who dies leaves nothing.
fn create(segment_id: [u64; 2], owner: u32, mode: u32) -> io::Result<OwnedFd> {
    let me = rustix::process::geteuid();
    if !(me.is_root() || me.as_raw() == owner) {
        // The others would not trust it.
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(DIRECTORY, flags, Mode::RUSR | Mode::WUSR)?;
    if me.as_raw() != owner {
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner)), None::<Gid>)?;
    }
    // Who may write to the segment must be able to lock; `open` has applied the umask.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o666))?;
    if rustix::io::pwrite(&file, &contents(segment_id), 0)? != LEN {
        return Err(io::ErrorKind::StorageFull.into());
    }
    rustix::fs::linkat(
        CWD,
        format!("/proc/thread-self/fd/{}", file.as_raw_fd()),
        CWD,
        path(segment_id),
        AtFlags::SYMLINK_FOLLOW,
    )?;
    Ok(file)
}

fn check_owner(file: &OwnedFd, owner: u32) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    let is_trusted = stat.st_uid == owner || stat.st_uid == 0;
    if is_trusted && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        return Ok(());
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

fn check_contents(file: &OwnedFd, segment_id: [u64; 2]) -> io::Result<()> {
    let mut bytes = [0; LEN];
    let len = rustix::io::pread(file, &mut bytes, 0)?;
    if len == LEN && bytes == contents(segment_id) {
        return Ok(());
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn contents(segment_id: [u64; 2]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&segment_id[0].to_ne_bytes());
    bytes[16..].copy_from_slice(&segment_id[1].to_ne_bytes());
    bytes
}

fn parse_name(name: &str) -> Option<[u64; 2]> {
    let id = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    if id.len() != 32 || !id.is_ascii() {
        return None;
    }
    let half = |digits| u64::from_str_radix(digits, 16).ok();
    Some([half(&id[..16])?, half(&id[16..])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u64; 2] = [0x7E57, 0xC0_47A1];

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn lock_file_is_made_once_found_and_removed() {
        let _ = remove(ID);
        let first = open_or_create(ID, me(), 0o600).unwrap();
        let second = open_or_create(ID, me(), 0o600).unwrap();
        assert_eq!(
            rustix::fs::fstat(&first).unwrap().st_ino,
            rustix::fs::fstat(&second).unwrap().st_ino
        );
        let ours = || find_all().unwrap().into_iter().find(|f| f.segment_id == ID);
        assert_eq!(ours().map(|found| found.in_use), Some(false));
        assert_eq!(
            byte_lock::lock(first.as_fd(), 3),
            byte_lock::Locking::Locked
        );
        assert_eq!(ours().map(|found| found.in_use), Some(true));
        assert_eq!(byte_lock::is_locked(second.as_fd(), 3), Some(true));
        assert_eq!(byte_lock::is_locked(second.as_fd(), 4), Some(false));
        remove(ID).unwrap();
        remove(ID).unwrap();
        assert_eq!(ours(), None);
    }

    #[test]
    fn names_that_are_not_ours_are_passed_over() {
        let name = path(ID);
        let name = name.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse_name(name), Some(ID));
        for other in [
            "",
            ".shmkv-.lock",
            ".shmkv-zz.lock",
            &name[1..],
            &format!("{name}x"),
        ] {
            assert_eq!(parse_name(other), None, "{other:?}");
        }
    }
}
