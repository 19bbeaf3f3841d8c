//! What keys and values can be.
//!
//! * integers, floats, `bool`, `char`, `()`, `NonZero`, and arrays of them;
//! * [`Str<N>`] and [`Bytes<N>`], text and bytes of varying length stored inline;
//! * your own structs and fieldless enums under [`#[shmkv::record]`](macro@crate::record).
//!
//! The traits [`Key`] and [`Value`] sum up what is asked of them.

mod bytes;
pub(crate) mod image;
pub(crate) mod integer;
pub(crate) mod metadata;
mod plain;
mod str;

#[cfg(test)]
mod tests;

pub use self::bytes::Bytes;
pub use self::plain::{Key, Value};
pub use self::str::Str;

/// More content than a [`Str<N>`] or [`Bytes<N>`] has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes are too long: at most {max} fit")]
pub struct TooLong {
    /// Bytes of the content.
    pub len: usize,
    /// Bytes that there is room for.
    pub max: usize,
}
