//! What is shown fits into the terminal, and names stay whole.

use std::time::Duration;

use shmkv::{Map, Segment};

use crate::shmkv::{create, run};
use crate::support::*;
use crate::terminal::Session;

/// Segments whose names begin alike, with a number at the end.
struct Named([Segment; 2]);

impl Named {
    fn new(name: &str) -> Self {
        let own = std::process::id();
        let segments = [1, 2].map(|n| Segment::shm(&format!("{own}-{name}-{n}")).unwrap());
        for segment in &segments {
            let value = "struct Session { user: u64, since: u64, name: Str<24> }";
            create(segment, "Str<32>", value, "1000");
        }
        Self(segments)
    }

    fn names(&self) -> [String; 2] {
        self.0.each_ref().map(ToString::to_string)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        for segment in &self.0 {
            let _ = segment.remove();
        }
    }
}

/// How many columns of a terminal this takes.
fn width(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(line)
}

#[test]
fn top_shows_whole_names_at_80_columns_and_as_many_columns_as_fit() {
    let segments = Named::new("a-session-store-of-a-shop-in-the-eu-west");
    let [one, two] = segments.names();
    let mut top = Session::start_sized(&["top", &one, &two], 24, 80);
    let shown = top.until("both names", |it| {
        it.contains(&one) && it.contains(&two) && it.contains("? help")
    });
    assert!(shown.contains("ENTRIES"), "{shown}");
    // Each heading that is there is whole, as are the cells below it.
    let heading = shown.lines().nth(1).unwrap();
    for word in heading.split_whitespace() {
        let known = [
            "NAME", "ENTRIES", "CAPACITY", "LOAD", "WRITES/S", "HITS", "EVICT/S", "WRITERS", "SLOW",
        ];
        assert!(known.contains(&word), "{word:?} in {heading:?}");
    }
    assert!(shown.contains("p pause"), "all of the hints fit: {shown}");
    // A wide window has room for everything.
    top.resize(24, 200);
    let shown = top.until("all columns", |it| it.contains("CAPACITY"));
    for word in [
        "LOAD", "WRITES/S", "HITS", "EVICT/S", "WRITERS", "SLOW", &one, &two,
    ] {
        assert!(shown.contains(word), "no {word} on\n{shown}");
    }
    // In a narrow one the names are still told apart, and the way out is shown.
    top.resize(12, 40);
    top.until("narrow names", |it| {
        let is_end = |end: &str| {
            it.lines()
                .any(|line| line.contains(end) && line.contains('…'))
        };
        is_end("west-1") && is_end("west-2") && it.contains("q quit") && it.contains("? help")
    });
    top.press("q");
    assert!(top.end_restored().success());
}

#[test]
fn top_shows_the_column_that_it_sorts_by_however_narrow_it_is() {
    let segments = Named::new("some-name-of-a-usual-length");
    let [one, two] = segments.names();
    let mut top = Session::start_sized(&["top", &one, &two], 24, 60);
    top.until("both names", |it| it.contains(&one) && it.contains(&two));
    for heading in ["ENTRIES", "LOAD", "WRITES/S", "HITS", "EVICT/S", "WRITERS"] {
        top.press("s");
        top.until(heading, |it| {
            let Some(line) = it.lines().nth(1) else {
                return false;
            };
            it.contains(&format!("by {heading}")) && line.contains(heading)
        });
    }
    top.press("q");
    assert!(top.end_restored().success());
}

#[test]
fn top_says_why_a_segment_cannot_be_shown() {
    let segments = Named::new("some-store");
    let [one, two] = segments.names();
    // Its header no longer adds up.
    let path = format!("/dev/shm/{}", one.strip_prefix("shm:").unwrap());
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xEE], 130).unwrap();
    let mut top = Session::start_sized(&["top"], 24, 80);
    top.until("both", |it| {
        let is_damaged = |line: &str| line.starts_with(&one) && line.contains("damaged");
        it.lines().any(is_damaged) && it.contains(&two)
    });
    top.press("q");
    assert!(top.end_restored().success());
}

#[test]
fn top_explains_its_keys_and_goes_on() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "10");
    let name = scratch.segment().to_string();
    for (rows, columns) in [(24, 80), (12, 40), (5, 20)] {
        let mut top = Session::start_sized(&["top", &name], rows, columns);
        top.until("a first screen", |it| it.contains("shmkv top"));
        top.press("?");
        top.until("the help", |it| it.contains("help: ?"));
        if rows == 24 {
            let help = top.contents();
            for words in ["reverse the order", "look twice as often", "WRITES/S"] {
                assert!(help.contains(words), "no {words:?} on\n{help}");
            }
        }
        // Esc closes the help first and quits then.
        top.press("\x1b");
        top.until("the table", |it| !it.contains("help: ?"));
        top.press("\x1b");
        assert!(top.end_restored().success());
    }
}

#[test]
fn wide_characters_in_names_leave_the_columns_straight() {
    let segments = Named::new("世界-セッション");
    let [one, two] = segments.names();
    let mut top = Session::start_sized(&["top", &one, &two], 24, 80);
    let shown = top.until("both names", |it| it.contains(&one) && it.contains(&two));
    top.take(Duration::from_millis(100));
    let ends: Vec<usize> = shown
        .lines()
        .filter(|line| line.starts_with("NAME") || line.starts_with("shm:"))
        .take(3)
        .map(|line| width(line.trim_end()))
        .collect();
    assert_eq!(ends.len(), 3, "{shown}");
    assert!(
        ends.iter().all(|end| *end == ends[0]),
        "{ends:?} in\n{shown}"
    );
    top.press("q");
    top.end_restored();

    let mut ls = Session::start_sized(&["ls"], 60, 80);
    ls.end_restored();
    let shown = ls.contents();
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(width(row(&one)) <= 80);
    assert_eq!(width(row(&one)), width(row(&two)));
}

#[test]
fn ls_fits_into_the_terminal_and_is_complete_in_a_pipe() {
    let segments = Named::new("session-store");
    for columns in [200, 100, 80, 60, 50] {
        let mut ls = Session::start_sized(&["ls"], 200, columns);
        ls.end_restored();
        let raw = ls.written();
        for name in segments.names() {
            let row = raw.lines().find(|line| line.starts_with(&name));
            let row = row.unwrap_or_else(|| panic!("no {name} at {columns} in\n{raw}"));
            assert!(width(row) <= columns.into(), "{columns}: {row:?}");
        }
        if columns == 80 {
            let heading = raw.lines().next().unwrap();
            for word in ["KIND", "ENTRIES", "SIZE"] {
                assert!(heading.contains(word), "{heading}");
            }
        }
    }
    let piped = run(&["ls"]).fine();
    for word in [
        "KEY", "VALUE", "CAPACITY", "OWNER", "MODE", "WRITERS", "AGE",
    ] {
        assert!(piped.contains(word), "{piped}");
    }
    assert!(piped.contains("struct Session { user: u64,…"), "{piped}");
}

#[test]
fn what_commands_say_is_broken_between_words_on_a_terminal() {
    let segments = Named::new("session-store");
    let [one, _] = segments.names();
    run(&["set", &one, "abc", "user=1 since=2 name=x"]).fine();
    for words in [
        &["info", &one][..],
        &["check", &one],
        &["repair", &one],
        &["gc", "--older-than", "0s"],
        &["get", "shm:not-there", "1"],
    ] {
        let mut session = Session::start_sized(words, 200, 80);
        session.end_restored();
        let shown = session.written();
        for line in shown.lines() {
            // Behind a progress bar, which is gone then.
            let line = line.rsplit("\x1b[2K").next().unwrap();
            assert!(width(line) <= 80, "{words:?}: {line:?}");
        }
        assert!(
            shown.lines().any(|line| width(line) > 30),
            "{words:?}: {shown}"
        );
    }
    // In a pipe a sentence is a line.
    let longest = |text: String| text.lines().map(width).max().unwrap();
    assert!(longest(run(&["repair", &one]).fine()) > 100);
    assert!(longest(run(&["info", &one]).fine()) > 80);
}

#[test]
fn a_terminal_that_does_not_know_its_size_gets_everything() {
    let scratch = Scratch::shm();
    let _map: Map<u64, u64> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    let mut ls = Session::start_shell("stty cols 0 rows 0; exec $0 ls", &[]);
    ls.end_restored();
    assert!(ls.written().contains("CAPACITY"), "{}", ls.written());
}
