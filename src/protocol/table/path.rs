//! Making room for a key none of whose buckets' entries can move: by several moves in a row.
//!
//! An entry of the key's two buckets could move if its alternate bucket had room; that one has room
//! if an entry of *it* moves first, and so on. Such a chain is an augmenting path (Hopcroft and
//! Karp, 1973; for this kind of table: Dietzfelbinger and Weidling, "Balanced allocation and
//! dictionaries with tightly packed constant size bins", 2007). It is looked for breadth first, so
//! the shortest one is found, without any lock and without trusting what was read. Then it is
//! carried out from its far end: each move is an ordinary displacement of one entry, complete before
//! the next begins, under the locks of that entry's two buckets and no other. So between two moves
//! the table is one that a program without paths could have left, and a process that dies in
//! the middle leaves what a displacement leaves. If somebody else has changed what was read, the
//! rest of the path is not walked and the search begins anew.
//!
//! # Bounds
//!
//! At most [`MAX_STEPS`] buckets are looked at, at most [`MAX_MOVES`] entries move. In simulations
//! (10 million operations a row; removals in the order of insertion, of keys, of iteration from the
//! front, the back and the middle, at random; capacities of 100 to a million) the longest path had
//! two moves and the longest search looked at 91 buckets.

use super::Table;
use super::moving::Moving;
use super::request::{Blocked, Conflict};
use crate::liveness::token::Token;
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::sys::copy::Buffer;

/// Most buckets that one search looks at: 4 KiB of stack.
pub(crate) const MAX_STEPS: usize = 256;

/// Most moves in a row.
pub(crate) const MAX_MOVES: u8 = 5;

/// A bucket that was reached.
#[derive(Clone, Copy)]
struct Step {
    /// The entry that would move into it.
    hash: KeyHash,
    /// Its number: a table has at most 2^32 buckets.
    bucket: u32,
    /// The step that this one was reached from: where that entry is now.
    from: u16,
    /// How many moves lie between it and the key's own buckets.
    moves: u8,
}

/// The buckets that a search has reached, in the order of their distance.
struct Search {
    steps: [Step; MAX_STEPS],
    len: usize,
}

impl Search {
    fn new(buckets: [u64; 2]) -> Self {
        let root = |bucket: u64| Step {
            hash: KeyHash(0),
            bucket: bucket as u32,
            from: 0,
            moves: 0,
        };
        let mut search = Self {
            steps: [root(0); MAX_STEPS],
            len: 2,
        };
        search.steps[0] = root(buckets[0]);
        search.steps[1] = root(buckets[1]);
        search
    }

    fn knows(&self, bucket: u64) -> bool {
        let reached = &self.steps[..self.len];
        reached.iter().any(|step| u64::from(step.bucket) == bucket)
    }

    /// Notes that `hash` could move from step `from` to `bucket`; false if there is no place left.
    fn reach(&mut self, from: usize, hash: KeyHash, bucket: u64) -> bool {
        let moves = self.steps[from].moves + 1;
        let Some(step) = self.steps.get_mut(self.len) else {
            return false;
        };
        *step = Step {
            hash,
            bucket: bucket as u32,
            from: from as u16,
            moves,
        };
        self.len += 1;
        true
    }
}

impl<'a, S: Shape> Table<'a, S> {
    /// Moves entries so that one of the two buckets of `hash` gets a free slot. The caller holds
    /// nothing, and tries its insertion again afterwards.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&self, token: Token, hash: KeyHash) -> Result<(), Conflict> {
        let mut search =
            Search::new([hash.primary(self.buckets()), hash.secondary(self.buckets())]);
        let mut end = self
            .find_path(&mut search)
            .ok_or(Conflict::Blocked(Blocked::Full))?;
        while search.steps[end].moves > 0 {
            let step = search.steps[end];
            end = usize::from(step.from);
            let from = search.steps[end].bucket;
            if !self.move_entry(token, step.hash, from.into(), step.bucket.into())? {
                break;
            }
        }
        Ok(())
    }

    /// The last step of the shortest path to a bucket with room.
    fn find_path(&self, search: &mut Search) -> Option<usize> {
        let mut buffer = self.shape().key_buffer();
        let mut next = 0;
        while next < search.len && search.steps[next].moves < MAX_MOVES {
            let index = u64::from(search.steps[next].bucket);
            let bucket = self.bucket(index);
            for slot in bucket.read_begin().occupied() {
                // Perhaps torn: then `move_entry` does not find it.
                let hash = self.hash_of(bucket.load_key(slot, buffer.words()));
                let Some(alternate) = self.alternate(hash, index) else {
                    continue;
                };
                if search.knows(alternate) {
                    continue;
                }
                if !search.reach(next, hash, alternate) {
                    return None;
                }
                if self.bucket(alternate).read_begin().occupied().len() < self.shape().usable() {
                    return Some(search.len - 1);
                }
            }
            next += 1;
        }
        None
    }

    /// Moves the entry with this hash from one of its buckets to the other; false if it is not there
    /// any more, or there is no room.
    fn move_entry(
        &self,
        token: Token,
        hash: KeyHash,
        from: u64,
        to: u64,
    ) -> Result<bool, Conflict> {
        let source = self.try_lock(from, token)?;
        let target = self.try_lock(to, token)?;
        let mut buffer = self.shape().key_buffer();
        let mut occupied = source.state().occupied();
        let Some(slot) =
            occupied.find(|slot| self.hash_of(source.load_key(*slot, buffer.words())) == hash)
        else {
            return Ok(false);
        };
        let Some(place) = self.room(&target, to, hash) else {
            return Ok(false);
        };
        let moving = Moving {
            hash,
            from: &source,
            slot,
            to: &target,
            place,
            is_to_primary: hash.primary(self.buckets()) == to,
            moves: self.moves,
        };
        moving.begin();
        source.publish(source.state().occupied().without(slot));
        moving.finish();
        Ok(true)
    }
}
