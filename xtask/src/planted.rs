//! Shows that the fuzz targets find things.
//!
//! Plants each bug of `fuzz/planted.txt`, one at a time, into a copy of the sources below
//! `fuzz/target/planted`, and runs the target that has to find it, from the seeds. For each bug it
//! prints the target, after how many seconds it was found, and by what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::list::{self, Mutant};

/// The list of bugs.
pub(crate) const LIST: &str = "fuzz/planted.txt";

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// Only those whose names contain this
    #[arg(default_value = "")]
    pattern: String,
    /// How long a target may take to find one, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Plants what is asked for. Says whether all were found; an error is a bug that could not be
/// planted or does not compile.
pub(crate) fn run(root: &Path, request: &Request) -> Result<bool, String> {
    let text = fs::read_to_string(root.join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
    let bugs = list::parse(&text)?;
    let tree = root.join("fuzz/target/planted");
    copy(root, &tree)?;
    let seeds = make_seeds(&tree)?;
    let mut all_found = true;
    for bug in bugs
        .iter()
        .filter(|bug| bug.name.contains(&request.pattern))
    {
        all_found &= plant_and_run(root, &tree, &seeds, bug, request.seconds)?;
    }
    Ok(all_found)
}

/// The sources as they are. What was built of them last time stays.
fn copy(root: &Path, tree: &Path) -> Result<(), String> {
    let parts = [
        ".",
        "Cargo.toml Cargo.lock README.md src derive cli examples benches xtask tests docs",
        "fuzz",
        "Cargo.toml Cargo.lock src fuzz_targets dictionaries",
    ];
    for pair in parts.chunks(2) {
        let (from, to) = (root.join(pair[0]), tree.join(pair[0]));
        fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        for part in pair[1].split(' ').filter(|part| from.join(part).exists()) {
            let _ = fs::remove_dir_all(to.join(part));
            // With their times, so that what has not changed is not built again.
            let copied = Command::new("cp")
                .args(["-r", "--preserve=timestamps"])
                .args([from.join(part), to.join(part)])
                .status();
            if !copied.is_ok_and(|status| status.success()) {
                return Err(format!("{part} could not be copied to {}", to.display()));
            }
        }
    }
    Ok(())
}

/// The seeds alone, whatever campaigns have collected.
fn make_seeds(tree: &Path) -> Result<PathBuf, String> {
    let seeds = tree.join("seeds");
    let _ = fs::remove_dir_all(&seeds);
    let _ = fs::remove_dir_all(tree.join("fuzz/corpus"));
    let made = Command::new("cargo")
        .args(["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--no-default-features", "--bin", "seeds"])
        .current_dir(tree)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    fs::rename(tree.join("fuzz/corpus"), &seeds).map_err(|error| format!("the seeds: {error}"))?;
    Ok(seeds)
}

fn plant_and_run(
    root: &Path,
    tree: &Path,
    seeds: &Path,
    bug: &Mutant,
    seconds: u32,
) -> Result<bool, String> {
    let name = &bug.name;
    let at = |error: std::io::Error| format!("{name}: {error}");
    for hunk in &bug.hunks {
        let file = tree.join(&hunk.file);
        let text = fs::read_to_string(&file).map_err(at)?;
        let text = list::replace(&text, hunk).map_err(|error| format!("{name}: {error}"))?;
        fs::write(&file, text).map_err(at)?;
    }
    let target = bug.target.as_str();
    let fuzz = |verb: &str, options: &[String]| {
        let mut command = Command::new("cargo");
        command
            .args(["+nightly", "fuzz", verb, target])
            .args(options)
            .current_dir(tree);
        command.output().map_err(at)
    };
    let built = fuzz("build", &[])?;
    if !built.status.success() {
        let log = String::from_utf8_lossy(&built.stderr).into_owned();
        return Err(format!("{log}{name}: does not compile"));
    }
    let corpus = tree.join("fuzz/corpus");
    let _ = fs::remove_dir_all(&corpus);
    let _ = fs::remove_dir_all(tree.join("fuzz/artifacts"));
    let copied = Command::new("cp")
        .arg("-r")
        .args([seeds, &corpus])
        .status()
        .map_err(at)?;
    if !copied.success() {
        return Err(format!("{name}: the seeds could not be copied"));
    }
    let mut options = vec![
        "--".to_owned(),
        format!("-max_total_time={seconds}"),
        "-timeout=10".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
    ];
    if ["ops", "corrupt", "scribble", "cache", "cache_scribble"].contains(&target) {
        options.extend(["-len_control=0".to_owned(), "-max_len=2048".to_owned()]);
    }
    let dictionary = format!("fuzz/dictionaries/{target}.dict");
    if tree.join(&dictionary).exists() {
        options.push(format!("-dict={dictionary}"));
    }
    let begun = Instant::now();
    let ran = fuzz("run", &options)?;
    let log =
        String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
    let what = match ran.status.success() {
        true => "NOT FOUND".to_owned(),
        false => what_was_seen(&log),
    };
    println!(
        "{name:<72} {target:<9} {:6.1} s  {what}",
        begun.elapsed().as_secs_f32()
    );
    for hunk in &bug.hunks {
        // A newer time, so that it is built again.
        let text = fs::read(root.join(&hunk.file)).map_err(at)?;
        fs::write(tree.join(&hunk.file), text).map_err(at)?;
    }
    Ok(!ran.status.success())
}

/// The line that says best what a target has found.
fn what_was_seen(log: &str) -> String {
    let mut lines = log.lines();
    let found = match lines.by_ref().find(|line| line.contains("panicked at")) {
        Some(line) => lines.next().unwrap_or(line),
        None => log
            .lines()
            .find(|line| line.contains("ERROR: "))
            .unwrap_or("?"),
    };
    found.chars().take(90).collect()
}
