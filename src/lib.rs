//! A typed key-value store in one shared memory segment, used by many processes at once, without a
//! server.
//!
//! A reader never waits and never writes. A writer may die at any instruction. Nothing in the segment is
//! trusted.
//!
//! ```no_run
//! use shmkv::Map;
//!
//! #[shmkv::record] // plain data, checked when the program is compiled
//! #[derive(Debug)]
//! struct Quote {
//!     bid: f64,
//!     ask: f64,
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // One process:
//!     let quotes: Map<u64, Quote> = Map::builder().capacity(10_000).open_or_create("shm:quotes")?;
//!     quotes.insert(840, Quote { bid: 1.0, ask: 1.5 })?;
//!
//!     // Any other process, with permission to read and no more:
//!     let quotes = Map::<u64, Quote>::builder().open_read_only("shm:quotes")?;
//!     println!("{:?}", quotes.get(&840)?); // Some(Quote { bid: 1.0, ask: 1.5 })
//!     Ok(())
//! }
//! ```
//!
//! The segment stays when the processes end. [`Segment::remove`] removes it, as does `shmkv rm shm:quotes`.
//!
//! # What there is
//!
//! | names | what they are |
//! |-------|---------------|
//! | [`Map`], [`ReadOnlyMap`] | the typed map |
//! | [`Cache`], [`ReadOnlyCache`] | the typed cache: a capacity that is never exceeded, times to live, loading once |
//! | [`DynMap`], [`ReadOnlyDynMap`] | a segment of any types, by the description that it carries |
//! | [`Segment`] | the name of a segment: `shm:quotes`, `file:/var/cache/q.kv`, `sysv:0x51`, `fd:3` |
//! | [`Key`], [`Value`], [`Schema`], [`record`], [`Str`], [`Bytes`] | what can be stored |
//! | [`OpenError`], [`ReadError`], [`WriteError`] | what can go wrong |
//!
//! Everything else stands in a module that is named for its subject: builders, iterators and statistics in
//! [`map`], [`cache`] and [`dynamic`], and [`segment`], [`format`](mod@format), [`check`], [`restart`], [`process`],
//! [`error`], [`types`], [`schema`].
//!
//! # Pages
//!
//! | page | question |
//! |------|----------|
//! | [`docs::guarantees`] | what is promised, and which test shows it |
//! | [`docs::segments`] | names, kinds, permissions |
//! | [`docs::restarts`] | what outlives a process, and the machine |
//! | [`docs::types`], [`docs::sizing`] | what can be stored, and what it takes |
//! | [`docs::cache`] | what a cache promises |
//! | [`docs::hostile`] | what a peer can do |
//! | [`docs::deploys`] | rolling restarts, growth, several users, containers |
//! | [`docs::command_line`] | the program `shmkv` |
//! | [`docs::speed`] | what it costs, and where the time goes |
//! | [`docs::verification`] | what is verified, by what, and what is not |
//! | [`docs::format`] | the bytes of a segment |

pub mod cache;
#[cfg(doc)]
pub mod docs;
pub mod dynamic;
pub mod format;
mod liveness;
pub mod map;
mod policy;
mod protocol;
pub mod schema;
pub mod segment;
mod store;
mod sys;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    not(fuzzing),
    expect(unreachable_pub, reason = "fuzz targets reach it")
)]
#[doc(hidden)]
pub mod testing;
pub mod types;

/// Comparing a segment with what the protocol promises, and releasing what dead processes hold.
pub mod check {
    pub use crate::store::check::{CheckReport, Problem, Severity};
    pub use crate::store::correct::{Corrections, Keys};
    pub use crate::store::recover::{Finding, RecoveryAction, RecoveryReport};
}

/// What becomes of a segment when the machine has crashed, and how it is written to the disk.
pub mod restart {
    pub use crate::store::restart::{
        CrashPolicy, DropReason, DroppedEntry, SalvageReport, SyncOutcome,
    };
}

/// The processes that write to a segment, and which of them are alive.
pub mod process {
    pub use crate::liveness::{Liveness, OwnerInfo, Participant, RegisterError};
}

/// What can go wrong. The errors that most programs meet stand at the root.
pub mod error {
    pub use crate::store::error::{
        IterError, OpenError, ReadError, SweepError, Unreadable, WriteError,
    };
}

// The macros name this crate `::shmkv`, also when used inside it.
extern crate self as shmkv;

pub use cache::{Cache, ReadOnlyCache};
pub use dynamic::{DynMap, ReadOnlyDynMap};
pub use map::{Map, ReadOnlyMap};
pub use schema::Schema;
pub use segment::Segment;
pub use shmkv_derive::{Schema, record};
pub use store::error::{OpenError, ReadError, WriteError};
pub use types::{Bytes, Key, Str, Value};
#[doc(hidden)]
pub use zerocopy;
