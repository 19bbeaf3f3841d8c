//! A new segment: its geometry, and the bytes of its header.

use zerocopy::IntoBytes;

use super::error::SizeError;
use super::geometry::Counts;
use super::header::CacheFields;
use super::raw::{
    CHECKSUM_AT, ENDIANNESS, FORMAT_VERSION, MAGIC, MAX_BUCKETS, MAX_KEY_LEN, MAX_SCHEMA_LEN,
    MAX_VALUE_LEN, PAGE, RawHeader, SCHEMAS_AT, StoreKind, checksum,
};
use crate::liveness::token::MAX_PARTICIPANTS;
use crate::protocol::hash::{HashFunction, SECRET_WORDS};
use crate::protocol::shape::SLOTS;

/// Everything about a segment that its creator decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: StoreKind,
    pub(crate) hash: HashFunction,
    pub(crate) capacity: u64,
    pub(crate) key_len: usize,
    pub(crate) value_len: usize,
    pub(crate) meta_words: u32,
    pub(crate) participants: u32,
    pub(crate) key_schema: String,
    pub(crate) value_schema: String,
    pub(crate) cache: CacheFields,
}

/// What distinguishes one creation from the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreationRecord {
    pub(crate) secret: [u64; SECRET_WORDS],
    pub(crate) segment_id: [u64; 2],
    pub(crate) creator_pid: u32,
    pub(crate) created_at: u64,
    pub(crate) boot_id: [u8; 16],
}

/// Records in the ring of moves of a new segment: enough for thousands of insertions into a
/// full table while an iterator is at one bucket.
pub(super) const NEW_MOVES: u32 = 1024;

/// How many buckets keep the promise that `capacity` entries fit.
///
/// 13.4 entries a bucket, of 15 usable slots or 16: a load of 0.893 of the former. In simulations of
/// two choices with paths (preferring the primary bucket; 10 million removals and insertions for
/// each of the orders in which a program may remove, see [`crate::protocol::order`]) nothing failed
/// up to a load of 0.897, and one insertion in a million at 0.901. Small tables have larger fluctuations,
/// so they get a few more buckets.
///
/// A cache needs no slack: it never has more than `capacity` entries, and what does not fit
/// replaces something.
pub(super) fn buckets_for(kind: StoreKind, capacity: u64) -> Option<u64> {
    if kind == StoreKind::Cache {
        let buckets = capacity.div_ceil(SLOTS as u64 - 1).max(2);
        return (buckets <= MAX_BUCKETS).then_some(buckets);
    }
    let slack = 30u64
        .saturating_sub(capacity.saturating_mul(3) / 100)
        .max((capacity / 64).min(13));
    let buckets = (capacity.checked_add(slack)?.checked_mul(5)? / 67).max(2);
    (buckets <= MAX_BUCKETS).then_some(buckets)
}

impl Plan {
    /// The geometry of the new segment.
    pub(crate) fn counts(&self) -> Result<Counts, SizeError> {
        for (part, len, max) in [
            ("key", self.key_len, MAX_KEY_LEN),
            ("value", self.value_len, MAX_VALUE_LEN),
        ] {
            if len > max {
                let (len, max) = (len as u64, max as u64);
                return Err(SizeError::EntryTooLarge { part, len, max });
            }
        }
        for (part, text) in [("key", &self.key_schema), ("value", &self.value_schema)] {
            if text.len() > MAX_SCHEMA_LEN {
                return Err(SizeError::SchemaTooLong {
                    part,
                    len: text.len(),
                    max: MAX_SCHEMA_LEN,
                });
            }
        }
        if !(1..=MAX_PARTICIPANTS).contains(&self.participants) {
            return Err(SizeError::BadWriters {
                found: self.participants,
                max: MAX_PARTICIPANTS,
            });
        }
        if self.capacity == 0 {
            return Err(SizeError::ZeroCapacity);
        }
        let schemas = self.key_schema.len() + self.value_schema.len();
        let counts = |buckets| Counts {
            buckets,
            key_len: self.key_len as u32,
            value_len: self.value_len as u32,
            meta_words: self.meta_words,
            participants: self.participants,
            // Nothing is displaced in a cache.
            moves: match self.kind {
                StoreKind::Map => NEW_MOVES,
                StoreKind::Cache => 1,
            },
            leases: self.cache.leases,
            statistics: self.cache.statistics,
            header_len: ((SCHEMAS_AT + schemas) as u64).next_multiple_of(PAGE),
        };
        let fits = |capacity| {
            buckets_for(self.kind, capacity)
                .map(counts)
                .filter(|counts| counts.places().is_some())
        };
        fits(self.capacity).ok_or_else(|| {
            // The largest capacity that fits, for the message.
            let (mut good, mut bad) = (1u64, self.capacity);
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                if fits(middle).is_some() {
                    good = middle
                } else {
                    bad = middle
                }
            }
            SizeError::TooManyEntries {
                capacity: self.capacity,
                max: good,
            }
        })
    }

    /// The bytes of the header, complete with magic and checksum.
    pub(crate) fn header(&self, counts: &Counts, creation_record: &CreationRecord) -> Vec<u8> {
        let places = counts
            .places()
            .expect("the counts were checked when they were made");
        let raw = RawHeader {
            magic: MAGIC,
            endianness: ENDIANNESS,
            version: FORMAT_VERSION,
            checksum: 0,
            header_len: counts.header_len,
            total_len: places.end as u64 * 8,
            kind: self.kind.id(),
            hash: self.hash.id(),
            secret: creation_record.secret,
            segment_id: creation_record.segment_id,
            capacity: self.capacity,
            buckets: counts.buckets,
            key_len: counts.key_len,
            value_len: counts.value_len,
            meta_words: counts.meta_words,
            participants: counts.participants,
            moves: counts.moves,
            key_schema_len: self.key_schema.len() as u32,
            value_schema_len: self.value_schema.len() as u32,
            creator_pid: creation_record.creator_pid,
            created_at: creation_record.created_at,
            boot_id: creation_record.boot_id,
            time_to_live: self.cache.time_to_live,
            time_to_idle: self.cache.time_to_idle,
            stale: self.cache.stale,
            negative_ttl: self.cache.negative_ttl,
            leases: counts.leases,
            statistics: counts.statistics,
            reserved: [0; 34],
        };
        let mut bytes = raw.as_bytes().to_vec();
        bytes.extend_from_slice(self.key_schema.as_bytes());
        bytes.extend_from_slice(self.value_schema.as_bytes());
        bytes.resize(counts.header_len as usize, 0);
        let checksum = checksum(&bytes);
        bytes[CHECKSUM_AT].copy_from_slice(&checksum.to_ne_bytes());
        bytes
    }
}
