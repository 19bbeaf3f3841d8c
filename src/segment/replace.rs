//! Putting a new segment in the place of another one, under the same name.
//!
//! The new one is complete before it gets the name, by one `rename`: whoever opens the name gets
//! the old one or the new one, and who has the old one open keeps it. Of those who want to do
//! this at the same time, one does: they take a lock (`flock`) on the *old* file, which the kernel
//! drops with its holder, and then look whether the name still leads to it. Who comes second
//! finds that it does not.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::build::temporary_name;
use super::{Backend, Segment, SegmentError, SegmentId};
use crate::sys::access::Access;

/// The right to replace a segment, until dropped.
pub(crate) struct ReplacementLock<'a> {
    segment: &'a Segment,
    old: SegmentId,
    _file: OwnedFd,
}

/// A segment under a temporary name, which is removed when dropped unless it was
/// [put](ReplacementLock::put) in its place.
pub(crate) struct Successor(Segment);

impl Segment {
    /// Takes the right to replace the segment, waiting at most `timeout` for others who have it.
    /// `None` if they have replaced it meanwhile: then the name leads to another one.
    pub(crate) fn lock_to_replace(
        &self,
        timeout: Duration,
    ) -> Result<Option<ReplacementLock<'_>>, SegmentError> {
        let Backend::Place(place, _) = self.backend() else {
            return Err(SegmentError::Unsupported {
                segment: self.clone(),
                action: "replace",
                instead: "only shm: and file: have a name that can pass to another segment in one \
                          step: end all its users, remove it, and create it again",
            });
        };
        let file = place.open_file(Access::ReadWrite)?;
        let old = rustix::fs::fstat(&file)
            .map_err(|errno| SegmentError::io("look at", self, errno))
            .map(|stat| SegmentId::of(&stat))?;
        let begin = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::AGAIN | Errno::INTR) if begin.elapsed() < timeout => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(errno) => return Err(SegmentError::io("lock, to replace it,", self, errno)),
            }
        }
        match self.ensure_current(old) {
            Ok(()) => Ok(Some(ReplacementLock {
                segment: self,
                old,
                _file: file,
            })),
            Err(SegmentError::NotCurrent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl ReplacementLock<'_> {
    /// A free name in the same directory.
    pub(crate) fn successor(&self) -> Result<Successor, SegmentError> {
        let name = temporary_name()
            .map_err(|errno| SegmentError::io("find a temporary name for", self.segment, errno))?;
        let segment = match self.segment {
            Segment::File(path) => Segment::file(match path.as_path().parent() {
                Some(parent) => parent.join(name),
                None => Path::new(".").join(name),
            }),
            _ => Segment::shm(&name),
        };
        segment.map(Successor)
    }

    /// Gives the name to the successor, whole as it is. `false` if the name has gone to something
    /// else, which only somebody can do who removes or renames files by hand.
    pub(crate) fn put(&self, successor: &Successor) -> Result<bool, SegmentError> {
        match self.segment.ensure_current(self.old) {
            Ok(()) => {}
            Err(SegmentError::NotCurrent { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        let (Backend::Place(from, _), Backend::Place(to, _)) =
            (successor.0.backend(), self.segment.backend())
        else {
            return Ok(false);
        };
        rustix::fs::rename(from.path(), to.path())
            .map(|()| true)
            .map_err(|errno| SegmentError::io("replace", self.segment, errno))
    }
}

impl Successor {
    pub(crate) fn segment(&self) -> &Segment {
        &self.0
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // After `put` it is gone already: the name is random, so it is nobody else's either.
        let _ = self.0.remove_name();
    }
}
