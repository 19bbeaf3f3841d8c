//! The cache, as its users see it: within one process.

use std::collections::HashMap;
use std::time::Duration;

use shmkv::cache::RemovalCause;
use shmkv::format::HashFunction;
use shmkv::{Cache, Map, OpenError};

/// A name nobody else uses; removed in the end.
struct Name(String);

impl Name {
    fn new(what: &str) -> Self {
        Self(format!(
            "shm:shmkv-test-cache-{what}-{}",
            std::process::id()
        ))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Ok(segment) = self.0.parse::<shmkv::Segment>() {
            let _ = segment.remove();
        }
    }
}

fn cache(name: &Name, capacity: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_capacity(capacity)
        .create(&*name.0)
        .unwrap()
}

#[test]
fn what_was_inserted_is_found_until_it_is_removed() {
    let name = Name::new("basic");
    let cache = cache(&name, 100);
    assert_eq!(cache.get(&1).unwrap(), None);
    assert!(cache.is_empty());
    cache.insert(1, 10).unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(10));
    assert!(cache.contains_key(&1).unwrap());
    cache.insert(1, 11).unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(11));
    assert_eq!(cache.len(), 1);
    assert_eq!(cache.remove(&1).unwrap(), Some(11));
    assert_eq!(cache.remove(&1).unwrap(), None);
    assert_eq!(cache.get(&1).unwrap(), None);
    assert!(cache.is_empty());
}

#[test]
fn insert_always_succeeds_and_len_never_exceeds_the_capacity() {
    for capacity in [1, 2, 3, 14, 15, 16, 29, 30, 31, 100, 1000, 4096] {
        let name = Name::new(&format!("capacity-{capacity}"));
        let cache = cache(&name, capacity);
        assert_eq!(cache.capacity(), capacity);
        for key in 0..20 * capacity as u64 {
            cache.insert(key, !key).unwrap();
            assert_eq!(cache.get(&key).unwrap(), Some(!key), "{capacity}: {key}");
            if key % 64 == 0 {
                assert!(cache.len() <= capacity, "{capacity}");
            }
        }
        assert_eq!(cache.len(), capacity, "all of the room is used");
        for entry in &cache {
            let (key, value) = entry.unwrap();
            assert_eq!(value, !key);
        }
        assert_eq!(cache.iter().count(), capacity);
        let stats = cache.stats();
        assert_eq!(stats.inserts, 20 * capacity as u64);
        assert_eq!(stats.evicted_for_room, 19 * capacity as u64);
        assert_eq!(stats.hits, 20 * capacity as u64);
        assert_eq!(stats.misses, 0);
    }
}

#[test]
fn a_cache_of_nothing_is_refused() {
    let name = Name::new("nothing");
    let refused = Cache::<u64, u64>::builder()
        .max_capacity(0)
        .create(&*name.0);
    assert!(matches!(refused, Err(OpenError::Size(_))), "{refused:?}");
}

/// A cache may forget, but it never makes anything up.
#[test]
fn a_cache_agrees_with_a_model_that_forgets_nothing() {
    let name = Name::new("model");
    let cache = cache(&name, 500);
    let mut model = HashMap::new();
    let mut random = 1u64;
    for _ in 0..200_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (key, action, value) = (random >> 40 & 0x7FF, random >> 33 & 7, random >> 8);
        match action {
            0..4 => {
                let found = cache.get(&key).unwrap();
                if let Some(found) = found {
                    assert_eq!(model.get(&key), Some(&found));
                }
            }
            4..7 => {
                cache.insert(key, value).unwrap();
                model.insert(key, value);
            }
            _ => {
                let removed = cache.remove(&key).unwrap();
                let expected = model.remove(&key);
                assert!(removed.is_none() || removed == expected);
                assert_eq!(cache.get(&key).unwrap(), None);
            }
        }
    }
    assert!(
        cache.len() > 400,
        "most of the room is in use: {}",
        cache.len()
    );
    // Nothing is lost from the books either.
    let stats = cache.stats();
    let gone = stats.evicted_for_room + stats.evicted_expired + stats.removed;
    assert_eq!(stats.inserts - gone, stats.len);
}

#[test]
fn a_read_only_handle_reads_and_leaves_no_trace() {
    let name = Name::new("read-only");
    let cache = cache(&name, 100);
    cache.insert(1, 10).unwrap();
    let reader = Cache::<u64, u64>::builder()
        .open_read_only(&*name.0)
        .unwrap();
    assert_eq!(reader.get(&1).unwrap(), Some(10));
    assert_eq!(reader.get(&2).unwrap(), None);
    assert_eq!(reader.iter().count(), 1);
    assert_eq!(reader.len(), 1);
    let stats = reader.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (0, 0, 1));
    assert_eq!(cache.read_only().get(&1).unwrap(), Some(10));
}

#[test]
fn a_map_is_not_opened_as_a_cache_nor_a_cache_as_a_map() {
    let name = Name::new("kinds");
    let cache = cache(&name, 100);
    let refused = Map::<u64, u64>::builder().open(&*name.0);
    assert!(matches!(refused, Err(OpenError::WrongKind { .. })));
    cache.segment().remove().unwrap();
    let _map = Map::<u64, u64>::builder()
        .capacity(10)
        .create(&*name.0)
        .unwrap();
    let refused = Cache::<u64, u64>::builder().open(&*name.0);
    assert!(matches!(refused, Err(OpenError::WrongKind { .. })));
}

#[test]
fn other_settings_than_the_segments_are_reported() {
    let name = Name::new("settings");
    let minute = Duration::from_secs(60);
    let builder = || Cache::<u64, u64>::builder().max_capacity(100);
    let made = builder()
        .time_to_live(minute)
        .open_or_create(&*name.0)
        .unwrap();
    assert_eq!(made.time_to_live(), Some(minute));
    let differs = |opened: Result<Cache<u64, u64>, OpenError>| match opened {
        Err(OpenError::SettingDiffers {
            setting,
            asked,
            found,
        }) => {
            format!("{setting}: {asked} not {found}")
        }
        other => panic!("{other:?}"),
    };
    let same = builder().time_to_live(minute).open_or_create(&*name.0);
    assert!(same.is_ok());
    assert_eq!(
        differs(builder().open_or_create(&*name.0)),
        "time_to_live: none not 60s"
    );
    let other = builder().time_to_live(minute).time_to_idle(minute);
    assert_eq!(
        differs(other.open_or_create(&*name.0)),
        "time_to_idle: 60s not none"
    );
    let other = Cache::builder().max_capacity(99).time_to_live(minute);
    assert_eq!(
        differs(other.open_or_create(&*name.0)),
        "max_capacity: 99 not 100"
    );
    // Who only opens compares what was set.
    assert!(Cache::<u64, u64>::builder().open(&*name.0).is_ok());
    let other = Cache::<u64, u64>::builder().time_to_live(2 * minute);
    assert_eq!(differs(other.open(&*name.0)), "time_to_live: 120s not 60s");
    for out_of_range in [Duration::ZERO, Duration::MAX] {
        let other = Name::new("range");
        let refused = builder().time_to_live(out_of_range).create(&*other.0);
        assert!(matches!(refused, Err(OpenError::TimeOutOfRange { .. })));
    }
}

#[test]
fn an_entry_ends_after_its_time() {
    let name = Name::new("ttl");
    let cache = cache(&name, 100);
    cache
        .insert_with_ttl(1, 10, Duration::from_millis(20))
        .unwrap();
    cache
        .insert_with_ttl(2, 20, Duration::from_secs(1_000_000_000_000))
        .unwrap();
    cache.insert(3, 30).unwrap();
    let started = std::time::Instant::now();
    while cache.get(&1).unwrap().is_some() {
        std::thread::yield_now();
    }
    assert!(
        started.elapsed() >= Duration::from_millis(19),
        "ended early"
    );
    assert!(!cache.contains_key(&1).unwrap());
    assert_eq!(cache.get(&2).unwrap(), Some(20));
    assert_eq!(cache.get(&3).unwrap(), Some(30));
    assert_eq!(cache.iter().count(), 2);
    assert_eq!(cache.remove_expired().unwrap(), 1);
    assert_eq!(cache.len(), 2);
}

#[test]
fn all_entries_are_invalidated_at_once() {
    let name = Name::new("invalidate");
    let cache = cache(&name, 1000);
    for key in 0..1000 {
        cache.insert(key, key).unwrap();
    }
    let before = cache.stats();
    cache.invalidate_all().unwrap();
    assert_eq!(cache.iter().count(), 0);
    assert!((0..1000).all(|key| cache.get(&key).unwrap().is_none()));
    cache.insert(1, 2).unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(2));
    // What is out of date is evicted first.
    for key in 2000..2200 {
        cache.insert(key, key).unwrap();
    }
    assert_eq!(cache.iter().count(), 201);
    let after = cache.stats();
    assert_eq!(after.evicted_for_room, before.evicted_for_room);
    assert!(after.evicted_expired > 100);
}

#[test]
fn retain_and_clear_remove() {
    let name = Name::new("retain");
    let cache = cache(&name, 1000);
    for key in 0..100 {
        cache.insert(key, key).unwrap();
    }
    assert_eq!(cache.retain(|key, _| key % 2 == 0).unwrap(), 50);
    assert_eq!(cache.len(), 50);
    assert!(cache.keys().all(|key| key.unwrap() % 2 == 0));
    assert_eq!(cache.clear().unwrap(), 50);
    assert!(cache.is_empty());
}

#[test]
fn the_listener_is_told_of_each_entry_that_goes() {
    let name = Name::new("listener");
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let cache: Cache<u64, u64> = Cache::builder()
        .max_capacity(2)
        .eviction_listener({
            let told = told.clone();
            move |key, value, cause| told.lock().unwrap().push((key, value, cause))
        })
        .create(&*name.0)
        .unwrap();
    cache.insert(1, 10).unwrap();
    cache.insert(1, 11).unwrap();
    cache.remove(&1).unwrap();
    cache.insert_with_ttl(2, 20, Duration::ZERO).unwrap();
    while cache.contains_key(&2).unwrap() {
        std::thread::yield_now();
    }
    cache.insert(2, 21).unwrap();
    let expected = [
        (1, 10, RemovalCause::Replaced),
        (1, 11, RemovalCause::Explicit),
        (2, 20, RemovalCause::Expired),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
    told.lock().unwrap().clear();
    for key in 3..6 {
        cache.insert(key, key).unwrap();
    }
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|(_, _, cause)| *cause == RemovalCause::Size)
    );
}

/// Values of every size, and alignments beyond a word's.
#[test]
fn values_of_all_shapes_are_kept_with_their_metadata() {
    fn check<V: shmkv::Value + PartialEq + std::fmt::Debug + Copy>(
        what: &str,
        of: impl Fn(u64) -> V,
    ) {
        for (idle, hash) in [
            (false, HashFunction::Rapid),
            (true, HashFunction::Rapid),
            (false, HashFunction::Sip),
            (true, HashFunction::Sip),
        ] {
            let name = Name::new(&format!("shape-{what}-{idle}-{hash:?}"));
            let mut builder = Cache::<u64, V>::builder().max_capacity(60).hash(hash);
            if idle {
                builder = builder.time_to_idle(Duration::from_secs(3600));
            }
            let cache = builder.create(&*name.0).unwrap();
            for key in 0..200 {
                cache.insert(key, of(key)).unwrap();
                cache.insert(key, of(key + 1)).unwrap();
                assert_eq!(cache.get(&key).unwrap(), Some(of(key + 1)));
                assert_eq!(cache.read_only().get(&key).unwrap(), Some(of(key + 1)));
            }
            assert_eq!(cache.len(), 60);
            for entry in &cache {
                let (key, value) = entry.unwrap();
                assert_eq!(value, of(key + 1));
            }
        }
    }
    check("unit", |_| ());
    check("byte", |n| n as u8);
    check("u128", |n| u128::from(n) << 64 | 5);
    check("array", |n| [n; 40]);
    check("bytes", |n| [n as u8; 100]);
}
