//! What `gc` makes of the remains of processes that were killed, and whose they are.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::shmkv::{create, run};
use crate::support::*;

/// All of what gc says about files of this directory.
fn about(text: &str, part: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

#[test]
fn gc_removes_the_temporary_file_of_a_creator_that_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let file = |name: &str| {
        let path = path.join(name);
        std::fs::write(&path, [0; 4096]).unwrap();
        let old = SystemTime::now() - Duration::from_secs(7200);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(old)
            .unwrap();
        path
    };
    let left = file(".shmkv-tmp-0123456789abcdef");
    let busy = file(".shmkv-tmp-fedcba9876543210");
    let others = [
        ".shmkv-tmp-notes",
        ".shmkv-tmp-0123456789abcdef0",
        "shmkv-tmp-0123456789abcdef",
    ];
    let others = others.map(file);
    let creator = std::fs::File::open(&busy).unwrap();
    let directory = path.to_str().unwrap();
    // It was only just changed.
    let text = run(&["gc", directory]).fine();
    assert!(
        about(&text, "0123456789abcdef")
            .iter()
            .all(|line| line.contains("only")),
        "{text}"
    );
    let text = run(&["gc", directory, "--older-than", "0s"]).fine();
    let lines = about(&text, directory);
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("would remove file:")
            && lines[0].contains("left by a creator that was killed, 4.0 KiB"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("kept file:") && lines[1].contains("open"),
        "{text}"
    );
    assert!(left.exists() && busy.exists());
    drop(creator);
    eventually("it is closed", || {
        let text = run(&["gc", directory, "--older-than", "0s"]).fine();
        about(&about(&text, "would remove file:").join("\n"), directory).len() == 2
    });
    assert!(others.iter().all(|path| path.exists()));
}

#[test]
fn gc_says_whose_the_segments_are_that_it_removes() {
    let scratch = Scratch::file();
    create(scratch.segment(), "u8", "u8", "10");
    let directory = scratch
        .path()
        .parent()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let gc = || run(&["gc", &directory, "--older-than", "0s"]).fine();
    let line = |text: &str| about(text, &directory).join("\n");
    let me = crate::shmkv::run(&["info", &scratch.segment().to_string()]).fine();
    let text = gc();
    let own = if rustix::process::geteuid().is_root() {
        "root"
    } else {
        ""
    };
    assert!(line(&text).contains(&format!(", of {own}")), "{text} {me}");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a segment of another user");
        return;
    }
    let other = Some(4711);
    scratch
        .segment()
        .set_permissions(None, other, other)
        .unwrap();
    let text = gc();
    assert!(
        line(&text).starts_with("would remove") && line(&text).ends_with(", of 4711)"),
        "{text}"
    );
}

#[test]
fn gc_removes_a_lock_file_only_if_nobody_has_it_open() {
    // As the format says: a magic word and the segment's id.
    let id = [Random::seeded().next(), Random::seeded().next()];
    let path = format!("/dev/shm/.shmkv-{:016x}{:016x}.lock", id[0], id[1]);
    let mut content = b"shmkvlck".to_vec();
    content.extend(id[0].to_ne_bytes());
    content.extend(id[1].to_ne_bytes());
    std::fs::write(&path, content).unwrap();
    let gc = || {
        let text = run(&["gc", "--json", "--older-than", "0s"]).fine();
        let json: Value = serde_json::from_str(&text).unwrap();
        let removed = json["removed"].as_array().unwrap().clone();
        removed
            .iter()
            .any(|it| it["name"].as_str().unwrap().contains(&path))
    };
    eventually("it is closed", gc);
    // Without a lock: a process that may register at any moment.
    let user = std::fs::File::open(&path).unwrap();
    let open = gc();
    drop(user);
    let young = run(&["gc", "--json"]).fine();
    let _ = std::fs::remove_file(&path);
    assert!(!open, "somebody has it");
    assert!(young.contains("is only"), "{young}");
}
