//! Whether a segment is open anywhere, for whoever wants to remove it.

use super::{Backend, Place, Segment, SegmentError};
use crate::sys::file_lease::{self, Others};
use std::os::fd::AsFd;

/// Whether a process has a segment open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenState {
    /// No process has it open or mapped.
    Closed,
    /// At least one process has: perhaps this one, perhaps one that cannot be seen from here.
    Open,
    /// Nobody can tell: the file system has no leases, or this process may not ask (it needs the
    /// owner's user, or `CAP_LEASE`).
    Unknown,
}

impl Segment {
    /// Whether any process has the segment open at this moment, handles of this process included. The
    /// kernel is asked, so processes of other namespaces count too, and `/proc` is not
    /// needed. It says nothing about who comes later.
    ///
    /// ```
    /// use shmkv::segment::OpenState;
    /// use shmkv::{Map, Segment};
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let segment: Segment = "shm:doc-open-state".parse()?;
    ///     let map: Map<u64, u64> = Map::builder().capacity(10).create(segment.clone())?;
    ///     assert_eq!(segment.open_state()?, OpenState::Open);
    ///     drop(map);
    ///     assert_eq!(segment.open_state()?, OpenState::Closed);
    ///     segment.remove()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `NotRegular`, `PermissionDenied`: a file has to be opened for that. A descriptor
    /// is open by being one; a memfd that is still to be created is `Unsupported`.
    pub fn open_state(&self) -> Result<OpenState, SegmentError> {
        match self.backend() {
            Backend::Place(place, _) => place.open_state(),
            Backend::SysV(sysv) => Ok(match sysv.facts()?.1.attached {
                0 => OpenState::Closed,
                _ => OpenState::Open,
            }),
            Backend::Fd(_) => Ok(OpenState::Open),
            Backend::Memfd(_) => Err(self.memfd_by_name("look at")),
        }
    }

    /// Whether it has the name of a file that is being created, until its content is complete. One that
    /// nobody has open was left by a creator that was killed.
    pub fn has_temporary_name(&self) -> bool {
        let name = match self {
            Self::Shm(name) => Some(name.as_str()),
            Self::File(path) => path.as_path().file_name().and_then(|name| name.to_str()),
            _ => None,
        };
        name.is_some_and(super::build::is_temporary)
    }
}

impl Place<'_> {
    fn open_state(&self) -> Result<OpenState, SegmentError> {
        let file = self.open_to_ask()?;
        Ok(match file_lease::others(file.as_fd()) {
            Others::None => OpenState::Closed,
            Others::Some => OpenState::Open,
            Others::Unknown => OpenState::Unknown,
        })
    }
}
