//! `shmkv repair`: does at once what writers would do one by one, and removes invalid entries.

use clap::Args;
use serde_json::json;
use shmkv::restart::CrashPolicy;
use shmkv::{DynMap, Segment};

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::output::Output;
use crate::text::escape;

/// Takes over what dead writers hold, removes entries that are no values of the segment's types,
/// and says what it did.
///
/// Others may go on reading and writing. What a live process holds is left alone. Entries that
/// `check` finds lost or doubled cannot be put right in place: `shmkv cp` copies what is sound
/// into a new segment.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv repair shm:quotes\n  shmkv repair file:/var/cache/q.kv --after-crash keep"
)]
pub(crate) struct Repair {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// What to do with a file: segment that was in use when the machine crashed: keep what passes a
    /// check (values may be old or mixed, unless their type tells), or discard all of it.
    #[arg(long, value_name = "CHOICE")]
    after_crash: Option<AfterCrash>,
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
        let map = DynMap::builder()
            .segment_options(global.options())
            .after_machine_crash(choice)
            .open(self.segment.clone())
            .map_err(|error| Failure::opening(&self.segment, error))?;
        let salvage = map.salvage().map(ToString::to_string);
        let recovery = map
            .recover()
            .map_err(|error| Failure::about(&self.segment, error))?;
        let invalid = map
            .remove_invalid()
            .map_err(|error| Failure::about(&self.segment, error))?;
        let mut output = Output::new();
        if self.json {
            let findings: Vec<_> = recovery.findings.iter().map(ToString::to_string).collect();
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
                "slots_freed": freed,
                "findings": findings,
                "salvage": salvage,
            }))?;
        } else {
            if let Some(salvage) = salvage {
                output.text(&escape(&format!("{}: {salvage}\n", self.segment)))?;
            }
            let text = format!(
                "{}: {recovery}\n{invalid} invalid entries removed\n",
                self.segment
            );
            output.text(&escape(&text))?;
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
}
