//! An operation on a map of invalid bytes: any answer will do, if it is one, and comes in time.

use std::fmt::Display;
use std::time::{Duration, Instant};

use shmkv::testing::StepBounds;
use shmkv::map::{CompareExchange, TryInsert};
use shmkv::{Key, Map, ReadOnlyMap, Value};

use crate::op::Op;
use crate::sample::{Sample, assert_valid, assert_valid_key};

/// No step of the library takes longer, on the slowest machine, with the heaviest sanitizer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs an operation and looks at what it answers. `reader` may stand on another mapping.
pub fn survive<K: Key + Sample, V: Value + Sample>(
    map: &Map<K, V>,
    reader: &ReadOnlyMap<K, V>,
    op: Op,
) {
    let begun = Instant::now();
    run(map, reader, op);
    let taken = begun.elapsed();
    assert!(taken < TIMEOUT, "{op:?} took {taken:?}");
}

fn run<K: Key + Sample, V: Value + Sample>(map: &Map<K, V>, reader: &ReadOnlyMap<K, V>, op: Op) {
    let key = |number: u8| K::sample(number.into());
    match op {
        Op::Insert(number, value) => seen(map.insert(key(number), V::sample(value))),
        Op::Fill(from, count, value) => {
            let entries: Vec<(K, V)> = few(from, count)
                .map(|number| (key(number), V::sample(value)))
                .collect();
            answered(map.insert_many(&entries));
        }
        Op::TryInsert(number, value) => match map.try_insert(key(number), V::sample(value)) {
            Ok(TryInsert::Occupied(value)) => assert_valid(&value),
            Ok(TryInsert::Inserted) => {}
            Err(error) => said(&error),
        },
        Op::Remove(number) => seen(map.remove(&key(number))),
        Op::RemoveMany(from, count) => few(from, count).for_each(|number| {
            seen(map.remove(&key(number)));
        }),
        Op::RemoveIf(number, yes) => seen(map.remove_if(&key(number), |value| {
            assert_valid(value);
            yes
        })),
        Op::Update(number, value) => seen(map.update(&key(number), |old| {
            assert_valid(&old);
            V::sample(value)
        })),
        Op::FetchUpdate(number, value) => seen(map.fetch_update(&key(number), |old| {
            old.iter().for_each(assert_valid);
            value.map(V::sample)
        })),
        Op::FetchAdd(number, delta) => {
            V::fetch_add(map, key(number), delta)
                .into_iter()
                .for_each(seen);
        }
        Op::CompareExchange(number, expected, new) => {
            match map.compare_exchange(&key(number), &V::sample(expected), V::sample(new)) {
                Ok(CompareExchange::Mismatch(value)) => assert_valid(&value),
                Ok(CompareExchange::Exchanged | CompareExchange::Absent) => {}
                Err(error) => said(&error),
            }
        }
        Op::Get(number) => {
            seen(reader.get(&key(number)));
            seen(map.get(&key(number)));
            answered(reader.contains_key(&key(number)));
        }
        Op::GetInto(number) => {
            let mut value = V::sample(3);
            answered(reader.get_into(&key(number), &mut value));
            assert_valid(&value);
        }
        Op::GetMany(from, count) => {
            let keys: Vec<K> = (from..from.saturating_add(count)).map(key).collect();
            let mut values = vec![None; keys.len()];
            answered(reader.get_many(&keys, &mut values));
            values.iter().flatten().for_each(assert_valid);
        }
        Op::Iterate => {
            entries(reader).for_each(drop);
            reader
                .keys()
                .flatten()
                .for_each(|key| assert_valid_key(&key));
            reader
                .values()
                .flatten()
                .for_each(|value| assert_valid(&value));
        }
        Op::IterateMeanwhile(from, count) => {
            let mut keys = few(from, count).cycle();
            for _ in entries(reader) {
                if let Some(number) = keys.next() {
                    seen(map.remove(&key(number)));
                    seen(map.insert(key(number), V::sample(7)));
                }
            }
        }
        Op::Retain(number) => answered(map.retain(|key, value| {
            assert_valid_key(key);
            assert_valid(value);
            value.as_bytes().first().is_none_or(|byte| *byte > number)
        })),
        Op::Clear => answered(map.clear()),
        Op::Stats => {
            let stats = reader.stats();
            assert!(stats.len <= most_entries(reader) as u64);
            assert!(reader.len() <= most_entries(reader));
            let _ = reader.is_empty();
            assert_eq!(reader.capacity(), map.capacity());
        }
        Op::CheckReport => {
            let check = reader.check();
            assert!(check.problems.len() <= 1000 && !check.to_string().is_empty());
            assert!(map.check().buckets == check.buckets);
        }
        Op::Recover => {
            match map.recover() {
                Ok(recovery) => {
                    assert!(recovery.findings.len() <= 1000 && !recovery.to_string().is_empty());
                }
                Err(error) => said(&error),
            }
            for participant in map.participants() {
                said(&participant.owner);
            }
        }
    }
}

/// A few numbers.
fn few(from: u8, count: u8) -> impl Iterator<Item = u8> + Clone {
    from..from.saturating_add(count % 16)
}

/// The entries, which are not without end.
fn entries<K: Key, V: Value>(map: &ReadOnlyMap<K, V>) -> impl Iterator<Item = ()> {
    let most = 2 * most_entries(map) + (1 << 16);
    map.iter().enumerate().map(move |(number, entry)| {
        assert!(number < most, "an iteration without end");
        match entry {
            Ok((key, value)) => {
                assert_valid_key(&key);
                assert_valid(&value);
            }
            Err(error) => said(&error),
        }
    })
}

fn most_entries<K: Key, V: Value>(map: &ReadOnlyMap<K, V>) -> usize {
    map.stats().occupancy.iter().sum::<u64>() as usize * 16
}

/// A value that came out, or what the error says.
pub(crate) fn seen<V: Value, E: Display>(answer: Result<Option<V>, E>) {
    match answer {
        Ok(value) => value.iter().for_each(assert_valid),
        Err(error) => said(&error),
    }
}

/// Any answer but a value.
pub(crate) fn answered<T, E: Display>(answer: Result<T, E>) {
    if let Err(error) = answer {
        said(&error);
    }
}

/// An error or a report, which has something to say.
pub(crate) fn said(error: &impl Display) {
    assert!(!error.to_string().is_empty());
}

/// What an operation may cost, in accesses to words that somebody rewrites all the time.
pub fn step_bound(op: Op, step_bounds: StepBounds) -> u64 {
    let (read, write) = (step_bounds.read(true), step_bounds.write(true));
    let transform = step_bounds.transform(true);
    // Bounds of what a call of `run` does, part by part.
    match op {
        Op::Insert(..) | Op::TryInsert(..) | Op::Remove(_) => write,
        Op::CompareExchange(..) | Op::FetchAdd(..) => write,
        Op::Fill(..) | Op::RemoveMany(..) => 16 * (write + read),
        Op::RemoveIf(..) | Op::Update(..) | Op::FetchUpdate(..) => transform,
        Op::Get(_) => 3 * read + write,
        Op::GetInto(_) => read,
        Op::GetMany(_, count) => u64::from(count) * (2 * read),
        Op::Iterate => 3 * step_bounds.walk(true) + step_bounds.count(),
        Op::IterateMeanwhile(..) => step_bounds.sweep(true, 2 * write) + step_bounds.count(),
        Op::Retain(_) => step_bounds.sweep(true, transform),
        Op::Clear => step_bounds.sweep(true, write),
        Op::Stats => 5 * step_bounds.count(),
        Op::CheckReport => 2 * step_bounds.check(true),
        Op::Recover => 2 * step_bounds.recover(true),
    }
}
