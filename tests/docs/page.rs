//! What a page says: links, names, places, targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tree::{files, is_word, root};

/// The pages: at the top, in `docs/`, and beside what they are about.
pub(crate) fn pages() -> BTreeMap<String, String> {
    let mut paths = Vec::new();
    files(root(), &mut paths).expect("the repository can be read");
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "md"));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).expect("UTF-8")))
        .collect()
}
/// The text outside of code blocks.
pub(crate) fn prose(page: &str) -> String {
    let mut is_inside = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence && !line.starts_with("    ")
    };
    page.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// The targets of the links of a page, `[text](target)` and `[text]: target`.
pub(crate) fn links(prose: &str) -> Vec<String> {
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
pub(crate) fn headings(page: &str) -> BTreeSet<String> {
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
pub(crate) fn quoted(prose: &str) -> Vec<&str> {
    prose.split('`').skip(1).step_by(2).collect()
}
/// The names of which a page says that they are in a file: name and file.
pub(crate) fn placed(prose: &str) -> Vec<(&str, &str)> {
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
/// The targets of cargo that a page names, in prose and in commands: option and name.
pub(crate) fn targets(page: &str) -> Vec<(&str, &str)> {
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
