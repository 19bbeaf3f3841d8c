//! A process that dies at any instruction of any operation, and nobody else notices.
//!
//! For each operation a child is stepped through it by ptrace, one instruction at a time, and
//! the segment is compared with what it was before. The child is then killed and reaped, and
//! *every* state of the segment that there was is put back and judged as what a crash at that
//! instruction leaves behind. That is the same as a kill there, because all that a dead process leaves to
//! others is
//!
//! - the bytes of the segment: copied after the instruction. Instructions between two
//!   changes of the bytes leave the same bytes, so one judgement serves for all of them;
//! - its lock on a byte of the file: gone with the process, in both cases;
//! - its process id: that of a process that is dead and reaped, in both cases;
//!
//! and because a single step retires the store buffer as a kill does: stores of a dead process
//! reach memory in the order of the program. To show that this reasoning holds, many instructions
//! (all that changed the segment, and others between the first and the last of those;
//! with `SHMKV_LONG=1`, all of these) are also the last of a child that is really killed there.
//!
//! Each judgement opens the segment anew, reads all keys (old or new value, whole; nothing
//! else touched), writes the key of the operation and another one of its bucket, lets
//! `recover` and `check` look at everything, and demands that no lock, no copy and no
//! participant slot is left over. Every other judgement recovers first and writes later.

#![cfg(target_os = "linux")]

#[path = "crash/bytes.rs"]
#[allow(dead_code, reason = "shared with the storm, which uses more of it")]
mod bytes;
#[path = "crash/creation.rs"]
mod creation;
#[path = "crash/trace.rs"]
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::{Bytes, Image};
use shmkv::{Map, Problem, Remedy, Segment, Value};
use trace::{Child, Stop};

/// Keys that are known by their buckets.
const KEYS: u64 = 1500;
/// How long a write may take after a death.
const WRITE_LIMIT: Duration = Duration::from_millis(50);

/// A value that is made of a number, all of it.
trait Val: Value + shmkv::Schema + Copy + Eq + Debug {
    const NAME: &'static str;
    /// Slots of a bucket that can be in use.
    const USABLE: usize;
    fn of(number: u64) -> Self;
}

impl Val for u64 {
    const NAME: &'static str = "in place";
    const USABLE: usize = 16;
    fn of(number: u64) -> Self {
        number
    }
}

impl Val for [u64; 4] {
    const NAME: &'static str = "32 bytes";
    const USABLE: usize = 15;
    fn of(number: u64) -> Self {
        [number, !number, number.rotate_left(17), number ^ 0x5555]
    }
}

type Act<V> = Box<dyn Fn(&mut Option<Map<u64, V>>)>;

/// An operation, and what it starts from.
struct Scenario<V> {
    name: String,
    image: Image,
    /// What the image holds.
    before: BTreeMap<u64, V>,
    /// What the keys that the operation writes may read as, besides what they were.
    after: BTreeMap<u64, Option<V>>,
    /// The key that is written afterwards, and another one of its bucket.
    key: u64,
    neighbour: u64,
    /// A write that registers the process and changes nothing, not part of the operation.
    warm_key: Option<u64>,
    act: Act<V>,
}

/// What became of a scenario.
#[derive(Default)]
struct Tally {
    instructions: usize,
    states: usize,
    real_kills: usize,
    slowest_read: Duration,
    slowest_write: Duration,
    repaired: u64,
}

/// A segment in which everything happens.
struct Stage<V> {
    segment: Segment,
    bytes: Bytes,
    /// Empty, with the maker's own participant in it.
    empty: Image,
    maker: Option<Map<u64, V>>,
    homes: BTreeMap<u64, (usize, usize)>,
}

impl<V> Drop for Stage<V> {
    fn drop(&mut self) {
        let _ = self.segment.remove();
    }
}

impl<V: Val> Stage<V> {
    fn new(tag: &str) -> Self {
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
            homes: BTreeMap::new(),
        };
        stage.learn_buckets();
        stage
    }

    fn make(&self, entries: impl IntoIterator<Item = u64>) {
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
        let mut by_home = vec![Vec::new(); none.len()];
        for key in 1..=KEYS {
            self.bytes.restore(&self.empty);
            maker.insert(key, V::of(key)).unwrap();
            let home = grown(&none, &self.bytes.occupancy());
            by_home[home].push(key);
        }
        for (home, keys) in by_home.iter().enumerate() {
            for &key in keys {
                self.bytes.restore(&self.empty);
                let fill = keys.iter().filter(|&&other| other != key);
                for &filler in fill.take(V::USABLE) {
                    maker.insert(filler, V::of(filler)).unwrap();
                }
                let before = self.bytes.occupancy();
                maker.insert(key, V::of(key)).unwrap();
                let other = grown(&before, &self.bytes.occupancy());
                self.homes.insert(key, (home, other));
            }
        }
        self.maker = Some(maker);
    }

    /// Keys with these buckets, none of them in `but`.
    fn keys(&self, home: usize, others: &[usize], count: usize, but: &[u64]) -> Vec<u64> {
        let fits = |(key, (h, o)): (&u64, &(usize, usize))| {
            (*h == home && others.contains(o) && !but.contains(key)).then_some(*key)
        };
        let keys: Vec<u64> = self.homes.iter().filter_map(fits).take(count).collect();
        assert_eq!(keys.len(), count, "more keys are needed");
        keys
    }

    fn open(&self) -> Map<u64, V> {
        self.open_with_patience(WRITE_LIMIT)
    }

    fn open_with_patience(&self, patience: Duration) -> Map<u64, V> {
        Map::builder()
            .lock_timeout(patience)
            .open(self.segment.clone())
            .unwrap()
    }

    /// A child that has done all of a scenario but its operation.
    fn child(&self, scenario: &Scenario<V>) -> std::io::Result<Child> {
        self.bytes.restore(&scenario.image);
        Child::fork(
            || {
                // By the clock, a traced process is slow.
                let map = self.open_with_patience(Duration::from_secs(60));
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

    /// All states that the operation leads through, each with the number of the instruction
    /// after which it was first seen; and how many instructions there are.
    fn states(&self, scenario: &Scenario<V>) -> (Vec<(usize, Image)>, usize) {
        let mut child = self.child(scenario).unwrap();
        let mut states = vec![(0, self.bytes.image())];
        let mut count = 0;
        loop {
            match child.step() {
                Stop::Trap => {
                    count += 1;
                    if !self.bytes.is(&states.last().unwrap().1) {
                        states.push((count, self.bytes.image()));
                    }
                }
                Stop::Boundary => break,
                Stop::Gone(status) => panic!("{}: the child ended: {status}", scenario.name),
            }
        }
        child.kill();
        (states, count)
    }

    fn run(&self, scenario: &Scenario<V>) -> Tally {
        let (states, instructions) = self.states(scenario);
        let mut tally = Tally {
            instructions,
            states: states.len(),
            ..Tally::default()
        };
        for (number, (step, state)) in states.iter().enumerate() {
            self.bytes.restore(state);
            self.judge(scenario, number % 2 == 0, &mut tally)
                .unwrap_or_else(|wrong| {
                    panic!("{}, after instruction {step}: {wrong}", scenario.name)
                });
        }
        for (number, step) in real_kill_points(&states, instructions)
            .into_iter()
            .enumerate()
        {
            let mut child = self.child(scenario).unwrap();
            child.steps(step);
            child.kill();
            self.judge(scenario, number % 2 == 0, &mut tally)
                .unwrap_or_else(|wrong| {
                    panic!(
                        "{}, killed after instruction {step}: {wrong}",
                        scenario.name
                    )
                });
            tally.real_kills += 1;
        }
        tally
    }

    /// Looks at the segment as it lies there, after the death of whoever worked on it.
    fn judge(
        &self,
        scenario: &Scenario<V>,
        write_first: bool,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let fail = |what: &str, error: &dyn std::fmt::Display| Err(format!("{what}: {error}"));
        let mut now = scenario.before.clone();
        let reader = Map::<u64, V>::builder()
            .open_read_only(self.segment.clone())
            .unwrap();
        let mut universe: BTreeSet<u64> = scenario.before.keys().copied().collect();
        universe.extend(scenario.after.keys());
        for key in &universe {
            let started = Instant::now();
            let found = match reader.get(key) {
                Ok(found) => found,
                Err(error) => return fail("get", &error),
            };
            tally.slowest_read = tally.slowest_read.max(started.elapsed());
            let old = scenario.before.get(key).copied();
            let new = scenario.after.get(key).copied().unwrap_or(old);
            if found != old && found != new {
                return Err(format!(
                    "key {key} reads {found:?}, was {old:?}, may be {new:?}"
                ));
            }
            match found {
                Some(value) => now.insert(*key, value),
                None => now.remove(key),
            };
        }
        let iterated: Vec<(u64, V)> = match reader.iter().collect() {
            Ok(iterated) => iterated,
            Err(error) => return fail("iter", &error),
        };
        let as_map: BTreeMap<u64, V> = iterated.iter().copied().collect();
        if as_map != now || iterated.len() != now.len() {
            return Err(format!("iterated {iterated:?}, single reads {now:?}"));
        }
        let seen = reader.check();
        if !seen.is_sound() {
            return fail("before anybody came", &seen);
        }

        let writer = self.open();
        let mut write = |now: &mut BTreeMap<u64, V>| {
            for (number, key) in [scenario.key, scenario.neighbour].into_iter().enumerate() {
                let value = V::of(1 << 40 | number as u64);
                let started = Instant::now();
                let previous = match writer.insert(key, value) {
                    Ok(previous) => previous,
                    Err(error) => return fail("insert", &error),
                };
                tally.slowest_write = tally.slowest_write.max(started.elapsed());
                let expected = now.insert(key, value);
                if previous != expected {
                    return Err(format!(
                        "insert of {key} replaced {previous:?}, {expected:?} was there"
                    ));
                }
            }
            Ok(())
        };
        if write_first {
            write(&mut now)?;
        }
        let recovery = match writer.recover() {
            Ok(recovery) => recovery,
            Err(error) => return fail("recover", &error),
        };
        if recovery.busy + recovery.postponed != 0 {
            return fail("recover", &recovery);
        }
        tally.repaired += recovery.deduplicated;
        if !write_first {
            write(&mut now)?;
        }
        let check = writer.check();
        let is_note = |problem: &Problem| matches!(problem, Problem::CountTooHigh { .. });
        if !check.problems.iter().all(is_note) || !check.is_quiet {
            return fail("after the recovery", &check);
        }
        if self.bytes.locks().iter().any(|lock| *lock != 0) {
            return Err(format!("lock words are left: {:x?}", self.bytes.locks()));
        }
        let after: BTreeMap<u64, V> = match writer.iter().collect() {
            Ok(entries) => entries,
            Err(error) => return fail("iter afterwards", &error),
        };
        if after != now || writer.len() != now.len() {
            return Err(format!("{after:?} is left, expected {now:?}"));
        }
        let strangers = |map: &Map<u64, V>| {
            let all = map.participants();
            all.into_iter().find(|found| !found.is_self)
        };
        if let Some(leaked) = strangers(&writer) {
            return fail("a participant slot is leaked", &leaked.owner);
        }
        drop(writer);
        match strangers(&self.open()) {
            Some(leaked) => fail("our own participant slot is leaked", &leaked.owner),
            None => Ok(()),
        }
    }

    fn scenario(&self, name: &str, before: impl IntoIterator<Item = u64>, key: u64) -> Scenario<V> {
        self.make(before);
        self.scenario_as_it_is(name, key)
    }

    /// From what the segment holds now.
    fn scenario_as_it_is(&self, name: &str, key: u64) -> Scenario<V> {
        let maker = self.maker.as_ref().unwrap();
        let before: BTreeMap<u64, V> = maker.iter().map(Result::unwrap).collect();
        let image = self.bytes.without_participants(&self.bytes.image());
        let (home, _) = self.homes[&key];
        let neighbour = before
            .keys()
            .find(|k| **k != key && self.homes[k].0 == home);
        Scenario {
            name: format!("{name} ({})", V::NAME),
            neighbour: neighbour
                .copied()
                .unwrap_or_else(|| self.keys(home, &[0, 1, 2, 3], 1, &[key])[0]),
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
    fn after(mut self, key: u64, value: Option<V>) -> Self {
        self.after.insert(key, value);
        self
    }

    fn warm(mut self, key: u64) -> Self {
        self.warm_key = Some(key);
        self
    }

    fn act(mut self, act: impl Fn(&Map<u64, V>) + 'static) -> Self {
        self.act = Box::new(move |map| act(map.as_ref().unwrap()));
        self
    }
}

/// Where children are really killed: at every change of the segment, and between the first and
/// the last of them.
fn real_kill_points(states: &[(usize, Image)], instructions: usize) -> BTreeSet<usize> {
    // A real kill costs as many steps as lead to it.
    let wanted = if is_long() {
        usize::MAX
    } else {
        (60_000 / instructions).clamp(4, 40)
    };
    let mut points: BTreeSet<usize> = states.iter().map(|(step, _)| *step).collect();
    if !is_long() && points.len() > wanted {
        let stride = points.len().div_ceil(wanted);
        points = points.into_iter().step_by(stride).collect();
    }
    let first = states.get(1).map_or(0, |(step, _)| step - 1);
    let last = states.last().map_or(instructions, |(step, _)| *step + 1);
    let stride = (last - first).div_ceil(wanted).max(1);
    points.extend((first..=last.min(instructions)).step_by(stride));
    points.extend([1, instructions / 2, instructions]);
    let most = (300_000 / instructions).max(3);
    if !is_long() && points.len() > most {
        let stride = points.len().div_ceil(most);
        points = points
            .into_iter()
            .skip(stride / 2)
            .step_by(stride)
            .collect();
    }
    points
}

fn is_long() -> bool {
    std::env::var_os("SHMKV_LONG").is_some_and(|value| value == "1")
}

/// Operations on keys that are at home, or go away from it.
fn single_entry<V: Val>(stage: &Stage<V>) -> Vec<Scenario<V>> {
    let all = [0, 1, 2, 3];
    // The warm-up write is about a key of the last bucket, where nothing else happens.
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let home = stage.keys(0, &[1], V::USABLE + 2, &[]);
    let key = home[0];
    let few = || home[1..4].iter().copied();
    let new = V::of(77_777);
    let mut list = vec![
        stage
            .scenario("insert, absent", few(), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
        stage
            .scenario("insert, replace", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), Some(V::of(key)))),
        stage
            .scenario("remove", few().chain([key]), key)
            .after(key, None)
            .act(move |map| assert!(map.remove(&key).unwrap().is_some())),
        stage
            .scenario("remove, absent", few(), key)
            .act(move |map| assert!(map.remove(&key).unwrap().is_none())),
        stage
            .scenario("update", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| assert!(map.update(&key, |_| new).unwrap().is_some())),
        stage
            .scenario("compare_exchange", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| {
                let done = map.compare_exchange(&key, &V::of(key), new).unwrap();
                assert_eq!(done, shmkv::Exchange::Done);
            }),
        stage
            .scenario("try_insert", few(), key)
            .after(key, Some(new))
            .act(move |map| {
                let done = map.try_insert(key, new).unwrap();
                assert_eq!(done, shmkv::TryInsert::Inserted);
            }),
        // The home is full, the other bucket is not.
        stage
            .scenario("insert, away", home[1..=V::USABLE].iter().copied(), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
    ];
    let away = || home[1..=V::USABLE].iter().copied().chain([key]);
    list.push(
        stage
            .scenario("remove, away", away(), key)
            .after(key, None)
            .act(move |map| assert!(map.remove(&key).unwrap().is_some())),
    );
    list.push(
        stage
            .scenario("replace, away", away(), key)
            .after(key, Some(new))
            .act(move |map| assert!(map.insert(key, new).unwrap().is_some())),
    );
    list = list.into_iter().map(|s| s.warm(warm)).collect();

    // All over the table, one of them away.
    let some: Vec<u64> = away()
        .chain(stage.keys(1, &all, 3, &[]))
        .chain(stage.keys(2, &all, 3, &[]))
        .chain(stage.keys(3, &all, 2, &[warm]))
        .collect();
    let mut clear = stage
        .scenario("clear", some.iter().copied(), key)
        .warm(warm);
    clear.after = some.iter().map(|key| (*key, None)).collect();
    list.push(clear.act(move |map| assert!(map.clear().unwrap() > 0)));
    let mut retain = stage
        .scenario("retain", some.iter().copied(), key)
        .warm(warm);
    retain.after = some
        .iter()
        .filter(|k| **k % 2 == 0 || **k == key)
        .map(|key| (*key, None))
        .collect();
    list.push(retain.act(move |map| {
        map.retain(|k, _| *k % 2 != 0 && *k != key).unwrap();
    }));

    list.push(
        stage
            .scenario("first write", few(), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
    );
    let mut drop_handle = stage.scenario("drop of a handle", few(), key).warm(warm);
    drop_handle.act = Box::new(|map| drop(map.take()));
    list.push(drop_handle);
    list
}

/// Insertions for which another entry has to move.
fn displacements<V: Val>(stage: &Stage<V>) -> Vec<Scenario<V>> {
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let new = V::of(77_777);
    let key = stage.keys(0, &[1], 1, &[])[0];
    let insert = move |map: &Map<u64, V>| assert_eq!(map.insert(key, new).unwrap(), None);
    let second = stage.keys(1, &[2], V::USABLE, &[]);

    // An entry of the home goes away from its own home.
    let first = stage.keys(0, &[2], V::USABLE, &[key]);
    let away = stage
        .scenario(
            "displacement, away",
            first.into_iter().chain(second.iter().copied()),
            key,
        )
        .act(insert);
    // The new key goes to its other bucket, out of which an entry moves.
    let first = stage.keys(0, &[1], V::USABLE, &[key]);
    let other = stage
        .scenario(
            "displacement, other bucket",
            first.into_iter().chain(second.iter().copied()),
            key,
        )
        .act(insert);
    // An entry that lives away goes home, where there is room again.
    let crowd = stage.keys(2, &[3], V::USABLE, &[]);
    let traveller = stage.keys(2, &[0], 1, &crowd)[0];
    let first = stage.keys(0, &[1], V::USABLE - 1, &[key]);
    stage.make(
        crowd
            .iter()
            .copied()
            .chain([traveller])
            .chain(first)
            .chain(second),
    );
    let maker = stage.maker.as_ref().unwrap();
    maker.remove(&crowd[0]).unwrap();
    let home = stage
        .scenario_as_it_is("displacement, home", key)
        .act(insert);
    [away, other, home]
        .into_iter()
        .map(|scenario| scenario.warm(warm).after(key, Some(new)))
        .collect()
}

/// Take-overs of what a displacement left, one of which dies too.
fn recoveries<V: Val>(stage: &Stage<V>, mover: &Scenario<V>, depth: u32) -> Vec<Scenario<V>> {
    let doubled: Vec<Image> = stage
        .states(mover)
        .0
        .into_iter()
        .filter_map(|(_, image)| {
            stage.bytes.restore(&image);
            let check = stage.open().check();
            let is_doubled = |problem: &Problem| matches!(problem, Problem::InterruptedMove { .. });
            check.problems.iter().any(is_doubled).then_some(image)
        })
        .collect();
    assert!(!doubled.is_empty(), "{}: no entry was twice", mover.name);
    let warm = mover.warm_key.unwrap();
    let mut list = Vec::new();
    let states = [doubled.first(), doubled.last()];
    for image in states.into_iter().flatten() {
        let scenario = |what: &str, act: Act<V>| Scenario {
            name: format!("{what} after {}", mover.name),
            image: image.clone(),
            before: mover.before.clone(),
            after: mover.after.clone(),
            key: mover.key,
            neighbour: mover.neighbour,
            warm_key: Some(warm),
            act,
        };
        let key = mover.key;
        list.push(scenario(
            "recover",
            Box::new(|map| {
                let recovery = map.as_ref().unwrap().recover().unwrap();
                let is_repair = |finding: &shmkv::Finding| {
                    matches!(finding.remedy, Remedy::Deduplicated { .. })
                };
                assert!(recovery.findings.iter().any(is_repair), "{recovery}");
            }),
        ));
        list.push(scenario(
            "insert",
            Box::new(move |map| {
                let _ = map.as_ref().unwrap().insert(key, V::of(77_777)).unwrap();
            }),
        ));
        if depth == 0 {
            break;
        }
    }
    list
}

/// A second taker after a first one that died with two kinds of dead tokens in the locks.
fn second_recoveries<V: Val>(stage: &Stage<V>, first: &Scenario<V>) -> Vec<Scenario<V>> {
    let owners = |locks: Vec<u64>| {
        let owned: BTreeSet<u64> = locks.into_iter().filter(|lock| *lock > 1).collect();
        owned.len()
    };
    let mixed: Vec<Image> = stage
        .states(first)
        .0
        .into_iter()
        .filter_map(|(_, image)| {
            stage.bytes.restore(&image);
            (owners(stage.bytes.locks()) > 1).then_some(image)
        })
        .collect();
    let key = first.key;
    let middle = mixed.len() / 2;
    let chosen = if is_long() { 0 } else { middle };
    mixed[chosen..]
        .iter()
        .take(if is_long() { usize::MAX } else { 1 })
        .map(|image| Scenario {
            name: format!("second taker: {}", first.name),
            image: image.clone(),
            before: first.before.clone(),
            after: first.after.clone(),
            key,
            neighbour: first.neighbour,
            warm_key: first.warm_key,
            act: Box::new(move |map| {
                let _ = map.as_ref().unwrap().insert(key, V::of(77_777)).unwrap();
            }),
        })
        .collect()
}

/// A first write when all slots are those of the dead.
fn crowded_registration<V: Val>(stage: &Stage<V>) -> Scenario<V> {
    let key = stage.keys(0, &[1], 1, &[])[0];
    let new = V::of(77_777);
    let mut scenario = stage
        .scenario(
            "first write, slots of the dead",
            stage.keys(0, &[2], 3, &[key]),
            key,
        )
        .after(key, Some(new))
        .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None));
    for _ in 0..4 {
        let mut writer = scenario.act(|_| ()).warm(key);
        stage.child(&writer).unwrap().kill();
        writer.image = stage.bytes.image();
        writer.warm_key = None;
        scenario = writer.act(move |map| assert_eq!(map.insert(key, new).unwrap(), None));
    }
    scenario
}

fn report(name: &str, tally: &Tally) {
    println!(
        "{name:<58} {:>8} {:>7} {:>6} {:>8.2?} {:>8.2?} {:>4}",
        tally.instructions,
        tally.states,
        tally.real_kills,
        tally.slowest_read,
        tally.slowest_write,
        tally.repaired,
    );
}

fn all_of<V: Val>(tag: &str, filter: &str, sums: &mut (usize, usize, usize)) {
    let stage = Stage::<V>::new(tag);
    let run = |scenario: &Scenario<V>, sums: &mut (usize, usize, usize)| {
        if scenario.name.contains(filter) {
            let tally = stage.run(scenario);
            report(&scenario.name, &tally);
            sums.0 += tally.instructions;
            sums.1 += tally.states;
            sums.2 += tally.real_kills;
        }
    };
    for scenario in single_entry(&stage) {
        run(&scenario, sums);
    }
    run(&crowded_registration(&stage), sums);
    for mover in displacements(&stage) {
        run(&mover, sums);
        let is_thorough = is_long() || mover.name.starts_with("displacement, away");
        for taker in recoveries(&stage, &mover, u32::from(is_thorough)) {
            run(&taker, sums);
            if is_thorough && taker.name.starts_with("insert") {
                for second in second_recoveries(&stage, &taker) {
                    run(&second, sums);
                }
            }
        }
    }
}

fn counters(filter: &str, sums: &mut (usize, usize, usize)) {
    let stage = Stage::<u64>::new("counter");
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let keys = stage.keys(0, &[1], 4, &[]);
    let key = keys[0];
    for (name, others) in [("fetch_add", 0), ("fetch_add, absent", 1)] {
        let after = if others == 0 { key + 5 } else { 5 };
        let scenario = stage
            .scenario(name, keys[others..].iter().copied(), key)
            .warm(warm)
            .after(key, Some(after))
            .act(move |map| {
                let _ = map.fetch_add(&key, 5).unwrap();
            });
        if scenario.name.contains(filter) {
            let tally = stage.run(&scenario);
            report(&scenario.name, &tally);
            sums.0 += tally.instructions;
            sums.1 += tally.states;
            sums.2 += tally.real_kills;
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let is_name = |argument: &&String| !argument.starts_with('-');
    let filter = arguments.iter().find(is_name).cloned().unwrap_or_default();
    if let Err(error) = Child::fork(|| (), |()| ()) {
        println!("skipped: processes cannot be traced here: {error}");
        return;
    }
    let started = Instant::now();
    println!(
        "{:<58} {:>8} {:>7} {:>6} {:>8} {:>8} {:>4}",
        "killed after every instruction of", "instr.", "states", "killed", "read", "write", "rep."
    );
    let mut sums = (0, 0, 0);
    all_of::<[u64; 4]>("wide", &filter, &mut sums);
    all_of::<u64>("word", &filter, &mut sums);
    counters(&filter, &mut sums);
    creation::all(&filter, &mut sums);
    println!(
        "{} instructions, {} states of the segment judged, {} real kills: nothing lost, \
         nothing torn, nothing stuck, no slot leaked; {:.1?}",
        sums.0,
        sums.1,
        sums.2,
        started.elapsed()
    );
}
