//! The buckets of a segment, one after the other, and the two of a key.
//!
//! Where a key's entry begins depends on its hash, and everything that a search does depends on
//! that: so each instruction between the two is one that all others wait for. The bounds check of an
//! index was five of them, and a sixth of what a hit costs in a table that fits into a core's
//! cache. So there is no check for the two buckets of a key, whose numbers are computed here and
//! cannot be out of bounds, whatever the hash. All others are found [with a
//! check](Buckets::bucket).

use crate::protocol::bucket::Bucket;
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::sys::sync::AtomicU64;

/// All buckets of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Buckets<'a, S> {
    /// Exactly `count` buckets of the shape.
    words: &'a [AtomicU64],
    count: u64,
    shape: S,
}

impl<'a, S: Shape> Buckets<'a, S> {
    /// An area of `count` buckets.
    ///
    /// # Safety
    /// The words are exactly `count` buckets of the shape; these are at least two, and at most
    /// 2^32, up to which [`KeyHash::primary`] and [`KeyHash::secondary`] keep their promise.
    #[inline(always)]
    #[expect(unsafe_code, reason = "the caller has counted the words")]
    pub(crate) unsafe fn new_unchecked(words: &'a [AtomicU64], count: u64, shape: S) -> Self {
        Self {
            words,
            count,
            shape,
        }
    }

    /// An area of `count` buckets, on memory that is no mapping.
    ///
    /// # Panics
    /// If the words are not exactly that many buckets, or there are fewer than two.
    #[cfg(test)]
    pub(crate) fn new(words: &'a [AtomicU64], count: u64, shape: S) -> Self {
        assert!((2..=1 << 32).contains(&count));
        assert_eq!(words.len() as u64, count * shape.bucket_words() as u64);
        // SAFETY: just counted.
        #[expect(unsafe_code, reason = "the words are counted")]
        unsafe {
            Self::new_unchecked(words, count, shape)
        }
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The dimensions of the entries.
    #[inline(always)]
    pub(crate) fn shape(&self) -> S {
        self.shape
    }

    /// The bucket with this number.
    ///
    /// # Panics
    /// If there is no such bucket.
    #[inline(always)]
    pub(crate) fn bucket(&self, index: u64) -> Bucket<'a, S> {
        assert!(index < self.count, "there is no bucket {index}");
        self.known(index)
    }

    /// The bucket that a key prefers.
    #[inline(always)]
    pub(crate) fn primary(&self, hash: KeyHash) -> Bucket<'a, S> {
        self.known(hash.primary(self.count))
    }

    /// The secondary bucket where a key may live.
    #[inline(always)]
    pub(crate) fn secondary(&self, hash: KeyHash) -> Bucket<'a, S> {
        self.known(hash.secondary(self.count))
    }

    /// The bucket with a number that is below `count`: by a comparison, or because
    /// [`KeyHash::primary`] and [`KeyHash::secondary`] promise it for every hash.
    #[inline(always)]
    fn known(&self, index: u64) -> Bucket<'a, S> {
        debug_assert!(index < self.count);
        let len = self.shape.bucket_words();
        // SAFETY: `words` is `count` times `len` words long (a shape answers the same each time),
        // as whoever made this area vouches for, and `index` is below `count`: `bucket` compares
        // it, and the promise of `primary` and `secondary` is argued for, and tested, where they
        // are. So the product does not overflow, and all of the bucket is inside of `words`.
        #[expect(unsafe_code, reason = "a bounds check would be a sixth of a hit")]
        let words = unsafe {
            self.words
                .get_unchecked(index as usize * len..)
                .get_unchecked(..len)
        };
        Bucket::new(words, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::shape::Typed;

    type Pair = Typed<u64, u64>;

    fn words(buckets: usize) -> Vec<AtomicU64> {
        let len = buckets * Pair::SHAPE.bucket_words();
        (0..len).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn each_bucket_begins_where_the_one_before_it_ends() {
        let words = words(3);
        let area = Buckets::new(&words, 3, Pair::SHAPE);
        let lock = |bucket: Bucket<'_, Pair>| std::ptr::from_ref(bucket.lock_word());
        for (index, words) in words.chunks(Pair::SHAPE.bucket_words()).enumerate() {
            assert_eq!(lock(area.bucket(index as u64)), &raw const words[1]);
        }
        for hash in [0, 1 << 31, 1 << 63, u64::MAX].map(KeyHash) {
            assert_eq!(lock(area.primary(hash)), lock(area.bucket(hash.primary(3))));
            assert_eq!(
                lock(area.secondary(hash)),
                lock(area.bucket(hash.secondary(3)))
            );
        }
    }

    #[test]
    #[should_panic = "there is no bucket 3"]
    fn a_bucket_beyond_the_last_is_refused() {
        let words = words(3);
        let _ = Buckets::new(&words, 3, Pair::SHAPE).bucket(3);
    }
}
