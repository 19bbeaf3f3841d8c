//! Sequences of operations against a `HashMap`, on maps so small that they get full.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv::Str;
use shmkv_fuzz::{Op, agree};

fuzz_target!(|input: (u8, u8, Vec<Op>)| {
    let (types, capacity, ops) = input;
    let capacity = usize::from(capacity % 100) + 1;
    let ops = &ops[..ops.len().min(60)];
    match types % 4 {
        0 => agree::<u64, u64>(capacity, ops),
        1 => agree::<[u8; 5], ()>(capacity, ops),
        2 => agree::<Str<10>, [bool; 3]>(capacity, ops),
        _ => agree::<u8, [u64; 32]>(capacity, ops),
    }
});
