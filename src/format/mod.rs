//! What the bytes of a segment mean: the specification, and its validation.
//!
//! This page is the format's contract. Offsets and sizes are in bytes; numbers are in the byte
//! order of the machine that created the segment, which the mark at offset 8 tells. A reader
//! of the format copies the header out **once**, validates the private copy, and never looks
//! at the shared one again: `validate` is a pure function, and everything above works from
//! the [`Header`] that it returns.
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
//! | 224 | 8 | negative_ttl | cache: milliseconds that a negative entry is remembered, 0 = not at all |
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
//! | estimator | 4096 in a cache, 0 in a map | what the replacement policy has counted and estimated (module `policy::estimator`) |
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

mod error;
mod geometry;
mod header;
mod plan;
mod raw;
pub(crate) mod sections;
pub(crate) mod shared_page;
mod validate;

pub use self::error::{FormatError, SizeError};
pub(crate) use self::header::CacheFields;
pub use self::header::Header;
pub(crate) use self::plan::{CreationRecord, Plan};
#[cfg(fuzzing)]
pub(crate) use self::raw::seal;
pub use self::raw::{FORMAT_VERSION, MAX_KEY_LEN, MAX_VALUE_LEN, StoreKind};
pub(crate) use self::raw::{MAGIC, MAX_BUCKETS, SHARED_WORDS};
pub(crate) use self::validate::read_layout;
#[cfg(fuzzing)]
pub(crate) use self::validate::validate;
pub use crate::protocol::hash::HashFunction;

#[cfg(test)]
mod tests;
