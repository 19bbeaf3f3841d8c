//! What these tests show, with a clock that they set themselves:
//!
//! - an entry counts until its deadline and not a millisecond longer, through every handle, whatever
//!   else happens to it, and however the operations follow each other;
//! - one that has to be asked for lives as long as it is, give or take a sixteenth;
//! - metadata may be any bits whatever.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::liveness::tests::Child;
use crate::protocol::shape::One;
use crate::protocol::shape::Shape;
use crate::segment::Segment;
use crate::sys::copy::Buffer;
use crate::sys::sync;
use crate::types::metadata::{EPOCHS, MAX_TICKS, NEXT_EPOCH};

const KEYS: u64 = 40;

struct Scratch(String);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!(
            "shm:shmkv-ut-cache-{}-{number}",
            std::process::id()
        ))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(segment) = self.0.parse::<Segment>() {
            let _ = segment.remove();
        }
    }
}

type Clocked = Arc<sync::AtomicU64>;

fn builder() -> CacheBuilder<u64, u64> {
    Cache::builder().max_capacity(1000)
}

/// A cache, another handle on it and one for reading, which all go by the clock that is returned.
fn handles(
    name: &Scratch,
    settings: impl Fn() -> CacheBuilder<u64, u64>,
) -> (Clocked, [Cache<u64, u64>; 2], ReadOnlyCache<u64, u64>) {
    let clock = Arc::new(sync::AtomicU64::new(1000));
    let mut first = settings().create(&*name.0).unwrap();
    let mut second = settings().open(&*name.0).unwrap();
    let mut reader = settings().open_read_only(&*name.0).unwrap();
    for cache in [&mut first, &mut second] {
        cache.reader.clock.injected = Some(clock.clone());
    }
    reader.clock.injected = Some(clock.clone());
    (clock, [first, second], reader)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert { handle: usize, key: u64 },
    InsertFor { handle: usize, key: u64, ttl: u64 },
    Load { handle: usize, key: u64 },
    Remove { handle: usize, key: u64 },
    Get { handle: usize, key: u64 },
    Pass { millis: u64 },
    InvalidateAll,
    RemoveExpired,
}

fn step() -> impl Strategy<Value = Step> {
    let handle = 0..2usize;
    let key = 0..KEYS;
    // Around a tick, around the settings, and years.
    let ttl = || prop_oneof![0..4u64, 90..110u64, 1_000_000_000_000..1_200_000_000_000u64];
    prop_oneof![
        3 => (handle.clone(), key.clone()).prop_map(|(handle, key)| Step::Insert { handle, key }),
        3 => (handle.clone(), key.clone(), ttl())
            .prop_map(|(handle, key, ttl)| Step::InsertFor { handle, key, ttl }),
        2 => (handle.clone(), key.clone()).prop_map(|(handle, key)| Step::Load { handle, key }),
        1 => (handle.clone(), key.clone()).prop_map(|(handle, key)| Step::Remove { handle, key }),
        6 => (handle, key).prop_map(|(handle, key)| Step::Get { handle, key }),
        4 => prop_oneof![0..3u64, 40..110u64, Just(10_000)].prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::InvalidateAll),
        1 => Just(Step::RemoveExpired),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    value: u64,
    deadline: u64,
    asked: u64,
}

/// Runs the steps against a model; checks each answer. `idle` is zero for none.
fn check(steps: &[Step], ttl: u64, idle: u64) {
    let name = Scratch::new();
    let settings = || {
        let mut settings = builder();
        if ttl != 0 {
            settings = settings.time_to_live(Duration::from_millis(ttl));
        }
        if idle != 0 {
            settings = settings.time_to_idle(Duration::from_millis(idle));
        }
        settings
    };
    let (clock, handles, reader) = handles(&name, settings);
    let mut model: HashMap<u64, Entry> = HashMap::new();
    let mut next = 0;
    for step in steps {
        let now = clock.load(Ordering::Relaxed);
        let default = if ttl == 0 { u64::MAX } else { now + ttl };
        let must = |entry: &Entry| {
            now < entry.deadline && (idle == 0 || now + idle / 16 + 1 < entry.asked + idle)
        };
        let may = |entry: &Entry| now < entry.deadline && (idle == 0 || now < entry.asked + idle);
        let agree = |found: Option<u64>, entry: Option<&Entry>, what: &str| match found {
            Some(found) => {
                let entry = entry.unwrap_or_else(|| panic!("{what}: a key that is not there"));
                assert_eq!(found, entry.value, "{what}");
                assert!(may(entry), "{what}: expired at {now}: {entry:?}");
            }
            None => assert!(
                !entry.is_some_and(must),
                "{what}: too early at {now}: {entry:?}"
            ),
        };
        next += 1;
        match *step {
            Step::Insert { handle, key } => {
                handles[handle].insert(key, next).unwrap();
                let (deadline, asked) = (default, now);
                model.insert(
                    key,
                    Entry {
                        value: next,
                        deadline,
                        asked,
                    },
                );
            }
            Step::InsertFor { handle, key, ttl } => {
                handles[handle]
                    .insert_with_ttl(key, next, Duration::from_millis(ttl))
                    .unwrap();
                let (deadline, asked) = (now + ttl, now);
                model.insert(
                    key,
                    Entry {
                        value: next,
                        deadline,
                        asked,
                    },
                );
            }
            Step::Load { handle, key } => {
                let mut ran = false;
                let value = handles[handle].get_or_insert_with(&key, || {
                    ran = true;
                    next
                });
                let value = value.unwrap();
                agree((!ran).then_some(value), model.get(&key), "load");
                if ran {
                    assert_eq!(value, next);
                    model.insert(
                        key,
                        Entry {
                            value: next,
                            deadline: default,
                            asked: now,
                        },
                    );
                } else if let Some(entry) = model.get_mut(&key) {
                    entry.asked = now;
                }
            }
            Step::Remove { handle, key } => {
                let removed = handles[handle].remove(&key).unwrap();
                agree(removed, model.get(&key), "remove");
                model.remove(&key);
            }
            Step::Get { handle, key } => {
                let found = handles[handle].get(&key).unwrap();
                // One that is read only asks as well, but leaves no trace.
                agree(found, model.get(&key), "get");
                if found.is_some()
                    && let Some(entry) = model.get_mut(&key)
                {
                    entry.asked = now;
                }
                assert_eq!(reader.get(&key).unwrap(), found, "the reader at {now}");
                assert_eq!(reader.contains_key(&key).unwrap(), found.is_some());
            }
            Step::Pass { millis } => {
                clock.fetch_add(millis, Ordering::Relaxed);
            }
            Step::InvalidateAll => {
                handles[0].invalidate_all().unwrap();
                model.clear();
            }
            Step::RemoveExpired => {
                handles[1].remove_expired().unwrap();
                let there = reader.len();
                assert_eq!(reader.iter().count(), there, "what is left counts");
                for entry in &reader {
                    let (key, value) = entry.unwrap();
                    agree(Some(value), model.get(&key), "iter");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn entries_with_a_time_to_live_end_to_the_tick(steps in prop::collection::vec(step(), 1..400)) {
        check(&steps, 100, 0);
    }

    #[test]
    fn entries_without_limits_stay_and_those_with_one_of_their_own_end(
        steps in prop::collection::vec(step(), 1..400),
    ) {
        check(&steps, 0, 0);
    }

    #[test]
    fn entries_that_are_asked_for_stay_and_others_end(
        steps in prop::collection::vec(step(), 1..400),
    ) {
        check(&steps, 0, 96);
    }

    #[test]
    fn both_limits_hold(steps in prop::collection::vec(step(), 1..400)) {
        check(&steps, 100, 64);
    }
}

#[test]
fn a_ttl_of_years_ends_after_years() {
    let name = Scratch::new();
    let (clock, [cache, _], _) = handles(&name, builder);
    let year = Duration::from_secs(365 * 86_400);
    cache.insert_with_ttl(1, 10, 20 * year).unwrap();
    cache.insert_with_ttl(2, 20, 1000 * year).unwrap();
    let years = |years: u64| years * 365 * 86_400 * 1000;
    clock.fetch_add(years(20) - 1, Ordering::Relaxed);
    assert_eq!(cache.get(&1).unwrap(), Some(10));
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(cache.get(&1).unwrap(), None);
    assert_eq!(
        cache.get(&2).unwrap(),
        Some(20),
        "as long as can be written down"
    );
    clock.store(MAX_TICKS, Ordering::Relaxed);
    assert_eq!(cache.get(&2).unwrap(), None);
}

#[test]
fn a_hit_with_no_limit_reads_no_clock() {
    let name = Scratch::new();
    let (_, [cache, _], _) = handles(&name, builder);
    cache.insert(1, 10).unwrap();
    let before = cache.reader.clock.reads();
    for _ in 0..10 {
        assert_eq!(cache.get(&1).unwrap(), Some(10));
        assert_eq!(cache.get(&2).unwrap(), None);
        cache.insert(3, 30).unwrap();
    }
    assert_eq!(cache.reader.clock.reads(), before);
    cache
        .insert_with_ttl(1, 10, Duration::from_secs(1))
        .unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(10));
    assert!(cache.reader.clock.reads() > before);
}

/// One rule, one behaviour: what an insertion evicts by does not depend on the handle.
#[test]
fn typed_and_untyped_handles_evict_by_the_same_rules() {
    let second = Duration::from_secs(1);
    type Settings = fn() -> CacheBuilder<u64, u64>;
    let kinds: [(Settings, bool); 4] = [
        (builder, false),
        (|| builder().time_to_live(Duration::from_secs(1)), true),
        (|| builder().time_to_idle(Duration::from_secs(1)), true),
        (|| builder().negative_ttl(Duration::from_secs(1)), true),
    ];
    for (settings, has_ends) in kinds {
        let name = Scratch::new();
        let (_, [cache, _], _) = handles(&name, settings);
        let mut untyped = Rules::of(cache.shared());
        untyped.clock = cache.reader.clock.clone();
        let terms = |what: &str, has_ends: bool, may_be_stale: bool| {
            let reads = cache.reader.clock.reads();
            let typed = cache.replacement();
            let untyped = untyped.replacement(cache.shared());
            let read = cache.reader.clock.reads() - reads;
            for terms in [&typed, &untyped] {
                assert_eq!(terms.epoch, cache.epoch(), "{what}");
                assert_eq!(terms.idle, cache.fields().time_to_idle, "{what}");
                assert_eq!(terms.now != 0, has_ends, "{what}");
                assert_eq!(terms.may_be_stale, may_be_stale, "{what}");
            }
            assert_eq!(read, if has_ends { 2 } else { 0 }, "{what}: the clock");
        };
        terms("new", has_ends, has_ends);
        cache.invalidate_all().unwrap();
        terms("of a later epoch", has_ends, true);
        cache.insert_with_ttl(1, 1, second).unwrap();
        terms("with a deadline", true, true);
    }
}

#[test]
fn an_old_value_is_served_while_one_caller_loads() {
    let name = Scratch::new();
    let settings = || {
        builder()
            .time_to_live(Duration::from_millis(100))
            .stale_while_revalidate(Duration::from_millis(50))
    };
    let (clock, [cache, second], _) = handles(&name, settings);
    cache.insert(1, 10).unwrap();
    clock.fetch_add(120, Ordering::Relaxed);
    assert_eq!(cache.get(&1).unwrap(), None, "get knows no grace");
    let loaded = cache.get_or_insert_with(&1, || {
        // From another thread and handle, as it would be from another process.
        let served = std::thread::scope(|scope| {
            let ask = || {
                second
                    .get_or_insert_with(&1, || panic!("one loads already"))
                    .unwrap()
            };
            scope.spawn(ask).join().unwrap()
        });
        assert_eq!(served, 10);
        11
    });
    assert_eq!(loaded.unwrap(), 11);
    assert_eq!(second.get(&1).unwrap(), Some(11));
    // Beyond the grace there is nothing to serve.
    clock.fetch_add(150, Ordering::Relaxed);
    assert_eq!(second.get_or_insert_with(&1, || 12).unwrap(), 12);
}

#[test]
fn that_there_is_none_is_remembered_for_its_own_time() {
    let name = Scratch::new();
    let settings = || builder().negative_ttl(Duration::from_millis(30));
    let (clock, [cache, second], reader) = handles(&name, settings);
    assert_eq!(cache.get_or_insert_option_with(&1, || None).unwrap(), None);
    let again = second.get_or_insert_option_with(&1, || panic!("it is known"));
    assert_eq!(again.unwrap(), None);
    assert_eq!(
        (cache.get(&1).unwrap(), reader.get(&1).unwrap()),
        (None, None)
    );
    assert!(!cache.contains_key(&1).unwrap());
    assert_eq!((cache.iter().count(), cache.len()), (0, 1));
    assert_eq!(cache.retain(|_, _| false).unwrap(), 0);
    clock.fetch_add(29, Ordering::Relaxed);
    assert_eq!(
        cache.get_or_insert_option_with(&1, || panic!()).unwrap(),
        None
    );
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        cache.get_or_insert_option_with(&1, || Some(5)).unwrap(),
        Some(5)
    );
    assert_eq!(cache.get(&1).unwrap(), Some(5));
    // Who needs a value is not told of a negative entry.
    assert_eq!(cache.get_or_insert_option_with(&2, || None).unwrap(), None);
    assert_eq!(cache.get_or_insert_with(&2, || 7).unwrap(), 7);
    assert_eq!(cache.remove(&2).unwrap(), Some(7));
}

/// Stores a word behind the key that the only entry of the cache has.
fn forge(cache: &Cache<u64, u64>, offset: usize, word: u64) {
    let table = cache.table(cache.meta_words());
    for index in 0..table.buckets() {
        let bucket = table.bucket(index);
        for slot in bucket.read_begin().occupied() {
            let token = cache.shared().token().unwrap();
            let locked = bucket.try_lock_once(token).unwrap();
            locked.store_value_word(slot, offset, word);
        }
    }
}

#[test]
fn metadata_may_be_any_bits() {
    let name = Scratch::new();
    let settings = || {
        builder()
            .time_to_idle(Duration::from_millis(100))
            .stale_while_revalidate(Duration::from_millis(100))
    };
    let (_, [cache, _], reader) = handles(&name, settings);
    let bits = [
        0,
        1,
        0xF,
        1 << 24,
        u64::MAX,
        u64::MAX << 24,
        1 << 63,
        MAX_TICKS,
    ];
    for meta in bits {
        for accessed in bits {
            cache.clear().unwrap();
            cache.insert(1, 10).unwrap();
            forge(&cache, 1, meta);
            forge(&cache, 2, accessed);
            let _ = (cache.get(&1).unwrap(), reader.get(&1).unwrap());
            let _ = (reader.contains_key(&1).unwrap(), reader.iter().count());
            assert!(matches!(
                cache.get_or_insert_with(&1, || 11).unwrap(),
                10 | 11
            ));
            cache.insert(1, 12).unwrap();
            assert_eq!(cache.get(&1).unwrap(), Some(12));
        }
    }
}

#[test]
fn policy_words_and_epochs_may_be_any_bits() {
    let name = Scratch::new();
    let cache = Cache::<u64, u64>::builder()
        .max_capacity(30)
        .create(&*name.0)
        .unwrap();
    let words = cache.shared().mapping.buckets();
    let stride = Cached::<u64, u64, One>::new(One).bucket_words();
    let mut random = 7u64;
    for key in 0..20_000u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        let at = random as usize >> 40 & 1;
        words[at * stride + 4].store(random.rotate_left(17), Ordering::Relaxed);
        words[at * stride + 5].store(random.rotate_left(39), Ordering::Relaxed);
        if key % 1000 == 0 {
            cache.word(EPOCH).store(random, Ordering::Relaxed);
        }
        cache.insert(key, key).unwrap();
        assert_eq!(cache.get(&key).unwrap(), Some(key));
        assert!(cache.len() <= 30);
    }
}

#[test]
fn epochs_that_come_round_bring_nothing_back() {
    let name = Scratch::new();
    let cache = builder().create(&*name.0).unwrap();
    cache.insert(1, 10).unwrap();
    // As after all but one of the calls until the numbers come round.
    let quarter = EPOCHS / 4;
    for number in 1..=4 {
        // With invalid bytes where nothing belongs, which is cleared on the way.
        let before = (number * quarter - 1) * NEXT_EPOCH + 77;
        cache.word(EPOCH).store(before, Ordering::Relaxed);
        cache.invalidate_all().unwrap();
    }
    assert_eq!(cache.epoch(), 0);
    assert!(Meta::new(0, 0, false).is_of(cache.epoch()));
    assert_eq!(cache.get(&1).unwrap(), None);
    assert_eq!(cache.len(), 0);
}

/// As if it had been admitted in another boot.
fn of_another_boot(cache: &Cache<u64, u64>) {
    const OTHER: [u8; 16] = [0x5A; 16];
    let digest = crate::sys::boot::boot_digest(OTHER);
    cache.word(BOOT).store(digest, Ordering::Relaxed);
    crate::store::restart::record::admit(cache.shared(), OTHER);
}

/// A cache on a disk, closed, as the next boot of the machine finds it.
fn closed_in_another_boot(path: &std::path::Path) -> Segment {
    let segment = Segment::file(path).unwrap();
    let cache = builder().create(segment.clone()).unwrap();
    cache.insert(1, 10).unwrap();
    cache
        .insert_with_ttl(2, 20, Duration::from_secs(3600))
        .unwrap();
    of_another_boot(&cache);
    segment
}

#[test]
fn deadlines_of_another_boot_are_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let segment = closed_in_another_boot(&directory.path().join("cache"));
    let reader = builder().open_read_only(segment.clone()).unwrap();
    assert_eq!(reader.get(&1).unwrap(), Some(10));
    assert_eq!(reader.get(&2).unwrap(), None);
    assert_eq!(reader.len(), 2);
    let opened = builder().open(segment.clone()).unwrap();
    assert_eq!(opened.len(), 1, "the first who may write removes them");
    assert_eq!(opened.get(&1).unwrap(), Some(10));
    opened
        .insert_with_ttl(2, 21, Duration::from_secs(3600))
        .unwrap();
    assert_eq!(reader.get(&2).unwrap(), Some(21));
    assert_eq!(
        builder().open(segment).unwrap().len(),
        2,
        "and only the first"
    );
}

/// Another boot id on the same machine (LXC, nspawn, a bind mount), or one that cannot be read.
#[test]
fn boot_word_of_a_cache_in_memory_or_in_use_is_believed() {
    let directory = tempfile::tempdir().unwrap();
    let on_disk = Segment::file(directory.path().join("cache")).unwrap();
    let name = Scratch::new();
    for segment in [name.0.parse().unwrap(), on_disk] {
        let cache = builder().create(segment.clone()).unwrap();
        cache
            .insert_with_ttl(2, 20, Duration::from_secs(3600))
            .unwrap();
        of_another_boot(&cache);
        let reader = builder().open_read_only(segment.clone()).unwrap();
        assert_eq!(reader.get(&2).unwrap(), Some(20), "{segment}");
        let opened = builder().open(segment.clone()).unwrap();
        assert_eq!(opened.get(&2).unwrap(), Some(20), "{segment}");
        assert_eq!(cache.len(), 1, "{segment}");
    }
}

#[test]
fn a_hot_entry_costs_its_readers_no_store() {
    let name = Scratch::new();
    let cache = builder().statistics(false).create(&*name.0).unwrap();
    cache.insert(1, 10).unwrap();
    for _ in 0..10 {
        cache.get(&1).unwrap();
    }
    let image = |cache: &Cache<u64, u64>| -> Vec<u64> {
        let words = cache.shared().mapping.words().iter();
        words.map(|word| word.load(Ordering::Relaxed)).collect()
    };
    let before = image(&cache);
    for _ in 0..100 {
        assert_eq!(cache.get(&1).unwrap(), Some(10));
    }
    assert_eq!(image(&cache), before);
}

#[test]
fn counters_are_each_threads_own_and_none_is_lost() {
    let name = Scratch::new();
    let cache = builder().create(&*name.0).unwrap();
    cache.insert(1, 10).unwrap();
    // More threads than lines, some at a time.
    let asked = AtomicU64::new(0);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for _ in 0..60 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        cache.get(&1).unwrap();
                        cache.get(&2).unwrap();
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }
    let stats = cache.stats();
    let asked = asked.into_inner();
    assert_eq!((stats.hits, stats.misses), (asked, asked));
    assert_eq!(stats.hit_ratio(), 0.5);
    // Lines of threads that have exited are used again.
    let lines = cache
        .shared()
        .mapping
        .statistics()
        .chunks(crate::protocol::counters::LINE_WORDS);
    let used = lines
        .filter(|line| line[1].load(Ordering::Relaxed) != 0)
        .count();
    assert!(used <= 61, "{used} lines were used");
    assert!(used > 1);
}

#[test]
fn two_caches_by_turns_count_for_themselves() {
    let names = [Scratch::new(), Scratch::new()];
    let caches = names
        .each_ref()
        .map(|name| builder().create(&*name.0).unwrap());
    for round in 0..1000 {
        caches[0].get(&1).unwrap();
        if round % 2 == 0 {
            caches[1].get(&1).unwrap();
        }
    }
    for cache in &caches {
        assert_eq!(owners_of_used_lines(cache), [token_of(cache)]);
    }
    assert_eq!(caches.map(|cache| cache.stats().misses), [1000, 500]);
}

/// The first words of the lines that something was counted in.
fn owners_of_used_lines(cache: &Cache<u64, u64>) -> Vec<u64> {
    let words = cache.shared().mapping.statistics();
    let lines = words.chunks(crate::protocol::counters::LINE_WORDS);
    lines
        .map(|line| line.iter().map(|word| word.load(Ordering::Relaxed)))
        .filter_map(|mut line| {
            let owner = line.next()?;
            line.any(|count| count != 0).then_some(owner)
        })
        .collect()
}

fn token_of(cache: &Cache<u64, u64>) -> u64 {
    cache.shared().current_token().unwrap().to_word()
}

#[test]
fn a_cache_opened_after_another_was_closed_has_a_line_of_its_own() {
    let names = [Scratch::new(), Scratch::new()];
    for name in &names {
        let cache = builder().create(&*name.0).unwrap();
        cache.get(&1).unwrap();
        cache.get(&1).unwrap();
        assert_eq!(owners_of_used_lines(&cache), [token_of(&cache)]);
        assert_eq!(cache.stats().misses, 2);
    }
}

#[test]
fn a_parent_and_its_child_count_in_lines_of_their_own() {
    const ASKED: u64 = 100_000;
    let name = Scratch::new();
    let cache = builder().create(&*name.0).unwrap();
    cache.get(&1).unwrap();
    let count = || {
        for _ in 0..ASKED {
            cache.get(&1).unwrap();
        }
    };
    let child = Child::fork(|| {
        count();
        // As a process that is killed: what it leaves is its own.
        assert_eq!(owners_of_used_lines(&cache).len(), 2);
    });
    count();
    assert_eq!(child.wait(), 0);
    assert_eq!(cache.stats().misses, 2 * ASKED + 1);
    let owners = owners_of_used_lines(&cache);
    assert!(owners.len() == 2 && owners[0] != owners[1]);
    assert!(owners.contains(&token_of(&cache)));
}

#[test]
fn a_thread_that_found_no_slot_gets_a_line_when_there_is_one() {
    let name = Scratch::new();
    let cache = builder().create(&*name.0).unwrap();
    // As after an attempt to register in vain, in this second and (to be sure) the next.
    let refuse = |in_seconds: u64| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let second = now.tv_sec.cast_unsigned() + 1 + in_seconds;
        cache.shared().refused.store(second, Ordering::Relaxed);
    };
    while cache.stats().misses == 0 || cache.shared().current_token().is_some() {
        assert!(cache.shared().current_token().is_none(), "it registered");
        refuse(0);
        cache.get(&1).unwrap();
    }
    assert_eq!(
        owners_of_used_lines(&cache),
        [0],
        "the line that is nobody's"
    );
    // Another thread registers.
    std::thread::scope(|scope| {
        scope.spawn(|| cache.insert(1, 1).unwrap());
    });
    for _ in 0..3 {
        refuse(0);
        cache.get(&1).unwrap();
    }
    let mine = token_of(&cache);
    assert!(owners_of_used_lines(&cache).contains(&mine));
    assert_eq!((cache.stats().misses, cache.stats().hits), (1, 3));
}

#[test]
fn what_a_dying_thread_still_counts_goes_into_no_line_of_others() {
    thread_local! {
        // Made before the list of lines, so it goes after it.
        static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    struct Late(Cache<u64, u64>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.get(&1).unwrap();
        }
    }
    let name = Scratch::new();
    let cache = builder().create(&*name.0).unwrap();
    let late = Late(cache.clone());
    std::thread::spawn(move || {
        LATE.set(Some(late));
        LATE.with_borrow(|late| late.as_ref().unwrap().0.get(&1).unwrap());
    })
    .join()
    .unwrap();
    assert_eq!(cache.stats().misses, 2);
    let nobodys = cache.shared().mapping.statistics()
        [crate::protocol::counters::Counter::Misses as usize]
        .load(Ordering::Relaxed);
    assert_eq!(nobodys, 1, "counted where nobody counts without a lock");
}

#[test]
fn a_cache_without_statistics_counts_nothing() {
    let name = Scratch::new();
    let cache = builder().statistics(false).create(&*name.0).unwrap();
    cache.insert(1, 10).unwrap();
    cache.get(&1).unwrap();
    let stats = cache.stats();
    assert!(!stats.is_counting);
    assert_eq!((stats.hits, stats.inserts, stats.len), (0, 0, 1));
    let name = Scratch::new();
    let _counting = builder().create(&*name.0).unwrap();
    let silent = builder().statistics(false).open(&*name.0).unwrap();
    silent.insert(1, 10).unwrap();
    silent.get(&1).unwrap();
    assert_eq!((silent.stats().hits, silent.stats().inserts), (0, 0));
}

/// Misses stay cheap: what is evicted is no longer counted as being in its secondary bucket.
#[test]
fn counts_of_keys_in_secondary_bucket_stay_low_under_churn() {
    let name = Scratch::new();
    let cache = Cache::<u64, u64>::builder()
        .max_capacity(3000)
        .create(&*name.0)
        .unwrap();
    for key in 0..300_000u64 {
        cache.insert(key, key).unwrap();
        // Some are asked for again, so that not all of the victims are in the primary bucket.
        cache
            .get(&(key - key % 1000 * 7 % 1999 % (key + 1)))
            .unwrap();
    }
    let table = cache.table(One);
    let counted: u64 = (0..table.buckets())
        .flat_map(|bucket| (0..32).map(move |class| (bucket, class)))
        .map(|(bucket, class)| table.bucket(bucket).overflow(class))
        .sum();
    let mut overflow = 0;
    let mut buffer = WordBuf::<u64>::uninit();
    for index in 0..table.buckets() {
        let bucket = table.bucket(index);
        for slot in bucket.read_begin().occupied() {
            let hash = table.hash_of(bucket.load_key(slot, buffer.words()));
            overflow += u64::from(hash.primary(table.buckets()) != index);
        }
    }
    assert!(
        overflow > 0,
        "the test is about those that are in their secondary bucket"
    );
    // Nobody else held a lock, so each was counted down again.
    assert_eq!(counted, overflow);
}

/// Words anywhere behind the header become anything, again and again: every call comes back.
#[test]
fn any_words_anywhere_end_in_values_or_errors() {
    let mut random = 3u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        random >> 20 ^ random << 31
    };
    for round in 0..60u64 {
        let name = Scratch::new();
        let hour = Duration::from_secs(3600);
        let settings = || {
            let mut settings = Cache::<u64, [bool; 9]>::builder()
                .max_capacity(40)
                .max_writers(3)
                .lock_timeout(Duration::ZERO)
                .load_timeout(Duration::ZERO);
            if round % 2 == 0 {
                settings = settings.time_to_idle(hour).negative_ttl(hour);
            }
            if round % 3 == 0 {
                settings = settings.time_to_live(hour).stale_while_revalidate(hour);
            }
            settings
        };
        let cache = settings().create(&*name.0).unwrap();
        let reader = cache.read_only();
        let words = cache.shared().mapping.words();
        let behind = cache.shared().layout.places.shared;
        let own = cache.shared().token().unwrap().to_word();
        for _ in 0..500 {
            let key = next() % 64;
            match next() % 16 {
                0..6 => {
                    // Half of them where the buckets are, of which the others are few.
                    let from = match next() % 2 {
                        0 => behind,
                        _ => cache.shared().layout.places.buckets,
                    };
                    let at = from + next() as usize % (words.len() - from);
                    let word = match next() % 6 {
                        0 => 0,
                        1 => u64::MAX,
                        2 => own,
                        3 => own + (1 << 17),
                        4 => next() & 0xFF,
                        _ => next(),
                    };
                    words[at].store(word, Ordering::Relaxed);
                }
                6 | 7 => drop(cache.insert(key, [true; 9])),
                8 => drop(cache.insert_with_ttl(key, [false; 9], hour)),
                9 => drop((cache.get(&key), reader.get(&key), reader.contains_key(&key))),
                10 => drop(cache.remove(&key)),
                11 => drop(cache.get_or_insert_with(&key, || [true; 9])),
                12 => drop(cache.get_or_insert_option_with(&key, || None)),
                13 => drop((
                    reader.iter().take(1000).count(),
                    cache.stats(),
                    reader.check(),
                )),
                14 => drop((cache.retain(|key, _| key % 2 == 0), cache.recover())),
                _ => drop((cache.invalidate_all(), settings().open(&*name.0))),
            }
        }
    }
}
