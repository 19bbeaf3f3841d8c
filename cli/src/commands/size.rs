//! `shmkv size`: what a segment would take.

use clap::Args;
use serde_json::json;

use super::create::Plan;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::Output;
use crate::text;

/// Says how many bytes a segment takes that holds so many entries.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv size --key u64 --value '[f32; 4]' --capacity 1000000")]
pub(crate) struct Size {
    #[command(flatten)]
    plan: Plan,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Size {
    pub(crate) fn run(self) -> Outcome {
        let Plan {
            key,
            value,
            capacity,
            ..
        } = &self.plan;
        let size = self
            .plan
            .builder()
            .size(key, value)
            .map_err(|error| Failure::new(error.to_string()))?;
        let entry = (key.size() + value.size()) as u64;
        let net = entry.saturating_mul(*capacity as u64);
        let mut output = Output::new();
        if self.json {
            output.document(&json!({
                "bytes": size,
                "capacity": capacity,
                "key_bytes": key.size(),
                "value_bytes": value.size(),
                "bytes_per_entry": size as f64 / (*capacity).max(1) as f64,
            }))?;
        } else {
            output.text(&format!(
                "{} ({} bytes) for {} entries: {:.1} bytes each, {} of them key and value\n",
                text::bytes(size),
                size,
                text::thousands(*capacity as u64),
                size as f64 / (*capacity).max(1) as f64,
                net / (*capacity as u64).max(1),
            ))?;
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
}
