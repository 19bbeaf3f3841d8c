//! Lists of exact replacements in the sources: mutants, and planted bugs.
//!
//! ```text
//! file: src/protocol/bucket/mod.rs          the file that the mutants below are about
//! == begin: no acquire fence   the name of a mutant; "== always" is applied to all of them
//! killer: reading::            tests that are run first: whose path contains this
//! quick                        one of the handful that --quick runs
//! real                         noticed by histories of real processes as well, see --real
//! equivalent: Since ...        why nothing can notice it (all tests are run against it all the same)
//! -    an exact line           what is searched for, exactly and once
//! +    another line            what stands there instead
//! file+: src/protocol/table/mod.rs          the file of the replacements below, if it is another one
//! target: scribble             the fuzz target that has to find a planted bug
//! # a comment
//! ```

use std::fs;
#[cfg(test)]
use std::path::Path;

/// Lines that are replaced.
#[derive(Debug)]
pub(crate) struct Hunk {
    pub(crate) file: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// One way to break the sources.
#[derive(Debug, Default)]
pub(crate) struct Mutant {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) killers: Vec<String>,
    pub(crate) argument: String,
    pub(crate) quick: bool,
    pub(crate) real: bool,
    pub(crate) target: String,
    pub(crate) hunks: Vec<Hunk>,
}

/// All lists.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) mutants: Vec<Mutant>,
    /// What mutants need and nobody else uses.
    pub(crate) helpers: Vec<Hunk>,
}

/// Reads every `*.txt` of a directory.
pub(crate) fn read(directory: &str) -> Result<Lists, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{directory}: {error}"))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let mut lists = Lists {
        mutants: Vec::new(),
        helpers: Vec::new(),
    };
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
        let mutants = parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        for mutant in mutants {
            match mutant.name.as_str() {
                "always" => lists.helpers.extend(mutant.hunks),
                _ => lists.mutants.push(mutant),
            }
        }
    }
    Ok(lists)
}

pub(crate) fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants: Vec<Mutant> = Vec::new();
    let (mut file, mut target, mut last) = (String::new(), String::new(), ' ');
    for line in text.lines() {
        let kind = line.chars().next().unwrap_or('#');
        if let Some(name) = line.strip_prefix("== ") {
            (target, last) = (file.clone(), ' ');
            mutants.push(Mutant {
                file: file.clone(),
                name: name.to_owned(),
                ..Mutant::default()
            });
            continue;
        }
        if let Some(name) = line.strip_prefix("file: ") {
            file = name.to_owned();
            continue;
        }
        if kind == '#' {
            continue;
        }
        let Some(mutant) = mutants.last_mut() else {
            return Err(format!("before the first mutant: {line}"));
        };
        if let Some(name) = line.strip_prefix("file+: ") {
            (target, last) = (name.to_owned(), ' ');
        } else if let Some(name) = line.strip_prefix("target: ") {
            mutant.target = name.to_owned();
        } else if let Some(killer) = line.strip_prefix("killer: ") {
            mutant.killers.push(killer.to_owned());
        } else if let Some(argument) = line.strip_prefix("equivalent: ") {
            mutant.argument += argument;
        } else if line == "quick" {
            mutant.quick = true;
        } else if line == "real" {
            mutant.real = true;
        } else if kind == '-' && last != '-' {
            let (file, old) = (target.clone(), line[1..].to_owned());
            mutant.hunks.push(Hunk {
                file,
                old,
                new: String::new(),
            });
            last = kind;
        } else if (kind, last) == ('-', '-') {
            let hunk = mutant.hunks.last_mut().expect("the line before began one");
            hunk.old = format!("{}\n{}", hunk.old, &line[1..]);
        } else if kind == '+' && last != ' ' {
            let hunk = mutant.hunks.last_mut().expect("a line before began one");
            hunk.new = match last {
                '+' => format!("{}\n{}", hunk.new, &line[1..]),
                _ => line[1..].to_owned(),
            };
            last = kind;
        } else {
            return Err(format!("{}: what is this: {line}", mutant.name));
        }
    }
    Ok(mutants)
}

/// Replaces what must be there exactly once.
pub(crate) fn replace(text: &str, hunk: &Hunk) -> Result<String, String> {
    match text.matches(&hunk.old).count() {
        1 => Ok(text.replacen(&hunk.old, &hunk.new, 1)),
        count => Err(format!(
            "{count} matches in {} for:\n{}",
            hunk.file, hunk.old
        )),
    }
}

/// Whether all that a mutant replaces stands in the tree below `root`, exactly once.
#[cfg(test)]
pub(crate) fn applies(root: &Path, mutant: &Mutant) -> Result<(), String> {
    let mut texts = std::collections::BTreeMap::<&str, String>::new();
    for hunk in &mutant.hunks {
        let text = match texts.get(hunk.file.as_str()) {
            Some(text) => text.clone(),
            None => fs::read_to_string(root.join(&hunk.file))
                .map_err(|error| format!("{}: {}: {error}", mutant.name, hunk.file))?,
        };
        let text = replace(&text, hunk).map_err(|error| format!("{}: {error}", mutant.name))?;
        texts.insert(&hunk.file, text);
    }
    match mutant.hunks.is_empty() {
        true => Err(format!("{}: replaces nothing", mutant.name)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_and_every_planted_bug_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let lists = read(root.join(crate::mutants::LISTS).to_str().unwrap()).unwrap();
        let planted = fs::read_to_string(root.join(crate::planted::LIST)).unwrap();
        let planted = parse(&planted).unwrap();
        assert!(lists.mutants.len() > 100 && planted.len() > 10);
        for mutant in lists.mutants.iter().chain(&planted) {
            applies(&root, mutant).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
