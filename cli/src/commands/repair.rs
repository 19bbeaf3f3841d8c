//! `shmkv repair`: does at once what writers would do one by one, and removes invalid entries.

use clap::Args;
use serde_json::json;
use shmkv::Segment;
use shmkv::check::Keys;
use shmkv::restart::CrashPolicy;

use super::findings::Findings;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::output::Output;
use crate::text::escape;

/// Takes over what dead writers hold, removes entries that are no values of the segment's types,
/// puts tags and counts right, and says what it did.
///
/// Others may go on reading and writing. What a live process holds is left alone. Entries that
/// `check` finds lost or doubled cannot be put right in place. Exit code 0 if `check` would now
/// find the segment sound; 1 if something is left, which is said with what to do next.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv repair shm:quotes\n  shmkv repair file:/var/cache/q.kv --after-crash keep\n  shmkv repair file:/backup/q.kv --adopt-copy --after-crash keep"
)]
pub(crate) struct Repair {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// What to do with a file: segment that was in use when the machine crashed: keep what passes a
    /// check (values may be old or mixed, unless their type tells), or discard all of it.
    #[arg(long, value_name = "CHOICE")]
    after_crash: Option<AfterCrash>,
    /// Put a tag right also where the key beside it may be what was overwritten: the entry is found
    /// again, under the key that stands there.
    #[arg(long)]
    trust_keys: bool,
    /// Take writers for dead of whom nobody can tell: they left no lock, and are of another boot or
    /// pid namespace. Say it only if you know that they are: if one lives, values are lost or mixed.
    /// Each one is named. What is provably alive is left alone all the same.
    #[arg(long)]
    force: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AfterCrash {
    Keep,
    Discard,
}

impl Repair {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let choice = match self.after_crash {
            None => CrashPolicy::Refuse,
            Some(AfterCrash::Keep) => CrashPolicy::Salvage,
            Some(AfterCrash::Discard) => CrashPolicy::Discard,
        };
        let map = global
            .builder()
            .after_machine_crash(choice)
            .assume_unknown_writers_dead(self.force)
            .open(self.segment.clone())
            .map_err(|error| Failure::opening(&self.segment, error))?;
        let salvage = map.salvage().map(ToString::to_string);
        let recovery = map
            .recover_assuming_dead(|_| self.force)
            .map_err(|error| Failure::about(&self.segment, error))?;
        let invalid = map
            .remove_invalid()
            .map_err(|error| Failure::about(&self.segment, error))?;
        let corrections = map
            .correct(match self.trust_keys {
                true => Keys::AreRight,
                false => Keys::MayBeWrong,
            })
            .map_err(|error| Failure::about(&self.segment, error))?;
        let findings = Findings::look(&map, "repair")?;
        let mut output = Output::new();
        if self.json {
            let done: Vec<_> = recovery.findings.iter().map(ToString::to_string).collect();
            let freed: Vec<_> = recovery
                .reclaimed
                .iter()
                .map(|writer| writer.owner.to_string())
                .collect();
            output.document(&json!({
                "segment": self.segment.to_string(),
                "buckets": recovery.buckets,
                "released": recovery.released,
                "deduplicated": recovery.deduplicated,
                "postponed": recovery.postponed,
                "busy": recovery.busy,
                "invalid_removed": invalid,
                "tags_corrected": corrections.tags,
                "counts_corrected": corrections.counts,
                "slots_freed": freed,
                "assumed_dead": recovery
                    .assumed_dead
                    .iter()
                    .map(|writer| writer.owner.to_string())
                    .collect::<Vec<_>>(),
                "findings": done,
                "salvage": salvage,
                "sound": findings.is_sound(),
                "left": findings.faults(),
                "next": findings.next_steps(&self.segment, true),
            }))?;
        } else {
            if let Some(salvage) = salvage {
                output.prose(&escape(&format!("{}: {salvage}\n", self.segment)))?;
            }
            let text = format!(
                "{}: {recovery}\n{invalid} invalid entries removed; {} tags and {} counts put \
                 right\n",
                self.segment, corrections.tags, corrections.counts
            );
            output.prose(&escape(&text))?;
            if findings.is_sound() {
                output.text("sound\n")?;
            } else {
                output.text("NOT sound; what is left:\n")?;
                for fault in findings.faults() {
                    output.prose(&escape(&format!("{fault}\n")))?;
                }
                for step in findings.next_steps(&self.segment, true) {
                    output.prose(&escape(&format!("next: {step}\n")))?;
                }
            }
        }
        output.flush()?;
        Ok(match findings.is_sound() {
            true => ExitStatus::Fine,
            false => ExitStatus::Found,
        })
    }
}
