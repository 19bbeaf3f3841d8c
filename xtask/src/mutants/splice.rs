//! From a source and its mutants to one source that is all of them.
//!
//! The sources are formatted by rustfmt, so a function begins with a line `fn` at the indentation
//! at which its closing brace stands alone: no parser is needed. A mutant that does not fit
//! into this is refused, never misunderstood.

use std::collections::BTreeMap;

use crate::list::{Mutant, replace};

/// A source, taken apart: `outside[0] body[0] outside[1] body[1] ... outside[n]`.
#[derive(Clone, PartialEq)]
struct Parts {
    outside: Vec<String>,
    bodies: Vec<String>,
}

/// The source `file` with all its mutants in it. Mutant number `n` is the n-th, from one.
pub(crate) fn splice(file: &str, source: &str, mutants: &[Mutant]) -> Result<String, String> {
    let original = take_apart(source);
    let mut variants: Vec<BTreeMap<usize, String>> = vec![BTreeMap::new(); original.bodies.len()];
    for (index, mutant) in mutants.iter().enumerate() {
        let mut text = source.to_owned();
        for hunk in mutant.hunks.iter().filter(|hunk| hunk.file == file) {
            text = replace(&text, hunk).map_err(|error| format!("{}: {error}", mutant.name))?;
        }
        let parts = take_apart(&text);
        if parts.outside != original.outside {
            return Err(format!(
                "{}: changes more than the bodies of functions",
                mutant.name
            ));
        }
        for (variants, (old, new)) in variants
            .iter_mut()
            .zip(original.bodies.iter().zip(parts.bodies))
        {
            if *old != new {
                variants.insert(index + 1, new);
            }
        }
    }
    let mut spliced = String::new();
    for (part, outside) in original.outside.iter().enumerate() {
        spliced += outside;
        let Some(body) = original.bodies.get(part) else {
            break;
        };
        if variants[part].is_empty() {
            spliced += body;
            continue;
        }
        spliced += "match crate::mutant() {\n";
        for (number, variant) in &variants[part] {
            spliced += &format!("{number} => {{\n{variant}}}\n");
        }
        spliced += &format!("_ => {{\n{body}}}\n}}\n");
    }
    Ok(spliced)
}

fn take_apart(source: &str) -> Parts {
    let mut parts = Parts {
        outside: vec![String::new()],
        bodies: Vec::new(),
    };
    let mut lines = source.split_inclusive('\n');
    while let Some(line) = lines.next() {
        *parts.outside.last_mut().expect("never empty") += line;
        let Some(indent) = function(line) else {
            continue;
        };
        // The rest of a signature that takes several lines, up to the brace.
        let mut head = line;
        while !ends(head, '{') && !ends(head, ';') && !ends(head, '}') {
            let Some(line) = lines.next() else {
                return parts;
            };
            *parts.outside.last_mut().expect("never empty") += line;
            head = line;
        }
        if !ends(head, '{') {
            continue;
        }
        let mut body = String::new();
        for line in lines.by_ref() {
            if line.trim_end() == format!("{:indent$}}}", "") {
                parts.bodies.push(std::mem::take(&mut body));
                parts.outside.push(line.to_owned());
                break;
            }
            body += line;
        }
        *parts.outside.last_mut().expect("never empty") += &body;
    }
    parts
}

fn ends(line: &str, with: char) -> bool {
    line.trim_end().ends_with(with)
}

/// The indentation of a line that begins a function.
fn function(line: &str) -> Option<usize> {
    let code = line.trim_start();
    let words = code.split([' ', '(']).take(4);
    let is_function = words
        .take_while(|word| {
            word.starts_with("pub") || ["crate)", "super)", "fn", "unsafe"].contains(word)
        })
        .any(|word| word == "fn");
    is_function.then(|| line.len() - code.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Hunk;

    const SOURCE: &str = "\
const A: u32 = 1;

impl B {
    /// Doubles.
    pub(crate) fn double(
        &self,
        x: u32,
    ) -> u32 {
        let y = || {
            x
        };
        y() * 2
    }

    fn one(&self) -> u32 {
        1
    }
}
";

    fn mutant(old: &str, new: &str) -> Mutant {
        let hunk = Hunk {
            file: "f".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        };
        Mutant {
            hunks: vec![hunk],
            ..Mutant::default()
        }
    }

    #[test]
    fn mutants_become_arms_of_the_functions_that_they_change() {
        let mutants = [
            mutant("* 2", "* 3"),
            mutant("        1\n", "        2\n"),
            mutant("* 2", "* 4"),
        ];
        let spliced = splice("f", SOURCE, &mutants).unwrap();
        let arms = |number: usize| spliced.matches(&format!("\n{number} => {{")).count();
        assert_eq!([arms(1), arms(2), arms(3)], [1; 3]);
        assert_eq!(spliced.matches("match crate::mutant()").count(), 2);
        for text in ["y() * 2", "y() * 3", "y() * 4"] {
            assert_eq!(spliced.matches(text).count(), 1);
        }
        assert_eq!(splice("g", SOURCE, &mutants).unwrap(), SOURCE);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (old, new) in [
            ("u32 = 1", "u32 = 2"),
            ("x: u32", "x: u64"),
            ("* 7", "* 8"),
            ("u32", "u64"),
        ] {
            assert!(splice("f", SOURCE, &[mutant(old, new)]).is_err(), "{old}");
        }
    }
}
