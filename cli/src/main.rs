//! `shmkv`: shows, checks and changes segments of the library of the same name.
//!
//! Results go to stdout, everything else to stderr. Exit code 0: fine; 1: found something
//! (`check`), or did not find it (`get`); 2: could not run. Segments are mapped read-only
//! unless a command changes them.

mod advice;
mod commands;
mod failure;
mod given;
mod hangup;
mod interrupt;
mod number;
mod open;
mod output;
mod process;
mod progress;
mod table;
mod text;
mod top;

use std::process::ExitCode;

use clap::Parser;
use commands::Command;
use open::Global;

/// Shows, checks and changes shared memory segments of shmkv.
///
/// A segment has one name everywhere: shm:NAME (/dev/shm/NAME), file:PATH, sysv:KEY, sysv:PATH#N,
/// sysv-id:N, or fd:N for a descriptor that this process inherits.
///
/// Keys and values are written as JSON; text, bytes (hexadecimal, or base64 behind base64:) and names of enum variants may
/// go without quotes, and a struct may be written as field=value pairs.
#[derive(Debug, Parser)]
#[command(
    name = "shmkv",
    version,
    disable_help_subcommand = false,
    after_help = "Exit codes: 0 fine, 1 found something (or did not find the key), 2 could not run.\n\
                  'shmkv help COMMAND' has an example of each command."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    match command.run(global) {
        Ok(liveness) => liveness.into(),
        Err(failure) => failure.report(),
    }
}
