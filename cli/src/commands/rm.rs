//! `shmkv rm`: removes segments, unless somebody needs them.

use clap::Args;
use shmkv::Segment;
use shmkv::process::{Liveness as Life, Participant};

use crate::advice;
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
            let map = global.try_read(segment).map_err(|error| {
                let message = advice::message(segment, &error);
                Failure::new(
                    match advice::is_ours(&error) || message.contains("--force") {
                        true => message,
                        // It is not for us to say that somebody's file may go.
                        false => format!("{message}; nothing was removed"),
                    },
                )
            })?;
            let writers = living(map.participants());
            if !writers.is_empty() {
                return Err(Failure::new(format!(
                    "{segment} is in use by {}: {}",
                    names(&writers),
                    advice(&writers)
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
    const SHOWN: usize = 4;
    let name = |writer: &Participant| process::who(&writer.owner);
    let mut names: Vec<String> = writers.iter().take(SHOWN).map(name).collect();
    if writers.len() > SHOWN {
        names.push(format!("{} more", writers.len() - SHOWN));
    }
    names.join(", ")
}

/// What can be done about them: nobody is asked to stop a process that has another number here.
fn advice(writers: &[Participant]) -> &'static str {
    let is_ours =
        |writer: &Participant| process::is_of_our_pid_namespace(&writer.owner) == Some(true);
    let ours = writers.iter().filter(|writer| is_ours(writer)).count();
    match (ours, writers.len()) {
        (1, 1) => "stop it first, or say --force",
        (ours, all) if ours == all => "stop them first, or say --force",
        (0, _) => {
            "it can only be stopped where it runs (in its container, say); --force removes the \
             name, and who has the segment open keeps it"
        }
        _ => "stop them first, each where it runs, or say --force",
    }
}
