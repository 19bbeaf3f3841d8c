//! `shmkv man`: the manual page, made of the help texts.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::Cli;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::output::Output;

/// Prints the manual page, or writes those of all commands into a directory.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv man | man -l -\n  shmkv man --directory ~/.local/share/man/man1"
)]
pub(crate) struct Man {
    /// Write shmkv.1, shmkv-ls.1, … into this directory.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Outcome {
        match &self.directory {
            Some(directory) => clap_mangen::generate_to(Cli::command(), directory)
                .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?,
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command()).render(&mut page)?;
                let mut output = Output::new();
                output.text(&String::from_utf8_lossy(&page))?;
                output.flush()?;
            }
        }
        Ok(ExitStatus::Fine)
    }
}
