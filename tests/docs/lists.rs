//! What pages copy from lists: mutants, planted bugs, the offsets of the header.

use std::collections::BTreeMap;
use std::fs;

use crate::tree::{files, root};

#[test]
fn mutants_and_planted_bugs_are_told_as_they_are_listed() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("it is there");
    if !root().join("fuzz").exists() {
        println!("skipped: a packaged crate does not contain the fuzz targets");
        return;
    }
    let mut lists = Vec::new();
    files(&root().join("tests/mutants"), &mut lists).expect("it can be read");
    // Those of the folder `unit` break something else, and are counted where they are run.
    lists.retain(|path| !path.components().any(|part| part.as_os_str() == "unit"));
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
