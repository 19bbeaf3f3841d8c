//! A typed key-value store in one shared memory segment, used by many processes at once.
//!
//! Worker processes of one machine share a table or a cache at the speed of memory, without a
//! server: a reader never waits and never writes, a writer may die at any instruction, and
//! nothing that stands in the segment is trusted.
//!
//! ```
//! use shmkv::Map;
//!
//! #[shmkv::record]
//! #[derive(Debug, PartialEq)]
//! struct Quote {
//!     bid: f64,
//!     ask: f64,
//! }
//!
//! # let name = format!("shm:doc-lib-{}", std::process::id());
//! # let name = name.as_str();
//! // One process:
//! let quotes: Map<u64, Quote> = Map::builder().capacity(10_000).open_or_create(name)?;
//! quotes.insert(840, Quote { bid: 1.0, ask: 1.5 })?;
//!
//! // Any other:
//! let quotes = Map::<u64, Quote>::builder().open_read_only(name)?;
//! assert_eq!(quotes.get(&840)?, Some(Quote { bid: 1.0, ask: 1.5 }));
//! # quotes.segment().remove()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What there is
//!
//! - [`Map`] and [`ReadOnlyMap`], the typed handles; [`MapBuilder`](map::MapBuilder) creates and opens them.
//! - [`Cache`] and [`ReadOnlyCache`], the same for what may be forgotten: with a capacity that is never
//!   exceeded, times to live, and loading once.
//! - [`DynMap`] and [`ReadOnlyDynMap`], the untyped handles: any segment, by the schema that it
//!   carries.
//! - [`Segment`] names a segment: `shm:quotes`, `file:/var/cache/q.kv`, `sysv:0x51`, `fd:3`.
//! - [`Key`] and [`Value`] say what can be stored: plain data that describes itself. Put
//!   [`#[shmkv::record]`](record) on your own types; [`Str`] and [`Bytes`] hold text inline.
//! - `docs::verification` says what is verified, by what, and what is not; `docs::speed` what it costs,
//!   where the time goes, and what is not reached.
//! - [`schema`] is the description that a segment carries of its types.
//!
//! # Architecture
//!
//! Data flows one way, from the memory to the typed handle; no module reaches around its
//! neighbour. `unsafe` is denied, and expected with a reason in the modules marked with a star.
//!
//! | module | what it is |
//! |--------|------------|
//! | `segment` * | where the bytes come from: names, creation, permissions (System V calls) |
//! | `mapping` *, `huge` * | the bytes as atomic words, on huge pages |
//! | `sections` *, `area` * | which words are what, and where a bucket is |
//! | `sync` | the facade over atomics, fences and futexes, with a twin for `loom` |
//! | `copy` *, `tags` * | racing copies and comparisons of words |
//! | `layout` | what the words mean: the specification, and its validation |
//! | `hash` | from a key to the places where it can live |
//! | `bucket` | the protocol of one bucket: publish, validate, lock |
//! | `table` | two buckets a key: find, insert, displace |
//! | `evict`, `policy` | what is evicted in a full cache |
//! | `entry`, `clock` | until when an entry of a cache counts |
//! | `lease` | which process loads a missing value |
//! | `statistics` * | what a cache has done, counted without contention |
//! | `moves`, `iter` | walking through all entries while some are displaced |
//! | `owner` *, `repair` | who writes, who of them is dead, and taking over from those |
//! | `restart` | what a file is worth after a crash of the machine |
//! | `image` * | typed values as words |
//! | `shared`, `open`, `builder`, `map`, `cache` | the typed handles |
//! | `schema`, `types` | what can be stored, and how it is described |
//!
//! # What a peer can do
//!
#![doc = include_str!("docs/hostile.md")]

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
    pub use crate::store::error::{IterError, OpenError, ReadError, SweepError, WriteError};
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
