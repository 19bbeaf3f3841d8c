//! The dimensions of entries and of buckets.

use core::marker::PhantomData;

use crate::protocol::replacement::Replacement;
use crate::sys::copy::Buffer;
use crate::types::image::WordBuf;

/// Words before the first slot.
pub(crate) const HEADER_WORDS: usize = 8;
/// Slots in a bucket.
pub(crate) const SLOTS: usize = 16;

/// Slots of a bucket that can be in use at a time, for values of so many words: one is spare, to
/// write the next version of an entry into, unless values are replaced in place, which needs
/// that there is no metadata.
pub(crate) const fn usable(value_words: u64, meta_words: u32) -> u32 {
    if value_words <= 1 && meta_words == 0 {
        SLOTS as u32
    } else {
        SLOTS as u32 - 1
    }
}

/// The dimensions of an entry. Constants for a typed map, values for an untyped handle.
pub(crate) trait Shape: Copy {
    /// Private memory for the words of one key.
    type KeyBuffer: Buffer;

    /// Bytes of a key; what is hashed.
    fn key_len(self) -> usize;
    /// Words of a key: its bytes rounded up, the rest zero.
    fn key_words(self) -> usize;
    /// Words of a value, the metadata of a cache included.
    fn value_words(self) -> usize;
    /// A buffer for one key.
    fn key_buffer(self) -> Self::KeyBuffer;

    /// What a cache does when there is no room; `None` in a map, whose entries move.
    #[inline(always)]
    fn replacement(&self) -> Option<&Replacement<'_>> {
        None
    }

    /// Words behind the value in a slot; part of [`value_words`](Self::value_words).
    #[inline(always)]
    fn meta_words(self) -> usize {
        0
    }

    /// Slots that can be in use at a time.
    #[inline(always)]
    fn usable(self) -> u32 {
        usable(self.value_words() as u64, self.meta_words() as u32)
    }

    /// Slots of bucket number `bucket` that may be in use at a time: a cache promises an upper
    /// limit of its entries.
    #[inline(always)]
    fn limit(self, bucket: u64) -> u32 {
        match self.replacement() {
            Some(replacement) => replacement.limit(bucket),
            None => self.usable(),
        }
    }

    /// Whether values are replaced in place.
    #[inline(always)]
    fn is_in_place(self) -> bool {
        self.usable() as usize == SLOTS
    }

    /// Words of a slot.
    #[inline(always)]
    fn slot_words(self) -> usize {
        self.key_words() + self.value_words()
    }

    /// Words of a bucket. Memory safety depends on that a shape gives the same answer each time
    /// (see [`crate::protocol::buckets`]), and that the answers that this one is made of do: they are constants, or
    /// copies of private fields.
    #[inline(always)]
    fn bucket_words(self) -> usize {
        HEADER_WORDS + SLOTS * self.slot_words()
    }
}

/// The dimensions of an entry of a typed map: all constants.
pub(crate) struct Typed<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> Typed<K, V> {
    pub(crate) const SHAPE: Self = Self(PhantomData);
}

impl<K, V> Clone for Typed<K, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Typed<K, V> {}

impl<K, V> Shape for Typed<K, V> {
    type KeyBuffer = WordBuf<K>;

    #[inline(always)]
    fn key_len(self) -> usize {
        size_of::<K>()
    }

    #[inline(always)]
    fn key_words(self) -> usize {
        WordBuf::<K>::WORDS
    }

    #[inline(always)]
    fn value_words(self) -> usize {
        WordBuf::<V>::WORDS
    }

    #[inline(always)]
    fn key_buffer(self) -> WordBuf<K> {
        WordBuf::uninit()
    }
}

/// How many words of metadata the slots of a cache have: a constant where it is known.
pub(crate) trait MetaWords: Copy {
    fn count(self) -> usize;
}

/// One word.
#[derive(Clone, Copy)]
pub(crate) struct One;

impl MetaWords for One {
    #[inline(always)]
    fn count(self) -> usize {
        1
    }
}

/// Two words.
#[derive(Clone, Copy)]
pub(crate) struct Two;

impl MetaWords for Two {
    #[inline(always)]
    fn count(self) -> usize {
        2
    }
}

impl MetaWords for usize {
    #[inline(always)]
    fn count(self) -> usize {
        self
    }
}

/// The dimensions of an entry of a typed cache, and what goes by the operation.
pub(crate) struct Cached<'r, K, V, M> {
    meta: M,
    replacement: Option<&'r Replacement<'r>>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'r, K, V, M> Cached<'r, K, V, M> {
    /// For reading, and for what inserts nothing.
    #[inline(always)]
    pub(crate) fn new(meta: M) -> Self {
        Self {
            meta,
            replacement: None,
            types: PhantomData,
        }
    }

    /// For inserting.
    #[inline(always)]
    pub(crate) fn replacing(meta: M, replacement: &'r Replacement<'r>) -> Self {
        Self {
            replacement: Some(replacement),
            ..Self::new(meta)
        }
    }
}

impl<K, V, M: Copy> Clone for Cached<'_, K, V, M> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, M: Copy> Copy for Cached<'_, K, V, M> {}

impl<K, V, M: MetaWords> Shape for Cached<'_, K, V, M> {
    type KeyBuffer = WordBuf<K>;

    #[inline(always)]
    fn key_len(self) -> usize {
        size_of::<K>()
    }

    #[inline(always)]
    fn key_words(self) -> usize {
        WordBuf::<K>::WORDS
    }

    #[inline(always)]
    fn value_words(self) -> usize {
        WordBuf::<V>::WORDS + self.meta.count()
    }

    #[inline(always)]
    fn key_buffer(self) -> WordBuf<K> {
        WordBuf::uninit()
    }

    #[inline(always)]
    fn meta_words(self) -> usize {
        self.meta.count()
    }

    #[inline(always)]
    fn replacement(&self) -> Option<&Replacement<'_>> {
        self.replacement
    }
}
