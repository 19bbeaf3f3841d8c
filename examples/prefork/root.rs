//! The directory that is served, and nothing but what is below it.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;

/// An open directory. Renaming or replacing its path does not lead to another place.
pub(crate) struct Root {
    directory: File,
}

/// The path of a file below the root: parts that are neither empty nor `.` nor `..`, joined
/// by slashes. Two of these are equal only if they name the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(Vec<u8>);

/// Why there is no such file for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no path at all: broken percent-encoding, a zero byte.
    Malformed,
    /// It leads out of the root, through a symbolic link, or to what this process may not read.
    Forbidden,
    /// It is not there, or is no regular file.
    NotFound,
    /// The machine has no descriptor or no memory left.
    Exhausted,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self {
                directory: directory.into(),
            }),
            Err(errno) => Err(io::Error::new(
                io::Error::from(errno).kind(),
                format!(
                    "cannot serve {}: {}",
                    path.display(),
                    io::Error::from(errno)
                ),
            )),
        }
    }

    /// Opens a regular file for reading. Symbolic links are not followed, at no part of the
    /// path: each part is opened in the directory that was opened before it, so it does
    /// not matter who renames what meanwhile.
    pub(crate) fn open_file(&self, path: &FilePath) -> Result<File, Refusal> {
        let (parents, name) = match path.0.rsplit_once_slash() {
            Some((parents, name)) => (Some(parents), name),
            None => (None, &path.0[..]),
        };
        let mut directory = None;
        for part in parents.into_iter().flat_map(|it| it.split(is_slash)) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let within = directory.as_ref().unwrap_or(&self.directory);
            directory = Some(File::from(openat(within, part, flags, Mode::empty())?));
        }
        // A FIFO must not keep the worker waiting.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let within = directory.as_ref().unwrap_or(&self.directory);
        let file = openat(within, name, flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(Refusal::NotFound),
        }
    }
}

impl FilePath {
    /// The path that is meant by the rest of a URL, which is percent-encoded.
    pub(crate) fn from_url(encoded: &[u8]) -> Result<Self, Refusal> {
        let bytes = percent_decoded(encoded).ok_or(Refusal::Malformed)?;
        if bytes.contains(&0) {
            return Err(Refusal::Malformed);
        }
        let mut path = Vec::with_capacity(bytes.len());
        for part in bytes.split(is_slash) {
            match part {
                b"" | b"." => {}
                b".." => return Err(Refusal::Forbidden),
                part => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
            }
        }
        match path.is_empty() {
            true => Err(Refusal::NotFound),
            false => Ok(Self(path)),
        }
    }

    /// For a URL: everything but letters, digits, `-._~` and slashes is encoded.
    pub(crate) fn to_url(&self) -> String {
        let mut url = String::with_capacity(self.0.len());
        for &byte in &self.0 {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    url.push(byte.into());
                }
                _ => {
                    url.push('%');
                    for digit in [byte >> 4, byte & 15] {
                        url.push(b"0123456789ABCDEF"[usize::from(digit)].into());
                    }
                }
            }
        }
        url
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            // ELOOP: the last part is a symbolic link.
            Errno::ACCESS | Errno::PERM | Errno::LOOP => Self::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Self::Exhausted,
            // Among others ENOTDIR: a part before the last is a symbolic link, or a file.
            _ => Self::NotFound,
        }
    }
}

trait RsplitOnceSlash {
    fn rsplit_once_slash(&self) -> Option<(&[u8], &[u8])>;
}

impl RsplitOnceSlash for [u8] {
    fn rsplit_once_slash(&self) -> Option<(&[u8], &[u8])> {
        let at = self.iter().rposition(is_slash)?;
        Some((&self[..at], &self[at + 1..]))
    }
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

fn percent_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let ([high, low], after) = rest.split_first_chunk()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        // Two hexadecimal digits make one byte.
        bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = after;
    }
    Some(bytes)
}
