//! shmkv
mod mapping;
mod sync;
