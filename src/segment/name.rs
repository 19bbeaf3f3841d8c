//! How a segment is called: the parts of a [`Segment`] and its textual form.
//!
//! ```text
//! shm:NAME       POSIX shared memory, /dev/shm/NAME
//! file:PATH      a file
//! sysv:KEY       a System V segment by its key, decimal or 0x hexadecimal
//! sysv:PATH#ID   a System V segment by the key that ftok makes of PATH and ID
//! sysv-id:N      a System V segment by its identifier, as ipcs shows it
//! fd:N           a descriptor that this process inherited or received
//! memfd:NAME     a new anonymous segment; NAME is a label, nobody can open it
//! ```
//!
//! What is in one of these types has passed validation, so a name that is no single
//! directory entry, or a key that means "a new private segment", cannot be expressed.

use std::fmt;
use std::num::{NonZeroI32, NonZeroU8};
use std::path::Path;
use std::str::FromStr;

use super::{Segment, SegmentError};

/// The longest entry of a directory that Linux knows.
const NAME_BYTES_MAX: usize = 255;
/// The kernel puts "memfd:" before the label, and 255 bytes is the limit of both.
const LABEL_BYTES_MAX: usize = 249;
/// `PATH_MAX` counts the terminating NUL.
const PATH_BYTES_MAX: usize = 4095;

/// The forms that [`Segment`]'s `FromStr` takes, for messages.
pub(super) const FORMS: &str =
    "shm:NAME, file:PATH, sysv:KEY, sysv:PATH#ID, sysv-id:N, fd:N or memfd:NAME";

/// What is wrong with a textual segment name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// There is no `scheme:` in front.
    #[error("it does not say of which kind the segment is: write {FORMS}")]
    NoScheme,
    /// The part before the colon is none of ours.
    #[error("\"{found}\" is no kind of segment: write {FORMS}")]
    UnknownScheme {
        /// What stood before the colon.
        found: String,
    },
    /// Nothing follows the colon.
    #[error("the name is empty")]
    Empty,
    /// A slash in a name that is one entry of a directory.
    #[error("a name has no '/': write shm:NAME for /dev/shm/NAME, or file:PATH for a path")]
    Slash,
    /// A NUL byte, which no system call can take.
    #[error("it contains a NUL byte")]
    Nul,
    /// `.` or `..`, or a path that ends in one of them or in a slash.
    #[error("it names a directory, a segment is a file")]
    Directory,
    /// Longer than the kernel allows.
    #[error("it is {found} bytes long, at most {limit} are possible")]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// The longest possible, in bytes.
        limit: usize,
    },
    /// A path that is not UTF-8 has no textual form.
    #[error("the path is not UTF-8, so it has no textual form: use a path that is")]
    NotUtf8,
    /// Not a number, or one that does not fit.
    #[error("expected {expected}")]
    Number {
        /// What was expected instead.
        expected: &'static str,
    },
    /// Key 0 is `IPC_PRIVATE`.
    #[error(
        "key 0 is IPC_PRIVATE, which makes a new segment each time that nobody else can find: \
         choose another key, or use a memfd"
    )]
    PrivateKey,
}

/// The name of a POSIX segment, or the label of a memfd: one entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<str>);

impl Name {
    pub(super) fn of_shm(name: &str) -> Result<Self, NameProblem> {
        Self::checked(name, NAME_BYTES_MAX)
    }

    pub(super) fn of_memfd(label: &str) -> Result<Self, NameProblem> {
        Self::checked(label, LABEL_BYTES_MAX)
    }

    fn checked(name: &str, limit: usize) -> Result<Self, NameProblem> {
        let found = name.len();
        match name {
            "" => Err(NameProblem::Empty),
            "." | ".." => Err(NameProblem::Directory),
            _ if name.contains('\0') => Err(NameProblem::Nul),
            _ if name.contains('/') => Err(NameProblem::Slash),
            _ if found > limit => Err(NameProblem::TooLong { found, limit }),
            _ => Ok(Self(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The path of a segment in a file: UTF-8, and its last part is a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilePath(Box<str>);

impl FilePath {
    pub(super) fn new(path: &Path) -> Result<Self, NameProblem> {
        let text = path.to_str().ok_or(NameProblem::NotUtf8)?;
        let found = text.len();
        if text.is_empty() {
            return Err(NameProblem::Empty);
        }
        if text.contains('\0') {
            return Err(NameProblem::Nul);
        }
        if found > PATH_BYTES_MAX {
            let limit = PATH_BYTES_MAX;
            return Err(NameProblem::TooLong { found, limit });
        }
        // By text, not by `Path::file_name`, which looks past a final "/" or "/.".
        match text.rsplit('/').next() {
            None | Some("" | "." | "..") => Err(NameProblem::Directory),
            Some(last) if last.len() > NAME_BYTES_MAX => Err(NameProblem::TooLong {
                found: last.len(),
                limit: NAME_BYTES_MAX,
            }),
            Some(_) => Ok(Self(text.into())),
        }
    }

    /// The path that `ftok` is applied to, which may be a directory as well.
    pub(super) fn of_ftok(path: &str) -> Result<Self, NameProblem> {
        let found = path.len();
        if path.is_empty() {
            Err(NameProblem::Empty)
        } else if path.contains('\0') {
            Err(NameProblem::Nul)
        } else if found > PATH_BYTES_MAX {
            let limit = PATH_BYTES_MAX;
            Err(NameProblem::TooLong { found, limit })
        } else {
            Ok(Self(path.into()))
        }
    }

    /// The path, as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }
}

/// What names a System V segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SysVKey {
    /// The key itself. Zero, `IPC_PRIVATE`, names nothing.
    Number(NonZeroI32),
    /// The key that `ftok(path, id)` makes of an existing file when it is needed.
    Path {
        /// An existing file or directory.
        path: FilePath,
        /// The `proj_id`.
        id: NonZeroU8,
    },
}

impl FromStr for SysVKey {
    type Err = NameProblem;

    fn from_str(text: &str) -> Result<Self, NameProblem> {
        // The last '#', since a path may contain some of its own.
        if let Some((path, id)) = text.rsplit_once('#') {
            let id = number(id)
                .and_then(|id| u8::try_from(id).ok())
                .and_then(NonZeroU8::new)
                .ok_or(NameProblem::Number {
                    expected: "a number from 1 to 255 after the '#' of sysv:PATH#ID",
                })?;
            let path = FilePath::of_ftok(path)?;
            return Ok(Self::Path { path, id });
        }
        let wide = number(text).ok_or(NameProblem::Number {
            expected: "a key as a decimal or 0x hexadecimal number of 32 bits, or PATH#ID",
        })?;
        // ipcs prints keys unsigned, C programs often hold them signed: take both.
        let key = i32::try_from(wide)
            .or_else(|_| u32::try_from(wide).map(u32::cast_signed))
            .map_err(|_| NameProblem::Number {
                expected: "a key of 32 bits",
            })?;
        NonZeroI32::new(key)
            .map(Self::Number)
            .ok_or(NameProblem::PrivateKey)
    }
}

impl fmt::Display for SysVKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(key) => write!(f, "{:#x}", key.get().cast_unsigned()),
            Self::Path { path, id } => write!(f, "{}#{id}", path.as_str()),
        }
    }
}

/// A decimal number with an optional minus, or a hexadecimal one after `0x`.
fn number(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        return i64::from_str_radix(hex, 16).ok().filter(|_| digits);
    }
    // `parse` would take a plus sign as well.
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// A number that the kernel hands out as a non-negative `int`.
fn handle(text: &str, expected: &'static str) -> Result<u32, NameProblem> {
    number(text)
        .and_then(|wide| i32::try_from(wide).ok())
        .and_then(|narrow| u32::try_from(narrow).ok())
        .ok_or(NameProblem::Number { expected })
}

impl FromStr for Segment {
    type Err = SegmentError;

    fn from_str(text: &str) -> Result<Self, SegmentError> {
        parse(text).map_err(|problem| SegmentError::InvalidName {
            given: text.to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Segment, NameProblem> {
    let (scheme, rest) = text.split_once(':').ok_or(NameProblem::NoScheme)?;
    match scheme {
        "shm" => Name::of_shm(rest).map(Segment::Shm),
        "file" => FilePath::new(Path::new(rest)).map(Segment::File),
        "sysv" => rest.parse().map(Segment::SysV),
        "sysv-id" => handle(rest, "a segment identifier, as ipcs -m shows it").map(Segment::SysVId),
        "fd" => handle(rest, "the number of an open descriptor").map(Segment::Fd),
        "memfd" => Name::of_memfd(rest).map(Segment::Memfd),
        // "/tmp/a:b" and "some name: x" are names without a scheme, rather than wrong ones.
        _ if scheme.is_empty()
            || !scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Err(NameProblem::NoScheme)
        }
        _ => Err(NameProblem::UnknownScheme {
            found: scheme.to_owned(),
        }),
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shm(name) => write!(f, "shm:{}", name.as_str()),
            Self::File(path) => write!(f, "file:{}", path.as_str()),
            Self::SysV(key) => write!(f, "sysv:{key}"),
            Self::SysVId(id) => write!(f, "sysv-id:{id}"),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
            Self::Memfd(name) => write!(f, "memfd:{}", name.as_str()),
        }
    }
}

impl TryFrom<&str> for Segment {
    type Error = SegmentError;

    fn try_from(text: &str) -> Result<Self, SegmentError> {
        text.parse()
    }
}

impl TryFrom<String> for Segment {
    type Error = SegmentError;

    fn try_from(text: String) -> Result<Self, SegmentError> {
        text.parse()
    }
}

impl TryFrom<&String> for Segment {
    type Error = SegmentError;

    fn try_from(text: &String) -> Result<Self, SegmentError> {
        text.parse()
    }
}

impl From<&Segment> for Segment {
    fn from(segment: &Segment) -> Self {
        segment.clone()
    }
}
