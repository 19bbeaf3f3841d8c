//! Processes that cannot be seen from where a command runs: those of another pid namespace, and all of
//! them where /proc is not mounted. They need namespaces, so these tests run as root only.

use std::process::Command;

use serde_json::Value;
use shmkv::{Map, ReadOnlyMap, Segment};

use crate::shmkv::{Ran, binary, create, run};
use crate::support::*;

/// In a pid namespace of its own, with a /proc that shows it.
const OTHER_PIDS: [&str; 3] = ["unshare", "-pf", "--mount-proc"];
/// Where /proc is empty. The rest is the command.
const NO_PROC: [&str; 5] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount -t tmpfs none /proc && exec \"$0\" \"$@\"",
];
/// In a pid namespace of its own, with the /proc of ours.
const STRANGE_PROC: [&str; 2] = ["unshare", "-pf"];

/// Whether this machine can do that; if not, the test says so and is over.
fn can(how: &[&str]) -> bool {
    let (program, words) = how.split_first().unwrap();
    let status = Command::new(program).args(words).arg("true").status();
    let can = status.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: {how:?} cannot be had here");
    }
    can
}

fn run_in(how: &[&str], words: &[&str]) -> Ran {
    let (program, before) = how.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(before).arg(binary()).args(words);
    Ran::of(command.output().unwrap())
}

/// What gc says of a segment: whether it goes, and the reason or its owner.
fn said(text: &str, segment: &Segment) -> (bool, String) {
    let json: Value = serde_json::from_str(text).unwrap();
    for (list, goes, member) in [("removed", true, "owner"), ("kept", false, "reason")] {
        let name = segment.to_string();
        let found = json[list].as_array().unwrap();
        if let Some(it) = found.iter().find(|it| it["name"] == *name) {
            return (goes, it[member].as_str().unwrap().to_owned());
        }
    }
    panic!("{segment} is not in {text}");
}

fn reader(segment: &Segment) -> ReadOnlyMap<u8, u8> {
    Map::builder().open_read_only(segment.clone()).unwrap()
}

#[test]
fn gc_keeps_what_a_process_reads_that_it_cannot_see() {
    for how in [&OTHER_PIDS[..], &NO_PROC, &STRANGE_PROC] {
        if !can(how) {
            continue;
        }
        let (read, closed) = (Scratch::shm(), Scratch::shm());
        for scratch in [&read, &closed] {
            create(scratch.segment(), "u8", "u8", "10");
        }
        let map = reader(read.segment());
        let gc = || run_in(how, &["gc", "--json", "--older-than", "0s"]).fine();
        let text = gc();
        let (goes, reason) = said(&text, read.segment());
        assert!(!goes, "{how:?}: {text}");
        assert!(reason.contains("open"), "{how:?}: {reason}");
        // Numbers of another namespace mean nothing here.
        let number = format!("process {}", std::process::id());
        assert!(!reason.contains(&number), "{how:?}: {reason}");
        let (goes, _) = said(&text, closed.segment());
        assert!(goes, "{how:?}: nobody has it open, the kernel says: {text}");
        drop(map);
        eventually("it is closed", || said(&gc(), read.segment()).0);
    }
}

#[test]
fn gc_keeps_a_system_v_segment_that_a_process_is_attached_to_whom_it_cannot_see() {
    if !can(&OTHER_PIDS) {
        return;
    }
    let scratch = Scratch::sysv();
    create(scratch.segment(), "u8", "u8", "10");
    let map = reader(scratch.segment());
    let gc = || run_in(&OTHER_PIDS, &["gc", "--json", "--older-than", "0s"]).fine();
    let (goes, reason) = said(&gc(), scratch.segment());
    assert_eq!((goes, &*reason), (false, "it is attached"));
    drop(map);
    eventually("it is detached", || said(&gc(), scratch.segment()).0);
}

#[test]
fn gc_says_what_it_could_not_list_without_proc() {
    if !can(&NO_PROC) {
        return;
    }
    // The lock file of a segment that is there.
    let scratch = Scratch::sysv();
    create(scratch.segment(), "u8", "u8", "10");
    let name = scratch.segment().to_string();
    run(&["set", &name, "1", "1"]).fine();
    let text = run_in(&NO_PROC, &["gc", "--older-than", "0s"]).fine();
    assert!(
        text.contains("kept System V segments: they cannot be listed"),
        "{text}"
    );
    assert!(
        text.contains("kept lock files: cannot tell which"),
        "{text}"
    );
    let info: Value = serde_json::from_str(&run(&["info", "--json", &name]).fine()).unwrap();
    let id = info["id"].as_str().unwrap();
    assert!(!text.contains(id), "{text}");
    let ls = run_in(&NO_PROC, &["ls"]);
    assert_eq!(ls.code, 0, "{ls:#?}");
    assert!(
        ls.stderr.contains("System V segments cannot be listed"),
        "{ls:#?}"
    );
    assert!(!ls.stdout.contains(&name), "{ls:#?}");
    // With /proc, its lock file is known to belong to it.
    assert!(!run(&["gc", "--older-than", "0s"]).fine().contains(id));
}

#[test]
fn gc_removes_what_it_said_and_nothing_else() {
    // With a /dev/shm and System V segments of its own, so that nobody else's are removed.
    const SCRIPT: &str = r#"
        mount -t tmpfs none /dev/shm || exit 77
        new() { "$0" create "$1" --key u8 --value u8 --capacity 10 -q || exit 3; }
        new shm:left; new shm:read; new sysv:0x51; new shm:young-enough
        head -c 4096 /dev/zero > /dev/shm/.shmkv-tmp-0123456789abcdef
        head -c 4096 /dev/zero > /dev/shm/of-somebody
        sleep 600 < /dev/shm/read & reader=$!
        "$0" gc --older-than 1h --yes
        echo --
        "$0" gc --older-than 0s --yes
        echo --
        "$0" ls --json | grep '"name"'; ls -A /dev/shm
        kill $reader
    "#;
    let how = ["unshare", "-m", "-i", "sh", "-c"];
    if !can(&["unshare", "-m", "-i"]) {
        return;
    }
    let mut command = Command::new(how[0]);
    command.args(&how[1..]).args([SCRIPT, binary()]);
    let ran = Ran::of(command.output().unwrap());
    if ran.code == 77 {
        eprintln!("skipped: no mounts here");
        return;
    }
    let text = ran.fine();
    let [young, old, rest] = text.split("--\n").collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    assert!(!young.contains("removed"), "{young}");
    let removed: Vec<&str> = old
        .lines()
        .filter(|line| line.starts_with("removed "))
        .collect();
    assert_eq!(removed.len(), 4, "{old}");
    for name in [
        "shm:left ",
        "shm:young-enough ",
        "sysv:0x51 ",
        ".shmkv-tmp-0123456789abcdef ",
    ] {
        assert!(
            removed.iter().any(|line| line.contains(name)),
            "no {name} in {old}"
        );
    }
    assert!(
        old.contains("kept shm:read: a process has it open"),
        "{old}"
    );
    let left: Vec<&str> = rest.lines().map(str::trim).collect();
    assert_eq!(
        left,
        ["\"name\": \"shm:read\",", "of-somebody", "read"],
        "{rest}"
    );
}

#[test]
fn after_a_crash_of_the_machine_the_command_line_names_its_own_option() {
    const TEST: &str =
        "namespaces::after_a_crash_of_the_machine_the_command_line_names_its_own_option";
    if role().is_some() {
        let map: Map<u8, u8> = Map::builder().open(given_segment()).unwrap();
        map.insert(1, 1).unwrap();
        notify("written");
        listen();
        return;
    }
    let id = tempfile::NamedTempFile::new().unwrap();
    let uuid = std::fs::read("/proc/sys/kernel/random/uuid").unwrap();
    std::fs::write(id.path(), uuid).unwrap();
    let mount = format!(
        "mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\"",
        id.path().display()
    );
    let other_boot = ["unshare", "-m", "sh", "-c", &mount];
    if !can(&other_boot) {
        return;
    }
    let scratch = Scratch::file();
    create(scratch.segment(), "u8", "u8", "10");
    let name = &scratch.segment().to_string();
    // In use when the machine went down, as far as another boot can tell.
    let mut writer = Worker::start(child(TEST, "writer", scratch.segment()));
    writer.expect("written");
    writer.kill();
    drop(writer);
    let keep = format!("`shmkv repair --after-crash keep {name}`");
    for words in [
        &["get", name, "1"][..],
        &["set", name, "1", "2"],
        &["repair", name],
        &["rm", name],
    ] {
        let ran = run_in(&other_boot, words);
        ran.clone()
            .fails(2, &[name, "when the machine went down", &keep, "discard"]);
        for of_the_library in ["after_machine_crash", "after_crash", "open it"] {
            assert!(!ran.stderr.contains(of_the_library), "{ran:#?}");
        }
    }
    // What it says can be done.
    run_in(&other_boot, &["repair", "--after-crash", "keep", name]).fine();
    assert_eq!(run_in(&other_boot, &["get", name, "1"]).fine(), "1\n");
}

#[test]
fn nobody_is_asked_to_stop_a_process_that_has_another_number_here() {
    const TEST: &str = "namespaces::nobody_is_asked_to_stop_a_process_that_has_another_number_here";
    if role().is_some() {
        let map: Map<u8, u8> = Map::builder().open(given_segment()).unwrap();
        map.insert(1, 1).unwrap();
        notify(&std::process::id().to_string());
        listen();
        return;
    }
    if !can(&OTHER_PIDS) {
        return;
    }
    let scratch = Scratch::shm();
    create(scratch.segment(), "u8", "u8", "10");
    let name = &scratch.segment().to_string();
    let inner = child(TEST, "writer", scratch.segment());
    let mut outer = Command::new("unshare");
    outer
        .args(["-pf", "--mount-proc", "--kill-child"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let mut writer = Worker::start(outer);
    assert_eq!(writer.hear().as_deref(), Some("1"), "it is number 1 there");
    let ours = std::fs::read_to_string("/proc/1/comm").unwrap();
    let ours = ours.trim();
    let gc = run(&["gc", "--older-than", "0s"]).fine();
    let said = [
        ("rm", run(&["rm", name]).stderr),
        ("info", run(&["info", name]).fine()),
        ("json", run(&["info", "--json", name]).fine()),
        (
            "gc",
            gc.lines().filter(|line| line.contains(name)).collect(),
        ),
    ];
    for (what, text) in said {
        assert!(
            !text.contains(&format!("{ours} (process 1")),
            "{what}: {text}"
        );
        assert!(
            !text.contains(&format!("{ours}, process 1")),
            "{what}: {text}"
        );
        assert!(
            !text.contains(&format!("\"command\": \"{ours}\"")),
            "{what}: {text}"
        );
        assert!(!text.contains("stop it first"), "{what}: {text}");
        if what != "json" {
            assert!(text.contains("another pid namespace"), "{what}: {text}");
        }
    }
    let rm = run(&["rm", name]);
    rm.fails(2, &["it can only be stopped where it runs", "--force"]);
    // In its own namespace it has its name.
    writer.say("end");
    writer.finish();
}
