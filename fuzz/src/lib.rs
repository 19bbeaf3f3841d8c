//! What the targets share: segments in memory, and the whole interface at one call.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use shmkv::{Key, Map, ReadOnlyMap, Segment, Value, WriteError};

/// A key or a value, of one number.
pub trait Sample {
    fn sample(number: u16) -> Self;
}

impl Sample for () {
    fn sample(_: u16) {}
}

impl Sample for bool {
    fn sample(number: u16) -> Self {
        number % 2 == 1
    }
}

impl Sample for u8 {
    fn sample(number: u16) -> Self {
        number as u8
    }
}

impl Sample for u64 {
    fn sample(number: u16) -> Self {
        number.into()
    }
}

impl Sample for [u8; 5] {
    fn sample(number: u16) -> Self {
        let [low, high] = number.to_le_bytes();
        [low, high, 1, 2, 3]
    }
}

impl<const N: usize> Sample for [u64; N] {
    fn sample(number: u16) -> Self {
        [number.into(); N]
    }
}

impl<const N: usize> Sample for [bool; N] {
    fn sample(number: u16) -> Self {
        std::array::from_fn(|i| number >> (i % 16) & 1 == 1)
    }
}

impl<const N: usize> Sample for shmkv::Str<N> {
    fn sample(number: u16) -> Self {
        Self::truncated(&number.to_string())
    }
}

/// One call. Numbers stand for keys and values.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    Insert(u8, u16),
    Fill(u8, u8, u16),
    TryInsert(u8, u16),
    Remove(u8),
    RemoveMany(u8, u8),
    RemoveIf(u8, bool),
    Update(u8, u16),
    FetchUpdate(u8, Option<u16>),
    CompareExchange(u8, u16, u16),
    Get(u8),
    GetMany(u8, u8),
    Iterate,
    Retain(u8),
    Clear,
    Stats,
}

/// A new map in a segment that nobody else can find.
pub fn new_map<K: Key, V: Value>(capacity: usize) -> Map<K, V> {
    Map::builder()
        .capacity(capacity)
        .max_writers(2)
        .lock_timeout(Duration::from_micros(200))
        .create(Segment::memfd("fuzz").unwrap())
        .unwrap()
}

/// The file behind a map.
pub fn file_of<K: Key, V: Value>(map: &Map<K, V>) -> File {
    map.as_fd().unwrap().try_clone_to_owned().unwrap().into()
}

/// A memfd with these bytes.
pub fn file_with(bytes: &[u8]) -> File {
    // One that the library made, with another content: no unsafe code here.
    let map: Map<u8, ()> = Map::builder()
        .capacity(1)
        .max_writers(1)
        .create(Segment::memfd("fuzz").unwrap())
        .unwrap();
    let file = file_of(&map);
    let len = file.metadata().unwrap().len() as usize;
    let mut content = vec![0; len];
    let copied = bytes.len().min(len);
    content[..copied].copy_from_slice(&bytes[..copied]);
    file.write_all_at(&content, 0).unwrap();
    file
}

/// The name of an open file.
pub fn name_of(file: &File) -> Segment {
    use std::os::fd::AsRawFd;
    Segment::fd(file.as_fd().as_raw_fd()).unwrap()
}

/// Runs operations on a map and on a `HashMap`, and compares after each.
pub fn agree<K, V>(capacity: usize, ops: &[Op])
where
    K: Key + Sample + Debug,
    V: Value + Sample + Debug + PartialEq,
{
    let map: Map<K, V> = new_map(capacity);
    let reader = Map::<K, V>::builder()
        .open_read_only(map.segment())
        .unwrap();
    let mut model: HashMap<Vec<u8>, V> = HashMap::new();
    let bytes = |key: &K| key.as_bytes().to_vec();
    let insert = |model: &mut HashMap<Vec<u8>, V>, key: K, value: V, done| match done {
        Ok(previous) => assert_eq!(previous, model.insert(bytes(&key), value)),
        Err(WriteError::Full { .. }) => {
            assert!(!model.contains_key(&bytes(&key)) && model.len() >= capacity);
        }
        Err(error) => panic!("{error}"),
    };
    for op in ops {
        match *op {
            Op::Insert(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                insert(&mut model, key, value, map.insert(key, value));
            }
            Op::Fill(from, count, value) => {
                for key in from..from.saturating_add(count) {
                    let (key, value) = (K::sample(key.into()), V::sample(value));
                    insert(&mut model, key, value, map.insert(key, value));
                }
            }
            Op::TryInsert(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                match model.get(&bytes(&key)) {
                    Some(known) => assert_eq!(
                        map.try_insert(key, value),
                        Ok(shmkv::TryInsert::Occupied(*known))
                    ),
                    None => {
                        let done = map.try_insert(key, value);
                        insert(&mut model, key, value, done.map(|_| None));
                    }
                }
            }
            Op::Remove(key) => {
                let key = K::sample(key.into());
                assert_eq!(map.remove(&key).unwrap(), model.remove(&bytes(&key)));
            }
            Op::RemoveMany(from, count) => {
                for key in from..from.saturating_add(count) {
                    let key = K::sample(key.into());
                    assert_eq!(map.remove(&key).unwrap(), model.remove(&bytes(&key)));
                }
            }
            Op::RemoveIf(key, yes) => {
                let key = K::sample(key.into());
                let expected = if yes {
                    model.remove(&bytes(&key))
                } else {
                    None
                };
                assert_eq!(map.remove_if(&key, |_| yes).unwrap(), expected);
            }
            Op::Update(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                let known = model.get_mut(&bytes(&key));
                let previous = map.update(&key, |_| value).unwrap();
                assert_eq!(previous, known.map(|known| std::mem::replace(known, value)));
            }
            Op::FetchUpdate(key, value) => {
                let key = K::sample(key.into());
                let done = map.fetch_update(&key, |_| value.map(V::sample));
                match value {
                    Some(value) => insert(&mut model, key, V::sample(value), done),
                    None => assert_eq!(done.unwrap().as_ref(), model.get(&bytes(&key))),
                }
            }
            Op::CompareExchange(key, expected, new) => {
                let key = K::sample(key.into());
                let (expected, new) = (V::sample(expected), V::sample(new));
                let answer = map.compare_exchange(&key, &expected, new).unwrap();
                match model.get_mut(&bytes(&key)) {
                    None => assert_eq!(answer, shmkv::Exchange::Absent),
                    Some(known) if *known == expected => {
                        assert!(answer.is_done());
                        *known = new;
                    }
                    Some(known) => assert_eq!(answer, shmkv::Exchange::Differs(*known)),
                }
            }
            Op::Get(key) => {
                let key = K::sample(key.into());
                assert_eq!(map.get(&key).unwrap().as_ref(), model.get(&bytes(&key)));
                let there = reader.contains_key(&key).unwrap();
                assert_eq!(there, model.contains_key(&bytes(&key)));
            }
            Op::GetMany(from, count) => {
                let keys: Vec<K> = (from..from.saturating_add(count))
                    .map(|key| K::sample(key.into()))
                    .collect();
                let mut values = vec![None; keys.len()];
                reader.get_many(&keys, &mut values).unwrap();
                for (key, value) in keys.iter().zip(values) {
                    assert_eq!(value.as_ref(), model.get(&bytes(key)));
                }
            }
            Op::Iterate => {
                let mut count = 0;
                for entry in reader.iter() {
                    let (key, value) = entry.unwrap();
                    assert_eq!(model.get(&bytes(&key)), Some(&value));
                    count += 1;
                }
                assert_eq!(count, model.len());
            }
            Op::Retain(number) => {
                let stays = |value: &V| value.as_bytes().first().is_none_or(|b| *b > number);
                let before = model.len();
                model.retain(|_, value| stays(value));
                let removed = map.retain(|_, value| stays(value)).unwrap();
                assert_eq!(removed, before - model.len());
            }
            Op::Clear => {
                assert_eq!(map.clear().unwrap(), model.len());
                model.clear();
            }
            Op::Stats => {
                let stats = reader.stats();
                assert_eq!(stats.len, model.len() as u64);
                assert!(stats.len <= stats.slots);
            }
        }
        assert_eq!(reader.len(), model.len());
    }
}

/// Runs an operation on a map of garbage: any answer will do, in time.
pub fn survive<K: Key + Sample, V: Value + Sample>(map: &Map<K, V>, op: Op) {
    let begun = Instant::now();
    let reader: ReadOnlyMap<K, V> = map.read_only();
    match op {
        Op::Insert(key, value) => {
            let _ = map.insert(K::sample(key.into()), V::sample(value));
        }
        Op::Fill(from, count, value) => {
            let entries: Vec<(K, V)> = (from..from.saturating_add(count % 16))
                .map(|key| (K::sample(key.into()), V::sample(value)))
                .collect();
            let _ = map.insert_many(&entries);
        }
        Op::TryInsert(key, value) => {
            let _ = map.try_insert(K::sample(key.into()), V::sample(value));
        }
        Op::Remove(key) => {
            let _ = map.remove(&K::sample(key.into()));
        }
        Op::RemoveMany(from, count) => {
            for key in from..from.saturating_add(count % 16) {
                let _ = map.remove(&K::sample(key.into()));
            }
        }
        Op::RemoveIf(key, yes) => {
            let _ = map.remove_if(&K::sample(key.into()), |_| yes);
        }
        Op::Update(key, value) => {
            let _ = map.update(&K::sample(key.into()), |_| V::sample(value));
        }
        Op::FetchUpdate(key, value) => {
            let _ = map.fetch_update(&K::sample(key.into()), |_| value.map(V::sample));
        }
        Op::CompareExchange(key, expected, new) => {
            let (expected, new) = (V::sample(expected), V::sample(new));
            let _ = map.compare_exchange(&K::sample(key.into()), &expected, new);
        }
        Op::Get(key) => {
            let _ = reader.get(&K::sample(key.into()));
            let _ = reader.contains_key(&K::sample(key.into()));
        }
        Op::GetMany(from, count) => {
            let keys: Vec<K> = (from..from.saturating_add(count))
                .map(|key| K::sample(key.into()))
                .collect();
            let _ = reader.get_many(&keys, &mut vec![None; keys.len()]);
        }
        Op::Iterate => {
            let most = reader.stats().slots as usize * 2 + (1 << 16);
            assert!(reader.iter().count() <= most);
        }
        Op::Retain(number) => {
            let _ = map.retain(|_, value| value.as_bytes().first().is_none_or(|b| *b > number));
        }
        Op::Clear => {
            let _ = map.clear();
        }
        Op::Stats => {
            let stats = reader.stats();
            assert!(reader.len() as u64 <= stats.slots * 2);
            let _ = reader.is_empty();
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{op:?} took too long"
    );
}

/// What somebody writes into a segment.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Scribble {
    /// One word of a bucket's header line: state, lock, tags, …
    Header { bucket: u8, word: u8, value: Wild },
    /// One word of a slot.
    Slot { bucket: u8, word: u16, value: Wild },
    /// One word of the ring of moves.
    Moves { word: u16, value: Wild },
    /// One word of the participants.
    Participant { word: u8, value: Wild },
    /// The lock of a bucket gets the token of a registered writer.
    LockOfTheLiving { bucket: u8, slot: u8, waiters: bool },
    /// One bucket becomes a copy of another.
    Copy { from: u8, to: u8 },
    /// Bits of any word behind the header.
    Flip { word: u32, bits: u64 },
}

/// Values that do harm more often than random ones.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Wild {
    Zero,
    Ones,
    Small(u8),
    AllSlots(u16),
    Any(u64),
}

impl Wild {
    fn word(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Ones => u64::MAX,
            Self::Small(value) => value.into(),
            Self::AllSlots(version) => u64::from(version) << 16 | 0xFFFF,
            Self::Any(value) => value,
        }
    }
}

/// Where the parts of a segment are, by the table of the format.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    participants: u64,
    moves: u64,
    buckets: u64,
    bucket_count: u64,
    bucket_len: u64,
    end: u64,
}

impl Parts {
    pub fn of(file: &File) -> Self {
        let word = |at| read(file, at);
        let half = |at: u64| word(at & !7) >> (at % 8 * 8) & 0xFFFF_FFFF;
        let participants = word(24) + 4096;
        let moves = participants + 64 * half(156);
        let buckets = (moves + 64 + 24 * half(160)).next_multiple_of(4096);
        let slot = half(144).next_multiple_of(8) + half(148).next_multiple_of(8);
        let bucket_count = word(136);
        let bucket_len = 64 + 16 * slot;
        let end = buckets + bucket_count * bucket_len;
        assert_eq!(end, word(32));
        Self {
            participants,
            moves,
            buckets,
            bucket_count,
            bucket_len,
            end,
        }
    }

    fn bucket(&self, number: u8) -> u64 {
        self.buckets + u64::from(number) % self.bucket_count * self.bucket_len
    }

    /// Does it.
    pub fn scribble(&self, file: &File, scribble: Scribble) {
        match scribble {
            Scribble::Header {
                bucket,
                word,
                value,
            } => write(
                file,
                self.bucket(bucket) + u64::from(word % 8) * 8,
                value.word(),
            ),
            Scribble::Slot {
                bucket,
                word,
                value,
            } => {
                let words = ((self.bucket_len - 64) / 8).max(1);
                let at = 64 + u64::from(word) % words * 8;
                if at < self.bucket_len {
                    write(file, self.bucket(bucket) + at, value.word());
                }
            }
            Scribble::Moves { word, value } => {
                let words = (self.buckets - self.moves) / 8;
                write(file, self.moves + u64::from(word) % words * 8, value.word());
            }
            Scribble::Participant { word, value } => {
                let words = (self.moves - self.participants) / 8;
                let at = self.participants + u64::from(word) % words * 8;
                write(file, at, value.word());
            }
            Scribble::LockOfTheLiving {
                bucket,
                slot,
                waiters,
            } => {
                let slot = u64::from(slot) % ((self.moves - self.participants) / 64);
                let claim = read(file, self.participants + slot * 64);
                let token = claim >> 25 << 17 | (slot + 1) << 1 | u64::from(waiters);
                write(file, self.bucket(bucket) + 8, token);
            }
            Scribble::Copy { from, to } => {
                let mut bytes = vec![0; self.bucket_len as usize];
                file.read_exact_at(&mut bytes, self.bucket(from)).unwrap();
                file.write_all_at(&bytes, self.bucket(to)).unwrap();
            }
            Scribble::Flip { word, bits } => {
                let words = (self.end - self.participants) / 8;
                let at = self.participants + u64::from(word) % words * 8;
                write(file, at, read(file, at) ^ bits);
            }
        }
    }
}

fn read(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    u64::from_ne_bytes(bytes)
}

fn write(file: &File, at: u64, word: u64) {
    file.write_all_at(&word.to_ne_bytes(), at).unwrap();
}

/// Structured input of bytes, as `fuzz_target!` makes it.
pub fn decode<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}
