//! The protocol, model-checked: the sources that ship, compiled against loom.
//!
//! `src/sync.rs` is the only door to atomics, fences and futexes. Here the protocol's modules
//! find a twin behind that door (`tests/loom/sync.rs`), whose atomics are loom's: it runs
//! every interleaving of the threads of a model up to a number of preemptions, and every value
//! that the memory model allows a load to return. What is checked:
//!
//! | file | property |
//! |------|----------|
//! | `reading` | a read is never a mixture, never another key's value, never a false miss |
//! | `writing` | one winner, no entry twice, no lost update, no deadlock |
//! | `moving` | displacement hides no key from readers, and no key from writers |
//! | `registering` | one holder of a participant's slot; who locks has been seen to have one |
//! | `burial` | a writer may die before any of its writes; only the dead are robbed |
//! | `waiting` | no wake-up is lost |
//! | `caching` | a replaced entry is seen whole or not at all; of all who miss one loads |
//! | `iterating` | a walk meets every entry that stays in the table exactly once |
//!
//! Each model says how many executions it must have explored at least and the exact set of
//! outcomes that it must have seen, because a model that explores nothing passes too. That the
//! models can fail is shown by `tests/mutants.sh`.
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

#[path = "../src"]
mod protocol {
    pub(crate) mod area;
    pub(crate) mod bucket;
    pub(crate) mod copy;
    pub(crate) mod entry;
    pub(crate) mod evict;
    pub(crate) mod hash;
    pub(crate) mod image;
    pub(crate) mod iter;
    pub(crate) mod lease;
    pub(crate) mod moves;
    pub(crate) mod policy;
    pub(crate) mod repair;
    pub(crate) mod table;
    pub(crate) mod tags;
    pub(crate) mod owner {
        mod slot;
        pub(crate) mod token;

        // A child of this module: what it is about is private to it.
        #[path = "../../tests/loom/registering.rs"]
        mod registering;
    }
}

// The modules name each other from the root of the crate.
use protocol::{
    area, bucket, copy, entry, evict, hash, image, iter, lease, moves, owner, policy, repair,
    table, tags,
};

#[path = "loom/burial.rs"]
mod burial;
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
#[path = "loom/reading.rs"]
mod reading;
#[path = "loom/sync.rs"]
mod sync;
#[path = "loom/waiting.rs"]
mod waiting;
#[path = "loom/writing.rs"]
mod writing;
