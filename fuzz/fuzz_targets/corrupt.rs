//! A valid segment, into which somebody writes between operations.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmkv::fuzzing::Words;
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
    let words = Words::of(&map);
    let parts = Parts::of(&words);
    for step in steps {
        match step {
            Step::Scribble(scribble) => parts.scribble(&words, *scribble),
            Step::Use(op) => survive(&map, &map.read_only(), *op),
            Step::Reopen => {
                let opened = Map::builder()
                    .lock_timeout(Duration::ZERO)
                    .open(name_of(&file));
                match opened {
                    Ok(opened) => map = opened,
                    // The header was scribbled over; who had opened the map before goes on.
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
    // A handle for reading, on a mapping of its own, if it still can be opened.
    let reader = Map::builder()
        .open_read_only(name_of(&file))
        .unwrap_or_else(|_| map.read_only());
    for op in Op::EACH {
        survive(&map, &reader, op);
    }
}
