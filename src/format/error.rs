//! What can be wrong with a header, and with what is asked of a new segment.

/// Why bytes are not a segment that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The segment is too short for a header.
    #[error(
        "segment has {found} bytes, a header takes {needed}: it is not a segment of shmkv, or was cut short"
    )]
    TooShort {
        /// Bytes that a header takes at least.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The first word is not ours.
    #[error(
        "segment starts with {found:#018x} instead of shmkv's mark {expected:#018x}: it belongs to another program, its creation was cut short (where that is zero), or it was overwritten"
    )]
    BadMagic {
        /// The mark of shmkv.
        expected: u64,
        /// The word that stands there.
        found: u64,
    },
    /// The segment was made on a machine of the other byte order.
    #[error(
        "segment was created on a machine of the other byte order (mark {found:#010x}, expected {expected:#010x}): it can only be used on such a machine; dump it there and load it here"
    )]
    WrongEndianness {
        /// The mark in this machine's byte order.
        expected: u32,
        /// The mark that stands there.
        found: u32,
    },
    /// The segment has another layout version.
    #[error(
        "segment has layout version {found}, this program knows version {expected}: open it with the matching version of shmkv, or remove and create it again"
    )]
    WrongVersion {
        /// The version of this program.
        expected: u32,
        /// The version of the segment.
        found: u32,
    },
    /// The header was damaged after it was written.
    #[error(
        "checksum of the header is {found:#018x}, its bytes give {expected:#018x}: the header was damaged; remove the segment and create it again"
    )]
    BadChecksum {
        /// What the header's bytes add up to.
        expected: u64,
        /// What the header says.
        found: u64,
    },
    /// A field has a value that no creator writes.
    #[error(
        "header field `{field}` is {found}, expected {expected}: the header was not written by shmkv"
    )]
    BadField {
        /// Name of the field, as in the table of the format.
        field: &'static str,
        /// The value that stands there.
        found: u64,
        /// Which values are possible.
        expected: &'static str,
    },
    /// The segment is shorter than its header says.
    #[error(
        "segment should have {expected} bytes by its header, {found} are mapped: it was truncated; remove it and create it again"
    )]
    Truncated {
        /// Bytes by the header.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A schema is not text.
    #[error("the stored schema of the {part} is not UTF-8: the header was not written by shmkv")]
    BadSchema {
        /// "key" or "value".
        part: &'static str,
    },
}

/// Why a segment cannot be made as large as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// A capacity of zero holds nothing.
    #[error("capacity is 0: give the number of entries that the map shall hold")]
    ZeroCapacity,
    /// More entries than a segment can have.
    #[error("capacity {capacity} is too large: {max} entries of this size are possible")]
    TooManyEntries {
        /// What was asked for.
        capacity: u64,
        /// What is possible.
        max: u64,
    },
    /// A key or value that is too large.
    #[error("a {part} of {len} bytes is too large: at most {max} are possible")]
    EntryTooLarge {
        /// "key" or "value".
        part: &'static str,
        /// Its size.
        len: u64,
        /// The largest possible.
        max: u64,
    },
    /// The number of participant slots is out of range.
    #[error("{found} writers at a time are not possible: give a number from 1 to {max}")]
    BadWriters {
        /// What was asked for.
        found: u32,
        /// The most that are possible.
        max: u32,
    },
    /// The text of a schema is too long to be stored.
    #[error("the schema of the {part} takes {len} bytes, {max} are possible: simplify the type")]
    SchemaTooLong {
        /// "key" or "value".
        part: &'static str,
        /// Bytes of its text.
        len: usize,
        /// The most that are possible.
        max: usize,
    },
}
