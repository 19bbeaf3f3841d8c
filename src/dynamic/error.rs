//! What can go wrong with an untyped handle.

use crate::schema::{InvalidValue, Type};
use crate::store::error::{IterError, ReadError, WriteError};

/// Why an operation on an untyped handle failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DynError {
    /// The caller's bytes are not of the segment's type.
    #[error("this is no {part} of this segment: {reason}; its {part} type is:\n{ty:#}")]
    Unfit {
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with the bytes.
        reason: InvalidValue,
        /// What they should be.
        ty: Box<Type>,
    },
    /// The stored bytes are not of the type that the segment declares. Some process wrote invalid
    /// bytes.
    #[error(
        "the stored {part} is invalid ({reason}): some process wrote other bytes than the \
         segment's schema allows; remove the key, or repair the segment"
    )]
    Invalid {
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with the bytes.
        reason: InvalidValue,
    },
    /// A time to live was given for an entry of a map.
    #[error("entries of a map have no time to live: only those of a cache do")]
    NoTimes,
    /// Others wrote in the same place each time that it was looked at. This is no miss: try again.
    #[error(transparent)]
    Read(ReadError),
    /// Nothing was written.
    #[error(transparent)]
    Write(WriteError),
    /// An iteration ended before the end.
    #[error(transparent)]
    Iter(IterError),
}

impl From<WriteError> for DynError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
