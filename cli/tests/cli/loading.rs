//! What `load` makes of input that is not as it should be: cut short, of an older type, misspelt, not
//! text at all, or never ending.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shmkv::{Map, Segment};

use crate::shmkv::{binary, command, create, feed, run};
use crate::support::*;

fn second_segment(scratch: &Scratch) -> (Segment, String) {
    let name = format!("{}-2", scratch.segment());
    (name.parse().unwrap(), name)
}

fn exists(name: &str) -> bool {
    run(&["info", name]).code == 0
}

#[test]
fn a_dump_that_was_cut_short_is_told_in_both_formats() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    for key in 0..20 {
        run(&["set", name, &key.to_string(), "1"]).fine();
    }
    for format in ["jsonl", "csv"] {
        let load = |dump: &str, more: &[&str]| {
            let words = [&["load", "-f", format, name], more].concat();
            feed(&words, dump)
        };
        let whole = run(&["dump", "-f", format, name]).fine();
        load(&whole, &[]).fine();
        // In any order: `sort` is a use of a dump.
        if format == "csv" {
            let mut lines: Vec<_> = whole.lines().collect();
            lines[1..].sort_unstable();
            load(&(lines.join("\n") + "\n"), &[]).fine();
        }
        let lines: Vec<_> = whole.split_inclusive('\n').collect();
        for kept in [1, 10, lines.len() - 1] {
            let cut = lines[..kept].concat();
            load(&cut, &[]).fails(2, &["not whole", "--partial"]);
            load(&cut, &["--partial"]).fine();
        }
        // A line that is missing in the middle.
        let holed = [&lines[..5], &lines[6..]].concat().concat();
        load(&holed, &[]).fails(2, &["19 entries were read", "its last line says 20"]);
    }
    // What nobody has dumped needs no end.
    feed(&["load", name], "{\"key\": 1, \"value\": 2}\n").fine();
    feed(&["load", "-f", "csv", name], "key,value\n1,2\n").fine();
}

#[test]
fn times_to_live_survive_in_both_formats() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let cache = [
        "--cache",
        "--capacity",
        "100",
        "-q",
        "--key",
        "u64",
        "--value",
        "u64",
    ];
    run(&[&["create", name][..], &cache].concat()).fine();
    run(&["set", name, "1", "10", "--ttl", "1h"]).fine();
    run(&["set", name, "2", "20"]).fine();
    for format in ["jsonl", "csv"] {
        let dump = run(&["dump", "-f", format, name]).fine();
        let (segment, copy) = second_segment(&scratch);
        run(&[&["create", &copy][..], &cache].concat()).fine();
        feed(&["load", "-f", format, &copy], &dump).fine();
        let again = run(&["dump", "-f", "jsonl", &copy]).fine();
        let left = again
            .lines()
            .filter(|line| line.starts_with("{\"key\""))
            .filter_map(|line| line.split("\"ttl_ms\":").nth(1))
            .map(|rest| {
                rest.split([',', '}'])
                    .next()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .collect::<Vec<_>>();
        assert_eq!(left.len(), 1, "{again}");
        assert!((3_500_000..=3_600_100).contains(&left[0]), "{again}");
        segment.remove().unwrap();
    }
}

#[test]
fn a_misspelt_member_is_told_with_the_one_that_was_meant() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "struct { a: u32, b: u32 }", "100");
    let good = r#"{"key": 1, "value": {"a": 1, "b": 2}}"#;
    for (line, told) in [
        (
            r#"{"key": 1, "value": {"a": 1, "b": 2}, "tll_ms": 5}"#,
            "did you mean \"ttl_ms\"?",
        ),
        (
            r#"{"kee": 1, "value": {"a": 1, "b": 2}}"#,
            "did you mean \"key\"?",
        ),
        (r#"{"key": 1, "value": {"a": 1, "b": 2, "c": 3}}"#, "c"),
        (r#"{"key": 1, "value": {"a": 1}}"#, "b"),
        (r#"[1, 2]"#, "expected {\"key\""),
        (r#"{"key": 1, "value": "#, "column 19"),
    ] {
        let ran = feed(&["load", name], &format!("{good}\n{line}\n"));
        ran.fails(2, &["line 2", told, "1 entries loaded before that"]);
    }
}

#[test]
fn fields_that_a_type_has_got_since_get_their_defaults() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(
        scratch.segment(),
        "u64",
        "struct { a: u32, b: struct { x: u8 } }",
        "100",
    );
    run(&["set", name, "1", r#"{"a":1,"b":{"x":2}}"#]).fine();
    for format in ["jsonl", "csv"] {
        let dump = run(&["dump", "-f", format, name]).fine();
        let (segment, grown) = second_segment(&scratch);
        create(
            &segment,
            "u64",
            "struct { a: u32, b: struct { x: u8, y: Str<4> }, c: f64 }",
            "100",
        );
        let load = |defaults: &[&str]| {
            feed(
                &[&["load", "-f", format, &grown][..], defaults].concat(),
                &dump,
            )
        };
        assert_eq!(load(&[]).code, 2);
        assert_eq!(load(&["--default", "c=1"]).code, 2);
        load(&["--default", "d=1"]).fails(2, &["no field \"d\""]);
        load(&["--default", "c=x"]).fails(2, &["--default c=x"]);
        load(&["--default", "c=0.5", "--default", "b.y=hi"]).fine();
        let value = run(&["get", &grown, "1"]).fine();
        assert_eq!(value.trim_end(), r#"{"a":1,"b":{"x":2,"y":"hi"},"c":0.5}"#);
        segment.remove().unwrap();
    }
}

#[test]
fn a_load_that_fails_leaves_no_segment_that_it_has_created() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    run(&["set", name, "1", "1"]).fine();
    let dump = run(&["dump", name]).fine();
    let (_, copy) = second_segment(&scratch);
    let description = dump.lines().next().unwrap();
    for broken in [
        dump.replace("\"value\":1", "\"value\":-1"),
        format!("{dump}no json\n"),
        format!("{description}\n{{\"key\":1}}\n"),
        format!("{description}\n"),
        description.replace("u64", "u65"),
        String::new(),
    ] {
        let ran = feed(&["load", "--create", &copy], &broken);
        assert_eq!(ran.code, 2, "{broken}: {ran:?}");
        assert!(!exists(&copy), "{broken}");
    }
    // One that is there is not ours to remove.
    feed(&["load", "--create", name], &dump).fails(2, &["exists already"]);
    assert!(exists(name));
    // A signal, while it waits for more.
    let mut load = command(&["load", "--create", &copy])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = load.stdin.take().unwrap();
    writeln!(stdin, "{description}\n{{\"key\":1,\"value\":1}}").unwrap();
    while !exists(&copy) {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&load), Signal::TERM).unwrap();
    assert_eq!(load.wait().unwrap().signal(), Some(15));
    assert!(!exists(&copy));
}

#[test]
fn a_signal_during_a_load_leaves_a_sound_segment_with_what_came_before() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    let map: Map<u64, u64> = Map::builder().open(scratch.segment().clone()).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut load = command(&["load", "-q", name])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = load.stdin.take().unwrap();
        let key = signal.as_raw() as u64;
        writeln!(stdin, "{{\"key\":{key},\"value\":1}}").unwrap();
        while map.get(&key).unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&load), signal).unwrap();
        // Though no end of its input comes.
        assert_eq!(load.wait().unwrap().signal(), Some(signal.as_raw()));
        run(&["check", name]).fine();
    }
    assert_eq!(map.len(), 3);
}

#[test]
fn marks_of_other_systems_are_taken_or_named() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    feed(&["load", "-f", "csv", name], "\u{FEFF}key,value\r\n1,2\r\n").fine();
    feed(&["load", name], "\u{FEFF}{\"key\": 3, \"value\": 4}\r\n").fine();
    assert_eq!(run(&["get", name, "1"]).fine(), "2\n");
    assert_eq!(run(&["get", name, "3"]).fine(), "4\n");
    let mut load = Command::new(binary())
        .args(["load", name])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let wide: Vec<u8> = "\u{FEFF}{\"key\": 3, \"value\": 4}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    load.stdin.take().unwrap().write_all(&wide).unwrap();
    let output = load.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-16"));
}

#[test]
fn a_segment_that_would_end_with_the_command_is_not_created() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "1e2");
    let dump = run(&["dump", name]).fine();
    let told = ["would end with this command", "shm:gone"];
    let types = ["--key", "u64", "--value", "u64", "--capacity", "1k"];
    run(&[&["create", "memfd:gone"][..], &types].concat()).fails(2, &told);
    run(&["cp", name, "memfd:gone"]).fails(2, &told);
    feed(&["load", "--create", "memfd:gone"], &dump).fails(2, &told);
}

#[test]
fn numbers_are_taken_as_people_write_them() {
    for (number, entries) in [
        ("10k", 10_000),
        ("1e4", 10_000),
        ("10_000", 10_000),
        ("4Ki", 4096),
    ] {
        let scratch = Scratch::shm();
        create(scratch.segment(), "u64", "u64", number);
        let map: Map<u64, u64> = Map::builder().open(scratch.segment().clone()).unwrap();
        assert_eq!(map.capacity(), entries, "{number}");
    }
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let wrong = ["--key", "u64", "--value", "u64", "--capacity", "1.5"];
    run(&[&["create", name][..], &wrong].concat()).fails(2, &["no whole number", "10k"]);
}

/// An error of a few lines, in little memory, whatever the input.
#[test]
fn input_that_is_no_dump_at_all_costs_little_and_is_told_briefly() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    for format in ["csv", "jsonl"] {
        for byte in [b'x', b',', b'"', b'[', b'0', b'\0', 0xFF] {
            // What the program and its libraries map, and 64 MiB.
            let limited = "ulimit -v 300000; exec \"$0\" \"$@\"";
            let mut load = Command::new("sh")
                .args(["-c", limited, binary(), "load", "-q", "-f", format, name])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = load.stdin.take().unwrap();
            let feeder = std::thread::spawn(move || {
                // 300 MB, unless it has seen enough before.
                let piece = vec![byte; 1 << 20];
                (0..300).all(|_| stdin.write_all(&piece).is_ok())
            });
            let output = load.wait_with_output().unwrap();
            feeder.join().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            let what = format!("{format}, {:?}: {told}", byte as char);
            assert_eq!(output.status.code(), Some(2), "{what}");
            assert!(
                output.stderr.len() < 1500 && told.contains("line 1"),
                "{what}"
            );
        }
    }
}
