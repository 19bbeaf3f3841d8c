//! Building the test program with all mutants in it, and running it with one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{fail, splice};
use crate::list::{self, Lists};

/// The package of the models. The library is none of its targets.
const MANIFEST: &str = r#"[package]
name = "shmkv-mutated"
version = "0.0.0"
edition = "2024"
publish = false
autotests = false
autolib = false
autobins = false

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

/// The package of the library; sections of its own manifest follow.
const REAL_MANIFEST: &str = r#"[workspace]
members = ["derive"]

[package]
name = "shmkv"
version = "0.0.0"
edition = "2024"
publish = false
autotests = false
autobins = false

[[test]]
name = "linearizability"
path = "tests/linearizability.rs"
harness = false

[dev-dependencies]
libc = "0.2"
porcupine-rs = "0.3"

[lints.rust]
warnings = "allow"

[profile.dev]
opt-level = 2
debug = false
incremental = false

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

/// Far beyond what all models take on a busy machine. A mutant may stand still for ever.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Seconds of a processor's time, several times what all models take. A mutant may loop for ever.
const TIMEOUT_CPU: u32 = 600;

/// What a process is sent that has used up its time.
const SIGXCPU: i32 = 24;

/// The test program.
#[derive(Debug)]
pub(crate) struct Program {
    kind: Kind,
    path: PathBuf,
}

/// What noticed a mutant.
#[derive(Debug)]
pub(crate) struct Noticed {
    pub(crate) by: String,
    /// Of the model until then; "-" if it was a unit test.
    pub(crate) executions: String,
    pub(crate) log: String,
}

/// Which tests are run against the mutants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `tests/loom.rs`, with the sources that it includes.
    Models,
    /// `tests/linearizability.rs`, with the whole library.
    Real,
}

impl Kind {
    fn test(self) -> &'static str {
        match self {
            Self::Models => "loom",
            Self::Real => "linearizability",
        }
    }

    /// The manifest of the copy. That of the library is made of sections of the real one.
    fn manifest(self) -> std::io::Result<String> {
        if self == Self::Models {
            return Ok(MANIFEST.to_owned());
        }
        let wanted = [
            "[workspace.package]",
            "[workspace.lints.rust]",
            "[workspace.lints.clippy]",
            "[features]",
            "[dependencies]",
        ];
        let mut manifest = REAL_MANIFEST.to_owned();
        let mut is_wanted = false;
        for line in fs::read_to_string("Cargo.toml")?.lines() {
            if line.starts_with('[') {
                is_wanted = wanted.contains(&line.trim_end());
            }
            if is_wanted {
                manifest += line;
                manifest += "\n";
            }
        }
        Ok(manifest)
    }
}

impl Program {
    pub(crate) fn build(kind: Kind, target: &Path, lists: &Lists) -> Result<Self, String> {
        let tree = target.join(kind.test());
        let io = |error: std::io::Error| format!("{}: {error}", tree.display());
        let mut wanted = BTreeMap::new();
        let mut folders = vec!["src", "tests/loom"];
        let mut files = vec!["tests/loom.rs", "Cargo.lock"];
        if kind == Kind::Real {
            folders = vec!["src", "derive", "tests/history"];
            files = vec!["tests/linearizability.rs", "Cargo.lock"];
        }
        for folder in folders {
            read_dir(Path::new(folder), &mut wanted).map_err(io)?;
        }
        for file in files {
            wanted.insert(PathBuf::from(file), fs::read(file).map_err(io)?);
        }
        wanted.insert(
            "Cargo.toml".into(),
            kind.manifest().map_err(io)?.into_bytes(),
        );
        let root = if kind == Kind::Real {
            "src/lib.rs"
        } else {
            "tests/loom.rs"
        };
        let root = wanted.get_mut(Path::new(root)).ok_or("there is no root")?;
        root.extend_from_slice(SELECT.as_bytes());

        let hunks = lists.mutants.iter().flat_map(|mutant| &mutant.hunks);
        let mutated: BTreeSet<&str> = (hunks.chain(&lists.helpers))
            .map(|hunk| hunk.file.as_str())
            .collect();
        for file in mutated {
            let source = wanted.get_mut(Path::new(file));
            let source = source.ok_or_else(|| format!("there is no {file}"))?;
            let mut text = String::from_utf8_lossy(source).into_owned();
            for hunk in lists.helpers.iter().filter(|hunk| hunk.file == file) {
                text = list::replace(&text, hunk)?;
            }
            *source = splice::splice(file, &text, &lists.mutants)?.into_bytes();
        }
        // What is there already is not written again, so that it is not compiled again.
        for (path, bytes) in &wanted {
            let path = tree.join(path);
            if fs::read(&path).is_ok_and(|found| found == *bytes) {
                continue;
            }
            fs::create_dir_all(path.parent().unwrap_or(&tree)).map_err(io)?;
            fs::write(&path, bytes).map_err(io)?;
        }

        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["test", "--offline", "--no-run", "--test", kind.test()])
            .arg("--message-format=json-render-diagnostics")
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
            kind,
            path: PathBuf::from(path),
        })
    }

    /// Runs the tests whose paths contain one of the filters (all, if absent) on a mutant;
    /// 0 is none. What failed first, if anything.
    pub(crate) fn run(&self, mutant: usize, filters: &[String]) -> Option<Noticed> {
        let filters = if self.kind == Kind::Real {
            &[]
        } else {
            filters
        };
        // The limit is the shell's affair, since the standard library has no word for it.
        let limited = format!("ulimit -t {TIMEOUT_CPU}; exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &limited])
            .arg(&self.path)
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
            .unwrap_or_else(|error| fail(&format!("{}: {error}", self.path.display())));
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
                Ok(None) if started.elapsed() < TIMEOUT => {
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
                fail(&format!("no test is called {filters:?}"));
            }
            return None;
        }
        let is_timeout = status.is_none_or(|status| status.signal() == Some(SIGXCPU));
        let (by, executions) = what_failed(&log, is_timeout);
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
        if let Some(found) = line.strip_prefix("violation found after ") {
            let by = "a history that nothing explains".to_owned();
            return (by, found.to_owned());
        }
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

/// All files below `folder`, by their paths.
fn read_dir(folder: &Path, to: &mut BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read_dir(&entry.path(), to)?;
        } else {
            to.insert(entry.path(), fs::read(entry.path())?);
        }
    }
    Ok(())
}
