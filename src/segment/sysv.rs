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

use std::io;
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{
    Attached, Created, NameStatus, NewSegment, Permissions, Segment, SegmentError, SegmentId,
    SegmentOptions, SysVKey, check_len, sysv_table, words_of_sysv,
};
use crate::liveness::process::{Life, life_of};
use crate::sys::access::Access;
use crate::sys::mapping::Mapping;
use crate::sys::shm::{self, ShmFacts};

/// What word 0 holds while the segment is being filled.
pub(super) const BUILDING: u64 = u64::from_be_bytes(*b"shmkv?\r\n");

/// How often a name is tried that others keep removing.
const ATTEMPTS: u32 = 100;

/// How many times the time for one creation somebody waits at most, if each time it looks
/// it finds another creator at work.
const CREATORS: u32 = 10;

/// Pauses of those who wait for a creator: they begin short and become longer.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(5);

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

/// How far a segment has come.
enum Progress {
    /// It has contents.
    Ready(Box<Attached>),
    /// Its creator is, or may be, at work.
    Building { creator: Option<u32> },
    /// Nobody will ever finish it.
    Abandoned { id: i32 },
    /// It vanished while we were looking.
    Vanished,
}

/// How waiting for a segment came out.
enum Outcome {
    Ready(Box<Attached>),
    /// Nothing has this name (any more).
    Missing,
    /// It was left unfinished, and may have been removed.
    Abandoned {
        removed: bool,
    },
}

impl SysV<'_> {
    pub(super) fn create(
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

    pub(super) fn open(
        &self,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Attached, SegmentError> {
        match self.wait(options, access)? {
            Outcome::Ready(attached) => Ok(*attached),
            Outcome::Missing => Err(self.not_found()),
            Outcome::Abandoned { removed } => Err(SegmentError::Abandoned {
                segment: self.segment.clone(),
                removed,
            }),
        }
    }

    pub(super) fn open_or_create(
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

    /// Waits until the segment is ready, missing, or known to stay unfinished.
    ///
    /// Each creator has the whole time: where segments are removed and created again all
    /// the while, one can look many times and find a new one half-way each time.
    fn wait(&self, options: &SegmentOptions, access: Access) -> Result<Outcome, SegmentError> {
        let begin = Instant::now();
        let timeout = options.creation_timeout;
        let (mut seen, mut since, mut pause) = (None, begin, PAUSE_MIN);
        // One look at least, however short the time.
        loop {
            let Some(id) = self.find()? else {
                return Ok(Outcome::Missing);
            };
            if seen != Some(id) {
                (seen, since, pause) = (Some(id), Instant::now(), PAUSE_MIN);
            }
            let creator = match self.look(id, options, access)? {
                Progress::Ready(attached) => return Ok(Outcome::Ready(attached)),
                Progress::Abandoned { id } => {
                    // Who only wants to read changes nothing.
                    let removed = access == Access::ReadWrite && self.discard(id);
                    return Ok(Outcome::Abandoned { removed });
                }
                Progress::Building { creator } => creator,
                Progress::Vanished => None,
            };
            let waited = since.elapsed();
            if waited >= timeout {
                return Err(SegmentError::NotReady {
                    segment: self.segment.clone(),
                    waited,
                    creator,
                });
            }
            thread::sleep(pause.min(timeout - waited));
            pause = (pause * 2).min(PAUSE_MAX);
            if begin.elapsed() > timeout.saturating_mul(CREATORS) {
                return Err(self.unstable());
            }
        }
    }

    /// Attaches the segment if it is ready, and else finds out why it is not.
    ///
    /// An unfinished segment is detached again at once: as long as somebody is attached
    /// to a segment of zeros, nobody dares to remove it.
    fn look(
        &self,
        id: i32,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Progress, SegmentError> {
        let facts = match shm::stat(id) {
            Ok(facts) => facts,
            Err(error) if vanished(&error) => return Ok(Progress::Vanished),
            Err(error) => return Err(self.access_error("open", id, error)),
        };
        options.check_owner(self.segment, facts.uid)?;
        options.check_creator(self.segment, facts.cuid)?;
        let len = check_len(self.segment, facts.len)?;
        let mapping = match shm::shmat(id, len, access) {
            Ok(mapping) => mapping,
            Err(error) if vanished(&error) => return Ok(Progress::Vanished),
            Err(error) => return Err(self.access_error("open", id, error)),
        };
        let mut word = word_0(&mapping);
        if is_unfinished(word) {
            let creator = facts.creator;
            if !is_dead(creator) {
                let creator = u32::try_from(creator).ok().filter(|&pid| pid != 0);
                return Ok(Progress::Building { creator });
            }
            // It may have made its last store and then died, between our two questions.
            word = word_0(&mapping);
        }
        if !is_unfinished(word) {
            return Ok(Progress::Ready(Box::new(Attached {
                mapping,
                segment: self.segment.clone(),
                identity: SegmentId::SysV { shmid: id },
                file: None,
                created: Created::No,
            })));
        }
        let page = rustix::param::page_size();
        let words = page.min(len) / size_of::<u64>();
        let zeros = mapping.words()[..words]
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0);
        drop(mapping);
        let nobodys = || {
            sysv_table::row(id).is_some_and(|row| row.attached == 0 && row.touched <= page as u64)
        };
        if word == BUILDING || (zeros && nobodys()) {
            return Ok(Progress::Abandoned { id });
        }
        // Perhaps others are looking at this moment: look again later.
        let creator = u32::try_from(facts.creator).ok();
        Ok(Progress::Building { creator })
    }

    /// Whether a segment was left unfinished by a creator that died.
    fn is_remains(&self, id: i32, options: &SegmentOptions) -> bool {
        matches!(
            self.look(id, options, Access::ReadOnly),
            Ok(Progress::Abandoned { .. })
        )
    }

    /// Removes the remains of a segment. `false` if this process may not do that.
    fn discard(&self, id: i32) -> bool {
        match shm::remove(id) {
            Ok(()) => true,
            // Somebody else was faster.
            Err(error) => vanished(&error),
        }
    }

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
        let row = sysv_table::row(id);
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
            Err(error) => match sysv_table::row(id) {
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
            found: sysv_table::row(id).map(|row| Permissions {
                mode: row.mode,
                uid: row.uid,
                // There are none on System V segments.
                acl: Some(false),
            }),
            euid: rustix::process::geteuid().as_raw(),
        }
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

impl From<sysv_table::Row> for ShmFacts {
    fn from(row: sysv_table::Row) -> Self {
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

/// Word 0, and with it everything that was stored before it.
fn word_0(mapping: &Mapping) -> u64 {
    let word = mapping
        .words()
        .first()
        .map_or(0, |word| word.load(Ordering::Relaxed));
    // Acquire: pairs with the Release store of the magic word in `store_magic`. A fence,
    // since an acquire load is not defined on a read-only mapping.
    fence(Ordering::Acquire);
    word
}

fn is_unfinished(word: u64) -> bool {
    word == 0 || word == BUILDING
}

/// The segment was removed since its identifier was found.
fn vanished(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::IDRM)
    )
}

/// Whether the creator of a segment is provably dead. The kernel gives its process id in our own
/// pid namespace, or 0; a creator has no byte to lock yet, and says nothing of its start time, so
/// whoever has that id now counts as the creator.
fn is_dead(pid: i32) -> bool {
    u32::try_from(pid).is_ok_and(|pid| life_of(pid, None) == Life::Gone)
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

    use super::{ftok, is_dead};

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

    #[test]
    fn only_what_is_provably_dead_counts_as_dead() {
        assert!(!is_dead(0), "a process that cannot be seen");
        assert!(!is_dead(-1));
        assert!(!is_dead(i32::try_from(std::process::id()).unwrap()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let timeout = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_dead(pid) {
            assert!(std::time::Instant::now() < timeout, "a zombie is dead");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dead(pid), "and so is a process that was waited for");
    }
}
