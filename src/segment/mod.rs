//! Where a segment comes from: its name, its creation, and who may have it.
//!
//! There are four kinds, with one textual form each, see [`Segment`]. They differ in what
//! another process can do to those that have the segment open:
//!
//! | kind                   | lives until            | a peer with write access can        | creation              |
//! |------------------------|------------------------|-------------------------------------|-----------------------|
//! | `shm:NAME`             | removed, or reboot     | shorten it: SIGBUS for all users    | in one step           |
//! | `file:PATH`            | removed                | shorten it: SIGBUS for all users    | in one step           |
//! | `sysv:KEY`             | removed, or reboot     | not change its length               | openers wait          |
//! | memfd, `fd:N`          | its last user is gone  | not change its length (sealed)      | private until passed  |
//!
//! In all four a peer with write access can write anything into it. Whoever may not be
//! trusted with that gets a read-only descriptor, or no permission to write.
//!
//! Common to all kinds: mode 0600 unless asked otherwise, whatever the umask; only
//! segments of this process's effective user are opened unless asked otherwise; symbolic
//! links are not followed (at the last part of a path: directories are the caller's
//! business); descriptors are closed on exec; and nothing is ever removed because a
//! handle is dropped.

mod build;
mod descriptor;
mod error;
mod file;
mod filesystem;
pub(crate) mod inventory;
mod list;
mod metadata;
mod name;
mod open_state;
mod options;
mod passing;
pub(crate) mod replace;
mod sysv;
#[cfg(test)]
mod tests;

use std::num::NonZeroI32;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use build::Strategy;
use file::Place;
use sysv::{SysV, Target};

pub(crate) use filesystem::is_memory;

pub use crate::sys::huge::HugePages;
pub use error::{FileKind, NameStatus, Permissions, SegmentError};
pub use metadata::{SegmentKind, SegmentMetadata};
pub use name::{FilePath, Name, NameProblem, SysVKey};
pub use open_state::OpenState;
pub use options::SegmentOptions;
pub use passing::{keep_across_exec, recv_fd, send_fd};

use crate::liveness::trust::FileWords;
use crate::sys::access::Access;
use crate::sys::file_facts::file_facts;
use crate::sys::mapping::Mapping;
use crate::sys::sync::{AtomicU64, Ordering};

/// The shortest segment in bytes. It is a constant of the format, not a page size.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4096;

/// How often a file is tried that others keep creating and removing.
const ATTEMPTS: u32 = 100;

/// The name of a segment. That it names something is found out when it is used.
///
/// The textual form, in `FromStr` and `Display`, is the same everywhere:
///
/// ```text
/// shm:quotes              POSIX shared memory, /dev/shm/quotes
/// file:/var/cache/q.kv    a file
/// sysv:0x51, sysv:81      System V, by key
/// sysv:/etc/hostname#7    System V, by the key that ftok(3) makes of a path and a number
/// sysv-id:32770           System V, by identifier, as ipcs -m shows it
/// fd:3                    a descriptor that this process inherited or received
/// memfd:quotes            a new anonymous segment; once created it goes by its fd:N
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Segment {
    /// POSIX shared memory: a file in `/dev/shm`, as `shm_open` makes it.
    Shm(Name),
    /// A file on any local file system.
    File(FilePath),
    /// A System V segment, by its key.
    SysV(SysVKey),
    /// A System V segment, by its identifier.
    SysVId(u32),
    /// An open descriptor of this process.
    Fd(u32),
    /// A memfd that is to be created; the label shows up in `/proc/PID/fd`.
    Memfd(Name),
}

/// Which segment it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentId {
    /// Everything that has an inode.
    File {
        /// The device.
        dev: u64,
        /// The inode.
        ino: u64,
    },
    /// A System V segment.
    SysV {
        /// Its identifier.
        shmid: i32,
    },
}

impl SegmentId {
    /// The identity of the file that `fstat` has told of.
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self::File {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }
}

/// How a new segment is filled.
pub(crate) struct NewSegment<'a> {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Its first word, which says that it is ready. Stored after all others.
    pub(crate) magic: u64,
    /// Fills every word but word 0, and is told which file they are in. The words are all zero
    /// before.
    pub(crate) init: &'a dyn Fn(&[AtomicU64], Option<FileWords>),
    /// What else is wanted of its memory, before anybody can see it: an error here leaves no
    /// segment.
    pub(crate) prepare: &'a dyn Fn(&Mapping) -> Result<(), SegmentError>,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) mapping: Mapping,
    /// The name by which the segment can be found again, as long as the handle lives.
    pub(crate) segment: Segment,
    pub(crate) identity: SegmentId,
    /// `None` for System V.
    pub(crate) file: Option<OwnedFd>,
    /// Whether we have made it: then everything that can fail was done before it got its name.
    pub(crate) created: Created,
}

impl Attached {
    /// What tells this file from others, copies of it included; `None` if the kernel does not say.
    pub(crate) fn file_words(&self) -> Option<FileWords> {
        match (&self.file, self.identity) {
            (Some(file), _) => words_of_file(file),
            (None, SegmentId::SysV { shmid }) => Some(words_of_sysv(shmid)),
            (None, SegmentId::File { .. }) => None,
        }
    }

    /// Gives a file that has lost some of its space all of it again: for those who will write.
    pub(crate) fn fill_holes(&self) -> Result<(), SegmentError> {
        match &self.file {
            Some(file) => build::fill_holes(&self.segment, file),
            None => Ok(()),
        }
    }
}

/// Whether `open_or_create` had to create the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    Yes,
    No,
}

impl Segment {
    /// POSIX shared memory: `/dev/shm/name`.
    ///
    /// # Errors
    /// `InvalidName` unless `name` can be the name of a file.
    pub fn shm(name: &str) -> Result<Self, SegmentError> {
        Name::of_shm(name)
            .map(Self::Shm)
            .map_err(|problem| invalid("shm", name, problem))
    }

    /// A file. A relative path counts from the current directory at the time of use.
    ///
    /// # Errors
    /// `InvalidName` unless `path` is UTF-8 and can be the path of a file.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, SegmentError> {
        let path = path.as_ref();
        FilePath::new(path)
            .map(Self::File)
            .map_err(|problem| invalid("file", &path.to_string_lossy(), problem))
    }

    /// A System V segment by its key.
    ///
    /// # Errors
    /// `InvalidName` for key 0, `IPC_PRIVATE`, which names nothing.
    pub fn sysv_key(key: i32) -> Result<Self, SegmentError> {
        NonZeroI32::new(key)
            .map(|key| Self::SysV(SysVKey::Number(key)))
            .ok_or_else(|| invalid("sysv", "0", NameProblem::PrivateKey))
    }

    /// A memfd that is to be created. The label may be anything that can be the name of
    /// a file, and need not be unique.
    ///
    /// # Errors
    /// `InvalidName` if it cannot.
    pub fn memfd(label: &str) -> Result<Self, SegmentError> {
        Name::of_memfd(label)
            .map(Self::Memfd)
            .map_err(|problem| invalid("memfd", label, problem))
    }

    /// An open descriptor of this process. It is duplicated when it is used, so it may be
    /// closed once the segment is open.
    ///
    /// # Errors
    /// `InvalidName` for a negative number.
    pub fn fd(fd: RawFd) -> Result<Self, SegmentError> {
        u32::try_from(fd).map(Self::Fd).map_err(|_| {
            let expected = "the number of an open descriptor";
            invalid("fd", &fd.to_string(), NameProblem::Number { expected })
        })
    }

    /// Removes the name, and nothing that belongs to it (see [`Segment::remove`]).
    pub(crate) fn remove_name(&self) -> Result<(), SegmentError> {
        match self.backend() {
            Backend::Place(place, _) => place.remove(),
            Backend::SysV(sysv) => sysv.remove(),
            Backend::Fd(_) | Backend::Memfd(_) => Err(SegmentError::Unsupported {
                segment: self.clone(),
                action: "remove",
                instead: "it has no name, and goes when its last descriptor is closed",
            }),
        }
    }

    /// Whether there is such a segment.
    ///
    /// # Errors
    /// If that cannot be found out, or the name is that of something else (`NotRegular`).
    pub fn exists(&self) -> Result<bool, SegmentError> {
        match self.metadata() {
            Ok(_) => Ok(true),
            Err(SegmentError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the kernel knows about the segment, which is not opened for that.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NotRegular`.
    pub fn metadata(&self) -> Result<SegmentMetadata, SegmentError> {
        match self.backend() {
            Backend::Place(place, kind) => metadata::of_place(&place, kind),
            Backend::SysV(sysv) => metadata::of_sysv(&sysv),
            Backend::Fd(raw) => metadata::of_descriptor(self, raw),
            // A label leads nowhere.
            Backend::Memfd(_) => Err(SegmentError::NotFound {
                segment: self.clone(),
            }),
        }
    }

    /// Changes permission bits, owner and group, as far as they are given.
    ///
    /// It concerns who can open the segment from now on; who has it open keeps it.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NotRegular`, `InvalidMode`; `Unsupported` for a
    /// memfd that is yet to be created.
    pub fn set_permissions(
        &self,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), SegmentError> {
        let mode = mode.map(options::check_mode).transpose()?;
        match self.backend() {
            Backend::Place(place, _) => place.set_permissions(mode, uid, gid),
            Backend::SysV(sysv) => sysv.set_permissions(mode, uid, gid),
            Backend::Fd(raw) => descriptor::set_permissions(self, raw, mode, uid, gid),
            Backend::Memfd(_) => Err(self.memfd_by_name("change the permissions of")),
        }
    }

    /// The segments in `/dev/shm` and of System V that begin with `magic` and that this
    /// process may read.
    pub(crate) fn list_marked(magic: u64) -> Result<Vec<Self>, SegmentError> {
        list::list(magic)
    }

    /// The segments among the files of a directory that begin with `magic`.
    pub(crate) fn list_marked_in(directory: &Path, magic: u64) -> Result<Vec<Self>, SegmentError> {
        list::list_directory(directory, magic)
    }

    /// Makes the segment. Fails if there is one.
    pub(crate) fn create(
        &self,
        options: &SegmentOptions,
        new_segment: &NewSegment,
    ) -> Result<Attached, SegmentError> {
        match self.backend() {
            Backend::Place(place, _) => place.create(options, new_segment, Strategy::Unnamed),
            Backend::SysV(sysv) => sysv.create(options, new_segment),
            Backend::Memfd(label) => {
                descriptor::create_memfd(self, label.as_str(), options, new_segment)
            }
            Backend::Fd(_) => Err(SegmentError::Unsupported {
                segment: self.clone(),
                action: "create",
                instead: "a descriptor refers to what exists already: create a memfd:NAME, \
                          and pass its descriptor",
            }),
        }
    }

    /// Attaches all of the segment. The header is not looked at, except that a System V
    /// segment must have one: it has `magic`, or something that is none of ours.
    pub(crate) fn open(
        &self,
        options: &SegmentOptions,
        access: Access,
        magic: u64,
    ) -> Result<Attached, SegmentError> {
        debug_assert!(magic != 0 && magic != sysv::BUILDING);
        match self.backend() {
            Backend::Place(place, _) => place.open(options, access),
            Backend::SysV(sysv) => sysv.open(options, access),
            Backend::Fd(raw) => descriptor::open(self, raw, options, access),
            Backend::Memfd(_) => Err(self.memfd_by_name("open")),
        }
    }

    /// Attaches the segment, and makes it if absent. Of any number of processes
    /// that do this at the same time, one makes it and all get the same one.
    ///
    /// A descriptor is opened, since it exists; a memfd is created, since no other can
    /// have its name.
    pub(crate) fn open_or_create(
        &self,
        options: &SegmentOptions,
        new_segment: &NewSegment,
    ) -> Result<(Attached, Created), SegmentError> {
        match self.backend() {
            Backend::Place(place, _) => self.place_open_or_create(&place, options, new_segment),
            Backend::SysV(sysv) => sysv.open_or_create(options, new_segment),
            Backend::Fd(raw) => descriptor::open(self, raw, options, Access::ReadWrite)
                .map(|attached| (attached, Created::No)),
            Backend::Memfd(_) => self
                .create(options, new_segment)
                .map(|attached| (attached, Created::Yes)),
        }
    }

    fn place_open_or_create(
        &self,
        place: &Place,
        options: &SegmentOptions,
        new_segment: &NewSegment,
    ) -> Result<(Attached, Created), SegmentError> {
        for _ in 0..ATTEMPTS {
            match place.open(options, Access::ReadWrite) {
                Err(SegmentError::NotFound { .. }) => {}
                result => return result.map(|attached| (attached, Created::No)),
            }
            match place.create(options, new_segment, Strategy::Unnamed) {
                // Lost to a concurrent creator: open what it has made.
                Err(SegmentError::AlreadyExists { .. }) => {}
                result => return result.map(|attached| (attached, Created::Yes)),
            }
        }
        Err(SegmentError::Unstable {
            segment: self.clone(),
        })
    }

    /// Fails if the name does not lead to the segment `opened` any more.
    pub(crate) fn ensure_current(&self, opened: SegmentId) -> Result<(), SegmentError> {
        match self.backend() {
            Backend::Place(place, _) => place.ensure_current(opened),
            Backend::SysV(sysv) => sysv.ensure_current(opened),
            Backend::Fd(raw) => descriptor::ensure_current(self, raw, opened),
            Backend::Memfd(_) => Err(self.memfd_by_name("find")),
        }
    }

    /// Fails if the file has been made anew under the same numbers, as overlayfs does when it copies a
    /// file of a lower layer up for its first writer: who had it open goes on reading the old one.
    pub(crate) fn ensure_not_copied_up(&self, born: u64) -> Result<(), SegmentError> {
        match self.backend() {
            Backend::Place(place, _) if born != 0 => place.ensure_born(born),
            _ => Ok(()),
        }
    }

    /// Where its file is, if it has a path.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self.backend() {
            Backend::Place(place, _) => Some(place.path().to_owned()),
            Backend::SysV(_) | Backend::Fd(_) | Backend::Memfd(_) => None,
        }
    }

    fn backend(&self) -> Backend<'_> {
        match self {
            Self::Shm(name) => Backend::Place(Place::of_shm(self, name.as_str()), SegmentKind::Shm),
            Self::File(path) => {
                Backend::Place(Place::of_file(self, path.as_path()), SegmentKind::File)
            }
            Self::SysV(key) => Backend::SysV(SysV {
                segment: self,
                target: Target::Key(key),
            }),
            Self::SysVId(id) => Backend::SysV(SysV {
                segment: self,
                target: Target::Id(*id),
            }),
            Self::Fd(raw) => Backend::Fd(*raw),
            Self::Memfd(label) => Backend::Memfd(label),
        }
    }

    fn memfd_by_name(&self, action: &'static str) -> SegmentError {
        SegmentError::Unsupported {
            segment: self.clone(),
            action,
            instead: "a memfd has no name that others could find: inherit or receive its \
                      descriptor, and use fd:N",
        }
    }
}

/// A file, as a segment in it remembers it.
fn words_of_file(file: &OwnedFd) -> Option<FileWords> {
    let facts = file_facts(file)?;
    Some(FileWords {
        inode: facts.inode,
        device: facts.device,
        handle: facts
            .handle
            .map_or(0, |handle| rapidhash::v3::rapidhash_v3(&handle).max(1)),
        born: facts.born,
    })
}

/// A System V segment likewise. No device has this number.
fn words_of_sysv(shmid: i32) -> FileWords {
    FileWords {
        inode: u64::from(shmid.cast_unsigned()),
        device: u64::MAX,
        ..FileWords::default()
    }
}

/// Who does the work for a segment.
enum Backend<'a> {
    Place(Place<'a>, SegmentKind),
    SysV(SysV<'a>),
    Fd(u32),
    Memfd(&'a Name),
}

impl NewSegment<'_> {
    /// Fills a new segment whose words are all zero.
    fn fill(&self, mapping: &Mapping, file: &OwnedFd) -> Result<(), SegmentError> {
        self.fill_all_but_magic(mapping, words_of_file(file))?;
        self.store_magic(mapping);
        Ok(())
    }

    fn fill_all_but_magic(
        &self,
        mapping: &Mapping,
        file: Option<FileWords>,
    ) -> Result<(), SegmentError> {
        (self.init)(mapping.words(), file);
        (self.prepare)(mapping)
    }

    fn store_magic(&self, mapping: &Mapping) {
        debug_assert!(self.magic != 0 && self.magic != sysv::BUILDING);
        if let Some(first) = mapping.words().first() {
            // Release: pairs with the fence in `sysv::wait::word_0`; what `init` has stored is
            // visible to everybody who sees the magic.
            first.store(self.magic, Ordering::Release);
        }
    }

    fn check_len(&self, segment: &Segment) -> Result<(), SegmentError> {
        check_len(segment, self.len as u64).map(drop)
    }
}

/// The length of a segment, if it can be one that this process can map.
fn check_len(segment: &Segment, found: u64) -> Result<usize, SegmentError> {
    if found < SEGMENT_BYTES_MIN {
        return Err(SegmentError::TooSmall {
            segment: segment.clone(),
            needed: SEGMENT_BYTES_MIN,
            found,
        });
    }
    if !found.is_multiple_of(size_of::<u64>() as u64) {
        return Err(SegmentError::OddLength {
            segment: segment.clone(),
            found,
        });
    }
    isize::try_from(found)
        .map(isize::unsigned_abs)
        .map_err(|_| SegmentError::TooLarge {
            segment: segment.clone(),
            needed: found,
            limit: "the address space",
        })
}

fn invalid(scheme: &str, rest: &str, problem: NameProblem) -> SegmentError {
    SegmentError::InvalidName {
        given: format!("{scheme}:{rest}"),
        problem,
    }
}
