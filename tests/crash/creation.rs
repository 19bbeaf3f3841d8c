//! Creators that die.
//!
//! A creator changes what others can see by system calls alone (the file has no name before it is
//! complete), with the exception of System V, where all see the segment grow. So creators are
//! killed after every system call, and after a sample of the other instructions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shmkv::{Map, Segment};

use super::trace::{Child, Stop};
use super::{Tally, is_long, report};

pub(crate) fn all(filter: &str, sums: &mut (usize, usize, usize)) {
    let pid = std::process::id();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("created");
    let key = 0x5000_0000 | (pid & 0xFF_FFFF) as i32;
    let kinds = [
        (
            "creation, shm",
            Segment::shm(&format!("shmkv-crash-new-{pid}")).unwrap(),
        ),
        ("creation, file", Segment::file(path).unwrap()),
        ("creation, System V", Segment::sysv_key(key).unwrap()),
    ];
    for (name, segment) in kinds {
        if name.contains(filter) {
            let places = [PathBuf::from("/dev/shm"), directory.path().to_owned()];
            let tally = run(name, &segment, &places);
            report(name, &tally);
            sums.0 += tally.instructions;
            sums.1 += tally.states;
            sums.2 += tally.real_kills;
        }
    }
}

fn create(segment: &Segment) -> Map<u64, [u64; 4]> {
    Map::builder()
        .capacity(24)
        .max_writers(4)
        .create(segment.clone())
        .unwrap()
}

fn run(name: &str, segment: &Segment, places: &[PathBuf]) -> Tally {
    let before = files(places);
    let mut tally = Tally::default();
    let creator = || {
        Child::fork(
            || segment.clone(),
            |segment| std::mem::forget(create(&segment)),
        )
        .unwrap()
    };

    let mut child = creator();
    while child.step() == Stop::Trap {
        tally.instructions += 1;
    }
    child.kill();
    judge(name, segment, places, &before, &mut tally);

    // Beginnings and ends of system calls.
    for stops in 1.. {
        let mut child = creator();
        let last = (0..stops).map(|_| child.run_to_syscall()).last();
        let done = last != Some(Stop::Trap);
        child.kill();
        judge(name, segment, places, &before, &mut tally);
        if done {
            break;
        }
    }
    let samples = if is_long() { 2000 } else { 24 };
    for sample in 0..samples {
        let mut child = creator();
        child.steps(tally.instructions * sample / samples);
        child.kill();
        judge(name, segment, places, &before, &mut tally);
    }
    tally
}

/// After a creator's death: the next one has a segment at once, and nothing is left over.
fn judge(
    name: &str,
    segment: &Segment,
    places: &[PathBuf],
    before: &BTreeSet<PathBuf>,
    tally: &mut Tally,
) {
    let started = Instant::now();
    let map: Map<u64, [u64; 4]> = Map::builder()
        .capacity(24)
        .max_writers(4)
        .open_or_create(segment.clone())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    map.insert(1, [2; 4]).unwrap();
    let elapsed = started.elapsed();
    assert!(
        elapsed < Duration::from_secs(1),
        "{name}: {elapsed:?} to the first write"
    );
    tally.slowest_write = tally.slowest_write.max(elapsed);
    assert_eq!(map.get(&1).unwrap(), Some([2; 4]));
    let check = map.check();
    assert!(
        check.is_sound() && check.notes == 0 && check.entries == 1,
        "{name}: {check}"
    );
    assert_eq!(map.participants().len(), 1, "{name}");
    drop(map);
    segment.remove().unwrap();
    let after = files(places);
    let left: Vec<_> = after.difference(before).collect();
    assert!(left.is_empty(), "{name}: left over: {left:?}");
    assert!(!segment.exists().unwrap());
    tally.real_kills += 1;
    tally.states += 1;
}

/// Files that could be remains of a segment. (Others work here as well.)
fn files(places: &[PathBuf]) -> BTreeSet<PathBuf> {
    let pid = std::process::id().to_string();
    places
        .iter()
        .flat_map(|place| std::fs::read_dir(place).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            !name.starts_with("/dev/shm") || name.contains(&pid)
        })
        .collect()
}
