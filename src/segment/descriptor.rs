//! Segments without a name: memfds, and descriptors that came by fork, exec or socket.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Gid, MemfdFlags, OFlags, SealFlags, Stat, Uid};
use rustix::io::Errno;

use super::build::{allocate, creation_error, map_new};
use super::{
    Attached, Created, FileKind, NameStatus, NewSegment, Segment, SegmentError, SegmentId,
    SegmentOptions, file,
};
use crate::sys::access::Access;
use crate::sys::shm;

/// What a memfd is sealed against: any change of its length, so that no peer can make
/// another one's access raise SIGBUS; and further seals, such as one against writing.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// Makes a memfd. Its name is a label in /proc/PID/fd and nothing else.
pub(super) fn create_memfd(
    segment: &Segment,
    label: &str,
    options: &SegmentOptions,
    new_segment: &NewSegment,
) -> Result<Attached, SegmentError> {
    let mode = options.checked_mode()?;
    new_segment.check_len(segment)?;
    let error = |errno| creation_error(segment, new_segment.len, errno);
    let file = open_memfd(label, mode).map_err(error)?;
    // A memfd begins with mode 0777, whatever the umask.
    rustix::fs::fchmod(&file, mode.into()).map_err(error)?;
    allocate(&file, new_segment.len).map_err(error)?;
    rustix::fs::fcntl_add_seals(&file, SEALS).map_err(error)?;
    let mapping = map_new(segment, &file, new_segment)?;
    new_segment.fill(&mapping, &file)?;
    let stat = rustix::fs::fstat(&file).map_err(error)?;
    Ok(Attached {
        mapping,
        segment: own_name(&file),
        identity: SegmentId::of(&stat),
        file: Some(file),
        created: Created::Yes,
    })
}

fn open_memfd(label: &str, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // A system may refuse memfds that could be executed (vm.memfd_noexec = 2). The flag
    // forbids to set those bits later, so a mode that has some cannot be had with it.
    if mode & 0o111 == 0 {
        match rustix::fs::memfd_create(label, flags | MemfdFlags::NOEXEC_SEAL) {
            // Linux before 6.3 does not know the flag.
            Err(Errno::INVAL) => {}
            result => return result,
        }
    }
    rustix::fs::memfd_create(label, flags)
}

/// Attaches the file behind a descriptor, through a descriptor of our own.
pub(super) fn open(
    segment: &Segment,
    raw: u32,
    options: &SegmentOptions,
    access: Access,
) -> Result<Attached, SegmentError> {
    let file = duplicate(segment, raw)?;
    check_access(segment, &file, access)?;
    let mut attached = file::attach(segment, options, file, access)?;
    // The caller may close the descriptor it has given: name the one that we keep.
    if let Some(file) = &attached.file {
        attached.segment = own_name(file);
    }
    Ok(attached)
}

fn own_name(file: &OwnedFd) -> Segment {
    Segment::Fd(file.as_raw_fd().unsigned_abs())
}

pub(super) fn duplicate(segment: &Segment, raw: u32) -> Result<OwnedFd, SegmentError> {
    shm::duplicate(raw).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::BADF) => SegmentError::NotFound {
            segment: segment.clone(),
        },
        _ => SegmentError::io("duplicate", segment, error),
    })
}

fn check_access(segment: &Segment, file: &OwnedFd, access: Access) -> Result<(), SegmentError> {
    let flags = rustix::fs::fcntl_getfl(file)
        .map_err(|errno| SegmentError::io("look at", segment, errno))?;
    let found = if flags.contains(OFlags::PATH) {
        "with O_PATH"
    } else {
        match (flags & OFlags::RWMODE, access) {
            (OFlags::RDWR, _) | (OFlags::RDONLY, Access::ReadOnly) => return Ok(()),
            (OFlags::RDONLY, Access::ReadWrite) => "for reading",
            _ => "for writing",
        }
    };
    Err(SegmentError::DescriptorAccess {
        segment: segment.clone(),
        found,
        needed: match access {
            Access::ReadOnly => "reading",
            Access::ReadWrite => "reading and writing",
        },
    })
}

/// The file behind a descriptor, if it is a regular one, and whether its length is fixed.
pub(super) fn stat(segment: &Segment, raw: u32) -> Result<(Stat, bool), SegmentError> {
    let file = duplicate(segment, raw)?;
    let stat =
        rustix::fs::fstat(&file).map_err(|errno| SegmentError::io("look at", segment, errno))?;
    if let Some(found) = file::kind(&stat) {
        return Err(not_regular(segment, found));
    }
    let fixed = SealFlags::SHRINK | SealFlags::GROW;
    let sealed = rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(fixed));
    Ok((stat, sealed))
}

pub(super) fn ensure_current(
    segment: &Segment,
    raw: u32,
    opened: SegmentId,
) -> Result<(), SegmentError> {
    let now = match stat(segment, raw) {
        Ok((stat, _)) if SegmentId::of(&stat) == opened => return Ok(()),
        Ok(_) | Err(SegmentError::NotRegular { .. }) => NameStatus::Replaced,
        Err(SegmentError::NotFound { .. }) => NameStatus::Removed,
        Err(error) => return Err(error),
    };
    Err(SegmentError::NotCurrent {
        segment: segment.clone(),
        now,
    })
}

pub(super) fn set_permissions(
    segment: &Segment,
    raw: u32,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), SegmentError> {
    let file = duplicate(segment, raw)?;
    let error = |errno| SegmentError::io("change the permissions of", segment, errno);
    if let Some(mode) = mode {
        rustix::fs::fchmod(&file, mode.into()).map_err(error)?;
    }
    if uid.is_some() || gid.is_some() {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        rustix::fs::fchown(&file, uid, gid).map_err(error)?;
    }
    Ok(())
}

fn not_regular(segment: &Segment, found: FileKind) -> SegmentError {
    SegmentError::NotRegular {
        segment: segment.clone(),
        found,
    }
}
