//! shmkv
mod mapping;
mod owner;
mod sync;

pub use owner::{OwnerInfo, Participant, RegisterError, Verdict};
