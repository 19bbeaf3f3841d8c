//! What each command does when all is well.

use serde_json::{Value, json};
use shmkv::{Map, Segment, Str};

use crate::shmkv::{command, commands_of_the_help, create, feed, run};
use crate::support::*;

const QUOTE: &str = "struct Quote { bid: f64, ask: f64, side: enum: u8 { Bid, Ask } }";

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn values_are_set_and_got_in_every_form_that_the_help_names() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u64", QUOTE, "100");
        for (key, value) in [
            ("1", "bid=1.0,ask=2.5,side=Ask"),
            ("0x2", "bid=1 ask=2.5 side=Ask"),
            ("3", r#"{"side": "Ask", "ask": 2.5, "bid": 1}"#),
        ] {
            assert_eq!(run(&["set", name, key, value]).fine(), "");
            assert_eq!(
                run(&["get", name, key]).fine(),
                "{\"bid\":1.0,\"ask\":2.5,\"side\":\"Ask\"}\n"
            );
        }
        assert_eq!(run(&["exists", name, "2"]).fine(), "true\n");
        assert_eq!(run(&["del", name, "2"]).fine(), "1\n");
        let absent = run(&["exists", name, "2"]);
        assert_eq!((absent.code, &*absent.stdout), (1, "false\n"));
        run(&["get", name, "2"]).fails(1, &["has no key 2"]);
        let nothing = run(&["del", name, "2"]);
        assert_eq!((nothing.code, &*nothing.stdout), (1, "0\n"));
        assert_eq!(run(&["del", name, "--all"]).fine(), "2\n");
    }
}

#[test]
fn what_a_program_with_types_stores_is_shown_and_changed() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<Str<8>, [i16; 2]> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(Str::new("a b").unwrap(), [1, -2]).unwrap();
    assert_eq!(run(&["get", name, "a b"]).fine(), "[1,-2]\n");
    assert_eq!(run(&["keys", name]).fine(), "\"a b\"\n");
    assert_eq!(
        run(&["scan", name]).fine(),
        "{\"key\":\"a b\",\"value\":[1,-2]}\n"
    );
    run(&["set", name, "a b", "[3, 4]"]).fine();
    assert_eq!(map.get(&Str::new("a b").unwrap()).unwrap(), Some([3, 4]));
}

#[test]
fn set_can_depend_on_what_is_there() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "i32", "10");
    run(&["set", name, "1", "--if-absent", "-5"]).fine();
    run(&["set", name, "1", "6", "--if-absent"]).fails(1, &["has key 1 already"]);
    run(&["set", name, "1", "7", "--if-value", "6"]).fails(1, &["has another value"]);
    run(&["set", name, "1", "7", "--if-value", "-5"]).fine();
    run(&["set", name, "2", "7", "--if-value", "0"]).fails(1, &["has another value"]);
    assert_eq!(run(&["scan", name]).fine(), "{\"key\":1,\"value\":7}\n");
}

#[test]
fn incr_adds_to_numbers_and_to_fields_and_refuses_to_overflow() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "u8", "10");
    assert_eq!(run(&["incr", name, "1"]).fine(), "1\n");
    assert_eq!(run(&["incr", name, "1", "--by", "254"]).fine(), "255\n");
    run(&["incr", name, "1"]).fails(2, &["key 1 is 255, and 1 more is no u8"]);
    run(&["incr", name, "2", "--by", "-1"]).fails(2, &["key 2 is 0, and -1 more is no u8"]);
    assert_eq!(run(&["get", name, "1"]).fine(), "255\n");
    assert_eq!(run(&["exists", name, "2"]).code, 1);

    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let ty = "struct { a: struct { n: i64, w: u128 }, t: Str<4> }";
    create(scratch.segment(), "u8", ty, "10");
    let add = |field: &str, by: &str| run(&["incr", name, "1", "--field", field, "--by", by]);
    add("a.n", "1").fails(2, &["has no key 1", "set it first"]);
    run(&[
        "set",
        name,
        "1",
        r#"{"a": {"n": -3, "w": "340282366920938463463374607431768211454"}, "t": "x"}"#,
    ])
    .fine();
    assert_eq!(add("a.n", "5").fine(), "2\n");
    assert_eq!(
        add("a.w", "1").fine(),
        "340282366920938463463374607431768211455\n"
    );
    add("a.w", "1").fails(2, &["is no u128"]);
    assert_eq!(
        add("a.w", "-1").fine(),
        "340282366920938463463374607431768211454\n"
    );
    add("t", "1").fails(2, &["no integer", "Str<4>"]);
    add("a.x", "1").fails(2, &["no field \"x\"", "w: u128"]);
    run(&["incr", name, "1"]).fails(2, &["no integer"]);
}

#[test]
fn keys_and_scans_can_be_narrowed() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "Str<16>", "()", "100");
    for number in 0..20 {
        run(&["set", name, &format!("/{}/{number}", number % 2), "()"]).fine();
    }
    let keys = run(&["keys", name, "--prefix", "/1/"]).fine();
    assert_eq!(keys.lines().count(), 10);
    assert!(keys.lines().all(|line| line.starts_with("\"/1/")), "{keys}");
    assert_eq!(
        run(&["keys", name, "--limit", "3"]).fine().lines().count(),
        3
    );
    let scan = run(&["scan", name, "--prefix", "/0/", "--limit", "4"]).fine();
    assert_eq!(scan.lines().count(), 4);
    for line in scan.lines() {
        let line = parse(line);
        assert!(line["key"].as_str().unwrap().starts_with("/0/") && line["value"].is_null());
    }
}

#[test]
fn raw_values_have_no_quotes() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "Str<20>", "10");
    run(&["set", name, "1", "two words"]).fine();
    assert_eq!(run(&["get", name, "1"]).fine(), "\"two words\"\n");
    assert_eq!(run(&["get", "--raw", name, "1"]).fine(), "two words");
}

#[test]
fn negative_keys_and_values_need_nothing_special() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "i64", "i64", "10");
    run(&["set", name, "-1", "-5"]).fine();
    assert_eq!(run(&["get", name, "-1"]).fine(), "-5\n");
    assert_eq!(run(&["incr", name, "-1", "--by", "-2"]).fine(), "-7\n");
    assert_eq!(run(&["exists", name, "-1"]).fine(), "true\n");
    let watched = run(&["watch", name, "-1", "--count", "1"]).fine();
    assert_eq!(watched, "-7\n");
    let deleted = run(&["del", name, "-1", "-2"]);
    assert_eq!((deleted.code, &*deleted.stdout), (1, "1\n"));
    // What looks like an option is still none that anybody knows.
    run(&["get", name, "--nothing"]).fails(2, &["--nothing"]);
}

#[test]
fn bytes_are_taken_as_hexadecimal_and_as_base64() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(
        scratch.segment(),
        "Bytes<4>",
        "struct { b: Bytes<4>, h: [u8; 2] }",
        "10",
    );
    run(&["set", name, "base64:AP8=", "b=base64:aGk= h=base64:AQI="]).fine();
    let expected = "{\"key\":\"00ff\",\"value\":{\"b\":\"6869\",\"h\":[1,2]}}\n";
    assert_eq!(run(&["scan", name]).fine(), expected);
    assert_eq!(
        run(&["get", name, "0x00FF"]).fine(),
        run(&["get", name, "00ff"]).fine()
    );
    let line = "{\"key\":\"base64:AP8=\",\"value\":{\"b\":\"base64:\",\"h\":\"0304\"}}\n";
    feed(&["load", name], line).fine();
    let expected = "{\"key\":\"00ff\",\"value\":{\"b\":\"\",\"h\":[3,4]}}\n";
    assert_eq!(run(&["scan", name]).fine(), expected);
    run(&["get", name, "AP8="]).fails(2, &["hexadecimal digits", "base64:", "Bytes<4>"]);
}

#[test]
fn ls_shows_what_there_is_and_its_json_means_the_same() {
    let shm = Scratch::shm();
    let sysv = Scratch::sysv();
    let file = Scratch::file();
    for scratch in [&shm, &sysv, &file] {
        create(scratch.segment(), "u64", QUOTE, "1000");
        run(&[
            "set",
            &scratch.segment().to_string(),
            "1",
            "bid=1,ask=2,side=Bid",
        ])
        .fine();
    }
    let directory = file.path().parent().unwrap().to_str().unwrap().to_owned();
    let text = run(&["ls", &directory]).fine();
    let json = parse(&run(&["ls", &directory, "--json"]).fine());
    for scratch in [&shm, &sysv, &file] {
        let name = scratch.segment().to_string();
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(&name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        assert!(line.contains(" map ") && line.contains(" u64 ") && line.contains("rw-------"));
        let found = json
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == name.as_str());
        let found = found.unwrap_or_else(|| panic!("no {name} in {json:#}"));
        assert_eq!(found["entries"], 1);
        assert_eq!(found["capacity"], 1000);
        assert_eq!(found["mode"], "600");
        assert_eq!(found["writers"], 0);
        assert_eq!(
            found["value"],
            QUOTE.replace("{ Bid, Ask }", "{ Bid = 0, Ask = 1 }")
        );
    }
    assert!(!run(&["ls"]).fine().contains(&file.segment().to_string()));
}

#[test]
fn info_shows_everything_that_its_json_says() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u32, [u64; 3]> = Map::builder()
        .capacity(500)
        .max_writers(9)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..100 {
        map.insert(key, [1; 3]).unwrap();
    }
    let json = parse(&run(&["info", name, "--json"]).fine());
    let stats = map.stats();
    assert_eq!(json["segment"], name.as_str());
    assert_eq!(json["kind"], "map");
    assert_eq!(json["key"], "u32");
    assert_eq!(json["value"], "[u64; 3]");
    assert_eq!(json["entries"], 100);
    assert_eq!(json["capacity"], 500);
    assert_eq!(json["slots"], stats.slots);
    assert_eq!(json["bytes"], stats.bytes);
    assert_eq!(json["occupancy"], json!(stats.occupancy));
    assert_eq!(json["max_writers"], 9);
    assert_eq!(json["creator_pid"], std::process::id());
    assert_eq!(json["of_this_boot"], true);
    let resident = json["resident_bytes"].as_u64().unwrap();
    assert!(resident > 0 && resident <= stats.bytes.next_multiple_of(4096));
    let writers = json["writers"].as_array().unwrap();
    assert_eq!(writers.len(), 1, "{json:#}");
    assert_eq!(writers[0]["pid"], std::process::id());
    assert_eq!(writers[0]["state"], "alive");
    let text = run(&["info", name]).fine();
    for words in [
        "100 of 500 promised (20.0 %)",
        "[u64; 3]",
        "1 registered, 0 of them dead",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn a_created_segment_is_what_was_asked_for() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let size = run(&[
        "size",
        "--json",
        "--key",
        "u64",
        "--value",
        QUOTE,
        "--capacity",
        "5000",
    ]);
    let size = parse(&size.fine())["bytes"].as_u64().unwrap();
    run(&[
        "create",
        name,
        "--key",
        "u64",
        "--value",
        QUOTE,
        "--capacity",
        "5000",
        "--mode",
        "640",
        "--hash",
        "sip",
    ])
    .fine();
    let metadata = std::fs::metadata(scratch.path()).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o640);
    assert_eq!(metadata.len(), size);
    let json = parse(&run(&["info", name, "--json"]).fine());
    assert_eq!(json["hash"], "SipHash-1-3");
    assert_eq!(json["capacity"], 5000);
    assert_eq!(json["bytes"], size);
}

#[test]
fn chmod_and_chown_change_who_may_open_it() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u8", "u8", "10");
        run(&["chmod", "640", name]).fine();
        assert_eq!(scratch.segment().metadata().unwrap().mode, 0o640);
        run(&["chmod", "1777", name]).fails(2, &["octal"]);
        if rustix::process::geteuid().is_root() {
            run(&["chown", "4711:4712", name]).fine();
            let metadata = scratch.segment().metadata().unwrap();
            assert_eq!((metadata.uid, metadata.gid), (4711, 4712));
            run(&["--any-owner", "chown", "root", name]).fine();
            assert_eq!(scratch.segment().metadata().unwrap().uid, 0);
        }
    }
}

#[test]
fn rm_removes_with_all_that_belongs_to_it() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u8", "u8", "10");
        // A writer on System V leaves a lock file.
        run(&["set", name, "1", "1"]).fine();
        let id = parse(&run(&["info", name, "--json"]).fine())["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let lock_file = std::path::PathBuf::from(format!("/dev/shm/.shmkv-{id}.lock"));
        assert_eq!(
            lock_file.exists(),
            matches!(scratch.segment(), Segment::SysV(_))
        );
        run(&["rm", name]).fine();
        assert!(!scratch.segment().exists().unwrap());
        assert!(!lock_file.exists());
    }
}

#[test]
fn rm_refuses_while_a_writer_lives_and_obeys_force() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u8, u8> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(1, 1).unwrap();
    let pid = std::process::id().to_string();
    run(&["rm", name]).fails(2, &["in use by", &pid, "--force"]);
    assert!(scratch.segment().exists().unwrap());
    run(&["rm", "--force", name]).fine();
    assert!(!scratch.segment().exists().unwrap());
}

#[test]
fn gc_says_first_and_then_removes_what_nobody_needs() {
    let left = Scratch::shm();
    let used = Scratch::shm();
    let read = Scratch::shm();
    let left_sysv = Scratch::sysv();
    for scratch in [&left, &used, &read, &left_sysv] {
        // By a process that is gone.
        create(scratch.segment(), "u8", "u8", "10");
    }
    let writer: Map<u8, u8> = Map::builder().open(used.segment().clone()).unwrap();
    writer.insert(1, 1).unwrap();
    let reader = Map::<u8, u8>::builder()
        .open_read_only(read.segment().clone())
        .unwrap();
    let own = Scratch::shm();
    let creator: Map<u8, u8> = Map::builder()
        .capacity(1)
        .create(own.segment().clone())
        .unwrap();
    drop(creator);
    let names = |value: &Value| -> Vec<String> {
        let name = |it: &Value| it["name"].as_str().unwrap().to_owned();
        value.as_array().unwrap().iter().map(name).collect()
    };
    let say = run(&["gc", "--json", "--older-than", "0s"]).fine();
    let said = parse(&say);
    assert_eq!(said["dry_run"], true);
    for (scratch, goes) in [
        (&left, true),
        (&left_sysv, true),
        (&used, false),
        (&read, false),
    ] {
        let name = scratch.segment().to_string();
        assert_eq!(
            names(&said["removed"]).contains(&name),
            goes,
            "{name} in {say}"
        );
        assert_eq!(
            names(&said["kept"]).contains(&name),
            !goes,
            "{name} in {say}"
        );
        assert!(scratch.segment().exists().unwrap(), "only said");
    }
    assert!(
        names(&said["kept"]).contains(&own.segment().to_string()),
        "its creator lives"
    );
    let young = parse(&run(&["gc", "--json"]).fine());
    assert!(
        names(&young["kept"]).contains(&left.segment().to_string()),
        "younger than an hour"
    );
    // Really removed only in a directory of our own: other tests have segments as well.
    let file = Scratch::file();
    create(file.segment(), "u8", "u8", "10");
    let directory = file.path().parent().unwrap().to_str().unwrap().to_owned();
    let text = run(&["gc", &directory, "--older-than", "0s"]).fine();
    assert!(
        text.contains(&format!("would remove {}", file.segment())),
        "{text}"
    );
    assert!(text.contains("nothing was removed: say --yes"), "{text}");
    drop((writer, reader));
}

#[test]
fn completions_and_manual_pages_are_made_from_the_help() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).fine();
        assert!(script.contains("repair"), "{shell}");
    }
    let page = run(&["man"]).fine();
    assert!(page.contains(".TH shmkv 1") && page.contains("EXIT") | page.contains("Exit codes"));
    let directory = tempfile::tempdir().unwrap();
    run(&["man", "--directory", directory.path().to_str().unwrap()]).fine();
    let pages = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(pages > 20, "{pages} pages");
}

#[test]
fn every_command_has_an_example_in_its_help() {
    for name in &commands_of_the_help() {
        let help = run(&[name, "--help"]).fine();
        assert!(help.contains("Example"), "{name}: {help}");
        assert!(
            help.contains(&format!("\n  shmkv {name}")),
            "{name}: {help}"
        );
        assert_eq!(run(&["help", name]).fine(), help);
    }
}

#[test]
fn bench_measures_and_leaves_nothing_behind() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let words = [
        "bench",
        name,
        "--entries",
        "1000",
        "--time",
        "10ms",
        "--value",
        "[f64; 3]",
    ];
    let text = run(&words).fine();
    assert!(
        text.contains("1,000 entries of 8 + 24 bytes, measured as 8 + 32"),
        "{text}"
    );
    for name in [
        "get",
        "get of an absent key",
        "insert over a present key",
        "remove, insert",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "no {name:?} in {text}"
        );
        assert!(text.contains(&format!("latency of {name}, ns")), "{text}");
    }
    assert!(!scratch.segment().exists().unwrap());
    let mut words = words.to_vec();
    words.push("--json");
    let json = parse(&run(&words).fine());
    for operation in json["operations"].as_array().unwrap() {
        let ns = operation["ns_per_operation"].as_f64().unwrap();
        assert!(ns > 0.1 && ns < 1e8, "{operation}");
        assert!(operation["p50"].as_u64() <= operation["max"].as_u64());
    }
}

#[test]
fn watch_prints_each_value_that_it_meets() {
    use std::io::{BufRead, BufReader};
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u8, u32> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    let mut child = command(&["watch", name, "7", "--interval", "1ms", "--count", "4"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "absent");
    map.insert(7, 1).unwrap();
    assert_eq!(next(), "1");
    map.insert(7, 2).unwrap();
    assert_eq!(next(), "2");
    let _ = map.remove(&7).unwrap();
    assert_eq!(next(), "absent");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_broken_pipe_is_silent() {
    use std::process::Stdio;
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u32, [u64; 8]> = Map::builder()
        .capacity(20_000)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..20_000 {
        map.insert(key, [u64::MAX; 8]).unwrap();
    }
    for words in [
        &["scan", name][..],
        &["dump", name],
        &["dump", "--format", "csv", name],
        &["keys", name],
    ] {
        let mut child = command(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before or while it writes.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn check_and_repair_find_nothing_in_a_sound_segment() {
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u8", "u8", "10");
        run(&["set", name, "1", "1"]).fine();
        let text = run(&["check", name]).fine();
        assert!(text.ends_with("\nsound\n"), "{text}");
        let json = parse(&run(&["check", "--json", name]).fine());
        assert_eq!(
            (&json["sound"], &json["entries"]),
            (&json!(true), &json!(1))
        );
        let text = run(&["repair", name]).fine();
        assert!(text.contains("0 locks of dead writers released"), "{text}");
        let json = parse(&run(&["repair", "--json", name]).fine());
        assert_eq!(
            (&json["released"], &json["invalid_removed"]),
            (&json!(0), &json!(0))
        );
    }
}

#[test]
fn cp_copies_into_another_kind_and_another_size() {
    let from = Scratch::shm();
    create(from.segment(), "u64", QUOTE, "100");
    let rows: String = (0..100)
        .map(|n| {
            format!("{{\"key\":{n},\"value\":{{\"bid\":{n}.5,\"ask\":1.0,\"side\":\"Bid\"}}}}\n")
        })
        .collect();
    feed(&["load", &from.segment().to_string()], &rows).fine();
    for to in [Scratch::shm(), Scratch::file(), Scratch::sysv()] {
        let (source, target) = (from.segment().to_string(), to.segment().to_string());
        run(&["cp", &source, &target, "--capacity", "5000"]).fine();
        let sorted = |name: &str| {
            let text = run(&["scan", name]).fine();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&source), sorted(&target));
        assert_eq!(sorted(&source).len(), 100);
        assert_eq!(
            parse(&run(&["info", "--json", &target]).fine())["capacity"],
            5000
        );
        run(&["cp", &source, &target]).fails(2, &["exists already"]);
        // A copy that does not fit leaves nothing behind.
        to.segment().remove().unwrap();
        run(&["cp", &source, &target, "--capacity", "1"]).fails(2, &["no room"]);
        assert!(!to.segment().exists().unwrap());
    }
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_behind() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};
    let (from, to) = (Scratch::shm(), Scratch::shm());
    let map: Map<u32, [u64; 16]> = Map::builder()
        .capacity(200_000)
        .create(from.segment().clone())
        .unwrap();
    for key in 0..200_000 {
        map.insert(key, [7; 16]).unwrap();
    }
    let names = [&from, &to].map(|scratch| scratch.segment().to_string());
    for signal in [Signal::INT, Signal::TERM] {
        let mut copy = command(&["cp", &names[0], &names[1]])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&copy);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !to.segment().exists().unwrap() {
            assert!(Instant::now() < deadline, "it never began");
            std::thread::yield_now();
        }
        kill_process(pid, signal).unwrap();
        let status = copy.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(!to.segment().exists().unwrap(), "half a copy was left");
    }
}

#[test]
fn a_cache_is_created_filled_shown_dumped_and_copied() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    run(&[
        "create",
        name,
        "--key",
        "Str<20>",
        "--value",
        "u64",
        "--capacity",
        "50",
        "--cache",
        "--ttl",
        "5m",
    ])
    .fine();
    for number in 0..200 {
        run_quietly(name, number);
    }
    run(&["set", name, "short", "7", "--ttl", "90s"]).fine();
    let left: u64 = run(&["get", name, "short", "--ttl"])
        .fine()
        .trim()
        .parse()
        .unwrap();
    // An entry ends up to a tick (5 ms here) after its time, never before.
    assert!(left > 1000 && left <= 90_000 + 20, "{left}");
    assert_eq!(run(&["incr", name, "short"]).fine(), "8\n");
    let after: u64 = run(&["get", name, "short", "--ttl"])
        .fine()
        .trim()
        .parse()
        .unwrap();
    assert!(after <= left, "{left} ms, then {after}");

    let info = parse(&run(&["info", "--json", name]).fine());
    assert_eq!(info["kind"], "cache");
    assert_eq!(info["cache"]["ttl_ms"], 300_000);
    assert!(info["entries"].as_u64().unwrap() <= 50, "{info:#}");
    assert!(
        info["cache"]["evicted_for_room"].as_u64().unwrap() > 0,
        "{info:#}"
    );
    let text = run(&["info", name]).fine();
    for words in [
        "to live 5m",
        "hit ratio",
        "evicted for room",
        "of 50 at most",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(run(&["check", name]).fine().ends_with("sound\n"));

    // Copied and loaded with their times.
    let dump = run(&["dump", name]).fine();
    assert!(
        dump.lines()
            .filter(|line| !line.starts_with("{\"shmkv\""))
            .all(|line| line.contains("\"ttl_ms\":")),
        "{dump}"
    );
    for way in ["load", "cp"] {
        let copy = Scratch::shm();
        let target = &copy.segment().to_string();
        match way {
            "load" => feed(&["load", "--create", target], &dump).fine(),
            _ => run(&["cp", name, target]).fine(),
        };
        let keys = |name: &str| {
            let text = run(&["keys", name]).fine();
            text.lines()
                .map(str::to_owned)
                .collect::<std::collections::BTreeSet<_>>()
        };
        // A bucket of the copy may have no room where one of the original had.
        assert!(keys(target).is_subset(&keys(name)));
        let copied = parse(&run(&["info", "--json", target]).fine());
        assert_eq!(copied["cache"]["ttl_ms"], 300_000);
        if run(&["exists", target, "short"]).code == 0 {
            let ttl: u64 = run(&["get", target, "short", "--ttl"])
                .fine()
                .trim()
                .parse()
                .unwrap();
            assert!(ttl <= after, "{way}: {after} ms, then {ttl}");
        }
    }
    run(&[
        "create",
        "memfd:x",
        "--key",
        "u8",
        "--value",
        "u8",
        "--capacity",
        "1",
        "--ttl",
        "1s",
    ])
    .fails(2, &["--cache"]);
    let map = Scratch::shm();
    create(map.segment(), "u8", "u8", "1");
    run(&["set", &map.segment().to_string(), "1", "1", "--ttl", "1s"])
        .fails(2, &["no time to live"]);
}

fn run_quietly(name: &str, number: u32) {
    run(&["set", name, &format!("k{number}"), "1"]).fine();
}
