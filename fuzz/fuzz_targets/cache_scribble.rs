//! A cache, into whose segment somebody writes between operations and during them.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shmkv::testing::Handle;
use shmkv::{Cache, Key, Str, Value};
use shmkv_fuzz::plan::{CachePlan, CacheStep};
use shmkv_fuzz::strike::Attacker;
use shmkv_fuzz::survive_cache::cache_bound;
use shmkv_fuzz::{CacheOp, Parts, Sample, file_of_cache, name_of, new_cache, survive_cache};

fuzz_target!(|plan: CachePlan| {
    match plan.types % 2 {
        0 => run::<u64, u64>(&plan),
        _ => run::<Str<6>, [bool; 20]>(&plan),
    }
});

fn run<K: Key + Sample, V: Value + Sample>(plan: &CachePlan) {
    let capacity = usize::from(plan.capacity % 80) + 1;
    let mut cache: Cache<K, V> = new_cache(capacity, plan.times);
    let file = file_of_cache(&cache);
    let reader = Cache::<K, V>::builder()
        .open_read_only(name_of(&file))
        .expect("it was just made");
    survive_cache(&cache, &reader, CacheOp::Fill(0, 39, 5));
    let words = cache.words();
    let parts = Parts::of(&words);
    for step in plan.steps.iter().take(30) {
        match step {
            CacheStep::Scribble(scribble) => parts.scribble(&words, *scribble),
            CacheStep::Use(op) => survive_cache(&cache, &reader, *op),
            CacheStep::Attack { op, strikes, again } => {
                let attacker = Attacker::new(words.clone(), parts, strikes, *again);
                let mappings = vec![cache.words(), reader.words()];
                let bound = cache_bound(words.step_bounds());
                attacker.watch(mappings, (*op, bound), || {
                    survive_cache(&cache, &reader, *op);
                });
            }
            CacheStep::Wait(ms) => std::thread::sleep(Duration::from_millis(u64::from(ms % 3))),
            CacheStep::Reopen => {
                let opened = Cache::builder()
                    .lock_timeout(Duration::ZERO)
                    .load_timeout(Duration::ZERO)
                    .sync_on_close(false)
                    .open(name_of(&file));
                match opened {
                    Ok(opened) => cache = opened,
                    // The header was scribbled over; who had opened the cache before goes on.
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
    for op in CacheOp::EACH {
        survive_cache(&cache, &reader, op);
    }
}
