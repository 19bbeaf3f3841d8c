//! Which of the segments of this machine are ours: those that begin with our magic.
//!
//! The list is a snapshot of a moving target. What vanishes while it is being made, or
//! may not be read, is left out; files in other directories, memfds and segments of other IPC
//! namespaces cannot be found.

use std::io;
use std::num::NonZeroI32;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::build::TEMPORARY;
use super::file::{SHM_DIRECTORY, kind};
use super::sysv::table::{self, Row};
use super::{Name, SEGMENT_BYTES_MIN, Segment, SegmentError, SysVKey};
use crate::sys::access::Access;
use crate::sys::shm;

/// The segments in /dev/shm and of System V whose word 0 is `magic`, and which this
/// process may read; in the order of their names and identifiers.
pub(super) fn list(magic: u64) -> Result<Vec<Segment>, SegmentError> {
    let mut names = posix(magic).map_err(|errno| SegmentError::Io {
        context: format!("cannot list {SHM_DIRECTORY}"),
        source: errno.into(),
    })?;
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    let mut segments: Vec<_> = names.into_iter().map(Segment::Shm).collect();
    segments.extend(sysv(magic));
    Ok(segments)
}

/// The segments among the files of a directory, as `file:` segments in the order of their names.
/// Its subdirectories are not searched.
pub(super) fn list_directory(directory: &Path, magic: u64) -> Result<Vec<Segment>, SegmentError> {
    let mut names = marked(directory, magic).map_err(|errno| SegmentError::Io {
        context: format!("cannot list {}", directory.display()),
        source: errno.into(),
    })?;
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names
        .into_iter()
        .map(|name| Segment::file(directory.join(name.as_str())))
        .collect()
}

fn posix(magic: u64) -> Result<Vec<Name>, Errno> {
    match marked(Path::new(SHM_DIRECTORY), magic) {
        // A system without POSIX shared memory has no segments there.
        Err(Errno::NOENT) => Ok(Vec::new()),
        result => result,
    }
}

/// The names of the files of a directory that begin with `magic`.
fn marked(directory: &Path, magic: u64) -> Result<Vec<Name>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
            continue;
        }
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        // Somebody is creating it at this moment, or has died doing so.
        if name.starts_with(TEMPORARY) {
            continue;
        }
        if let Ok(name) = Name::of_shm(name)
            && first_word(&dir, name.as_str()) == Some(magic)
        {
            found.push(name);
        }
    }
    Ok(found)
}

fn first_word(dir: impl std::os::fd::AsFd, name: &str) -> Option<u64> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let len = u64::try_from(stat.st_size).ok()?;
    if kind(&stat).is_some() || len < SEGMENT_BYTES_MIN {
        return None;
    }
    let mut word = [0_u8; 8];
    let read = rustix::io::pread(&file, &mut word[..], 0).ok()?;
    (read == word.len()).then(|| u64::from_ne_bytes(word))
}

/// The System V segments that begin with the mark of a creation that is not complete.
pub(super) fn unfinished() -> io::Result<Vec<Segment>> {
    Ok(sysv_of(table::rows()?, super::sysv::BUILDING))
}

fn sysv(magic: u64) -> Vec<Segment> {
    // Without /proc they cannot be found; that is no reason to hide the others.
    sysv_of(table::rows().unwrap_or_default(), magic)
}

fn sysv_of(mut rows: Vec<Row>, magic: u64) -> Vec<Segment> {
    rows.sort_unstable_by_key(|row| row.id);
    rows.into_iter()
        .filter(|row| row.len >= SEGMENT_BYTES_MIN && word_0(row) == Some(magic))
        .filter_map(|row| match NonZeroI32::new(row.key) {
            Some(key) => Some(Segment::SysV(SysVKey::Number(key))),
            // Removed, but still attached by somebody; or private.
            None => u32::try_from(row.id).ok().map(Segment::SysVId),
        })
        .collect()
}

fn word_0(row: &Row) -> Option<u64> {
    // One word is enough, the rest is not touched.
    let mapping = shm::shmat(row.id, size_of::<u64>(), Access::ReadOnly).ok()?;
    let word = mapping.words().first()?;
    Some(word.load(std::sync::atomic::Ordering::Relaxed))
}
