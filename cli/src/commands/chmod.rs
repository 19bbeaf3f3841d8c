//! `shmkv chmod`: who may open a segment.

use clap::Args;
use shmkv::Segment;

use super::create::octal;
use crate::failure::{ExitStatus, Outcome};
use crate::open::Global;

/// Changes the permission bits of segments, those of System V as well.
///
/// It concerns who can open the segment from now on; who has it open keeps it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv chmod 640 shm:quotes")]
pub(crate) struct Chmod {
    /// In octal.
    #[arg(value_parser = octal)]
    mode: u32,
    /// Such as shm:NAME or file:PATH.
    #[arg(required = true)]
    segments: Vec<Segment>,
}

impl Chmod {
    pub(crate) fn run(self, global: Global) -> Outcome {
        for segment in &self.segments {
            // Only of what is a segment: a slip must not open somebody's file to the world.
            global.recognise(segment)?;
            segment.set_permissions(Some(self.mode), None, None)?;
        }
        Ok(ExitStatus::Fine)
    }
}
