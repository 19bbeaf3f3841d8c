//! shmkv
mod copy;
mod hash;
mod mapping;
mod owner;
mod sync;
mod tags;
