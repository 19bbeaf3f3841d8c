//! Several handles on one small segment, used in turn: each has the same idea of what is there,
//! whoever wrote it.
//!
//! A failure can be repeated and shrinks, since nothing here depends on time: one thread takes steps
//! on three writing handles that were opened one by one, a clone, and two read-only handles, and
//! compares each result with a model. What is left half done meanwhile is what a caller can leave
//! half done: iterators stand anywhere in the table while others write, and the closures of
//! `update`, `fetch_update` and `remove_if`, which run without any lock, use other handles before
//! they answer. (Handles that stand *inside* the protocol are the subject of `tests/loom.rs`.)

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shmkv::map::{CompareExchange, Iter, TryInsert};
use shmkv::{Map, ReadOnlyMap, Segment, Value, WriteError};

/// Three buckets in either case: of 45 slots, and of 48.
const CAPACITY: usize = 20;
/// More keys than slots.
const KEYS: u64 = 60;

const WRITERS: usize = 4;
const READERS: usize = 2;
const ITERATORS: usize = 3;

/// A value that is made of a number.
trait Number: Value + Debug + PartialEq {
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

impl Number for u64 {
    fn of(number: u64) -> Self {
        number
    }

    fn number(self) -> u64 {
        self
    }
}

/// Nine words: long enough for the copies in assembly.
type Long = [u64; 9];

impl Number for Long {
    fn of(number: u64) -> Self {
        std::array::from_fn(|word| number.rotate_left(word as u32))
    }

    fn number(self) -> u64 {
        assert_eq!(self, Self::of(self[0]), "a mixture");
        self[0]
    }
}

/// What one of the writing handles does at once.
#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(u64, u64),
    TryInsert(u64, u64),
    Remove(u64),
    /// Expects what is there, or something else.
    CompareExchange(u64, bool, u64),
    /// Several keys from this one on.
    InsertMany(u64, u64, u64),
    Clear,
    /// Keeps the values that are not divisible by this.
    Retain(u64),
}

/// A question whose answer is awaited while others go on.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Update(u64, u64),
    FetchUpdate(u64, Option<u64>),
    RemoveIf(u64, bool),
}

#[derive(Clone, Debug)]
enum Step {
    Do(usize, Op),
    /// The first time that the closure runs, others do this.
    Ask(usize, Ask, Vec<(usize, Op)>),
    /// Any handle, the reading ones last.
    Look(usize, u64),
    LookMany(usize, u64, u64),
    /// Iterator number so-and-so begins at the beginning, on this handle.
    Begin(usize, usize),
    /// It goes on for so many entries.
    Advance(usize, usize),
    /// A handle is closed and opened again.
    Reopen(usize),
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let (key, value) = (0..KEYS, 1..1000u64);
    let op = prop_oneof![
        8 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::Insert(k, v)),
        4 => (key.clone(), value.clone()).prop_map(|(k, v)| Op::TryInsert(k, v)),
        5 => key.clone().prop_map(Op::Remove),
        3 => (key.clone(), any::<bool>(), value.clone()).prop_map(|(k, right, v)| Op::CompareExchange(k, right, v)),
        3 => (key.clone(), 1..30u64, value.clone()).prop_map(|(k, n, v)| Op::InsertMany(k, n, v)),
        1 => (2..9u64).prop_map(Op::Retain),
        1 => prop_oneof![5 => Just(Op::Remove(0)), 1 => Just(Op::Clear)],
    ];
    (0..WRITERS, op)
}

fn step() -> impl Strategy<Value = Step> {
    let (key, value) = (0..KEYS, 1..1000u64);
    let ask = prop_oneof![
        (key.clone(), value.clone()).prop_map(|(k, v)| Ask::Update(k, v)),
        (key.clone(), prop::option::of(value)).prop_map(|(k, v)| Ask::FetchUpdate(k, v)),
        (key.clone(), any::<bool>()).prop_map(|(k, yes)| Ask::RemoveIf(k, yes)),
    ];
    let anyone = 0..WRITERS + READERS;
    prop_oneof![
        12 => op().prop_map(|(handle, op)| Step::Do(handle, op)),
        3 => (0..WRITERS, ask, prop::collection::vec(op(), 0..4))
            .prop_map(|(handle, ask, meanwhile)| Step::Ask(handle, ask, meanwhile)),
        3 => (anyone.clone(), key.clone()).prop_map(|(handle, k)| Step::Look(handle, k)),
        1 => (anyone.clone(), key, 0..20u64).prop_map(|(handle, k, n)| Step::LookMany(handle, k, n)),
        2 => (0..ITERATORS, anyone.clone()).prop_map(|(i, handle)| Step::Begin(i, handle)),
        6 => (0..ITERATORS, 1..20usize).prop_map(|(i, n)| Step::Advance(i, n)),
        1 => (0..WRITERS + READERS).prop_map(Step::Reopen),
    ]
}

/// What is there, and who is interested in what changes.
#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, u64>,
    journeys: [Journey; ITERATORS],
}

/// What an iterator may meet, and must.
#[derive(Default)]
struct Journey {
    /// All values that a key has had since the beginning.
    possible: BTreeMap<u64, BTreeSet<u64>>,
    /// Those that have been there since, and were not written.
    untouched: BTreeSet<u64>,
    met: Vec<u64>,
}

impl Model {
    fn get(&self, key: u64) -> Option<u64> {
        self.entries.get(&key).copied()
    }

    fn set(&mut self, key: u64, value: Option<u64>) {
        match value {
            Some(value) => self.entries.insert(key, value),
            None => self.entries.remove(&key),
        };
        for journey in &mut self.journeys {
            journey.possible.entry(key).or_default().extend(value);
            journey.untouched.remove(&key);
        }
    }

    fn begin(&mut self, iterator: usize) {
        self.journeys[iterator] = Journey {
            possible: (self.entries.iter())
                .map(|(key, value)| (*key, BTreeSet::from([*value])))
                .collect(),
            untouched: self.entries.keys().copied().collect(),
            met: Vec::new(),
        };
    }
}

impl Journey {
    fn meet(&mut self, key: u64, value: u64) {
        let possible = self.possible.get(&key);
        assert!(
            possible.is_some_and(|values| values.contains(&value)),
            "{key} never was {value} since the iterator began, but {possible:?}"
        );
        assert!(
            !(self.untouched.contains(&key) && self.met.contains(&key)),
            "{key} is met twice"
        );
        self.met.push(key);
    }

    fn end(&self) {
        for key in &self.untouched {
            assert!(self.met.contains(key), "{key} was there and is not met");
        }
    }
}

/// What the sequences have reached.
#[derive(Default)]
struct Reached {
    refused: Cell<u64>,
    displaced: Cell<u64>,
    asked_again: Cell<u64>,
    ended: Cell<u64>,
}

fn more(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

struct World<'s, V: Number> {
    segment: &'s Segment,
    writers: Vec<Map<u64, V>>,
    readers: Vec<ReadOnlyMap<u64, V>>,
    model: RefCell<Model>,
    reached: &'s Reached,
}

fn open<V: Number>(segment: &Segment) -> Map<u64, V> {
    Map::builder().open(segment).unwrap()
}

fn open_read_only<V: Number>(segment: &Segment) -> ReadOnlyMap<u64, V> {
    Map::builder().open_read_only(segment).unwrap()
}

impl<'s, V: Number + shmkv::Schema> World<'s, V> {
    fn new(segment: &'s Segment, reached: &'s Reached) -> Self {
        let mut writers: Vec<_> = (1..WRITERS).map(|_| open(segment)).collect();
        writers.push(Map::clone(&writers[0]));
        Self {
            segment,
            writers,
            readers: (0..READERS).map(|_| open_read_only(segment)).collect(),
            model: RefCell::default(),
            reached,
        }
    }

    fn handle(&self, number: usize) -> &ReadOnlyMap<u64, V> {
        match self.writers.get(number) {
            Some(writer) => writer,
            None => &self.readers[number - WRITERS],
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.model.borrow().get(key)
    }

    /// The model's part of a write that was done, or refused. Whether it was done.
    fn put<T>(&self, key: u64, value: u64, done: Result<T, WriteError>) -> Option<T> {
        match done {
            Ok(done) => {
                self.model.borrow_mut().set(key, Some(value));
                Some(done)
            }
            Err(WriteError::Full { .. }) => {
                let model = self.model.borrow();
                assert!(model.get(key).is_none(), "replacing needs no room");
                let entries = model.entries.len();
                assert!(entries >= CAPACITY, "refused with {entries} of {CAPACITY}");
                more(&self.reached.refused, 1);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&self, handle: usize, op: Op) {
        let map = &self.writers[handle];
        match op {
            Op::Insert(key, value) => {
                let known = self.get(key);
                let done = map.insert(key, V::of(value));
                if let Some(previous) = self.put(key, value, done) {
                    assert_eq!(previous.map(V::number), known);
                }
            }
            Op::TryInsert(key, value) => match self.get(key) {
                Some(known) => {
                    let answer = map.try_insert(key, V::of(value)).unwrap();
                    assert_eq!(answer, TryInsert::Occupied(V::of(known)));
                }
                None => {
                    let done = map.try_insert(key, V::of(value));
                    if let Some(done) = self.put(key, value, done) {
                        assert_eq!(done, TryInsert::Inserted);
                    }
                }
            },
            Op::Remove(key) => {
                let removed = map.remove(&key).unwrap();
                assert_eq!(removed.map(V::number), self.get(key));
                self.model.borrow_mut().set(key, None);
            }
            Op::CompareExchange(key, is_right, new) => {
                let known = self.get(key);
                let expected = known.filter(|_| is_right).unwrap_or(5000);
                let answer = map.compare_exchange(&key, &V::of(expected), V::of(new));
                let expected = match known {
                    None => CompareExchange::Absent,
                    Some(_) if is_right => CompareExchange::Exchanged,
                    Some(known) => CompareExchange::Mismatch(V::of(known)),
                };
                assert_eq!(answer.unwrap(), expected);
                if expected == CompareExchange::Exchanged {
                    self.model.borrow_mut().set(key, Some(new));
                }
            }
            Op::InsertMany(key, count, value) => {
                for key in key..(key + count).min(KEYS) {
                    self.apply(handle, Op::Insert(key, value + key));
                }
            }
            Op::Clear => {
                let keys: Vec<u64> = self.model.borrow().entries.keys().copied().collect();
                assert_eq!(map.clear().unwrap(), keys.len());
                let mut model = self.model.borrow_mut();
                keys.into_iter().for_each(|key| model.set(key, None));
            }
            Op::Retain(divisor) => {
                let goes = |value: u64| value.is_multiple_of(divisor);
                let removed = map.retain(|_, value| !goes(value.number())).unwrap();
                let mut model = self.model.borrow_mut();
                let gone = model.entries.iter().filter(|(_, value)| goes(**value));
                let gone: Vec<u64> = gone.map(|(key, _)| *key).collect();
                assert_eq!(removed, gone.len());
                gone.into_iter().for_each(|key| model.set(key, None));
            }
        }
    }

    fn ask(&self, handle: usize, ask: Ask, meanwhile: &[(usize, Op)]) {
        let map = &self.writers[handle];
        let (Ask::Update(key, _) | Ask::FetchUpdate(key, _) | Ask::RemoveIf(key, _)) = ask;
        let mut asked = Vec::new();
        let mut interrupt = |value: Option<u64>| {
            assert_eq!(value, self.get(key), "it is asked about what is there");
            if asked.is_empty() {
                for (handle, op) in meanwhile {
                    self.apply(*handle, *op);
                }
            }
            asked.push(value);
        };
        let done = match ask {
            Ask::Update(_, new) => map.update(&key, |value| {
                interrupt(Some(value.number()));
                V::of(new)
            }),
            Ask::FetchUpdate(_, new) => map.fetch_update(&key, |value| {
                interrupt(value.map(V::number));
                new.map(V::of)
            }),
            Ask::RemoveIf(_, yes) => map.remove_if(&key, |value| {
                interrupt(Some(value.number()));
                yes
            }),
        };
        more(
            &self.reached.asked_again,
            asked.len().saturating_sub(1) as u64,
        );
        // The last answer is the one that counts; if nobody was asked, there was nothing.
        let known = asked.last().copied().flatten();
        match ask {
            Ask::Update(_, new) => {
                if asked.is_empty() || self.get(key).is_none() {
                    // Absent at the beginning, or since somebody removed it meanwhile.
                    assert_eq!((done.unwrap(), self.get(key)), (None, None));
                } else if let Some(previous) = self.put(key, new, done) {
                    assert_eq!(previous.map(V::number), known);
                }
            }
            Ask::FetchUpdate(_, None) => assert_eq!(done.unwrap().map(V::number), known),
            Ask::FetchUpdate(_, Some(new)) => {
                if let Some(previous) = self.put(key, new, done) {
                    assert_eq!(previous.map(V::number), known);
                }
            }
            Ask::RemoveIf(_, yes) => {
                let is_there = !asked.is_empty() && self.get(key).is_some();
                let removed = done.unwrap().map(V::number);
                assert_eq!(removed, known.filter(|_| yes && is_there));
                if yes {
                    self.model.borrow_mut().set(key, None);
                }
            }
        }
    }

    fn look(&self, handle: usize, key: u64) {
        let (map, known) = (self.handle(handle), self.get(key));
        assert_eq!(map.get(&key).unwrap().map(V::number), known);
        assert_eq!(map.contains_key(&key).unwrap(), known.is_some());
    }

    /// All handles agree.
    fn compare(&self) {
        let known = &self.model.borrow().entries;
        for handle in 0..WRITERS + READERS {
            let map = self.handle(handle);
            assert_eq!(map.len(), known.len());
            let entries = map.iter().map(|entry| {
                let (key, value) = entry.unwrap();
                (key, value.number())
            });
            let met: Vec<(u64, u64)> = entries.collect();
            assert_eq!(met.len(), known.len(), "each entry once");
            assert_eq!(&met.into_iter().collect::<BTreeMap<_, _>>(), known);
        }
    }

    /// Runs until the steps are over or a handle is closed, at which iterators of all end. Returns
    /// what is left of the steps, and the handle.
    fn run<'t>(&self, steps: &'t [Step]) -> Option<(usize, &'t [Step])> {
        let mut iterators: [Option<Iter<'_, u64, V>>; ITERATORS] = [const { None }; ITERATORS];
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Do(handle, op) => self.apply(*handle, *op),
                Step::Ask(handle, ask, meanwhile) => self.ask(*handle, *ask, meanwhile),
                Step::Look(handle, key) => self.look(*handle, *key),
                Step::LookMany(handle, first, count) => {
                    let keys: Vec<u64> = (*first..first + count).collect();
                    let mut values = vec![None; keys.len()];
                    self.handle(*handle).get_many(&keys, &mut values).unwrap();
                    for (key, value) in keys.iter().zip(values) {
                        assert_eq!(value.map(V::number), self.get(*key));
                    }
                }
                Step::Begin(number, handle) => {
                    iterators[*number] = Some(self.handle(*handle).iter());
                    self.model.borrow_mut().begin(*number);
                }
                Step::Advance(number, count) => {
                    self.advance(&mut iterators[*number], *number, *count);
                }
                Step::Reopen(handle) => return Some((*handle, &steps[at + 1..])),
            }
            let len = self.model.borrow().entries.len();
            assert_eq!(self.readers[0].len(), len, "after {step:?}");
        }
        for (number, iterator) in iterators.iter_mut().enumerate() {
            self.advance(iterator, number, usize::MAX);
        }
        None
    }

    fn advance(&self, iterator: &mut Option<Iter<'_, u64, V>>, number: usize, count: usize) {
        for _ in 0..count {
            let Some(running) = iterator else { return };
            let mut model = self.model.borrow_mut();
            let journey = &mut model.journeys[number];
            match running.next() {
                Some(entry) => {
                    // Not lagged: the ring has room for more moves than there are steps.
                    let (key, value) = entry.unwrap();
                    journey.meet(key, value.number());
                }
                None => {
                    journey.end();
                    *iterator = None;
                    more(&self.reached.ended, 1);
                }
            }
        }
    }

    fn reopen(&mut self, handle: usize) {
        match self.writers.get_mut(handle) {
            Some(writer) => *writer = open(self.segment),
            None => self.readers[handle - WRITERS] = open_read_only(self.segment),
        }
    }
}

fn handles_agree<V: Number + shmkv::Schema>() {
    let mut runner = TestRunner::new(Config {
        cases: if crate::support::long() { 20_000 } else { 250 },
        failure_persistence: None,
        ..Config::default()
    });
    let reached = Reached::default();
    let strategy = prop::collection::vec(step(), 1..150);
    let result = runner.run(&strategy, |steps| {
        let scratch = crate::support::Scratch::shm();
        let created: Map<u64, V> = (Map::builder().capacity(CAPACITY))
            .create(scratch.segment())
            .unwrap();
        let mut world = World::<V>::new(scratch.segment(), &reached);
        let mut rest = &steps[..];
        while let Some((handle, left)) = world.run(rest) {
            world.compare();
            world.reopen(handle);
            rest = left;
        }
        world.compare();
        more(&reached.displaced, created.stats().displaced);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let counters = [
        &reached.refused,
        &reached.displaced,
        &reached.asked_again,
        &reached.ended,
    ];
    let counts = counters.map(Cell::get);
    assert!(
        counts.iter().all(|count| *count > 0),
        "refused, displaced, asked again, iterators that came to their end: {counts:?}; the \
         sequences must get there"
    );
}

#[test]
fn handles_on_one_map_of_words_agree_step_by_step() {
    handles_agree::<u64>();
}

#[test]
fn handles_on_one_map_of_long_values_agree_step_by_step() {
    handles_agree::<Long>();
}
