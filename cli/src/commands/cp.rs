//! `shmkv cp`: a segment into another one, of another kind or size.

use std::time::Duration;

use clap::Args;
use shmkv::dynamic::DynError;
use shmkv::{DynMap, Segment};

use super::create::{lasting, octal};
use super::scan::{Seen, walk};
use crate::failure::{Failure, Outcome, complain};
use crate::interrupt::Interrupt;
use crate::number::number;
use crate::open::Global;
use crate::progress::Progress;
use crate::text;

/// Copies all entries into a new segment: of another kind, or with another capacity. The way to
/// make a segment larger.
///
/// Others may go on writing to the source; what they write to keys that have been copied is not in
/// the copy. Entries of a cache keep the time that they have left. If anything fails, or
/// Ctrl-C ends it, the new segment is removed.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  shmkv cp --capacity 100000 shm:quotes file:/var/cache/quotes.kv"
)]
pub(crate) struct Cp {
    /// The segment to copy.
    from: Segment,
    /// The segment to create: shm:NAME, file:PATH, sysv:KEY or sysv:PATH#N.
    to: Segment,
    /// Capacity of the new segment, instead of that of the old one.
    #[arg(long, value_name = "N", value_parser = number::<usize>)]
    capacity: Option<usize>,
    /// Permission bits of the new segment.
    #[arg(long, default_value = "600", value_parser = octal)]
    mode: u32,
    /// Say nothing.
    #[arg(long, short)]
    quiet: bool,
}

impl Cp {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let from = global.read(&self.from)?;
        lasting(&self.to)?;
        let interrupt = Interrupt::catch()?;
        let mut builder = DynMap::builder();
        if let Some(settings) = from.cache_settings() {
            builder = builder.cache(settings);
        }
        let to = builder
            .capacity(self.capacity.unwrap_or(from.capacity()))
            .max_writers(from.header().max_writers())
            .hash(from.header().hash())
            .mode(self.mode)
            .create(self.to.clone(), from.key_type(), from.value_type())
            .map_err(|error| Failure::opening(&self.to, error))?;
        let progress = Progress::new("cp", Some(from.header().buckets()));
        let mut copied = 0_u64;
        let result = walk(&from, None, Some(&progress), |entry| {
            interrupt.check()?;
            insert(&to, &entry.key, &entry.value, entry.time_left)
                .map_err(|error| Failure::about(&self.to, error))?;
            copied += 1;
            Ok(Seen::Counts)
        });
        drop(progress);
        match &result {
            Ok(_) if !self.quiet => complain(&format!(
                "{}: {} entries copied, capacity {}",
                self.to,
                text::thousands(copied),
                text::thousands(to.capacity() as u64)
            )),
            Ok(_) => {}
            Err(_) => to.segment().remove()?,
        }
        // Invalid entries were reported and left out: exit code 1.
        result
    }
}

/// Inserts an entry that has so much time left, if it has an end.
pub(super) fn insert(
    map: &DynMap,
    key: &[u8],
    value: &[u8],
    time_left: Option<Duration>,
) -> Result<(), DynError> {
    match time_left {
        Some(left) => map.insert_with_ttl(key, value, left),
        None => map.insert(key, value),
    }
    .map(drop)
}
