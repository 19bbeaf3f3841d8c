//! System V segments.
//!
//! `shmget` gives a key to a segment of zeros at once, so others can find it before it
//! has contents. Word 0 says how far its creator has come:
//!
//! ```text
//! shmget(IPC_CREAT | IPC_EXCL)      word 0 == 0
//! shmat, first store                word 0 == BUILDING
//! every other word                  word 0 == BUILDING
//! mode, last store (Release)        word 0 == magic
//! ```
//!
//! Who opens a segment that is not ready waits, looking every now and then, until a
//! deadline. If its creator is *provably* dead, nobody will ever finish it, and it is
//! removed, by its identifier: by the key we might hit a successor.
//!
//! A key is only a number, and another program may use the same one. So nothing is ever
//! removed that could be anybody else's: word 0 must be our mark, or else the segment
//! must be all zeros (never touched outside its first page, says the kernel, and zeros
//! there), attached by nobody, and its creator dead. What has other contents is handed
//! on as it is, for the validation of the header to reject.

mod create;
pub(super) mod table;
mod wait;

use std::io;

use rustix::io::Errno;

use super::{NameStatus, Permissions, Segment, SegmentError, SegmentId, SysVKey};
use crate::sys::shm::{self, ShmFacts};

/// What word 0 holds while the segment is being filled.
pub(super) const BUILDING: u64 = u64::from_be_bytes(*b"shmkv?\r\n");

/// How often a name is tried that others keep removing.
const ATTEMPTS: u32 = 100;

/// What names a System V segment: its key, or its identifier.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Key(&'a SysVKey),
    Id(u32),
}

/// A System V segment, by whatever names it.
pub(super) struct SysV<'a> {
    pub(super) segment: &'a Segment,
    pub(super) target: Target<'a>,
}

impl SysV<'_> {
    /// The identifier of the segment, if there is one.
    fn find(&self) -> Result<Option<i32>, SegmentError> {
        match self.target {
            Target::Key(key) => match shm::shmget(self.key(key)?) {
                Ok(id) => Ok(Some(id)),
                Err(error) if error.kind() == io::ErrorKind::NotFound || vanished(&error) => {
                    Ok(None)
                }
                Err(error) => Err(SegmentError::io("find", self.segment, error)),
            },
            Target::Id(id) => {
                let Ok(id) = i32::try_from(id) else {
                    return Ok(None);
                };
                match shm::stat(id) {
                    // Still attached by somebody, but nobody shall join any more.
                    Ok(ShmFacts { removed: true, .. }) => Ok(None),
                    Err(error) if vanished(&error) => Ok(None),
                    // Whatever else is wrong with it, it exists.
                    _ => Ok(Some(id)),
                }
            }
        }
    }

    fn key(&self, key: &SysVKey) -> Result<i32, SegmentError> {
        match key {
            SysVKey::Number(key) => Ok(key.get()),
            SysVKey::Path { path, id } => {
                let stat = rustix::fs::stat(path.as_path()).map_err(|errno| SegmentError::Io {
                    context: format!(
                        "cannot look at {}, which {} refers to",
                        path.as_str(),
                        self.segment
                    ),
                    source: errno.into(),
                })?;
                match ftok(stat.st_dev, stat.st_ino, id.get()) {
                    // Cannot happen, since the identifier is not zero.
                    0 => Err(self.not_found()),
                    key => Ok(key),
                }
            }
        }
    }

    pub(super) fn ensure_current(&self, opened: SegmentId) -> Result<(), SegmentError> {
        let now = match self.find()? {
            Some(shmid) if opened == (SegmentId::SysV { shmid }) => return Ok(()),
            Some(_) => NameStatus::Replaced,
            None => NameStatus::Removed,
        };
        Err(SegmentError::NotCurrent {
            segment: self.segment.clone(),
            now,
        })
    }

    pub(super) fn remove(&self) -> Result<(), SegmentError> {
        let id = self.existing()?;
        shm::remove(id).map_err(|error| {
            if vanished(&error) {
                self.not_found()
            } else {
                self.access_error("remove", id, error)
            }
        })
    }

    pub(super) fn set_permissions(
        &self,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), SegmentError> {
        let id = self.existing()?;
        // The table fills in what is not given even where we may not read the segment.
        let row = table::row(id);
        let mode = mode.or(row.map(|row| row.mode));
        let uid = uid.or(row.map(|row| row.uid));
        let gid = gid.or(row.map(|row| row.gid));
        shm::set(id, mode, uid, gid).map_err(|error| {
            if vanished(&error) {
                self.not_found()
            } else {
                self.access_error("change the permissions of", id, error)
            }
        })
    }

    /// Identifier and facts, also of a segment that this process may not read.
    pub(super) fn facts(&self) -> Result<(i32, ShmFacts), SegmentError> {
        let id = self.existing()?;
        match shm::stat(id) {
            Ok(facts) => Ok((id, facts)),
            Err(error) if vanished(&error) => Err(self.not_found()),
            Err(error) => match table::row(id) {
                Some(row) => Ok((id, row.into())),
                None => Err(self.access_error("look at", id, error)),
            },
        }
    }

    fn existing(&self) -> Result<i32, SegmentError> {
        self.find()?.ok_or_else(|| self.not_found())
    }

    fn not_found(&self) -> SegmentError {
        SegmentError::NotFound {
            segment: self.segment.clone(),
        }
    }

    fn unstable(&self) -> SegmentError {
        SegmentError::Unstable {
            segment: self.segment.clone(),
        }
    }

    fn access_error(&self, action: &'static str, id: i32, error: io::Error) -> SegmentError {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return SegmentError::io(action, self.segment, error);
        }
        SegmentError::PermissionDenied {
            segment: self.segment.clone(),
            action,
            found: table::row(id).map(|row| Permissions {
                mode: row.mode,
                uid: row.uid,
                // There are none on System V segments.
                acl: Some(false),
            }),
            euid: rustix::process::geteuid().as_raw(),
        }
    }
}

impl From<table::Row> for ShmFacts {
    fn from(row: table::Row) -> Self {
        Self {
            len: row.len,
            mode: row.mode,
            uid: row.uid,
            gid: row.gid,
            cuid: row.cuid,
            creator: row.creator,
            attached: row.attached,
            changed: row.changed,
            removed: false,
        }
    }
}

/// The segment was removed since its identifier was found.
fn vanished(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::IDRM)
    )
}

/// The key of a file, as ftok(3) computes it: low bits of identifier, device and inode.
fn ftok(dev: u64, ino: u64, id: u8) -> i32 {
    let [_, .., dev] = dev.to_be_bytes();
    let [.., high, low] = ino.to_be_bytes();
    i32::from_be_bytes([id, dev, high, low])
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::ftok;

    #[test]
    fn ftok_agrees_with_the_c_library() {
        for path in ["/", "/proc", "/tmp", "/dev/null"] {
            let stat = rustix::fs::stat(path).unwrap();
            for id in [1, 77, 255] {
                let c_path = CString::new(path).unwrap();
                // SAFETY: `c_path` is a string that ends in NUL.
                #[expect(unsafe_code, reason = "a foreign function")]
                let expected = unsafe { libc::ftok(c_path.as_ptr(), i32::from(id)) };
                assert_eq!(ftok(stat.st_dev, stat.st_ino, id), expected, "{path}#{id}");
            }
        }
    }
}
