//! The dimensions of entries that are known when the program runs.

use core::mem::MaybeUninit;

use crate::protocol::replacement::Replacement;
use crate::protocol::shape::Shape;
use crate::sys::copy::Buffer;

/// The dimensions of the entries of one segment. They come from a checked layout, so each
/// part has at most `format::MAX_VALUE_LEN` bytes.
#[derive(Clone, Copy)]
pub(crate) struct Dimensions<'r> {
    key_len: usize,
    key_words: usize,
    /// Those of the value, then those of the metadata.
    value_words: usize,
    meta_words: usize,
    replacement: Option<&'r Replacement<'r>>,
}

impl<'r> Dimensions<'r> {
    /// For keys, values and metadata of such lengths: in bytes, in bytes, in words.
    pub(crate) fn new(key_len: u32, value_len: u32, meta_words: u32) -> Self {
        // Lossless: lengths are at most 64 KiB, metadata at most 8 words.
        let words = |len: u32| (len as usize).div_ceil(8);
        Self {
            key_len: key_len as usize,
            key_words: words(key_len),
            value_words: words(value_len) + meta_words as usize,
            meta_words: meta_words as usize,
            replacement: None,
        }
    }

    /// For what may insert into a cache.
    pub(crate) fn replacing<'n>(self, replacement: Option<&'n Replacement<'n>>) -> Dimensions<'n> {
        let Self {
            key_len,
            key_words,
            value_words,
            meta_words,
            replacement: _,
        } = self;
        Dimensions {
            key_len,
            key_words,
            value_words,
            meta_words,
            replacement,
        }
    }
}

impl Shape for Dimensions<'_> {
    type KeyBuffer = Words;

    fn key_len(self) -> usize {
        self.key_len
    }

    fn key_words(self) -> usize {
        self.key_words
    }

    fn value_words(self) -> usize {
        self.value_words
    }

    fn replacement(&self) -> Option<&Replacement<'_>> {
        self.replacement
    }

    fn meta_words(self) -> usize {
        self.meta_words
    }

    fn key_buffer(self) -> Words {
        Words::uninit(self.key_words)
    }
}

/// Private memory for a number of words that is bounded by the format.
pub(crate) struct Words(Box<[MaybeUninit<u64>]>);

impl Words {
    pub(crate) fn uninit(words: usize) -> Self {
        Self(Box::new_uninit_slice(words))
    }
}

impl Buffer for Words {
    fn words(&mut self) -> &mut [MaybeUninit<u64>] {
        &mut self.0
    }
}
