//! shmkv
mod mapping;
mod owner;
pub mod segment;
mod sync;
