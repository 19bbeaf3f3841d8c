//! Writes the seeds: `cargo run --manifest-path fuzz/Cargo.toml --no-default-features --bin seeds`.

mod plans;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use shmkv::format::HashFunction;
use shmkv::{Key, Map, Schema, Segment, Str, Value};
use shmkv_fuzz::segment::file_of;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut count = 0;
    let mut seed = |target: &str, bytes: &[u8]| {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        count += 1;
        fs::write(directory.join(format!("seed-{count:03}")), bytes)
    };

    for hash in [HashFunction::Rapid, HashFunction::Sip] {
        for mode in 0..3 {
            for header in [
                header::<u8, ()>(hash),
                header::<u64, u64>(hash),
                header::<Str<14>, bool>(hash),
                header::<u64, [u64; 100]>(hash),
            ] {
                seed("validate", &[&[mode, 60], &header[..]].concat())?;
            }
        }
    }

    for ty in types() {
        for bytes in [
            &b"\0"[..],
            b"\x01\0\0",
            b"[1, 2, 3]",
            b"{\"a\": 1}",
            b"\"text\"",
        ] {
            // As `arbitrary` takes a text and bytes apart: by the last byte, the length of the text.
            let input = [ty.as_bytes(), bytes, &[ty.len() as u8]].concat();
            if input.len() <= 256 {
                seed("schema", &input)?;
            }
        }
    }

    for name in [
        "shm:quotes",
        "file:/var/cache/q.kv",
        "file:relative",
        "sysv:0x51",
        "sysv:81",
        "sysv:-1",
        "sysv:/etc/hostname#7",
        "sysv:a#b#255",
        "sysv-id:32770",
        "fd:3",
        "memfd:quotes",
        "shm:../x",
        "shm:.",
        "fd:-1",
        "unknown:x",
        "no scheme",
        "sysv:0",
    ] {
        seed("name", name.as_bytes())?;
    }

    for (target, bytes) in plans::all() {
        seed(target, &bytes)?;
    }

    // Structured input is read from any bytes: some lengths of random ones as well.
    let mut state = 1u64;
    for len in [16, 40, 100, 250, 600, 1500] {
        for _ in 0..4 {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            for target in ["ops", "corrupt", "scribble", "cache", "cache_scribble"] {
                seed(target, &bytes)?;
            }
        }
    }
    println!("{count} seeds in {}", corpus.display());
    Ok(())
}

fn types() -> Vec<String> {
    let mut types: Vec<String> = [
        u64::schema(),
        <[u8; 3]>::schema(),
        <Str<9>>::schema(),
        bool::schema(),
        char::schema(),
        f64::schema(),
        <()>::schema(),
        i128::schema(),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    types.extend(
        [
            "struct Quote { bid: f64, ask: f64, side: enum Side: u8 { Bid = 0, Ask = 1 } }",
            "struct { 0: u8, 1: [NonZero<u32>; 4] }",
            "enum E: i16 { A = -300, B, C = 7 }",
            "struct S { a: struct T { b: Bytes<3>, c: Str<200> } }",
        ]
        .map(str::to_owned),
    );
    // As deep as types may be inside each other, and beyond.
    for depth in [16, 17, 18] {
        let (open, close) = ("[".repeat(depth - 1), "; 1]".repeat(depth - 1));
        types.push(format!("{open}u8{close}"));
    }
    types
}

/// The header of a map, as the library writes it.
fn header<K: Key, V: Value>(hash: HashFunction) -> Vec<u8> {
    let map: Map<K, V> = Map::builder()
        .capacity(20)
        .max_writers(3)
        .hash(hash)
        .create(Segment::memfd("seed").expect("a name"))
        .expect("a small segment");
    let mut header = vec![0; 4096];
    file_of(&map)
        .read_exact_at(&mut header, 0)
        .expect("it is that long");
    header
}
