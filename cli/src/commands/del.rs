//! `shmkv del`: removes keys.

use clap::Args;
use shmkv::Segment;

use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::{self, Global};
use crate::output::Output;

/// Removes keys, and prints how many were there. Exit code 1 if none was.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv del shm:quotes 840 841\n  shmkv del shm:quotes --all")]
pub(crate) struct Del {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON; text needs no quotes.
    #[arg(required_unless_present = "all", allow_negative_numbers = true)]
    keys: Vec<String>,
    /// Remove all entries.
    #[arg(long, conflicts_with = "keys")]
    all: bool,
}

impl Del {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.write(&self.segment)?;
        let about = |error: &dyn std::fmt::Display| Failure::about(&self.segment, error);
        let mut removed = 0;
        if self.all {
            removed = map.clear().map_err(|error| about(&error))?;
        }
        // All keys are looked at before the first one is removed.
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|text| open::key(&map, text))
            .collect::<Outcome<_>>()?;
        for (key, text) in keys.iter().zip(&self.keys) {
            if let Some(old) = map.remove(key).map_err(|error| about(&error))? {
                removed += 1;
                if let Err(error) = old {
                    complain(&format!("{}: key {text}: {error}", self.segment));
                }
            }
        }
        let mut output = Output::new();
        output.text(&format!("{removed}\n"))?;
        output.flush()?;
        Ok(match removed == 0 && !self.all {
            true => ExitStatus::Found,
            false => ExitStatus::Fine,
        })
    }
}
