//! What one writing operation of a cache goes by when its buckets are full, and what it reports.

use core::cell::{Cell, RefCell};

use crate::policy::estimator::Memory;
use crate::types::metadata::Meta;

/// Why an entry was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It was the policy's choice.
    ForRoom,
    /// It was out of date.
    Stale,
}

/// What one writing operation of a cache goes by, and what it reports.
pub(crate) struct Replacement<'a> {
    /// Entries that every bucket may have.
    base: u32,
    /// Buckets, the first ones, that may have one more.
    extra: u64,
    /// The epoch and the time by which entries are out of date.
    pub(crate) epoch: u64,
    pub(crate) now: u64,
    pub(crate) idle: u64,
    /// What the policy remembers. Without, it goes by the buckets' headers alone.
    pub(crate) memory: Option<Memory<'a>>,
    /// Whether any entry can be out of date at all: otherwise their metadata is not looked at.
    pub(crate) may_be_stale: bool,
    /// What was replaced, if anything was.
    pub(crate) replaced: Cell<Option<Replaced>>,
    /// A copy of it, for those who want one: the words of its slot.
    pub(crate) victim: Option<RefCell<Vec<u64>>>,
}

impl Replacement<'_> {
    /// For a cache of at most `capacity` entries in `buckets` buckets, in which nothing is ever
    /// out of date.
    #[inline(always)]
    pub(crate) fn new(capacity: u64, buckets: u64) -> Self {
        Self {
            base: (capacity / buckets).min(u64::from(u32::MAX)) as u32,
            extra: capacity % buckets,
            epoch: 0,
            now: 0,
            idle: 0,
            memory: None,
            may_be_stale: false,
            replaced: Cell::new(None),
            victim: None,
        }
    }

    /// Entries that bucket number `bucket` may have.
    #[inline(always)]
    pub(crate) fn limit(&self, bucket: u64) -> u32 {
        self.base + u32::from(bucket < self.extra)
    }

    /// Whether an entry with these metadata words is out of date.
    pub(super) fn is_stale(&self, meta: Meta, accessed: u64) -> bool {
        let end = meta.end(accessed, self.idle);
        !meta.is_of(self.epoch) || (end != 0 && end <= self.now)
    }
}
