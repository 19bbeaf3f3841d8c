//! `shmkv set`: gives a key a value.

use std::time::Duration;

use clap::Args;
use shmkv::Segment;

use super::cp::insert;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::{self, Global};

/// Gives a key a value.
///
/// The value is JSON, or a bare word, or field=value pairs for a struct.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv set shm:quotes 840 bid=1.0,ask=1.5\n  \
                  shmkv set shm:quotes 840 '{\"bid\": 1.0, \"ask\": 1.5}'"
)]
pub(crate) struct Set {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// JSON, a bare word, or field=value pairs.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Only if the key is not there; otherwise exit code 1.
    #[arg(long)]
    if_absent: bool,
    /// Only if the key has this value now; otherwise exit code 1.
    #[arg(
        long,
        value_name = "VALUE",
        conflicts_with = "if_absent",
        allow_hyphen_values = true
    )]
    if_value: Option<String>,
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
        let key = open::key(&map, &self.key)?;
        let value = open::value(&map, &self.value)?;
        let expected = match &self.if_value {
            Some(text) => Some(open::value(&map, text)?),
            None => None,
        };
        let about = |error| Failure::about(&self.segment, error);
        if self.if_absent {
            if map.try_insert(&key, &value).map_err(about)?.is_some() {
                complain(&format!("{} has key {} already", self.segment, self.key));
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
                    self.segment, self.key
                ));
                return Ok(ExitStatus::Found);
            }
        } else {
            insert(&map, &key, &value, self.ttl).map_err(about)?;
        }
        Ok(ExitStatus::Fine)
    }
}
