//! The commands, one a file.

use clap::Subcommand;

use crate::failure::Outcome;
use crate::open::Global;
use crate::top;

mod bench;
mod check;
mod chmod;
mod chown;
mod columns;
mod completions;
mod cp;
mod create;
mod del;
mod dump;
mod exists;
mod gc;
mod get;
mod incr;
mod info;
mod keys;
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
