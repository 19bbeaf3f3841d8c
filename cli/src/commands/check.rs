//! `shmkv check`: whether a segment is as it should be.

use clap::Args;
use serde_json::json;
use shmkv::check::{CheckReport as Checked, Problem};
use shmkv::format::FormatError;
use shmkv::process::Liveness as Life;
use shmkv::{OpenError, Segment};

use super::scan::{Seen, walk};
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::escape;

/// Compares a segment with what the protocol promises. Changes nothing; others may go on writing.
///
/// Exit code 1 if anything is found that should not be there: a damaged header, entries that are
/// lost, doubled or invalid, locks or slots of dead writers. Warnings are about what is under way,
/// or costs a little time; they do not count.
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
        let checked = map.check();
        let dead = |life: Life| life == Life::Dead;
        let dead_locks = checked
            .problems
            .iter()
            .filter(
                |problem| matches!(problem, Problem::Locked { owner, .. } if dead(owner.liveness())),
            )
            .count();
        let participants = map.participants();
        let dead_writers = participants
            .iter()
            .filter(|writer| dead(writer.owner.liveness()))
            .count();
        let progress = Progress::new("check", Some(map.header().buckets()));
        let invalid = walk(&map, None, Some(&progress), |_| Ok(Seen::Counts))?;
        drop(progress);
        let is_sound = checked.is_sound()
            && dead_locks == 0
            && dead_writers == 0
            && invalid == ExitStatus::Fine;
        if self.json {
            output.document(&json!({
                "segment": self.segment.to_string(),
                "sound": is_sound,
                "buckets": checked.buckets,
                "entries": checked.entries,
                "overflow": checked.overflow,
                "quiet": checked.is_quiet,
                "errors": checked.errors,
                "warnings": checked.warnings,
                "dead_locks": dead_locks,
                "dead_writers": dead_writers,
                "invalid": invalid == ExitStatus::Found,
                "problems": problems(&checked),
            }))?;
        } else {
            let text = format!("{}: {checked}\n", self.segment);
            output.text(&escape(&text))?;
            if dead_locks + dead_writers > 0 {
                output.text(&format!(
                    "dead writers: {dead_writers} slots, {dead_locks} locks; the next writers take \
                     them over, or `shmkv repair` does\n"
                ))?;
            }
            output.text(if is_sound { "sound\n" } else { "NOT sound\n" })?;
        }
        output.flush()?;
        Ok(match is_sound {
            true => ExitStatus::Fine,
            false => ExitStatus::Found,
        })
    }

    fn print_damage(&self, output: &mut Output, error: &FormatError) -> Outcome<()> {
        if self.json {
            output.document(&json!({
                "segment": self.segment.to_string(),
                "sound": false,
                "damage": error.to_string(),
            }))?;
        } else {
            let text = format!("{}: {error}\nNOT sound\n", self.segment);
            output.text(&escape(&text))?;
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

fn problems(checked: &Checked) -> Vec<serde_json::Value> {
    let problem = |problem: &Problem| json!({"severity": problem.severity().to_string(), "problem": problem.to_string()});
    checked.problems.iter().map(problem).collect()
}
