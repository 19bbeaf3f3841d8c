//! A valid segment, into which somebody writes between operations.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmkv::{Key, Map, Str, Value};
use shmkv_fuzz::{Op, Parts, Sample, Scribble, file_of, name_of, new_map, survive};

#[derive(Arbitrary, Debug)]
enum Step {
    Scribble(Scribble),
    Use(Op),
    /// A process that comes later.
    Reopen,
}

fuzz_target!(|input: (u8, u8, u8, Vec<Step>)| {
    let (types, capacity, entries, steps) = input;
    let capacity = usize::from(capacity % 80) + 1;
    let steps = &steps[..steps.len().min(40)];
    match types % 4 {
        0 => corrupt::<u64, u64>(capacity, entries, steps),
        1 => corrupt::<Str<6>, [bool; 20]>(capacity, entries, steps),
        2 => corrupt::<u64, ()>(capacity, entries, steps),
        _ => corrupt::<[u8; 5], [u64; 9]>(capacity, entries, steps),
    }
});

fn corrupt<K: Key + Sample, V: Value + Sample>(capacity: usize, entries: u8, steps: &[Step]) {
    let mut map: Map<K, V> = new_map(capacity);
    for key in 0..u16::from(entries) {
        if map.insert(K::sample(key), V::sample(key)).is_err() {
            break;
        }
    }
    let file = file_of(&map);
    let parts = Parts::of(&file);
    for step in steps {
        match step {
            Step::Scribble(scribble) => parts.scribble(&file, *scribble),
            Step::Use(op) => survive(&map, *op),
            Step::Reopen => {
                map = Map::builder()
                    .lock_timeout(std::time::Duration::from_micros(200))
                    .open(name_of(&file))
                    .expect("the header is as it was");
            }
        }
    }
    for op in [
        Op::Get(0),
        Op::GetMany(0, 40),
        Op::Insert(0, 1),
        Op::TryInsert(1, 1),
        Op::Update(2, 1),
        Op::Remove(3),
        Op::Iterate,
        Op::Stats,
        Op::Clear,
    ] {
        survive(&map, op);
    }
}
