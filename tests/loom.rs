//! The protocol, model-checked: the sources that ship, compiled against loom.
//!
//! `src/sys/sync.rs` is the only facade over atomics, fences and futexes. Here the protocol's
//! modules find a twin behind that facade (`tests/loom/sync.rs`), whose atomics are loom's: it runs
//! every interleaving of the threads of a model up to a number of preemptions, and every value
//! that the memory model allows a load to return. What is checked:
//!
//! | file | property |
//! |------|----------|
//! | `reading` | a read is never a mixture, never another key's value, never a false miss |
//! | `writing` | one winner, no entry twice, no lost update, no deadlock |
//! | `moving` | displacement hides no key from readers, and no key from writers |
//! | `registering` | one holder of a participant's slot; who locks has been seen to have one |
//! | `takeover` | a writer may die before any of its writes; only dead processes are replaced |
//! | `waiting` | no wake-up is lost |
//! | `caching` | a replaced entry is seen whole or not at all; of all who miss one loads |
//! | `iterating` | a walk meets every entry that stays in the table exactly once |
//!
//! Each model says how many executions it must have explored at least and the exact set of
//! outcomes that it must have seen, because a model that explores nothing passes too. That the
//! models can fail is shown by `cargo xtask mutants`.
//!
//! ```text
//! cargo test --test loom                          preemption bound 2: a minute or two
//! LOOM_MAX_PREEMPTIONS=3 cargo test --test loom   deeper: an hour
//! ```
//!
//! The unit tests of the included modules run here as well, on plain memory behind the twin.

// The twin offers what the protocol may ask for, models use a part of each module, and what is
// public in the library is not public here.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../src/policy/mod.rs"]
mod policy;
#[path = "../src/protocol/mod.rs"]
mod protocol;

// Of these folders, what the protocol uses.
#[path = "../src/liveness"]
mod liveness {
    mod slot;
    pub(crate) mod token;

    // A child of this module: what it is about is private to it.
    #[path = "../../tests/loom/registering.rs"]
    mod registering;
}
#[path = "../src/sys"]
mod sys {
    pub(crate) mod copy;
    #[path = "../../tests/loom/sync.rs"]
    pub(crate) mod sync;
    pub(crate) mod tags;
}
#[path = "../src/types"]
mod types {
    pub(crate) mod image;
    pub(crate) mod metadata;
}

#[path = "loom/caching.rs"]
mod caching;
#[path = "loom/iterating.rs"]
mod iterating;
#[path = "loom/memory.rs"]
mod memory;
#[path = "loom/model.rs"]
mod model;
#[path = "loom/moving.rs"]
mod moving;
#[path = "loom/paths.rs"]
mod paths;
#[path = "loom/reading.rs"]
mod reading;
#[path = "loom/takeover.rs"]
mod takeover;
#[path = "loom/waiting.rs"]
mod waiting;
#[path = "loom/writing.rs"]
mod writing;
