//! What the project does to itself. `cargo xtask help` lists it.

mod layers;
mod list;
mod mutants;
mod planted;
mod rules;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Checks of the project's own structure and words
#[derive(Debug, Parser)]
enum Command {
    /// Every import in src/ points down, and no files import each other in a circle
    Layers {
        /// The folder with the sources
        #[arg(default_value = "src")]
        sources: String,
    },
    /// No word stands in the project that the glossary replaces
    Words,
    /// Breaks the protocol in each listed way and shows that its models notice
    Mutants(mutants::Request),
    /// Breaks each rule of what is believed (docs/trust.md) and shows that its unit tests notice
    Rules,
    /// Plants each listed bug and shows that a fuzz target finds it
    Planted(planted::Request),
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is a folder of the workspace");
    let outcome = match Command::parse() {
        Command::Layers { sources } => layers::check(&root.join(sources)),
        Command::Words => words::check(root),
        Command::Rules => {
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| root.join("target"), PathBuf::from);
            rules::check(root, &target)
        }
        Command::Mutants(request) => {
            // The lists name files from the top of the workspace.
            std::env::set_current_dir(root).expect("the workspace is there");
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| root.join("target"), PathBuf::from);
            return ExitCode::from(u8::from(!mutants::run(&target.join("mutants"), &request)));
        }
        Command::Planted(request) => match planted::run(root, &request) {
            Ok(all_found) => return ExitCode::from(u8::from(!all_found)),
            Err(error) => {
                eprintln!("planted: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::FAILURE
        }
    }
}
