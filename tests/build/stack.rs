//! Builds and runs `tests/stack`, without optimisation.

use std::fs;
use std::path::Path;
use std::process::Command;

const MANIFEST: &str = r#"[package]
name = "stack"
version = "0.0.0"
edition = "2024"

[[bin]]
name = "stack"
path = "stack.rs"

[workspace]

[dependencies]
"#;

#[test]
fn every_operation_fits_on_a_small_stack_without_optimisation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stack");
    fs::create_dir_all(&package).unwrap();
    fs::copy(root.join("tests/stack/stack.rs"), package.join("stack.rs")).unwrap();
    // The versions of this workspace: these are certainly there.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let dependency = format!("shmkv = {{ path = {:?} }}\n", root.display().to_string());
    fs::write(
        package.join("Cargo.toml"),
        MANIFEST.to_owned() + &dependency,
    )
    .unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", package.join("target"))
        .output()
        .expect("cargo runs: it started this test");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "in: {last}\n{stderr}");
    assert_eq!(stdout.lines().count(), 48, "{stdout}");
}
