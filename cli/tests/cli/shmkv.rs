//! Running the command.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use ::shmkv::Segment;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is text");
        Self {
            code: output
                .status
                .code()
                .unwrap_or_else(|| panic!("{}", output.status)),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// It went well; what it printed.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// It failed with this exit code, said all this on stderr, and nothing on stdout.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        assert!(
            self.stderr.starts_with("shmkv: ") || self.stderr.starts_with("error: "),
            "{self:#?}"
        );
        assert_eq!(self.stdout, "", "{self:#?}");
    }
}

pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_shmkv")
}

/// The command, with nothing of the environment that would change what it prints.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(words)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(words: &[&str]) -> Ran {
    Ran::of(command(words).output().unwrap())
}

/// Runs with this on its stdin.
pub(crate) fn feed(words: &[&str], input: &str) -> Ran {
    let mut child = command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::of(output)
}

/// The names of all commands, as the help lists them.
pub(crate) fn commands_of_the_help() -> Vec<String> {
    let help = run(&["--help"]).fine();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Creates a segment by the command line.
#[track_caller]
pub(crate) fn create(segment: &Segment, key: &str, value: &str, capacity: &str) {
    let name = segment.to_string();
    run(&[
        "create",
        &name,
        "--key",
        key,
        "--value",
        value,
        "--capacity",
        capacity,
        "--quiet",
    ])
    .fine();
}
