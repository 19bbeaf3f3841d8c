//! Builds and runs programs as users have them: `tests/consumer`, a package of its own that renames the
//! dependency, and each example of the documentation, as a reader sees and pastes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where packages are made and built. They share what they build.
fn place() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Writes a manifest, and the versions of dependencies that this workspace uses: these are certainly
/// there, and no lock file can be out of date.
fn write_manifest(package: &Path, manifest: &str) -> io::Result<()> {
    let here = format!("path = {:?}", root().display().to_string());
    assert!(manifest.contains("path = \"../..\""));
    fs::copy(root().join("Cargo.lock"), package.join("Cargo.lock"))?;
    fs::write(
        package.join("Cargo.toml"),
        manifest.replace("path = \"../..\"", &here),
    )
}

fn cargo(package: &Path, command: &str) -> Output {
    Command::new(env!("CARGO"))
        .args([command, "--quiet", "--offline", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", place().join("target"))
        .output()
        .expect("cargo runs: it started this test")
}

#[test]
fn program_that_renames_the_dependency_needs_nothing_else() {
    let from = root().join("tests/consumer");
    if !from.join("Cargo.toml").exists() {
        println!("skipped: a packaged crate does not contain the consumer");
        return;
    }
    let package = place().join("consumer");
    fs::create_dir_all(package.join("src")).unwrap();
    fs::copy(from.join("src/main.rs"), package.join("src/main.rs")).unwrap();
    let manifest = fs::read_to_string(from.join("Cargo.toml")).unwrap();
    write_manifest(&package, &manifest).expect("the consumer can be copied");
    let output = cargo(&package, "run");
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

/// An example, as its reader sees it.
#[derive(Debug)]
struct Example {
    /// File and line.
    from: String,
    text: String,
    /// It is shown because the compiler refuses it.
    is_refused: bool,
}

/// The lines of documentation of a source, or all lines of a page.
fn documentation<'t>(path: &Path, text: &'t str) -> Vec<Option<&'t str>> {
    let is_page = path.extension().is_some_and(|ext| ext == "md");
    let line = |line: &'t str| {
        if is_page {
            return Some(line);
        }
        let line = line.trim_start();
        let line = line.strip_prefix("///").or(line.strip_prefix("//!"))?;
        Some(line.strip_prefix(' ').unwrap_or(line))
    };
    text.lines().map(line).collect()
}

/// The blocks of Rust in a file. Pages of the repository hide nothing; in a comment, only a line that
/// gives the type of `?`'s error may be hidden, since a function that returns it needs no such line.
fn examples(path: &Path, text: &str, hidden: &mut Vec<String>) -> Vec<Example> {
    let is_page = path.extension().is_some_and(|ext| ext == "md");
    let mut found: Vec<Example> = Vec::new();
    let (mut is_inside, mut is_rust) = (false, false);
    for (number, line) in documentation(path, text).into_iter().enumerate() {
        let from = || {
            format!(
                "{}:{}",
                path.strip_prefix(root()).unwrap().display(),
                number + 1
            )
        };
        let Some(line) = line else {
            is_inside = false;
            continue;
        };
        if let Some(info) = line.trim_start().strip_prefix("```") {
            is_inside = !is_inside;
            let words: Vec<&str> = info.split(',').map(str::trim).collect();
            let known = [
                "",
                "rust",
                "no_run",
                "compile_fail",
                "ignore",
                "should_panic",
            ];
            is_rust =
                words.iter().all(|word| known.contains(word)) && !(is_page && info.is_empty());
            if is_inside && is_rust {
                assert!(
                    !words.contains(&"ignore"),
                    "{}: nobody compiles this",
                    from()
                );
                found.push(Example {
                    from: from(),
                    text: String::new(),
                    is_refused: words.contains(&"compile_fail"),
                });
            }
        } else if is_inside && is_rust {
            let is_hidden = !is_page && (line == "#" || line.starts_with("# "));
            if is_hidden && !line.starts_with("# Ok::<") {
                hidden.push(format!("{}: {line}", from()));
            }
            if !is_hidden {
                let example = found.last_mut().unwrap();
                example.text.push_str(line);
                example.text.push('\n');
            }
        }
    }
    found
}

/// All files below a folder, with one of these endings.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, endings, found);
        } else if path
            .extension()
            .is_some_and(|ext| endings.iter().any(|it| ext == *it))
        {
            found.push(path);
        }
    }
}

/// A program of an example: itself if it has a `main`, else in a `main` that returns a `Result`.
fn program(example: &Example) -> String {
    if example.text.contains("fn main(") {
        return example.text.clone();
    }
    format!(
        "fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{}\nOk(())\n}}\n",
        example.text
    )
}

#[test]
fn every_example_of_the_documentation_compiles_as_pasted_and_runs() {
    if !root().join("derive").exists() {
        println!("skipped: a packaged crate does not contain the macro");
        return;
    }
    let mut paths = vec![root().join("README.md")];
    files(&root().join("docs"), &["md"], &mut paths);
    for folder in ["src", "derive/src"] {
        files(&root().join(folder), &["rs"], &mut paths);
    }
    let mut hidden = Vec::new();
    let mut all = Vec::new();
    for path in &paths {
        all.extend(examples(
            path,
            &fs::read_to_string(path).unwrap(),
            &mut hidden,
        ));
    }
    assert!(
        hidden.is_empty(),
        "what is hidden is missing when pasted:\n{}",
        hidden.join("\n")
    );
    let pasted: Vec<&Example> = all.iter().filter(|example| !example.is_refused).collect();
    for file in [
        "README.md",
        "src/lib.rs",
        "docs/cache.md",
        "docs/restarts.md",
    ] {
        assert!(
            pasted.iter().any(|it| it.from.starts_with(file)),
            "an example of {file}"
        );
    }

    let package = place().join("as_pasted");
    let _ = fs::remove_dir_all(&package);
    fs::create_dir_all(package.join("src/bin")).unwrap();
    let manifest = "[package]\nname = \"as_pasted\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                    [dependencies]\nshmkv = { path = \"../..\" }\n[workspace]\n";
    write_manifest(&package, manifest).unwrap();
    // Segments get names of this test's own; that is all that differs from what is pasted.
    let own = format!("as-pasted-{}-", std::process::id());
    let mut programs = BTreeMap::new();
    for (number, example) in pasted.iter().enumerate() {
        let name = format!("example{number}");
        let text = program(example).replace("\"shm:", &format!("\"shm:{own}{number}-"));
        fs::write(package.join(format!("src/bin/{name}.rs")), text).unwrap();
        programs.insert(name, &example.from);
    }
    let output = cargo(&package, "build");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{programs:#?}\n{stderr}");

    let mut failed = Vec::new();
    for (name, from) in &programs {
        let directory = package.join("run").join(name);
        fs::create_dir_all(&directory).unwrap();
        let output = Command::new(place().join("target/debug").join(name))
            .current_dir(&directory)
            .output()
            .unwrap();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            failed.push(format!("{from}: {}: {stderr}", output.status));
        }
    }
    for entry in fs::read_dir("/dev/shm").unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with(&own) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn an_example_that_hides_what_it_needs_is_found() {
    let text = "/// ```\n/// # let name = 7;\n/// let a = name;\n/// # Ok::<(), ()>(())\n/// ```\n\
                /// ```text\n/// no Rust\n/// ```\n/// ```compile_fail\n/// let b: u8 = 300;\n/// ```\n";
    let mut hidden = Vec::new();
    let found = examples(&root().join("src/any.rs"), text, &mut hidden);
    assert_eq!(hidden, ["src/any.rs:2: # let name = 7;"]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].text, "let a = name;\n");
    assert!(found[1].is_refused);
    let page = "```sh\nls\n```\n```rust,no_run\nfn main() {}\n```\n";
    let found = examples(&root().join("docs/any.md"), page, &mut hidden);
    assert_eq!((found.len(), hidden.len()), (1, 1));
    assert_eq!(program(&found[0]), "fn main() {}\n");
}
