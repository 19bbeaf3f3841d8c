//! `shmkv set`: gives a key a value.

use std::time::Duration;

use clap::Args;
use shmkv::{DynMap, Segment};

use super::cp::insert;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::given::{Given, given};
use crate::open::{self, Global};

/// Gives a key a value.
///
/// The value is JSON, or a bare word, or field=value pairs for a struct. @FILE takes it from a file
/// and - from stdin, without the end of the last line; @@ begins a text with an @.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv set shm:quotes 840 bid=1.0,ask=1.5\n  \
                  shmkv set shm:quotes 840 '{\"bid\": 1.0, \"ask\": 1.5}'\n  \
                  shmkv set shm:quotes 840 @quote.json\n  \
                  shmkv get shm:quotes 840 | shmkv set shm:quotes 841 -"
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
        self.what.run(&global.write(&self.segment)?)
    }
}

impl What {
    fn run(&self, map: &DynMap) -> Outcome {
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
            if map.try_insert(&key, &value).map_err(about)?.is_some() {
                complain(&format!("{} has key {} already", map.segment(), self.key));
                return Ok(ExitStatus::Found);
            }
        } else if let Some(expected) = expected {
            let mut is_it = false;
            map.fetch_update(&key, |current| {
                is_it = current == Some(&*expected);
                is_it.then(|| value.clone())
            })
            .map_err(about)?;
            if !is_it {
                complain(&format!(
                    "{}: key {} has another value",
                    map.segment(),
                    self.key
                ));
                return Ok(ExitStatus::Found);
            }
        } else {
            insert(map, &key, &value, self.ttl).map_err(about)?;
        }
        Ok(ExitStatus::Fine)
    }
}
