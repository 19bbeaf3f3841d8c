//! `dump`, `load` and `cp`: nothing is lost, nothing is changed, also while others write.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use shmkv::{Bytes, Map, Segment, Str};

use crate::shmkv::{binary, feed, run};
use crate::support::*;

#[shmkv::record]
#[derive(Debug, PartialEq)]
struct Order {
    owner: u128,
    price: Price,
    weight: f32,
    mark: char,
    side: Side,
    tags: [Str<5>; 2],
    raw: Bytes<6>,
    is_live: bool,
}

#[shmkv::record]
#[derive(Debug, PartialEq)]
struct Price {
    whole: i64,
    share: f64,
}

#[shmkv::record]
#[derive(Debug, PartialEq)]
enum Side {
    Buy = 3,
    Sell = 100,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    number: u32,
    venue: Str<6>,
}

fn id(number: u32) -> Id {
    Id {
        number,
        venue: Str::new(["A", "B,\"", "\n", "Wien"][number as usize % 4]).unwrap(),
    }
}

/// The order of this number in this version; odd floats included.
fn order(number: u32, version: u64) -> Order {
    let mut random = Random(u64::from(number) << 32 | version);
    let share = match number % 7 {
        0 => f64::NAN,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => f64::from_bits(0x7FF0_0000_0000_0001 | random.next() & 0xFFFF),
        _ => f64::from_bits(random.next() & !(1 << 62)),
    };
    Order {
        price: Price {
            whole: random.next() as i64,
            share,
        },
        side: if random.below(2) == 0 {
            Side::Buy
        } else {
            Side::Sell
        },
        tags: [
            Str::new("x").unwrap(),
            Str::new(["", "\"", "ä,\n"][number as usize % 3]).unwrap(),
        ],
        raw: Bytes::new(&random.next().to_le_bytes()[..number as usize % 5]).unwrap(),
        weight: f32::from_bits(random.next() as u32 & !(1 << 30)),
        is_live: random.below(2) == 0,
        mark: char::from_u32(random.below(0xD800) as u32).unwrap(),
        owner: u128::from(random.next()) << 64 | u128::from(random.next()),
    }
}

fn fill(segment: &Segment, count: u32) -> Map<Id, Order> {
    let map: Map<Id, Order> = Map::builder()
        .capacity(count as usize)
        .create(segment.clone())
        .unwrap();
    for number in 0..count {
        map.insert(id(number), order(number, 0)).unwrap();
    }
    map
}

/// As bytes, since NaN differs from itself.
fn contents(segment: &Segment) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let map = shmkv::DynMap::builder()
        .open_read_only(segment.clone())
        .unwrap();
    map.iter()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.key, entry.value))
        .collect()
}

/// `shmkv dump FROM | shmkv load TO`, as a shell would do it.
fn pipe(dump: &[&str], load: &[&str]) {
    let mut source = Command::new(binary())
        .args(dump)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sink = Command::new(binary())
        .args(load)
        .stdin(source.stdout.take().unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(source.wait().unwrap().success());
    assert!(
        sink.status.success(),
        "{}",
        String::from_utf8_lossy(&sink.stderr)
    );
}

fn round_trip(count: u32) {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    let map = fill(from.segment(), count);
    let is_updated = |number: u32| number.is_multiple_of(10);
    let (source, target) = (from.segment().to_string(), to.segment().to_string());
    // Another process updates every tenth entry all the while.
    let mut updater = Worker::start(child(TEST, "updater", from.segment()));
    updater.expect("ready");
    updater.say("go");
    let start = std::time::Instant::now();
    pipe(&["dump", &source], &["load", "--create", &target]);
    let spent = start.elapsed();
    updater.kill();
    drop(updater);

    let copy: Map<Id, Order> = Map::builder().open(to.segment().clone()).unwrap();
    assert_eq!(copy.len(), count as usize);
    assert_eq!(copy.capacity(), map.capacity());
    let mut updated = 0;
    let copied = contents(to.segment());
    for number in 0..count {
        use zerocopy::IntoBytes;
        let (key, old) = (id(number), order(number, 0));
        let found = &copied[key.as_bytes()];
        if !is_updated(number) {
            assert_eq!(found, old.as_bytes(), "entry {number}");
            continue;
        }
        // Whole: one of the versions that were written, which its weight's place does not tell,
        // but its first field does.
        if found != old.as_bytes() {
            updated += 1;
            let version = (1..=u64::from(u32::MAX)).find(|&version| {
                version > LOOKED_FOR || order(number, version).as_bytes() == found
            });
            assert!(
                version.is_some_and(|version| version <= LOOKED_FOR),
                "entry {number} is a mixture"
            );
        }
    }
    println!("{count} entries in {spent:?}, {updated} of them seen updated, the others identical");
}

/// The updater goes round with at most so many versions.
const LOOKED_FOR: u64 = 8;
const TEST: &str = "transfer::a_dump_loaded_is_the_same_map_while_another_process_updates_it";

/// The form with a million entries: `SHMKV_LONG=1 cargo test --release -p shmkv-cli`.
#[test]
fn a_dump_loaded_is_the_same_map_while_another_process_updates_it() {
    if role().is_some() {
        let map: Map<Id, Order> = Map::builder().open(given_segment()).unwrap();
        ready();
        for version in (1..=LOOKED_FOR).cycle() {
            for number in (0..map.len() as u32).step_by(10) {
                map.insert(id(number), order(number, version)).unwrap();
            }
        }
    }
    round_trip(if long() { 1_000_000 } else { 10_000 });
}

#[test]
fn csv_loaded_is_the_same_map() {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    drop(fill(from.segment(), 3000));
    let (source, target) = (from.segment().to_string(), to.segment().to_string());
    let info: serde_json::Value =
        serde_json::from_str(&run(&["info", "--json", &source]).fine()).unwrap();
    let [key, value] = ["key", "value"].map(|part| info[part].as_str().unwrap().to_owned());
    run(&[
        "create",
        &target,
        "--key",
        &key,
        "--value",
        &value,
        "--capacity",
        "3000",
    ])
    .fine();
    pipe(
        &["dump", "--format", "csv", &source],
        &["load", "--format", "csv", &target],
    );
    assert_eq!(contents(from.segment()), contents(to.segment()));
}

#[test]
fn a_scan_can_be_loaded_and_present_keys_can_be_kept() {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    let map = fill(from.segment(), 100);
    drop(fill(to.segment(), 50));
    let (source, target) = (from.segment().to_string(), to.segment().to_string());
    map.insert(id(7), order(7, 9)).unwrap();
    let scan = run(&["scan", &source]).fine();
    // The target was made for 50, and there is room for 100 only in a larger one.
    let larger = Scratch::shm();
    let name = larger.segment().to_string();
    run(&["cp", &target, &name, "--capacity", "100"]).fine();
    let kept = feed(&["load", "--keep", &name], &scan);
    assert_eq!(kept.code, 0, "{kept:#?}");
    assert!(
        kept.stderr
            .contains("50 entries loaded, 50 left as they were"),
        "{kept:#?}"
    );
    let copy: Map<Id, Order> = Map::builder().open(larger.segment().clone()).unwrap();
    assert_eq!(copy.len(), 100);
    assert_ne!(contents(larger.segment()), contents(from.segment()));
    feed(&["load", "--quiet", &name], &scan).fine();
    assert_eq!(contents(larger.segment()), contents(from.segment()));
}

#[test]
fn a_dump_of_other_types_is_refused_before_its_first_entry() {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    drop(fill(from.segment(), 10));
    let (source, target) = (from.segment().to_string(), to.segment().to_string());
    run(&[
        "create",
        &target,
        "--key",
        "u64",
        "--value",
        "u8",
        "--capacity",
        "10",
    ])
    .fine();
    let dump = run(&["dump", &source]).fine();
    feed(&["load", &target], &dump).fails(2, &["line 1", "struct Id", "u64"]);
    feed(&["load", "--create", &target], &dump).fails(2, &["exists already"]);
    let rest = dump.split_once('\n').unwrap().1;
    let third = Scratch::shm().segment().to_string();
    feed(&["load", "--create", &third], rest).fails(2, &["line 1", "shmkv dump"]);
    feed(&["load", "--create", &third], "").fails(2, &["nothing on stdin"]);
}

#[test]
fn no_progress_bar_is_shown_in_a_pipe() {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    drop(fill(from.segment(), 5000));
    let (source, target) = (from.segment().to_string(), to.segment().to_string());
    let dump = run(&["dump", &source]);
    assert_eq!(dump.stderr, "");
    let load = feed(&["load", "--create", &target], &dump.stdout);
    assert_eq!(
        load.stderr,
        format!("shmkv: {target}: 5,000 entries loaded\n")
    );
    let copy = Scratch::shm().segment().to_string();
    assert_eq!(run(&["cp", "--quiet", &source, &copy]).stderr, "");
    run(&["rm", &copy]).fine();
}
