//! What is known about one version of a file: the record that the workers share.
//!
//! A version is told by path, modification time and size, the key. That alone would be
//! fooled by whoever sets the modification time back, so the record also holds the time
//! of the last change of the inode, which nobody can set, and is valid only together with it.
//!
//! Time stamps of files move in ticks. A file that was read in the very tick of its last
//! change may be changed again without a new time; so a record is stored only when the
//! last change lies back further than that ([`Stamp::has_adopted_boot`]).

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::fstat;
use sha2::{Digest as _, Sha256};

use crate::root::FilePath;

/// Twenty times the longest tick of Linux (10 ms). File systems with coarser times, such as FAT
/// with its two seconds, are not what this example is for.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// One version of one file.
#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileKey {
    /// Half a SHA-256 of the path: nobody finds two paths with the same one, so the path itself
    /// need not be stored.
    path: [u8; 16],
    mtime_ns: i64,
    size: u64,
}

/// What the server knows about it.
#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
    /// Line ends, as `wc -l` counts.
    pub(crate) lines: u64,
    pub(crate) mtime_ns: i64,
    ctime_ns: i64,
}

/// What the file system says about the version of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    pub(crate) ctime_ns: i64,
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        let ns = |seconds: i64, nanoseconds: i64| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds)
        };
        Ok(Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            // The kernel's nanoseconds are below 10^9, whatever their type.
            mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec as i64),
        })
    }

    /// Whether any further change will show in the stamp.
    pub(crate) fn has_adopted_boot(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i128::from(self.ctime_ns) + SETTLED_AFTER.as_nanos() as i128 <= now.as_nanos() as i128
    }
}

impl FileKey {
    pub(crate) fn new(path: &FilePath, stamp: Stamp) -> Self {
        let hash: [u8; 32] = Sha256::digest(path.as_bytes()).into();
        let (half, _) = hash.split_at(16);
        Self {
            path: half.try_into().expect("half of 32 bytes are 16"),
            mtime_ns: stamp.mtime_ns,
            size: stamp.size,
        }
    }
}

impl Digest {
    /// Whether it is that of the file's present version.
    pub(crate) fn is_of(&self, stamp: Stamp) -> bool {
        self.ctime_ns == stamp.ctime_ns
            && self.mtime_ns == stamp.mtime_ns
            && self.size == stamp.size
    }

    /// Reads the file. `None` if it changed meanwhile.
    pub(crate) fn compute(mut file: &File, stamp: Stamp) -> io::Result<Option<Self>> {
        let mut hasher = Sha256::new();
        let (mut size, mut lines) = (0, 0);
        let mut buffer = vec![0; 64 * 1024];
        // Not from where the last attempt has left it.
        io::Seek::rewind(&mut file)?;
        loop {
            let bytes = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => &buffer[..len],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(bytes);
            size += bytes.len() as u64;
            lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        let digest = Self {
            sha256: hasher.finalize().into(),
            size,
            lines,
            mtime_ns: stamp.mtime_ns,
            ctime_ns: stamp.ctime_ns,
        };
        Ok(digest.is_of(Stamp::of(file)?).then_some(digest))
    }

    pub(crate) fn to_json(self, path: &FilePath) -> serde_json::Value {
        serde_json::json!({
            "path": String::from_utf8_lossy(path.as_bytes()),
            "sha256": hex(&self.sha256),
            "size": self.size,
            "lines": self.lines,
            "mtime_ns": self.mtime_ns,
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
