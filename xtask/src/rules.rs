//! Breaks each rule of `liveness::trust` once, and shows that its unit tests notice.
//!
//! The module is pure and uses one enum of the library, so it is compiled alone, once a mutant, which
//! takes a second. The list is in `tests/mutants/unit/`, in the format of [`list`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::list::{self, Mutant, replace};

const LISTS: &str = "tests/mutants/unit";
const MODULE: &str = "src/liveness/trust";
const FILES: [&str; 4] = ["mod.rs", "participant.rs", "segment.rs", "tests.rs"];

/// What the module uses of the library.
const HARNESS: &str = "#![allow(dead_code, unused_imports)]
pub mod liveness {
    pub mod token {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Liveness { Alive, Dead, Unknown }
    }
    pub mod trust;
}
";

/// Runs all; an error if one survives or does not apply, or if the tests fail without any.
pub(crate) fn check(root: &Path, target: &Path) -> Result<String, String> {
    let lists = list::read(&root.join(LISTS).to_string_lossy())?;
    if lists.mutants.is_empty() {
        return Err(format!("{LISTS} has no mutants"));
    }
    if !passes(root, target, None)? {
        return Err("the tests fail without any mutant".to_owned());
    }
    let mut survivors = Vec::new();
    for mutant in &lists.mutants {
        if passes(root, target, Some(mutant))? {
            survivors.push(mutant.name.as_str());
        } else {
            println!("killed: {}", mutant.name);
        }
    }
    match survivors.is_empty() {
        true => Ok(format!("{} mutants, all killed", lists.mutants.len())),
        false => Err(format!("survived: {}", survivors.join("; "))),
    }
}

fn passes(root: &Path, target: &Path, mutant: Option<&Mutant>) -> Result<bool, String> {
    let text = |error: std::io::Error| error.to_string();
    let directory = target.join("rules");
    let module = directory.join(MODULE);
    fs::create_dir_all(&module).map_err(text)?;
    fs::create_dir_all(directory.join("docs")).map_err(text)?;
    fs::copy(root.join("docs/trust.md"), directory.join("docs/trust.md")).map_err(text)?;
    fs::write(directory.join("src/lib.rs"), HARNESS).map_err(text)?;
    for name in FILES {
        let file = format!("{MODULE}/{name}");
        let mut source = fs::read_to_string(root.join(&file)).map_err(text)?;
        for hunk in mutant.iter().flat_map(|mutant| &mutant.hunks) {
            if hunk.file == file {
                source = replace(&source, hunk)?;
            }
        }
        fs::write(module.join(name), source).map_err(text)?;
    }
    let program = directory.join("tests");
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "--test", "-o"])
        .arg(&program)
        .arg(directory.join("src/lib.rs"))
        .stderr(Stdio::piped())
        .output()
        .map_err(text)?;
    if !compiled.status.success() {
        let name = mutant.map_or("the module itself", |mutant| mutant.name.as_str());
        let errors = String::from_utf8_lossy(&compiled.stderr);
        return Err(format!("{name} does not compile: {errors}"));
    }
    let ran = Command::new(program)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(ran.map_err(text)?.success())
}
