//! The pages of this repository name files, tests and items. All of them exist.
//!
//! What is looked at: every relative link, and everything between single backticks outside of code
//! blocks. A word there is taken for
//!
//! - a *path* if it looks like a file or a folder of this repository;
//! - a *test* if it is a name of four words or more, `like_this_one_here`, or one with a `*` or `…`
//!   for its end: there must be a function of that name;
//! - an *item* if it is another name with underscores, `like_this`, or one with `::` or a capital letter,
//!   `LikeThis`: each part must be a word of the sources.
//!
//! Where a page says "`this`, `that` in `src/some/file.rs`", both must stand in that file.

mod lists;
mod page;
mod tree;

use std::fs;

use crate::page::{links, pages, placed, prose, quoted, targets};
use crate::tree::{Sources, files, has_name, has_target, root, wrong_link, wrong_word};

/// Words that are in no source and need not be.
const FOREIGN: [&str; 4] = [
    // A limit of the kernel, and a call of the standard library's.
    "RLIMIT_MEMLOCK",
    "sched_yield",
    // What runs of the fuzz targets make.
    "fuzz/artifacts/TARGET/",
    "fuzz/reports/",
];

#[test]
fn every_link_and_every_name_in_the_pages_exists() {
    if !root().join("cli").exists() {
        println!("skipped: a packaged crate does not contain all that the pages name");
        return;
    }
    let (pages, sources) = (pages(), Sources::read());
    assert!(pages.len() >= 15, "{:?}", pages.keys());
    let (mut wrong, mut links_seen, mut words_seen) = (Vec::new(), 0, 0);
    let (mut places_seen, mut targets_seen) = (0, 0);
    for (from, page) in &pages {
        let prose = prose(page);
        for target in links(&prose) {
            links_seen += 1;
            wrong.extend(wrong_link(from, &target, &pages));
        }
        for (option, name) in targets(page) {
            targets_seen += 1;
            if !has_target(option, name) {
                wrong.push(format!("{from}: no target for `{option} {name}`"));
            }
        }
        for (name, file) in placed(&prose) {
            places_seen += 1;
            if !has_name(file, name) {
                wrong.push(format!("{from}: `{name}` is not in `{file}`"));
            }
        }
        for word in quoted(&prose) {
            words_seen += 1;
            if let Some(what) =
                wrong_word(from, word, &sources).filter(|_| !FOREIGN.contains(&word))
            {
                wrong.push(format!("{from}: {what}: `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let seen = (links_seen, words_seen, places_seen, targets_seen);
    assert!(
        seen.0 > 40 && seen.1 > 600 && seen.2 > 30 && seen.3 > 20,
        "{seen:?}"
    );
}

#[test]
fn a_wrong_link_or_name_is_found() {
    let pages = pages();
    let sources = Sources::read();
    let link = |target| wrong_link("README.md", target, &pages);
    assert_eq!(link("Cargo.toml"), None);
    assert_eq!(link("https://docs.rs/loom"), None);
    assert!(link("docs/absent.md").is_some());
    assert!(link("README.md#no-such-heading").is_some());
    let word = |word| wrong_word("README.md", word, &sources);
    for right in [
        "src/lib.rs",
        "tests/loom/",
        "Map::insert",
        "open_or_create",
        "cargo test",
        "fetch_*",
        "u64",
    ] {
        assert_eq!(word(right), None, "{right}");
    }
    for wrong in [
        "src/absent.rs",
        "absent.md",
        "tests/absent/*.txt",
        "Map::no_method",
        "NoSuchType::insert",
        "NoSuchType",
        "no_name",
        "absent_test_of_many_words",
        "absent_test_*",
    ] {
        assert!(word(wrong).is_some(), "{wrong}");
    }
    let page = "`get` in `src/map/read.rs`, `a`, `b` in\n`c.rs`, `d.rs`";
    let expected = [("get", "src/map/read.rs"), ("b", "c.rs"), ("a", "c.rs")];
    assert_eq!(placed(page), expected);
    let page =
        "`cargo test --test loom`, cargo bench --bench peers -- --short\n`cargo xtask words`.";
    let expected = [("--test", "loom"), ("--bench", "peers"), ("xtask", "words")];
    assert_eq!(targets(page), expected);
    for (option, name) in expected {
        assert!(has_target(option, name), "{option} {name}");
        assert!(!has_target(option, "absent"), "{option} absent");
    }
    assert!(has_name("src/map/read.rs", "Map::get"));
    assert!(!has_name("src/map/read.rs", "publish_absent"));
    assert_eq!(prose("a\n```\nb\n```\nc"), "a\nc");
    assert_eq!(quoted("a `b` c `d`"), ["b", "d"]);
    assert_eq!(links("[a](b) and\n[c]: d"), ["b", "d"]);
}

#[test]
fn every_page_is_linked_from_the_readme_and_shown_by_rustdoc() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("it is there");
    let (readme, rustdoc) = (read("README.md"), read("src/docs.rs"));
    let mut paths = Vec::new();
    files(&root().join("docs"), &mut paths).expect("it can be read");
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(readme.contains(&format!("](docs/{name})")), "{name}");
        assert!(rustdoc.contains(&format!("\"{name}\");")), "{name}");
        // Pages link each other by names that rustdoc gives a meaning of its own.
        let page = read(&format!("docs/{name}"));
        let to_pages = page.split("](").skip(1).filter(|rest| {
            let target = rest.split(')').next().unwrap_or_default();
            !target.starts_with("https://")
        });
        assert_eq!(
            to_pages.count(),
            0,
            "{name}: write [page] and define it at the end"
        );
        for line in page.lines().filter(|line| line.starts_with('[')) {
            let Some((text, _)) = line.split_once("]: ").filter(|(_, to)| to.ends_with(".md"))
            else {
                continue;
            };
            assert!(
                rustdoc.contains(&format!("{text}]: crate::docs::")),
                "{name}: {line}"
            );
        }
    }
}
#[test]
fn the_readme_has_at_most_900_words() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is there");
    let words = readme.split_whitespace().count();
    assert!(words <= 900, "{words} words: at most 900");
}
