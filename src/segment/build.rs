//! How a segment gets its name: built where nobody sees it, then linked in one step.
//!
//! 1. `O_TMPFILE` makes a file without a name in the target directory.
//! 2. Mode, space (`fallocate`), contents, what is wanted of the memory (huge pages, locking),
//!    and the magic word last. Whatever can fail is done here.
//! 3. `linkat` gives it the name, and fails if somebody else was faster.
//!
//! Nobody ever sees half a segment. A creator that dies leaves nothing, because a file
//! without a name goes with its last descriptor. A full file system is an error here,
//! where it can be reported, and not a SIGBUS at some later store.
//!
//! Where the file system has no `O_TMPFILE`, or the file cannot be linked because /proc
//! is not mounted, the file is built under a temporary name in the same directory,
//! `.shmkv-tmp-` and 16 random digits, and then linked (or, where there are no hard
//! links, renamed without replacing) to its own. Still nobody sees half a segment under
//! its name; but a creator that is killed leaves the temporary file, which may be deleted
//! by hand once no creation is under way.
//!
//! Nothing is synced to disk here: a segment is shared memory first. Call `sync` where a
//! file must survive a crash of the machine.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::filesystem::check_coherent;
use super::{NewSegment, Segment, SegmentError, SegmentId, SegmentOptions};
use crate::sys::access::Access;
use crate::sys::mapping::Mapping;
use crate::sys::retry::INTERRUPTED_MAX;

/// What temporary names begin with.
pub(super) const TEMPORARY: &str = ".shmkv-tmp-";

/// Whether a creation may have given this name to its file.
pub(super) fn is_temporary(name: &str) -> bool {
    let digits = name.strip_prefix(TEMPORARY).unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// How a file is kept private while it is being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Without a name, if the file system can; else as `Named`.
    Unnamed,
    /// Under a temporary name. Asked for by tests, which cannot make `O_TMPFILE` fail.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests skip the first try"))]
    Named,
}

/// Where a segment is to appear.
pub(super) struct Site<'a> {
    pub(super) segment: &'a Segment,
    pub(super) directory: &'a Path,
    pub(super) name: &'a str,
}

/// Builds the segment and gives it its name. Fails if the name is taken.
pub(super) fn build(
    site: &Site,
    options: &SegmentOptions,
    new_segment: &NewSegment,
    strategy: Strategy,
) -> Result<(OwnedFd, Mapping, SegmentId), SegmentError> {
    let Site {
        segment,
        directory,
        name,
    } = *site;
    let mode = options.checked_mode()?;
    new_segment.check_len(segment)?;
    let dir = rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| SegmentError::Io {
        context: format!(
            "cannot open {}, the directory of {segment}",
            directory.display()
        ),
        source: errno.into(),
    })?;
    // Only to spare the work: the answer that counts is that of `linkat`.
    if rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(taken(segment));
    }

    if strategy == Strategy::Unnamed
        && let Some(file) = open_unnamed(segment, &dir, new_segment.len)?
    {
        let mapping = fill(segment, &file, mode, new_segment)?;
        let identity = identity_of(segment, &file)?;
        if link_unnamed(segment, &file, &dir, name)? {
            return Ok((file, mapping, identity));
        }
    }
    let (file, temporary) = open_named(segment, &dir, new_segment.len)?;
    let mapping = fill(segment, &file, mode, new_segment)?;
    let identity = identity_of(segment, &file)?;
    temporary.rename_to(segment, name)?;
    Ok((file, mapping, identity))
}

fn identity_of(segment: &Segment, file: &OwnedFd) -> Result<SegmentId, SegmentError> {
    let stat =
        rustix::fs::fstat(file).map_err(|errno| SegmentError::io("look at", segment, errno))?;
    Ok(SegmentId::of(&stat))
}

/// Gives an empty file its mode, space and contents; the magic word comes last.
pub(super) fn fill(
    segment: &Segment,
    file: &OwnedFd,
    mode: u32,
    new_segment: &NewSegment,
) -> Result<Mapping, SegmentError> {
    check_coherent(segment, file)?;
    let error = |errno| creation_error(segment, new_segment.len, errno);
    // Not at `open`, which would apply the umask.
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(error)?;
    allocate(file, new_segment.len).map_err(error)?;
    let mapping = map_new(segment, file, new_segment)?;
    new_segment.fill(&mapping, file)?;
    Ok(mapping)
}

/// Maps a file that has its full length, for its creator.
pub(super) fn map_new(
    segment: &Segment,
    file: &OwnedFd,
    new_segment: &NewSegment,
) -> Result<Mapping, SegmentError> {
    Mapping::of_file(file, new_segment.len, Access::ReadWrite)
        .map_err(|error| SegmentError::io("map", segment, error))
}

/// Reserves the space of a file, so that no later store can fail for want of it.
pub(super) fn allocate(file: impl AsFd, len: usize) -> Result<(), Errno> {
    let file = file.as_fd();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    // Beyond this limit the kernel would kill us with SIGXFSZ before it says EFBIG.
    if limit.is_some_and(|limit| limit < len as u64) {
        return Err(Errno::FBIG);
    }
    check_room(file, len as u64)?;
    match reserve(file, len as u64, fallocate) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, len),
        result => result,
    }
}

/// Fails if the file system says that it has no room for so much. It is asked before the first step,
/// which would take memory from everybody until the last one fails. What it does not tell (a tmpfs
/// without a limit) the steps find out.
fn check_room(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    let (Ok(stat), Ok(room)) = (rustix::fs::fstat(file), rustix::fs::fstatvfs(file)) else {
        return Ok(());
    };
    // Units of 512 bytes.
    let has = stat.st_blocks.max(0).unsigned_abs().saturating_mul(512);
    let free = room.f_bfree.saturating_mul(room.f_frsize);
    match room.f_blocks != 0 && len.saturating_sub(has) > free {
        true => Err(Errno::NOSPC),
        false => Ok(()),
    }
}

fn fallocate(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<(), Errno> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)
}

/// `fallocate` from the start of the file, in steps that become shorter when signals interrupt
/// them: on tmpfs an interrupted call gives back all that it had reserved, so a long one that is
/// repeated would never end under a profiling timer.
fn reserve(
    file: BorrowedFd<'_>,
    len: u64,
    mut fallocate: impl FnMut(BorrowedFd<'_>, u64, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    const STEP_MAX: u64 = 64 << 20;
    const STEP_MIN: u64 = 64 << 10;
    let (mut done, mut step, mut interrupted) = (0, STEP_MAX, 0);
    while done < len {
        let part = step.min(len - done);
        match fallocate(file, done, part) {
            Ok(()) => {
                done += part;
                interrupted = 0;
            }
            Err(Errno::INTR) if interrupted < INTERRUPTED_MAX => {
                interrupted += 1;
                step = (step / 2).max(STEP_MIN);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reserves what a file of ours has lost of its space: it was copied sparsely, or somebody
/// punched holes into it. What is there stays as it is.
///
/// Without this, a store into a hole would end in a SIGBUS when the file system is full.
pub(super) fn fill_holes(segment: &Segment, file: &OwnedFd) -> Result<(), SegmentError> {
    let error = |errno| SegmentError::io("reserve the space of", segment, errno);
    let stat = rustix::fs::fstat(file).map_err(error)?;
    let (len, blocks) = (stat.st_size.max(0), stat.st_blocks.max(0));
    // File systems count in units of 512 bytes, whatever their blocks are.
    if blocks.saturating_mul(512) >= len {
        return Ok(());
    }
    let len = len.unsigned_abs();
    let reserved =
        check_room(file.as_fd(), len).and_then(|()| reserve(file.as_fd(), len, fallocate));
    match reserved {
        // A file system that compresses: space that is reserved means nothing to it.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::NOMEM) => Err(SegmentError::Holes {
            segment: segment.clone(),
            needed: len,
        }),
        Err(errno) => Err(error(errno)),
    }
}

/// What `fallocate` does, for file systems without it.
fn write_zeros(file: impl AsFd, len: usize) -> Result<(), Errno> {
    const ZEROS: &[u8] = &[0; 1 << 16];
    let (mut done, mut interrupted) = (0, 0);
    while done < len {
        let part = &ZEROS[..ZEROS.len().min(len - done)];
        match rustix::io::pwrite(&file, part, done as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => (done, interrupted) = (done + written, 0),
            Err(Errno::INTR) if interrupted < INTERRUPTED_MAX => interrupted += 1,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// What the kernel's refusal to make a file means.
pub(super) fn creation_error(segment: &Segment, len: usize, errno: Errno) -> SegmentError {
    let segment = segment.clone();
    let needed = len as u64;
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::NOMEM => SegmentError::NoSpace { segment, needed },
        Errno::FBIG | Errno::OVERFLOW => SegmentError::TooLarge {
            segment,
            needed,
            limit: "the largest file of this file system, or ulimit -f",
        },
        Errno::ACCESS | Errno::PERM => SegmentError::PermissionDenied {
            segment,
            action: "create",
            found: None,
            euid: rustix::process::geteuid().as_raw(),
        },
        Errno::EXIST => SegmentError::AlreadyExists { segment },
        errno => SegmentError::io("create", &segment, errno),
    }
}

fn taken(segment: &Segment) -> SegmentError {
    SegmentError::AlreadyExists {
        segment: segment.clone(),
    }
}

/// A file without a name; `None` where the file system cannot do that.
fn open_unnamed(
    segment: &Segment,
    dir: &OwnedFd,
    len: usize,
) -> Result<Option<OwnedFd>, SegmentError> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Some(file)),
        // The second and third are what kernels and file systems say that ignore the flag.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(creation_error(segment, len, errno)),
    }
}

/// Gives a file its first name. `false` if this cannot be done here at all.
fn link_unnamed(
    segment: &Segment,
    file: &OwnedFd,
    dir: &OwnedFd,
    name: &str,
) -> Result<bool, SegmentError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // The first way needs /proc. The second needs CAP_DAC_READ_SEARCH or Linux 6.10.
    let first = rustix::fs::linkat(CWD, path, dir, name, AtFlags::SYMLINK_FOLLOW);
    let result = match first {
        Ok(()) | Err(Errno::EXIST) => first,
        Err(_) => rustix::fs::linkat(file, "", dir, name, AtFlags::EMPTY_PATH),
    };
    match result {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Err(taken(segment)),
        Err(_) => Ok(false),
    }
}

/// A file under a temporary name, which is removed when dropped.
struct Temporary<'a> {
    dir: &'a OwnedFd,
    name: String,
}

fn open_named<'a>(
    segment: &Segment,
    dir: &'a OwnedFd,
    len: usize,
) -> Result<(OwnedFd, Temporary<'a>), SegmentError> {
    const ATTEMPTS: u32 = 8;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        let name = temporary_name().map_err(|errno| creation_error(segment, len, errno))?;
        match rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((file, Temporary { dir, name })),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(creation_error(segment, len, errno)),
        }
    }
    Err(SegmentError::io(
        "find a temporary name for",
        segment,
        Errno::EXIST,
    ))
}

pub(super) fn temporary_name() -> Result<String, Errno> {
    let mut random = [0_u8; 8];
    crate::sys::random::fill(&mut random)?;
    Ok(format!("{TEMPORARY}{:016x}", u64::from_ne_bytes(random)))
}

impl Temporary<'_> {
    /// Gives the file its own name, if that is free.
    fn rename_to(self, segment: &Segment, name: &str) -> Result<(), SegmentError> {
        let result =
            match rustix::fs::linkat(self.dir, &self.name, self.dir, name, AtFlags::empty()) {
                // No hard links here (FAT and the like).
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                    rustix::fs::renameat_with(
                        self.dir,
                        &self.name,
                        self.dir,
                        name,
                        RenameFlags::NOREPLACE,
                    )
                }
                result => result,
            };
        result.map_err(|errno| match errno {
            Errno::EXIST => taken(segment),
            errno => SegmentError::io("name", segment, errno),
        })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename it is gone already.
        let _ = rustix::fs::unlinkat(self.dir, &self.name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::{INTERRUPTED_MAX, reserve, write_zeros};

    /// Reserves `len` bytes while each call that is longer than `longest` is interrupted.
    fn reserve_under_a_timer(len: u64, longest: u64) -> (Result<(), Errno>, u64, u32) {
        let file = tempfile::tempfile().unwrap();
        let (mut reserved, mut calls) = (0, 0);
        let result = reserve(file.as_fd(), len, |_, offset, part| {
            calls += 1;
            if part > longest {
                return Err(Errno::INTR);
            }
            assert_eq!(offset, reserved, "in order, without gaps");
            reserved += part;
            Ok(())
        });
        (result, reserved, calls)
    }

    #[test]
    fn a_timer_that_interrupts_long_allocations_does_not_prevent_them() {
        let len = (100 << 20) + 4096;
        let (result, reserved, calls) = reserve_under_a_timer(len, u64::MAX);
        assert_eq!((result, reserved, calls), (Ok(()), len, 2));
        let (result, reserved, calls) = reserve_under_a_timer(len, 1 << 20);
        assert_eq!((result, reserved), (Ok(()), len));
        assert!(calls < 120, "{calls}");
    }

    #[test]
    fn an_allocation_that_is_always_interrupted_ends_with_an_error() {
        let (result, reserved, calls) = reserve_under_a_timer(4096, 0);
        assert_eq!((result, reserved), (Err(Errno::INTR), 0));
        assert_eq!(calls, INTERRUPTED_MAX + 1);
    }

    #[test]
    fn space_is_reserved_without_fallocate_as_well() {
        use std::os::unix::fs::MetadataExt;
        for len in [4096, (1 << 16) + 8, 300_000] {
            let file = tempfile::tempfile().unwrap();
            write_zeros(&file, len).unwrap();
            file.sync_all().unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!(metadata.len(), len as u64);
            assert!(metadata.blocks() * 512 >= len as u64, "no holes");
        }
    }
}
