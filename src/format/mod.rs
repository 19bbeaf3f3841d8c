//! What the bytes of a segment mean: the specification, and its validation.
//!
//! This page is the format's contract. Offsets and sizes are in bytes; numbers are in the byte
//! order of the machine that created the segment, which the mark at offset 8 tells. A reader
//! of the format copies the header out **once**, validates the private copy, and never looks
//! at the shared one again: [`validate`] is a pure function, and everything above works from
//! the [`Layout`] that it returns.
//!
//! # Layout version 1
//!
//! | offset | size | field | meaning |
//! |-------:|-----:|-------|---------|
//! | 0 | 8 | magic | `7F 's' 'h' 'm' 'k' 'v' 0D 0A`; stored last at creation |
//! | 8 | 4 | endianness | `0x0A0B0C0D` |
//! | 12 | 4 | version | 1 |
//! | 16 | 8 | checksum | rapidhash V3 (its public secrets, seed 0) of the header, of `header_len` bytes, with magic and checksum taken as zero |
//! | 24 | 8 | header_len | bytes of the header with the schemas, a multiple of 4096 |
//! | 32 | 8 | total_len | bytes of the segment; the mapping may be longer |
//! | 40 | 4 | kind | 1 = map, 2 = cache |
//! | 44 | 4 | hash | 1 = rapidhash V3, 2 = SipHash-1-3 (module `hash`) |
//! | 48 | 64 | secret | random; keys the hash |
//! | 112 | 16 | segment_id | random; names this creation of the segment |
//! | 128 | 8 | capacity | map: entries that are promised to fit; cache: entries that there are at most |
//! | 136 | 8 | buckets | number of buckets, 2 to 2^32 |
//! | 144 | 4 | key_len | bytes of a key |
//! | 148 | 4 | value_len | bytes of a value |
//! | 152 | 4 | meta_words | words after the value in a slot: 0 in a map; in a cache 1, or 2 if it has a time_to_idle |
//! | 156 | 4 | participants | slots for writing processes |
//! | 160 | 4 | moves | records in the ring of recent moves |
//! | 164 | 4 | key_schema_len | bytes of the key's schema, UTF-8, at offset 512 |
//! | 168 | 4 | value_schema_len | bytes of the value's schema, right behind it |
//! | 172 | 4 | creator_pid | in the creator's pid namespace; for people |
//! | 176 | 8 | created_at | nanoseconds since 1970, by the wall clock; for people |
//! | 184 | 16 | boot_id | of the boot during which the segment was created |
//! | 200 | 8 | time_to_live | cache: milliseconds that an entry lives unless told otherwise, 0 = no limit |
//! | 208 | 8 | time_to_idle | cache: milliseconds that an entry lives unless it is asked for, 0 = no limit |
//! | 216 | 8 | stale | cache: milliseconds after its time for which a value may be served while one process loads a new one |
//! | 224 | 8 | negative_ttl | cache: milliseconds that "there is none" is remembered, 0 = not at all |
//! | 232 | 4 | leases | cache: cells for loads under way |
//! | 236 | 4 | statistics | cache: lines of counters, 0 = none are kept |
//! | 240 | 272 | reserved | zero |
//! | 512 | | schemas | key, value; then zero up to `header_len` |
//!
//! Behind the header, each part beginning where the one before it ends:
//!
//! | part | size | content |
//! |------|------|---------|
//! | shared | 4096 | mutable words of the whole segment: words 0 to 2 say what the last sync saw and words 16 to 18 for which boot it was admitted (module `restart`), words 24 to 26 belong to a cache (module `cache`), the rest is reserved |
//! | participants | 64 x `participants` | who writes (module `owner`) |
//! | moves | 64 + 24 x `moves`, rounded up to 64 | recent displacements (module `moves`) |
//! | leases | 64 x `leases` | loads under way (module `lease`); empty in a map |
//! | statistics | 128 x `statistics` | counters (module `statistics`); empty in a map |
//! | learner | 4096 in a cache, 0 in a map | what the replacement policy has counted and learnt (module `policy::learner`) |
//! | ghosts | 16 x `buckets` in a cache, 0 in a map | tags of entries that a bucket gave up last (module `policy`) |
//! | buckets | (64 + 16 x slot) x `buckets` | the table (module `bucket`); starts at a multiple of 4096 |
//!
//! A slot is the key's bytes, rounded up to eight with zeros, then the value's likewise, then
//! `meta_words` words (module `entry`). Fields of a cache are zero in a map. Since every offset follows from the counts, none is stored.
//!
//! # Stability
//!
//! A segment of another version is refused by its number. The version changes with any change
//! of this page or of the protocol that moves on it, from the first release on: until then it is 1.

pub(crate) mod sections;

use std::fmt;
use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::format::sections::Parts;
use crate::liveness::SLOT_WORDS;
use crate::liveness::token::MAX_PARTICIPANTS;
use crate::policy::Ghosts;
use crate::policy::learner::LEARNER_WORDS;
use crate::protocol::hash::{HashKind, SECRET_WORDS};
use crate::protocol::lease::CELL_WORDS;
use crate::protocol::move_log::ring_words;
use crate::protocol::shape::{HEADER_WORDS, SLOTS, usable};
use crate::store::statistics::LINE_WORDS;
use crate::types::metadata::MAX_TICKS;

/// First word of every segment: `7F 's' 'h' 'm' 'k' 'v' 0D 0A`. (The line end shows when a
/// file went through a text conversion.)
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"\x7Fshmkv\r\n");

/// The version of the layout and of the protocol on it.
pub const LAYOUT_VERSION: u32 = 1;

const ENDIANNESS: u32 = 0x0A0B_0C0D;

/// The unit in which the parts before the buckets are laid out. A constant of the format, not
/// the page size of any machine.
const PAGE: u64 = 4096;

/// Longest schema text that is stored, in bytes.
pub(crate) const MAX_SCHEMA_LEN: usize = 16 * 1024;

/// Longest header: what is copied out of a segment before anything in it is believed.
pub(crate) const MAX_HEADER_LEN: usize = SCHEMAS_AT + 2 * MAX_SCHEMA_LEN + PAGE as usize;

/// Longest key or value, in bytes.
pub const MAX_ENTRY_PART: usize = 64 * 1024;

/// Most buckets of a segment.
pub(crate) const MAX_BUCKETS: u64 = 1 << 32;

/// Most records in the ring of moves.
const MAX_MOVES: u32 = 1 << 20;

/// Most cells for loads under way.
pub(crate) const MAX_LEASES: u32 = 1 << 20;

/// Most lines of counters.
pub(crate) const MAX_STATISTICS: u32 = 1 << 16;

/// Where the schemas start; the fixed fields end before.
const SCHEMAS_AT: usize = 512;

/// Words of the section with the mutable words of the whole segment: a page.
pub(crate) const SHARED_WORDS: usize = PAGE as usize / 8;

/// The fixed fields, as they lie in the segment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawHeader {
    magic: u64,
    endianness: u32,
    version: u32,
    checksum: u64,
    header_len: u64,
    total_len: u64,
    kind: u32,
    hash: u32,
    secret: [u64; SECRET_WORDS],
    segment_id: [u64; 2],
    capacity: u64,
    buckets: u64,
    key_len: u32,
    value_len: u32,
    meta_words: u32,
    participants: u32,
    moves: u32,
    key_schema_len: u32,
    value_schema_len: u32,
    creator_pid: u32,
    created_at: u64,
    boot_id: [u8; 16],
    time_to_live: u64,
    time_to_idle: u64,
    stale: u64,
    negative_ttl: u64,
    leases: u32,
    statistics: u32,
    reserved: [u64; 34],
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
pub enum Kind {
    /// A map: entries stay until they are removed.
    Map,
    /// A cache: entries may expire and may be evicted.
    Cache,
}

impl Kind {
    const fn id(self) -> u32 {
        match self {
            Self::Map => 1,
            Self::Cache => 2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "map",
            Self::Cache => "cache",
        })
    }
}

/// Why bytes are not a segment that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The segment is too short for a header.
    #[error(
        "segment has {found} bytes, a header takes {needed}: this is not a segment of shmkv, or its creation was cut short; remove it and create it again"
    )]
    TooShort {
        /// Bytes that a header takes at least.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The first word is not ours.
    #[error(
        "segment starts with {found:#018x} instead of shmkv's mark {expected:#018x}: it belongs to another program, or its creation was cut short"
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

/// The counts from which all offsets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) buckets: u64,
    pub(crate) key_len: u32,
    pub(crate) value_len: u32,
    pub(crate) meta_words: u32,
    pub(crate) participants: u32,
    pub(crate) moves: u32,
    pub(crate) leases: u32,
    pub(crate) statistics: u32,
    pub(crate) header_len: u64,
}

/// Offsets in words, computed from the counts and never read from a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) shared: usize,
    pub(crate) participants: usize,
    pub(crate) moves: usize,
    pub(crate) moves_end: usize,
    pub(crate) leases: usize,
    pub(crate) statistics: usize,
    pub(crate) learner: usize,
    pub(crate) ghosts: usize,
    pub(crate) ghosts_end: usize,
    pub(crate) buckets: usize,
    pub(crate) end: usize,
}

impl Places {
    /// The parts that every operation uses.
    pub(crate) fn parts(&self) -> Parts<Range<usize>> {
        Parts {
            shared: self.shared..self.participants,
            participants: self.participants..self.moves,
            moves: self.moves..self.moves_end,
            leases: self.leases..self.statistics,
            statistics: self.statistics..self.learner,
            learner: self.learner..self.ghosts,
            ghosts: self.ghosts..self.ghosts_end,
            buckets: self.buckets..self.end,
        }
    }
}

impl Counts {
    pub(crate) fn slot_words(&self) -> u64 {
        words(self.key_len) + words(self.value_len) + u64::from(self.meta_words)
    }

    /// Only entries of a cache have metadata.
    fn is_cache(&self) -> bool {
        self.meta_words != 0
    }

    /// Slots of a bucket that can be in use at a time.
    pub(crate) fn usable(&self) -> u32 {
        usable(words(self.value_len), self.meta_words)
    }

    pub(crate) fn bucket_words(&self) -> u64 {
        HEADER_WORDS as u64 + SLOTS as u64 * self.slot_words()
    }

    /// Where the parts are; `None` if the segment would not fit into an address space.
    pub(crate) fn places(&self) -> Option<Places> {
        let shared = self.header_len / 8;
        let participants = shared + SHARED_WORDS as u64;
        let moves = participants + SLOT_WORDS as u64 * u64::from(self.participants);
        let moves_end = moves + ring_words(self.moves);
        let leases = moves_end.next_multiple_of(8);
        let statistics = leases + CELL_WORDS as u64 * u64::from(self.leases);
        let learner = statistics + LINE_WORDS as u64 * u64::from(self.statistics);
        let (learner_words, ghost_words) = match self.is_cache() {
            true => (LEARNER_WORDS as u64, Ghosts::WORDS as u64),
            false => (0, 0),
        };
        let ghosts = learner + learner_words;
        let ghosts_end = ghosts.checked_add(self.buckets.checked_mul(ghost_words)?)?;
        let buckets = ghosts_end.checked_next_multiple_of(PAGE / 8)?;
        let end = buckets.checked_add(self.buckets.checked_mul(self.bucket_words())?)?;
        // Lengths of mappings are at most isize::MAX bytes.
        isize::try_from(end.checked_mul(8)?).ok()?;
        let word = |at: u64| usize::try_from(at).ok();
        Some(Places {
            shared: word(shared)?,
            participants: word(participants)?,
            moves: word(moves)?,
            moves_end: word(moves_end)?,
            leases: word(leases)?,
            statistics: word(statistics)?,
            learner: word(learner)?,
            ghosts: word(ghosts)?,
            ghosts_end: word(ghosts_end)?,
            buckets: word(buckets)?,
            end: word(end)?,
        })
    }
}

/// Words that `len` bytes take.
const fn words(len: u32) -> u64 {
    (len as u64).div_ceil(8)
}

/// Everything about a segment that its creator decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) hash: HashKind,
    pub(crate) capacity: u64,
    pub(crate) key_len: usize,
    pub(crate) value_len: usize,
    pub(crate) meta_words: u32,
    pub(crate) participants: u32,
    pub(crate) key_schema: String,
    pub(crate) value_schema: String,
    pub(crate) cache: CacheFields,
}

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

/// What distinguishes one creation from the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) secret: [u64; SECRET_WORDS],
    pub(crate) segment_id: [u64; 2],
    pub(crate) creator_pid: u32,
    pub(crate) created_at: u64,
    pub(crate) boot_id: [u8; 16],
}

/// Records in the ring of moves of a new segment: enough for thousands of insertions into a
/// full table while an iterator is at one bucket.
const NEW_MOVES: u32 = 1024;

/// How many buckets keep the promise that `capacity` entries fit.
///
/// 13.4 entries a bucket, of 15 usable slots or 16: a load of 0.893 of the former. In simulations of two choices
/// with one displacement (preferring home; fills of 1e3 to 1e7 keys, each followed by millions
/// of removals and insertions) nothing failed up to a load of 0.92. Small tables have larger
/// fluctuations, so up to a thousand entries get a few more buckets.
///
/// A cache needs no slack: it never has more than `capacity` entries, and what does not fit
/// replaces something.
fn buckets_for(kind: Kind, capacity: u64) -> Option<u64> {
    if kind == Kind::Cache {
        let buckets = capacity.div_ceil(SLOTS as u64 - 1).max(2);
        return (buckets <= MAX_BUCKETS).then_some(buckets);
    }
    let slack = 30u64.saturating_sub(capacity.saturating_mul(3) / 100);
    let buckets = (capacity.checked_add(slack)?.checked_mul(5)? / 67).max(2);
    (buckets <= MAX_BUCKETS).then_some(buckets)
}

impl Plan {
    /// The geometry of the new segment.
    pub(crate) fn counts(&self) -> Result<Counts, SizeError> {
        for (part, len) in [("key", self.key_len), ("value", self.value_len)] {
            if len > MAX_ENTRY_PART {
                let (len, max) = (len as u64, MAX_ENTRY_PART as u64);
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
                Kind::Map => NEW_MOVES,
                Kind::Cache => 1,
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
    pub(crate) fn header(&self, counts: &Counts, birth: &Birth) -> Vec<u8> {
        let places = counts
            .places()
            .expect("the counts were checked when they were made");
        let raw = RawHeader {
            magic: MAGIC,
            endianness: ENDIANNESS,
            version: LAYOUT_VERSION,
            checksum: 0,
            header_len: counts.header_len,
            total_len: places.end as u64 * 8,
            kind: self.kind.id(),
            hash: self.hash.id(),
            secret: birth.secret,
            segment_id: birth.segment_id,
            capacity: self.capacity,
            buckets: counts.buckets,
            key_len: counts.key_len,
            value_len: counts.value_len,
            meta_words: counts.meta_words,
            participants: counts.participants,
            moves: counts.moves,
            key_schema_len: self.key_schema.len() as u32,
            value_schema_len: self.value_schema.len() as u32,
            creator_pid: birth.creator_pid,
            created_at: birth.created_at,
            boot_id: birth.boot_id,
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

/// A checked description of a segment, in private memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) kind: Kind,
    pub(crate) hash: HashKind,
    pub(crate) secret: [u64; SECRET_WORDS],
    pub(crate) segment_id: [u64; 2],
    pub(crate) capacity: u64,
    pub(crate) counts: Counts,
    pub(crate) places: Places,
    pub(crate) key_schema: String,
    pub(crate) value_schema: String,
    pub(crate) creator_pid: u32,
    pub(crate) created_at: u64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) cache: CacheFields,
}

/// What a segment says about itself. (The secret of the hash is nobody's business.)
impl Layout {
    /// What kind of store it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hash function of its keys.
    pub fn hash(&self) -> HashKind {
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
    pub fn is_of_this_boot(&self) -> Option<bool> {
        let (now, then) = (crate::store::restart::boot_id(), self.boot_id);
        (now != [0; 16] && then != [0; 16]).then_some(now == then)
    }
}

const CHECKSUM_AT: std::ops::Range<usize> = 16..24;

/// The checksum of a header, of which `bytes` are all. Guards against accidents, not against
/// an enemy, who would compute it: nothing below trusts a field because the sum was right.
fn checksum(bytes: &[u8]) -> u64 {
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
    bytes[12..16].copy_from_slice(LAYOUT_VERSION.as_bytes());
    let header_len = u64::from_ne_bytes(bytes[24..32].try_into().expect("eight bytes"));
    let len = bytes.len().min(MAX_HEADER_LEN) as u64;
    if let Some(header) = bytes.get(..header_len.min(len) as usize)
        && header.len() >= SCHEMAS_AT
    {
        let sum = checksum(header);
        bytes[CHECKSUM_AT].copy_from_slice(&sum.to_ne_bytes());
    }
}

/// Validates a private copy of the first bytes of a segment of which `mapped_len` are mapped.
///
/// `bytes` are the first `min(mapped_len, MAX_HEADER_LEN)` bytes. Whatever they are, this
/// returns; and a `Layout` that it returns describes only words inside the mapping.
pub(crate) fn validate(bytes: &[u8], mapped_len: u64) -> Result<Layout, LayoutError> {
    let needed = SCHEMAS_AT as u64;
    let found = mapped_len.min(bytes.len() as u64);
    let Ok((raw, _)) = RawHeader::read_from_prefix(bytes) else {
        return Err(LayoutError::TooShort { needed, found });
    };
    if found < needed {
        return Err(LayoutError::TooShort { needed, found });
    }
    if raw.magic != MAGIC {
        return Err(LayoutError::BadMagic {
            expected: MAGIC,
            found: raw.magic,
        });
    }
    if raw.endianness != ENDIANNESS {
        let (expected, found) = (ENDIANNESS, raw.endianness);
        return Err(LayoutError::WrongEndianness { expected, found });
    }
    if raw.version != LAYOUT_VERSION {
        let (expected, found) = (LAYOUT_VERSION, raw.version);
        return Err(LayoutError::WrongVersion { expected, found });
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
        return Err(LayoutError::BadChecksum {
            expected,
            found: raw.checksum,
        });
    }
    let kind = match raw.kind {
        1 => Kind::Map,
        2 => Kind::Cache,
        other => return Err(bad_field("kind", other.into(), "1 (map) or 2 (cache)")),
    };
    let hash = HashKind::from_id(raw.hash).ok_or_else(|| {
        bad_field(
            "hash",
            raw.hash.into(),
            "1 (rapidhash V3) or 2 (SipHash-1-3)",
        )
    })?;
    let part = MAX_ENTRY_PART as u32;
    field(
        "key_len",
        raw.key_len.into(),
        raw.key_len <= part,
        "at most 65536",
    )?;
    field(
        "value_len",
        raw.value_len.into(),
        raw.value_len <= part,
        "at most 65536",
    )?;
    let cache = cache_fields(kind, &raw)?;
    let (meta_words, expected) = match kind {
        Kind::Map => (0, "0 in a map"),
        Kind::Cache => (
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
    let shared_out = kind == Kind::Map || raw.buckets == 2 || raw.capacity >= raw.buckets;
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
        return Err(LayoutError::Truncated {
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
            Err(_) => Err(LayoutError::BadSchema { part }),
        }
    };
    let key_schema = text("key", "key_schema_len", SCHEMAS_AT, raw.key_schema_len)?;
    let value_schema = text(
        "value",
        "value_schema_len",
        SCHEMAS_AT + key_schema.len(),
        raw.value_schema_len,
    )?;
    Ok(Layout {
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
fn cache_fields(kind: Kind, raw: &RawHeader) -> Result<CacheFields, LayoutError> {
    let times = [
        ("time_to_live", raw.time_to_live),
        ("time_to_idle", raw.time_to_idle),
        ("stale", raw.stale),
        ("negative_ttl", raw.negative_ttl),
    ];
    let (leases, statistics) = (raw.leases, raw.statistics);
    match kind {
        Kind::Map => {
            let numbers = [("leases", leases), ("statistics", statistics)];
            let numbers = numbers.map(|(name, number)| (name, number.into()));
            for (name, found) in times.into_iter().chain(numbers) {
                field(name, found, found == 0, "0 in a map")?;
            }
        }
        Kind::Cache => {
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

fn bad_field(field: &'static str, found: u64, expected: &'static str) -> LayoutError {
    LayoutError::BadField {
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
) -> Result<(), LayoutError> {
    if good {
        Ok(())
    } else {
        Err(bad_field(name, found, expected))
    }
}

#[cfg(test)]
mod tests;
