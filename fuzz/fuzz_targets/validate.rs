//! Arbitrary bytes as the header of a segment, and as all of it.
//!
//! The first byte says how honest the rest is: even numbers let it pass magic, byte order,
//! version and checksum, so that the checks behind them are reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv::{Map, Str};
use shmkv_fuzz::{Op, Sample, file_with, name_of, survive};

fuzz_target!(|bytes: &[u8]| {
    let [mode, len, rest @ ..] = bytes else {
        return;
    };
    // Every magnitude.
    let mapped_len = 1u64.unbounded_shl(u32::from(*len) / 4) + u64::from(len % 4);
    let mut header = rest.to_vec();
    if mode % 2 == 0 {
        // Short inputs stand for long headers: zeros behind them are what belongs there.
        header.resize(header.len().max(4096), 0);
        header[24..32].copy_from_slice(&4096u64.to_ne_bytes());
        shmkv::testing::seal(&mut header);
    }
    let total = header.get(32..40).map_or(0, |len| {
        u64::from_ne_bytes(len.try_into().expect("eight bytes"))
    });
    for mapped_len in [mapped_len, total, header.len() as u64, u64::MAX] {
        shmkv::testing::validate(&header, mapped_len);
    }
    if mode % 16 < 2 {
        let file = file_with(&header);
        open::<u8, ()>(&file);
        open::<u64, u64>(&file);
        open::<Str<14>, bool>(&file);
    }
});

/// If the bytes pass as a segment, it can be used.
fn open<K: shmkv::Key + Sample, V: shmkv::Value + Sample>(file: &std::fs::File) {
    match Map::<K, V>::builder().open(name_of(file)) {
        Ok(map) => {
            for op in Op::EACH {
                survive(&map, &map.read_only(), op);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
