//! A process that is stopped at any instruction of an operation loses no lock, however long.
//!
//! A child is stopped by ptrace, once at each instruction at which it holds something, and some
//! before and behind. Then others read, write the same key and a neighbour with hardly any
//! timeout, and let `recover` look at everything; and then the child goes on to its end. What must
//! be true, whatever the instruction:
//!
//! - the locks that the child had when it was stopped it has afterwards: those who need one are told
//!   that it is busy, by whom, and that it lives;
//! - readers have the old or the new value, whole, at once;
//! - what the child did and what the others did has one order: there is an order of the two
//!   operations on the key that explains both results and what is there in the end.
//!
//! All of this is the same in each run: no schedule, no clock, no luck.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shmkv::process::Liveness;
use shmkv::{Map, WriteError};

use super::is_long;
use super::record::Region;
use super::stage::{Scenario, Stage, Val};
use super::trace::{Child, Stop};

/// Instructions behind a region that are looked at as well: what a writer does after it has let go
/// must not matter.
const BEHIND: usize = 24;

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(u64),
    Remove,
}

impl Op {
    fn step<V: Val>(self, before: Option<V>) -> (Option<V>, Option<V>) {
        match self {
            Self::Insert(number) => (Some(V::of(number)), before),
            Self::Remove => (None, before),
        }
    }

    fn run<V: Val>(self, map: &Map<u64, V>, key: u64) -> Result<Option<V>, WriteError> {
        match self {
            Self::Insert(number) => map.insert(key, V::of(number)),
            Self::Remove => map.remove(&key),
        }
    }
}

/// Where a child tells what its operation returned: 0 nothing yet, 1 absent, else the number + 2.
fn told() -> &'static AtomicU64 {
    static TOLD: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let address = *TOLD.get_or_init(|| {
        // SAFETY: a new anonymous mapping, never unmapped.
        #[expect(unsafe_code, reason = "mmap")]
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        base.expose_provenance()
    });
    // SAFETY: aligned to a page, zeroed, never unmapped, and accessed as an atomic only.
    #[expect(unsafe_code, reason = "memory that is shared with children")]
    unsafe {
        AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(address))
    }
}

fn notify<V: Val>(result: Option<V>) {
    told().store(
        result.map_or(1, |value| value.number() + 2),
        Ordering::Release,
    );
}

pub(crate) fn all<V: Val>(stage: &Stage<V>) {
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let primary = stage.keys(0, &[1], V::USABLE + 2, &[]);
    let key = primary[0];
    let few = || primary[1..4].iter().copied();
    let full = || primary[1..=V::USABLE].iter().copied();
    let outside = stage.keys(1, &[2], V::USABLE, &[]);
    let movable = || stage.keys(0, &[2], V::USABLE, &[key]);
    let (insert, remove) = (Op::Insert(77_777), Op::Remove);
    let cases: [(&str, Vec<u64>, Op); 6] = [
        ("insert, absent", few().collect(), insert),
        ("insert, replace", few().chain([key]).collect(), insert),
        ("remove", few().chain([key]).collect(), remove),
        ("insert, secondary", full().collect(), insert),
        ("remove, secondary", full().chain([key]).collect(), remove),
        (
            "displacement",
            movable().into_iter().chain(outside).collect(),
            insert,
        ),
    ];
    for (name, before, op) in cases {
        let scenario = stage.scenario(name, before, key).warm(warm);
        let scenario = scenario.act(move |map| notify(op.run(map, key).unwrap()));
        stop_everywhere(stage, &scenario, move |before| op.step(before));
    }
}

/// The same for additions, each of which must count.
pub(crate) fn additions(stage: &Stage<u64>) {
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let keys = stage.keys(0, &[1], 4, &[]);
    let key = keys[0];
    for (name, from) in [("fetch_add", 0), ("fetch_add, absent", 1)] {
        let scenario = stage
            .scenario(name, keys[from..].iter().copied(), key)
            .warm(warm)
            .act(move |map| notify(map.fetch_add(&key, 5).unwrap()));
        stop_everywhere(stage, &scenario, |before| {
            (Some(before.unwrap_or(0) + 5), before)
        });
    }
}

fn stop_everywhere<V: Val>(
    stage: &Stage<V>,
    scenario: &Scenario<V>,
    op: impl Fn(Option<V>) -> (Option<V>, Option<V>),
) {
    // Mapped before any fork, so that it is the same for all.
    told().store(0, Ordering::Release);
    let recording = stage.record(scenario);
    // In the short form about forty times in each region.
    let stride = |len: usize| if is_long() { 1 } else { (len / 40).max(4) };
    let (mut stops, mut busy) = (0, 0);
    let mut at = |child: Child, number: usize, place: &dyn std::fmt::Display| {
        stops += 1;
        busy += usize::from(stopped(stage, scenario, &op, child, number, place));
    };
    for region in &recording.regions {
        for step in (0..region.len + BEHIND).step_by(stride(region.len)) {
            let mut child = stage.child_in(scenario, &recording, region);
            if child.steps(step) != Stop::Trap {
                break;
            }
            at(child, step, &format!("{step} instructions into {region:?}"));
        }
        for step in before(region) {
            let child = stage.child_at(scenario, &recording, step);
            at(child, step, &format!("after instruction {step}"));
        }
    }
    println!(
        "stopped in {:<50} {stops:>6} times, {busy} times with a lock in the way of others",
        scenario.name
    );
    assert!(busy > 0, "{}: it never held anybody up", scenario.name);
}

fn before(region: &Region) -> impl Iterator<Item = usize> + use<> {
    let start = region.start;
    [1, 2, 8]
        .into_iter()
        .filter_map(move |back| start.checked_sub(back))
}

/// Others work while the child stands where it does; says whether it was in their way.
fn stopped<V: Val>(
    stage: &Stage<V>,
    scenario: &Scenario<V>,
    op: &impl Fn(Option<V>) -> (Option<V>, Option<V>),
    mut child: Child,
    number: usize,
    place: &dyn std::fmt::Display,
) -> bool {
    let name = &scenario.name;
    told().store(0, Ordering::Release);
    let (key, neighbour) = (scenario.key, scenario.neighbour);
    let old = scenario.before.get(&key).copied();
    let held = stage.bytes.held_by(child.pid());
    let reader = Map::<u64, V>::builder()
        .open_read_only(stage.segment.clone())
        .unwrap();
    let may_be = [old, op(old).0];
    let seen = reader.get(&key).unwrap();
    assert!(
        may_be.contains(&seen),
        "{name}, {place}: {key} reads {seen:?}"
    );
    for (neighbour, value) in scenario
        .before
        .iter()
        .filter(|(neighbour, _)| **neighbour != key)
    {
        let found = reader.get(neighbour).unwrap();
        assert_eq!(found, Some(*value), "{name}, {place}: {neighbour}");
    }

    let rival = stage.open_with_timeout(Duration::ZERO);
    let mut in_the_way = false;
    let mut try_to = |what: Op, key: u64| match what.run(&rival, key) {
        Ok(previous) => Some(previous),
        Err(WriteError::Busy { owner, .. }) => {
            in_the_way = true;
            assert!(
                !held.is_empty(),
                "{name}, {place}: busy by {owner}, who holds nothing"
            );
            assert_eq!(owner.pid(), Some(child.pid()), "{name}, {place}: {owner}");
            assert_eq!(owner.liveness(), Liveness::Alive, "{name}, {place}");
            None
        }
        Err(error) => panic!("{name}, {place}: {error}"),
    };
    let rivals = match number % 2 {
        0 => Op::Insert(88_888),
        _ => Op::Remove,
    };
    let result = try_to(rivals, key);
    let beside = try_to(Op::Insert(99_999), neighbour);
    if number.is_multiple_of(16) {
        let recovery = rival.recover().unwrap();
        assert_eq!(
            (
                recovery.released,
                recovery.deduplicated,
                recovery.reclaimed.len()
            ),
            (0, 0, 0),
            "{name}, {place}: {recovery}"
        );
    }
    let still = stage.bytes.held_by(child.pid());
    assert_eq!(still, held, "{name}, {place}: a live process lost its lock");

    assert_eq!(child.run_to_the_end(), Stop::Boundary, "{name}, {place}");
    let word = told().load(Ordering::Acquire);
    assert_ne!(word, 0, "{name}, {place}: it told nothing");
    let childs = (word > 1).then(|| V::of(word - 2));
    let last = reader.get(&key).unwrap();
    let explained = match result {
        None => op(old) == (last, childs),
        Some(result) => {
            let (middle, first) = op(old);
            let child_first = first == childs && rivals.step(middle) == (last, result);
            let (middle, first) = rivals.step(old);
            child_first || first == result && op(middle) == (last, childs)
        }
    };
    assert!(
        explained,
        "{name}, {place}: from {old:?}, it returned {childs:?}, {rivals:?} meanwhile {result:?}, \
         and {last:?} is there: no order explains that"
    );
    let mut expected = scenario.before.clone();
    expected.remove(&key);
    expected.extend(last.map(|value| (key, value)));
    if beside.is_some() {
        expected.insert(neighbour, V::of(99_999));
    }
    let all: Vec<(u64, V)> = reader.iter().map(Result::unwrap).collect();
    let found: BTreeMap<u64, V> = all.iter().copied().collect();
    assert_eq!(
        (all.len(), &found),
        (expected.len(), &expected),
        "{name}, {place}"
    );
    let check = reader.check();
    assert!(check.is_sound(), "{name}, {place}: {check}");
    assert!(
        stage.bytes.locks().iter().all(|lock| *lock == 0),
        "{name}, {place}"
    );
    in_the_way
}
