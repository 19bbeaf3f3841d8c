//! `shmkv rm`: removes segments, unless somebody needs them.

use clap::Args;
use shmkv::Segment;
use shmkv::process::{Liveness as Life, Participant};

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::process;

/// Removes segments, with all that belongs to them.
///
/// Refuses while processes are registered as writers that live, or may live, and what is no
/// segment of shmkv (or is damaged). Processes that have the segment open keep it until they close
/// it; whoever opens the name afterwards finds nothing.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv rm shm:quotes sysv:0x51")]
pub(crate) struct Rm {
    /// Such as shm:NAME or file:PATH.
    #[arg(required = true)]
    segments: Vec<Segment>,
    /// Remove it all the same: also while there are writers, and whatever it is.
    #[arg(long, short)]
    force: bool,
}

impl Rm {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let mut failures = 0;
        for segment in &self.segments {
            if let Err(error) = self.remove(global, segment) {
                if let Failure::BrokenPipe = error {
                    return Err(error);
                }
                failures += 1;
                let _ = error.report();
            }
        }
        match failures {
            0 => Ok(ExitStatus::Fine),
            _ => Err(Failure::Said),
        }
    }

    fn remove(&self, global: Global, segment: &Segment) -> Outcome<()> {
        // Also with --force: what is not there cannot be removed.
        segment.metadata()?;
        if !self.force {
            let map = global.read(segment).map_err(|failure| match failure {
                Failure::Message(message) => Failure::Message(format!(
                    "{message}\n(--force removes it whatever it is, if this user may)"
                )),
                other => other,
            })?;
            let writers = living(map.participants());
            if !writers.is_empty() {
                return Err(Failure::new(format!(
                    "{segment} is in use by {}: stop them, or say --force",
                    names(&writers)
                )));
            }
        }
        Ok(segment.remove()?)
    }
}

/// Those who live, or may live.
pub(crate) fn living(participants: Vec<Participant>) -> Vec<Participant> {
    let mut living = participants;
    living.retain(|writer| writer.owner.liveness() != Life::Dead && !writer.is_self);
    living
}

/// Who they are.
pub(crate) fn names(writers: &[Participant]) -> String {
    let name = |writer: &Participant| match writer.owner.pid() {
        Some(pid) => match process::command(pid) {
            Some(command) => format!("{command} (process {pid})"),
            None => format!("process {pid} (of another pid namespace, or gone)"),
        },
        None => "a process that is not on record".to_owned(),
    };
    const SHOWN: usize = 4;
    let mut names: Vec<String> = writers.iter().take(SHOWN).map(name).collect();
    if writers.len() > SHOWN {
        names.push(format!("{} more", writers.len() - SHOWN));
    }
    names.join(", ")
}
