//! Sequences of operations on a cache, against a model that forgets nothing, and (once somebody
//! has written into the segment) against nothing but the demand that they end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv_fuzz::cache::{Step, run};

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (settings, steps) = input;
    run(settings, &steps[..steps.len().min(60)]);
});
