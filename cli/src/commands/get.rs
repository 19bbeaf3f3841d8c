//! `shmkv get`: the value of a key.

use clap::Args;
use shmkv::schema::{Datum, Type};
use shmkv::{ReadOnlyDynMap, Segment};

use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::{self, Global};
use crate::output::Output;

/// Prints the value of a key as JSON. Exit code 1 if the key is not there.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv get shm:quotes 840")]
pub(crate) struct Get {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// Print text, names and the content of Bytes as they are, without quotes.
    #[arg(long, short)]
    raw: bool,
    /// Print how long the entry has left, in milliseconds, instead of the value; "none" if it has
    /// no end.
    #[arg(long, conflicts_with = "raw")]
    ttl: bool,
}

impl Get {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let key = open::key(&map, &self.key)?;
        if self.ttl {
            return self.print_time_left(&map, &key);
        }
        let found = map
            .get(&key)
            .map_err(|error| Failure::about(&self.segment, error))?;
        let Some(value) = found else {
            return self.absent();
        };
        let mut output = Output::new();
        match self.raw {
            true => print_raw(&mut output, map.value_type(), &value)?,
            false => output.json(&open::json(map.value_type(), &value)?)?,
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }

    fn absent(&self) -> Outcome {
        complain(&format!("{} has no key {}", self.segment, self.key));
        Ok(ExitStatus::Found)
    }

    fn print_time_left(&self, map: &ReadOnlyDynMap, key: &[u8]) -> Outcome {
        let left = map
            .remaining_ttl(key)
            .map_err(|error| Failure::about(&self.segment, error))?;
        let text = match left {
            None => return self.absent(),
            Some(None) => "none\n".to_owned(),
            Some(Some(left)) => format!("{}\n", left.as_millis()),
        };
        let mut output = Output::new();
        output.text(&text)?;
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
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
