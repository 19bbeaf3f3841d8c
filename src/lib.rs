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
//! - [`Map`] and [`ReadOnlyMap`], the typed handles; [`MapBuilder`] creates and opens them.
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

mod cache;
#[cfg(doc)]
pub mod docs;
mod dynamic;
mod format;
mod liveness;
mod map;
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

// The macros name this crate `::shmkv`, also when used inside it.
extern crate self as shmkv;

pub use cache::{
    Cache, CacheBuilder, CacheIter, CacheSettings, CacheStats, LoadError, ReadOnlyCache,
    RemovalCause,
};
pub use dynamic::{
    Activity, DynEntries, DynEntry, DynError, DynMap, DynMapBuilder, HeldLock, ReadOnlyDynMap,
};
pub use format::{
    FORMAT_VERSION, FormatError, Header, MAX_KEY_LEN, MAX_VALUE_LEN, SizeError, StoreKind,
};
pub use liveness::{Liveness, OwnerInfo, Participant, RegisterError};
pub use map::{Iter, Map, MapBuilder, MapStats, ReadOnlyMap};
pub use protocol::hash::HashFunction;
pub use schema::Schema;
pub use segment::{Segment, SegmentError, SegmentMetadata, SegmentOptions};
pub use shmkv_derive::{Schema, record};
pub use store::check::{CheckReport, Problem, Severity};
pub use store::error::{
    CompareExchange, IterError, OpenError, ReadError, SweepError, TryInsert, WriteError,
};
pub use store::recover::{Finding, RecoveryAction, RecoveryReport};
pub use store::restart::{CrashPolicy, DropReason, DroppedEntry, SalvageReport, SyncOutcome};
pub use sys::huge::HugePages;
pub use types::integer::Integer;
pub use types::{Bytes, Key, Str, Value};
#[doc(hidden)]
pub use zerocopy;
