//! A small segment for models: how it is laid out before the threads start, what threads do
//! with it, and what must be true of it in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::liveness::token::{Liveness, LockWord, Token};
use crate::protocol::bucket::{Bucket, Search};
use crate::protocol::buckets::Buckets;
use crate::protocol::hash::{HashFunction, KeyHash, KeyHasher, Secret};
use crate::protocol::move_log::{Moves, ring_words};
use crate::protocol::order::Order;
use crate::protocol::shape::Typed;
use crate::protocol::shape::{HEADER_WORDS, Shape};
use crate::protocol::table::{
    Blocked, Edit, HashedKey, LivenessCheck, Lookup, Outcome, Table, Writer,
};
use crate::protocol::walk::{Entries, Scan};
use crate::sys::copy::Buffer;
use crate::sys::sync::{self, AtomicU64, Guard, Ordering};
use crate::types::image::{WordBuf, decode};

/// A value that is made of one number, and knows a mixture of two when it sees it.
pub(crate) trait Number:
    Copy + IntoBytes + Immutable + KnownLayout + TryFromBytes + 'static
{
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

/// One word: updated in place.
pub(crate) type Narrow = u64;

/// Two words: updated in another slot.
pub(crate) type Wide = [u64; 2];

impl Number for Narrow {
    fn of(number: u64) -> Self {
        number
    }

    fn number(self) -> u64 {
        self
    }
}

impl Number for Wide {
    fn of(number: u64) -> Self {
        // As the metadata of a cache's entry the second word is of an epoch that the number says, but
        // for its last four bits.
        [number, !number.rotate_left(40)]
    }

    fn number(self) -> u64 {
        assert_eq!(self, Self::of(self[0]), "a mixture of two values");
        self[0]
    }
}

fn hasher() -> KeyHasher<'static> {
    static SECRET: OnceLock<Secret> = OnceLock::new();
    let secret = SECRET.get_or_init(|| {
        let word = |i: usize| (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Secret::new(std::array::from_fn(word))
    });
    KeyHasher::new(HashFunction::Rapid, secret)
}

pub(crate) fn hash(key: u64) -> KeyHash {
    hasher().hash(key.as_bytes())
}

/// Number `nth` of the keys with this primary bucket, this secondary bucket and this class. No two
/// keys that models use together have the same tag in the first slot (nor two of these in any),
/// unless they are made with [`key_like`].
pub(crate) fn key(buckets: u64, primary: u64, secondary: u64, class: u32, nth: usize) -> u64 {
    // The tag tells apart the pairs of buckets, the fillers from the rest, and numbers.
    let others = buckets - 1;
    let pair = (primary * others + secondary - u64::from(secondary > primary)) as u8;
    // Sixteen tags of a sort are needed: with more than three buckets, some pairs share theirs.
    let sorts = (buckets * others * 2).min(16) as u8;
    let sort = (pair * 2 + u8::from(class == FILLER_CLASS)) % sorts;
    let mut tags = BTreeSet::new();
    (0..)
        .filter(|key| {
            let hash = hash(*key);
            (hash.primary(buckets), hash.secondary(buckets)) == (primary, secondary)
                && hash.class() == class
                // Prefers the lowest slot that is free, so that models can say which that is.
                && hash.preferred_slot() == 0
                && hash.tag().in_slot(0) % sorts == sort
                // All four before any is noted: a key that is passed over takes no tag.
                && (0..4).all(|slot| !tags.contains(&(slot, hash.tag().in_slot(slot))))
                && (0..4).all(|slot| tags.insert((slot, hash.tag().in_slot(slot))))
        })
        .nth(nth)
        .expect("there are keys enough")
}

/// A key that differs from `like` in nothing that the table looks at before the key itself, if
/// both are looked for in the first slot.
pub(crate) fn key_like(buckets: u64, like: u64) -> u64 {
    let looks = |key| {
        let hash = hash(key);
        let places = (hash.primary(buckets), hash.secondary(buckets));
        (
            places,
            hash.class(),
            hash.preferred_slot(),
            hash.tag().in_slot(0),
        )
    };
    (like + 1..)
        .find(|key| looks(*key) == looks(like))
        .expect("there are keys enough")
}

/// What the kernel knows of a participant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Alive,
    Dead,
    /// Lives, and may die in the course of the model.
    Mortal,
    /// Cannot be told.
    Unknown,
}

/// A segment before the threads start: plain words.
#[derive(Clone)]
pub(crate) struct Draft<V> {
    buckets: u64,
    words: Vec<u64>,
    live: Vec<bool>,
    ring: Vec<u64>,
    ring_is_live: bool,
    fates: Vec<Fate>,
    turns: u64,
    _values: PhantomData<fn() -> V>,
}

/// The value and the class of the entries that no model looks at.
pub(crate) const FILLER: u64 = 7_000_000;
const FILLER_CLASS: u32 = 15;

/// Words of a bucket's header that belong to the policy of a cache.
const POLICY_WORDS: [usize; 2] = [4, 5];

/// The last slot of a bucket.
const LAST: usize = 15;

impl<V: Number> Draft<V> {
    /// `buckets` empty buckets; every participant is alive.
    pub(crate) fn new(buckets: u64) -> Self {
        let shape = Typed::<u64, V>::SHAPE;
        let words = buckets as usize * shape.bucket_words();
        let mut draft = Self {
            buckets,
            words: vec![0; words],
            live: vec![false; words],
            ring: vec![0; ring_words(2) as usize],
            ring_is_live: false,
            fates: vec![Fate::Alive; 6],
            turns: u64::MAX,
            _values: PhantomData,
        };
        for bucket in 0..buckets {
            // A version to count from.
            let state = draft.header(bucket, 0);
            draft.words[state] = (40 + bucket) << 16;
        }
        draft
    }

    fn header(&self, bucket: u64, word: usize) -> usize {
        bucket as usize * Typed::<u64, V>::SHAPE.bucket_words() + word
    }

    fn slot(&self, bucket: u64, slot: usize) -> usize {
        self.header(bucket, HEADER_WORDS) + slot * Typed::<u64, V>::SHAPE.slot_words()
    }

    /// Puts an entry into a slot, and counts it if that is in its secondary bucket.
    pub(crate) fn put(&mut self, bucket: u64, slot: usize, key: u64, value: u64) -> &mut Self {
        let hash = hash(key);
        let start = self.slot(bucket, slot);
        self.words[start] = key;
        let mut image = WordBuf::<V>::uninit();
        let value = image.write(&V::of(value));
        self.words[start + 1..start + 1 + value.len()].copy_from_slice(value);
        let tags = self.header(bucket, 2 + slot / 8);
        self.words[tags] |= u64::from(hash.tag().in_slot(slot)) << (slot % 8 * 8);
        let state = self.header(bucket, 0);
        self.words[state] |= 1 << slot;
        let primary = hash.primary(self.buckets);
        if bucket != primary {
            assert_eq!(bucket, hash.secondary(self.buckets));
            self.count_overflow(primary, hash.class());
        }
        self
    }

    /// Counts a key that is in its secondary bucket.
    pub(crate) fn count_overflow(&mut self, primary: u64, class: u32) -> &mut Self {
        let overflow = self.header(primary, 6);
        self.words[overflow] += 1 << (class * 4);
        self
    }

    /// Fills `slots` with entries that nobody asks for, all of the same pair of buckets: they live
    /// in `bucket`, and could live in `alternate`. Of narrow values also the last slot, which is
    /// spare where values are wide: so fifteen entries make a bucket full in both.
    pub(crate) fn fill(
        &mut self,
        bucket: u64,
        alternate: u64,
        slots: impl Iterator<Item = usize>,
    ) -> &mut Self {
        let narrow = Typed::<u64, V>::SHAPE.value_words() <= 1;
        for slot in slots.chain(narrow.then_some(LAST)) {
            let key = key(self.buckets, bucket, alternate, FILLER_CLASS, slot);
            self.put(bucket, slot, key, FILLER);
        }
        self
    }

    /// Puts an entry where a filler is.
    pub(crate) fn replace_filler(
        &mut self,
        bucket: u64,
        slot: usize,
        key: u64,
        value: u64,
    ) -> &mut Self {
        let tags = self.header(bucket, 2 + slot / 8);
        self.words[tags] &= !(0xFF << (slot % 8 * 8));
        self.put(bucket, slot, key, value)
    }

    /// Locks a bucket in the name of a participant.
    pub(crate) fn lock(&mut self, bucket: u64, owner: u32) -> &mut Self {
        let lock = self.header(bucket, 1);
        self.words[lock] = token(owner).to_word();
        self
    }

    /// Raises the flag of a lock that is free: somebody who waited for it has died.
    pub(crate) fn flag(&mut self, bucket: u64) -> &mut Self {
        let lock = self.header(bucket, 1);
        self.words[lock] = LockWord(0).with_waiters().0;
        self
    }

    /// Says that the threads lock and publish `bucket`, and fill these of its slots.
    pub(crate) fn live(&mut self, bucket: u64, slots: &[usize]) -> &mut Self {
        for word in [0, 1, 6] {
            let word = self.header(bucket, word);
            self.live[word] = true;
        }
        for slot in slots {
            let tags = self.header(bucket, 2 + slot / 8);
            self.live[tags] = true;
            let start = self.slot(bucket, *slot);
            let words = Typed::<u64, V>::SHAPE.slot_words();
            self.live[start..start + words].fill(true);
        }
        self
    }

    /// Says that what the policy of a cache remembers of `bucket` is written, also by hits, which
    /// do not hold the lock.
    pub(crate) fn policy(&mut self, bucket: u64) -> &mut Self {
        for word in POLICY_WORDS {
            let word = self.header(bucket, word);
            self.live[word] = true;
        }
        self
    }

    /// Says that entries will be displaced.
    pub(crate) fn moves(&mut self) -> &mut Self {
        self.ring_is_live = true;
        self
    }

    pub(crate) fn fate(&mut self, participant: u32, fate: Fate) -> &mut Self {
        self.fates[participant as usize] = fate;
        self
    }

    /// How many turns a writer waits, if sleepers wake by themselves.
    pub(crate) fn turns(&mut self, turns: u64) -> &mut Self {
        self.turns = turns;
        self
    }

    /// The segment of one execution, once for each of its threads and once for the read-only view.
    pub(crate) fn share<const N: usize>(&self) -> [Rc<Segment<V>>; N] {
        let segment = self.build();
        std::array::from_fn(|_| segment.clone())
    }

    fn build(&self) -> Rc<Segment<V>> {
        let stride = Typed::<u64, V>::SHAPE.bucket_words();
        let guards: Vec<_> = (0..self.buckets).map(|_| Rc::<Guard>::default()).collect();
        let area = (self.words.iter().zip(&self.live).enumerate())
            .map(|(at, (word, live))| match live {
                true if POLICY_WORDS.contains(&(at % stride)) => AtomicU64::live(*word),
                true => AtomicU64::guarded(*word, &guards[at / stride], at % stride == 1),
                false => AtomicU64::still(*word),
            })
            .collect();
        let ring = (self.ring.iter().enumerate())
            .map(
                |(at, word)| match self.ring_is_live && (at == 0 || at >= 8) {
                    true => AtomicU64::live(*word),
                    false => AtomicU64::still(*word),
                },
            )
            .collect();
        let fates = (self.fates.iter())
            .map(|fate| match fate {
                Fate::Mortal => AtomicU64::live(0),
                fate => AtomicU64::still(*fate as u64),
            })
            .collect();
        Rc::new(Segment {
            buckets: self.buckets,
            area,
            ring,
            kernel: Kernel { fates },
            turns: Duration::from_millis(self.turns),
            _values: PhantomData,
        })
    }
}

/// The token of a participant.
pub(crate) fn token(participant: u32) -> Token {
    Token::new(participant, 1)
}

/// Who is dead.
struct Kernel {
    fates: Vec<AtomicU64>,
}

impl LivenessCheck for Kernel {
    fn liveness(&self, token: Token) -> Liveness {
        let fate = token.slot().map(|slot| &self.fates[slot as usize]);
        // Acquire: the kernel says "dead" only when the process has made its last access.
        match fate.map(|fate| fate.load(Ordering::Acquire)) {
            Some(fate) if fate == Fate::Alive as u64 => Liveness::Alive,
            Some(fate) if fate == Fate::Dead as u64 => Liveness::Dead,
            _ => Liveness::Unknown,
        }
    }
}

/// A segment, in one execution of a model.
pub(crate) struct Segment<V> {
    buckets: u64,
    area: Vec<AtomicU64>,
    ring: Vec<AtomicU64>,
    kernel: Kernel,
    turns: Duration,
    _values: PhantomData<fn() -> V>,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Value(u64),
    Miss,
    Contended,
}

impl std::fmt::Display for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Miss => write!(f, "miss"),
            Self::Contended => write!(f, "contended"),
        }
    }
}

impl<V: Number> Segment<V> {
    pub(crate) fn table(&self) -> Table<'_, Typed<u64, V>> {
        Table::new(
            Buckets::new(&self.area, self.buckets, Typed::SHAPE),
            hasher(),
            Moves::new(&self.ring),
        )
    }

    /// The same words as a table of another shape, whose slots have as many words.
    pub(crate) fn table_of<S: Shape>(&self, shape: S) -> Table<'_, S> {
        assert_eq!(shape.slot_words(), Typed::<u64, V>::SHAPE.slot_words());
        Table::new(
            Buckets::new(&self.area, self.buckets, shape),
            hasher(),
            Moves::new(&self.ring),
        )
    }

    pub(crate) fn writer(&self, me: u32) -> Writer<'_, impl LivenessCheck> {
        Writer::new(&self.kernel, token(me), self.turns)
    }

    /// Who knows dead processes.
    pub(crate) fn who(&self) -> &impl LivenessCheck {
        &self.kernel
    }

    pub(crate) fn get(&self, key: u64) -> Got {
        self.read(key, false)
    }

    /// As a handle that cannot write reads when it has to be persistent.
    pub(crate) fn get_read_only(&self, key: u64) -> Got {
        self.read(key, true)
    }

    fn read(&self, key: u64, persistently: bool) -> Got {
        let words = [key];
        let hashed = HashedKey {
            hash: hash(key),
            words: &words,
        };
        let mut image = WordBuf::<V>::uninit();
        let mut sink = image.sink();
        let table = self.table();
        let lookup = match persistently {
            false => {
                let mut take = |bucket: Bucket<'_, _>, slot| bucket.load_value(slot, &mut sink);
                let probe_primary = table.probe_primary(hashed, &mut take);
                probe_primary.unwrap_or_else(|| table.read_slow(hashed, &mut take))
            }
            true => table.read_persistently(hashed, &mut sink),
        };
        match lookup {
            Lookup::Hit => Got::Value(number::<V>(sink.words())),
            Lookup::Miss => Got::Miss,
            Lookup::Contended => Got::Contended,
        }
    }

    /// Whether the key is there, without its value.
    pub(crate) fn contains(&self, key: u64) -> Lookup {
        let words = [key];
        let hashed = HashedKey {
            hash: hash(key),
            words: &words,
        };
        let table = self.table();
        table
            .probe_primary(hashed, |_, _| ())
            .unwrap_or_else(|| table.read_slow(hashed, |_, _| ()))
    }

    /// `decide` gets what is there and says what shall be: `Err(())` leaves all as it is.
    pub(crate) fn edit(
        &self,
        me: u32,
        key: u64,
        mut decide: impl FnMut(Option<u64>) -> Result<Option<u64>, ()>,
    ) -> Result<Outcome, Blocked> {
        let words = [key];
        let hashed = HashedKey {
            hash: hash(key),
            words: &words,
        };
        let mut image = WordBuf::<V>::uninit();
        let mut new_image = WordBuf::<V>::uninit();
        let new = new_image.write(&V::of(0));
        let mut writer = Writer::new(&self.kernel, token(me), self.turns);
        let mut sink = image.sink();
        let mut decide =
            |current: Option<&[u64]>, new: &mut [u64]| match decide(current.map(number::<V>)) {
                Err(()) => Edit::Keep,
                Ok(None) => Edit::Remove,
                Ok(Some(value)) => {
                    let mut image = WordBuf::<V>::uninit();
                    new.copy_from_slice(image.write(&V::of(value)));
                    Edit::Put
                }
            };
        let table = self.table();
        match table.edit_in_primary(token(me), hashed, &mut sink, new, &mut decide) {
            Some(outcome) => Ok(outcome),
            None => table.edit(&mut writer, hashed, &mut sink, new, &mut decide),
        }
    }

    /// Inserts or replaces.
    pub(crate) fn put(&self, me: u32, key: u64, value: u64) -> String {
        short(self.edit(me, key, |_| Ok(Some(value))))
    }

    /// Inserts if the key is absent.
    pub(crate) fn insert(&self, me: u32, key: u64, value: u64) -> String {
        short(self.edit(me, key, |current| match current {
            None => Ok(Some(value)),
            Some(_) => Err(()),
        }))
    }

    pub(crate) fn remove(&self, me: u32, key: u64) -> String {
        short(self.edit(me, key, |_| Ok(None)))
    }

    /// Adds to a present key; gives the value that was there.
    pub(crate) fn add(&self, me: u32, key: u64, more: u64) -> String {
        let mut found = None;
        match self.edit(me, key, |current| {
            found = current;
            current.map(|current| Some(current + more)).ok_or(())
        }) {
            Ok(Outcome::Replaced) => format!("from{}", found.expect("it was replaced")),
            word => short(word),
        }
    }

    /// Replaces `expected` by `new`; says whether it did.
    pub(crate) fn exchange(&self, me: u32, key: u64, expected: u64, new: u64) -> bool {
        let done = self.edit(me, key, |current| {
            if current == Some(expected) {
                Ok(Some(new))
            } else {
                Err(())
            }
        });
        done == Ok(Outcome::Replaced)
    }

    /// All entries, as a walk meets them, but for the fillers.
    pub(crate) fn walk(&self) -> String {
        let table = self.table();
        let mut walk = Scan::new(&table, Order::PLAIN);
        let mut entries = Entries::default();
        let mut met = Vec::new();
        loop {
            match walk.advance(&table, &mut entries) {
                Ok(true) => met.extend(
                    entries
                        .iter()
                        .map(|entry| number::<V>(&entry[1..]))
                        .filter(|value| *value != FILLER),
                ),
                Ok(false) => break,
                Err(lost) => return format!("{lost:?}"),
            }
        }
        met.sort_unstable();
        let met: Vec<String> = met.iter().map(u64::to_string).collect();
        met.join("+")
    }

    /// After all threads have exited: meets every lock that still stands, and so takes it over.
    pub(crate) fn take_over_all(&self, me: u32) {
        let table = self.table();
        let mut writer = Writer::new(&self.kernel, token(me), self.turns);
        for bucket in 0..self.buckets {
            if self.lock_after_all(bucket) != LockWord::FREE {
                // As a writer would, who wants this bucket and nothing else.
                while let Err(found) = table.bucket(bucket).try_lock(writer.token(), 0) {
                    if table.resolve_conflict(&mut writer, bucket, found).is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// The kernel notices that a participant is gone. It notices after the last access.
    pub(crate) fn take_over(&self, participant: u32) {
        self.take_over_silently(participant);
        sync::death(token(participant).to_word(), &self.area);
    }

    /// The same, but those who sleep on a lock of its sleep on until somebody wakes them.
    pub(crate) fn take_over_silently(&self, participant: u32) {
        self.kernel.fates[participant as usize].store(Fate::Dead as u64, Ordering::Release);
    }

    /// Does something in the name of a participant that dies instead of its write number
    /// `writes`, if it comes to that.
    pub(crate) fn mortal(&self, me: u32, writes: u32, f: impl FnOnce() -> String) -> String {
        sync::mortal(writes, f).unwrap_or_else(|| {
            self.take_over(me);
            "died".to_owned()
        })
    }

    /// Does something that stops for ever instead of its write number `writes`, but lives.
    pub(crate) fn stopping(&self, writes: u32, f: impl FnOnce() -> String) -> String {
        sync::mortal(writes, f).unwrap_or_else(|| "stopped".to_owned())
    }

    /// What is there after all threads have exited, in the order of `keys`, "-" if absent; and
    /// the invariants: no lock is held, each entry is in one of its two buckets and in no
    /// other, a reader finds it, nothing else is there, and the counters of overflowed keys from
    /// primary bucket are right (`exact`) or at least not too low.
    pub(crate) fn settled(&self, keys: &[u64], exact: bool) -> String {
        sync::quiet(|| {
            let entries = self.entries();
            for bucket in 0..self.buckets {
                let word = self.table().bucket(bucket).lock_word();
                assert_eq!(
                    sync::unsync_load(word),
                    0,
                    "bucket {bucket} is still locked"
                );
            }
            let mut overflow: BTreeMap<(u64, u32), u64> = BTreeMap::new();
            for (key, (bucket, value)) in &entries {
                assert_eq!(
                    self.get(*key),
                    Got::Value(*value),
                    "a reader finds every entry"
                );
                let primary = hash(*key).primary(self.buckets);
                if *bucket != primary {
                    *overflow.entry((primary, hash(*key).class())).or_default() += 1;
                }
                assert!(
                    *value == FILLER || keys.contains(key),
                    "key {key} was never inserted"
                );
            }
            for bucket in 0..self.buckets {
                for class in 0..16 {
                    let least = overflow.get(&(bucket, class)).copied().unwrap_or(0);
                    let count = self.table().bucket(bucket).overflow(class);
                    let right = if exact {
                        count == least
                    } else {
                        count >= least
                    };
                    assert!(
                        right,
                        "{count} counted, {least} overflowed from bucket {bucket}"
                    );
                }
            }
            let values = keys.iter().map(|key| {
                let entry = entries.get(key);
                entry.map_or_else(|| "-".to_owned(), |(_, value)| value.to_string())
            });
            values.collect::<Vec<_>>().join(",")
        })
    }

    /// Where each key is, with its value; no key is anywhere twice.
    fn entries(&self) -> BTreeMap<u64, (u64, u64)> {
        let table = self.table();
        let mut entries = BTreeMap::new();
        for index in 0..self.buckets {
            let bucket = table.bucket(index);
            let mut words = Vec::new();
            for slot in bucket.read_begin().occupied() {
                words.clear();
                bucket.append_entry(slot, &mut words);
                let key = words[0];
                let buckets = [
                    hash(key).primary(self.buckets),
                    hash(key).secondary(self.buckets),
                ];
                assert!(buckets.contains(&index), "key {key} is in a foreign bucket");
                let before = entries.insert(key, (index, number::<V>(&words[1..])));
                assert_eq!(before, None, "key {key} is there twice");
            }
        }
        entries
    }

    /// How many keys of a class are counted as overflowed from a bucket, after the end.
    pub(crate) fn in_secondary_after_all(&self, bucket: u64, class: u32) -> u64 {
        sync::quiet(|| self.table().bucket(bucket).overflow(class))
    }

    /// The lock word of a bucket, after the end.
    pub(crate) fn lock_after_all(&self, bucket: u64) -> LockWord {
        LockWord(sync::unsync_load(self.table().bucket(bucket).lock_word()))
    }
}

fn number<V: Number>(words: &[u64]) -> u64 {
    decode::<V>(words).expect("a value is whole").number()
}

/// A word for what a writer achieved.
pub(crate) fn short(outcome: Result<Outcome, Blocked>) -> String {
    match outcome {
        Ok(Outcome::KeptPresent) => "present".to_owned(),
        Ok(Outcome::KeptAbsent) => "absent".to_owned(),
        Ok(Outcome::Inserted) => "inserted".to_owned(),
        Ok(Outcome::Replaced) => "replaced".to_owned(),
        Ok(Outcome::Removed) => "removed".to_owned(),
        Err(Blocked::Full) => "full".to_owned(),
        Err(Blocked::Busy { .. }) => "busy".to_owned(),
        Err(Blocked::Corrupted { .. }) => "damaged".to_owned(),
    }
}
