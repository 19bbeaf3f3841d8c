//! Building the test program with all mutants in it, and running it with one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::list::{Hunk, Mutant};
use crate::splice;

/// The package of the models, so that nothing else is built.
const MANIFEST: &str = r#"[package]
name = "shmkv-mutated"
version = "0.0.0"
edition = "2024"
publish = false
autotests = false
autolib = false

[workspace]

[[test]]
name = "loom"
path = "tests/loom.rs"

[dependencies]
loom = "0.7"
proptest = "1.12"
rapidhash = { version = "4.5", default-features = false }
siphasher = { version = "1.0", default-features = false }
zerocopy = { version = "0.8", features = ["derive"] }

[lints.rust]
unexpected_cfgs = { level = "allow" }
warnings = "allow"

[profile.dev]
opt-level = 1
debug = false
incremental = false

[profile.dev.package."*"]
opt-level = 2
"#;

/// Which mutant the program is, by its environment.
const SELECT: &str = r#"
pub(crate) fn mutant() -> u32 {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| {
        let number = std::env::var("SHMKV_MUTANT").expect("which mutant am I?");
        number.parse().expect("a number")
    })
}
"#;

/// Far beyond what all models take on a busy machine. A mutant may loop for ever.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The test program.
pub struct Program {
    path: PathBuf,
}

/// What noticed a mutant.
pub struct Noticed {
    pub by: String,
    /// Of the model until then; "-" if it was a unit test.
    pub executions: String,
    pub log: String,
}

impl Program {
    pub fn build(target: &Path, helpers: &[Hunk], mutants: &[Mutant]) -> Result<Self, String> {
        let tree = target.join("tree");
        let io = |error: std::io::Error| format!("{}: {error}", tree.display());
        if tree.exists() {
            fs::remove_dir_all(&tree).map_err(io)?;
        }
        copy_dir(Path::new("src"), &tree.join("src")).map_err(io)?;
        copy_dir(Path::new("tests/loom"), &tree.join("tests/loom")).map_err(io)?;
        let models = fs::read_to_string("tests/loom.rs").map_err(io)?;
        fs::write(tree.join("tests/loom.rs"), models + SELECT).map_err(io)?;
        fs::write(tree.join("Cargo.toml"), MANIFEST).map_err(io)?;
        fs::copy("Cargo.lock", tree.join("Cargo.lock")).map_err(io)?;

        let mut sources: Vec<&str> = (mutants
            .iter()
            .flat_map(|mutant| &mutant.hunks)
            .chain(helpers))
        .map(|hunk| hunk.file.as_str())
        .collect();
        sources.sort_unstable();
        sources.dedup();
        for file in sources {
            let path = tree.join(file);
            let mut source =
                fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
            for hunk in helpers.iter().filter(|hunk| hunk.file == file) {
                source = splice::replace(&source, hunk)?;
            }
            let spliced = splice::splice(file, &source, mutants)?;
            fs::write(&path, spliced).map_err(io)?;
        }

        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([
                "test",
                "--offline",
                "--test",
                "loom",
                "--no-run",
                "--message-format=json-render-diagnostics",
            ])
            .current_dir(&tree)
            .env("CARGO_TARGET_DIR", target.join("build"))
            .stderr(Stdio::inherit())
            .output()
            .map_err(io)?;
        if !output.status.success() {
            return Err(
                "a mutant does not compile: each stands in an arm with its number, see \
                        the message above"
                    .to_owned(),
            );
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let key = "\"executable\":\"";
        let at = messages.rfind(key).ok_or("cargo names no program")? + key.len();
        let path = messages[at..].split('"').next().unwrap_or_default();
        Ok(Self {
            path: PathBuf::from(path),
        })
    }

    /// Runs the tests whose paths contain one of the filters (all, if there is none) on a mutant;
    /// 0 is none. What failed first, if anything.
    pub fn run(&self, mutant: usize, filters: &[String]) -> Option<Noticed> {
        let mut child = Command::new(&self.path)
            .args(filters)
            .arg("--test-threads=1")
            .env("SHMKV_MUTANT", mutant.to_string())
            .env("SHMKV_MODEL_EXIT", "1")
            .env("RUST_BACKTRACE", "0")
            .env_remove("LOOM_MAX_PREEMPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| crate::fail(&format!("{}: {error}", self.path.display())));
        let mut stdout = child.stdout.take().expect("it is piped");
        let reader = std::thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stdout.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        let started = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        let log = reader.join().unwrap_or_default();
        if status.is_some_and(|status| status.success()) {
            if log.contains("running 0 tests") {
                crate::fail(&format!("no test is called {filters:?}"));
            }
            return None;
        }
        let (by, executions) = what_failed(&log, status.is_none());
        Some(Noticed {
            by,
            executions,
            log,
        })
    }
}

fn what_failed(log: &str, is_timeout: bool) -> (String, String) {
    let none = || "-".to_owned();
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix("model ")
            && let Some((model, rest)) = rest.split_once(" failed after ")
        {
            let executions = rest.trim_end_matches(" executions");
            return (model.to_owned(), executions.to_owned());
        }
        if let Some(test) = line.strip_prefix("---- ")
            && let Some(test) = test.strip_suffix(" stdout ----")
        {
            return (test.to_owned(), none());
        }
    }
    // The test that was running: "test NAME ... " without an end.
    let running = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("test "));
    let running = running
        .and_then(|test| test.split(" ... ").next())
        .unwrap_or("?");
    match is_timeout {
        true => (format!("the clock, in {running}"), none()),
        false => (format!("a crash of {running}"), none()),
    }
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
