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

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Folders in which a path of this repository begins.
const TOP: [&str; 10] = [
    ".ci", "benches", "cli", "derive", "docs", "examples", "fuzz", "src", "tests", "xtask",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, but for what is built or generated.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !matches!(
                &*name,
                "target" | ".git" | "corpus" | "artifacts" | "reports"
            ) {
                files(&path, found)?;
            }
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// The pages: at the top, in `docs/`, and beside what they are about.
fn pages() -> BTreeMap<String, String> {
    let mut paths = Vec::new();
    files(root(), &mut paths).expect("the repository can be read");
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "md"));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).expect("UTF-8")))
        .collect()
}

/// What the sources say.
struct Sources {
    functions: BTreeSet<String>,
    words: BTreeSet<String>,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A source without its comments: what they mention need not be there.
fn code(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

impl Sources {
    fn read() -> Self {
        let mut paths = Vec::new();
        for top in TOP
            .map(|top| root().join(top))
            .iter()
            .filter(|top| top.is_dir())
        {
            files(top, &mut paths).expect("the repository can be read");
        }
        paths.push(root().join("Cargo.toml"));
        let mut sources = Self {
            functions: BTreeSet::new(),
            words: BTreeSet::new(),
        };
        for path in &paths {
            if let Some(stem) = path.file_stem() {
                sources.words.insert(stem.to_string_lossy().into_owned());
            }
            let is_source =
                |ext: &std::ffi::OsStr| ["rs", "toml", "sh"].iter().any(|it| ext == *it);
            // This file and the glossary name what is not there.
            let is_about_words =
                path.ends_with("tests/docs.rs") || path.ends_with("xtask/src/words.rs");
            if !path.extension().is_some_and(is_source) {
                continue;
            }
            let text = fs::read_to_string(path).expect("UTF-8");
            let text = code(&text);
            let mut last = "";
            for word in text.split(|c| !is_word(c)).filter(|word| !word.is_empty()) {
                if last == "fn" {
                    sources.functions.insert(word.to_owned());
                }
                if !is_about_words {
                    sources.words.insert(word.to_owned());
                }
                last = word;
            }
        }
        sources
    }
}

/// The text outside of code blocks.
fn prose(page: &str) -> String {
    let mut is_inside = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence && !line.starts_with("    ")
    };
    page.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// The targets of the links of a page, `[text](target)` and `[text]: target`.
fn links(prose: &str) -> Vec<String> {
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let defined = prose
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| Some(line.split_once("]: ")?.1.trim()));
    inline.chain(defined).map(str::to_owned).collect()
}

/// The headings of a page, as GitHub writes them in links.
fn headings(page: &str) -> BTreeSet<String> {
    let link_name = |line: &str| -> String {
        let keeps = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let text = line.trim_start_matches('#').trim().to_lowercase();
        text.chars()
            .filter(keeps)
            .collect::<String>()
            .replace(' ', "-")
    };
    let text = prose(page);
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(link_name)
        .collect()
}

/// What stands between single backticks.
fn quoted(prose: &str) -> Vec<&str> {
    prose.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with a link of the page at `from`.
fn wrong_link(from: &str, target: &str, pages: &BTreeMap<String, String>) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = root().join(from).parent().unwrap().to_owned();
    let full = if path.is_empty() {
        root().join(from)
    } else {
        folder.join(path)
    };
    let Ok(full) = full.canonicalize() else {
        return Some(format!("{from}: no file for the link {target}"));
    };
    if heading.is_empty() {
        return None;
    }
    let name = full.strip_prefix(root().canonicalize().unwrap()).ok()?;
    let has_it = pages
        .get(&name.display().to_string())
        .is_some_and(|page| headings(page).contains(heading));
    (!has_it).then(|| format!("{from}: no heading for the link {target}"))
}

/// What is wrong with a word in backticks, on the page at `from`.
fn wrong_word(from: &str, word: &str, sources: &Sources) -> Option<&'static str> {
    let word = word.trim_end_matches("()");
    let starts_below = |top: &&str| {
        word.strip_prefix(*top)
            .is_some_and(|it| it.starts_with('/'))
    };
    let is_page = !word.contains('/') && word.ends_with(".md");
    if TOP.iter().any(starts_below) || is_page {
        // A pattern names a folder; words in capitals stand for names.
        let fixed = word.split(['*', ' ']).next().unwrap_or_default();
        let fixed = match fixed
            .split('/')
            .position(|part| part.starts_with("NAME") || part.starts_with("FILE"))
        {
            Some(count) => fixed.split('/').take(count).collect::<Vec<_>>().join("/"),
            None => fixed.to_owned(),
        };
        let beside = root().join(from).parent().unwrap().join(&fixed);
        return (!root().join(&fixed).exists() && !beside.exists()).then_some("no such file");
    }
    let is_name = |c: char| is_word(c) || matches!(c, ':' | '*' | '…');
    if word.is_empty()
        || !word.chars().all(is_name)
        || word.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mut parts: Vec<&str> = word.split("::").collect();
    let last = parts.pop()?;
    if parts.iter().any(|part| !sources.words.contains(*part)) {
        return Some("no such item");
    }
    if let Some(start) = last.strip_suffix(['*', '…']) {
        let is_there = sources.functions.iter().any(|name| name.starts_with(start));
        return (!is_there).then_some("no test that begins so");
    }
    if last.matches('_').count() >= 3 && last.chars().all(|c| !c.is_uppercase()) {
        let is_there =
            sources.functions.contains(last) || sources.words.contains(last) && last.len() < 24;
        return (!is_there).then_some("no such test");
    }
    let is_item = last.contains('_') || !parts.is_empty() || last.starts_with(char::is_uppercase);
    (is_item && !sources.words.contains(last)).then_some("no such item")
}

/// The names of which a page says that they are in a file: name and file.
fn placed(prose: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = prose.split('`').collect();
    let mut placed = Vec::new();
    for at in (3..parts.len()).step_by(2) {
        let (file, mut between) = (parts[at], at - 1);
        if !file.ends_with(".rs") || parts[between].split_whitespace().ne(["in"]) {
            continue;
        }
        loop {
            let name = parts[between - 1];
            if name.contains('/') {
                break; // A file that stands before in the list.
            }
            placed.push((name, file));
            if between < 3 || parts[between - 2].trim() != "," {
                break;
            }
            between -= 2;
        }
    }
    placed
}

/// Whether a file has a name, given as `name`, `Type::name` or the beginning of one.
fn has_name(file: &str, name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or_default();
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return false;
    };
    let text = code(&text);
    let mut words = text.split(|c| !is_word(c));
    match last.strip_suffix(['*', '…']) {
        Some(start) => words.any(|word| word.starts_with(start)),
        None => words.any(|word| word == last),
    }
}

/// The targets of cargo that a page names, in prose and in commands: option and name.
fn targets(page: &str) -> Vec<(&str, &str)> {
    let is_end = |c: char| !is_word(c) && c != '-';
    let words: Vec<&str> = page.split_whitespace().collect();
    words
        .windows(2)
        .filter_map(|pair| {
            let option = pair[0].trim_start_matches('`');
            let is_target = matches!(option, "--test" | "--bench" | "--example" | "xtask");
            let name = pair[1].split(is_end).next().unwrap_or_default();
            (is_target && !name.is_empty()).then_some((option, name))
        })
        .collect()
}

/// Whether there is such a target.
fn has_target(option: &str, name: &str) -> bool {
    let folders: &[&str] = match option {
        "--test" => &["tests", "cli/tests"],
        "--bench" => &["benches"],
        "--example" => &["examples"],
        _ => {
            let commands = fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
            let (first, rest) = name.split_at(1);
            let variant = format!("    {}{rest}", first.to_uppercase());
            let is_it = |line: &str| {
                let after = line.strip_prefix(&variant);
                after.is_some_and(|after| after.starts_with([',', '(', ' ']))
            };
            return name == "help" || commands.lines().any(is_it);
        }
    };
    folders.iter().any(|folder| {
        let folder = root().join(folder);
        let is_file = |path: String| folder.join(path).is_file();
        is_file(format!("{name}.rs")) || is_file(format!("{name}/main.rs"))
    })
}

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
fn mutants_and_planted_bugs_are_told_as_they_are_listed() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("it is there");
    if !root().join("fuzz").exists() {
        println!("skipped: a packaged crate does not contain the fuzz targets");
        return;
    }
    let mut lists = Vec::new();
    files(&root().join("tests/mutants"), &mut lists).expect("it can be read");
    let lists: String = lists
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mutants: Vec<&str> = lists
        .split("\n== ")
        .skip(1)
        .filter(|mutant| !mutant.starts_with("always"))
        .collect();
    let with = |line: &str| {
        let has_it = |mutant: &&&str| mutant.lines().any(|it| it.starts_with(line));
        mutants.iter().filter(has_it).count()
    };
    let (all, equivalent) = (mutants.len(), with("equivalent:"));
    let readme = read("README.md");
    assert!(readme.contains(&format!("in {all} ways")), "{all}");
    let page = read("docs/verification.md");
    for told in [
        format!("in {all} ways"),
        format!(
            "{} are killed, {equivalent} argued equivalent",
            all - equivalent
        ),
        format!("for {} of them", with("quick")),
        format!("`--quick` runs {}.", with("quick")),
        format!("{} bugs planted into the library", with("real")),
        format!("plants {} mutants", with("real")),
    ] {
        assert!(page.contains(&told), "{told}");
    }

    let (mut file, mut name, mut rows) = ("", "", Vec::new());
    let list = read("fuzz/planted.txt");
    for line in list.lines() {
        if let Some(it) = line.strip_prefix("file: ") {
            file = it;
        } else if let Some(it) = line.strip_prefix("== ") {
            name = it;
        } else if let Some(target) = line.strip_prefix("target: ") {
            rows.push(format!("| {name} | `{file}` | `{target}` |"));
        }
    }
    let fuzz = read("fuzz/README.md");
    let (_, table) = fuzz.split_once("| bug | in |").expect("the table is there");
    let table = table.split("\n\n").next().unwrap();
    let told: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(told, rows);
    assert!(page.contains(&format!("plants {} bugs", rows.len())));
}

/// The compiler checks `offset_of!(RawHeader, FIELD) == OFFSET` for each field; this compares those with
/// the table that people read.
#[test]
fn the_specification_gives_the_offsets_that_the_compiler_checks() {
    let mut sources = Vec::new();
    files(&root().join("src/format"), &mut sources).expect("it can be read");
    let mut checked = BTreeMap::new();
    for path in &sources {
        let text = fs::read_to_string(path).expect("UTF-8");
        for rest in text.split("offset_of!(RawHeader, ").skip(1) {
            if let Some((field, rest)) = rest.split_once(") == ") {
                let offset = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                checked.insert(field.to_owned(), offset.to_owned());
            }
        }
    }
    let page = fs::read_to_string(root().join("docs/format.md")).expect("it is there");
    let (_, section) = page
        .split_once("\n## Header\n")
        .expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let mut next = 0;
    let mut told = BTreeMap::new();
    for line in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (offset, size, field) = (cells[1], cells[2], cells[3]);
        assert_eq!(
            offset,
            next.to_string(),
            "{field} begins where the one before it ends"
        );
        next += size.parse::<usize>().unwrap_or_default();
        told.insert(field.to_owned(), offset.to_owned());
    }
    assert_eq!(told.remove("schemas").as_deref(), Some("512"));
    assert!(told.len() > 25, "{told:?}");
    assert_eq!(told, checked);
}

#[test]
fn the_readme_is_one_screen_after_the_other_and_not_a_book() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is there");
    let words = readme.split_whitespace().count();
    assert!(words <= 900, "{words} words: at most 900");
}
