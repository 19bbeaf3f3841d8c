//! `shmkv get`: the value of a key.

use clap::Args;
use shmkv::Segment;
use shmkv::schema::{Datum, Type};

use crate::failure::{Failure, Outcome, Verdict};
use crate::open::{self, Global};
use crate::output::Output;

/// Prints the value of a key as JSON. Exit code 1 if the key is not there.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv get shm:quotes 840")]
pub(crate) struct Get {
    segment: Segment,
    key: String,
    /// Print text, names and the content of Bytes as they are, without quotes.
    #[arg(long, short)]
    raw: bool,
}

impl Get {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let key = open::key(&map, &self.key)?;
        let found = map
            .get(&key)
            .map_err(|error| Failure::about(&self.segment, error))?;
        let Some(value) = found else {
            crate::failure::complain(&format!("{} has no key {}", self.segment, self.key));
            return Ok(Verdict::Found);
        };
        let mut output = Output::new();
        match self.raw {
            true => print_raw(&mut output, map.value_type(), &value)?,
            false => output.json(&open::json(map.value_type(), &value)?)?,
        }
        output.flush()?;
        Ok(Verdict::Fine)
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
