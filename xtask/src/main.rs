//! What the project does to itself. `cargo xtask help` lists it.

mod layers;
mod words;

use std::path::Path;
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
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is a folder of the workspace");
    let outcome = match Command::parse() {
        Command::Layers { sources } => layers::check(&root.join(sources)),
        Command::Words => words::check(root),
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
