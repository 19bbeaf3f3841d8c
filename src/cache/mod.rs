//! The typed cache: a table that forgets.
//!
//! Buckets, slots, publication and locks are those of the map (`protocol::table`). What a cache adds:
//!
//! | what | where |
//! |------|-------|
//! | an insertion into full buckets replaces an entry | `protocol::table::evict`, `policy` |
//! | metadata behind each value: deadline, epoch, the flag of a negative entry | `types::metadata`, `sys::clock` |
//! | loading once | `load`, `protocol::lease` |
//! | counters | `store::statistics` |
//! | walking, sweeping, invalidating | `sweep` |
//! | looking it over | `maintain` |
//! | handles: to read, and to write | `read`, `write` |
//!
//! Three words of the segment's shared part belong to it:
//!
//! ```text
//! word 24   epoch   raised by `invalidate_all`; entries of other epochs are out of date. In the upper
//!                   20 bits, where entries have theirs; all others are zero (module `metadata`)
//! word 25   boot    digest of the boot id under which the deadlines in the segment were made
//! word 26   timed   1 once an entry was given a deadline that is not a setting of the cache's
//! ```

mod builder;
mod expiry;
mod load;
mod maintain;
mod read;
mod stats;
mod sweep;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::protocol::bucket::{Bucket, Slot};
use crate::protocol::shape::Cached;
use crate::types::image::WordBuf;
use crate::types::metadata::Meta;

pub use self::builder::CacheBuilder;
pub use self::expiry::CacheSettings;
pub(crate) use self::expiry::{Expiry, Rules};
pub use self::load::LoadError;
pub use self::read::ReadOnlyCache;
pub use self::stats::CacheStats;
pub(crate) use self::stats::stats;
pub use self::sweep::CacheIter;
pub use self::write::Cache;
use self::write::Local;

pub(crate) use crate::format::shared_page::{BOOT, EPOCH, HAS_TTL};

/// Why an entry went; see [`CacheBuilder::eviction_listener`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalCause {
    /// It was evicted for another key.
    Size,
    /// It had expired, or had been invalidated.
    Expired,
    /// It was removed by its key.
    Explicit,
    /// Its key got another value.
    Replaced,
}

/// What is known of an entry whose words were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// It counts.
    Live,
    /// It has expired, since so many milliseconds.
    Expired(u64),
    /// It was invalidated.
    Invalidated,
}

/// What a look at an entry tells whoever asked for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Its value.
    Value,
    /// It is known that the key has no value.
    Negative,
    /// Nothing: it does not count any more.
    Unknown,
}

impl Answer {
    #[inline(always)]
    fn new(meta: Meta, freshness: Freshness) -> Self {
        match freshness {
            Freshness::Live if meta.is_negative() => Self::Negative,
            Freshness::Live => Self::Value,
            Freshness::Expired(_) | Freshness::Invalidated => Self::Unknown,
        }
    }
}

/// Where an entry was found, if that is known.
type Place<'a, 'r, K, V, M> = Option<(Bucket<'a, Cached<'r, K, V, M>>, Slot)>;

/// Whether an entry, given as the words from its value on, is negative.
#[inline(always)]
fn is_negative<V>(words: &[u64]) -> bool {
    Meta(words[WordBuf::<V>::WORDS]).is_negative()
}

fn duration(millis: u64) -> Option<Duration> {
    (millis != 0).then(|| Duration::from_millis(millis))
}
