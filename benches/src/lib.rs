//! What the comparisons are made of.
//!
//! ```text
//! types      keys and values: three pairs of plain data
//! keys       the streams of keys that all peers are asked for
//! subject    what a peer must be able to do            <- implemented in subjects/, ours
//! workload   the measured loops, monomorphised a peer
//! runner     one measured slice of a peer, threads and processes included
//! roster     names of the peers, and how each is built
//! record     what was measured: rounds, medians, ratios
//! limits     what issue "Speed" promises, judged against the record
//! memory     bytes an entry
//! report     tables and JSON
//! hit_ratio  another comparison: of caches, by what they keep
//! ```
//!
//! `unsafe` is needed only to open an LMDB environment (`subjects/lmdb`).

pub mod hit_ratio;
pub mod keys;
pub mod limits;
pub mod memory;
pub mod ours;
pub mod record;
pub mod report;
pub mod roster;
pub mod runner;
pub mod subject;
pub mod subjects;
pub mod types;
pub mod workload;
