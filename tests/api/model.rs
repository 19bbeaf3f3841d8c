//! Any sequence of operations on a map does what it does on a `HashMap`, for keys and values
//! of 0 to 4096 bytes, in maps so small that they get full and entries are displaced.
//!
//! A read-only handle on a mapping of its own is compared after every operation. A failure
//! shrinks to a short list of operations. The counters at the end of each test show that the
//! sequences have reached full maps and displacements.

use std::collections::HashMap;
use std::fmt::Debug;

use crate::support::Random;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shmkv::format::HashFunction;
use shmkv::map::{CompareExchange, Integer, TryInsert};
use shmkv::{Bytes, Key, Map, ReadOnlyMap, Segment, Str, Value, WriteError};

/// Makes keys and values of numbers, different ones as far as the type has as many.
trait Sample: Sized {
    fn sample(number: u32) -> Self;
}

impl Sample for () {
    fn sample(_: u32) {}
}

impl Sample for bool {
    fn sample(number: u32) -> Self {
        number % 2 == 1
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Sample for $int {
            fn sample(number: u32) -> Self {
                // Near the ends of the type too, so that sums wrap around.
                (number as $int) ^ (0 as $int).wrapping_sub((number & 1) as $int)
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 u128);

impl<const N: usize> Sample for [u8; N] {
    fn sample(number: u32) -> Self {
        let mut random = Random(number.into());
        let mut bytes: [u8; N] = std::array::from_fn(|_| random.next() as u8);
        let len = N.min(4);
        bytes[..len].copy_from_slice(&number.to_le_bytes()[..len]);
        bytes
    }
}

impl<const N: usize> Sample for [u64; N] {
    fn sample(number: u32) -> Self {
        let mut random = Random(number.into());
        std::array::from_fn(|_| random.next())
    }
}

impl<const N: usize> Sample for Str<N> {
    fn sample(number: u32) -> Self {
        Self::truncated(&format!("{number}: {}", "ä".repeat(number as usize % 9)))
    }
}

impl<const N: usize> Sample for Bytes<N> {
    fn sample(number: u32) -> Self {
        let bytes = number.to_le_bytes();
        Self::truncated(&bytes[..4 - number.leading_zeros() as usize / 8])
    }
}

/// Fields of all sorts, 34 bytes: no whole number of words.
#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
#[repr(C, packed)]
struct Record {
    open: bool,
    side: Side,
    at: i64,
    amount: u64,
    name: Str<14>,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Bid,
    Ask,
}

impl Sample for Record {
    fn sample(number: u32) -> Self {
        Self {
            open: number.is_multiple_of(3),
            side: if number.is_multiple_of(2) {
                Side::Bid
            } else {
                Side::Ask
            },
            at: i64::from(number) - 5,
            amount: u64::from(number) << 20,
            name: Str::sample(number),
        }
    }
}

/// One step. Numbers stand for keys and values, see [`Sample`].
#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u32),
    /// So many keys in a row.
    Fill(u32, u32, u32),
    InsertMany(u32, u32, u32),
    TryInsert(u32, u32),
    Remove(u32),
    RemoveMany(u32, u32),
    RemoveIf(u32, bool),
    Update(u32, u32),
    FetchUpdate(u32, Option<u32>),
    CompareExchange(u32, Option<u32>, u32),
    FetchAdd(u32, u32),
    Get(u32),
    GetMany(u32, u32),
    Retain(u32, u32),
    Clear,
}

fn op(keys: u32) -> impl Strategy<Value = Op> {
    let key = 0..keys;
    let value = 0..1000u32;
    prop_oneof![
        8 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::Insert(k, v)),
        2 => (key.clone(), 1..60u32, value.clone()).prop_map(|(k, n, v)| Op::Fill(k, n, v)),
        1 => (key.clone(), 0..40u32, value.clone()).prop_map(|(k, n, v)| Op::InsertMany(k, n, v)),
        3 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::TryInsert(k, v)),
        5 => key.clone().prop_map(Op::Remove),
        1 => (key.clone(), 0..20u32).prop_map(|(k, n)| Op::RemoveMany(k, n)),
        2 => (key.clone(), any::<bool>()).prop_map(|(k, yes)| Op::RemoveIf(k, yes)),
        2 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::Update(k, v)),
        2 => (key.clone(), prop::option::of(value.clone()))
            .prop_map(|(k, v)| Op::FetchUpdate(k, v)),
        2 => (key.clone(), prop::option::of(value.clone()), value.clone())
            .prop_map(|(k, old, new)| Op::CompareExchange(k, old, new)),
        3 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::FetchAdd(k, v)),
        3 => key.clone().prop_map(Op::Get),
        1 => (key.clone(), 0..40u32).prop_map(|(k, n)| Op::GetMany(k, n)),
        1 => (1..5u32, 0..5u32).prop_map(|(of, which)| Op::Retain(of, which)),
        1 => Just(Op::Clear),
    ]
}

/// `fetch_add`, for values that are integers.
type Add<K, V> = (
    fn(&Map<K, V>, &K, V) -> Result<Option<V>, WriteError>,
    fn(V, V) -> V,
);

/// A map, what it should hold, and a reader that should see it.
struct Pair<K: Key, V: Value> {
    map: Map<K, V>,
    reader: ReadOnlyMap<K, V>,
    /// By the bytes of the key, which are what a map goes by.
    model: HashMap<Vec<u8>, (K, V)>,
    capacity: usize,
    refused: u64,
}

impl<K, V> Pair<K, V>
where
    K: Key + Sample + Debug,
    V: Value + Sample + Debug + PartialEq,
{
    fn new(capacity: usize, hash: HashFunction) -> Self {
        let map: Map<K, V> = Map::builder()
            .capacity(capacity)
            .hash(hash)
            .create(Segment::memfd("model").unwrap())
            .unwrap();
        let reader = Map::<K, V>::builder()
            .open_read_only(map.segment())
            .unwrap();
        Self {
            map,
            reader,
            model: HashMap::new(),
            capacity,
            refused: 0,
        }
    }

    fn known(&self, key: &K) -> Option<V> {
        self.model.get(key.as_bytes()).map(|(_, value)| *value)
    }

    /// The model's part of an insertion that the map has done, or refused.
    fn put<T>(&mut self, key: K, value: V, done: Result<T, WriteError>) -> Option<T> {
        let is_new = !self.model.contains_key(key.as_bytes());
        match done {
            Ok(answer) => {
                self.model.insert(key.as_bytes().to_vec(), (key, value));
                Some(answer)
            }
            Err(WriteError::Full { capacity }) => {
                assert_eq!(capacity, self.capacity as u64);
                assert!(is_new, "replacing needs no room");
                assert!(
                    self.model.len() >= self.capacity,
                    "refused with {} of {capacity} entries",
                    self.model.len()
                );
                self.refused += 1;
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn insert(&mut self, key: K, value: V) {
        let known = self.known(&key);
        let done = self.map.insert(key, value);
        if let Some(previous) = self.put(key, value, done) {
            assert_eq!(previous, known);
        }
    }

    fn apply(&mut self, op: &Op, add: Option<Add<K, V>>) {
        match *op {
            Op::Insert(key, value) => self.insert(K::sample(key), V::sample(value)),
            Op::Fill(key, count, value) => {
                for key in key..key + count {
                    self.insert(K::sample(key), V::sample(value));
                }
            }
            Op::InsertMany(key, count, value) => {
                let entries: Vec<(K, V)> = (key..key + count)
                    .map(|key| (K::sample(key), V::sample(value)))
                    .collect();
                let before = self.model.len();
                match self.map.insert_many(&entries) {
                    Ok(new) => {
                        for (key, value) in entries {
                            self.put(key, value, Ok(()));
                        }
                        assert_eq!(self.model.len(), before + new);
                    }
                    // Those before the one that failed are there.
                    Err(error) => {
                        let mut failed = Some(error);
                        for (key, value) in entries {
                            if failed.is_some() && self.map.get(&key).unwrap() == Some(value) {
                                self.put(key, value, Ok(()));
                            } else if let Some(error) = failed.take() {
                                self.put::<()>(key, value, Err(error));
                            }
                        }
                        assert!(failed.is_none(), "an error, and all are there");
                    }
                }
            }
            Op::TryInsert(key, value) => {
                let (key, value) = (K::sample(key), V::sample(value));
                match self.known(&key) {
                    Some(known) => assert_eq!(
                        self.map.try_insert(key, value),
                        Ok(TryInsert::Occupied(known))
                    ),
                    None => {
                        let done = self.map.try_insert(key, value);
                        if let Some(done) = self.put(key, value, done) {
                            assert_eq!(done, TryInsert::Inserted);
                        }
                    }
                }
            }
            Op::Remove(key) => self.remove(key),
            Op::RemoveMany(key, count) => (key..key + count).for_each(|key| self.remove(key)),
            Op::RemoveIf(key, yes) => {
                let key = K::sample(key);
                let known = self.known(&key);
                let mut asked = None;
                let removed = self.map.remove_if(&key, |value| {
                    asked = Some(*value);
                    yes
                });
                assert_eq!(asked, known);
                assert_eq!(removed.unwrap(), known.filter(|_| yes));
                if yes {
                    self.model.remove(key.as_bytes());
                }
            }
            Op::Update(key, value) => {
                let (key, value) = (K::sample(key), V::sample(value));
                let known = self.known(&key);
                let previous = self.map.update(&key, |old| {
                    assert_eq!(Some(old), known);
                    value
                });
                assert_eq!(previous.unwrap(), known);
                if known.is_some() {
                    self.put(key, value, Ok(()));
                }
            }
            Op::FetchUpdate(key, value) => {
                let key = K::sample(key);
                let known = self.known(&key);
                let done = self.map.fetch_update(&key, |old| {
                    assert_eq!(old, known);
                    value.map(V::sample)
                });
                match value {
                    None => assert_eq!(done.unwrap(), known),
                    Some(value) => {
                        if let Some(previous) = self.put(key, V::sample(value), done) {
                            assert_eq!(previous, known);
                        }
                    }
                }
            }
            Op::CompareExchange(key, expected, new) => {
                let (key, new) = (K::sample(key), V::sample(new));
                let known = self.known(&key);
                let expected = expected.map(V::sample).or(known).unwrap_or(new);
                let answer = self.map.compare_exchange(&key, &expected, new).unwrap();
                match known {
                    None => assert_eq!(answer, CompareExchange::Absent),
                    Some(known) if known == expected => {
                        assert_eq!(answer, CompareExchange::Exchanged);
                        self.put(key, new, Ok(()));
                    }
                    Some(known) => assert_eq!(answer, CompareExchange::Mismatch(known)),
                }
            }
            Op::FetchAdd(key, delta) => {
                let Some((add, sum)) = add else { return };
                let (key, delta) = (K::sample(key), V::sample(delta));
                let known = self.known(&key);
                let new = known.map_or(delta, |value| sum(value, delta));
                let done = add(&self.map, &key, delta);
                if let Some(previous) = self.put(key, new, done) {
                    assert_eq!(previous, known);
                }
            }
            Op::Get(key) => {
                let key = K::sample(key);
                let known = self.known(&key);
                for map in [&*self.map, &self.reader] {
                    assert_eq!(map.get(&key).unwrap(), known);
                    assert_eq!(map.contains_key(&key).unwrap(), known.is_some());
                    let unlikely = V::sample(123_456);
                    let mut value = unlikely;
                    assert_eq!(map.get_into(&key, &mut value).unwrap(), known.is_some());
                    assert_eq!(value, known.unwrap_or(unlikely));
                }
            }
            Op::GetMany(key, count) => {
                let keys: Vec<K> = (key..key + count).map(K::sample).collect();
                let known: Vec<Option<V>> = keys.iter().map(|key| self.known(key)).collect();
                for map in [&*self.map, &self.reader] {
                    let mut values = vec![Some(V::sample(1)); keys.len()];
                    let found = map.get_many(&keys, &mut values).unwrap();
                    assert_eq!(values, known);
                    assert_eq!(found, known.iter().flatten().count());
                }
            }
            Op::Retain(of, which) => {
                let stays = |value: &V| {
                    let sum: u32 = value.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
                    sum % of != which
                };
                let before = self.model.len();
                self.model.retain(|_, (_, value)| stays(value));
                let removed = self.map.retain(|_, value| stays(value)).unwrap();
                assert_eq!(removed, before - self.model.len());
            }
            Op::Clear => {
                assert_eq!(self.map.clear().unwrap(), self.model.len());
                self.model.clear();
            }
        }
    }

    fn remove(&mut self, key: u32) {
        let key = K::sample(key);
        let known = self.model.remove(key.as_bytes()).map(|(_, value)| value);
        assert_eq!(self.map.remove(&key).unwrap(), known);
    }

    /// What can be compared after every step.
    fn compare(&self, op: &Op) {
        assert_eq!(self.reader.len(), self.model.len(), "after {op:?}");
        assert_eq!(self.reader.is_empty(), self.model.is_empty());
    }

    /// Everything.
    fn compare_all(&self) {
        for map in [&*self.map, &self.reader] {
            let entries: Vec<(K, V)> = map.iter().map(Result::unwrap).collect();
            assert_eq!(entries.len(), self.model.len(), "each entry once");
            for (key, value) in &entries {
                assert_eq!(self.known(key), Some(*value));
            }
            assert_eq!(map.keys().count(), self.model.len());
            assert_eq!(map.values().count(), self.model.len());
            for (key, value) in self.model.values() {
                assert_eq!(map.get(key).unwrap(), Some(*value));
            }
            let stats = map.stats();
            assert_eq!(stats.len, self.model.len() as u64);
            assert!(stats.len <= stats.slots);
        }
    }
}

/// What the sequences of a test must have reached.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// Full maps and displacements.
    All,
    /// The type has too few keys for that.
    FewKeys,
}

fn agrees<K, V>(reach: Reach, add: Option<Add<K, V>>)
where
    K: Key + Sample + Debug,
    V: Value + Sample + Debug + PartialEq,
{
    let mut runner = TestRunner::new(Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    });
    let refused = std::cell::Cell::new(0);
    let displaced = std::cell::Cell::new(0);
    let hash = prop_oneof![3 => Just(HashFunction::Rapid), 1 => Just(HashFunction::Sip)];
    let strategy = (1..80usize, hash, prop::collection::vec(op(150), 1..150));
    let result = runner.run(&strategy, |(capacity, hash, ops)| {
        let mut pair = Pair::<K, V>::new(capacity, hash);
        for (step, op) in ops.iter().enumerate() {
            pair.apply(op, add);
            pair.compare(op);
            if step % 16 == 0 {
                pair.compare_all();
            }
        }
        pair.compare_all();
        refused.set(refused.get() + pair.refused);
        displaced.set(displaced.get() + pair.map.stats().displaced);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if reach == Reach::All {
        let (refused, displaced) = (refused.get(), displaced.get());
        assert!(
            refused > 0 && displaced > 0,
            "{refused} refused, {displaced} displaced: the sequences must get there"
        );
    }
}

fn adding<K: Key, V: Integer>() -> Option<Add<K, V>> {
    Some((|map, key, delta| map.fetch_add(key, delta), V::wrapping_add))
}

#[test]
fn map_of_u64_to_u64_agrees_with_a_hash_map() {
    agrees::<u64, u64>(Reach::All, adding());
}

#[test]
fn map_of_one_byte_to_one_byte_agrees_with_a_hash_map() {
    agrees::<[u8; 1], u8>(Reach::All, adding());
}

#[test]
fn map_of_u16_to_flags_agrees_with_a_hash_map() {
    agrees::<u16, bool>(Reach::All, None);
}

#[test]
fn set_of_u64_agrees_with_a_hash_map() {
    agrees::<u64, ()>(Reach::All, None);
}

#[test]
fn map_of_nothing_to_something_agrees_with_a_hash_map() {
    agrees::<(), u64>(Reach::FewKeys, adding());
}

#[test]
fn map_of_nothing_to_nothing_agrees_with_a_hash_map() {
    agrees::<(), ()>(Reach::FewKeys, None);
}

#[test]
fn map_of_odd_lengths_agrees_with_a_hash_map() {
    agrees::<[u8; 7], [u8; 13]>(Reach::All, None);
}

#[test]
fn map_of_u128_agrees_with_a_hash_map() {
    agrees::<u128, u128>(Reach::All, adding());
}

#[test]
fn map_of_text_to_records_agrees_with_a_hash_map() {
    agrees::<Str<30>, Record>(Reach::All, None);
}

#[test]
fn map_of_records_to_bytes_agrees_with_a_hash_map() {
    agrees::<Record, Bytes<9>>(Reach::All, None);
}

#[test]
fn map_of_u32_to_4096_bytes_agrees_with_a_hash_map() {
    agrees::<u32, [u64; 512]>(Reach::All, None);
}

#[test]
fn map_of_4096_bytes_to_4095_agrees_with_a_hash_map() {
    agrees::<[u8; 4096], [u8; 4095]>(Reach::All, None);
}
