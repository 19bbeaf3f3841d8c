//! Operations on a map, while words are rewritten between their accesses, by a schedule.
//!
//! What a peer can do at any moment, but deterministic: the schedule says before which access which
//! word is rewritten. Each operation must end within the bound that is stated for it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv::testing::Handle;
use shmkv::{Key, Map, Str, Value};
use shmkv_fuzz::plan::ScribblePlan;
use shmkv_fuzz::{Parts, Sample, new_map};

fuzz_target!(|plan: ScribblePlan| {
    let capacity = usize::from(plan.capacity % 60) + 1;
    match plan.types % 2 {
        0 => scribble::<u64, u64>(capacity, &plan),
        _ => scribble::<Str<6>, [bool; 20]>(capacity, &plan),
    }
});

fn scribble<K: Key + Sample, V: Value + Sample>(capacity: usize, plan: &ScribblePlan) {
    let map: Map<K, V> = new_map(capacity);
    let reader = Map::<K, V>::builder()
        .open_read_only(map.segment().clone())
        .expect("it was just made");
    for key in 0..u16::from(plan.entries) {
        if map.insert(K::sample(key), V::sample(key)).is_err() {
            break;
        }
    }
    let words = map.words();
    let parts = Parts::of(&words);
    for scribble in plan.before.iter().take(8) {
        parts.scribble(&words, *scribble);
    }
    for attack in plan.attacks.iter().take(12) {
        attack.run(&map, &reader, parts);
    }
}
