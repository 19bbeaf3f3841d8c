//! shmkv
mod mapping;
mod owner;
mod sync;
