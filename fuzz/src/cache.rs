//! A cache against a model that forgets nothing, and against somebody who writes into its segment.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use arbitrary::Arbitrary;
use shmkv::{Cache, Segment};
use shmkv::cache::CacheBuilder;

type Value = [u64; 3];

/// What may be done to a cache.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    Get(u8),
    Insert(u8, u64),
    InsertFor(u8, u64, u16),
    Remove(u8),
    Load(u8, u64),
    LoadOption(u8, Option<u64>),
    Iterate,
    Retain(u8),
    InvalidateAll,
    RemoveExpired,
    Recover,
    /// Somebody stores a word behind the header.
    Scribble(u16, u64),
    /// A process that comes later.
    Reopen,
}

fn builder(settings: u8) -> CacheBuilder<u8, Value> {
    let mut builder = Cache::builder()
        .max_capacity(usize::from(settings >> 3) + 1)
        .max_writers(2)
        // A word may name this very process: no need to wait for it.
        .lock_timeout(Duration::ZERO)
        .load_timeout(Duration::ZERO);
    let hour = Duration::from_secs(3600);
    if settings & 1 != 0 {
        builder = builder.time_to_live(hour);
    }
    if settings & 2 != 0 {
        builder = builder.time_to_idle(hour);
    }
    if settings & 4 != 0 {
        builder = builder.negative_ttl(hour).stale_while_revalidate(hour);
    }
    builder
}

fn value(number: u64) -> Value {
    [number, !number, number.rotate_left(21)]
}

/// Runs the steps; without any scribble, what is found must be what was stored last.
pub fn run(settings: u8, steps: &[Step]) {
    let mut cache = builder(settings)
        .create(Segment::memfd("fuzz").unwrap())
        .unwrap();
    let file: File = cache.fd().unwrap().try_clone_to_owned().unwrap().into();
    let words = file.metadata().unwrap().len() / 8;
    let mut model: HashMap<u8, Value> = HashMap::new();
    let mut is_honest = true;
    for step in steps {
        let agrees = |model: &HashMap<u8, Value>, key: u8, found: Option<Value>| match found {
            Some(found) => !is_honest || model.get(&key) == Some(&found),
            None => true,
        };
        match *step {
            Step::Get(key) => {
                let found = cache.get(&key);
                assert!(found.is_ok() || !is_honest);
                assert!(agrees(&model, key, found.unwrap_or(None)));
                let _ = cache.contains_key(&key);
            }
            Step::Insert(key, number) => {
                let done = cache.insert(key, value(number)).is_ok();
                assert!(done || !is_honest);
                model.insert(key, value(number));
                assert!(!is_honest || cache.get(&key) == Ok(Some(value(number))));
            }
            Step::InsertFor(key, number, millis) => {
                let ttl = Duration::from_millis(millis.into());
                let done = cache.insert_with_ttl(key, value(number), ttl).is_ok();
                assert!(done || !is_honest);
                model.insert(key, value(number));
            }
            Step::Remove(key) => {
                let removed = cache.remove(&key);
                assert!(agrees(&model, key, removed.unwrap_or(None)));
                model.remove(&key);
            }
            Step::Load(key, number) => {
                let mut ran = false;
                let loaded = cache.get_or_insert_with(&key, || {
                    ran = true;
                    value(number)
                });
                assert!(loaded.is_ok() || !is_honest);
                if ran {
                    model.insert(key, value(number));
                }
                assert!(agrees(&model, key, loaded.ok()));
            }
            Step::LoadOption(key, number) => {
                let mut ran = false;
                let loaded = cache.get_or_insert_option_with(&key, || {
                    ran = true;
                    number.map(value)
                });
                assert!(loaded.is_ok() || !is_honest);
                if ran {
                    match number {
                        Some(number) => model.insert(key, value(number)),
                        None => model.remove(&key),
                    };
                }
                assert!(agrees(&model, key, loaded.unwrap_or(None)));
            }
            Step::Iterate => {
                for entry in cache.iter().take(10_000) {
                    if let Ok((key, found)) = entry {
                        assert!(agrees(&model, key, Some(found)));
                    }
                }
            }
            Step::Retain(odd) => {
                let _ = cache.retain(|key, _| key % 2 == odd % 2);
                model.retain(|key, _| key % 2 == odd % 2);
            }
            Step::InvalidateAll => {
                let _ = cache.invalidate_all();
                model.clear();
            }
            Step::RemoveExpired => {
                let _ = cache.remove_expired();
            }
            Step::Recover => {
                let _ = cache.recover();
                let check = cache.check();
                assert!(check.is_sound() || !is_honest, "{check}");
            }
            Step::Scribble(at, word) => {
                // The header was validated by whoever opened it, and is not read again; the rest
                // is large, so half of the writes go to its last pages, where the buckets are.
                let at = u64::from(at);
                let at = match at % 2 {
                    0 => 512 + at / 2 % (words - 512),
                    _ => words - 1 - at / 2 % 1024.min(words - 512),
                };
                file.write_all_at(&word.to_ne_bytes(), at * 8).unwrap();
                is_honest = false;
            }
            Step::Reopen => {
                use std::os::fd::AsRawFd;
                let name = Segment::fd(file.as_raw_fd()).unwrap();
                match builder(settings).open(name) {
                    Ok(opened) => cache = opened,
                    Err(error) => assert!(!is_honest, "{error}"),
                }
            }
        }
        assert!(!is_honest || cache.len() <= cache.capacity());
    }
    let _ = (cache.stats(), cache.check(), cache.clear());
}
