//! Segments as wholes: finding them, and removing them with all that belongs to them.

use std::path::{Path, PathBuf};

use crate::format::read_layout;
use crate::format::{Header, MAGIC};
use crate::liveness::lock_file;
use crate::segment::sysv::table;
use crate::segment::{OpenState, Segment, SegmentError, SegmentOptions, list};
use crate::sys::access::Access;

impl Segment {
    /// The segments of shmkv in `/dev/shm` and of System V that this process may read, by their
    /// names. Files in other directories are not searched for.
    ///
    /// ```
    /// for segment in shmkv::Segment::list()? {
    ///     println!("{segment}: {} bytes", segment.metadata()?.len);
    /// }
    /// # Ok::<(), shmkv::segment::SegmentError>(())
    /// ```
    ///
    /// # Errors
    /// If `/dev/shm` cannot be read. A segment that vanishes meanwhile is no error.
    pub fn list() -> Result<Vec<Self>, SegmentError> {
        Self::list_marked(MAGIC)
    }

    /// The segments of shmkv among the files of a directory that this process may read, as `file:`
    /// segments. Subdirectories are not searched.
    ///
    /// # Errors
    /// If the directory cannot be read, or has a path that is not UTF-8.
    pub fn list_directory(directory: impl AsRef<Path>) -> Result<Vec<Self>, SegmentError> {
        Self::list_marked_in(directory.as_ref(), MAGIC)
    }

    /// Removes the name; the segment itself goes when its last user does. Whether it is
    /// one of ours is not checked, so that the remains of a failure can be removed.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NotRegular`; `Unsupported` for descriptors, which
    /// have no name.
    ///
    /// A System V segment's lock file goes with it.
    pub fn remove(&self) -> Result<(), SegmentError> {
        // Found out before the name is gone; a segment that cannot be read has no lock file that
        // anybody could find.
        let lock_file = match self {
            Self::SysV(_) | Self::SysVId(_) => self.peek().map(|layout| layout.segment_id),
            _ => None,
        };
        self.remove_name()?;
        if let Some(id) = lock_file {
            // A lock file that cannot be removed is left over, and harms nobody.
            let _ = lock_file::remove(id);
        }
        Ok(())
    }

    /// Removes the lock files of System V segments that no longer exist and that nobody uses
    /// (`ipcrm` removes a segment without them). Returns where they were.
    ///
    /// # Errors
    /// If `/dev/shm` cannot be read. What this process may not open or remove is left alone.
    pub fn remove_orphaned_lock_files() -> Result<Vec<PathBuf>, SegmentError> {
        let mut removed = left_over()?;
        removed.retain(|file| lock_file::remove(file.segment_id).is_ok());
        Ok(removed.into_iter().map(|file| file.path).collect())
    }

    /// The lock files that [`remove_orphaned_lock_files`](Self::remove_orphaned_lock_files)
    /// would remove.
    ///
    /// # Errors
    /// If `/dev/shm` cannot be read.
    pub fn orphaned_lock_files() -> Result<Vec<PathBuf>, SegmentError> {
        Ok(left_over()?.into_iter().map(|file| file.path).collect())
    }

    /// System V segments whose creation has begun and not ended. Opening one of them says whether its
    /// creator lives ([`SegmentError::Abandoned`] if it does not).
    ///
    /// # Errors
    /// If `/proc/sysvipc/shm` cannot be read.
    pub fn list_unfinished() -> Result<Vec<Self>, SegmentError> {
        list::unfinished().map_err(|source| SegmentError::Io {
            context: "cannot list System V segments".to_owned(),
            source,
        })
    }

    /// What the segment says about itself, if it is one of ours.
    fn peek(&self) -> Option<Header> {
        let options = SegmentOptions::new()
            .any_owner()
            .creation_timeout(std::time::Duration::ZERO);
        let attached = self.open(&options, Access::ReadOnly, MAGIC).ok()?;
        read_layout(&attached.mapping).ok()
    }
}

/// Lock files without a segment and without a user. What cannot be told is an error: a lock file
/// that is missing makes the owners of locks in its segment impossible to judge.
fn left_over() -> Result<Vec<lock_file::Found>, SegmentError> {
    let unreadable = |source| SegmentError::Io {
        context: "cannot look for lock files".to_owned(),
        source,
    };
    // Lock files first: one that belongs to a segment that is created meanwhile is not seen.
    let mut lock_files = lock_file::find_all().map_err(unreadable)?;
    if lock_files.is_empty() {
        return Ok(lock_files);
    }
    // `Segment::list` leaves System V segments out if it cannot find them.
    table::rows().map_err(|source| SegmentError::Io {
        context: "cannot tell which System V segments the lock files belong to".to_owned(),
        source,
    })?;
    let mut in_use: Vec<[u64; 2]> = Vec::new();
    for segment in Segment::list()? {
        if !matches!(segment, Segment::SysV(_) | Segment::SysVId(_)) {
            continue;
        }
        match segment.peek() {
            Some(layout) => in_use.push(layout.segment_id),
            // It may have vanished; else any of the lock files may be its own.
            None if segment.exists()? => {
                return Err(SegmentError::Io {
                    context: format!("cannot tell which lock file belongs to {segment}"),
                    source: std::io::Error::other("its header cannot be read"),
                });
            }
            None => {}
        }
    }
    lock_files.retain(|file| {
        // Who has a segment open has its lock file open, whether or not a byte is locked.
        let is_open = match Segment::file(&file.path) {
            Ok(segment) => matches!(segment.open_state(), Ok(OpenState::Open)),
            Err(_) => true,
        };
        !file.in_use && !is_open && !in_use.contains(&file.segment_id)
    });
    Ok(lock_files)
}
