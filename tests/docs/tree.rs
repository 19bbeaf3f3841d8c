//! What the tree has: files, names, targets; and what is wrong with what a page says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::page::headings;

/// Folders in which a path of this repository begins.
const TOP: [&str; 10] = [
    ".ci", "benches", "cli", "derive", "docs", "examples", "fuzz", "src", "tests", "xtask",
];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, but for what is built or generated.
pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
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
/// What the sources say.
pub(crate) struct Sources {
    functions: BTreeSet<String>,
    words: BTreeSet<String>,
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A source without its comments: what they mention need not be there.
pub(crate) fn code(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

impl Sources {
    pub(crate) fn read() -> Self {
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
                path.ends_with("tests/docs/main.rs") || path.ends_with("xtask/src/words.rs");
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
/// What is wrong with a link of the page at `from`.
pub(crate) fn wrong_link(
    from: &str,
    target: &str,
    pages: &BTreeMap<String, String>,
) -> Option<String> {
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
pub(crate) fn wrong_word(from: &str, word: &str, sources: &Sources) -> Option<&'static str> {
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
/// Whether a file has a name, given as `name`, `Type::name` or the beginning of one.
pub(crate) fn has_name(file: &str, name: &str) -> bool {
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
/// Whether there is such a target.
pub(crate) fn has_target(option: &str, name: &str) -> bool {
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
