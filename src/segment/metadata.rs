//! What can be known about a segment without opening it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Stat, StatxFlags};

use super::file::Place;
use super::{Segment, SegmentError, SegmentId, descriptor, sysv::SysV};
use crate::sys::shm::ShmFacts;

/// Size, permissions and use of a segment, as the kernel knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentMetadata {
    /// What kind of segment it is.
    pub kind: SegmentKind,
    /// Length in bytes.
    pub len: u64,
    /// The nine permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// How many attachments there are, in all processes. Only System V counts them.
    pub attached: Option<u64>,
    /// Whether its length is fixed for ever. Only a memfd can be sealed like that; a
    /// System V segment, whose length nobody can change either, counts as well.
    pub sealed: bool,
    /// When it was created, if the file system keeps that.
    pub created: Option<SystemTime>,
    /// When the contents were last written, as far as the file system notices: stores to
    /// a mapping come late or, on tmpfs, never.
    pub modified: Option<SystemTime>,
    /// When owner, permissions or size were last changed. On System V, where there is
    /// no time of creation, that is the creation unless permissions were changed.
    pub changed: Option<SystemTime>,
    /// Which segment it is, whatever it is called.
    pub identity: SegmentId,
}

/// The kinds of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentKind {
    /// POSIX shared memory.
    Shm,
    /// A file.
    File,
    /// System V shared memory.
    SysV,
    /// An open descriptor, of a memfd as a rule.
    Descriptor,
}

pub(super) fn of_place(place: &Place, kind: SegmentKind) -> Result<SegmentMetadata, SegmentError> {
    let mut metadata = of_stat(&place.stat()?, kind, false);
    let extended = rustix::fs::statx(
        CWD,
        place.path(),
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::BTIME,
    );
    // Not if somebody has put another file there since: better no answer than a mixture.
    if let Ok(extended) = extended
        && extended.stx_mask & StatxFlags::BTIME.bits() != 0
        && (SegmentId::File {
            dev: rustix::fs::makedev(extended.stx_dev_major, extended.stx_dev_minor),
            ino: extended.stx_ino,
        }) == metadata.identity
    {
        let nanoseconds = extended.stx_btime.tv_nsec;
        metadata.created = time(extended.stx_btime.tv_sec, nanoseconds);
    }
    Ok(metadata)
}

pub(super) fn of_descriptor(segment: &Segment, raw: u32) -> Result<SegmentMetadata, SegmentError> {
    let (stat, sealed) = descriptor::stat(segment, raw)?;
    Ok(of_stat(&stat, SegmentKind::Descriptor, sealed))
}

fn of_stat(stat: &Stat, kind: SegmentKind, sealed: bool) -> SegmentMetadata {
    let time = |seconds, nanoseconds| time(seconds, u32::try_from(nanoseconds).unwrap_or(0));
    SegmentMetadata {
        kind,
        len: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        attached: None,
        sealed,
        created: None,
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
        identity: SegmentId::of(stat),
    }
}

pub(super) fn of_sysv(sysv: &SysV) -> Result<SegmentMetadata, SegmentError> {
    let (shmid, facts) = sysv.facts()?;
    let ShmFacts {
        len,
        mode,
        uid,
        gid,
        attached,
        changed,
        ..
    } = facts;
    Ok(SegmentMetadata {
        kind: SegmentKind::SysV,
        len,
        mode,
        uid,
        gid,
        attached: Some(attached),
        sealed: true,
        created: None,
        modified: None,
        changed: time(changed, 0),
        identity: SegmentId::SysV { shmid },
    })
}

fn time(seconds: i64, nanoseconds: u32) -> Option<SystemTime> {
    // Times before 1970 are not worth the trouble.
    let seconds = u64::try_from(seconds).ok()?;
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))?
        .checked_add(Duration::from_nanos(nanoseconds.into()))
}
