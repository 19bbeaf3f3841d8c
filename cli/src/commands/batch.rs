//! `shmkv batch`: operations on one segment, one a line on stdin.
//!
//! For scripts: a process for each operation costs far more than the operation itself. Each
//! line is answered by a line, as soon as no more input is there, so that a coprocess can ask and wait.

use std::io::{self, BufReader, StdinLock};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use shmkv::{DynMap, Segment};

use super::limits::{clipped, excerpt, longest_line, read_line};
use super::{del, get, incr, set};
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::interrupt::Interrupt;
use crate::open::Global;
use crate::output::Output;

/// Runs get, set, del and incr as they stand on stdin, one a line; the segment is opened once.
///
/// A line is a command without the name of the segment, with quotes as for a shell: get 840, or
/// set 840 '{"bid": 1.0, "ask": 1.5}' --if-absent, or incr 840 --field volume --by 10k, or del 840 978.
/// Empty lines, and what comes after a #, are passed over.
///
/// Each line is answered by a line: what the command prints; "ok" for set, or "unchanged" if its
/// condition did not hold; "absent" for get of a key that is not there; "error" for a line that
/// failed. (get of several keys has a line for each.) Why it failed is told on stderr, with the
/// number of the line.
///
/// Ends at the first line that failed, with exit code 2; the lines before it have been done. Exit
/// code 1 if none failed, but one did not find its key or was not let by its condition.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv batch shm:quotes < commands\n  \
                  shmkv batch --keep-going shm:quotes < commands > answers")]
pub(crate) struct Batch {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// Go on after a line that failed. The exit code is still 2.
    #[arg(long, short)]
    keep_going: bool,
}

/// Who asks for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A command of its own.
    Alone,
    /// A line of a batch, which is answered by a line.
    InBatch,
}

/// What a line says.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    Get(get::What),
    Set(set::What),
    Del(del::What),
    Incr(incr::What),
}

impl Batch {
    pub(crate) fn run(self, global: Global) -> Outcome {
        // It may wait for input that does not come. (All entries so far are whole.)
        let interrupt = Interrupt::catch_or_end(|| {})?;
        let map = global.write(&self.segment)?;
        let mut input = Input::new(&map);
        let mut output = Output::new();
        let mut grammar = Line::command();
        let mut status = ExitStatus::Fine;
        let mut failed = false;
        loop {
            interrupt.check()?;
            if input.is_drained() {
                flush(&mut output, input.number)?;
            }
            let had_to_wait = input.is_drained();
            let line = match input.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                // Where its next line would begin is not known.
                Err(failure) => {
                    flush(&mut output, input.number)?;
                    return Err(failure);
                }
            };
            interrupt.check()?;
            if had_to_wait {
                // Much can have happened: nothing is to be set where nobody will find it.
                map.ensure_current()
                    .map_err(|error| Failure::about(&self.segment, error))?;
            }
            let answer = match words(line) {
                Ok(words) if words.is_empty() => continue,
                Ok(words) => answer(&mut grammar, &words, &map, &mut output),
                Err(message) => Err(Failure::new(message)),
            };
            match answer {
                Ok(ExitStatus::Fine) => {}
                Ok(ExitStatus::Found) => status = ExitStatus::Found,
                Err(Failure::Message(message)) => {
                    output.text("error\n")?;
                    failed = true;
                    let message = format!("line {}: {}", input.number, clipped(message));
                    if !self.keep_going {
                        flush(&mut output, input.number)?;
                        return Err(Failure::new(message));
                    }
                    complain(&message);
                }
                Err(other) => return Err(other),
            }
        }
        flush(&mut output, input.number)?;
        match failed {
            true => Err(Failure::Said),
            false => Ok(status),
        }
    }
}

/// Does what a line says.
fn answer(
    grammar: &mut clap::Command,
    words: &[String],
    map: &DynMap,
    output: &mut Output,
) -> Outcome {
    let line = grammar
        .try_get_matches_from_mut(words)
        .and_then(|matches| Line::from_arg_matches(&matches))
        .map_err(|error| Failure::new(on_one_line(&error, &words[0])))?;
    match line.operation {
        Operation::Get(it) => it.run(map, output, Asked::InBatch),
        Operation::Set(it) => it.run(map, output),
        Operation::Del(it) => it.run(map, output, Asked::InBatch),
        Operation::Incr(it) => it.run(map, output),
    }
}

/// Why a line is no command, without the usage of a command line that it is not.
fn on_one_line(error: &clap::Error, first: &str) -> String {
    if error.kind() == ErrorKind::InvalidSubcommand {
        return format!("expected get, set, del or incr, found {}", excerpt(first));
    }
    let text = error.to_string();
    let is_beside = |line: &str| {
        line.is_empty() || line.starts_with("tip:") || line.starts_with("For more information")
    };
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let parts: Vec<_> = lines
        .map(str::trim)
        .filter(|line| !is_beside(line))
        .collect();
    let text = parts.join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// The words of a line, as a shell would part them.
fn words(line: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!(
            "expected text in UTF-8, found other bytes from byte {} on",
            error.valid_up_to()
        )
    })?;
    shlex::split(text.trim_end_matches(['\n', '\r'])).ok_or_else(|| {
        "it ends within quotes, or with a backslash: a command ends with its line".to_owned()
    })
}

/// Writes what was answered. A reader that is gone is an error here: commands are left undone.
fn flush(output: &mut Output, number: u64) -> Outcome<()> {
    output.flush().map_err(|failure| match failure {
        Failure::BrokenPipe => Failure::new(format!(
            "nobody reads the answers any more: ended after line {number}, what comes after it was \
             not done"
        )),
        other => other,
    })
}

/// The lines of stdin.
struct Input {
    reader: BufReader<StdinLock<'static>>,
    line: Vec<u8>,
    /// Of the line that was read last; the first is 1.
    number: u64,
    limit: usize,
}

impl Input {
    fn new(map: &DynMap) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, io::stdin().lock()),
            line: Vec::new(),
            number: 0,
            limit: longest_line(map.key_type(), map.value_type()),
        }
    }

    /// Whether the next line has to be waited for.
    fn is_drained(&self) -> bool {
        !self.reader.buffer().contains(&b'\n')
    }

    fn next(&mut self) -> Outcome<Option<&[u8]>> {
        let read = read_line(&mut self.reader, &mut self.line, self.limit);
        let number = self.number + 1;
        let is_there =
            read.map_err(|error| Failure::new(format!("line {number}: cannot read it: {error}")))?;
        if !is_there {
            return Ok(None);
        }
        self.number = number;
        let line = match number {
            1 => self.line.strip_prefix("\u{feff}".as_bytes()),
            _ => None,
        };
        Ok(Some(line.unwrap_or(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parted_as_a_shell_does() {
        for (line, expected) in [
            ("get 1\n", &["get", "1"][..]),
            ("get 1\r\n", &["get", "1"]),
            (
                "  get\t'a b'  \"c \\\" d\" e\\ f ''",
                &["get", "a b", "c \" d", "e f", ""],
            ),
            ("get 1 # the first", &["get", "1"]),
            ("get a#b '#c'", &["get", "a#b", "#c"]),
            ("# nothing", &[]),
            (" \n", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(line.as_bytes()).unwrap(), expected, "{line:?}");
        }
        for line in ["get 'a", "get \"a\n", "get a\\"] {
            assert!(words(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(words(b"get \xff").unwrap_err().contains("from byte 4 on"));
    }

    #[test]
    fn the_grammar_of_a_line_is_sound() {
        Line::command().debug_assert();
    }
}
