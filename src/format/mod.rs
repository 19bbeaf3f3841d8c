//! What the bytes of a segment mean: header, geometry, sections, and their validation.
//!
//! The specification is the page `docs/format.md`. It is the contract. The offsets of its table are checked
//! when the crate is compiled, and `tests/docs/main.rs` compares both.
//!
//! A reader copies the header out **once**, validates the private copy, and never looks at the shared one
//! again. Everything above works from the [`Header`] that `validate` returns.

mod error;
mod geometry;
mod header;
mod plan;
mod raw;
pub(crate) mod sections;
pub(crate) mod shared_page;
mod validate;

pub use self::error::{FormatError, SizeError};
pub(crate) use self::header::CacheFields;
pub use self::header::Header;
pub(crate) use self::plan::{CreationRecord, Plan};
#[cfg(fuzzing)]
pub(crate) use self::raw::seal;
pub use self::raw::{FORMAT_VERSION, MAX_KEY_LEN, MAX_VALUE_LEN, StoreKind};
pub(crate) use self::raw::{MAGIC, MAX_BUCKETS, SHARED_WORDS};
pub(crate) use self::validate::read_layout;
#[cfg(fuzzing)]
pub(crate) use self::validate::validate;
pub use crate::protocol::hash::HashFunction;

#[cfg(test)]
mod tests;
