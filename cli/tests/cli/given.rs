//! Values from a file, and from stdin.

use std::fs;

use crate::shmkv::{create, feed, run};
use crate::support::*;

#[test]
fn a_value_is_taken_from_a_file_or_from_stdin_in_the_same_syntax() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("value");
    let at = &format!("@{}", path.display());
    for scratch in Scratch::each() {
        let name = &scratch.segment().to_string();
        create(scratch.segment(), "u8", "struct { a: i8, b: Str<8> }", "10");
        for text in [
            "a=-1,b=x y",
            "{\"b\": \"x y\", \"a\": -1}\n",
            "\u{feff}{\r\n  \"b\": \"x y\",\r\n  \"a\": -1\r\n}\r\n",
        ] {
            // A space parts pairs, unless they are quoted.
            let text = &text.replace("b=x y", "b=\"x y\"");
            fs::write(&path, text).unwrap();
            run(&["set", name, "1", at]).fine();
            feed(&["set", name, "2", "-"], text).fine();
            for key in ["1", "2"] {
                assert_eq!(
                    run(&["get", name, key]).fine(),
                    "{\"a\":-1,\"b\":\"x y\"}\n",
                    "{text:?}"
                );
            }
            run(&["del", name, "--all"]).fine();
        }
    }
}

#[test]
fn what_get_prints_can_be_set_again() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "Str<20>", "10");
    let value = "\"@ends in \\n\\n\"\n";
    feed(&["set", name, "1", "-"], value).fine();
    assert_eq!(run(&["get", name, "1"]).fine(), value);
    assert_eq!(run(&["get", "--raw", name, "1"]).fine(), "@ends in \n\n");
}

#[test]
fn texts_that_look_like_a_file_or_stdin_can_be_written() {
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "Str<20>", "10");
    for (written, text) in [
        ("@@", "@"),
        ("@@user", "@user"),
        ("\"@user\"", "@user"),
        ("\"-\"", "-"),
        ("a@b", "a@b"),
        ("-5", "-5"),
    ] {
        run(&["set", name, "1", written]).fine();
        assert_eq!(run(&["get", "--raw", name, "1"]).fine(), text, "{written}");
    }
    run(&["set", name, "1", "@"]).fails(2, &["name of a file after @", "@@"]);
}

#[test]
fn what_is_no_value_in_a_file_or_on_stdin_is_refused_and_changes_nothing() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("value");
    let at = &format!("@{}", path.display());
    let shown = &*path.display().to_string();
    let scratch = Scratch::shm();
    let name = &scratch.segment().to_string();
    create(scratch.segment(), "u8", "u64", "10");
    run(&["set", name, "1", "7"]).fine();
    run(&["set", name, "1", at]).fails(2, &["cannot read", shown, "No such file"]);
    for (bytes, told) in [
        (&b"eight"[..], "this is no value"),
        (b"", "this is no value"),
        (b"8\n9\n", "this is no value"),
        (b"8\xff", "UTF-8"),
        (&[b' '; 1 << 20], "longer than"),
    ] {
        fs::write(&path, bytes).unwrap();
        let ran = run(&["set", name, "1", at]);
        assert!(ran.stderr.len() < 1000, "{ran:#?}");
        ran.fails(2, &[shown, told]);
        if let Ok(text) = std::str::from_utf8(bytes) {
            feed(&["set", name, "1", "-"], text).fails(2, &["stdin", told]);
        }
    }
    let directory = &format!("@{}", files.path().display());
    run(&["set", name, "1", directory]).fails(2, &["directory"]);
    run(&["set", name, "1", "@/dev/zero"]).fails(2, &["/dev/zero", "longer than"]);
    let both = ["set", name, "1", "-", "--if-value", "-"];
    feed(&both, "7").fails(2, &["both", "stdin"]);
    assert_eq!(run(&["get", name, "1"]).fine(), "7\n");
    // The value to compare with has the same forms.
    fs::write(&path, "7\n").unwrap();
    feed(&["set", name, "1", "-", "--if-value", at], "8\n").fine();
    assert_eq!(run(&["get", name, "1"]).fine(), "8\n");
}
