//! What the machine gives: system calls, mappings, atomics, clocks.
//!
//! The only folder that may use `unsafe` everywhere, and the only one that calls the system. It uses
//! nothing of the other folders. [`sync`] is the facade to atomics, fences and futexes: the models
//! in `tests/loom` put a twin in its place.

pub(crate) mod access;
pub(crate) mod atomic;
pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod file_facts;
pub(crate) mod file_lease;
pub(crate) mod huge;
pub(crate) mod mapping;
pub(crate) mod random;
pub(crate) mod retry;
pub(crate) mod shm;
pub(crate) mod sync;
pub(crate) mod tags;
#[cfg(any(test, fuzzing))]
pub(crate) mod watched;
pub(crate) mod words;
