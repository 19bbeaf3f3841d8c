//! Whoever uses the library compiles little else.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of the packages that are compiled for the library with these features, itself included.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--edges", "normal,build", "--prefix", "none"])
        .args(["--package", "shmkv", "--locked", "--no-default-features"])
        .args(features)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?))
        })
        .collect()
}

#[test]
fn the_library_alone_compiles_fewer_than_25_crates() {
    let crates = crates(&[]);
    assert!(
        crates.iter().any(|name| name.starts_with("shmkv ")),
        "{crates:?}"
    );
    assert!(crates.len() < 25, "{}: {crates:#?}", crates.len());
}

#[test]
fn the_library_alone_knows_no_command_line_and_no_json() {
    for name in crates(&[]) {
        let name = name.split(' ').next().unwrap();
        let unwanted = [
            "clap",
            "serde",
            "serde_json",
            "anstyle",
            "tokio",
            "proptest",
            "loom",
        ];
        assert!(!unwanted.contains(&name), "{name} is compiled");
    }
}
