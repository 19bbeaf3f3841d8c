//! `check` says what is wrong and no more, and `repair` says whether anything is left.

use std::fs::File;
use std::ops::Range;
use std::process::Stdio;

use serde_json::Value;
use shmkv::{Cache, Map, Segment};

use crate::shmkv::{create, run};
use crate::support::*;

fn check(segment: &Segment) -> (i32, Value) {
    let ran = run(&["check", "--json", &segment.to_string()]);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap())
}

#[test]
fn a_process_that_ends_without_destructors_leaves_a_sound_segment() {
    const TEST: &str = "soundness::a_process_that_ends_without_destructors_leaves_a_sound_segment";
    if let Some(role) = role() {
        let map: Map<u64, u64> = Map::builder().open(given_segment()).unwrap();
        map.insert(u64::from(std::process::id()), 1).unwrap();
        match &*role {
            "exit" => std::process::exit(0),
            _ => std::process::abort(),
        }
    }
    for scratch in Scratch::each() {
        create(scratch.segment(), "u64", "u64", "100");
        for role in ["exit", "exit", "abort"] {
            let mut command = child(TEST, role, scratch.segment());
            command.stderr(Stdio::null()).status().unwrap();
        }
        let name = &scratch.segment().to_string();
        let text = run(&["check", name]).fine();
        assert!(text.contains("note: dead writers have left"), "{text}");
        assert!(text.contains("\nsound\n"), "{text}");
        let (code, json) = check(scratch.segment());
        assert_eq!((code, &json["sound"]), (0, &Value::Bool(true)), "{json}");
        assert!(json["dead_writers"].as_u64().unwrap() >= 1, "{json}");
        // Repair takes over, and says so.
        let text = run(&["repair", name]).fine();
        assert!(
            text.contains("slot freed") && text.ends_with("sound\n"),
            "{text}"
        );
        assert_eq!(check(scratch.segment()).1["dead_writers"], 0);
    }
}

/// A map in a file, with 200 entries of one word each, or as many as there is room for; and its parts.
fn filled(scratch: &Scratch, is_full: bool) -> (File, Parts) {
    let map: Map<u64, u64> = Map::builder()
        .capacity(200)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..200 {
        map.insert(key + 1_000_000, key).unwrap();
    }
    // Until many are in their secondary buckets.
    let others = (0..).take_while(|n| is_full && map.insert(n + 2_000_000, 0).is_ok());
    assert_eq!(others.count() > 0, is_full);
    drop(map);
    let file = File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap();
    let parts = Parts::of(&file);
    (file, parts)
}

/// A cache likewise, and where its buckets are: at the end, by the same fields of the header.
fn filled_cache(scratch: &Scratch) -> (File, Range<u64>) {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_capacity(200)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..200 {
        cache.insert(key + 1_000_000, key).unwrap();
    }
    drop(cache);
    let file = File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap();
    let (end, buckets) = (read_word(&file, 32), read_word(&file, 136));
    let words_behind_values = read_word(&file, 152) & 0xFFFF_FFFF;
    let bucket_len = 64 + 16 * (8 + 8 + 8 * words_behind_values);
    (file, end - buckets * bucket_len..end)
}

/// How many of the 200 entries are found.
fn found(segment: &Segment) -> usize {
    let map = Map::<u64, u64>::builder()
        .open_read_only(segment.clone())
        .unwrap();
    let is_there = |key: &u64| map.get(&(key + 1_000_000)).unwrap() == Some(*key);
    (0..200).filter(is_there).count()
}

#[test]
fn repair_puts_tags_and_counts_right_and_entries_are_found_again() {
    let scratch = Scratch::file();
    let (file, parts) = filled(&scratch, true);
    let name = &scratch.segment().to_string();
    assert_eq!(found(scratch.segment()), 200);
    for index in 0..parts.bucket_count {
        let at = parts.bucket(index);
        // The tags of every second bucket, and the counts of all.
        for word in [2, 3] {
            if index % 2 == 0 {
                write_word(
                    &file,
                    at + 8 * word,
                    read_word(&file, at + 8 * word) ^ u64::MAX,
                );
            }
        }
        for word in [6, 7] {
            write_word(&file, at + 8 * word, 0);
        }
    }
    assert!(found(scratch.segment()) < 200, "they are hidden");
    let (code, json) = check(scratch.segment());
    assert_eq!((code, &json["sound"]), (1, &Value::Bool(false)));
    let next = json["next"].to_string();
    assert!(next.contains(&format!("shmkv repair {name}")), "{next}");
    let text = run(&["repair", name]).fine();
    assert!(text.ends_with("sound\n"), "{text}");
    assert!(
        !text.contains(" 0 tags") && !text.contains(" 0 counts"),
        "{text}"
    );
    assert_eq!(check(scratch.segment()).0, 0);
    assert_eq!(found(scratch.segment()), 200);
}

#[test]
fn repair_does_not_bring_an_old_entry_back_beside_a_newer_one() {
    let scratch = Scratch::file();
    let (file, parts) = filled(&scratch, false);
    let name = &scratch.segment().to_string();
    for index in 0..parts.bucket_count {
        for word in [2, 3] {
            let at = parts.bucket(index) + 8 * word;
            write_word(&file, at, !read_word(&file, at));
        }
    }
    // Not found, so it is inserted a second time.
    run(&["set", name, "1000007", "77777"]).fine();
    let repair = run(&["repair", name]);
    assert_eq!(repair.code, 1, "{repair:#?}");
    assert_eq!(check(scratch.segment()).0, 1);
    assert_eq!(run(&["get", name, "1000007"]).fine(), "77777\n");
    assert_eq!(found(scratch.segment()), 199, "all others are back");
}

#[test]
fn repair_says_what_is_left_and_ends_as_check_would() {
    // Words at random, of keys as of anything else.
    let mut random = Random(0xC0FFEE);
    let mut left = 0;
    for round in 0..12 {
        let scratch = Scratch::file();
        let (file, buckets) = match round % 2 {
            0 => {
                let (file, parts) = filled(&scratch, false);
                (file, parts.buckets..parts.end)
            }
            _ => filled_cache(&scratch),
        };
        for _ in 0..=round {
            let words = (buckets.end - buckets.start) / 8;
            let at = buckets.start + 8 * random.below(words);
            write_word(&file, at, read_word(&file, at) ^ (1 << random.below(64)));
        }
        let name = &scratch.segment().to_string();
        let repair = run(&["repair", name]);
        let (code, json) = check(scratch.segment());
        assert_eq!(repair.code, code, "round {round}: {repair:#?} {json}");
        if code == 1 {
            left += 1;
            for words in ["what is left:", "next: "] {
                assert!(repair.stdout.contains(words), "round {round}: {repair:#?}");
            }
        }
    }
    assert!(left > 0, "some of it cannot be put right");
}

#[test]
fn a_tag_that_may_be_right_beside_a_wrong_key_is_left_unless_keys_are_trusted() {
    let scratch = Scratch::file();
    let (file, parts) = filled(&scratch, false);
    let name = &scratch.segment().to_string();
    // One tag of one bucket: an entry of a map of few buckets that is hidden by it.
    let hidden = (0..8).find(|slot| {
        let at = parts.bucket(0) + 16;
        let tags = read_word(&file, at);
        write_word(&file, at, tags ^ (0xFF << (8 * slot)));
        let is_hidden = found(scratch.segment()) == 199;
        if !is_hidden {
            write_word(&file, at, tags);
        }
        is_hidden
    });
    assert!(hidden.is_some());
    let repair = run(&["repair", name]);
    assert_eq!(repair.code, 1, "{repair:#?}");
    let advice = format!("shmkv repair --trust-keys {name}");
    assert!(repair.stdout.contains(&advice), "{repair:#?}");
    assert_eq!(found(scratch.segment()), 199);
    let text = run(&["repair", "--trust-keys", name]).fine();
    assert!(text.contains("1 tags"), "{text}");
    assert_eq!(found(scratch.segment()), 200);
}

#[test]
fn a_key_that_was_overwritten_is_left_and_cp_is_the_next_step() {
    let scratch = Scratch::file();
    let (file, parts) = filled(&scratch, false);
    let key = (parts.buckets..parts.end)
        .step_by(8)
        .find(|&at| read_word(&file, at) == 1_000_005)
        .unwrap();
    write_word(&file, key, 5);
    let name = &scratch.segment().to_string();
    let repair = run(&["repair", name]);
    assert_eq!(repair.code, 1, "{repair:#?}");
    assert!(
        repair
            .stdout
            .contains(&format!("next: `shmkv cp {name} NEW`")),
        "{repair:#?}"
    );
    // Also where the new key belongs into the same bucket by chance: one of eight does.
    assert_eq!(check(scratch.segment()).0, 1);
    // It works.
    let copy = Scratch::shm();
    run(&["cp", name, &copy.segment().to_string()]).fine();
    assert_eq!(check(copy.segment()).0, 0);
    assert_eq!(found(copy.segment()), 199);
}

#[test]
fn a_lock_that_nobody_can_judge_is_serious() {
    let scratch = Scratch::file();
    let (file, parts) = filled(&scratch, false);
    // A slot as a writer of another pid namespace without a lock has it, by the format: whose record
    // cannot be read, and whose byte is free.
    let generation = 5_u64;
    let claim = (generation << 25) | (1 << 3) | 2;
    write_word(&file, parts.participants + 64 * 3, claim);
    let map = Map::<u64, u64>::builder()
        .open_read_only(scratch.segment().clone())
        .unwrap();
    let generations: Vec<u64> = map
        .participants()
        .iter()
        .map(|it| it.owner.generation())
        .collect();
    assert!(generations.contains(&generation), "{generations:?}");
    drop(map);
    let name = &scratch.segment().to_string();
    let token = (generation << 17) | ((3 + 1) << 1);
    let at = parts.bucket(0) + 8;
    write_word(&file, at, token);
    let ran = run(&["check", name]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for words in ["serious: bucket 0 stays locked by", "NOT sound", "next: "] {
        assert!(ran.stdout.contains(words), "no {words:?} in {ran:#?}");
    }
    let repair = run(&["repair", name]);
    assert_eq!(repair.code, 1, "{repair:#?}");
    // Once it is free, all is well.
    write_word(&file, at, 0);
    run(&["check", name]).fine();
}

#[test]
fn a_writer_that_was_stopped_inside_a_write_is_a_note() {
    const TEST: &str = "soundness::a_writer_that_was_stopped_inside_a_write_is_a_note";
    if role().is_some() {
        crate::holder::write_for_ever();
    }
    let scratch = Scratch::shm();
    let (_map, writer) = crate::holder::stopped(TEST, &scratch);
    let text = run(&["check", &scratch.segment().to_string()]).fine();
    assert!(
        text.contains(&format!("process {}", writer.pid())),
        "{text}"
    );
    assert!(text.contains("is locked by"), "{text}");
}
