//! What these tests show:
//!
//! - the bytes of a header are those of the table in the module's documentation;
//! - every answer of `validate` is reached, by the damage that it is for;
//! - whatever the bytes, `validate` returns, and what it describes lies inside the mapping;
//! - geometry does not overflow anywhere in its range, and keeps the promises made about it:
//!   room for the capacity, order and alignment of the parts, and little memory.

use proptest::prelude::*;

use zerocopy::{Immutable, IntoBytes};

use super::geometry::{Counts, Offsets};
use super::plan::buckets_for;
use super::raw::*;
use super::validate::{bad_field, validate};
use super::*;
use crate::liveness::token::MAX_PARTICIPANTS;
use crate::protocol::hash::HashFunction;
use crate::types::metadata::MAX_TICKS;

/// Long enough for several pages of schemas.
fn text(len: usize) -> String {
    "abcdefgh".chars().cycle().take(len).collect()
}

fn plan() -> Plan {
    Plan {
        kind: StoreKind::Map,
        hash: HashFunction::Rapid,
        capacity: 1000,
        key_len: 8,
        value_len: 3,
        meta_words: 0,
        participants: 5,
        key_schema: "u64".to_owned(),
        value_schema: "[u8; 3]".to_owned(),
        cache: CacheFields::default(),
    }
}

fn cache_plan() -> Plan {
    Plan {
        kind: StoreKind::Cache,
        meta_words: 2,
        cache: CacheFields {
            time_to_live: 60_000,
            time_to_idle: MAX_TICKS,
            stale: 1,
            negative_ttl: 7,
            leases: 64,
            statistics: 3,
        },
        ..plan()
    }
}

fn sized(capacity: u64, key_len: usize, value_len: usize) -> Plan {
    Plan {
        capacity,
        key_len,
        value_len,
        ..plan()
    }
}

fn born() -> CreationRecord {
    CreationRecord {
        secret: std::array::from_fn(|i| 0xA0A1_A2A3_A4A5_A600 + i as u64),
        segment_id: [0xB0B1_B2B3_B4B5_B6B7, 0xB8B9_BABB_BCBD_BEBF],
        creator_pid: 0xC0C1_C2C3,
        created_at: 0xD0D1_D2D3_D4D5_D6D7,
        boot_id: std::array::from_fn(|i| 0xE0 + i as u8),
    }
}

/// A valid header and the length of its segment.
fn header_of(plan: &Plan) -> (Vec<u8>, u64) {
    let counts = plan.counts().unwrap();
    let len = counts.places().unwrap().end as u64 * 8;
    (plan.header(&counts, &born()), len)
}

/// A header after somebody wrote `bytes` at `offset`, and then corrected the checksum.
fn forged(plan: &Plan, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let (mut header, _) = header_of(plan);
    header[offset..offset + bytes.len()].copy_from_slice(bytes);
    sealed(header)
}

fn sealed(mut header: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&header);
    header[CHECKSUM_AT].copy_from_slice(sum.as_bytes());
    header
}

fn answer(header: &[u8]) -> FormatError {
    validate(header, header_of(&plan()).1).expect_err("it was damaged")
}

/// That `validate` names this field and value when the field holds `value`.
#[track_caller]
fn assert_refused(offset: usize, value: impl IntoBytes + Immutable + Into<u64>, name: &str) {
    let header = forged(&plan(), offset, value.as_bytes());
    match answer(&header) {
        FormatError::BadField { field, found, .. } => {
            assert_eq!((field, found), (name, value.into()));
        }
        other => panic!("{name}: {other}"),
    }
}

#[test]
#[cfg(target_endian = "little")]
fn golden_bytes_of_a_header_are_those_of_the_table() {
    let table: &[(usize, &str, &[u8])] = &[
        (0, "magic", b"\x7Fshmkv\r\n"),
        (8, "endianness", &[0x0D, 0x0C, 0x0B, 0x0A]),
        (12, "version", &[1, 0, 0, 0]),
        (16, "checksum", &GOLDEN_CHECKSUM),
        (24, "header_len", &[0, 0x10, 0, 0, 0, 0, 0, 0]),
        // 4096 header, 4096 shared, 5 x 64 participants, 64 + 24 x 1024 moves, up to the
        // next page, then 75 buckets of 64 + 16 x 16.
        (32, "total_len", &[0xC0, 0xED, 0, 0, 0, 0, 0, 0]),
        (40, "kind", &[1, 0, 0, 0]),
        (44, "hash", &[1, 0, 0, 0]),
        (
            48,
            "secret 0",
            &[0x00, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            56,
            "secret 1",
            &[0x01, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            64,
            "secret 2",
            &[0x02, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            72,
            "secret 3",
            &[0x03, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            80,
            "secret 4",
            &[0x04, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            88,
            "secret 5",
            &[0x05, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            96,
            "secret 6",
            &[0x06, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            104,
            "secret 7",
            &[0x07, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, 0xA0],
        ),
        (
            112,
            "segment_id 0",
            &[0xB7, 0xB6, 0xB5, 0xB4, 0xB3, 0xB2, 0xB1, 0xB0],
        ),
        (
            120,
            "segment_id 1",
            &[0xBF, 0xBE, 0xBD, 0xBC, 0xBB, 0xBA, 0xB9, 0xB8],
        ),
        (128, "capacity", &[0xE8, 0x03, 0, 0, 0, 0, 0, 0]),
        (136, "buckets", &[75, 0, 0, 0, 0, 0, 0, 0]),
        (144, "key_len", &[8, 0, 0, 0]),
        (148, "value_len", &[3, 0, 0, 0]),
        (152, "meta_words", &[0, 0, 0, 0]),
        (156, "participants", &[5, 0, 0, 0]),
        (160, "moves", &[0, 4, 0, 0]),
        (164, "key_schema_len", &[3, 0, 0, 0]),
        (168, "value_schema_len", &[7, 0, 0, 0]),
        (172, "creator_pid", &[0xC3, 0xC2, 0xC1, 0xC0]),
        (
            176,
            "created_at",
            &[0xD7, 0xD6, 0xD5, 0xD4, 0xD3, 0xD2, 0xD1, 0xD0],
        ),
        (
            184,
            "boot_id",
            b"\xE0\xE1\xE2\xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xEB\xEC\xED\xEE\xEF",
        ),
        (200, "time_to_live", &[0; 8]),
        (208, "time_to_idle", &[0; 8]),
        (216, "stale", &[0; 8]),
        (224, "negative_ttl", &[0; 8]),
        (232, "leases", &[0; 4]),
        (236, "statistics", &[0; 4]),
        (240, "reserved", &[0; 272]),
        (512, "schemas", b"u64[u8; 3]"),
        (522, "padding", &[0; 4096 - 522]),
    ];
    let (header, len) = header_of(&plan());
    assert_eq!(len, 0xEDC0);
    let mut end = 0;
    for &(offset, field, bytes) in table {
        assert_eq!(offset, end, "the table has a gap before {field}");
        end = offset + bytes.len();
        assert_eq!(&header[offset..end], bytes, "{field} at {offset}");
    }
    assert_eq!(header.len(), end);
}

/// rapidhash V3 of the golden header. It changes only with the format.
#[cfg(target_endian = "little")]
const GOLDEN_CHECKSUM: [u8; 8] = [0xB9, 0xCC, 0xE8, 0x12, 0xF4, 0x6B, 0xAB, 0xF9];

#[test]
fn validate_gives_back_what_the_creator_decided() {
    let (header, len) = header_of(&plan());
    let layout = validate(&header, len).unwrap();
    let counts = plan().counts().unwrap();
    let creation_record = born();
    assert_eq!(
        layout,
        Header {
            kind: StoreKind::Map,
            hash: HashFunction::Rapid,
            secret: creation_record.secret,
            segment_id: creation_record.segment_id,
            capacity: 1000,
            counts,
            places: counts.places().unwrap(),
            key_schema: "u64".to_owned(),
            value_schema: "[u8; 3]".to_owned(),
            creator_pid: creation_record.creator_pid,
            created_at: creation_record.created_at,
            boot_id: creation_record.boot_id,
            cache: CacheFields::default(),
        }
    );
    let mut longer = header.clone();
    longer.resize(MAX_HEADER_LEN, 0xAA);
    let behind = validate(&longer, len + 1_000_000).unwrap();
    assert_eq!(
        behind, layout,
        "what lies behind the header is not looked at"
    );
}

#[test]
fn every_kind_and_hash_goes_through_the_header_and_back() {
    for kind in [StoreKind::Map, StoreKind::Cache] {
        for hash in [HashFunction::Rapid, HashFunction::Sip] {
            let plan = Plan {
                hash,
                ..match kind {
                    StoreKind::Map => plan(),
                    StoreKind::Cache => cache_plan(),
                }
            };
            let (header, len) = header_of(&plan);
            let layout = validate(&header, len).unwrap();
            assert_eq!((layout.kind, layout.hash), (kind, hash));
            assert_eq!(layout.cache, plan.cache);
        }
    }
}

#[test]
fn validate_refuses_what_is_shorter_than_the_fields() {
    let (header, len) = header_of(&plan());
    for short in [0, 1, 7, 8, 511] {
        let expected = FormatError::TooShort {
            needed: 512,
            found: short as u64,
        };
        assert_eq!(validate(&header[..short], len), Err(expected.clone()));
        assert_eq!(
            validate(&header, short as u64),
            Err(expected),
            "mapped shorter than copied"
        );
    }
}

#[test]
fn validate_refuses_a_header_that_ends_inside_the_copy() {
    let (header, len) = header_of(&plan());
    for short in [512, 4095] {
        let error = validate(&header[..short], len).unwrap_err();
        let found = 4096;
        assert_eq!(
            error,
            bad_field("header_len", found, "a multiple of 4096 inside the segment")
        );
    }
}

#[test]
fn validate_refuses_another_magic() {
    let error = answer(&forged(&plan(), 0, b"\x7FELF\x02\x01\x01\0"));
    let found = u64::from_ne_bytes(*b"\x7FELF\x02\x01\x01\0");
    let expected = MAGIC;
    assert_eq!(error, FormatError::BadMagic { expected, found });
    assert!(error.to_string().contains("belongs to another program"));
    let unfinished = answer(&forged(&plan(), 0, &[0; 8]));
    assert!(matches!(unfinished, FormatError::BadMagic { found: 0, .. }));
    assert!(unfinished.to_string().contains("creation was cut short"));
}

#[test]
fn validate_refuses_a_swapped_endianness_mark() {
    let error = answer(&forged(&plan(), 8, ENDIANNESS.swap_bytes().as_bytes()));
    let (expected, found) = (ENDIANNESS, ENDIANNESS.swap_bytes());
    assert_eq!(error, FormatError::WrongEndianness { expected, found });
    assert!(error.to_string().contains("other byte order"));
}

#[test]
fn validate_refuses_an_endianness_mark_that_is_none() {
    for mark in [0, 1, u32::MAX] {
        let error = answer(&forged(&plan(), 8, mark.as_bytes()));
        assert!(matches!(error, FormatError::WrongEndianness { found, .. } if found == mark));
    }
}

#[test]
fn validate_refuses_older_and_newer_versions_by_their_number() {
    for version in [0, 2, u32::MAX] {
        let error = answer(&forged(&plan(), 12, version.as_bytes()));
        let (expected, found) = (FORMAT_VERSION, version);
        assert_eq!(error, FormatError::WrongVersion { expected, found });
        let words = format!("layout version {version}, this program knows version 1");
        assert!(error.to_string().contains(&words), "{error}");
    }
}

#[test]
fn validate_names_the_version_before_it_expects_its_own_checksum() {
    let (mut header, len) = header_of(&plan());
    header[12] = 2;
    header[300] = 9;
    let error = validate(&header, len).unwrap_err();
    assert!(matches!(error, FormatError::WrongVersion { found: 2, .. }));
}

#[test]
fn validate_refuses_any_flipped_bit_of_the_header() {
    let (header, len) = header_of(&plan());
    for bit in (0..520 * 8).chain([4095 * 8 + 7]) {
        let mut flipped = header.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = validate(&flipped, len).expect_err("a flipped bit");
        match bit / 8 {
            0..8 => assert!(matches!(error, FormatError::BadMagic { .. })),
            8..12 => assert!(matches!(error, FormatError::WrongEndianness { .. })),
            12..16 => assert!(matches!(error, FormatError::WrongVersion { .. })),
            24..32 => assert!(matches!(
                error,
                FormatError::BadField {
                    field: "header_len",
                    ..
                }
            )),
            _ => assert!(
                matches!(error, FormatError::BadChecksum { .. }),
                "byte {}: {error}",
                bit / 8
            ),
        }
    }
}

#[test]
fn validate_tells_both_checksums() {
    let (mut header, len) = header_of(&plan());
    let good = u64::from_ne_bytes(header[CHECKSUM_AT].try_into().unwrap());
    header[16] ^= 1;
    let (expected, found) = (good, good ^ u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(
        validate(&header, len),
        Err(FormatError::BadChecksum { expected, found })
    );
}

#[test]
fn validate_refuses_header_len_out_of_range() {
    let (header, len) = header_of(&plan());
    for header_len in [
        0,
        1,
        512,
        4095,
        4097,
        8192,
        1 << 40,
        u64::MAX - 4095,
        u64::MAX,
    ] {
        // No checksum could be right for a length that is not there.
        let mut header = header.clone();
        header[24..32].copy_from_slice(header_len.as_bytes());
        let error = validate(&header, len).unwrap_err();
        assert_eq!(
            error,
            bad_field(
                "header_len",
                header_len,
                "a multiple of 4096 inside the segment"
            )
        );
    }
}

#[test]
fn validate_refuses_header_len_beyond_the_longest_header() {
    let (mut header, _) = header_of(&plan());
    header.resize(1 << 20, 0);
    let beyond = (MAX_HEADER_LEN as u64).next_multiple_of(4096);
    header[24..32].copy_from_slice(beyond.as_bytes());
    let error = validate(&sealed(header), 1 << 30).unwrap_err();
    assert!(
        matches!(error, FormatError::BadField { field: "header_len", found, .. } if found == beyond)
    );
}

#[test]
fn validate_refuses_unknown_kinds() {
    for kind in [0u32, 3, u32::MAX] {
        assert_refused(40, kind, "kind");
    }
}

#[test]
fn validate_refuses_unknown_hash_functions() {
    for hash in [0u32, 3, u32::MAX] {
        assert_refused(44, hash, "hash");
    }
}

#[test]
fn validate_refuses_a_capacity_of_zero() {
    assert_refused(128, 0u64, "capacity");
}

#[test]
fn validate_refuses_a_capacity_beyond_the_usable_slots() {
    // 75 buckets, all sixteen slots usable since values have one word.
    assert_refused(128, 75 * 16 + 1u64, "capacity");
    assert_refused(128, u64::MAX, "capacity");
    let header = forged(&plan(), 128, (75 * 16u64).as_bytes());
    assert!(validate(&header, header_of(&plan()).1).is_ok());
    // With longer values one slot of each bucket is spare.
    let plan = sized(1000, 8, 9);
    let len = header_of(&plan).1;
    let most = 75 * 15u64;
    assert!(validate(&forged(&plan, 128, most.as_bytes()), len).is_ok());
    assert!(validate(&forged(&plan, 128, (most + 1).as_bytes()), len).is_err());
}

#[test]
fn validate_refuses_bucket_counts_out_of_range() {
    for buckets in [0, 1, (1 << 32) + 1, u64::MAX] {
        assert_refused(136, buckets, "buckets");
    }
}

#[test]
fn validate_refuses_keys_beyond_the_longest() {
    assert_refused(144, 65_537u32, "key_len");
    assert_refused(144, u32::MAX, "key_len");
}

#[test]
fn validate_refuses_values_beyond_the_longest() {
    assert_refused(148, 65_537u32, "value_len");
    assert_refused(148, u32::MAX, "value_len");
}

#[test]
fn validate_refuses_metadata_words_in_a_map() {
    assert_refused(152, 1u32, "meta_words");
    assert_refused(152, u32::MAX, "meta_words");
}

#[test]
fn validate_refuses_a_caches_fields_in_a_map() {
    for (offset, name) in [
        (200, "time_to_live"),
        (208, "time_to_idle"),
        (216, "stale"),
        (224, "negative_ttl"),
    ] {
        assert_refused(offset, 1u64, name);
    }
    assert_refused(232, 1u32, "leases");
    assert_refused(236, 1u32, "statistics");
}

#[test]
fn validate_refuses_fields_of_a_cache_out_of_range() {
    let plan = cache_plan();
    let len = header_of(&plan).1;
    let answer = |offset, bytes: &[u8]| match validate(&forged(&plan, offset, bytes), len) {
        Ok(_) => "",
        Err(FormatError::BadField { field, .. }) => field,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(answer(200, &MAX_TICKS.to_ne_bytes()), "");
    for (offset, name) in [
        (200, "time_to_live"),
        (208, "time_to_idle"),
        (216, "stale"),
        (224, "negative_ttl"),
    ] {
        assert_eq!(answer(offset, &(MAX_TICKS + 1).to_ne_bytes()), name);
        assert_eq!(answer(offset, &u64::MAX.to_ne_bytes()), name);
    }
    for leases in [0, MAX_LEASES + 1, u32::MAX] {
        assert_eq!(answer(232, &leases.to_ne_bytes()), "leases");
    }
    for lines in [MAX_STATISTICS + 1, u32::MAX] {
        assert_eq!(answer(236, &lines.to_ne_bytes()), "statistics");
    }
    // Other numbers than the parts were laid out for.
    assert_eq!(answer(232, &1000u32.to_ne_bytes()), "total_len");
    assert_eq!(answer(236, &400u32.to_ne_bytes()), "total_len");
    // As many words as the times need, no more and no less.
    for words in [0u32, 1, 3] {
        assert_eq!(answer(152, &words.to_ne_bytes()), "meta_words");
    }
    assert_eq!(answer(208, &0u64.to_ne_bytes()), "meta_words");
    // A share for every bucket, and a spare slot in each.
    let buckets = plan.counts().unwrap().buckets;
    for capacity in [0, buckets - 1, 15 * buckets + 1] {
        assert_eq!(answer(128, &capacity.to_ne_bytes()), "capacity");
    }
    assert_eq!(answer(128, &buckets.to_ne_bytes()), "");
}

#[test]
fn a_cache_has_buckets_for_its_capacity_and_no_more() {
    for (capacity, buckets) in [
        (1, 2),
        (2, 2),
        (30, 2),
        (31, 3),
        (45, 3),
        (46, 4),
        (15_000, 1000),
    ] {
        let plan = Plan {
            capacity,
            ..cache_plan()
        };
        assert_eq!(plan.counts().unwrap().buckets, buckets, "{capacity}");
        let (header, len) = header_of(&plan);
        assert_eq!(validate(&header, len).unwrap().capacity, capacity);
    }
}

#[test]
fn validate_refuses_participant_counts_out_of_range() {
    for participants in [0u32, 65_536, u32::MAX] {
        assert_refused(156, participants, "participants");
    }
}

#[test]
fn validate_refuses_move_counts_out_of_range() {
    for moves in [0u32, (1 << 20) + 1, u32::MAX] {
        assert_refused(160, moves, "moves");
    }
}

#[test]
fn validate_refuses_any_reserved_word_that_is_not_zero() {
    for word in 0..34 {
        assert_refused(240 + 8 * word, 1u64 << word, "reserved");
    }
}

#[test]
fn validate_refuses_a_total_len_that_is_off_by_one() {
    let len = header_of(&plan()).1;
    for total in [len - 1, len + 1, len - 8, len + 8, 0, u64::MAX] {
        assert_refused(32, total, "total_len");
    }
}

#[test]
fn validate_refuses_a_mapping_that_is_one_byte_short() {
    let (header, len) = header_of(&plan());
    for found in [len - 1, len - 8, 4096] {
        let expected = len;
        let error = validate(&header, found).unwrap_err();
        assert_eq!(error, FormatError::Truncated { expected, found });
        assert!(error.to_string().contains("it was truncated"));
    }
    assert!(validate(&header, len).is_ok());
}

#[test]
fn validate_refuses_counts_that_contradict_the_length() {
    for (offset, value) in [(144, 9u32), (148, 9), (156, 600), (160, 2048)] {
        let error = answer(&forged(&plan(), offset, value.as_bytes()));
        assert!(
            matches!(
                error,
                FormatError::BadField {
                    field: "total_len",
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = answer(&forged(&plan(), 136, 76u64.as_bytes()));
    assert!(matches!(
        error,
        FormatError::BadField {
            field: "total_len",
            ..
        }
    ));
}

#[test]
fn validate_refuses_a_key_schema_that_is_not_utf8() {
    let error = answer(&forged(&plan(), 512, &[0xFF]));
    assert_eq!(error, FormatError::BadSchema { part: "key" });
    assert!(error.to_string().contains("schema of the key is not UTF-8"));
}

#[test]
fn validate_refuses_a_value_schema_that_is_not_utf8() {
    let error = answer(&forged(&plan(), 516, &[0xC0, 0x80]));
    assert_eq!(error, FormatError::BadSchema { part: "value" });
}

#[test]
fn validate_refuses_schemas_that_reach_beyond_the_header() {
    assert_refused(164, 4096 - 512 + 1u32, "key_schema_len");
    assert_refused(164, u32::MAX, "key_schema_len");
    assert_refused(168, 4096 - 515 + 1u32, "value_schema_len");
    assert_refused(168, u32::MAX, "value_schema_len");
}

#[test]
fn validate_takes_schemas_that_fill_the_header_to_its_last_byte() {
    let plan = Plan {
        key_schema: text(MAX_SCHEMA_LEN),
        value_schema: text(2 * 4096 - 512),
        ..plan()
    };
    let (header, len) = header_of(&plan);
    assert_eq!(header.len(), 512 + 6 * 4096 - 512);
    let layout = validate(&header, len).unwrap();
    assert_eq!(layout.key_schema, plan.key_schema);
    assert_eq!(layout.value_schema, plan.value_schema);
}

#[test]
fn the_longest_schemas_still_fit_into_the_longest_header() {
    let plan = Plan {
        key_schema: text(MAX_SCHEMA_LEN),
        value_schema: text(MAX_SCHEMA_LEN),
        ..plan()
    };
    let (header, len) = header_of(&plan);
    assert!(header.len() <= MAX_HEADER_LEN);
    assert!(validate(&header, len).is_ok());
}

#[test]
fn creation_refuses_what_no_header_can_say() {
    let counts = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.counts().unwrap_err()
    };
    assert_eq!(counts(|plan| plan.capacity = 0), SizeError::ZeroCapacity);
    assert_eq!(
        counts(|plan| plan.key_len = 65_537),
        SizeError::EntryTooLarge {
            part: "key",
            len: 65_537,
            max: 65_536
        }
    );
    assert_eq!(
        counts(|plan| plan.value_len = usize::MAX),
        SizeError::EntryTooLarge {
            part: "value",
            len: u64::MAX,
            max: 65_536
        }
    );
    for found in [0, 65_536, u32::MAX] {
        let error = Plan {
            participants: found,
            ..plan()
        }
        .counts()
        .unwrap_err();
        assert_eq!(error, SizeError::BadWriters { found, max: 65_535 });
    }
    assert_eq!(
        counts(|plan| plan.key_schema = text(MAX_SCHEMA_LEN + 1)),
        SizeError::SchemaTooLong {
            part: "key",
            len: MAX_SCHEMA_LEN + 1,
            max: MAX_SCHEMA_LEN
        }
    );
}

#[test]
fn the_largest_capacity_that_an_error_names_is_possible_and_one_more_is_not() {
    for (key_len, value_len) in [(8, 0), (8, 8), (8, 1024), (65_536, 65_536), (0, 0)] {
        let fits = |capacity| sized(capacity, key_len, value_len).counts();
        let Err(SizeError::TooManyEntries { capacity, max }) = fits(u64::MAX) else {
            panic!("nothing is that large");
        };
        assert_eq!(capacity, u64::MAX);
        let counts = fits(max).unwrap();
        assert!(counts.places().is_some() && counts.buckets <= MAX_BUCKETS);
        assert!(fits(max + 1).is_err());
    }
}

/// Bytes of buckets for each byte of entries.
fn overhead(capacity: u64, key_len: usize, value_len: usize) -> f64 {
    let counts = sized(capacity, key_len, value_len).counts().unwrap();
    let bytes = counts.buckets * counts.bucket_words() * 8;
    bytes as f64 / (capacity * (key_len + value_len) as u64) as f64
}

#[test]
fn entries_of_16_bytes_take_at_most_1_6_times_their_bytes() {
    for capacity in (1000..20_000).chain((20_000..50_000_000).step_by(99_991)) {
        for (key_len, value_len) in [(8, 8), (16, 0)] {
            let factor = overhead(capacity, key_len, value_len);
            assert!(factor <= 1.6, "{capacity} entries: {factor}");
        }
    }
}

#[test]
fn entries_of_1_kib_take_at_most_1_22_times_their_bytes() {
    for capacity in (1000..20_000).chain((20_000..50_000_000).step_by(99_991)) {
        for (key_len, value_len) in [(8, 1016), (16, 1008), (512, 512)] {
            let factor = overhead(capacity, key_len, value_len);
            assert!(factor <= 1.22, "{capacity} entries: {factor}");
        }
    }
}

#[test]
fn an_entry_of_two_words_takes_24_bytes() {
    for capacity in [1000, 100_000, 10_000_000] {
        let bytes = overhead(capacity, 8, 8) * 16.0;
        assert!((23.0..=24.0).contains(&bytes), "{bytes}");
    }
}

#[test]
fn the_parts_before_the_buckets_are_small() {
    // Two pages, 256 writers, 1024 moves: what `Segment::size_for` adds to the buckets.
    let plan = Plan {
        participants: 256,
        ..plan()
    };
    let places = plan.counts().unwrap().places().unwrap();
    assert!(places.buckets * 8 <= 52 * 1024, "{places:?}");
}

/// What must hold of every geometry, wherever it came from.
fn assert_orderly(counts: &Counts, places: &Offsets) {
    let Offsets {
        shared,
        participants,
        moves,
        moves_end,
        leases,
        statistics,
        estimator,
        ghosts,
        ghosts_end,
        buckets,
        end,
    } = *places;
    assert_eq!(shared as u64 * 8, counts.header_len);
    assert_eq!(participants - shared, 512);
    assert_eq!(moves - participants, 8 * counts.participants as usize);
    assert_eq!(moves_end - moves, 8 + 3 * counts.moves as usize);
    assert!(leases - moves_end < 8);
    assert_eq!(statistics - leases, 8 * counts.leases as usize);
    assert_eq!(estimator - statistics, 16 * counts.statistics as usize);
    let is_cache = usize::from(counts.leases != 0);
    assert_eq!(ghosts - estimator, 512 * is_cache);
    assert_eq!(
        (ghosts_end - ghosts) as u64,
        2 * counts.buckets * is_cache as u64
    );
    assert!(ghosts_end <= buckets && buckets - ghosts_end < 512);
    assert_eq!(
        (end - buckets) as u64,
        counts.buckets * counts.bucket_words()
    );
    for (part, alignment) in [
        (shared, 512),
        (participants, 512),
        (moves, 8),
        (leases, 8),
        (statistics, 8),
        (buckets, 512),
    ] {
        assert_eq!(part % alignment, 0);
    }
    assert_eq!(counts.bucket_words() % 8, 0, "buckets begin a cache line");
    assert!(end <= isize::MAX as usize / 8);
}

/// Numbers of every magnitude.
fn any_magnitude() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

/// Those of a cache, or none: a map.
fn any_cache_fields() -> impl Strategy<Value = Option<CacheFields>> {
    let times = prop::array::uniform4(prop_oneof![Just(0), 1..=MAX_TICKS]);
    prop::option::of((times, 1..=MAX_LEASES, 0..=MAX_STATISTICS)).prop_map(|fields| {
        let ([time_to_live, time_to_idle, stale, negative_ttl], leases, statistics) = fields?;
        Some(CacheFields {
            time_to_live,
            time_to_idle,
            stale,
            negative_ttl,
            leases,
            statistics,
        })
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    (
        any_magnitude(),
        prop_oneof![0..=MAX_KEY_LEN, 0..64usize],
        prop_oneof![0..=MAX_VALUE_LEN, 0..64usize],
        any_cache_fields(),
        1..=MAX_PARTICIPANTS,
        "[a-zé]{0,40}",
        prop_oneof![Just(0), 0..=MAX_SCHEMA_LEN],
    )
        .prop_map(
            |(capacity, key_len, value_len, cache, participants, key_schema, len)| Plan {
                capacity,
                key_len,
                value_len,
                kind: cache.map_or(StoreKind::Map, |_| StoreKind::Cache),
                meta_words: cache.map_or(0, |cache| cache.meta_words()),
                cache: cache.unwrap_or_default(),
                participants,
                key_schema,
                value_schema: text(len),
                ..plan()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_plan_has_a_geometry_that_validates_or_an_error(plan in any_plan()) {
        match plan.counts() {
            Ok(counts) => {
                let places = counts.places().unwrap();
                assert_orderly(&counts, &places);
                prop_assert!(counts.buckets * u64::from(counts.usable()) >= plan.capacity);
                let (header, len) = header_of(&plan);
                let layout = validate(&header, len).unwrap();
                prop_assert_eq!(layout.counts, counts);
                prop_assert_eq!(layout.places, places);
                prop_assert_eq!(layout.capacity, plan.capacity);
                prop_assert_eq!(layout.value_schema, plan.value_schema);
            }
            Err(SizeError::ZeroCapacity) => prop_assert_eq!(plan.capacity, 0),
            Err(SizeError::TooManyEntries { capacity, max }) => {
                prop_assert_eq!(capacity, plan.capacity);
                prop_assert!(max < capacity);
                let smaller = Plan { capacity: max, ..plan };
                prop_assert!(smaller.counts().is_ok());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn more_capacity_never_takes_less_memory(
        capacity in 1..1u64 << 35,
        more in any_magnitude(),
        kind in prop_oneof![Just(StoreKind::Map), Just(StoreKind::Cache)],
    ) {
        let buckets = |capacity| buckets_for(kind, capacity).unwrap_or(u64::MAX);
        prop_assert!(buckets(capacity) <= buckets(capacity.saturating_add(more)));
    }

    #[test]
    fn random_bytes_never_panic_nor_describe_more_than_is_mapped(
        mut bytes in prop::collection::vec(any::<u8>(), 0..6000),
        mapped_len in any_magnitude(),
        honest in 0..5usize,
    ) {
        // The first checks would refuse all but one in 2^64 of random bytes: let some pass.
        if bytes.len() >= 4096 {
            match honest {
                0 => {}
                1 => bytes[..8].copy_from_slice(MAGIC.as_bytes()),
                2 => bytes[..12].copy_from_slice(&header_of(&plan()).0[..12]),
                3 => seal(&mut bytes),
                _ => {
                    bytes[24..32].copy_from_slice(4096u64.as_bytes());
                    seal(&mut bytes);
                }
            }
        }
        if let Ok(layout) = validate(&bytes, mapped_len) {
            prop_assert!(layout.places.end as u64 * 8 <= mapped_len);
        }
    }

    #[test]
    fn forged_headers_never_panic_nor_describe_more_than_is_mapped(
        plan in any_plan(),
        forgeries in prop::collection::vec(
            (0..64usize, prop_oneof![any_magnitude(), 0..20u64, Just(u64::MAX)]),
            1..5,
        ),
        flips in prop::collection::vec(0..512 * 8usize, 0..4),
        mapped_len in any_magnitude(),
    ) {
        prop_assume!(plan.counts().is_ok());
        let (mut header, len) = header_of(&plan);
        for (word, value) in forgeries {
            // Not the words that are checked before anything else is.
            let at = (3 + word % 61) * 8;
            header[at..at + 8].copy_from_slice(value.as_bytes());
        }
        for bit in flips {
            header[bit / 8] ^= 1 << (bit % 8);
        }
        let header = sealed(header);
        for mapped_len in [len, mapped_len, u64::MAX] {
            if let Ok(layout) = validate(&header, mapped_len) {
                prop_assert!(layout.places.end as u64 * 8 <= mapped_len);
                assert_orderly(&layout.counts, &layout.places);
                let usable = u64::from(layout.counts.usable());
                prop_assert!(layout.capacity <= layout.counts.buckets * usable);
            }
        }
    }
}
