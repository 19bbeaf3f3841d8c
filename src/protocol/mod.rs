//! The algorithm on words: where a key can live, how a bucket is read and written, who may lock it.
//!
//! `tests/loom` compiles this folder whole and checks it over all interleavings. So it makes no
//! system call. It may use `policy`, `liveness::token`, `types` and `sys`.

pub(crate) mod bucket;
pub(crate) mod buckets;
pub(crate) mod counters;
pub(crate) mod dimensions;
pub(crate) mod hash;
pub(crate) mod lease;
pub(crate) mod move_log;
pub(crate) mod order;
pub(crate) mod replacement;
pub(crate) mod shape;
pub(crate) mod table;
pub(crate) mod walk;
