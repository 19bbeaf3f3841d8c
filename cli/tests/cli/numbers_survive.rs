//! Numbers that JSON and spreadsheets like to lose go through a dump and a load in both formats: beyond
//! 2^53, of 128 bits, NaN with its bits, infinities, minus zero, the smallest and largest floats.

use std::collections::BTreeMap;

use shmkv::schema::Type;
use shmkv::{DynMap, Segment};

use crate::shmkv::{create, feed, run};
use crate::support::*;

const VALUE: &str = "struct { a: u64, b: i64, c: u128, d: i128, e: f32, f: f64, g: [f32; 3], \
                     h: struct { i: f64, j: [u64; 2], k: NonZero<i64> } }";
const SIZE: usize = 8 + 8 + 16 + 16 + 4 + 8 + 12 + 8 + 16 + 8;
const ENTRIES: u64 = 2000;

/// Eight bytes that often are close to where a format changes its mind.
fn word(random: &mut Random) -> u64 {
    let bits = random.next();
    match random.below(10) {
        0 => (1_u64 << 53).wrapping_add(bits % 5).wrapping_sub(2),
        1 => (1_u64 << 63).wrapping_add(bits % 5).wrapping_sub(2),
        2 => (bits % 5).wrapping_sub(2),
        3 => f64::INFINITY.to_bits() | bits & 1 << 63,
        4 => f64::INFINITY.to_bits() | bits & (1 << 63 | 0xFFFF),
        // A NaN, an infinity or a subnormal of each of the two halves.
        5 => 0x7F80_0000_7F80_0000 | bits & 0x8000_FFFF_8000_000F,
        6 => bits & 0x800F_FFFF_807F_FFFF,
        7 => f64::NAN.to_bits(),
        8 => (f64::from(f32::from_bits(bits as u32))).to_bits(),
        _ => bits,
    }
}

fn image(random: &mut Random) -> Vec<u8> {
    let words = std::iter::repeat_with(|| word(random).to_le_bytes());
    let mut image: Vec<u8> = words.flatten().take(SIZE).collect();
    // The last field is not zero.
    image[SIZE - 1] |= 1;
    image
}

fn contents(segment: &Segment) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let map = DynMap::builder().open_read_only(segment.clone()).unwrap();
    let entries = map.iter().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.key, entry.value)).collect()
}

#[test]
fn every_number_keeps_its_bits_in_both_formats() {
    let from = Scratch::shm();
    assert_eq!(Type::parse(VALUE).unwrap().size(), SIZE);
    create(from.segment(), "u64", VALUE, "2000");
    let map = DynMap::builder().open(from.segment().clone()).unwrap();
    let mut random = Random::seeded();
    println!("seed {:#x}", random.0);
    for number in 0..ENTRIES {
        // Keys beyond 2^53 that a double would make one.
        let key = (u64::MAX - number).to_ne_bytes();
        map.insert(&key, &image(&mut random)).unwrap();
    }
    let expected = contents(from.segment());
    assert_eq!(expected.len() as u64, ENTRIES);
    for format in ["jsonl", "csv"] {
        let to = Scratch::shm();
        create(to.segment(), "u64", VALUE, "2000");
        let (source, target) = (from.segment().to_string(), to.segment().to_string());
        let dump = run(&["dump", "--format", format, &source]).fine();
        for word in ["NaN:0x", "inf", "18446744073709551615"] {
            assert!(dump.contains(word), "no {word} in the {format} dump");
        }
        feed(&["load", "--quiet", "--format", format, &target], &dump).fine();
        let found = contents(to.segment());
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "{format}, key {key:?}");
        }
        assert_eq!(found.len(), expected.len(), "{format}");
    }
}
