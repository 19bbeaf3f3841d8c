//! A valid segment, into which somebody writes between operations, and processes that come later:
//! in the same boot, or after a crash of the machine, when what is left is sorted out.

#![no_main]

use std::fs::File;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shmkv::testing::Handle;
use shmkv::restart::CrashPolicy;
use shmkv::{Key, Map, OpenError, Str, Value};
use shmkv_fuzz::plan::{CorruptPlan, CorruptStep};
use shmkv_fuzz::{Op, Parts, Sample, file_of, name_of, new_map, new_map_on_disk, survive};

fuzz_target!(|plan: CorruptPlan| {
    match plan.types % 3 {
        0 => corrupt::<u64, u64>(&plan),
        1 => corrupt::<Str<6>, [bool; 20]>(&plan),
        _ => corrupt::<[u8; 5], ()>(&plan),
    }
});

fn reopen<K: Key, V: Value>(file: &File, after: CrashPolicy) -> Result<Map<K, V>, OpenError> {
    Map::builder()
        .lock_timeout(Duration::ZERO)
        .sync_on_close(false)
        .after_machine_crash(after)
        // What says in which file it was made may be invalid as well, and so may participants.
        .adopt_copy(true)
        .assume_unknown_writers_dead(true)
        .open(name_of(file))
}

fn corrupt<K: Key + Sample, V: Value + Sample>(plan: &CorruptPlan) {
    let capacity = usize::from(plan.capacity % 80) + 1;
    let steps = &plan.steps[..plan.steps.len().min(40)];
    // A disk is slow, and of interest only where the machine is said to have crashed.
    let mut map: Map<K, V> = match steps.iter().any(|step| matches!(step, CorruptStep::Reboot)) {
        true => new_map_on_disk(capacity),
        false => new_map(capacity),
    };
    for key in 0..u16::from(plan.entries) {
        if map.insert(K::sample(key), V::sample(key)).is_err() {
            break;
        }
    }
    let file = file_of(&map);
    let words = map.words();
    let parts = Parts::of(&words);
    let header: Vec<u64> = (0..parts.header()).map(|index| words.load(index)).collect();
    for step in steps {
        match step {
            CorruptStep::Scribble(scribble) => parts.scribble(&words, *scribble),
            CorruptStep::Use(op) => survive(&map, &map.read_only(), *op),
            CorruptStep::Reopen => {
                match reopen(&file, CrashPolicy::Refuse) {
                    Ok(opened) => map = opened,
                    // The header was scribbled over; who had opened the map before goes on.
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
            CorruptStep::Reboot => {
                // The header as it was, but of another boot, and no record of an admission.
                for (index, word) in shmkv::testing::of_another_boot(&header).iter().enumerate() {
                    words.store(index, *word);
                }
                (0..24).for_each(|word| words.store(parts.header() + word, 0));
                // A live handle would disprove it.
                words.give_up_locks();
                map.words().give_up_locks();
                map = reopen(&file, CrashPolicy::Salvage).expect("the header is in order");
                let salvage = map.salvage().expect("it had to be sorted out");
                let check = map.check();
                assert!(check.is_sound() && check.is_quiet, "{salvage}, {check}");
                assert_eq!(salvage.kept, map.len() as u64);
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
