//! From bytes that anybody may have written to a checked header.

use zerocopy::{FromBytes, IntoBytes};

use super::error::FormatError;
use super::geometry::Counts;
use super::header::{CacheFields, Header};
use super::raw::{
    ENDIANNESS, FORMAT_VERSION, MAGIC, MAX_BUCKETS, MAX_HEADER_LEN, MAX_KEY_LEN, MAX_LEASES,
    MAX_MOVES, MAX_SCHEMA_LEN, MAX_STATISTICS, MAX_VALUE_LEN, PAGE, RawHeader, SCHEMAS_AT,
    StoreKind, checksum,
};
use crate::liveness::token::MAX_PARTICIPANTS;
use crate::protocol::hash::HashFunction;
use crate::sys::mapping::Mapping;
use crate::sys::sync::{Ordering, fence};
use crate::types::metadata::MAX_TICKS;

/// Validates a private copy of the first bytes of a segment of which `mapped_len` are mapped.
///
/// `bytes` are the first `min(mapped_len, MAX_HEADER_LEN)` bytes. Whatever they are, this
/// returns; and a `Header` that it returns describes only words inside the mapping.
pub(crate) fn validate(bytes: &[u8], mapped_len: u64) -> Result<Header, FormatError> {
    let needed = SCHEMAS_AT as u64;
    let found = mapped_len.min(bytes.len() as u64);
    let Ok((raw, _)) = RawHeader::read_from_prefix(bytes) else {
        return Err(FormatError::TooShort { needed, found });
    };
    if found < needed {
        return Err(FormatError::TooShort { needed, found });
    }
    if raw.magic != MAGIC {
        return Err(FormatError::BadMagic {
            expected: MAGIC,
            found: raw.magic,
        });
    }
    if raw.endianness != ENDIANNESS {
        let (expected, found) = (ENDIANNESS, raw.endianness);
        return Err(FormatError::WrongEndianness { expected, found });
    }
    if raw.version != FORMAT_VERSION {
        let (expected, found) = (FORMAT_VERSION, raw.version);
        return Err(FormatError::WrongVersion { expected, found });
    }
    let longest = (bytes.len() as u64).min(MAX_HEADER_LEN as u64);
    field(
        "header_len",
        raw.header_len,
        raw.header_len >= PAGE && raw.header_len % PAGE == 0 && raw.header_len <= longest,
        "a multiple of 4096 inside the segment",
    )?;
    let header = &bytes[..raw.header_len as usize];
    let expected = checksum(header);
    if raw.checksum != expected {
        return Err(FormatError::BadChecksum {
            expected,
            found: raw.checksum,
        });
    }
    let kind = match raw.kind {
        1 => StoreKind::Map,
        2 => StoreKind::Cache,
        other => return Err(bad_field("kind", other.into(), "1 (map) or 2 (cache)")),
    };
    let hash = HashFunction::from_id(raw.hash).ok_or_else(|| {
        bad_field(
            "hash",
            raw.hash.into(),
            "1 (rapidhash V3) or 2 (SipHash-1-3)",
        )
    })?;
    field(
        "key_len",
        raw.key_len.into(),
        raw.key_len <= MAX_KEY_LEN as u32,
        "at most 65536",
    )?;
    field(
        "value_len",
        raw.value_len.into(),
        raw.value_len <= MAX_VALUE_LEN as u32,
        "at most 65536",
    )?;
    let cache = cache_fields(kind, &raw)?;
    let (meta_words, expected) = match kind {
        StoreKind::Map => (0, "0 in a map"),
        StoreKind::Cache => (
            cache.meta_words(),
            "1 in a cache, or 2 if it has a time_to_idle",
        ),
    };
    let found = raw.meta_words;
    field("meta_words", found.into(), found == meta_words, expected)?;
    let buckets = (2..=MAX_BUCKETS).contains(&raw.buckets);
    field("buckets", raw.buckets, buckets, "2 to 2^32")?;
    let participants = (1..=MAX_PARTICIPANTS).contains(&raw.participants);
    field(
        "participants",
        raw.participants.into(),
        participants,
        "1 to 65535",
    )?;
    let moves = (1..=MAX_MOVES).contains(&raw.moves);
    field("moves", raw.moves.into(), moves, "1 to 2^20")?;
    let reserved = raw
        .reserved
        .iter()
        .find(|word| **word != 0)
        .copied()
        .unwrap_or(0);
    field("reserved", reserved, reserved == 0, "0")?;

    let counts = Counts {
        buckets: raw.buckets,
        key_len: raw.key_len,
        value_len: raw.value_len,
        meta_words: raw.meta_words,
        participants: raw.participants,
        moves: raw.moves,
        leases: raw.leases,
        statistics: raw.statistics,
        header_len: raw.header_len,
    };
    let most = counts.buckets * u64::from(counts.usable());
    let promised = (1..=most).contains(&raw.capacity);
    field(
        "capacity",
        raw.capacity,
        promised,
        "1 to the number of usable slots",
    )?;
    // Each bucket of a cache may have its share of the capacity, so that must not be nothing (but
    // for the smallest caches, in which every key may be in either bucket).
    let shared_out = kind == StoreKind::Map || raw.buckets == 2 || raw.capacity >= raw.buckets;
    let expected = "at least the number of buckets, in a cache";
    field("capacity", raw.capacity, shared_out, expected)?;
    let places = counts.places().ok_or_else(|| {
        bad_field(
            "buckets",
            raw.buckets,
            "a number of buckets that fits into memory",
        )
    })?;
    let expected = places.end as u64 * 8;
    if raw.total_len != expected {
        return Err(bad_field(
            "total_len",
            raw.total_len,
            "the sum of the parts",
        ));
    }
    if mapped_len < expected {
        return Err(FormatError::Truncated {
            expected,
            found: mapped_len,
        });
    }

    let text = |part, name, start: usize, len: u32| {
        let inside = header
            .get(start..start.saturating_add(len as usize))
            .filter(|bytes| bytes.len() <= MAX_SCHEMA_LEN);
        let bytes = inside.ok_or_else(|| {
            let expected = "at most 16384, inside the header";
            bad_field(name, len.into(), expected)
        })?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(FormatError::BadSchema { part }),
        }
    };
    let key_schema = text("key", "key_schema_len", SCHEMAS_AT, raw.key_schema_len)?;
    let value_schema = text(
        "value",
        "value_schema_len",
        SCHEMAS_AT + key_schema.len(),
        raw.value_schema_len,
    )?;
    Ok(Header {
        kind,
        hash,
        secret: raw.secret,
        segment_id: raw.segment_id,
        capacity: raw.capacity,
        counts,
        places,
        key_schema,
        value_schema,
        creator_pid: raw.creator_pid,
        created_at: raw.created_at,
        boot_id: raw.boot_id,
        cache,
    })
}

/// The fields of a cache, each in its range; all zero in a map.
fn cache_fields(kind: StoreKind, raw: &RawHeader) -> Result<CacheFields, FormatError> {
    let times = [
        ("time_to_live", raw.time_to_live),
        ("time_to_idle", raw.time_to_idle),
        ("stale", raw.stale),
        ("negative_ttl", raw.negative_ttl),
    ];
    let (leases, statistics) = (raw.leases, raw.statistics);
    match kind {
        StoreKind::Map => {
            let numbers = [("leases", leases), ("statistics", statistics)];
            let numbers = numbers.map(|(name, number)| (name, number.into()));
            for (name, found) in times.into_iter().chain(numbers) {
                field(name, found, found == 0, "0 in a map")?;
            }
        }
        StoreKind::Cache => {
            for (name, found) in times {
                let expected = "less than 2^40 milliseconds";
                field(name, found, found <= MAX_TICKS, expected)?;
            }
            let good = (1..=MAX_LEASES).contains(&leases);
            field("leases", leases.into(), good, "1 to 2^20 in a cache")?;
            let good = statistics <= MAX_STATISTICS;
            field("statistics", statistics.into(), good, "at most 65536")?;
        }
    }
    Ok(CacheFields {
        time_to_live: raw.time_to_live,
        time_to_idle: raw.time_to_idle,
        stale: raw.stale,
        negative_ttl: raw.negative_ttl,
        leases,
        statistics,
    })
}

pub(super) fn bad_field(field: &'static str, found: u64, expected: &'static str) -> FormatError {
    FormatError::BadField {
        field,
        found,
        expected,
    }
}

fn field(
    name: &'static str,
    found: u64,
    good: bool,
    expected: &'static str,
) -> Result<(), FormatError> {
    if good {
        Ok(())
    } else {
        Err(bad_field(name, found, expected))
    }
}

/// Copies the header out, once, and validates the copy.
pub(crate) fn read_layout(mapping: &Mapping) -> Result<Header, FormatError> {
    let header: Vec<u64> = mapping
        .words()
        .iter()
        .take(MAX_HEADER_LEN / 8)
        .enumerate()
        .map(|(index, word)| {
            // Acquire on the first word would be wrong on a read-only mapping; the fence
            // after it pairs with the Release store of the magic at creation.
            let word = word.load(Ordering::Relaxed);
            if index == 0 {
                fence(Ordering::Acquire);
            }
            word
        })
        .collect();
    validate(header.as_bytes(), mapping.len() as u64)
}
