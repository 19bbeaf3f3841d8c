//! The transcripts in `docs/command-line.md` and in the README: run as they stand there, and compared
//! with what they say.
//!
//! Each `console` block of the section is a part of one transcript. Lines that begin
//! with `$ ` are given to a shell, `\` at their end continues them; what follows is what they
//! print. Only what differs from run to run is blotted out on both sides: process ids, ages,
//! users; and on the screen of `top` all numbers and empty lines. With `SHMKV_SHOW_TRANSCRIPT=1` and `--nocapture` the
//! whole transcript is printed, for the page.

use std::path::Path;
use std::process::Command;

use shmkv::{Map, Segment};

use crate::shmkv::binary;
use crate::terminal::Session;

/// A command, and what is said to come of it.
#[derive(Debug)]
struct Step {
    command: String,
    expected: String,
}

/// The commands of a section of a page, from the root of the repository.
fn steps(page: &str, heading: &str) -> Vec<Step> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut continued) = (false, false);
    for line in section.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ if continued => {
                let step = steps.last_mut().unwrap();
                step.command.push_str(line.trim_end_matches('\\'));
                continued = line.ends_with('\\');
            }
            _ => match line.strip_prefix("$ ") {
                Some(command) => {
                    continued = command.ends_with('\\');
                    let command = command.trim_end_matches('\\').to_owned();
                    steps.push(Step {
                        command,
                        expected: String::new(),
                    });
                }
                None => {
                    let step = steps.last_mut().expect("output follows a command");
                    step.expected.push_str(line);
                    step.expected.push('\n');
                }
            },
        }
    }
    steps
}

/// Replaces the number behind each `before` by `mark`.
fn blot_number(text: &str, before: &str, mark: &str) -> String {
    let mut parts = text.split(before);
    let mut blotted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        blotted += before;
        blotted += if rest.len() < part.len() { mark } else { "" };
        blotted += rest;
    }
    blotted
}

/// Blots out what differs from run to run.
fn blot(text: &str) -> String {
    let line = |line: &str| {
        let line = blot_number(line, "process ", "[pid]");
        if let Some((_, rest)) = line.split_once(" ago by") {
            return format!("created     [age] ago by{rest}");
        }
        // How much of it the kernel has at hand is for the kernel to say.
        if let Some((memory, _)) = line
            .rsplit_once("), ")
            .filter(|_| line.ends_with(" resident"))
        {
            return format!("{memory}), [bytes] resident");
        }
        if line.starts_with("access ") {
            let mode = line
                .split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            return format!("access {mode} [user]");
        }
        line
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A screen without its numbers, units, bars, rules and empty lines.
fn blot_screen(text: &str) -> String {
    let line = |line: &str| {
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '▁'..='█');
        let words: Vec<String> = line
            .split_whitespace()
            .map(|word| match word.chars().all(is_number) {
                true => "#".to_owned(),
                false => word.to_owned(),
            })
            .collect();
        let is_left = |word: &&String| !matches!(word.as_str(), "#" | "k" | "M" | "G" | "%");
        let left: Vec<&str> = words.iter().filter(is_left).map(String::as_str).collect();
        left.join(" ").trim_end_matches('─').to_owned()
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a command of the transcript prints, to stdout and stderr.
fn output(command: &str, directory: &Path) -> String {
    let bin = Path::new(binary()).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("exec 2>&1; {command}"))
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", bin.display()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the commands under a name of their own, and compares what they print.
fn goes_as_it_says(steps: &[Step], own: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut printed = Vec::new();
    for Step { command, .. } in steps {
        let ours = command.replace("shm:quotes", &format!("shm:{own}"));
        printed.push(match command.starts_with("shmkv top ") {
            true => renamed(&screen(&ours, own), own, "quotes"),
            false => output(&ours, directory.path()).replace(own, "quotes"),
        });
    }
    for name in [own.to_owned(), format!("{own}-large")] {
        let _ = Segment::shm(&name).unwrap().remove();
    }
    if std::env::var_os("SHMKV_SHOW_TRANSCRIPT").is_some() {
        for (step, found) in steps.iter().zip(&printed) {
            println!("$ {}\n{}", step.command, found.trim_end());
        }
    }
    for (Step { command, expected }, found) in steps.iter().zip(&printed) {
        let (found, expected) = match command.starts_with("shmkv top ") {
            true => (blot_screen(found), blot_screen(expected)),
            false => (blot(found), blot(expected)),
        };
        assert_eq!(found.trim_end(), expected.trim_end(), "$ {command}");
    }
}

#[test]
fn the_transcript_in_the_documentation_goes_as_it_says() {
    let steps = steps("docs/command-line.md", "A transcript");
    for command in ["create", "set", "get", "info", "dump", "check", "top"] {
        let is_it = |step: &Step| step.command.contains(&format!("shmkv {command} "));
        assert!(
            steps.iter().any(is_it),
            "`shmkv {command}` is part of the transcript"
        );
    }
    goes_as_it_says(&steps, &format!("quotes-{}", std::process::id()));
}

#[test]
fn the_transcript_in_the_readme_goes_as_it_says() {
    let mut steps = steps("README.md", "Command line");
    // What it installs is what is tested here.
    assert_eq!(steps.remove(0).command, "cargo install --path cli");
    assert!(steps.len() >= 4, "{steps:?}");
    goes_as_it_says(&steps, &format!("quotes-readme-{}", std::process::id()));
}

/// The shell blocks of a page.
fn scripts(page: &str) -> Vec<&str> {
    page.split("\n```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

#[test]
fn the_commands_of_the_page_on_deploys_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploys.md");
    let page = std::fs::read_to_string(page).unwrap();
    let own = format!("deploys-{}", std::process::id());
    let is_root = rustix::process::geteuid().is_root();
    let remove_all = || {
        for name in [own.clone(), format!("{own}-2"), format!("{own}-large")] {
            let _ = Segment::shm(&name).unwrap().remove();
        }
    };
    let mut ran = 0;
    for script in scripts(&page) {
        if !is_root && (script.contains("sudo ") || script.contains("chown")) {
            println!("skipped: needs root: {script}");
            continue;
        }
        remove_all();
        let creates_it = script.contains("shmkv create shm:quotes ");
        let before = match creates_it {
            true => "",
            false => {
                "shmkv create shm:quotes --key u64 --value 'struct Quote { bid: f64, ask: f64 }' \
                 --capacity 100; shmkv set shm:quotes 840 bid=1.0,ask=1.5; "
            }
        };
        let script = format!("set -e; {before}{script}\necho complete").replace("sudo ", "");
        let directory = tempfile::tempdir().unwrap();
        let printed = output(
            &script.replace("shm:quotes", &format!("shm:{own}")),
            directory.path(),
        );
        assert!(printed.ends_with("complete\n"), "{script}\n{printed}");
        if script.contains("unshare") {
            assert!(printed.contains("not there\n"), "{printed}");
            let (_, after) = printed
                .split_once("these only read\n")
                .expect("all of them could");
            let refused = "Read-only file system (os error 30)\nread-only\n2\ncomplete";
            assert!(after.contains(refused), "{printed}");
        }
        ran += 1;
    }
    remove_all();
    assert!(ran >= 2, "{ran} blocks");
}

/// A screen with another name in the place of a longer one; the columns behind it stay.
fn renamed(screen: &str, from: &str, to: &str) -> String {
    let line = |line: &str| {
        let Some((before, after)) = line.split_once(from) else {
            return line.to_owned();
        };
        let filler = if after.starts_with('─') { "─" } else { " " };
        let missing = from.chars().count().saturating_sub(to.chars().count());
        format!("{before}{to}{}{after}", filler.repeat(missing))
    };
    let lines: Vec<String> = screen.lines().map(line).collect();
    lines.join("\n")
}

/// What `top` shows while a program writes.
fn screen(command: &str, own: &str) -> String {
    #[shmkv::record]
    struct Quote {
        bid: f64,
        ask: f64,
    }
    let map: Map<u64, Quote> = Map::builder().open(format!("shm:{own}").as_str()).unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let mut top = Session::start(&words);
    for round in 0..200 {
        for key in 0..100 {
            let bid = f64::from(round);
            map.insert(key, Quote { bid, ask: 1.5 }).unwrap();
        }
        // The screen is to be of the end of this, not of its beginning.
        top.take(std::time::Duration::from_millis(5));
    }
    let shown = top.until("a rate", |it| {
        // The last line of a drawing as well: it may be under way.
        it.contains("writers") && it.contains("p pause") && !it.contains("max 0")
    });
    top.press("q");
    assert!(top.end_restored().success());
    let ours = std::fs::read_to_string("/proc/self/comm").unwrap();
    renamed(&shown, ours.trim_end(), "feed")
}
