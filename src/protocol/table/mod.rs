//! The table: two buckets a key, and what readers and writers do with them.
//!
//! # Where a key lives
//!
//! Its hash names two different buckets, *primary* and *secondary* (Azar, Broder, Karlin and Upfal,
//! "Balanced allocations", 1994, with a preference). A key goes to its primary bucket while there
//! is room, else to its secondary bucket; if both are full, one entry of the two moves to *its*
//! alternate bucket ("cuckoo hashing", Pagh and Rodler, 2001). Nearly always one such move is enough;
//! a search of bounded size finds the few in a row that it takes otherwise ([`path`]). Nothing ever
//! touches more than two buckets to find a key, whatever a segment contains.
//!
//! The `overflow` counters in the header line of a bucket say, for each of 32 classes of
//! keys, how many whose primary bucket this is are in their secondary bucket: never too low. A zero
//! ends a search after one bucket, which it does for some nineteen misses of twenty in a full
//! table.
//!
//! # Who locks what
//!
//! The primary bucket's lock guards the *presence* of its keys: a key is inserted, and moves
//! between its buckets, only under the lock of its primary bucket. The lock of the bucket that
//! holds an entry guards the entry. So with the primary bucket locked, "absent" stays true;
//! inserting in the primary bucket takes one lock, updating an entry in the primary bucket takes
//! one, everything else two (three to displace).
//!
//! Locks beyond the first are tried for a moment and never waited for: whoever cannot have
//! one lets go of all, waits for that one holding nothing, and begins again. So there is no
//! deadlock, whatever the order, and a process that is stopped while it waits blocks nobody.
//!
//! # Reading
//!
//! See [`crate::protocol::bucket`] for one bucket. A hit depends on the bucket that it was found in, and a
//! miss on both: they must both still be as first read. (A miss that ends at a zero counter
//! depends on the primary bucket alone: at the moment that the zero was read, the key was in
//! neither.)
//!
//! # Displacing
//!
//! The entry is written to its new place first and published there, then the old place is
//! published without it (in the same store that brings the new key in, if there is a spare
//! slot). In between it is in
//! two buckets, with the same value, and both are locked; if the process dies there,
//! [`crate::protocol::table::takeover`] removes one of the two before either bucket can be written again.

mod edit;
mod evict;
mod insert;
mod moving;
pub(crate) mod path;
mod read;
mod request;
pub(crate) mod takeover;
mod write;
pub(crate) mod writer;

use zerocopy::IntoBytes;

use crate::liveness::token::Token;
use crate::protocol::bucket::{Bucket, BucketGuard, Search};
use crate::protocol::buckets::Buckets;
use crate::protocol::hash::{KeyHash, KeyHasher};
use crate::protocol::move_log::Moves;
use crate::protocol::shape::Shape;
use crate::sys::sync::{LOCK_SPINS, READ_TRIES, spin_hint};
use crate::sys::tags::Tag;

use self::request::Conflict;
pub(crate) use self::request::{Blocked, Edit, HashedKey, Lookup, Outcome};
pub(crate) use self::writer::{LivenessCheck, Writer};

/// The buckets of a segment, with what is needed to find one's way in them.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a, S> {
    area: Buckets<'a, S>,
    hasher: KeyHasher<'a>,
    moves: Moves<'a>,
}

impl<'a, S: Shape> Table<'a, S> {
    /// A table whose entries are in `area`.
    #[inline(always)]
    pub(crate) fn new(area: Buckets<'a, S>, hasher: KeyHasher<'a>, moves: Moves<'a>) -> Self {
        Self {
            area,
            hasher,
            moves,
        }
    }

    /// How many buckets there are.
    #[inline(always)]
    pub(crate) fn buckets(&self) -> u64 {
        self.area.count()
    }

    #[inline(always)]
    pub(crate) fn shape(&self) -> S {
        self.area.shape()
    }

    pub(crate) fn moves(&self) -> Moves<'a> {
        self.moves
    }

    /// As [`Buckets::bucket`].
    #[inline(always)]
    pub(crate) fn bucket(&self, index: u64) -> Bucket<'a, S> {
        self.area.bucket(index)
    }

    /// The hash of a key, given all its bytes.
    #[inline(always)]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// The hash of a key that was copied out of a slot.
    #[inline(always)]
    pub(crate) fn hash_of(&self, key: &[u64]) -> KeyHash {
        let bytes = key.as_bytes();
        // A buffer holds whole words, so it is never shorter than the key.
        self.hasher
            .hash(&bytes[..self.shape().key_len().min(bytes.len())])
    }

    /// Asks for the lines that a search for this key touches first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: KeyHash) {
        let primary = self.area.primary(hash);
        primary.prefetch();
        primary.prefetch_preferred(hash.preferred_slot());
    }

    /// Asks for the line of the entry that a search for this key probably finds, or for those of its
    /// secondary bucket. Looks at the header, so it is worth its while some time after `prefetch`.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, hash: KeyHash) {
        let primary = self.area.primary(hash);
        if !primary.prefetch_slot(hash.tag()) && primary.overflow(hash.class()) != 0 {
            let secondary = self.area.secondary(hash);
            secondary.prefetch();
            secondary.prefetch_preferred(hash.preferred_slot());
        }
    }

    /// Whether the bucket `index` holds the key; `None` if it did not come to rest.
    pub(crate) fn search_bucket(&self, index: u64, tag: Tag, key: &[u64]) -> Option<Search> {
        let bucket = self.bucket(index);
        for _ in 0..READ_TRIES {
            let state = bucket.read_begin();
            let found = bucket.search(state, tag, key);
            if bucket.validate(state) {
                return Some(found);
            }
            spin_hint();
        }
        None
    }

    /// The other one of the two buckets of a hash, if `index` is one of them.
    pub(crate) fn alternate(&self, hash: KeyHash, index: u64) -> Option<u64> {
        let (primary, secondary) = (hash.primary(self.buckets()), hash.secondary(self.buckets()));
        if index == primary {
            Some(secondary)
        } else if index == secondary {
            Some(primary)
        } else {
            None
        }
    }

    #[inline(always)]
    fn try_lock(&self, bucket: u64, token: Token) -> Result<BucketGuard<'a, S>, Conflict> {
        self.bucket(bucket)
            .try_lock(token, LOCK_SPINS)
            .map_err(|found| Conflict::Locked { bucket, found })
    }
}

#[cfg(test)]
mod tests;
