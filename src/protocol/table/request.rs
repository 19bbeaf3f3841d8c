//! What is asked of a table, and what came of it.

use crate::liveness::token::LockWord;
use crate::protocol::hash::KeyHash;

/// A key as the table needs it: hashed, and as words.
#[derive(Clone, Copy)]
pub(crate) struct HashedKey<'k> {
    pub(crate) hash: KeyHash,
    pub(crate) words: &'k [u64],
}

/// What a search of the table came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Lookup {
    /// The key is there; what was copied of it is whole.
    Hit,
    /// The key is not there.
    Miss,
    /// The bounded number of tries did not find the buckets at rest for long enough.
    Contended,
}

/// What a writer wants, once it knows what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Leave it.
    Keep,
    /// The key shall have the value that was put into the buffer.
    Put,
    /// The key shall be absent.
    Remove,
}

/// What a writer achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// The key was there and was left alone.
    KeptPresent,
    /// The key was not there and still is not.
    KeptAbsent,
    Inserted,
    Replaced,
    Removed,
}

/// Why a write did not happen. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Neither bucket of the key has room, nor can any of their entries move, found with all the
    /// locks held that the statement needs; nor does a path of several moves lead to room.
    Full,
    /// A lock could not be had in time; the word that stood there last.
    Busy { bucket: u64, found: LockWord },
    /// The bucket's state is none that this protocol writes.
    Corrupted { bucket: u64 },
}

/// Why an attempt has to start again.
pub(crate) enum Conflict {
    /// Somebody else holds the lock of this bucket.
    Locked { bucket: u64, found: LockWord },
    /// Final.
    Blocked(Blocked),
}
