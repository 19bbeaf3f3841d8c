//! `shmkv keys`: the keys of a segment.

use clap::Args;
use serde_json::Value;
use shmkv::Segment;

use super::scan::{Seen, walk};
use crate::failure::Outcome;
use crate::number::number;
use crate::open::{self, Global};
use crate::output::Output;

/// Prints all keys as JSON, one a line, in no particular order.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv keys shm:pages --prefix /blog/ --limit 10")]
pub(crate) struct Keys {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// Only keys whose text begins so: the text of a Str, and otherwise what is printed.
    #[arg(long)]
    prefix: Option<String>,
    /// At most so many.
    #[arg(long, value_parser = number::<u64>)]
    limit: Option<u64>,
}

impl Keys {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let mut output = Output::new();
        let liveness = walk(&map, self.limit, None, |entry| {
            let key = open::json(map.key_type(), &entry.key)?;
            if has_prefix(&key, self.prefix.as_deref()) {
                output.json(&key)?;
                return Ok(Seen::Counts);
            }
            Ok(Seen::PassedOver)
        })?;
        output.flush()?;
        Ok(liveness)
    }
}

/// Whether a key, as JSON, begins with a text.
pub(super) fn has_prefix(key: &Value, prefix: Option<&str>) -> bool {
    match (key, prefix) {
        (_, None) => true,
        (Value::String(text), Some(prefix)) => text.starts_with(prefix),
        (other, Some(prefix)) => other.to_string().starts_with(prefix),
    }
}
