//! What the interface of a cache must survive.

use std::time::Duration;

use shmkv::testing::StepBounds;
use shmkv::{Cache, Key, ReadOnlyCache, Segment, Value};

use crate::op::CacheOp;
use crate::plan::Times;
use crate::sample::{Sample, assert_valid, assert_valid_key};
use crate::survive::{answered, said, seen};

/// A new cache in a segment that nobody else can find.
pub fn new_cache<K: Key, V: Value>(capacity: usize, times: Times) -> Cache<K, V> {
    let ms = |time: u16| Duration::from_millis(u64::from(time) + 1);
    let mut builder = Cache::builder()
        .max_capacity(capacity)
        .max_writers(2)
        .lock_timeout(Duration::ZERO)
        .load_timeout(Duration::ZERO)
        .sync_on_close(false)
        .statistics(times.statistics)
        .eviction_listener(|key: K, value: V, _| {
            assert_valid_key(&key);
            assert_valid(&value);
        });
    if let Some(live) = times.live {
        builder = builder.time_to_live(ms(live));
    }
    if let Some(idle) = times.idle {
        builder = builder.time_to_idle(ms(idle));
    }
    if let Some(stale) = times.stale {
        builder = builder.stale_while_revalidate(ms(stale));
    }
    if let Some(negative) = times.negative {
        builder = builder.negative_ttl(ms(negative));
    }
    builder
        .create(Segment::memfd("fuzz").expect("a name"))
        .expect("a small cache")
}

/// Runs an operation and looks at what it answers. `reader` may stand on another mapping.
pub fn survive_cache<K: Key + Sample, V: Value + Sample>(
    cache: &Cache<K, V>,
    reader: &ReadOnlyCache<K, V>,
    op: CacheOp,
) {
    let key = |number: u8| K::sample(number.into());
    match op {
        CacheOp::Insert(number, value) => {
            answered(cache.insert(key(number), V::sample(value)));
        }
        CacheOp::Fill(from, count, value) => {
            for number in from..from.saturating_add(count % 40) {
                answered(cache.insert(key(number), V::sample(value)));
            }
        }
        CacheOp::InsertWithTtl(number, value, ttl) => {
            let ttl = Duration::from_millis(ttl.into());
            answered(cache.insert_with_ttl(key(number), V::sample(value), ttl));
        }
        CacheOp::Get(number) => {
            seen(cache.get(&key(number)));
            seen(reader.get(&key(number)));
            answered(reader.contains_key(&key(number)));
        }
        CacheOp::Load(number, value) => {
            let loaded = cache.get_or_insert_with(&key(number), || V::sample(value));
            seen(loaded.map(Some));
        }
        CacheOp::TryLoad(number, value) => {
            let load = || value.map(V::sample).ok_or("none");
            seen(cache.get_or_try_insert_with(&key(number), load).map(Some));
        }
        CacheOp::LoadOption(number, value) => {
            let load = || value.map(V::sample);
            seen(cache.get_or_insert_option_with(&key(number), load));
        }
        CacheOp::Remove(number) => seen(cache.remove(&key(number))),
        CacheOp::Iterate => {
            let most = 2 * most_entries(reader) + (1 << 16);
            for (number, entry) in reader.iter().enumerate() {
                assert!(number < most, "an iteration without end");
                match entry {
                    Ok((key, value)) => {
                        assert_valid_key(&key);
                        assert_valid(&value);
                    }
                    Err(error) => said(&error),
                }
            }
        }
        CacheOp::Retain(number) => answered(cache.retain(|key, value| {
            assert_valid_key(key);
            assert_valid(value);
            value.as_bytes().first().is_none_or(|byte| *byte > number)
        })),
        CacheOp::Clear => answered(cache.clear()),
        CacheOp::InvalidateAll => answered(cache.invalidate_all()),
        CacheOp::RemoveExpired => answered(cache.remove_expired()),
        CacheOp::CheckReport => said(&reader.check()),
        CacheOp::Recover => match cache.recover() {
            Ok(recovery) => said(&recovery),
            Err(error) => said(&error),
        },
        CacheOp::Stats => {
            let _ = format!("{:?}", reader.stats());
            assert!(reader.len() <= most_entries(reader));
            let _ = (reader.is_empty(), reader.clock_resolution());
            assert_eq!(reader.capacity(), cache.capacity());
        }
    }
}

/// What an operation may cost, roughly: nothing of it is without end.
pub fn cache_bound(step_bounds: StepBounds) -> u64 {
    step_bounds.sweep(true, 64 * step_bounds.transform(true))
}

fn most_entries<K: Key, V: Value>(cache: &ReadOnlyCache<K, V>) -> usize {
    // Sixteen a bucket, of which there is at least one for each of its entries.
    16 * (cache.capacity() + 2)
}
