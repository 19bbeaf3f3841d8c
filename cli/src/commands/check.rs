//! `shmkv check`: whether a segment is as it should be.

use clap::Args;
use serde_json::json;
use shmkv::{Check as Checked, LayoutError, OpenError, Problem, Segment, Verdict as Life};

use super::scan::{Seen, walk};
use crate::failure::{Failure, Outcome, Verdict};
use crate::open::Global;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::escape;

/// Compares a segment with what the protocol promises. Changes nothing; others may go on writing.
///
/// Exit code 1 if anything is found that should not be there: a damaged header, entries that are
/// lost, doubled or garbage, locks or slots of dead writers. Notes are about what is under way, or
/// costs a little time; they do not count.
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
            Err(OpenError::Layout(error)) if is_damage(&error) => {
                self.print_damage(&mut output, &error)?;
                return Ok(Verdict::Found);
            }
            Err(error) => return Err(Failure::opening(&self.segment, error)),
        };
        let checked = map.check();
        let dead = |life: Life| life == Life::Dead;
        let dead_locks = checked
            .problems
            .iter()
            .filter(
                |problem| matches!(problem, Problem::Locked { owner, .. } if dead(owner.verdict())),
            )
            .count();
        let participants = map.participants();
        let dead_writers = participants
            .iter()
            .filter(|writer| dead(writer.owner.verdict()))
            .count();
        let progress = Progress::new("check", Some(map.layout().buckets()));
        let garbage = walk(&map, None, Some(&progress), |_| Ok(Seen::Counts))?;
        drop(progress);
        let is_sound =
            checked.is_sound() && dead_locks == 0 && dead_writers == 0 && garbage == Verdict::Fine;
        if self.json {
            output.document(&json!({
                "segment": self.segment.to_string(),
                "sound": is_sound,
                "buckets": checked.buckets,
                "entries": checked.entries,
                "away": checked.away,
                "quiet": checked.is_quiet,
                "serious": checked.serious,
                "notes": checked.notes,
                "dead_locks": dead_locks,
                "dead_writers": dead_writers,
                "garbage": garbage == Verdict::Found,
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
            true => Verdict::Fine,
            false => Verdict::Found,
        })
    }

    fn print_damage(&self, output: &mut Output, error: &LayoutError) -> Outcome<()> {
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
pub(super) fn is_damage(error: &LayoutError) -> bool {
    matches!(
        error,
        LayoutError::BadChecksum { .. }
            | LayoutError::BadField { .. }
            | LayoutError::BadSchema { .. }
            | LayoutError::Truncated { .. }
    )
}

fn problems(checked: &Checked) -> Vec<serde_json::Value> {
    let problem = |problem: &Problem| json!({"severity": problem.severity().to_string(), "problem": problem.to_string()});
    checked.problems.iter().map(problem).collect()
}
