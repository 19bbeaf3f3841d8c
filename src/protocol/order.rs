//! The order in which a walk visits entries: another one each time, and by no region of the table.
//!
//! Programs remove what an iteration yields first, or last, and insert as much again. If that
//! emptied whole buckets, the promise of capacity could not be kept: a key that is in bucket `a` and
//! could be in `b` stays when `b` is emptied, so the buckets that were not emptied for long
//! fill up with keys both of whose buckets are such ones. No search for room helps then, since no
//! placement of those keys exists. A fixed order does that within few rounds, a random start of each
//! iteration within some hundreds (both seen in simulations, at 0.9 of all slots).
//!
//! So a walk through a table whose entries have begun to move passes [`PASSES`] times over the
//! buckets and yields, in each pass, only the keys of one class. The classes are drawn anew for each
//! walk, by a hash of the key's hash. Any part of an iteration is then for the most part a random
//! choice of keys, and what the rest empties of a region is a fourth. Each pass begins
//! at a bucket of its own, drawn by how many entries it has, so that an entry in a full bucket is
//! as likely among the first ones as one in an empty region.
//!
//! A map where nothing ever moved is passed over once: there is room enough. In a cache nothing moves,
//! and entries are evicted while others could not take their place: it is passed over as often as
//! a full map.

use crate::protocol::hash::KeyHash;
use crate::protocol::shape::{SLOTS, Shape};
use crate::protocol::table::Table;

/// How often a walk passes over the table. With three, one insertion of a million failed in the
/// simulations; with four, none of 10 million in any order.
pub(crate) const PASSES: u32 = 4;

/// How many buckets are drawn at most until one is taken as the start.
const DRAWS: u64 = 16;

/// The order of one walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    seed: u64,
    passes: u32,
}

impl Order {
    /// One pass, from bucket 0: for tests that know what comes when.
    #[cfg(test)]
    #[allow(dead_code, reason = "models walk in this order")]
    pub(crate) const PLAIN: Self = Self { seed: 0, passes: 1 };

    /// The order that follows from `seed`.
    pub(crate) fn new<S: Shape>(table: &Table<'_, S>, seed: u64) -> Self {
        Self {
            // Never the seed of the plain order.
            seed: seed | 1,
            passes: match table.moves().head() == 0 && table.shape().meta_words() == 0 {
                true => 1,
                false => PASSES,
            },
        }
    }

    pub(super) fn passes(self) -> u32 {
        self.passes
    }

    /// Whether a key is yielded in pass number `pass`.
    pub(super) fn includes(self, pass: u32, hash: KeyHash) -> bool {
        self.passes == 1 || (mix(self.seed ^ hash.0) >> 32) as u32 % self.passes == pass
    }

    /// The bucket where pass number `pass` begins.
    pub(super) fn start<S: Shape>(self, table: &Table<'_, S>, pass: u32) -> u64 {
        if self.seed == 0 {
            return 0;
        }
        let mut start = 0;
        for draw in 0..DRAWS {
            let drawn = mix(self.seed.wrapping_add(u64::from(pass) * DRAWS + draw));
            start = ((drawn >> 32) * table.buckets()) >> 32;
            let entries = table.bucket(start).read_begin().occupied().len();
            if (drawn as u32) % (SLOTS as u32) < entries {
                break;
            }
        }
        start
    }
}

/// The finalizer of splitmix64: each bit of the result depends on each of `value`.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
