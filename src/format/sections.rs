//! The sections of a mapped segment, found once and then without any arithmetic: they are needed
//! for every operation.

use std::ops::{Deref, Range};
use std::ptr::NonNull;

use super::geometry::SectionRanges;
use crate::format::{MAX_BUCKETS, SHARED_WORDS};
use crate::protocol::buckets::Buckets;
use crate::protocol::hash::HashFunction;
use crate::protocol::shape::Shape;
use crate::sys::mapping::Mapping;
use crate::sys::sync::AtomicU64;

/// A mapping, and where its sections are.
pub(crate) struct Sections {
    mapping: Mapping,
    parts: SectionRanges<Part>,
    grid: BucketGeometry,
}

/// A stretch of words inside a mapping.
#[derive(Clone, Copy)]
struct Part {
    /// The first of `len` words inside the mapping that this is a part of.
    base: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: a part is a reference to words of a mapping, kept beside it; both may go anywhere.
#[expect(unsafe_code, reason = "raw pointers are not Send by themselves")]
unsafe impl Send for Part {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "raw pointers are not Sync by themselves")]
unsafe impl Sync for Part {}

/// How the buckets lie in their section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BucketGeometry {
    /// How many there are, 2 to [`MAX_BUCKETS`].
    count: u64,
    /// What [`Sections::area`] compares.
    form: u64,
}

impl BucketGeometry {
    /// So many buckets of so many words each, filled by that hash function.
    pub(crate) fn new(count: u64, bucket_words: u64, hash: HashFunction) -> Self {
        assert!((2..=MAX_BUCKETS).contains(&count), "a key has two buckets");
        let form = Self::form(bucket_words, hash);
        Self { count, form }
    }

    /// The words of a bucket and the hash function, in one number: what an operation has to know
    /// before it begins, at the price of one comparison.
    #[inline(always)]
    fn form(bucket_words: u64, hash: HashFunction) -> u64 {
        // So that equal forms are of equal words and functions. No bucket is that long, and where the
        // shape is known to the compiler nothing is asked.
        assert!(bucket_words < 1 << 56 && hash.id() < 1 << 8);
        bucket_words << 8 | u64::from(hash.id())
    }

    fn words(&self) -> Option<u64> {
        self.count.checked_mul(self.form >> 8)
    }
}

impl Sections {
    /// Marks the sections of a mapping, as ranges of words.
    ///
    /// # Panics
    /// If one is not inside the mapping, or not as long as it must be: a checked layout describes
    /// only what is mapped.
    pub(crate) fn new(
        mapping: Mapping,
        parts: SectionRanges<Range<usize>>,
        grid: BucketGeometry,
    ) -> Self {
        assert_eq!(parts.shared.len(), SHARED_WORDS);
        assert_eq!(Some(parts.buckets.len() as u64), grid.words());
        let words = mapping.words();
        let part = |range: Range<usize>| {
            let words = &words[range];
            Part {
                base: NonNull::from(words).cast(),
                len: words.len(),
            }
        };
        let parts = SectionRanges {
            shared: part(parts.shared),
            participants: part(parts.participants),
            moves: part(parts.moves),
            leases: part(parts.leases),
            statistics: part(parts.statistics),
            estimator: part(parts.estimator),
            ghosts: part(parts.ghosts),
            buckets: part(parts.buckets),
        };
        Self {
            mapping,
            parts,
            grid,
        }
    }

    /// The mutable words of the whole segment.
    #[inline(always)]
    pub(crate) fn shared(&self) -> &[AtomicU64; SHARED_WORDS] {
        // SAFETY: as in `part`; `new` has seen that it has so many words.
        #[expect(unsafe_code, reason = "a section whose length is known")]
        unsafe {
            self.parts.shared.base.cast().as_ref()
        }
    }

    /// The cells of loads under way; none in a map.
    pub(crate) fn leases(&self) -> &[AtomicU64] {
        self.part(self.parts.leases)
    }

    /// The lines of counters; none in a map.
    #[inline(always)]
    pub(crate) fn statistics(&self) -> &[AtomicU64] {
        self.part(self.parts.statistics)
    }

    /// What the replacement policy has learnt; nothing in a map.
    pub(crate) fn estimator(&self) -> &[AtomicU64] {
        self.part(self.parts.estimator)
    }

    /// What the replacement policy remembers of each bucket's evictions; nothing in a map.
    pub(crate) fn ghosts(&self) -> &[AtomicU64] {
        self.part(self.parts.ghosts)
    }

    /// The participant table.
    #[inline(always)]
    pub(crate) fn participants(&self) -> &[AtomicU64] {
        self.part(self.parts.participants)
    }

    /// The ring of moves.
    #[inline(always)]
    pub(crate) fn moves(&self) -> &[AtomicU64] {
        self.part(self.parts.moves)
    }

    /// The buckets.
    #[inline(always)]
    pub(crate) fn buckets(&self) -> &[AtomicU64] {
        self.part(self.parts.buckets)
    }

    /// The buckets, one by one: if they are of that shape, and that is their hash function.
    #[inline(always)]
    pub(crate) fn area<S: Shape>(&self, shape: S, hash: HashFunction) -> Option<Buckets<'_, S>> {
        let BucketGeometry { count, form } = self.grid;
        if form != BucketGeometry::form(shape.bucket_words() as u64, hash) {
            return None;
        }
        // SAFETY: `new` has seen that this section is `count` times as long as the form says a
        // bucket is; equal forms say the same; and a grid has as many buckets as may be.
        #[expect(unsafe_code, reason = "counted once and not for each operation")]
        Some(unsafe { Buckets::new_unchecked(self.buckets(), count, shape) })
    }

    #[inline(always)]
    fn part(&self, part: Part) -> &[AtomicU64] {
        // SAFETY: a `Part` is private to this module and only stored beside the mapping that it
        // was cut from, in `new`, which took it from `words()`: so what is said there holds for
        // it, as long as `self` lives.
        #[expect(unsafe_code, reason = "a part of what `words` returns")]
        unsafe {
            std::slice::from_raw_parts(part.base.as_ptr(), part.len)
        }
    }
}

impl Deref for Sections {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}
