//! `shmkv set`: gives a key a value.

use std::time::Duration;

use clap::Args;
use shmkv::{DynMap, Segment};

use super::cp::insert;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::given::{Given, given};
use crate::open::{self, Global};
use crate::output::Output;

/// Gives a key a value.
///
/// The value is JSON, or a bare word, or field=value pairs for a struct. @FILE takes it from a file
/// and - from stdin, without the end of the last line; @@ begins a text with an @.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv set shm:quotes 840 bid=1.0,ask=1.5\n  \
                  shmkv set shm:quotes 840 '{\"bid\": 1.0, \"ask\": 1.5}'\n  \
                  shmkv set shm:quotes 840 @quote.json\n  \
                  shmkv set shm:quotes 840 - < quote.json"
)]
pub(crate) struct Set {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[command(flatten)]
    what: What,
}

/// What to set.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// JSON, a bare word, or field=value pairs; @FILE or - for what is in a file or on stdin.
    #[arg(allow_hyphen_values = true, value_parser = given)]
    value: Given,
    /// Only if the key is not there; otherwise exit code 1.
    #[arg(long)]
    if_absent: bool,
    /// Only if the key has this value now; otherwise exit code 1.
    #[arg(
        long,
        value_name = "VALUE",
        conflicts_with = "if_absent",
        allow_hyphen_values = true,
        value_parser = given
    )]
    if_value: Option<Given>,
    /// How long it lives, in a cache: 5m, 30s, 1d.
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with_all = ["if_absent", "if_value"],
        value_parser = humantime::parse_duration
    )]
    ttl: Option<Duration>,
}

impl Set {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.write(&self.segment)?;
        let key = &self.what.key;
        Ok(match self.what.apply(&map)? {
            Done::Set => ExitStatus::Fine,
            Done::WasThere => {
                complain(&format!("{} has key {key} already", self.segment));
                ExitStatus::Found
            }
            Done::OtherValue => {
                complain(&format!("{}: key {key} has another value", self.segment));
                ExitStatus::Found
            }
        })
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Set,
    /// `--if-absent`, and the key was there.
    WasThere,
    /// `--if-value`, and the key had another one or none.
    OtherValue,
}

impl What {
    /// As a line of a batch.
    pub(super) fn run(&self, map: &DynMap, output: &mut Output) -> Outcome {
        if self.value == Given::Stdin || self.if_value == Some(Given::Stdin) {
            return Err(Failure::new(
                "stdin has the commands of the batch: write the value into the line, or into a file \
                 for @FILE (the text - is written '\"-\"')",
            ));
        }
        let done = self.apply(map)?;
        let (answer, status) = match done {
            Done::Set => ("ok\n", ExitStatus::Fine),
            Done::WasThere | Done::OtherValue => ("unchanged\n", ExitStatus::Found),
        };
        output.text(answer)?;
        Ok(status)
    }

    fn apply(&self, map: &DynMap) -> Outcome<Done> {
        if self.value == Given::Stdin && self.if_value == Some(Given::Stdin) {
            return Err(Failure::new(
                "both values are to be read from stdin, which has one: put the other into a file",
            ));
        }
        let key = open::key(map, &self.key)?;
        let value = self.value.value(map)?;
        let expected = match &self.if_value {
            Some(given) => Some(given.value(map)?),
            None => None,
        };
        let about = |error| Failure::about(map.segment(), error);
        if self.if_absent {
            return Ok(match map.try_insert(&key, &value).map_err(about)? {
                Some(_) => Done::WasThere,
                None => Done::Set,
            });
        }
        let Some(expected) = expected else {
            insert(map, &key, &value, self.ttl).map_err(about)?;
            return Ok(Done::Set);
        };
        let mut is_it = false;
        map.fetch_update(&key, |current| {
            is_it = current == Some(&*expected);
            is_it.then(|| value.clone())
        })
        .map_err(about)?;
        Ok(match is_it {
            true => Done::Set,
            false => Done::OtherValue,
        })
    }
}
