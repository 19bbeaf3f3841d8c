//! A cache, into whose segment somebody writes between operations and during them.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmkv::fuzzing::Handle;
use shmkv::{Cache, Key, Str, Value};
use shmkv_fuzz::cache_op::cache_bound;
use shmkv_fuzz::strike::Attacker;
use shmkv_fuzz::{
    CacheOp, Parts, Sample, Scribble, Strike, Times, file_of_cache, name_of, new_cache,
    survive_cache,
};

#[derive(Arbitrary, Debug)]
enum Step {
    Scribble(Scribble),
    Use(CacheOp),
    /// Words are rewritten meanwhile.
    Attack(CacheOp, Vec<Strike>, bool),
    /// Time passes.
    Wait(u8),
    /// A process that comes later.
    Reopen,
}

fuzz_target!(|input: (u8, u8, Times, Vec<Step>)| {
    let (types, capacity, times, steps) = input;
    let capacity = usize::from(capacity % 80) + 1;
    let steps = &steps[..steps.len().min(30)];
    match types % 2 {
        0 => run::<u64, u64>(capacity, times, steps),
        _ => run::<Str<6>, [bool; 20]>(capacity, times, steps),
    }
});

fn run<K: Key + Sample, V: Value + Sample>(capacity: usize, times: Times, steps: &[Step]) {
    let mut cache: Cache<K, V> = new_cache(capacity, times);
    let file = file_of_cache(&cache);
    let reader = Cache::<K, V>::builder()
        .open_read_only(name_of(&file))
        .expect("it was just made");
    survive_cache(&cache, &reader, CacheOp::Fill(0, 39, 5));
    let words = cache.words();
    let parts = Parts::of(&words);
    for step in steps {
        match step {
            Step::Scribble(scribble) => parts.scribble(&words, *scribble),
            Step::Use(op) => survive_cache(&cache, &reader, *op),
            Step::Attack(op, strikes, again) => {
                let attacker = Attacker::new(words.clone(), parts, strikes, *again);
                let mappings = vec![cache.words(), reader.words()];
                let bound = cache_bound(words.stated());
                attacker.watch(mappings, (*op, bound), || {
                    survive_cache(&cache, &reader, *op);
                });
            }
            Step::Wait(ms) => std::thread::sleep(Duration::from_millis(u64::from(ms % 3))),
            Step::Reopen => {
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
