//! What was kept of a segment after a crash of the machine, and what not.

use std::fmt;

/// Most dropped entries that are listed one by one; the rest is counted.
const MAX_LISTED: usize = 1000;

/// Why an entry was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// Its key does not belong into the bucket where it was.
    Misplaced,
    /// Its fingerprint is not that of its key.
    WrongTag,
    /// The bytes that fill its key up to whole words are not zero.
    BadPadding,
    /// The bytes of its key are no value of the key's type.
    InvalidKey,
    /// The bytes of its value are no value of the value's type.
    InvalidValue,
    /// Its key is in the same bucket once more.
    Twice,
    /// Its key is in its alternate bucket as well; the one in the primary bucket was kept.
    Duplicate,
    /// More slots of the bucket were in use than may be.
    Overfull,
}

/// An entry that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedEntry {
    /// The bucket in which it was.
    pub bucket: u64,
    /// The hash of its key, as it was found.
    pub key_hash: u64,
    /// Why.
    pub reason: DropReason,
}

/// What became of a segment that was in use when the machine crashed; see
/// [`CrashPolicy`](crate::restart::CrashPolicy).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Entries that passed all checks.
    pub kept: u64,
    /// Entries that did not, or (if they were to be discarded) were not looked at.
    pub dropped: u64,
    /// Locks of processes of the former boot that were removed.
    pub locks: u64,
    /// Buckets whose counts of keys in their secondary bucket were put right.
    pub recounted: u64,
    /// The single entries that were dropped, the first thousand.
    pub entries: Vec<DroppedEntry>,
}

impl SalvageReport {
    pub(super) fn drop_entry(&mut self, bucket: u64, key_hash: u64, reason: DropReason) {
        self.dropped += 1;
        if self.entries.len() < MAX_LISTED {
            self.entries.push(DroppedEntry {
                bucket,
                key_hash,
                reason,
            });
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Misplaced => "its key does not belong there",
            Self::WrongTag => "its tag is not that of its key",
            Self::BadPadding => "the padding of its key is not zero",
            Self::InvalidKey => "its key is not valid",
            Self::InvalidValue => "its value is not valid",
            Self::Twice => "its key is there twice",
            Self::Duplicate => "its key is in its primary bucket as well",
            Self::Overfull => "the bucket was overfull",
        })
    }
}

impl fmt::Display for DroppedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bucket,
            key_hash,
            reason,
        } = self;
        write!(
            f,
            "entry with hash {key_hash:#018x} dropped from bucket {bucket}: {reason}"
        )
    }
}

/// A line of counts, then a line for each entry that was dropped.
impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after a crash of the machine: {} entries kept, {} dropped, {} locks removed, \
             {} buckets recounted",
            self.kept, self.dropped, self.locks, self.recounted
        )?;
        for entry in &self.entries {
            write!(f, "\n{entry}")?;
        }
        Ok(())
    }
}
