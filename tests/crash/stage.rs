//! A segment with a few buckets, keys whose buckets are known, and what happens to them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use shmkv::{Map, Segment, Value};

use super::bytes::{Bytes, Image};
use super::trace::Child;

/// Keys that are known by their buckets.
const KEYS: u64 = 1500;
/// How long a write may take after a death.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_millis(50);

/// A value that is made of a number, all of it.
pub(crate) trait Val: Value + shmkv::Schema + Copy + Eq + Debug {
    const NAME: &'static str;
    /// Slots of a bucket that can be in use.
    const USABLE: usize;
    fn of(number: u64) -> Self;
    /// The number that it was made of.
    fn number(self) -> u64;
}

impl Val for u64 {
    const NAME: &'static str = "in place";
    const USABLE: usize = 16;
    fn of(number: u64) -> Self {
        number
    }
    fn number(self) -> u64 {
        self
    }
}

impl Val for [u64; 4] {
    const NAME: &'static str = "32 bytes";
    const USABLE: usize = 15;
    fn of(number: u64) -> Self {
        [number, !number, number.rotate_left(17), number ^ 0x5555]
    }
    fn number(self) -> u64 {
        assert_eq!(self, Self::of(self[0]), "a torn value");
        self[0]
    }
}

pub(crate) type Act<V> = Box<dyn Fn(&mut Option<Map<u64, V>>)>;

/// An operation, and what it starts from.
pub(crate) struct Scenario<V> {
    pub(crate) name: String,
    pub(crate) image: Image,
    /// What the image holds.
    pub(crate) before: BTreeMap<u64, V>,
    /// What the keys that the operation writes may read as, besides what they were.
    pub(crate) after: BTreeMap<u64, Option<V>>,
    /// The key that is written afterwards, and another one of its bucket.
    pub(crate) key: u64,
    pub(crate) neighbour: u64,
    /// A write that registers the process and changes nothing, not part of the operation.
    pub(crate) warm_key: Option<u64>,
    pub(crate) act: Act<V>,
}

/// A segment in which everything happens.
pub(crate) struct Stage<V> {
    pub(crate) segment: Segment,
    pub(crate) bytes: Bytes,
    /// Empty, with the maker's own participant in it.
    pub(crate) empty: Image,
    pub(crate) maker: Option<Map<u64, V>>,
    pub(crate) primaries: BTreeMap<u64, (usize, usize)>,
}

impl<V> Drop for Stage<V> {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}

impl<V: Val> Stage<V> {
    pub(crate) fn new(tag: &str) -> Self {
        let name = format!("shmkv-crash-{tag}-{}", std::process::id());
        let segment = Segment::shm(&name).unwrap();
        let maker: Map<u64, V> = Map::builder()
            .capacity(24)
            .max_writers(4)
            .create(segment.clone())
            .unwrap();
        let bytes = Bytes::map(&format!("/dev/shm/{name}"));
        maker.remove(&0).unwrap();
        let mut stage = Self {
            segment,
            empty: bytes.image(),
            bytes,
            maker: Some(maker),
            primaries: BTreeMap::new(),
        };
        stage.learn_buckets();
        stage
    }

    pub(crate) fn make(&self, entries: impl IntoIterator<Item = u64>) {
        let maker = self.maker.as_ref().unwrap();
        self.bytes.restore(&self.empty);
        for key in entries {
            maker.insert(key, V::of(key)).unwrap();
        }
    }

    /// Where each key lives: by watching where it goes.
    fn learn_buckets(&mut self) {
        let maker = self.maker.take().unwrap();
        let grown = |before: &[u32], after: &[u32]| {
            (0..before.len())
                .find(|&i| after[i] > before[i])
                .expect("an insertion shows")
        };
        let none = self.bytes.occupancy();
        let mut by_primary = vec![Vec::new(); none.len()];
        for key in 1..=KEYS {
            self.bytes.restore(&self.empty);
            maker.insert(key, V::of(key)).unwrap();
            let primary = grown(&none, &self.bytes.occupancy());
            by_primary[primary].push(key);
        }
        for (primary, keys) in by_primary.iter().enumerate() {
            for &key in keys {
                self.bytes.restore(&self.empty);
                let fill = keys.iter().filter(|&&present| present != key);
                for &filler in fill.take(V::USABLE) {
                    maker.insert(filler, V::of(filler)).unwrap();
                }
                let before = self.bytes.occupancy();
                maker.insert(key, V::of(key)).unwrap();
                let secondary = grown(&before, &self.bytes.occupancy());
                self.primaries.insert(key, (primary, secondary));
            }
        }
        self.maker = Some(maker);
    }

    /// Keys with these buckets, none of them in `but`.
    pub(crate) fn keys(
        &self,
        primary: usize,
        others: &[usize],
        count: usize,
        but: &[u64],
    ) -> Vec<u64> {
        let fits = |(key, (h, o)): (&u64, &(usize, usize))| {
            (*h == primary && others.contains(o) && !but.contains(key)).then_some(*key)
        };
        let keys: Vec<u64> = self.primaries.iter().filter_map(fits).take(count).collect();
        assert_eq!(keys.len(), count, "more keys are needed");
        keys
    }

    pub(crate) fn open(&self) -> Map<u64, V> {
        self.open_with_timeout(WRITE_LIMIT)
    }

    pub(crate) fn open_with_timeout(&self, timeout: Duration) -> Map<u64, V> {
        Map::builder()
            .lock_timeout(timeout)
            .open(self.segment.clone())
            .unwrap()
    }

    /// A child that has done all of a scenario but its operation.
    pub(crate) fn child(&self, scenario: &Scenario<V>) -> std::io::Result<Child> {
        self.bytes.restore(&scenario.image);
        self.child_beside(scenario)
    }

    /// The same in the segment as it is.
    pub(crate) fn child_beside(&self, scenario: &Scenario<V>) -> std::io::Result<Child> {
        Child::fork(
            || {
                // By the clock, a traced process is slow.
                let map = self.open_with_timeout(Duration::from_secs(60));
                if let Some(key) = scenario.warm_key {
                    map.remove(&key).unwrap();
                }
                Some(map)
            },
            |mut map| {
                (scenario.act)(&mut map);
                // What is left of it is not part of the operation.
                std::mem::forget(map);
            },
        )
    }

    pub(crate) fn scenario(
        &self,
        name: &str,
        before: impl IntoIterator<Item = u64>,
        key: u64,
    ) -> Scenario<V> {
        self.make(before);
        self.scenario_as_it_is(name, key)
    }

    /// From what the segment holds now.
    pub(crate) fn scenario_as_it_is(&self, name: &str, key: u64) -> Scenario<V> {
        let maker = self.maker.as_ref().unwrap();
        let before: BTreeMap<u64, V> = maker.iter().map(Result::unwrap).collect();
        let image = self.bytes.without_participants(&self.bytes.image());
        let (primary, _) = self.primaries[&key];
        let neighbour = before
            .keys()
            .find(|k| **k != key && self.primaries[k].0 == primary);
        Scenario {
            name: format!("{name} ({})", V::NAME),
            neighbour: neighbour
                .copied()
                .unwrap_or_else(|| self.keys(primary, &[0, 1, 2, 3], 1, &[key])[0]),
            warm_key: None,
            after: BTreeMap::new(),
            image,
            before,
            key,
            act: Box::new(|_| ()),
        }
    }
}

impl<V: Val> Scenario<V> {
    pub(crate) fn after(mut self, key: u64, value: Option<V>) -> Self {
        self.after.insert(key, value);
        self
    }

    pub(crate) fn warm(mut self, key: u64) -> Self {
        self.warm_key = Some(key);
        self
    }

    pub(crate) fn act(mut self, act: impl Fn(&Map<u64, V>) + 'static) -> Self {
        self.act = Box::new(move |map| act(map.as_ref().unwrap()));
        self
    }
}
