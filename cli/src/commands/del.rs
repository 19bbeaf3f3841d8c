//! `shmkv del`: removes keys.

use clap::Args;
use shmkv::{DynMap, Segment};

use super::batch::Asked;
use crate::failure::{ExitStatus, Failure, Outcome, complain};
use crate::open::{self, Global};
use crate::output::Output;

/// Removes keys, and prints how many were there. Exit code 1 if any was not; of several keys, it
/// says which.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv del shm:quotes 840 841\n  shmkv del shm:quotes --all")]
pub(crate) struct Del {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[command(flatten)]
    what: What,
}

/// What to remove.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// As JSON; text needs no quotes.
    #[arg(
        required_unless_present = "all",
        value_name = "KEY",
        allow_negative_numbers = true
    )]
    keys: Vec<String>,
    /// Remove all entries.
    #[arg(long, conflicts_with = "keys")]
    all: bool,
}

impl Del {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.write(&self.segment)?;
        let mut output = Output::new();
        let status = self.what.run(&map, &mut output, Asked::Alone)?;
        output.flush()?;
        Ok(status)
    }
}

impl What {
    pub(super) fn run(&self, map: &DynMap, output: &mut Output, asked: Asked) -> Outcome {
        let mut removed = 0;
        let mut status = ExitStatus::Fine;
        if self.all {
            removed = map
                .clear()
                .map_err(|error| Failure::about(map.segment(), error))?;
        }
        // All keys are looked at before the first one is removed.
        for (key, text) in open::keys(map, &self.keys)?.iter().zip(&self.keys) {
            let old = map
                .remove(key)
                .map_err(|error| Failure::about(map.segment(), error))?;
            match old {
                Some(old) => {
                    removed += 1;
                    if let Err(error) = old {
                        complain(&format!("{}: key {text}: {error}", map.segment()));
                    }
                }
                None => {
                    status = ExitStatus::Found;
                    // Of a single key, the number says it; of several in a batch, that some are missing.
                    if self.keys.len() > 1 && asked == Asked::Alone {
                        complain(&format!("{} has no key {text}", map.segment()));
                    }
                }
            }
        }
        output.text(&format!("{removed}\n"))?;
        Ok(status)
    }
}
