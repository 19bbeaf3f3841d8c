//! Builds and runs `tests/consumer`, a package of its own that renames the dependency.

use std::path::Path;
use std::process::Command;

#[test]
fn program_that_renames_the_dependency_needs_nothing_else() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumer/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--offline", "--manifest-path"])
        .arg(manifest)
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumer"),
        )
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
