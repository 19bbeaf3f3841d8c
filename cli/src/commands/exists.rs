//! `shmkv exists`: whether a key is there.

use clap::Args;
use shmkv::Segment;

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::{self, Global};
use crate::output::Output;

/// Says whether a key is there: prints true or false. Exit code 0 if it is, 1 if not.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv exists shm:quotes 840 && echo there")]
pub(crate) struct Exists {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
}

impl Exists {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let key = open::key(&map, &self.key)?;
        let is_there = map
            .contains_key(&key)
            .map_err(|error| Failure::about(&self.segment, error))?;
        let mut output = Output::new();
        output.text(if is_there { "true\n" } else { "false\n" })?;
        output.flush()?;
        Ok(match is_there {
            true => ExitStatus::Fine,
            false => ExitStatus::Found,
        })
    }
}
