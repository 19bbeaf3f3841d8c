//! Segments with a path: POSIX shared memory (`/dev/shm`) and files.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, StatxFlags, Uid};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::build::{Site, Strategy, build};
use super::filesystem::{self, check_coherent};
use super::{
    Attached, Created, FileKind, NameStatus, NewSegment, Permissions, Segment, SegmentError,
    SegmentId, SegmentOptions, check_len,
};
use crate::sys::access::Access;
use crate::sys::file_facts::birth_in;
use crate::sys::mapping::Mapping;
use crate::sys::retry::interrupted;

/// Where Linux keeps POSIX shared memory. `shm_open` goes there as well.
pub(super) const SHM_DIRECTORY: &str = "/dev/shm";

/// A segment that has a path.
pub(super) struct Place<'a> {
    segment: &'a Segment,
    path: PathBuf,
}

impl<'a> Place<'a> {
    pub(super) fn of_shm(segment: &'a Segment, name: &str) -> Self {
        let path = Path::new(SHM_DIRECTORY).join(name);
        Self { segment, path }
    }

    pub(super) fn of_file(segment: &'a Segment, path: &Path) -> Self {
        let path = path.to_owned();
        Self { segment, path }
    }

    /// Fails if the name is taken.
    pub(super) fn create(
        &self,
        options: &SegmentOptions,
        new_segment: &NewSegment,
        strategy: Strategy,
    ) -> Result<Attached, SegmentError> {
        let site = Site {
            segment: self.segment,
            directory: match self.path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            },
            name: match self.path.file_name().and_then(|name| name.to_str()) {
                Some(name) => name,
                None => return Err(self.not_regular(FileKind::Directory)),
            },
        };
        let (file, mapping, identity) = build(&site, options, new_segment, strategy)?;
        Ok(Attached {
            mapping,
            segment: self.segment.clone(),
            identity,
            file: Some(file),
            created: Created::Yes,
        })
    }

    pub(super) fn open(
        &self,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Attached, SegmentError> {
        let file = self.open_file(access)?;
        attach(self.segment, options, file, access)
    }

    /// For reading, whatever it is; it must be a regular file.
    pub(super) fn open_to_ask(&self) -> Result<OwnedFd, SegmentError> {
        let file = self.open_file(Access::ReadOnly)?;
        let stat = rustix::fs::fstat(&file)
            .map_err(|errno| SegmentError::io("look at", self.segment, errno))?;
        match kind(&stat) {
            Some(found) => Err(self.not_regular(found)),
            None => Ok(file),
        }
    }

    pub(super) fn open_file(&self, access: Access) -> Result<OwnedFd, SegmentError> {
        /// Somebody who asks whether the file is open ([`file_lease`](crate::sys::file_lease)) is done
        /// in a moment.
        const WAITS: u32 = 100;
        let mut waits = 0;
        let flags = match access {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        // NONBLOCK: opening a fifo must not hang. NOCTTY: nor a terminal take us over.
        let guards = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        loop {
            match interrupted(|| rustix::fs::open(&self.path, flags | guards, Mode::empty())) {
                Ok(file) => return Ok(file),
                Err(Errno::AGAIN) if waits < WAITS => {
                    waits += 1;
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Err(errno) => return Err(self.open_error(errno)),
            }
        }
    }

    /// What the kernel's refusal to open the file means.
    fn open_error(&self, errno: Errno) -> SegmentError {
        match errno {
            Errno::NOENT => self.not_found(),
            Errno::ACCESS | Errno::PERM => self.denied("open"),
            // The answers for symbolic links, directories, sockets and absent devices.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV => match self.lstat() {
                Ok(stat) => match kind(&stat) {
                    Some(found) => self.not_regular(found),
                    None => SegmentError::io("open", self.segment, errno),
                },
                Err(_) => SegmentError::io("open", self.segment, errno),
            },
            errno => SegmentError::io("open", self.segment, errno),
        }
    }

    /// Looks at what has the name, without following a link and without opening it.
    pub(super) fn stat(&self) -> Result<Stat, SegmentError> {
        let stat = self.lstat().map_err(|errno| match errno {
            Errno::NOENT => self.not_found(),
            Errno::ACCESS => self.denied("look at"),
            errno => SegmentError::io("look at", self.segment, errno),
        })?;
        match kind(&stat) {
            Some(found) => Err(self.not_regular(found)),
            None => Ok(stat),
        }
    }

    fn lstat(&self) -> Result<Stat, Errno> {
        rustix::fs::lstat(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn ensure_current(&self, opened: SegmentId) -> Result<(), SegmentError> {
        let now = match self.lstat() {
            // An inode number is not reused while the opened segment is mapped.
            Ok(stat) if SegmentId::of(&stat) == opened => return Ok(()),
            Ok(_) if filesystem::is_overlay(&self.path) => NameStatus::CopiedUp,
            Ok(_) => NameStatus::Replaced,
            Err(Errno::NOENT) => NameStatus::Removed,
            Err(errno) => return Err(SegmentError::io("look at", self.segment, errno)),
        };
        Err(SegmentError::NotCurrent {
            segment: self.segment.clone(),
            now,
        })
    }

    /// Fails if the file was made at another time.
    pub(super) fn ensure_born(&self, born: u64) -> Result<(), SegmentError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        // Where the kernel does not tell, there is nothing to compare.
        let Ok(found) = rustix::fs::statx(CWD, &self.path, flags, StatxFlags::BTIME) else {
            return Ok(());
        };
        match birth_in(&found) {
            0 => Ok(()),
            now if now == born => Ok(()),
            _ => Err(SegmentError::NotCurrent {
                segment: self.segment.clone(),
                now: match filesystem::is_overlay(&self.path) {
                    true => NameStatus::CopiedUp,
                    false => NameStatus::Replaced,
                },
            }),
        }
    }

    pub(super) fn remove(&self) -> Result<(), SegmentError> {
        // `unlink` would gladly remove a symbolic link or a fifo, which are not ours.
        self.stat()?;
        rustix::fs::unlink(&self.path).map_err(|errno| match errno {
            Errno::NOENT => self.not_found(),
            Errno::ACCESS | Errno::PERM => self.denied("remove"),
            errno => SegmentError::io("remove", self.segment, errno),
        })
    }

    pub(super) fn set_permissions(
        &self,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), SegmentError> {
        // A descriptor first, so that all changes go to one and the same file. O_PATH,
        // because the owner of a file with mode 0 may change that, but not open it.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| self.open_error(errno))?;
        let stat = rustix::fs::fstat(&file)
            .map_err(|errno| SegmentError::io("look at", self.segment, errno))?;
        if let Some(found) = kind(&stat) {
            return Err(self.not_regular(found));
        }
        let error = |errno| match errno {
            Errno::ACCESS | Errno::PERM => self.denied("change the permissions of"),
            errno => SegmentError::io("change the permissions of", self.segment, errno),
        };
        // The mode first: who has passed a file on cannot change it any more.
        if let Some(mode) = mode {
            self.change_mode(&file, Mode::from_raw_mode(mode))
                .map_err(error)?;
        }
        if uid.is_some() || gid.is_some() {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            rustix::fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH).map_err(error)?;
        }
        Ok(())
    }

    /// `fchmod` of an `O_PATH` descriptor, which the call itself refuses.
    fn change_mode(&self, file: &OwnedFd, mode: Mode) -> Result<(), Errno> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::chmod(path, mode) {
            // No /proc: the file has to be opened.
            Err(Errno::NOENT) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = rustix::fs::openat(CWD, &self.path, flags, Mode::empty())?;
                rustix::fs::fchmod(file, mode)
            }
            result => result,
        }
    }

    fn not_found(&self) -> SegmentError {
        SegmentError::NotFound {
            segment: self.segment.clone(),
        }
    }

    fn not_regular(&self, found: FileKind) -> SegmentError {
        SegmentError::NotRegular {
            segment: self.segment.clone(),
            found,
        }
    }

    fn denied(&self, action: &'static str) -> SegmentError {
        SegmentError::PermissionDenied {
            segment: self.segment.clone(),
            action,
            found: self.lstat().ok().map(|stat| Permissions {
                mode: stat.st_mode & 0o777,
                uid: stat.st_uid,
                acl: has_acl(&self.path),
            }),
            euid: geteuid().as_raw(),
        }
    }
}

/// Whether a POSIX ACL says more about a file than its mode does.
fn has_acl(path: &Path) -> Option<bool> {
    let mut acl = [0_u8; 64];
    match rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut acl[..]) {
        // The second: it does not fit, so there is one.
        Ok(_) | Err(Errno::RANGE) => Some(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Some(false),
        Err(_) => None,
    }
}

/// Checks an open file as far as can be done without reading it, and maps all of it.
pub(super) fn attach(
    segment: &Segment,
    options: &SegmentOptions,
    file: OwnedFd,
    access: Access,
) -> Result<Attached, SegmentError> {
    let stat =
        rustix::fs::fstat(&file).map_err(|errno| SegmentError::io("look at", segment, errno))?;
    if let Some(found) = kind(&stat) {
        return Err(SegmentError::NotRegular {
            segment: segment.clone(),
            found,
        });
    }
    options.check_owner(segment, stat.st_uid)?;
    check_coherent(segment, &file)?;
    let len = check_len(segment, u64::try_from(stat.st_size).unwrap_or(0))?;
    let mapping = Mapping::of_file(file.as_fd(), len, access)
        .map_err(|error| SegmentError::io("map", segment, error))?;
    Ok(Attached {
        mapping,
        segment: segment.clone(),
        identity: SegmentId::of(&stat),
        file: Some(file),
        created: Created::No,
    })
}

/// What a file is, if it is not a regular one.
pub(super) fn kind(stat: &Stat) -> Option<FileKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some(FileKind::Symlink),
        FileType::Directory => Some(FileKind::Directory),
        FileType::Fifo => Some(FileKind::Fifo),
        FileType::Socket => Some(FileKind::Socket),
        FileType::CharacterDevice | FileType::BlockDevice => Some(FileKind::Device),
        FileType::Unknown => Some(FileKind::Other),
    }
}
