//! The lists of mutants.
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
//! # a comment
//! ```

use std::fs;

/// Lines that are replaced.
pub struct Hunk {
    pub file: String,
    pub old: String,
    pub new: String,
}

#[derive(Default)]
pub struct Mutant {
    pub file: String,
    pub name: String,
    pub killers: Vec<String>,
    pub argument: String,
    pub quick: bool,
    pub real: bool,
    pub hunks: Vec<Hunk>,
}

/// All lists.
pub struct Lists {
    pub mutants: Vec<Mutant>,
    /// What mutants need and nobody else uses.
    pub helpers: Vec<Hunk>,
}

/// Reads every `*.txt` of a directory.
pub fn read(directory: &str) -> Result<Lists, String> {
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

fn parse(text: &str) -> Result<Vec<Mutant>, String> {
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
