//! `shmkv completions`: scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::failure::{ExitStatus, Outcome};
use crate::output::Output;

/// Prints a completion script for a shell.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  shmkv completions bash > ~/.local/share/bash-completion/completions/shmkv"
)]
pub(crate) struct Completions {
    /// Which one.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Outcome {
        // Into memory first: the generator panics when it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "shmkv", &mut script);
        let mut output = Output::new();
        output.text(&String::from_utf8_lossy(&script))?;
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
}
