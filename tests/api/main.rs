//! What a program can do with the library, mostly within one process.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod deploys;
mod derive;
mod dynamic;
mod interleaved;
mod map;
mod model;
mod promise;
mod recovery;
