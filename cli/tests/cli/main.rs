//! The command line, as it is run.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod batch;
mod commands;
mod failures;
mod given;
mod hangup;
mod holder;
mod leftovers;
mod loading;
mod namespaces;
mod numbers;
mod numbers_survive;
mod several_keys;
mod shmkv;
mod soundness;
mod terminal;
mod transcript;
mod transfer;
mod widths;
