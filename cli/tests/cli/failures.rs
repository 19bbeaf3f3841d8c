//! Every command on everything that can be wrong: a clear message, the right exit code.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;
use shmkv::{Map, Segment};

use crate::holder;
use crate::shmkv::{Ran, binary, command, commands_of_the_help, create, feed, run};
use crate::support::*;

/// Commands that are not among those of [`commands`], and why.
const APART: [(&str, &str); 7] = [
    ("ls", "it shows whatever it meets: see below"),
    ("gc", "likewise"),
    (
        "create",
        "it wants what is missing, and leaves alone what is there: see below",
    ),
    ("bench", "likewise: it creates a segment of its own"),
    ("size", "it has to do with no segment"),
    ("completions", "likewise"),
    ("man", "likewise"),
];

#[test]
fn every_command_meets_everything_that_can_be_wrong_or_is_apart_for_a_reason() {
    let mut met: Vec<String> = commands("shm:x").iter().map(|it| it[0].clone()).collect();
    met.extend(APART.iter().map(|(name, _)| (*name).to_owned()));
    met.sort_unstable();
    met.dedup();
    let mut all = commands_of_the_help();
    all.sort_unstable();
    assert_eq!(met, all);
    assert_eq!(all.len(), 26);
}

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
        &["batch", name],
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

/// Runs every command on a segment that can be used, those last that empty or remove it, and
/// judges the exit code; `top` finds no terminal, and `watch` ends with its first line. Before each,
/// `prepare` makes the segment what it is to be.
fn run_all_on_usable(name: &str, mut prepare: impl FnMut(), codes: impl Fn(&str) -> i32) {
    let mut all = commands(name);
    all.sort_by_key(|words| match &*words[0] {
        "rm" => 3,
        "del" => 1 + i32::from(words.contains(&"--all".to_owned())),
        _ => 0,
    });
    for mut words in all {
        prepare();
        match &*words[0] {
            "watch" => words.extend(["--count".to_owned(), "1".to_owned()]),
            "cp" => drop(words[2].parse::<Segment>().unwrap().remove()),
            _ => {}
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        println!("{words:?}");
        let ran = match words[..] {
            // CSV without a line of column names is none.
            ["load", "--format", "csv", _] => {
                let dump = run(&["dump", "--format", "csv", name]).fine();
                let names = dump.lines().next().unwrap();
                feed(&words, names.trim_end_matches(",#end"))
            }
            _ => run(&words),
        };
        match words[0] {
            "top" => ran.fails(2, &["needs a terminal"]),
            command => assert_eq!(ran.code, codes(command), "{ran:#?}"),
        }
        if words[0] == "cp" {
            words[2].parse::<Segment>().unwrap().remove().unwrap();
        }
    }
    assert!(
        !name.parse::<Segment>().unwrap().exists().unwrap(),
        "removed"
    );
}

#[test]
fn a_missing_segment_is_named_and_exits_with_2() {
    for scratch in Scratch::each() {
        let name = scratch.segment().to_string();
        run_all(&name, |words, ran| {
            println!("{words:?}");
            ran.fails(2, &[&name, "does not exist", "shmkv ls", "shmkv create"]);
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
fn nobody_is_told_to_remove_a_file_that_is_not_ours() {
    let scratch = Scratch::file();
    let mut random = Random(29);
    for len in [0, 1, 1327, 4095, 4096, 5001, 8192, 1 << 20] {
        let content: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        std::fs::write(scratch.path(), &content).unwrap();
        let name = scratch.segment().to_string();
        run_all(&name, |words, ran| {
            println!("{len}: {words:?}");
            ran.clone().fails(2, &[&name]);
            for advice in ["remove it", "removes", "--force", "create it"] {
                assert!(!ran.stderr.contains(advice), "{advice:?}: {ran:#?}");
            }
        });
        let rm = run(&["rm", &name]);
        rm.fails(2, &["nothing was removed"]);
        // Nor by those who would like to have its name.
        let spare = Scratch::shm();
        create(spare.segment(), "u8", "u8", "1");
        let spare = spare.segment().to_string();
        for words in [
            &[
                "create",
                &name,
                "--key",
                "u8",
                "--value",
                "u8",
                "--capacity",
                "1",
            ][..],
            &["bench", &name],
            &["cp", &spare, &name],
        ] {
            let ran = run(words);
            ran.clone().fails(
                2,
                &[&name, "is not a segment of shmkv: choose another name"],
            );
            assert!(!ran.stderr.contains(" rm "), "{ran:#?}");
        }
        assert_eq!(std::fs::read(scratch.path()).unwrap(), content);
    }
}

#[test]
fn a_segment_without_a_free_writer_slot_says_who_has_them() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let map: Map<u64, u64> = Map::builder()
        .capacity(10)
        .max_writers(1)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(1, 1).unwrap();
    for words in [&["set", name, "1", "2"][..], &["repair", name]] {
        let ran = run(words);
        let info = format!("`shmkv info {name}`");
        ran.clone().fails(
            2,
            &[name, "1 writer slots", "handles", &info, "--max-writers"],
        );
        assert!(!ran.stderr.contains("`max_writers`"), "{ran:#?}");
    }
    let info = run(&["info", name]).fine();
    assert!(
        info.contains(&format!("process {}", std::process::id())),
        "{info}"
    );
}

#[test]
fn an_error_is_broken_between_words_on_a_terminal_and_stays_one_line_in_a_pipe() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    let mut get = crate::terminal::Session::start_sized(&["get", name, "1"], 24, 50);
    assert_eq!(get.end_restored().code(), Some(2));
    let shown = get.written();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines.len() > 1 && lines.iter().all(|line| line.len() <= 50),
        "{shown}"
    );
    let piped = run(&["get", name, "1"]).stderr;
    assert_eq!(piped.lines().count(), 1);
    assert_eq!(lines.join(" "), piped.trim_end());
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
    // Full again, and that is no reason for anything else to fail. (Not `rm`: we are a writer.)
    drop(map);
    run_all_on_usable(name, || (), |_| 0);
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

#[test]
fn a_segment_whose_writer_was_just_killed_is_served_and_repaired() {
    const TEST: &str = "failures::a_segment_whose_writer_was_just_killed_is_served_and_repaired";
    if role().is_some() {
        holder::write_for_ever();
    }
    let scratch = Scratch::shm();
    let pid = holder::killed(TEST, &scratch);
    let name = &scratch.segment().to_string();
    // Readers do not mind, and tell.
    let value: Value = serde_json::from_str(&run(&["get", name, "1"]).fine()).unwrap();
    let rest = value["rest"].as_array().unwrap();
    assert!(rest.iter().all(|it| *it == value["n"]), "a whole value");
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
    // That is everyday: a note.
    let check = run(&["check", name]).fine();
    for words in [
        "1 slots and 1 locks",
        "\nsound\n",
        &format!("process {pid}"),
    ] {
        assert!(check.contains(words), "no {words:?} in {check}");
    }
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
    let pid = holder::killed(TEST, &scratch);
    let repair = run(&["repair", name]).fine();
    assert!(
        repair.contains("1 locks of dead writers released"),
        "{repair}"
    );
    assert!(repair.contains(&format!("process {pid}")), "{repair}");
    run(&["check", name]).fine();

    // Dead processes are no reason to refuse.
    scratch.segment().remove().unwrap();
    holder::killed(TEST, &scratch);
    run(&["rm", name]).fine();
    assert!(!scratch.segment().exists().unwrap());
}

#[test]
fn every_command_does_its_work_when_a_writer_was_just_killed() {
    const TEST: &str = "failures::every_command_does_its_work_when_a_writer_was_just_killed";
    if role().is_some() {
        holder::write_for_ever();
    }
    let scratch = Scratch::shm();
    let name = scratch.segment().to_string();
    let prepare = || {
        let _ = scratch.segment().remove();
        holder::killed(TEST, &scratch);
    };
    run_all_on_usable(&name, prepare, |command| match command {
        // The value is a struct: they are run with the right words below.
        "set" | "incr" => 2,
        _ => 0,
    });
    let rest = vec!["7"; 2047].join(",");
    let value = format!("{{\"n\":7,\"rest\":[{rest}]}}");
    for words in [
        &["set", &name, "1", &value][..],
        &["incr", &name, "1", "--field", "n"],
    ] {
        prepare();
        run(words).fine();
        run(&["repair", &name]).fine();
        run(&["check", &name]).fine();
    }
}

/// Files that are no usable segments, in a directory of their own: what they are, the file, and the
/// kind that `ls` shows, if it shows them.
fn unusable(directory: &std::path::Path) -> Vec<(&'static str, Segment, Option<&'static str>)> {
    let make = |what: &'static str, kind| {
        let path = directory.join(what);
        let segment: Segment = format!("file:{}", path.display()).parse().unwrap();
        (what, segment, kind)
    };
    let all = vec![
        make("foreign", None),
        make("corrupt", Some("damaged")),
        make("other-version", Some("version")),
        make("short", Some("damaged")),
    ];
    for (what, segment, _) in &all {
        let path = directory.join(what);
        if *what == "foreign" {
            std::fs::write(&path, [b'x'; 8192]).unwrap();
            continue;
        }
        create(segment, "u64", "u64", "100");
        let file = File::options().write(true).open(&path).unwrap();
        match *what {
            "corrupt" => file.write_all_at(&[0xEE], 130).unwrap(),
            "short" => file.set_len(8192).unwrap(),
            _ => file.write_all_at(&77_u32.to_ne_bytes(), 12).unwrap(),
        }
    }
    all
}

#[test]
fn ls_and_gc_show_what_cannot_be_used_and_create_and_bench_leave_it_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let all = unusable(directory.path());
    let list = run(&["ls", path]).fine();
    let json: Value = serde_json::from_str(&run(&["ls", path, "--json"]).fine()).unwrap();
    let gc = run(&["gc", path, "--older-than", "0s"]).fine();
    for (what, segment, kind) in all {
        let name = segment.to_string();
        let file = directory.path().join(what);
        let before = std::fs::read(&file).unwrap();
        let line = list.lines().find(|line| line.starts_with(&name));
        let object = json
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == name.as_str());
        match kind {
            None => {
                assert_eq!((line, object), (None, None), "{list}");
                assert!(!gc.contains(&name), "{gc}");
            }
            Some(kind) => {
                let word = line.and_then(|line| line.split_whitespace().nth(1));
                assert_eq!(word, Some(kind), "{name} in {list}");
                assert_eq!(object.unwrap()["state"], kind, "{json:#}");
                let kept = format!("kept {name}: it cannot be read (");
                assert!(gc.contains(&kept), "{kept} in {gc}");
            }
        }
        let words = ["create", &name, "--key", "u8", "--value", "u8"];
        run(&[&words[..], &["--capacity", "1"]].concat())
            .fails(2, &[&name, "exists already", "choose another name"]);
        run(&["bench", &name]).fails(2, &[&name, "exists already"]);
        assert_eq!(std::fs::read(&file).unwrap(), before, "{what}");
    }
    run(&["ls", &format!("{path}/missing")]).fails(2, &["/missing", "No such file"]);
    run(&["gc", &format!("{path}/missing")]).fails(2, &["/missing", "No such file"]);
}

#[test]
fn a_type_that_does_not_exist_is_answered_with_those_that_do() {
    let name = Scratch::shm().segment().to_string();
    let size = ["--capacity", "1"];
    for command in [&["create", &name][..], &["size"], &["bench", &name]] {
        for bad in ["u3", "String", "struct { a: u8", "[u8]", ""] {
            for (key, value) in [(bad, "u8"), ("u8", bad)] {
                let mut words = [command, &["--key", key, "--value", value]].concat();
                if command[0] != "bench" {
                    words.extend(size);
                }
                run(&words).fails(2, &["not a schema", "Str<32>", "shmkv help create"]);
            }
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u64", "u64", "10");
    run(&["set", name, "1", "2"]).fine();
    for words in [
        &["get", name, "1"][..],
        &["scan", name],
        &["dump", name],
        &["dump", "--format", "csv", name],
        &["info", name],
        &["ls"],
        &["watch", name, "1", "--count", "1"],
        &["completions", "bash"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(words).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(
            stderr.starts_with("shmkv: cannot write to stdout: No space left"),
            "{words:?}: {stderr}"
        );
    }
    let directory = File::open("/").unwrap();
    let output = command(&["load", name]).stdin(directory).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("cannot read stdin: Is a directory"),
        "{stderr}"
    );
}

#[test]
fn invalid_bytes_are_found_by_check_reported_by_readers_and_removed_by_repair() {
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
    run(&["get", name, "12345678"]).fails(2, &["invalid", "bool"]);
    let scan = run(&["scan", name]);
    assert_eq!(
        (scan.code, &*scan.stdout),
        (1, "{\"key\":1,\"value\":true}\n")
    );
    assert!(scan.stderr.contains("invalid"), "{scan:#?}");
    assert_eq!(run(&["check", name]).code, 1);
    let repair = run(&["repair", name]).fine();
    assert!(repair.contains("1 invalid entries removed"), "{repair}");
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
