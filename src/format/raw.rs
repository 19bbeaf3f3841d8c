//! The fixed fields of a header as they lie in the segment, and the numbers of the format.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::protocol::hash::SECRET_WORDS;

/// First word of every segment: `7F 's' 'h' 'm' 'k' 'v' 0D 0A`. (The line end shows when a
/// file went through a text conversion.)
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"\x7Fshmkv\r\n");

/// The version of the layout and of the protocol on it.
pub const FORMAT_VERSION: u32 = 1;

pub(super) const ENDIANNESS: u32 = 0x0A0B_0C0D;

/// The unit in which the parts before the buckets are laid out. A constant of the format, not
/// the page size of any machine.
pub(super) const PAGE: u64 = 4096;

/// Longest schema text that is stored, in bytes.
pub(crate) const MAX_SCHEMA_LEN: usize = 16 * 1024;

/// Longest header: what is copied out of a segment before anything in it is believed.
pub(crate) const MAX_HEADER_LEN: usize = SCHEMAS_AT + 2 * MAX_SCHEMA_LEN + PAGE as usize;

/// Longest key, in bytes.
pub const MAX_KEY_LEN: usize = 64 * 1024;

/// Longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;

/// Most buckets of a segment.
pub(crate) const MAX_BUCKETS: u64 = 1 << 32;

/// Most records in the ring of moves.
pub(super) const MAX_MOVES: u32 = 1 << 20;

/// Most cells for loads under way.
pub(crate) const MAX_LEASES: u32 = 1 << 20;

/// Most lines of counters.
pub(crate) const MAX_STATISTICS: u32 = 1 << 16;

/// Where the schemas start; the fixed fields end before.
pub(super) const SCHEMAS_AT: usize = 512;

/// Words of the section with the mutable words of the whole segment: a page.
pub(crate) const SHARED_WORDS: usize = PAGE as usize / 8;

/// The fixed fields, as they lie in the segment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RawHeader {
    pub(super) magic: u64,
    pub(super) endianness: u32,
    pub(super) version: u32,
    pub(super) checksum: u64,
    pub(super) header_len: u64,
    pub(super) total_len: u64,
    pub(super) kind: u32,
    pub(super) hash: u32,
    pub(super) secret: [u64; SECRET_WORDS],
    pub(super) segment_id: [u64; 2],
    pub(super) capacity: u64,
    pub(super) buckets: u64,
    pub(super) key_len: u32,
    pub(super) value_len: u32,
    pub(super) meta_words: u32,
    pub(super) participants: u32,
    pub(super) moves: u32,
    pub(super) key_schema_len: u32,
    pub(super) value_schema_len: u32,
    pub(super) creator_pid: u32,
    pub(super) created_at: u64,
    pub(super) boot_id: [u8; 16],
    pub(super) time_to_live: u64,
    pub(super) time_to_idle: u64,
    pub(super) stale: u64,
    pub(super) negative_ttl: u64,
    pub(super) leases: u32,
    pub(super) statistics: u32,
    pub(super) reserved: [u64; 34],
}

// The table above, checked.
const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(RawHeader, magic) == 0);
    assert!(offset_of!(RawHeader, endianness) == 8);
    assert!(offset_of!(RawHeader, version) == 12);
    assert!(offset_of!(RawHeader, checksum) == 16);
    assert!(offset_of!(RawHeader, header_len) == 24);
    assert!(offset_of!(RawHeader, total_len) == 32);
    assert!(offset_of!(RawHeader, kind) == 40);
    assert!(offset_of!(RawHeader, hash) == 44);
    assert!(offset_of!(RawHeader, secret) == 48);
    assert!(offset_of!(RawHeader, segment_id) == 112);
    assert!(offset_of!(RawHeader, capacity) == 128);
    assert!(offset_of!(RawHeader, buckets) == 136);
    assert!(offset_of!(RawHeader, key_len) == 144);
    assert!(offset_of!(RawHeader, value_len) == 148);
    assert!(offset_of!(RawHeader, meta_words) == 152);
    assert!(offset_of!(RawHeader, participants) == 156);
    assert!(offset_of!(RawHeader, moves) == 160);
    assert!(offset_of!(RawHeader, key_schema_len) == 164);
    assert!(offset_of!(RawHeader, value_schema_len) == 168);
    assert!(offset_of!(RawHeader, creator_pid) == 172);
    assert!(offset_of!(RawHeader, created_at) == 176);
    assert!(offset_of!(RawHeader, boot_id) == 184);
    assert!(offset_of!(RawHeader, time_to_live) == 200);
    assert!(offset_of!(RawHeader, time_to_idle) == 208);
    assert!(offset_of!(RawHeader, stale) == 216);
    assert!(offset_of!(RawHeader, negative_ttl) == 224);
    assert!(offset_of!(RawHeader, leases) == 232);
    assert!(offset_of!(RawHeader, statistics) == 236);
    assert!(offset_of!(RawHeader, reserved) == 240);
    assert!(size_of::<RawHeader>() == SCHEMAS_AT);
};

/// What kind of store a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// A map: entries stay until they are removed.
    Map,
    /// A cache: entries may expire and may be evicted.
    Cache,
}

impl StoreKind {
    pub(super) const fn id(self) -> u32 {
        match self {
            Self::Map => 1,
            Self::Cache => 2,
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "map",
            Self::Cache => "cache",
        })
    }
}

pub(super) const CHECKSUM_AT: std::ops::Range<usize> = 16..24;

/// The checksum of a header, of which `bytes` are all. Guards against accidents, not against
/// an enemy, who would compute it: nothing below trusts a field because the sum was right.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let mut copy = bytes.to_vec();
    copy[..8].fill(0);
    copy[CHECKSUM_AT].fill(0);
    rapidhash::v3::rapidhash_v3(&copy)
}

/// Makes bytes pass all checks before those of the fields.
#[cfg(any(fuzzing, test))]
pub(crate) fn seal(bytes: &mut [u8]) {
    if bytes.len() < SCHEMAS_AT {
        return;
    }
    bytes[..8].copy_from_slice(MAGIC.as_bytes());
    bytes[8..12].copy_from_slice(ENDIANNESS.as_bytes());
    bytes[12..16].copy_from_slice(FORMAT_VERSION.as_bytes());
    let header_len = u64::from_ne_bytes(bytes[24..32].try_into().expect("eight bytes"));
    let len = bytes.len().min(MAX_HEADER_LEN) as u64;
    if let Some(header) = bytes.get(..header_len.min(len) as usize)
        && header.len() >= SCHEMAS_AT
    {
        let sum = checksum(header);
        bytes[CHECKSUM_AT].copy_from_slice(&sum.to_ne_bytes());
    }
}
