//! `shmkv check`: whether a segment is as it should be.

use clap::Args;
use serde_json::json;
use shmkv::format::FormatError;
use shmkv::{OpenError, Segment};

use super::findings::Findings;
use crate::advice;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::output::Output;
use crate::text::escape;

/// Compares a segment with what the protocol promises. Changes nothing; others may go on writing.
///
/// Exit code 1 if anything is found that should not be there: a damaged header, entries that are
/// lost, doubled or no values, a lock that stays held by a process that nobody here can judge.
/// Warnings are about what is under way, what costs a little time, and what processes have left
/// that ended without giving it back (killed, or by exit): the next writer takes it over. They do
/// not count.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv check shm:quotes || shmkv repair shm:quotes")]
pub(crate) struct Check {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let mut output = Output::new();
        let map = match global.try_read(&self.segment) {
            Ok(map) => map,
            // That is what the command is there to find.
            Err(OpenError::Header(error)) if is_damage(&error) => {
                self.print_damage(&mut output, &error)?;
                return Ok(ExitStatus::Found);
            }
            Err(error) => return Err(Failure::opening(&self.segment, error)),
        };
        let findings = Findings::look(&map, "check")?;
        let is_sound = findings.is_sound();
        if self.json {
            output.document(&findings.to_json(&self.segment, false))?;
        } else {
            let text = format!(
                "{}: {}\n{}",
                self.segment,
                findings.checked,
                findings.remarks()
            );
            output.prose(&escape(&text))?;
            output.text(if is_sound { "sound\n" } else { "NOT sound\n" })?;
            for step in findings.next_steps(&self.segment, false) {
                output.prose(&escape(&format!("next: {step}\n")))?;
            }
        }
        output.flush()?;
        Ok(match is_sound {
            true => ExitStatus::Fine,
            false => ExitStatus::Found,
        })
    }

    fn print_damage(&self, output: &mut Output, error: &FormatError) -> Outcome<()> {
        let message = advice::message(&self.segment, error);
        if self.json {
            output.document(&json!({
                "segment": self.segment.to_string(),
                "sound": false,
                "damage": message,
            }))?;
        } else {
            output.prose(&escape(&format!("{message}\nNOT sound\n")))?;
        }
        output.flush()
    }
}

/// Whether it was a segment of this program once. Another program's file, or another version's
/// segment, is not for us to judge.
pub(super) fn is_damage(error: &FormatError) -> bool {
    matches!(
        error,
        FormatError::BadChecksum { .. }
            | FormatError::BadField { .. }
            | FormatError::BadSchema { .. }
            | FormatError::Truncated { .. }
    )
}
