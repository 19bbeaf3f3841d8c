//! `shmkv repair`: does at once what writers would do one by one, and throws garbage out.

use clap::Args;
use serde_json::json;
use shmkv::Segment;

use crate::failure::{Failure, Outcome, Verdict};
use crate::open::Global;
use crate::output::Output;
use crate::text::escape;

/// Takes over what dead writers hold, removes entries that are no values of the segment's types,
/// and says what it did.
///
/// Others may go on reading and writing. What a living process holds is left alone. Entries that
/// `check` finds lost or doubled cannot be put right in place: `shmkv cp` copies what is sound
/// into a new segment.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv repair shm:quotes")]
pub(crate) struct Repair {
    segment: Segment,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.write(&self.segment)?;
        let recovery = map
            .recover()
            .map_err(|error| Failure::about(&self.segment, error))?;
        let garbage = map
            .remove_garbage()
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
                "garbage_removed": garbage,
                "slots_freed": freed,
                "findings": findings,
            }))?;
        } else {
            let text = format!(
                "{}: {recovery}\n{garbage} entries of garbage removed\n",
                self.segment
            );
            output.text(&escape(&text))?;
        }
        output.flush()?;
        Ok(Verdict::Fine)
    }
}
