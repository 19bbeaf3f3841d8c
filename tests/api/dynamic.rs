//! The untyped handle: the same segments, by their schema instead of Rust types.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::*;
use shmkv::cache::CacheSettings;
use shmkv::dynamic::DynError;
use shmkv::format::{FormatError, StoreKind};
use shmkv::process::Liveness;
use shmkv::schema::{Datum, Type, Unfit};
use shmkv::{Bytes, Cache, DynMap, Map, OpenError, ReadOnlyDynMap, Str, WriteError};

#[shmkv::record]
#[derive(Debug, PartialEq)]
struct Quote {
    bid: f64,
    ask: f32,
    side: Side,
    name: Str<6>,
    raw: Bytes<6>,
    is_live: bool,
    levels: [i16; 3],
    mark: char,
}

#[shmkv::record]
#[derive(Debug, PartialEq)]
enum Side {
    Bid = 1,
    Ask = 7,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    from: Str<6>,
    number: u32,
}

fn quote(number: u32) -> Quote {
    Quote {
        bid: f64::from(number) / 3.0,
        ask: number as f32,
        side: if number.is_multiple_of(2) {
            Side::Bid
        } else {
            Side::Ask
        },
        name: Str::new(&number.to_string()[..number.to_string().len().min(6)]).unwrap(),
        raw: Bytes::new(&number.to_le_bytes()[..3]).unwrap(),
        levels: [number as i16, -1, 0],
        is_live: number.is_multiple_of(3),
        mark: char::from_u32(0x4E00 + number % 1000).unwrap(),
    }
}

fn route(number: u32) -> Route {
    Route {
        from: Str::new("VIE").unwrap(),
        number,
    }
}

/// The same as [`quote`], as a tool without the Rust type writes it.
fn datum_of_quote(number: u32) -> Datum {
    let it = quote(number);
    let field = |name: &str, value| (name.to_owned(), value);
    Datum::Struct(vec![
        field("bid", Datum::F64(it.bid)),
        field("ask", Datum::F32(it.ask)),
        field(
            "side",
            Datum::Variant(if it.side == Side::Bid { "Bid" } else { "Ask" }.into()),
        ),
        field("name", Datum::Str(it.name.as_str().into())),
        field("raw", Datum::Bytes(it.raw.as_slice().to_vec())),
        field("is_live", Datum::Bool(it.is_live)),
        field(
            "levels",
            Datum::Array(it.levels.iter().map(|&it| Datum::Int(it.into())).collect()),
        ),
        field("mark", Datum::Char(it.mark)),
    ])
}

fn datum_of_route(number: u32) -> Datum {
    Datum::Struct(vec![
        ("number".to_owned(), Datum::Int(number.into())),
        ("from".to_owned(), Datum::Str("VIE".into())),
    ])
}

fn open(scratch: &Scratch) -> DynMap {
    DynMap::builder().open(scratch.segment().clone()).unwrap()
}

#[test]
fn what_a_typed_handle_writes_an_untyped_one_reads_and_the_other_way_round() {
    for scratch in Scratch::each() {
        let typed: Map<Route, Quote> = Map::builder()
            .capacity(1000)
            .create(scratch.segment().clone())
            .unwrap();
        let map = open(&scratch);
        for number in 0..500 {
            typed.insert(route(number), quote(number)).unwrap();
        }
        let key = |number| datum_of_route(number).encode(map.key_type()).unwrap();
        let value = |number| datum_of_quote(number).encode(map.value_type()).unwrap();
        for number in 500..1000 {
            assert_eq!(map.insert(&key(number), &value(number)).unwrap(), None);
        }
        for number in 0..1000 {
            assert_eq!(typed.get(&route(number)).unwrap(), Some(quote(number)));
            let bytes = map.get(&key(number)).unwrap().expect("it was inserted");
            let datum = Datum::decode(map.value_type(), &bytes).unwrap();
            assert_eq!(datum, datum_of_quote(number));
        }
        assert_eq!(map.len(), 1000);
        let mut numbers: Vec<u32> = map
            .iter()
            .map(|entry| {
                let shmkv::dynamic::DynEntry { key, value, .. } = entry.unwrap();
                let key = Datum::decode(map.key_type(), &key).unwrap();
                let Datum::Struct(fields) = &key else {
                    panic!("{key}")
                };
                let (_, Datum::Int(number)) = &fields[1] else {
                    panic!("{key}")
                };
                let number = u32::try_from(*number).unwrap();
                assert_eq!(
                    value,
                    datum_of_quote(number).encode(map.value_type()).unwrap()
                );
                number
            })
            .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000));
        assert_eq!(map.stats(), typed.stats());
        assert_eq!(map.check(), typed.check());
        assert!(map.check().is_sound());
    }
}

#[test]
fn any_sequence_of_operations_does_what_a_map_of_bytes_does() {
    let scratch = Scratch::shm();
    // One word each (replaced in place), and longer ones that end in the middle of a word.
    for (key, value) in [("u64", "u64"), ("[u8; 13]", "[u8; 21]"), ("u8", "()")] {
        let (key, value): (Type, Type) = (key.parse().unwrap(), value.parse().unwrap());
        let map = DynMap::builder()
            .capacity(200)
            .create(scratch.segment().clone(), &key, &value)
            .unwrap();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut random = Random::seeded();
        let bytes =
            |random: &mut Random, len: usize, kinds: u64| vec![random.below(kinds) as u8; len];
        for _ in 0..20_000 {
            let k = bytes(&mut random, key.size(), 150);
            let v = bytes(&mut random, value.size(), 256);
            match random.below(6) {
                0 => assert_eq!(map.insert(&k, &v).unwrap(), model.insert(k, v)),
                1 => assert_eq!(
                    map.remove(&k).unwrap().transpose().unwrap(),
                    model.remove(&k)
                ),
                2 => {
                    assert_eq!(map.try_insert(&k, &v).unwrap().as_ref(), model.get(&k));
                    model.entry(k).or_insert(v);
                }
                3 => {
                    let update = |old: Option<&[u8]>| {
                        let mut new = old?.to_vec();
                        new.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
                        Some(new)
                    };
                    assert_eq!(
                        map.fetch_update(&k, update).unwrap().as_ref(),
                        model.get(&k)
                    );
                    if let Some(old) = model.get_mut(&k) {
                        *old = update(Some(old)).unwrap();
                    }
                }
                _ => {
                    assert_eq!(map.get(&k).unwrap().as_ref(), model.get(&k));
                    assert_eq!(map.contains_key(&k).unwrap(), model.contains_key(&k));
                }
            }
            assert_eq!(map.len(), model.len());
        }
        let found: BTreeMap<_, _> = map
            .iter()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.key, entry.value)
            })
            .collect();
        assert_eq!(found, model);
        assert_eq!(map.clear().unwrap(), model.len());
        assert!(map.is_empty());
        scratch.segment().remove().unwrap();
    }
}

#[test]
fn bytes_that_are_no_value_of_the_type_are_refused_with_the_schema() {
    let scratch = Scratch::shm();
    let typed: Map<u16, Side> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    let map = open(&scratch);
    for (key, value) in [(&[0, 0][..], &[2][..]), (&[0], &[1]), (&[0, 0], &[1, 1])] {
        let error = map.insert(key, value).unwrap_err();
        assert!(matches!(error, DynError::Unfit { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("u16") || text.contains("Ask = 7"), "{text}");
        assert!(map.try_insert(key, value).is_err());
        assert!(map.fetch_update(key, |_| Some(value.to_vec())).is_err());
    }
    assert!(map.get(&[1]).is_err() && map.remove(&[1, 2, 3]).is_err());
    assert!(typed.is_empty());
}

#[test]
fn invalid_bytes_in_the_segment_are_an_error_and_can_be_removed() {
    let scratch = Scratch::shm();
    let typed: Map<u64, bool> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    typed.insert(1, true).unwrap();
    typed.insert(2, false).unwrap();
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap();
    // The value of key 2 becomes 9: found by its slot, which begins with the key.
    let parts = Parts::of(&file);
    let slot = (parts.buckets..parts.end)
        .step_by(8)
        .filter(|at| (at - parts.buckets) % parts.bucket_len >= 64)
        .find(|&at| read_word(&file, at) == 2)
        .expect("the key is there");
    file.write_all_at(&[9], slot + 8).unwrap();

    let map = open(&scratch);
    let key = 2_u64.to_ne_bytes();
    assert!(matches!(
        map.get(&key),
        Err(DynError::Invalid { part: "value", .. })
    ));
    assert!(map.contains_key(&key).unwrap());
    let entries: Vec<_> = map.iter().collect();
    assert_eq!(entries.iter().filter(|entry| entry.is_ok()).count(), 1);
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(map.fetch_update(&key, |_| Some(vec![1])).is_err());
    assert_eq!(map.remove_invalid().unwrap(), 1);
    assert_eq!(map.get(&key).unwrap(), None);
    assert_eq!(map.get(&1_u64.to_ne_bytes()).unwrap(), Some(vec![1]));
    assert_eq!(map.remove_invalid().unwrap(), 0);
}

/// Replaces text in the header by text of the same length, and seals it again.
fn change_header(scratch: &Scratch, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap();
    let mut header = vec![0; read_word(&file, 24) as usize];
    file.read_exact_at(&mut header, 0).unwrap();
    let at = header
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .expect("the text is there");
    header[at..at + old.len()].copy_from_slice(new.as_bytes());
    file.write_all_at(&header, 0).unwrap();
    header[..8].fill(0);
    header[16..24].fill(0);
    write_word(&file, 16, rapidhash::v3::rapidhash_v3(&header));
}

fn open_error(scratch: &Scratch) -> OpenError {
    let error = DynMap::builder()
        .open(scratch.segment().clone())
        .unwrap_err();
    let reading = DynMap::builder()
        .open_read_only(scratch.segment().clone())
        .unwrap_err();
    assert_eq!(error.to_string(), reading.to_string());
    error
}

#[test]
fn a_schema_that_lies_about_sizes_or_cannot_be_read_is_refused() {
    let scratch = Scratch::shm();
    let create = || {
        let _: Map<u64, [u8; 300]> = Map::builder()
            .capacity(10)
            .create(scratch.segment().clone())
            .unwrap();
    };
    create();
    change_header(&scratch, "[u8; 300]", "[u8; 900]");
    assert!(matches!(
        open_error(&scratch),
        OpenError::SizeContradiction {
            part: "value",
            expected: 900,
            found: 300
        }
    ));
    scratch.segment().remove().unwrap();
    create();
    change_header(&scratch, "[u8; 300]", "[u8\x1b[2J0]");
    let error = open_error(&scratch);
    assert!(matches!(error, OpenError::Schema { part: "value", .. }));
    assert!(!error.to_string().contains('\x1b'), "{error:?}");
}

#[test]
fn a_segment_that_is_none_is_refused_by_name() {
    let scratch = Scratch::shm();
    std::fs::write(scratch.path(), vec![7; 8192]).unwrap();
    assert!(matches!(
        open_error(&scratch),
        OpenError::Header(FormatError::BadMagic { .. })
    ));
}

#[test]
fn floats_are_no_keys_and_types_have_limits() {
    let create = |key: &str, value: &str| {
        let (key, value) = (key.parse().unwrap(), value.parse().unwrap());
        DynMap::builder()
            .capacity(1)
            .create("memfd:dyn", &key, &value)
            .map(drop)
    };
    for key in ["f64", "[f32; 2]", "struct { a: u8, b: struct { c: f32 } }"] {
        let error = create(key, "u8").unwrap_err();
        let OpenError::Unfit {
            part: "key",
            source,
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(*source, Unfit::FloatKey);
    }
    assert!(matches!(
        create("u8", "[u8; 70000]"),
        Err(OpenError::Size(_))
    ));
    create("[u8; 65536]", "[u8; 65536]").unwrap();
}

#[test]
fn a_full_map_says_so_and_changes_nothing() {
    let (key, value) = ("u64".parse().unwrap(), "u64".parse().unwrap());
    let map = DynMap::builder()
        .capacity(20)
        .create("memfd:dyn", &key, &value)
        .unwrap();
    let mut inserted = 0_u64;
    let error = loop {
        match map.insert(&inserted.to_ne_bytes(), &inserted.to_ne_bytes()) {
            Ok(_) => inserted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, DynError::Write(WriteError::Full { capacity: 20 }));
    assert!(inserted >= 20);
    assert_eq!(map.len() as u64, inserted);
    assert_eq!(map.get(&inserted.to_ne_bytes()).unwrap(), None);
    assert_eq!(
        map.get(&7_u64.to_ne_bytes()).unwrap(),
        Some(7_u64.to_ne_bytes().to_vec())
    );
}

#[test]
fn updates_by_many_threads_through_both_kinds_of_handle_are_all_counted() {
    let scratch = Scratch::shm();
    let typed: Map<u32, [u64; 5]> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    let map = open(&scratch);
    const ROUNDS: u64 = 3000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                typed
                    .fetch_update(&7, |old| Some(old.unwrap_or_default().map(|it| it + 1)))
                    .unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                map.fetch_update(&7_u32.to_ne_bytes(), |old| {
                    let mut new = old.map_or(vec![0; 40], <[u8]>::to_vec);
                    for word in new.chunks_exact_mut(8) {
                        let old = u64::from_ne_bytes(word.try_into().unwrap());
                        word.copy_from_slice(&(old + 1).to_ne_bytes());
                    }
                    Some(new)
                })
                .unwrap();
            }
        });
    });
    assert_eq!(typed.get(&7).unwrap(), Some([2 * ROUNDS; 5]));
}

#[test]
fn an_untyped_reader_sees_whole_values_while_others_write() {
    let scratch = Scratch::shm();
    let typed: Map<u32, [u64; 16]> = Map::builder()
        .capacity(100)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..50 {
        typed.insert(key, [0; 16]).unwrap();
    }
    let reader: ReadOnlyDynMap = DynMap::builder()
        .open_read_only(scratch.segment().clone())
        .unwrap();
    let is_done = AtomicBool::new(false);
    let is_whole = |value: &[u8]| value.chunks_exact(8).all(|word| word == &value[..8]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::seeded();
            while !is_done.load(Ordering::Relaxed) {
                let key = random.below(50) as u32;
                typed.insert(key, [random.next(); 16]).unwrap();
            }
        });
        for _ in 0..200 {
            let mut seen = 0;
            for entry in &reader {
                let value = entry.unwrap().value;
                assert!(is_whole(&value), "{value:?}");
                seen += 1;
            }
            assert_eq!(seen, 50);
            for key in 0..50_u32 {
                let value = reader
                    .get(&key.to_ne_bytes())
                    .unwrap()
                    .expect("always there");
                assert!(is_whole(&value), "{value:?}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_reader_tells_live_writers_from_dead_ones() {
    if role().is_some() {
        let map = DynMap::builder().open(given_segment()).unwrap();
        map.insert(&1_u64.to_ne_bytes(), &1_u64.to_ne_bytes())
            .unwrap();
        ready();
        let _ = listen();
        return;
    }
    for scratch in Scratch::each() {
        let _creator: Map<u64, u64> = Map::builder()
            .capacity(10)
            .create(scratch.segment().clone())
            .unwrap();
        let test = "a_reader_tells_live_writers_from_dead_ones";
        let mut worker = Worker::start(child(
            &format!("dynamic::{test}"),
            "writer",
            scratch.segment(),
        ));
        worker.expect("ready");
        worker.say("go");
        let reader = DynMap::builder()
            .open_read_only(scratch.segment().clone())
            .unwrap();
        let seen = reader.participants();
        let [writer] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(writer.owner.pid(), Some(worker.pid() as u32));
        assert_eq!(writer.owner.liveness(), Liveness::Alive);
        assert!(!writer.is_self);
        worker.kill();
        drop(worker);
        let seen = reader.participants();
        let [writer] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(writer.owner.liveness(), Liveness::Dead);
        // A writer's handle can do something about it.
        let recovery = open(&scratch).recover().unwrap();
        assert_eq!(recovery.reclaimed.len(), 1, "{recovery}");
        assert!(reader.participants().is_empty());
    }
}

#[test]
fn an_activity_sample_counts_what_was_published() {
    let (key, value) = ("u64".parse().unwrap(), "[u64; 2]".parse().unwrap());
    let map = DynMap::builder()
        .capacity(1000)
        .create("memfd:dyn", &key, &value)
        .unwrap();
    let before = map.activity();
    for key in 0..100_u64 {
        map.insert(&key.to_ne_bytes(), &[1; 16]).unwrap();
    }
    for key in 0..50_u64 {
        let _ = map.remove(&key.to_ne_bytes()).unwrap();
    }
    let after = map.activity();
    assert_eq!(after.entries, 50);
    assert_eq!(after.publications - before.publications, 150);
    assert!(after.locks.is_empty());
    let resident = map.resident_bytes().unwrap();
    assert!(resident > 0 && resident <= map.header().total_len().next_multiple_of(4096));
}

fn cache_settings(ttl: Option<Duration>, idle: Option<Duration>) -> CacheSettings {
    let mut settings = CacheSettings::default();
    settings.time_to_live = ttl;
    settings.time_to_idle = idle;
    settings
}

#[test]
fn a_cache_made_without_types_is_the_cache_that_a_program_with_types_opens() {
    for scratch in Scratch::each() {
        let (key, value) = ("u64".parse().unwrap(), "[u32; 3]".parse().unwrap());
        let minute = Duration::from_secs(60);
        let map = DynMap::builder()
            .capacity(100)
            .cache(cache_settings(Some(minute), None))
            .create(scratch.segment().clone(), &key, &value)
            .unwrap();
        let cache: Cache<u64, [u32; 3]> = Cache::builder()
            .max_capacity(100)
            .time_to_live(minute)
            .open_or_create(scratch.segment().clone())
            .unwrap();
        assert_eq!(map.kind(), StoreKind::Cache);
        assert_eq!(
            map.cache_settings(),
            Some(cache_settings(Some(minute), None))
        );
        let image = |number: u32| [number.to_ne_bytes(); 3].concat();
        assert_eq!(map.insert(&1_u64.to_ne_bytes(), &image(5)).unwrap(), None);
        assert_eq!(cache.get(&1).unwrap(), Some([5; 3]));
        cache.insert(2, [6; 3]).unwrap();
        assert_eq!(map.get(&2_u64.to_ne_bytes()).unwrap(), Some(image(6)));
        let left = map
            .remaining_ttl(&2_u64.to_ne_bytes())
            .unwrap()
            .flatten()
            .unwrap();
        // An entry ends up to a tick after its time, never before.
        assert!(
            left > Duration::from_secs(30) && left <= minute + Duration::from_millis(20),
            "{left:?}"
        );
        // Updates keep the end that the entry had.
        map.insert_with_ttl(&3_u64.to_ne_bytes(), &image(0), Duration::from_secs(3600))
            .unwrap();
        map.fetch_update(&3_u64.to_ne_bytes(), |_| Some(image(9)))
            .unwrap();
        assert_eq!(cache.get(&3).unwrap(), Some([9; 3]));
        let left = map
            .remaining_ttl(&3_u64.to_ne_bytes())
            .unwrap()
            .flatten()
            .unwrap();
        assert!(left > Duration::from_secs(600), "{left:?}");
        // Never full, never more than it was made for, and counted.
        for number in 0..1000_u64 {
            map.insert(&number.to_ne_bytes(), &image(number as u32))
                .unwrap();
            assert!(map.len() <= 100);
        }
        let stats = map.cache_stats().unwrap();
        assert_eq!(stats.len, map.len() as u64);
        assert_eq!(
            stats.inserts - stats.evicted_for_room - stats.evicted_expired,
            stats.len
        );
        assert_eq!(stats.hits, 2, "only those of the typed handle");
        assert!(map.check().is_sound(), "{}", map.check());
        let entries = map.iter().map(Result::unwrap).inspect(|entry| {
            assert!(entry.time_left.is_some());
        });
        assert_eq!(entries.count(), map.len());
        cache.invalidate_all().unwrap();
        assert_eq!(map.iter().count(), 0);
        assert_eq!(map.get(&999_u64.to_ne_bytes()).unwrap(), None);
        assert_eq!(
            map.try_insert(&999_u64.to_ne_bytes(), &image(1)).unwrap(),
            None
        );
        assert_eq!(cache.get(&999).unwrap(), Some([1; 3]));
        map.clear().unwrap();
        assert!(map.is_empty());
    }
}

#[test]
fn entries_of_a_cache_end_for_untyped_handles_too() {
    let (key, value) = ("u64".parse().unwrap(), "u64".parse().unwrap());
    for idle in [None, Some(Duration::from_secs(3600))] {
        let map = DynMap::builder()
            .capacity(10)
            .cache(cache_settings(None, idle))
            .create("memfd:dyn", &key, &value)
            .unwrap();
        let bytes = 7_u64.to_ne_bytes();
        map.insert_with_ttl(&bytes, &bytes, Duration::from_millis(1))
            .unwrap();
        let started = std::time::Instant::now();
        while map.get(&bytes).unwrap().is_some() {
            assert!(started.elapsed() < Duration::from_secs(60), "it never ends");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!map.contains_key(&bytes).unwrap());
        assert_eq!(
            map.remove(&bytes).unwrap(),
            None,
            "it was not there any more"
        );
        map.insert(&bytes, &bytes).unwrap();
        assert_eq!(
            map.remaining_ttl(&bytes)
                .unwrap()
                .is_some_and(|left| left.is_some()),
            idle.is_some()
        );
    }
}

#[test]
fn a_map_has_no_times_and_a_cache_only_possible_ones() {
    let (key, value) = ("u8".parse().unwrap(), "u8".parse().unwrap());
    let map = DynMap::builder()
        .capacity(1)
        .create("memfd:dyn", &key, &value)
        .unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(
        map.insert_with_ttl(&[1], &[1], second),
        Err(DynError::NoTimes)
    );
    assert_eq!((map.cache_settings(), map.cache_stats()), (None, None));
    for time in [Duration::ZERO, Duration::MAX] {
        let error = DynMap::builder()
            .capacity(1)
            .cache(cache_settings(Some(time), None))
            .create("memfd:dyn", &key, &value)
            .unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::TimeOutOfRange {
                    setting: "time_to_live",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_negative_entry_is_no_entry_and_not_invalid() {
    #[shmkv::record]
    #[derive(Debug, PartialEq)]
    enum Side {
        Bid = 1,
        Ask = 2,
    }
    let scratch = Scratch::shm();
    let cache: Cache<u64, Side> = Cache::builder()
        .max_capacity(10)
        .negative_ttl(Duration::from_secs(3600))
        .create(scratch.segment().clone())
        .unwrap();
    // Zero bytes, which stand for its value, are no Side.
    let none = cache.get_or_insert_option_with(&1, || None).unwrap();
    assert_eq!(none, None);
    let map = open(&scratch);
    assert_eq!(map.len(), 1);
    assert_eq!(map.get(&1_u64.to_ne_bytes()).unwrap(), None);
    assert_eq!(map.iter().count(), 0);
    assert_eq!(map.remove_invalid().unwrap(), 0);
    assert_eq!(map.len(), 1);
}
