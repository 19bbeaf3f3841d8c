//! Every command on everything that can be wrong: a clear message, the right exit code.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use shmkv::{Map, Segment};

use crate::shmkv::{Ran, binary, create, feed, run};
use crate::support::*;

/// Every command that works on a segment, with arguments that would be right for `u64` to `u64`.
fn commands(name: &str) -> Vec<Vec<String>> {
    let spare = format!("shm:shmkv-it-{}-never", std::process::id());
    [
        &["info", name][..],
        &["info", "--json", name],
        &["rm", name],
        &["chmod", "600", name],
        &["chown", "root", name],
        &["get", name, "1"],
        &["set", name, "1", "2"],
        &["del", name, "1"],
        &["del", name, "--all"],
        &["incr", name, "1"],
        &["exists", name, "1"],
        &["keys", name],
        &["scan", name],
        &["dump", name],
        &["dump", "--format", "csv", name],
        &["load", name],
        &["load", "--format", "csv", name],
        &["cp", name, &spare],
        &["check", name],
        &["check", "--json", name],
        &["repair", name],
        &["top", name],
        &["watch", name, "1"],
    ]
    .iter()
    .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
    .collect()
}

fn run_all(name: &str, mut judge: impl FnMut(&[&str], Ran)) {
    for words in commands(name) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = run(&words);
        judge(&words, ran);
    }
}

#[test]
fn a_missing_segment_is_named_and_exits_with_2() {
    for scratch in Scratch::each() {
        let name = scratch.segment().to_string();
        run_all(&name, |words, ran| {
            println!("{words:?}");
            ran.fails(2, &[&name, "does not exist"]);
        });
        assert!(!scratch.segment().exists().unwrap(), "nothing was created");
    }
}

#[test]
fn another_programs_file_is_not_touched() {
    let scratch = Scratch::shm();
    let content = b"this is somebody's diary\n".repeat(400);
    std::fs::write(scratch.path(), &content[..8192]).unwrap();
    let name = scratch.segment().to_string();
    run_all(&name, |words, ran| {
        println!("{words:?}");
        ran.fails(2, &[&name, "belongs to another program"]);
    });
    assert_eq!(std::fs::read(scratch.path()).unwrap(), &content[..8192]);
    // Too short even for a header, and not a whole number of words.
    for (len, words) in [
        (100, "at least 4096"),
        (5001, "8-byte words"),
        (0, "at least 4096"),
    ] {
        std::fs::write(scratch.path(), vec![b'x'; len]).unwrap();
        run_all(&name, |command, ran| {
            println!("{command:?}");
            ran.fails(2, &[&name, words]);
        });
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let scratch = Scratch::file();
    std::fs::create_dir(scratch.path()).unwrap();
    let name = scratch.segment().to_string();
    run_all(&name, |words, ran| {
        println!("{words:?}");
        ran.fails(2, &[&name, "directory"]);
    });
}

#[test]
fn names_that_name_nothing_are_refused_with_the_forms() {
    for name in ["quotes", "shm:", "shm:a/b", "file:", "sysv:x", "nfs:x"] {
        run_all(name, |words, ran| {
            println!("{words:?}");
            ran.fails(2, &[name]);
        });
    }
    run(&["get", "quotes", "1"]).fails(2, &["shm:NAME", "sysv:KEY"]);
}

/// A segment of ten entries whose header has one byte changed.
fn with_corrupt_header() -> Scratch {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "10");
    let file = File::options().write(true).open(scratch.path()).unwrap();
    file.write_all_at(&[0xEE], 130).unwrap();
    scratch
}

#[test]
fn a_corrupt_header_is_found_by_check_and_stops_all_others() {
    let scratch = with_corrupt_header();
    let before = std::fs::read(scratch.path()).unwrap();
    let name = scratch.segment().to_string();
    run_all(&name, |words, ran| {
        println!("{words:?}");
        if words[0] == "check" {
            assert_eq!(ran.code, 1, "{ran:#?}");
            assert!(ran.stdout.contains("the header was damaged"), "{ran:#?}");
            assert_eq!(ran.stderr, "");
        } else {
            ran.fails(2, &[&name, "the header was damaged"]);
        }
    });
    assert_eq!(std::fs::read(scratch.path()).unwrap(), before);
    // It is listed, as what it is, and can be removed by force.
    let list = run(&["ls"]).fine();
    let line = list.lines().find(|line| line.starts_with(&name)).unwrap();
    assert!(line.contains("damaged"), "{line}");
    run(&["rm", "--force", &name]).fine();
    assert!(!scratch.segment().exists().unwrap());
}

#[test]
fn a_segment_that_was_cut_short_is_damage_too() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "1000");
    File::options()
        .write(true)
        .open(scratch.path())
        .unwrap()
        .set_len(8192)
        .unwrap();
    let name = scratch.segment().to_string();
    let ran = run(&["check", &name]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    run(&["get", &name, "1"]).fails(2, &["it was truncated"]);
}

#[test]
fn a_segment_of_another_layout_version_is_refused_by_its_number() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "10");
    let file = File::options().write(true).open(scratch.path()).unwrap();
    file.write_all_at(&77_u32.to_ne_bytes(), 12).unwrap();
    let name = scratch.segment().to_string();
    run_all(&name, |words, ran| {
        println!("{words:?}");
        ran.fails(2, &[&name, "layout version 77"]);
    });
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can make a segment of another user");
    }
    is_root
}

#[test]
fn a_segment_of_another_user_needs_to_be_asked_for() {
    if !is_root() {
        return;
    }
    for scratch in Scratch::each() {
        create(scratch.segment(), "u64", "u64", "10");
        scratch
            .segment()
            .set_permissions(None, Some(4711), Some(4711))
            .unwrap();
        let name = scratch.segment().to_string();
        run_all(&name, |words, ran| {
            println!("{words:?}");
            ran.fails(2, &[&name, "belongs to uid 4711", "--any-owner"]);
        });
        run(&["--any-owner", "set", &name, "1", "2"]).fine();
        assert_eq!(run(&["get", &name, "1", "--any-owner"]).fine(), "2\n");
        // Files are found where one says to look.
        let listed = match name.strip_prefix("file:") {
            Some(path) => {
                let directory = std::path::Path::new(path).parent().unwrap();
                run(&["ls", directory.to_str().unwrap()])
            }
            None => run(&["ls"]),
        };
        assert!(listed.fine().contains(&name));
    }
}

#[test]
fn a_segment_that_may_not_be_read_says_whose_it_is() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "10");
    let name = scratch.segment().to_string();
    // A copy that the other user may run.
    let directory = tempfile::tempdir().unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), permissions).unwrap();
    let copy = directory.path().join("shmkv");
    std::fs::copy(binary(), &copy).unwrap();
    for words in commands(&name) {
        let mut command = Command::new(&copy);
        command.args(&words).uid(65534).gid(65534);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(
            stderr.contains(&name)
                && (stderr.contains("ermission denied") || stderr.contains("belongs to uid 0")),
            "{words:?}: {stderr}"
        );
    }
    assert!(scratch.segment().exists().unwrap());
}

#[test]
fn a_full_map_takes_no_new_key_and_everything_else_works() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u64, u64> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    let keys = (0..)
        .take_while(|&key| map.insert(key, key).is_ok())
        .count() as u64;
    let absent = keys.to_string();
    for words in [&["set", name, &absent, "1"][..], &["incr", name, &absent]] {
        run(words).fails(2, &[name, "no room for another key", "10 entries"]);
    }
    let line = format!("{{\"key\":{absent},\"value\":1}}\n");
    let present = "{\"key\":0,\"value\":7}\n";
    feed(&["load", name], &format!("{present}{line}")).fails(
        2,
        &[
            "line 2",
            "no room for another key",
            "1 entries loaded before that",
        ],
    );
    run(&["set", name, "1", "5"]).fine();
    assert_eq!(run(&["incr", name, "1"]).fine(), "6\n");
    assert_eq!(run(&["get", name, "0"]).fine(), "7\n");
    assert_eq!(run(&["keys", name]).fine().lines().count() as u64, keys);
    run(&["check", name]).fine();
    run(&["info", name]).fine();
    let copy = Scratch::shm();
    run(&["cp", name, &copy.segment().to_string(), "--capacity", "100"]).fine();
    assert_eq!(run(&["del", name, "3"]).fine(), "1\n");
    run(&["set", name, &absent, "1"]).fine();
}

#[test]
fn a_wrong_type_is_answered_with_the_schema() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(
        scratch.segment(),
        "struct { id: u16, side: enum: u8 { Bid, Ask } }",
        "struct { n: i8, t: Str<3> }",
        "10",
    );
    let (key, value) = ("id=1,side=Bid", "n=1,t=abc");
    for bad in [
        "7",
        "id=1",
        "id=70000,side=Bid",
        "id=1,side=Buy",
        "id=1,side=Bid,x=1",
        "{\"id\":",
    ] {
        for words in [
            &["get", name, bad][..],
            &["set", name, bad, value],
            &["del", name, bad],
            &["incr", name, bad, "--field", "n"],
            &["exists", name, bad],
            &["watch", name, bad],
        ] {
            println!("{words:?}");
            run(words).fails(2, &["no key of", name, "id: u16", "Ask = 1"]);
        }
    }
    for bad in ["7", "n=200,t=a", "n=1,t=abcd", "n=1", "n=1,t=a,t=b", "{}"] {
        run(&["set", name, key, bad]).fails(2, &["no value of", name, "n: i8", "t: Str<3>"]);
        run(&["set", name, key, value, "--if-value", bad]).fails(2, &["n: i8"]);
    }
    for bad in [
        "{\"key\":1,\"value\":1}",
        "{\"key\":{\"id\":1,\"side\":\"Bid\"},\"value\":1}",
    ] {
        feed(&["load", name], bad).fails(2, &["line 1", "does not fit"]);
    }
    for bad in ["[]", "{\"key\":{\"id\":1,\"side\":\"Bid\"}}", "{"] {
        feed(&["load", name], bad).fails(2, &["line 1"]);
    }
    let csv = |text: &str| feed(&["load", "--format", "csv", name], text);
    csv("key.id,key.side,value.n\n").fails(2, &["line 1", "no column \"value.t\""]);
    csv("key.id,key.side,value.n,value.t,x\n").fails(2, &["line 1", "\"x\"", "value.t"]);
    csv("key.id,key.side,value.n,value.t\n1,Bid,999,a\n").fails(2, &["line 2", "value.n", "i8"]);
    csv("key.id,key.side,value.n,value.t\n1,Bid,9\n").fails(2, &["line 2"]);
    assert_eq!(run(&["scan", name]).fine(), "");
}

#[test]
fn a_segment_cannot_be_created_to_impossible_wishes() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let create = |key: &str, value: &str, capacity: &str| {
        run(&[
            "create",
            name,
            "--key",
            key,
            "--value",
            value,
            "--capacity",
            capacity,
        ])
    };
    create("f64", "u8", "10").fails(2, &["floats are no keys"]);
    create("u8", "u8", "0").fails(2, &["capacity is 0"]);
    create("usize", "u8", "1").fails(2, &["usize", "fixed width"]);
    create("u8", "[u8; 100000]", "1").fails(2, &["too large", "65536"]);
    create("u8", "u8", "-1").fails(2, &["-1"]);
    create("u8", "[u8; 60000]", "1000000000").fails(2, &[name, "no space"]);
    create("u8", "struct { a: u8, a: u8 }", "1").fails(2, &["`a` again"]);
    assert!(!scratch.segment().exists().unwrap());
    create("u8", "u8", "1").fine();
    create("u8", "u8", "1").fails(2, &[name, "exists already"]);
    run(&["size", "--key", "u8", "--value", "u8", "--capacity", "0"]).fails(2, &["capacity is 0"]);
}

/// A writer that was killed while it held the lock of a bucket.
fn with_killed_writer(scratch: &Scratch) -> u32 {
    const TEST: &str = "failures::a_segment_whose_writer_was_just_killed_is_served_and_repaired";
    let map: Map<u64, [u64; 2048]> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(1, [0; 2048]).unwrap();
    let mut worker = Worker::start(child(TEST, "writer", scratch.segment()));
    worker.expect("ready");
    worker.say("go");
    let pid = rustix::process::Pid::from_raw(worker.pid()).unwrap();
    let is_held = |map: &Map<u64, [u64; 2048]>| {
        let check = map.check();
        check.problems.iter().any(|problem| {
            matches!(problem, shmkv::Problem::Locked { owner, .. } if owner.pid() == Some(worker.pid() as u32))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // Stopped when /proc says so; then nothing moves.
        while !std::fs::read_to_string(format!("/proc/{}/stat", worker.pid()))
            .unwrap()
            .contains(") T ")
        {
            std::thread::yield_now();
        }
        if is_held(&map) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the writer was never met with its lock held"
        );
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    let number = worker.pid() as u32;
    worker.kill();
    drop(worker);
    number
}

#[test]
fn a_segment_whose_writer_was_just_killed_is_served_and_repaired() {
    if role().is_some() {
        let map: Map<u64, [u64; 2048]> = Map::builder().open(given_segment()).unwrap();
        ready();
        for round in 0.. {
            map.insert(1, [round; 2048]).unwrap();
        }
    }
    let scratch = Scratch::shm();
    let pid = with_killed_writer(&scratch);
    let name = &scratch.segment().to_string();
    // Readers do not mind, and tell.
    let value: Value = serde_json::from_str(&run(&["get", name, "1"]).fine()).unwrap();
    let value = value.as_array().unwrap();
    assert!(value.iter().all(|it| *it == value[0]), "a whole value");
    for words in [
        &["scan", name][..],
        &["dump", name],
        &["keys", name],
        &["exists", name, "1"],
    ] {
        run(words).fine();
    }
    let info = run(&["info", name]).fine();
    assert!(
        info.contains("1 registered, 1 of them dead") && info.contains(&pid.to_string()),
        "{info}"
    );
    let check = run(&["check", name]);
    assert_eq!(check.code, 1, "{check:#?}");
    assert!(check.stdout.contains("1 slots, 1 locks"), "{check:#?}");
    assert!(
        check.stdout.contains(&format!("process {pid}")),
        "{check:#?}"
    );
    let copy = Scratch::shm();
    run(&["cp", name, &copy.segment().to_string()]).fine();
    run(&["check", &copy.segment().to_string()]).fine();
    // A command that writes there takes over.
    run(&["del", name, "1"]).fine();
    let repair = run(&["repair", name]).fine();
    assert!(repair.contains("1 slots of dead writers freed"), "{repair}");
    run(&["check", name]).fine();

    // Repair alone, and it says what it did.
    scratch.segment().remove().unwrap();
    let pid = with_killed_writer(&scratch);
    let repair = run(&["repair", name]).fine();
    assert!(
        repair.contains("1 locks of dead writers released"),
        "{repair}"
    );
    assert!(repair.contains(&format!("process {pid}")), "{repair}");
    run(&["check", name]).fine();

    // The dead are no reason to refuse.
    scratch.segment().remove().unwrap();
    with_killed_writer(&scratch);
    run(&["rm", name]).fine();
    assert!(!scratch.segment().exists().unwrap());
}

#[test]
fn garbage_is_found_by_check_told_by_readers_and_thrown_out_by_repair() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "bool", "10");
    run(&["set", name, "1", "true"]).fine();
    run(&["set", name, "12345678", "true"]).fine();
    let file = File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap();
    let parts = Parts::of(&file);
    let slot = (parts.buckets..parts.end)
        .step_by(8)
        .find(|&at| read_word(&file, at) == 12_345_678)
        .unwrap();
    file.write_all_at(&[0x1B], slot + 8).unwrap();
    run(&["get", name, "12345678"]).fails(2, &["garbage", "bool"]);
    let scan = run(&["scan", name]);
    assert_eq!(
        (scan.code, &*scan.stdout),
        (1, "{\"key\":1,\"value\":true}\n")
    );
    assert!(scan.stderr.contains("garbage"), "{scan:#?}");
    assert_eq!(run(&["check", name]).code, 1);
    let repair = run(&["repair", name]).fine();
    assert!(repair.contains("1 entries of garbage removed"), "{repair}");
    run(&["check", name]).fine();
    assert_eq!(run(&["get", name, "1"]).fine(), "true\n");
}

#[test]
fn hostile_names_and_text_do_not_reach_the_terminal() {
    // The escape, a bell, and a character that turns the direction of text around.
    let hostile = "\x1b]0;owned\x07\u{202e}\u{9b}2J";
    let name = format!("shm:shmkv-it-{}-{hostile}", std::process::id());
    let segment: Segment = name.parse().unwrap();
    create(&segment, "Str<40>", "Str<40>", "10");
    run(&["set", &name, hostile, hostile]).fine();
    let is_bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    let absent = format!("{name}-absent");
    for words in [
        &["ls"][..],
        &["ls", "--json"],
        &["info", &name],
        &["info", "--json", &name],
        &["get", &name, hostile],
        &["get", &name, "absent"],
        &["scan", &name],
        &["keys", &name],
        &["dump", &name],
        &["check", &name],
        &["check", "--json", &name],
        &["repair", &name],
        &["gc"],
        &["gc", "--json"],
        &["get", &absent, "1"],
        &["incr", &name, hostile],
    ] {
        let ran = run(words);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(is_bad), "{words:?} prints {text:?}");
        }
    }
    // Yet it is all there.
    let json: Value = serde_json::from_str(&run(&["get", &name, hostile]).fine()).unwrap();
    assert_eq!(json, hostile);
    segment.remove().unwrap();
}
