//! Many operations in one process.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shmkv::Map;

use crate::shmkv::{command, create, feed, run};
use crate::support::*;

#[test]
fn a_batch_answers_each_line_with_a_line() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        let ty = "struct { n: i64, t: Str<16> }";
        create(scratch.segment(), "Str<16>", ty, "100");
        let commands = "\u{feff}# how it begins\r
set 'a b' 'n=1,t=\"x y\"'\r
\r
get \"a b\" # once more
incr a\\ b --field n --by -1.5k
get absent
set 'a b' --if-absent n=9,t=z
set c --if-absent '{\"n\": 2, \"t\": \"@\"}'
set c n=3,t=w --if-value n=2,t=@
set c n=4,t=w --if-value n=2,t=@
get 'a b' nothing c
del c nothing
del c
get c --ttl
  del --all";
        let ran = feed(&["batch", name], commands);
        let expected = [
            "ok",
            "{\"n\":1,\"t\":\"x y\"}",
            "-1499",
            "absent",
            "unchanged",
            "ok",
            "ok",
            "unchanged",
            "{\"key\":\"a b\",\"value\":{\"n\":-1499,\"t\":\"x y\"}}",
            "{\"key\":\"nothing\"}",
            "{\"key\":\"c\",\"value\":{\"n\":3,\"t\":\"w\"}}",
            "1",
            "0",
            "absent",
            "1",
        ];
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
        // Some did not find their key.
        assert_eq!((ran.code, &*ran.stderr), (1, ""), "{ran:#?}");
        assert_eq!(run(&["keys", name]).fine(), "");
        assert_eq!(feed(&["batch", name], "").fine(), "");
        assert_eq!(feed(&["batch", name], "set a n=1,t=").fine(), "ok\n");
    }
}

/// Each with what is told of it.
const WRONG: [(&str, &str); 12] = [
    ("set 1 x", "this is no value"),
    ("get x", "this is no key"),
    ("incr 1 --by 1e40", "too large"),
    ("incr 3 --field a", "no field"),
    ("keys", "expected get, set, del or incr, found \"keys\""),
    ("'' 1", "expected get, set, del or incr, found \"\""),
    ("get", "KEY"),
    ("get 1 --raw", "--raw"),
    ("get --help", "unexpected argument '--help' found\n"),
    ("set 1 -", "stdin has the commands"),
    ("set 1 @/nowhere/at/all", "cannot read /nowhere/at/all"),
    ("set 1 'a", "within quotes"),
];

#[test]
fn a_batch_ends_at_the_first_line_that_fails_and_names_it() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    for (line, told) in WRONG {
        println!("{line}");
        run(&["set", name, "1", "0"]).fine();
        let ran = feed(&["batch", name], &format!("\nset 1 1\n{line}\nset 1 2\n"));
        assert_eq!((ran.code, &*ran.stdout), (2, "ok\nerror\n"), "{ran:#?}");
        assert!(ran.stderr.starts_with("shmkv: line 3: "), "{ran:#?}");
        assert!(ran.stderr.contains(told), "{ran:#?}");
        assert_eq!(run(&["get", name, "1"]).fine(), "1\n");
    }
}

#[test]
fn a_batch_that_keeps_going_does_all_the_others() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    let mut commands = String::from("set 1 0\n");
    for (line, _) in WRONG {
        commands += &format!("{line}\nincr 1\n");
    }
    let ran = feed(&["batch", "--keep-going", name], &commands);
    assert_eq!(ran.code, 2);
    let answers: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(answers.len(), 1 + 2 * WRONG.len(), "{ran:#?}");
    for (i, (line, told)) in WRONG.iter().enumerate() {
        assert_eq!(answers[1 + 2 * i], "error", "{line}");
        assert_eq!(answers[2 + 2 * i], (i + 1).to_string(), "{line}");
        let number = format!("shmkv: line {}: ", 2 + 2 * i);
        let about = ran.stderr.lines().find(|line| line.starts_with(&number));
        assert!(about.unwrap().contains(told.trim_end()), "{line}: {ran:#?}");
    }
    // Text that is none.
    let mut child = command(&["batch", "--keep-going", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"get \xff\nset 1 5\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"error\nok\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 1: expected text in UTF-8"));
}

#[test]
fn a_line_longer_than_any_command_ends_a_batch() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    let long = format!("set 1 1\nset 2 {}\nset 3 3\n", "0".repeat(1 << 20));
    let ran = feed(&["batch", "--keep-going", name], &long);
    assert_eq!((ran.code, &*ran.stdout), (2, "ok\n"), "{ran:#?}");
    assert!(ran.stderr.starts_with("shmkv: line 2: "), "{ran:#?}");
    assert!(ran.stderr.contains("longer than"), "{ran:#?}");
    assert!(ran.stderr.len() < 300, "{ran:#?}");
    run(&["get", name, "3"]).fails(1, &["has no key 3"]);
}

#[test]
fn a_batch_answers_before_it_waits_for_more_and_notices_what_happened_meanwhile() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    let map: Map<u64, u64> = Map::builder().open(scratch.segment().clone()).unwrap();
    let mut child = command(&["batch", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for round in 1..4 {
        stdin.write_all(b"incr 1\nget 1\n").unwrap();
        for _ in 0..2 {
            assert_eq!(answers.next().unwrap().unwrap(), round.to_string());
        }
        assert_eq!(map.get(&1).unwrap(), Some(round));
    }
    // What is set in a segment without a name is lost.
    scratch.segment().remove().unwrap();
    let _ = stdin.write_all(b"incr 1\n");
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("removed"), "{told}");
    assert_eq!(map.get(&1).unwrap(), Some(3));
}

#[test]
fn a_batch_ends_by_a_signal_and_when_nobody_reads_its_answers() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "100");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut child = command(&["batch", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        stdin.write_all(b"set 1 1\n").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), "ok");
        // It waits for more.
        kill_process(Pid::from_child(&child), signal).unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it went on");
            std::thread::sleep(Duration::from_millis(5));
        };
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(signal.as_raw()));
    }
    assert!(run(&["check", name]).fine().ends_with("sound\n"));

    let mut child = command(&["batch", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"set 1 7\n");
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    // Other lines might have been left undone: that is told, unlike for commands that only show.
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("nobody reads the answers"), "{told}");
}
