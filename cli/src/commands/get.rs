//! `shmkv get`: the values of keys.

use clap::Args;
use serde_json::{Value, json};
use shmkv::schema::{Datum, Type};
use shmkv::{ReadOnlyDynMap, Segment};

use super::batch::Asked;
use super::scan::milliseconds;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::{self, Global};
use crate::output::Output;

/// Prints the value of a key as JSON. Exit code 1 if the key is not there.
///
/// Of several keys, each has a line, in their order: {"key":…,"value":…}, without a value if the
/// key is not there. Exit code 1 if any is not.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv get shm:quotes 840\n  shmkv get shm:quotes 840 978 756")]
pub(crate) struct Get {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[command(flatten)]
    what: What,
}

/// What to print.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// As JSON; text needs no quotes.
    #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
    keys: Vec<String>,
    /// Print text, names and the content of Bytes as they are, without quotes. Of one key only:
    /// nothing would part it from the next.
    #[arg(long, short)]
    raw: bool,
    /// Print how long the entry has left, in milliseconds, instead of the value; "none" if it has
    /// no end. (Of several keys: "ttl_ms":… instead of "value":…, null if there is no end.)
    #[arg(long, conflicts_with = "raw")]
    ttl: bool,
}

impl Get {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let mut output = Output::new();
        let status = self.what.run(&map, &mut output, Asked::Alone)?;
        output.flush()?;
        Ok(status)
    }
}

impl What {
    pub(super) fn run(&self, map: &ReadOnlyDynMap, output: &mut Output, asked: Asked) -> Outcome {
        if self.raw && asked == Asked::InBatch {
            return Err(Failure::new(
                "--raw prints a value as it is, which need not be one line: leave it out in a batch",
            ));
        }
        if let [text] = &self.keys[..] {
            let key = open::key(map, text)?;
            let is_there = match self.ttl {
                true => print_time_left(map, &key, output)?,
                false => self.print_value(map, &key, output)?,
            };
            return Ok(match is_there {
                true => ExitStatus::Fine,
                false if asked == Asked::Alone => absent(map, text),
                false => {
                    output.text("absent\n")?;
                    ExitStatus::Found
                }
            });
        }
        self.print_lines(map, output, asked)
    }

    fn print_value(&self, map: &ReadOnlyDynMap, key: &[u8], output: &mut Output) -> Outcome<bool> {
        let Some(value) = value(map, key)? else {
            return Ok(false);
        };
        match self.raw {
            true => print_raw(output, map.value_type(), &value)?,
            false => output.json(&open::json(map.value_type(), &value)?)?,
        }
        Ok(true)
    }

    /// Several keys.
    fn print_lines(&self, map: &ReadOnlyDynMap, output: &mut Output, asked: Asked) -> Outcome {
        if self.raw {
            return Err(Failure::new(format!(
                "--raw prints the value of one key, and here are {}: ask for one at a time, or \
                 leave it out",
                self.keys.len()
            )));
        }
        let mut status = ExitStatus::Fine;
        // All are looked up before the first line is printed: what fails prints none.
        let mut lines = Vec::with_capacity(self.keys.len());
        for (key, text) in open::keys(map, &self.keys)?.iter().zip(&self.keys) {
            let mut line = json!({"key": open::json(map.key_type(), key)?});
            let found = match self.ttl {
                true => time_left(map, key)?.map(|left| json!({"ttl_ms": left})),
                false => match value(map, key)? {
                    Some(value) => Some(json!({"value": open::json(map.value_type(), &value)?})),
                    None => None,
                },
            };
            match (line.as_object_mut(), found) {
                (Some(line), Some(Value::Object(found))) => line.extend(found),
                // The line without a value says it.
                _ if asked == Asked::InBatch => status = ExitStatus::Found,
                _ => status = absent(map, text),
            }
            lines.push(line);
        }
        for line in &lines {
            output.json(line)?;
        }
        Ok(status)
    }
}

fn absent(map: &ReadOnlyDynMap, text: &str) -> ExitStatus {
    complain(&format!("{} has no key {text}", map.segment()));
    ExitStatus::Found
}

fn value(map: &ReadOnlyDynMap, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
    map.get(key)
        .map_err(|error| Failure::about(map.segment(), error))
}

/// What an entry has left in milliseconds, if it is there, and if it has an end.
fn time_left(map: &ReadOnlyDynMap, key: &[u8]) -> Outcome<Option<Option<u64>>> {
    let left = map
        .remaining_ttl(key)
        .map_err(|error| Failure::about(map.segment(), error))?;
    Ok(left.map(|left| left.map(milliseconds)))
}

fn print_time_left(map: &ReadOnlyDynMap, key: &[u8], output: &mut Output) -> Outcome<bool> {
    let text = match time_left(map, key)? {
        None => return Ok(false),
        Some(None) => "none\n".to_owned(),
        Some(Some(left)) => format!("{left}\n"),
    };
    output.text(&text)?;
    Ok(true)
}

fn print_raw(output: &mut Output, ty: &Type, value: &[u8]) -> Outcome<()> {
    let datum = Datum::decode(ty, value).map_err(|error| Failure::new(error.to_string()))?;
    match datum {
        Datum::Str(text) | Datum::Variant(text) => output.content(&text)?,
        Datum::Char(text) => output.content(&text.to_string())?,
        Datum::Bytes(bytes) => output.bytes(&bytes)?,
        _ => return output.json(&open::json(ty, value)?),
    }
    match output.is_terminal() {
        true => output.text("\n"),
        false => Ok(()),
    }
}
