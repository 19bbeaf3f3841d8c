//! Numbers as people write them, wherever the command line takes one.

use crate::shmkv::{create, run};
use crate::support::*;

#[test]
fn every_count_is_taken_with_a_suffix() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "i64", "1k");
    for key in 0..20 {
        run(&["set", name, &key.to_string(), "0"]).fine();
    }
    for limit in ["1e1", "0.01k", "1_0", "10"] {
        for command in ["keys", "scan"] {
            let lines = run(&[command, name, "--limit", limit]).fine();
            assert_eq!(lines.lines().count(), 10, "{command} {limit}");
        }
    }
    let types = ["--key", "u8", "--value", "u8", "--capacity", "2Ki"];
    let size = run(&[&["size", "--json", "--max-writers", "1e2"][..], &types].concat()).fine();
    assert!(size.contains("\"capacity\": 2048"), "{size}");
    assert_eq!(run(&["incr", name, "1", "--by", "1.5k"]).fine(), "1500\n");
    assert_eq!(run(&["incr", name, "1", "--by", "-1e3"]).fine(), "500\n");
    run(&["watch", name, "1", "--count", "0k"]).fine();
}

#[test]
fn what_is_no_count_is_refused_with_the_forms_and_what_was_found() {
    for words in [
        &["keys", "shm:x", "--limit=10q"][..],
        &["scan", "shm:x", "--limit=-1"],
        &["watch", "shm:x", "1", "--count=1.5"],
        &["bench", "--entries=k"],
        &["incr", "shm:x", "1", "--by=1.5"],
        &["cp", "shm:x", "shm:y", "--capacity=1e"],
        &["load", "--create", "shm:x", "--capacity="],
    ] {
        let found = words.last().unwrap().split_once('=').unwrap().1;
        println!("{words:?}");
        run(words).fails(2, &["10_000, 10k, 1e4", found]);
    }
    let too_large = [
        "size",
        "--key=u8",
        "--value=u8",
        "--capacity=1",
        "--max-writers=5G",
    ];
    run(&too_large).fails(2, &["5G", "too large"]);
}
