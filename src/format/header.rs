//! A header that was checked.

use super::geometry::{Counts, Offsets};
use super::raw::StoreKind;
use crate::protocol::hash::{HashFunction, SECRET_WORDS};
use crate::sys::boot::boot_id;

/// What a cache's header says that a map's does not. All zero in a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheFields {
    /// Times in milliseconds, zero for "none"; at most [`MAX_TICKS`].
    pub(crate) time_to_live: u64,
    pub(crate) time_to_idle: u64,
    pub(crate) stale: u64,
    pub(crate) negative_ttl: u64,
    pub(crate) leases: u32,
    pub(crate) statistics: u32,
}

impl CacheFields {
    /// Words after the value in a slot.
    pub(crate) const fn meta_words(&self) -> u32 {
        if self.time_to_idle == 0 { 1 } else { 2 }
    }
}

/// A checked description of a segment, in private memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(crate) kind: StoreKind,
    pub(crate) hash: HashFunction,
    pub(crate) secret: [u64; SECRET_WORDS],
    pub(crate) segment_id: [u64; 2],
    pub(crate) capacity: u64,
    pub(crate) counts: Counts,
    pub(crate) places: Offsets,
    pub(crate) key_schema: String,
    pub(crate) value_schema: String,
    pub(crate) creator_pid: u32,
    pub(crate) created_at: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) cache: CacheFields,
}

/// What a segment says about itself. (The secret of the hash is nobody's business.)
impl Header {
    /// What kind of store it holds.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The hash function of its keys.
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The random number that names this creation of the segment.
    pub fn segment_id(&self) -> u128 {
        let [high, low] = self.segment_id;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The number of entries that it was made for.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes of the segment. The file behind it may be longer.
    pub fn total_len(&self) -> u64 {
        self.places.end as u64 * 8
    }

    /// The number of buckets.
    pub fn buckets(&self) -> u64 {
        self.counts.buckets
    }

    /// Bytes of a bucket.
    pub fn bucket_len(&self) -> u64 {
        self.counts.bucket_words() * 8
    }

    /// Slots of a bucket that can be in use at a time.
    pub fn usable_slots(&self) -> u32 {
        self.counts.usable()
    }

    /// Bytes of a key.
    pub fn key_len(&self) -> u32 {
        self.counts.key_len
    }

    /// Bytes of a value.
    pub fn value_len(&self) -> u32 {
        self.counts.value_len
    }

    /// Words (of eight bytes) of metadata that each entry has behind its value.
    pub fn meta_words(&self) -> u32 {
        self.counts.meta_words
    }

    /// How many processes can be registered as writers at a time.
    pub fn max_writers(&self) -> u32 {
        self.counts.participants
    }

    /// The text of the schema of the keys, as it is stored. It has not been parsed, and may
    /// contain anything.
    pub fn key_schema(&self) -> &str {
        &self.key_schema
    }

    /// The text of the schema of the values, likewise.
    pub fn value_schema(&self) -> &str {
        &self.value_schema
    }

    /// The process that created the segment, by its id in its own pid namespace.
    pub fn creator_pid(&self) -> u32 {
        self.creator_pid
    }

    /// When the segment was created, by the wall clock.
    pub fn created_at(&self) -> std::time::SystemTime {
        // 64 bits of nanoseconds reach to the year 2554: no addition overflows.
        std::time::UNIX_EPOCH + std::time::Duration::from_nanos(self.created_at)
    }

    /// Whether the segment was created since the machine was last booted; `None` if the boot is
    /// not known.
    pub fn created_this_boot(&self) -> Option<bool> {
        let (now, then) = (boot_id()?, self.boot_id);
        (then != [0; 16]).then_some(now == then)
    }
}
