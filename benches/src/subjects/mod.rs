//! The peers, one a file. Maps in this process use foldhash wherever a hasher
//! can be chosen; only `std` keeps its default, because that is what people use.

pub mod dashmap;
pub mod hashbrown;
pub mod lmdb;
pub mod memcached;
pub mod papaya;
pub mod redis;
pub mod scc;
pub mod server;
pub mod std_map;
