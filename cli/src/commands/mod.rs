//! The commands, one a file.

use clap::Subcommand;

use crate::failure::Outcome;
use crate::open::Global;
use crate::top;

mod batch;
mod bench;
mod check;
mod chmod;
mod chown;
mod columns;
mod completions;
mod cp;
mod create;
mod defaults;
mod del;
mod dump;
mod exists;
mod findings;
mod gc;
mod get;
mod incr;
mod info;
mod keys;
pub(crate) mod limits;
mod load;
mod ls;
mod man;
mod repair;
mod rm;
mod scan;
mod set;
mod settings;
mod size;
mod watch;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::Ls),
    Info(info::Info),
    Create(create::Create),
    Rm(rm::Rm),
    Chmod(chmod::Chmod),
    Chown(chown::Chown),
    Size(size::Size),
    Get(get::Get),
    Set(set::Set),
    Del(del::Del),
    Incr(incr::Incr),
    Exists(exists::Exists),
    Batch(batch::Batch),
    Keys(keys::Keys),
    Scan(scan::Scan),
    Dump(dump::Dump),
    Load(load::Load),
    Cp(cp::Cp),
    Check(check::Check),
    Repair(repair::Repair),
    Gc(gc::Gc),
    Top(top::Top),
    Watch(watch::Watch),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    pub(crate) fn run(self, global: Global) -> Outcome {
        match self {
            Self::Ls(it) => it.run(),
            Self::Info(it) => it.run(global),
            Self::Create(it) => it.run(),
            Self::Rm(it) => it.run(global),
            Self::Chmod(it) => it.run(global),
            Self::Chown(it) => it.run(global),
            Self::Size(it) => it.run(),
            Self::Get(it) => it.run(global),
            Self::Set(it) => it.run(global),
            Self::Del(it) => it.run(global),
            Self::Incr(it) => it.run(global),
            Self::Exists(it) => it.run(global),
            Self::Batch(it) => it.run(global),
            Self::Keys(it) => it.run(global),
            Self::Scan(it) => it.run(global),
            Self::Dump(it) => it.run(global),
            Self::Load(it) => it.run(global),
            Self::Cp(it) => it.run(global),
            Self::Check(it) => it.run(global),
            Self::Repair(it) => it.run(global),
            Self::Gc(it) => it.run(),
            Self::Top(it) => it.run(global),
            Self::Watch(it) => it.run(global),
            Self::Bench(it) => it.run(),
            Self::Completions(it) => it.run(),
            Self::Man(it) => it.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::Cli;

    /// The words of a command line as a shell splits it, as far as our examples go: single
    /// quotes, and operators that stand on their own, which begin another command.
    fn commands_of(line: &str) -> Vec<Vec<String>> {
        let mut commands = vec![Vec::new()];
        let mut word: Option<String> = None;
        let mut is_quoted = false;
        let mut is_after_redirection = false;
        for c in line.chars().chain([' ']) {
            match c {
                '\'' => {
                    is_quoted = !is_quoted;
                    word.get_or_insert_default();
                }
                ' ' if !is_quoted => match word.take().as_deref() {
                    None => {}
                    Some("|" | "||" | "&&") => commands.push(Vec::new()),
                    Some("<" | ">") => is_after_redirection = true,
                    Some(_) if is_after_redirection => is_after_redirection = false,
                    Some(word) => commands.last_mut().unwrap().push(word.to_owned()),
                },
                c => word.get_or_insert_default().push(c),
            }
        }
        assert!(!is_quoted, "{line}");
        commands
    }

    #[test]
    fn every_example_of_the_help_is_a_command_that_is_understood() {
        let mut seen = 0;
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command
                .get_after_help()
                .expect("it has an example")
                .to_string();
            let mut lines = help.lines();
            assert!(
                matches!(lines.next(), Some("Example:" | "Examples:")),
                "{name}: {help}"
            );
            for line in lines {
                let line = line.strip_prefix("  ").expect("examples are indented");
                let commands = commands_of(line);
                let first = &commands[0][..2];
                assert_eq!(first, ["shmkv", name], "{line}");
                for words in commands.iter().filter(|words| words[0] == "shmkv") {
                    if let Err(error) = Cli::try_parse_from(words) {
                        panic!("{line}\n{error}");
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen >= 25, "{seen} examples");
        // It can fail.
        assert!(Cli::try_parse_from(["shmkv", "get", "shm:quotes"]).is_err());
        assert_eq!(
            commands_of("a 'b c' > d | e"),
            [vec!["a", "b c"], vec!["e"]]
        );
    }

    #[test]
    fn the_description_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
