//! How a segment is made, and whose is accepted.

use std::time::Duration;

use rustix::process::geteuid;

use super::{Segment, SegmentError};

/// How a segment is made, and whose is accepted.
///
/// The defaults: mode 0600; only segments of this process's effective user are
/// opened; one second for somebody else's creation of a System V segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    pub(super) mode: u32,
    pub(super) owner: AcceptedOwner,
    pub(super) creation_timeout: Duration,
}

/// Whose segments are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptedOwner {
    /// The effective user's, as it is at the time of opening.
    Effective,
    /// One certain user's.
    Uid(u32),
    /// Anybody's.
    Any,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            mode: 0o600,
            owner: AcceptedOwner::Effective,
            creation_timeout: Duration::from_secs(1),
        }
    }
}

impl SegmentOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The permission bits of a segment that is created, 0600 unless set. They are
    /// what the segment gets: the umask has no say. On System V, where permissions to
    /// execute mean nothing, those are kept as well.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Accepts segments of user `uid`, and no others, when opening.
    ///
    /// Whoever owns a segment can fill it with anything and shorten it at any time, so
    /// by default only this process's own user is accepted.
    #[must_use]
    pub fn expect_owner(mut self, uid: u32) -> Self {
        self.owner = AcceptedOwner::Uid(uid);
        self
    }

    /// Accepts segments of any user when opening.
    #[must_use]
    pub fn any_owner(mut self) -> Self {
        self.owner = AcceptedOwner::Any;
        self
    }

    /// How long to wait for a System V segment that another process is creating.
    /// All other kinds appear complete or not at all.
    #[must_use]
    pub fn creation_timeout(mut self, timeout: Duration) -> Self {
        self.creation_timeout = timeout;
        self
    }

    /// The permission bits, if they are nothing else.
    pub(super) fn checked_mode(&self) -> Result<u32, SegmentError> {
        check_mode(self.mode)
    }

    /// Fails unless `uid` is the accepted owner.
    pub(super) fn check_owner(&self, segment: &Segment, uid: u32) -> Result<(), SegmentError> {
        match self.expected_uid() {
            Some(expected) if expected != uid => Err(SegmentError::ForeignOwner {
                segment: segment.clone(),
                expected,
                found: uid,
            }),
            _ => Ok(()),
        }
    }

    /// Fails unless the creator of a System V segment may be trusted like its owner.
    ///
    /// A creator keeps an owner's rights for ever, and may name anybody as the owner:
    /// a segment that was planted under our key and then "given" to us is no safer.
    /// Root needs no such trick, and we may have passed on a segment of our own.
    pub(super) fn check_creator(&self, segment: &Segment, cuid: u32) -> Result<(), SegmentError> {
        if cuid == 0 || cuid == geteuid().as_raw() {
            return Ok(());
        }
        self.check_owner(segment, cuid)
    }

    fn expected_uid(&self) -> Option<u32> {
        match self.owner {
            AcceptedOwner::Effective => Some(geteuid().as_raw()),
            AcceptedOwner::Uid(uid) => Some(uid),
            AcceptedOwner::Any => None,
        }
    }
}

pub(super) fn check_mode(mode: u32) -> Result<u32, SegmentError> {
    if mode & !0o777 == 0 {
        Ok(mode)
    } else {
        Err(SegmentError::InvalidMode { mode })
    }
}
