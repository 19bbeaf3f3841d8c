//! Why a segment could not be named, made, found, opened or changed.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::time::Duration;

use super::{NameProblem, Segment};

/// Why an operation on a segment failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The text does not name a segment.
    #[error("{given:?} does not name a segment: {problem}")]
    InvalidName {
        /// The text.
        given: String,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// What was wanted of the memory of a mapping (huge pages, locking, prefault) cannot be had.
    /// A segment that was to be created was not.
    #[error(
        "{wish} is not possible for {segment}: {source}; raise the limit, or open it without \
         that wish"
    )]
    Memory {
        /// The segment.
        segment: Segment,
        /// What was wished for.
        wish: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Creation needs a name that is free.
    #[error("{segment} exists already: open it, or choose another name")]
    AlreadyExists {
        /// The segment that was to be created.
        segment: Segment,
    },
    /// Nothing has this name.
    #[error("{segment} does not exist: create it first")]
    NotFound {
        /// The segment that was looked for.
        segment: Segment,
    },
    /// The kernel refused access.
    #[error("permission denied to {action} {segment}{}", Refused(found, *euid))]
    PermissionDenied {
        /// The segment.
        segment: Segment,
        /// What was tried: "open", "create", "remove", …
        action: &'static str,
        /// Who may access it, as far as this process is allowed to see.
        found: Option<Permissions>,
        /// The effective user of this process.
        euid: u32,
    },
    /// A symbolic link, directory, FIFO, socket or device has this name.
    #[error("{segment} is {found}, a segment is a regular file: choose another name")]
    NotRegular {
        /// The segment.
        segment: Segment,
        /// What was found instead.
        found: FileKind,
    },
    /// The segment belongs to somebody else, who could have planted it.
    #[error(
        "{segment} belongs to uid {found}, expected uid {expected}: if that user is to be \
         trusted with it, open it with expect_owner({found})"
    )]
    ForeignOwner {
        /// The segment.
        segment: Segment,
        /// The accepted owner.
        expected: u32,
        /// The owner, or for System V the creator, who keeps an owner's rights.
        found: u32,
    },
    /// Too short to be a segment, or asked to be.
    #[error(
        "{segment} has {found} bytes, a segment has at least {needed}: it is not a segment of shmkv, or was cut short"
    )]
    TooSmall {
        /// The segment.
        segment: Segment,
        /// The shortest possible length in bytes.
        needed: u64,
        /// Its length in bytes.
        found: u64,
    },
    /// Longer than this machine, file system or process may have it.
    #[error(
        "{segment} of {needed} bytes is more than is allowed here ({limit}): choose a smaller capacity, or raise that limit"
    )]
    TooLarge {
        /// The segment.
        segment: Segment,
        /// Its length in bytes.
        needed: u64,
        /// Whose limit it is.
        limit: &'static str,
    },
    /// Not a whole number of words.
    #[error(
        "{segment} has {found} bytes, expected a whole number of 8-byte words: it is not a segment of shmkv"
    )]
    OddLength {
        /// The segment.
        segment: Segment,
        /// Its length in bytes.
        found: u64,
    },
    /// The file system, or the kernel's allowance for System V, is full.
    #[error(
        "no space for the {needed} bytes of {segment}: free some or choose a smaller capacity; nothing was left behind"
    )]
    NoSpace {
        /// The segment that was to be created.
        segment: Segment,
        /// How many bytes it takes.
        needed: u64,
    },
    /// Parts of the file have no space on their file system, which is full: the first store
    /// there would kill this process.
    #[error(
        "{segment} has holes, and its file system has no space left to fill them ({needed} bytes in all): free some, or open it for reading only"
    )]
    Holes {
        /// The segment that was to be opened for writing.
        segment: Segment,
        /// How many bytes it takes without holes.
        needed: u64,
    },
    /// A System V segment whose creation is not complete in time.
    #[error("{segment} was not ready after {waited:?}: {}", Creator(*creator))]
    NotReady {
        /// The segment.
        segment: Segment,
        /// How long this process has waited.
        waited: Duration,
        /// The process that creates it, if that can be seen from here.
        creator: Option<u32>,
    },
    /// A System V segment whose creator died before it was ready.
    #[error("the creator of {segment} died before it was ready, {}", if *removed { "the remains were removed: create it again" } else { "remove it and create it again" })]
    Abandoned {
        /// The segment.
        segment: Segment,
        /// Whether the remains are gone already.
        removed: bool,
    },
    /// Other machines, or a server, may change the file behind the kernel's back.
    #[error(
        "{segment} is on {file_system}, where processes do not reliably see each other's writes: use shm:NAME, or a file on a local file system"
    )]
    Incoherent {
        /// The segment.
        segment: Segment,
        /// The file system, by name.
        file_system: &'static str,
    },
    /// The name no longer leads to the segment that was opened under it.
    #[error("{segment} {now}: this handle still works on the old segment; open it again")]
    NotCurrent {
        /// The name.
        segment: Segment,
        /// What became of it.
        now: NameStatus,
    },
    /// The descriptor was opened for less than is needed.
    #[error(
        "{segment} is a descriptor opened {found}, {needed} is needed: open it read-only, or pass a descriptor opened for reading and writing"
    )]
    DescriptorAccess {
        /// The segment.
        segment: Segment,
        /// How the descriptor was opened.
        found: &'static str,
        /// What is needed.
        needed: &'static str,
    },
    /// More than the nine permission bits.
    #[error("mode {mode:#o} is no permission: expected at most 0o777")]
    InvalidMode {
        /// The mode.
        mode: u32,
    },
    /// The segment was removed and created again, over and over.
    #[error(
        "{segment} was removed and created again all the while it was being opened: see who does that"
    )]
    Unstable {
        /// The segment.
        segment: Segment,
    },
    /// This kind of segment cannot do that.
    #[error("cannot {action} {segment}: {instead}")]
    Unsupported {
        /// The segment.
        segment: Segment,
        /// What was asked.
        action: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// Any other answer of the kernel.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, to what.
        context: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl SegmentError {
    /// An answer of the kernel that needs no explanation of ours.
    pub(crate) fn io(action: &str, segment: &Segment, source: impl Into<io::Error>) -> Self {
        Self::Io {
            context: format!("cannot {action} {segment}"),
            source: source.into(),
        }
    }
}

/// So that a [`Segment`] may be given wherever something that becomes one is taken.
impl From<Infallible> for SegmentError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Who may access a segment that this process may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permissions {
    /// The nine permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// Whether a POSIX ACL is set, so that the mode does not tell everything.
    /// `None`: it cannot be seen from here.
    pub acl: Option<bool>,
}

/// What has the name of a segment without being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A symbolic link, which is never followed.
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something else.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symlink => "a symbolic link",
            Self::Directory => "a directory",
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "no file",
        })
    }
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameStatus {
    /// Nothing has this name any more.
    Removed,
    /// The name leads to another segment.
    Replaced,
    /// The name is on overlayfs and leads to another file: it was replaced, or somebody was the first
    /// to open it for writing, so that it was copied from the lower layer to the upper one.
    CopiedUp,
}

impl fmt::Display for NameStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "was removed",
            Self::Replaced => "names another segment now",
            Self::CopiedUp => {
                "names another file of the overlay now (copied up for its first writer, or \
                 replaced), and this handle still reads the old one"
            }
        })
    }
}

/// The second half of the message of `PermissionDenied`.
struct Refused<'a>(&'a Option<Permissions>, u32);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found, euid) = self;
        match found {
            Some(Permissions { mode, uid, acl }) => {
                write!(
                    f,
                    ": it has mode {mode:04o} and owner uid {uid}, this process is uid {euid}"
                )?;
                f.write_str(match acl {
                    Some(true) => "; a POSIX ACL is set on it and governs access, see getfacl",
                    Some(false) => "",
                    None => "; POSIX ACLs may govern access as well",
                })
            }
            None => write!(
                f,
                " for uid {euid}: see mode, owner and POSIX ACLs of the segment and its directory"
            ),
        }
    }
}

/// The second half of the message of `NotReady`.
struct Creator(Option<u32>);

impl fmt::Display for Creator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}, which creates it, may still be at work: try again, or remove the segment if that process does something else"),
            None => f.write_str("its creator cannot be seen from here (another pid namespace): try again, or remove the segment if nobody is creating it"),
        }
    }
}
