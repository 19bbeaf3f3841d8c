//! Builds and runs `tests/consumer`, a package of its own that renames the dependency.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Copies the package to where it may be built, with the versions of dependencies that
/// this workspace uses: these are certainly there, and no lock file can be out of date.
fn copy_consumer(root: &Path, to: &Path) -> io::Result<()> {
    let from = root.join("tests/consumer");
    fs::create_dir_all(to.join("src"))?;
    fs::copy(from.join("src/main.rs"), to.join("src/main.rs"))?;
    fs::copy(root.join("Cargo.lock"), to.join("Cargo.lock"))?;
    let manifest = fs::read_to_string(from.join("Cargo.toml"))?;
    let here = format!("path = {:?}", root.display().to_string());
    assert!(manifest.contains("path = \"../..\""));
    fs::write(
        to.join("Cargo.toml"),
        manifest.replace("path = \"../..\"", &here),
    )
}

#[test]
fn program_that_renames_the_dependency_needs_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("tests/consumer/Cargo.toml").exists() {
        println!("skipped: a packaged crate does not contain the consumer");
        return;
    }
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumer");
    copy_consumer(root, &package).expect("the consumer can be copied");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", package.join("target"))
        .output()
        .expect("cargo runs: it started this test");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        stdout.trim_end(),
        "struct Venue { id: u16, open: bool, lanes: [u8; 1] } -> struct Quote { bid: f64, ask: f64, \
         venue: struct Venue { id: u16, open: bool, lanes: [u8; 1] }, \
         side: enum Side: u8 { Bid = 1, Ask = 2 }, symbol: Str<9> }",
    );
}
