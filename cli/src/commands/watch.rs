//! `shmkv watch`: a value at every change.

use std::time::Duration;

use clap::Args;
use shmkv::Segment;

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::hangup::Streams;
use crate::number::number;
use crate::open::{self, Global};
use crate::output::Output;

/// Prints the value of a key as JSON, now and whenever it has changed; "absent" while there is
/// none.
///
/// It looks again and again, and costs writers nothing: of several changes within one interval
/// it shows the last. It ends with the segment, with whoever reads what it prints, and with
/// its terminal.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv watch shm:quotes 840 --interval 100ms")]
pub(crate) struct Watch {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// How often to look.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// End after so many lines.
    #[arg(long, value_parser = number::<u64>)]
    count: Option<u64>,
}

impl Watch {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let key = open::key(&map, &self.key)?;
        let mut output = Output::new();
        let streams = Streams::new();
        let mut last = None;
        let mut printed = 0;
        while self.count.is_none_or(|count| printed < count) {
            let now = match map.get(&key) {
                Ok(now) => now,
                // Somebody writes there all the time: it will be seen the next time.
                Err(shmkv::dynamic::DynError::Read(_)) => {
                    streams.pause(self.interval)?;
                    continue;
                }
                Err(error) => return Err(Failure::about(&self.segment, error)),
            };
            if last.as_ref() != Some(&now) {
                match &now {
                    Some(value) => output.json(&open::json(map.value_type(), value)?)?,
                    None => output.text("absent\n")?,
                }
                output.flush()?;
                printed += 1;
                last = Some(now);
                continue;
            }
            // A segment that was removed says nothing any more, and that is the end.
            map.ensure_current()
                .map_err(|error| Failure::about(&self.segment, error))?;
            streams.pause(self.interval)?;
        }
        Ok(ExitStatus::Fine)
    }
}
