//! Several keys in one call.

use crate::shmkv::{create, run};
use crate::support::*;

#[test]
fn get_takes_several_keys_and_shows_which_are_missing() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "Str<8>", "u8", "10");
        run(&["set", name, "a b", "1"]).fine();
        run(&["set", name, "-3", "2"]).fine();
        assert_eq!(
            run(&["get", name, "-3", "a b", "-3"]).fine(),
            "{\"key\":\"-3\",\"value\":2}\n{\"key\":\"a b\",\"value\":1}\n{\"key\":\"-3\",\"value\":2}\n"
        );
        let some = run(&["get", name, "c", "a b", "d"]);
        assert_eq!(some.code, 1);
        assert_eq!(
            some.stdout,
            "{\"key\":\"c\"}\n{\"key\":\"a b\",\"value\":1}\n{\"key\":\"d\"}\n"
        );
        assert_eq!(
            some.stderr,
            format!("shmkv: {name} has no key c\nshmkv: {name} has no key d\n")
        );
        // One key is what it always was.
        assert_eq!(run(&["get", name, "a b"]).fine(), "1\n");
        run(&["get", name, "c"]).fails(1, &["has no key c"]);
        // A key that is none: nothing is printed of the others.
        run(&["get", name, "a b", "much too long"]).fails(2, &["this is no key"]);
        run(&["get", "--raw", name, "a b", "c"]).fails(2, &["--raw", "one key"]);
    }
}

#[test]
fn times_of_several_keys_are_told_with_their_keys() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let types = ["--key", "u8", "--value", "u8", "--capacity", "10"];
    run(&[&["create", name, "--cache", "-q"][..], &types].concat()).fine();
    run(&["set", name, "1", "1"]).fine();
    run(&["set", name, "2", "1", "--ttl", "1h"]).fine();
    let times = run(&["get", "--ttl", name, "1", "2", "3"]);
    assert_eq!(times.code, 1, "{times:#?}");
    let lines: Vec<serde_json::Value> = times
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0], serde_json::json!({"key": 1, "ttl_ms": null}));
    let left = lines[1]["ttl_ms"].as_u64().unwrap();
    assert!((1..=3_600_100).contains(&left), "{left}");
    assert_eq!(lines[2], serde_json::json!({"key": 3}));
}

#[test]
fn del_takes_several_keys_and_says_which_are_missing() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u64", "u8", "10");
        for key in ["1", "2", "3", "4"] {
            run(&["set", name, key, "1"]).fine();
        }
        assert_eq!(run(&["del", name, "1", "2"]).fine(), "2\n");
        let some = run(&["del", name, "9", "3", "8"]);
        assert_eq!((some.code, &*some.stdout), (1, "1\n"), "{some:#?}");
        assert_eq!(
            some.stderr,
            format!("shmkv: {name} has no key 9\nshmkv: {name} has no key 8\n")
        );
        let none = run(&["del", name, "3"]);
        assert_eq!(
            (none.code, &*none.stdout, &*none.stderr),
            (1, "0\n", ""),
            "{none:#?}"
        );
        // A key that is none: the others stay.
        run(&["del", name, "4", "x"]).fails(2, &["this is no key"]);
        assert_eq!(run(&["del", name, "4"]).fine(), "1\n");
        assert_eq!(run(&["del", name, "--all"]).fine(), "0\n");
    }
}
