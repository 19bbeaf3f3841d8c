//! Segments that are not what they should be: precise errors at opening, and afterwards
//! whatever anybody writes into them, no panic, no hang, and nothing that is invalid for its type.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::support::*;
use shmkv::error::SweepError;
use shmkv::format::{FormatError, HashFunction};
use shmkv::map::{CompareExchange, TryInsert};
use shmkv::segment::SegmentError;
use shmkv::{Key, Map, OpenError, ReadError, ReadOnlyMap, Segment, Str, Value, WriteError};

fn map_with_ten<V: Value>(scratch: &Scratch, value: impl Fn(u64) -> V) -> Map<u64, V> {
    let map = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..10 {
        map.insert(key, value(key)).unwrap();
    }
    map
}

fn file_of(scratch: &Scratch) -> File {
    File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap()
}

/// The errors of opening for writing and for reading, which must be the same.
#[track_caller]
fn refusal<K: Key, V: Value>(segment: &Segment) -> OpenError {
    let writing = Map::<K, V>::builder().open(segment.clone()).unwrap_err();
    let reading = Map::<K, V>::builder()
        .open_read_only(segment.clone())
        .unwrap_err();
    assert_eq!(writing.to_string(), reading.to_string());
    let anyway = Map::<K, V>::builder()
        .capacity(1)
        .open_or_create(segment.clone())
        .unwrap_err();
    assert_eq!(writing.to_string(), anyway.to_string());
    writing
}

#[track_caller]
fn assert_says(error: &OpenError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// Opens what is left of a segment after `damage` was done to its file.
#[track_caller]
fn after(damage: impl FnOnce(&File)) -> OpenError {
    let scratch = Scratch::shm();
    drop(map_with_ten(&scratch, |key| key));
    damage(&file_of(&scratch));
    refusal::<u64, u64>(scratch.segment())
}

/// Corrects the checksum of a header that was changed.
fn seal(file: &File) {
    let mut header = vec![0; read_word(file, 24) as usize];
    file.read_exact_at(&mut header, 0).unwrap();
    header[..8].fill(0);
    header[16..24].fill(0);
    write_word(file, 16, rapidhash::v3::rapidhash_v3(&header));
}

#[test]
fn open_with_another_key_type_shows_both_types() {
    let scratch = Scratch::shm();
    map_with_ten(&scratch, |key| key);
    let error = refusal::<[u8; 8], u64>(scratch.segment());
    assert!(matches!(error, OpenError::KeyType(_)));
    assert_says(&error, &["keys of another type", "u64", "[u8; 8]"]);
}

#[test]
fn open_with_another_value_type_of_the_same_size_shows_both_types() {
    let scratch = Scratch::shm();
    map_with_ten(&scratch, |key| key as f64);
    let error = refusal::<u64, i64>(scratch.segment());
    assert!(matches!(error, OpenError::ValueType(_)));
    assert_says(&error, &["values of another type", "f64", "i64"]);
}

#[shmkv::record]
struct Quote {
    bid: u32,
    ask: u32,
}

#[shmkv::record]
#[shmkv(rename = "Quote")]
struct QuoteV2 {
    bid: u32,
    ask: u32,
    volume: u64,
}

#[shmkv::record]
#[shmkv(rename = "Quote")]
struct Swapped {
    ask: u32,
    bid: u32,
}

#[test]
fn open_with_a_later_version_of_a_struct_names_the_sizes_and_the_field() {
    let scratch = Scratch::shm();
    map_with_ten(&scratch, |key| Quote {
        bid: key as u32,
        ask: 1,
    });
    let error = refusal::<u64, QuoteV2>(scratch.segment());
    assert!(matches!(error, OpenError::ValueType(_)));
    assert_says(&error, &["volume", "8", "16"]);
    let error = refusal::<u64, Swapped>(scratch.segment());
    assert!(matches!(error, OpenError::ValueType(_)));
    assert_says(&error, &["bid", "ask"]);
    assert!(Map::<u64, Quote>::builder().open(scratch.segment()).is_ok());
}

#[test]
fn open_of_another_version_names_both() {
    let error = after(|file| file.write_all_at(&7u32.to_ne_bytes(), 12).unwrap());
    assert!(matches!(
        error,
        OpenError::Header(FormatError::WrongVersion {
            found: 7,
            expected: 1
        })
    ));
    assert_says(&error, &["layout version 7", "knows version 1"]);
}

#[test]
fn open_of_the_other_byte_order_says_so() {
    let error = after(|file| {
        let mut mark = [0; 4];
        file.read_exact_at(&mut mark, 8).unwrap();
        mark.reverse();
        file.write_all_at(&mark, 8).unwrap();
    });
    assert!(matches!(
        error,
        OpenError::Header(FormatError::WrongEndianness { .. })
    ));
    assert_says(&error, &["other byte order", "0x0d0c0b0a", "0x0a0b0c0d"]);
}

#[test]
fn open_of_a_truncated_segment_gives_both_lengths() {
    for cut in [8, 4096, 20_000] {
        let mut len = 0;
        let error = after(|file| {
            len = file.metadata().unwrap().len();
            file.set_len(len - cut).unwrap();
        });
        let found = len - cut;
        assert!(matches!(
            error,
            OpenError::Header(FormatError::Truncated { expected, found: there })
                if expected == len && there == found
        ));
        assert_says(&error, &[&len.to_string(), &found.to_string(), "truncated"]);
    }
}

#[test]
fn open_of_a_segment_that_is_no_whole_number_of_words_says_so() {
    let error = after(|file| {
        let len = file.metadata().unwrap().len();
        file.set_len(len - 1).unwrap();
    });
    assert!(matches!(
        error,
        OpenError::Segment(SegmentError::OddLength { .. })
    ));
}

#[test]
fn open_of_a_segment_that_is_longer_than_its_header_says_is_fine() {
    let scratch = Scratch::shm();
    drop(map_with_ten(&scratch, |key| key));
    let file = file_of(&scratch);
    let len = file.metadata().unwrap().len();
    file.set_len(len + 12_288).unwrap();
    let map = Map::<u64, u64>::builder().open(scratch.segment()).unwrap();
    assert_eq!(map.len(), 10);
    assert_eq!(map.stats().bytes, len);
}

#[test]
fn open_of_something_too_short_for_a_segment_says_how_long_it_is() {
    for len in [0, 1, 511, 4095] {
        let error = after(|file| file.set_len(len).unwrap());
        assert!(matches!(
            error,
            OpenError::Segment(SegmentError::TooSmall { found, .. }) if found == len
        ));
        assert_says(&error, &[&format!("{len} bytes")]);
    }
}

#[test]
fn open_of_invalid_bytes_says_that_it_belongs_to_another_program() {
    for fill in [0u64, u64::MAX, 0x464C_457F] {
        let error = after(|file| {
            for at in (0..8192).step_by(8) {
                write_word(file, at, fill);
            }
        });
        assert!(matches!(
            error,
            OpenError::Header(FormatError::BadMagic { found, .. }) if found == fill
        ));
        assert_says(&error, &["belongs to another program"]);
    }
}

#[test]
fn open_of_a_scribbled_header_says_that_it_was_damaged() {
    let error = after(|file| write_word(file, 136, 3));
    assert!(matches!(
        error,
        OpenError::Header(FormatError::BadChecksum { .. })
    ));
    assert_says(&error, &["checksum", "damaged"]);
}

#[test]
fn open_of_a_forged_header_names_the_field() {
    let error = after(|file| {
        write_word(file, 136, u64::MAX);
        seal(file);
    });
    assert!(matches!(
        error,
        OpenError::Header(FormatError::BadField {
            field: "buckets",
            found: u64::MAX,
            ..
        })
    ));
    assert_says(&error, &["`buckets`", "2 to 2^32"]);
}

#[test]
fn open_of_a_header_whose_sizes_contradict_its_schemas_is_refused() {
    // Twice the value, half the buckets: the geometry is sound, the schema says 8 bytes.
    let scratch = Scratch::shm();
    let map: Map<u64, [u64; 5]> = Map::builder()
        .capacity(20)
        .create(scratch.segment())
        .unwrap();
    drop(map);
    let file = file_of(&scratch);
    file.write_all_at(b"[u64; 4]", 512 + 3).unwrap();
    seal(&file);
    let error = Map::<u64, [u64; 4]>::builder()
        .open(scratch.segment())
        .unwrap_err();
    assert!(matches!(
        error,
        OpenError::SizeContradiction {
            part: "value",
            expected: 32,
            found: 40
        }
    ));
    assert_says(&error, &["40 bytes a value", "schema says 32"]);
}

#[test]
fn open_of_a_stored_schema_that_is_none_shows_where_it_goes_wrong() {
    let error = after(|file| {
        file.write_all_at(b"u6?", 512).unwrap();
        seal(file);
    });
    assert!(matches!(error, OpenError::Schema { part: "key", .. }));
    assert_says(&error, &["schema of the key", "u6"]);
}

#[test]
fn open_of_a_cache_as_a_map_says_what_it_is() {
    let scratch = Scratch::shm();
    let cache = shmkv::Cache::<u64, u64>::builder()
        .max_capacity(100)
        .create(scratch.segment().clone());
    drop(cache.unwrap());
    let error = refusal::<u64, u64>(scratch.segment());
    assert!(matches!(error, OpenError::WrongKind { .. }));
    assert_says(&error, &["holds a cache", "asks for a map"]);
}

#[test]
fn a_map_whose_header_calls_it_a_cache_is_refused() {
    let error = after(|file| {
        write_word(file, 40, read_word(file, 40) & !0xFFFF_FFFF | 2);
        seal(file);
    });
    assert_says(&error, &["header field", "was not written by shmkv"]);
}

#[test]
fn open_of_a_map_with_metadata_is_refused() {
    // Two buckets of 16 words a slot become two of 17: what is mapped must be longer.
    let scratch = Scratch::shm();
    drop(map_with_ten(&scratch, |key| key));
    let file = file_of(&scratch);
    let parts = Parts::of(&file);
    let end = parts.buckets + parts.bucket_count * (parts.bucket_len + 16 * 8);
    file.set_len(end).unwrap();
    write_word(&file, 32, end);
    write_word(&file, 152, read_word(&file, 152) & !0xFFFF_FFFF | 1);
    seal(&file);
    let error = refusal::<u64, u64>(scratch.segment());
    assert_says(&error, &["header field `meta_words` is 1", "expected 0"]);
}

#[test]
fn open_or_create_refuses_less_room_or_another_hash_than_it_was_asked_for() {
    let scratch = Scratch::shm();
    drop(map_with_ten(&scratch, |key| key));
    let ask = || Map::<u64, u64>::builder().capacity(10);
    assert!(ask().open_or_create(scratch.segment()).is_ok());
    let error = ask().capacity(11).open_or_create(scratch.segment());
    let error = error.unwrap_err();
    assert!(matches!(
        error,
        OpenError::CapacityDiffers {
            asked: 11,
            found: 10
        }
    ));
    let error = ask()
        .hash(HashFunction::Sip)
        .open_or_create(scratch.segment());
    let error = error.unwrap_err();
    assert!(matches!(error, OpenError::HashDiffers { .. }));
    assert_says(&error, &["rapidhash", "SipHash-1-3"]);
}

/// Where the value of `key` stands in the file of a map with keys of one word.
fn place_of_value(file: &File, key: u64) -> u64 {
    let parts = Parts::of(file);
    let slot_len = (parts.bucket_len - 64) / 16;
    for bucket in 0..parts.bucket_count {
        let bucket = parts.bucket(bucket);
        let occupied = read_word(file, bucket) & 0xFFFF;
        for slot in (0..16).filter(|slot| occupied >> slot & 1 == 1) {
            let at = bucket + 64 + slot * slot_len;
            if read_word(file, at) == key {
                return at + 8;
            }
        }
    }
    panic!("key {key} is not there");
}

#[test]
fn a_bool_of_7_is_an_error_and_no_bool() {
    let scratch = Scratch::shm();
    let map = map_with_ten(&scratch, |_| true);
    let reader = map.read_only();
    let file = file_of(&scratch);
    write_word(&file, place_of_value(&file, 3), 7);

    let invalid = ReadError::InvalidValue;
    assert_eq!(reader.get(&3), Err(invalid));
    assert!(invalid.to_string().contains("not a valid value"));
    assert_eq!(reader.get(&4), Ok(Some(true)));
    assert_eq!(reader.contains_key(&3), Ok(true));
    let mut into = false;
    assert_eq!(reader.get_into(&3, &mut into), Err(invalid));
    assert!(!into, "left as it was");
    let errors = reader.iter().filter(Result::is_err).count();
    assert_eq!((errors, reader.iter().count(), reader.len()), (1, 10, 10));
    assert!(reader.get_many(&[1, 3], &mut [None; 2]).is_err());

    let unusable = WriteError::InvalidValue;
    assert_eq!(map.update(&3, |value| !value), Err(unusable.clone()));
    assert_eq!(map.remove_if(&3, |_| true), Err(unusable.clone()));
    assert_eq!(map.try_insert(3, true), Err(unusable.clone()));
    assert_eq!(
        map.compare_exchange(&3, &true, false),
        Err(unusable.clone())
    );
    assert!(matches!(map.retain(|_, _| true), Err(SweepError::Iter(_))));
    // What does not need the old value goes on, and repairs.
    assert_eq!(map.insert(3, false), Ok(None));
    assert_eq!(map.get(&3), Ok(Some(false)));
    write_word(&file, place_of_value(&file, 3), 0x0101_0101_0101_0107);
    assert_eq!(map.remove(&3), Ok(None));
    assert_eq!(map.get(&3), Ok(None));
    write_word(&file, place_of_value(&file, 4), 2);
    assert_eq!(map.clear(), Ok(9));
}

#[test]
fn a_text_that_is_no_utf8_or_too_long_is_an_error() {
    let scratch = Scratch::shm();
    let map = map_with_ten(&scratch, |_| Str::<14>::new("fine").unwrap());
    let file = file_of(&scratch);
    let place = place_of_value(&file, 3);
    for bytes in [
        *b"\x04\x00\xFFabc\0\0",
        *b"\x0F\x00abcdef",
        *b"\xFF\xFFabcdef",
    ] {
        write_word(&file, place, u64::from_ne_bytes(bytes));
        assert!(matches!(map.get(&3), Err(ReadError::InvalidValue)));
    }
    write_word(&file, place, u64::from_le_bytes(*b"\x03\0abc\0\0\0"));
    assert_eq!(map.get(&3).unwrap().unwrap().as_str(), "abc");
}

#[test]
fn scribbling_over_the_header_after_opening_makes_no_difference() {
    let scratch = Scratch::shm();
    let map = map_with_ten(&scratch, |key| [key; 3]);
    let reader: ReadOnlyMap<u64, [u64; 3]> = Map::<u64, [u64; 3]>::builder()
        .open_read_only(scratch.segment())
        .unwrap();
    let file = file_of(&scratch);
    let parts = Parts::of(&file);
    let before = reader.stats();
    let mut random = Random(1);
    for round in 0..200u64 {
        for at in (0..parts.header_len + 4096).step_by(8) {
            let word = match round % 3 {
                0 => random.next(),
                1 => u64::MAX,
                _ => random.below(5),
            };
            write_word(&file, at, word);
        }
        for key in 0..10 {
            assert_eq!(reader.get(&key), Ok(Some([key + round; 3])));
            let next = [key + round + 1; 3];
            assert_eq!(map.insert(key, next), Ok(Some([key + round; 3])));
        }
        assert_eq!((reader.len(), reader.capacity()), (10, 10));
        assert_eq!(reader.iter().filter(Result::is_ok).count(), 10);
        assert_eq!(reader.stats(), before);
        assert_eq!(reader.header(), map.header());
    }
    let error = Map::<u64, [u64; 3]>::builder()
        .open(scratch.segment())
        .unwrap_err();
    assert!(matches!(
        error,
        OpenError::Header(FormatError::BadMagic { .. })
    ));
}

/// The lock words of all who are registered as writers.
fn lock_words(file: &File) -> Vec<u64> {
    let parts = Parts::of(file);
    let slots = (parts.moves - parts.participants) / 64;
    (0..slots)
        .filter_map(|slot| {
            let claim = read_word(file, parts.participants + 64 * slot);
            let is_held = claim & 3 == 2;
            is_held.then_some((claim >> 25) << 17 | (slot + 1) << 1)
        })
        .collect()
}

/// What one operation may take on a segment of invalid bytes: a lock word may name this very
/// process, so that it waits for its timeout, but not more than a few times.
const LOCK_TIMEOUT: Duration = Duration::from_micros(500);
const ONE_OPERATION: Duration = Duration::from_secs(2);

/// Runs the whole interface on a map of invalid bytes. Whatever it answers, it must answer.
fn use_everything<K: Key, V: Value>(map: &Map<K, V>, buckets: u64, keys: &[K], value: V) {
    // What the buckets hold at most, and what an iterator keeps in mind at most.
    let most = buckets as usize * 16 + (1 << 16);
    let timed = |what: &str, run: &mut dyn FnMut()| {
        let begun = Instant::now();
        run();
        let taken = begun.elapsed();
        assert!(taken < ONE_OPERATION, "{what} took {taken:?}");
    };
    let reader = map.read_only();
    for key in keys {
        timed("get", &mut || {
            let _ = reader.get(key);
        });
        timed("contains_key", &mut || {
            let _ = reader.contains_key(key);
        });
        timed("try_insert", &mut || match map.try_insert(*key, value) {
            Ok(TryInsert::Inserted | TryInsert::Occupied(_)) | Err(_) => {}
        });
        timed("insert", &mut || drop(map.insert(*key, value)));
        timed("update", &mut || drop(map.update(key, |_| value)));
        timed(
            "compare_exchange",
            &mut || match map.compare_exchange(key, &value, value) {
                Ok(
                    CompareExchange::Exchanged
                    | CompareExchange::Mismatch(_)
                    | CompareExchange::Absent,
                )
                | Err(_) => {}
            },
        );
        timed("remove", &mut || drop(map.remove(key)));
        timed("fetch_update", &mut || {
            drop(map.fetch_update(key, |_| Some(value)));
        });
    }
    let mut values = vec![None; keys.len()];
    timed("get_many", &mut || {
        let _ = reader.get_many(keys, &mut values);
    });
    timed("iter", &mut || assert!(reader.iter().count() <= most));
    timed("len", &mut || assert!(reader.len() <= most));
    timed("stats", &mut || {
        let stats = reader.stats();
        assert_eq!(stats.occupancy.iter().sum::<u64>(), buckets);
    });
    // These two wait for each lock that cannot be had.
    let begun = Instant::now();
    let mut left = 50;
    drop(map.retain(|_, _| {
        left -= i32::from(left > 0);
        left == 0
    }));
    drop(map.clear());
    assert!(begun.elapsed() < ONE_OPERATION * 5, "{:?}", begun.elapsed());
}

/// Words of the kinds that do most harm.
fn nasty_word(random: &mut Random, token: u64) -> u64 {
    match random.below(8) {
        0..3 => random.next(),
        3 => random.below(20),
        4 => u64::MAX,
        5 => random.next() | 0xFFFF,
        // Close to a lock word that a live process could hold.
        6 => token ^ random.below(4),
        _ => 1 << random.below(64),
    }
}

fn survives_invalid_bytes<V: Value>(rounds: u64, value_of: impl Fn(u64) -> V) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 0..rounds {
        let mut random = Random(round);
        let scratch = Scratch::shm();
        let map: Map<u64, V> = Map::builder()
            .capacity(60)
            .max_writers(4)
            .lock_timeout(LOCK_TIMEOUT)
            .create(scratch.segment())
            .unwrap();
        let keys: Vec<u64> = (0..70).collect();
        for &key in &keys[..60] {
            map.insert(key, value_of(key)).unwrap();
        }
        let file = file_of(&scratch);
        let parts = Parts::of(&file);
        let token = lock_words(&file)[0];
        match round % 4 {
            // Nothing is as it was.
            0 => {
                for at in (parts.buckets..parts.end).step_by(8) {
                    write_word(&file, at, nasty_word(&mut random, token));
                }
            }
            // The entries are, but not the words that govern them.
            1 => {
                for bucket in 0..parts.bucket_count {
                    for word in 0..8 {
                        let at = parts.bucket(bucket) + word * 8;
                        write_word(&file, at, nasty_word(&mut random, token));
                    }
                }
            }
            // Here and there a word.
            2 => {
                for _ in 0..1 + random.below(40) {
                    let words = (parts.end - parts.participants) / 8;
                    let at = parts.participants + random.below(words) * 8;
                    write_word(&file, at, nasty_word(&mut random, token));
                }
            }
            // Everything behind the header.
            _ => {
                for at in (parts.participants..parts.end).step_by(8) {
                    write_word(&file, at, nasty_word(&mut random, token));
                }
            }
        }
        use_everything(&map, parts.bucket_count, &keys, value_of(99));
        // A handle that comes later finds it no worse.
        let later: Map<u64, V> = Map::builder()
            .lock_timeout(LOCK_TIMEOUT)
            .open(scratch.segment())
            .unwrap();
        use_everything(&later, parts.bucket_count, &keys[..10], value_of(98));
        assert!(Instant::now() < deadline, "only {round} rounds in a minute");
    }
}

#[test]
fn invalid_bytes_in_buckets_of_words_neither_panic_nor_hang() {
    survives_invalid_bytes(24, |key| key);
}

#[test]
fn invalid_bytes_in_buckets_of_long_values_neither_panic_nor_hang() {
    survives_invalid_bytes(24, |key| [key; 9]);
}

#[test]
fn invalid_bytes_in_buckets_of_flags_neither_panic_nor_hang() {
    survives_invalid_bytes(24, |key| [key % 2 == 0; 20]);
}

#[test]
fn invalid_bytes_in_buckets_of_a_set_neither_panic_nor_hang() {
    survives_invalid_bytes(24, |_| ());
}

#[test]
fn a_lock_that_names_nobody_is_taken_over_at_once() {
    let scratch = Scratch::shm();
    let map = map_with_ten(&scratch, |key| key);
    let file = file_of(&scratch);
    let parts = Parts::of(&file);
    for word in [u64::MAX, u64::MAX - 1, 1, 1 << 63, 0x1234_5678_9ABC_DEF0] {
        for bucket in 0..parts.bucket_count {
            write_word(&file, parts.bucket(bucket) + 8, word);
        }
        for key in 0..10 {
            assert_eq!(map.insert(key, key), Ok(Some(key)));
        }
    }
}

#[test]
fn a_lock_that_names_ourselves_ends_in_busy_and_not_in_a_hang() {
    let scratch = Scratch::shm();
    let map = map_with_ten(&scratch, |key| key);
    let file = file_of(&scratch);
    let parts = Parts::of(&file);
    let with_short_timeout: Map<u64, u64> = Map::builder()
        .lock_timeout(Duration::from_millis(20))
        .open(scratch.segment())
        .unwrap();
    let others = lock_words(&file);
    with_short_timeout.insert(0, 0).unwrap();
    let mut ours = lock_words(&file);
    ours.retain(|word| !others.contains(word));
    let token = ours[0];
    for bucket in 0..parts.bucket_count {
        write_word(&file, parts.bucket(bucket) + 8, token);
    }
    let begun = Instant::now();
    let error = with_short_timeout.insert(0, 1).unwrap_err();
    assert!(matches!(error, WriteError::Busy { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(map.get(&0), Ok(Some(0)));
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id()))
    );
}

#[test]
fn entries_in_foreign_buckets_can_be_seen_and_do_not_disturb() {
    let scratch = Scratch::shm();
    let map: Map<u64, u64> = Map::builder()
        .capacity(200)
        .create(scratch.segment())
        .unwrap();
    for key in 0..200 {
        map.insert(key, key).unwrap();
    }
    // Every bucket gets the entries of its neighbour.
    let file = file_of(&scratch);
    let parts = Parts::of(&file);
    let mut bytes = vec![0; (parts.end - parts.buckets) as usize];
    file.read_exact_at(&mut bytes, parts.buckets).unwrap();
    bytes.rotate_left(parts.bucket_len as usize);
    file.write_all_at(&bytes, parts.buckets).unwrap();
    assert_eq!(map.len(), 200);
    assert_eq!(map.iter().filter(Result::is_ok).count(), 200);
    for key in 0..200 {
        if let Some(value) = map.get(&key).unwrap() {
            assert_eq!(value, key);
        }
        match map.insert(key, key) {
            Ok(_) | Err(WriteError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
