//! Creating a System V segment, and filling it before anybody takes it for whole.

use std::io;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::wait::Outcome;
use super::{ATTEMPTS, BUILDING, SysV, Target, vanished};
use crate::segment::{
    Attached, Created, NewSegment, SegmentError, SegmentId, SegmentOptions, words_of_sysv,
};
use crate::sys::access::Access;
use crate::sys::shm;

impl SysV<'_> {
    pub(in crate::segment) fn create(
        &self,
        options: &SegmentOptions,
        new_segment: &NewSegment,
    ) -> Result<Attached, SegmentError> {
        let Target::Key(key) = self.target else {
            return Err(SegmentError::Unsupported {
                segment: self.segment.clone(),
                action: "create",
                instead: "the kernel chooses identifiers: create it under a key, sysv:KEY",
            });
        };
        let mode = options.checked_mode()?;
        new_segment.check_len(self.segment)?;
        let key = self.key(key)?;
        for _ in 0..ATTEMPTS {
            // The creator's own bits, so that it can attach whatever the mode.
            match shm::shmget_new(key, new_segment.len, mode | 0o600) {
                Ok(id) => match self.build(Unfinished(id), mode, new_segment)? {
                    Some(attached) => return Ok(attached),
                    // Somebody has removed it already.
                    None => continue,
                },
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.creation_error(new_segment.len, error)),
            }
            // The remains of a creator that died are no segment.
            match self.find()? {
                Some(id) if self.is_remains(id, options) => {
                    let removed = self.discard(id);
                    if !removed {
                        let segment = self.segment.clone();
                        return Err(SegmentError::Abandoned { segment, removed });
                    }
                }
                Some(_) => {
                    return Err(SegmentError::AlreadyExists {
                        segment: self.segment.clone(),
                    });
                }
                None => {}
            }
        }
        Err(self.unstable())
    }

    pub(in crate::segment) fn open_or_create(
        &self,
        options: &SegmentOptions,
        new_segment: &NewSegment,
    ) -> Result<(Attached, Created), SegmentError> {
        for _ in 0..ATTEMPTS {
            match self.wait(options, Access::ReadWrite)? {
                Outcome::Ready(attached) => return Ok((*attached, Created::No)),
                Outcome::Abandoned { removed: false } => {
                    return Err(SegmentError::Abandoned {
                        segment: self.segment.clone(),
                        removed: false,
                    });
                }
                Outcome::Missing if matches!(self.target, Target::Id(_)) => {
                    return Err(self.not_found());
                }
                Outcome::Missing | Outcome::Abandoned { removed: true } => {}
            }
            match self.create(options, new_segment) {
                Ok(attached) => return Ok((attached, Created::Yes)),
                // Lost to a concurrent creator: open what it makes.
                Err(SegmentError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.unstable())
    }

    /// Fills a new segment; `None` if somebody has removed it before it was attached.
    /// Until the last store, dropping `unfinished` removes it.
    fn build(
        &self,
        unfinished: Unfinished,
        mode: u32,
        new_segment: &NewSegment,
    ) -> Result<Option<Attached>, SegmentError> {
        let id = unfinished.0;
        let mapping = match shm::shmat(id, new_segment.len, Access::ReadWrite) {
            Ok(mapping) => mapping,
            Err(error) if vanished(&error) => return Ok(None),
            Err(error) => return Err(SegmentError::io("attach", self.segment, error)),
        };
        if let Some(first) = mapping.words().first() {
            first.store(BUILDING, Ordering::Relaxed);
        }
        new_segment.fill_all_but_magic(&mapping, Some(words_of_sysv(id)))?;
        // `shmget` ignores the umask, so this is only about the bits that we added.
        if mode != mode | 0o600 {
            let facts =
                shm::stat(id).map_err(|error| SegmentError::io("look at", self.segment, error))?;
            shm::set(id, Some(mode), Some(facts.uid), Some(facts.gid))
                .map_err(|error| SegmentError::io("set the mode of", self.segment, error))?;
        }
        new_segment.store_magic(&mapping);
        unfinished.finished();
        Ok(Some(Attached {
            mapping,
            segment: self.segment.clone(),
            identity: SegmentId::SysV { shmid: id },
            file: None,
            created: Created::Yes,
        }))
    }

    /// What the kernel's refusal to make a segment means.
    fn creation_error(&self, len: usize, error: io::Error) -> SegmentError {
        let segment = self.segment.clone();
        let needed = len as u64;
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::NOMEM) => SegmentError::NoSpace { segment, needed },
            Some(Errno::INVAL) => SegmentError::TooLarge {
                segment,
                needed,
                limit: "kernel.shmmax",
            },
            Some(Errno::ACCESS | Errno::PERM) => SegmentError::PermissionDenied {
                segment,
                action: "create",
                found: None,
                euid: rustix::process::geteuid().as_raw(),
            },
            _ => SegmentError::io("create", self.segment, error),
        }
    }
}

/// A segment that is removed when dropped, unless its creator says that it is finished.
struct Unfinished(i32);

impl Unfinished {
    fn finished(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = shm::remove(self.0);
    }
}
