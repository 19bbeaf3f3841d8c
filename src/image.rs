//! The bytes of a typed key or value as whole words of private memory.
//!
//! A slot holds words, a type has any number of bytes. An [`Image`] is a place on the stack
//! for the words that a `T` takes; the bytes beyond the `T` in its last word are zero in
//! every segment, so that keys can be compared word by word.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use zerocopy::{Immutable, IntoBytes, TryFromBytes};

use crate::bucket::{Buffer, Shape};
use crate::copy::Sink;

/// A `T` with its size rounded up to whole words, and aligned like one.
#[repr(C, align(8))]
struct Padded<T>(MaybeUninit<T>);

/// Room for the words of one `T`.
pub(crate) struct Image<T>(MaybeUninit<Padded<T>>);

impl<T> Image<T> {
    /// Words that a `T` takes.
    pub(crate) const WORDS: usize = size_of::<Padded<T>>() / size_of::<u64>();

    /// Room whose content is not yet anything.
    #[inline(always)]
    pub(crate) fn uninit() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// The room, for a copy out of a segment.
    #[inline(always)]
    pub(crate) fn sink(&mut self) -> Sink<'_> {
        Sink::new(self.words())
    }

    /// Writes the image of `value`.
    #[inline(always)]
    pub(crate) fn write(&mut self, value: &T) -> &mut [u64]
    where
        T: IntoBytes + Immutable,
    {
        let (whole, rest) = value.as_bytes().as_chunks::<8>();
        let words = self.words();
        for (word, bytes) in words.iter_mut().zip(whole) {
            word.write(u64::from_ne_bytes(*bytes));
        }
        if !rest.is_empty() {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            words[whole.len()].write(u64::from_ne_bytes(bytes));
        }
        // A type with a larger alignment than a word's has no words beyond its size, since a
        // size is a multiple of the alignment; so all words were written.
        const {
            assert!(Self::WORDS == size_of::<T>().div_ceil(8));
        }
        // SAFETY: there are ceil(size / 8) words: `whole` covers the full ones, `rest` the last.
        #[expect(unsafe_code, reason = "the words were just initialised")]
        unsafe {
            words.assume_init_mut()
        }
    }
}

impl<T> Buffer for Image<T> {
    #[inline(always)]
    fn words(&mut self) -> &mut [MaybeUninit<u64>] {
        let base = self.0.as_mut_ptr().cast::<MaybeUninit<u64>>();
        // SAFETY: `Padded<T>` is aligned for words and `WORDS` words long; uninitialised
        // memory is a valid `MaybeUninit`; the borrow of `self` makes it exclusive.
        #[expect(unsafe_code, reason = "a typed place is viewed as words")]
        unsafe {
            core::slice::from_raw_parts_mut(base, Self::WORDS)
        }
    }
}

/// The `T` whose image the words are, if they are the image of one.
#[inline(always)]
pub(crate) fn decode<T: TryFromBytes>(words: &[u64]) -> Option<T> {
    T::try_read_from_bytes(words.as_bytes().get(..size_of::<T>())?).ok()
}

/// Whether two images are of the same `T`, byte by byte. What fills up the last word is not
/// looked at: it is zero, unless somebody wrote garbage, who shall not make a value differ
/// from itself.
#[inline(always)]
pub(crate) fn same<T>(one: &[u64], other: &[u64]) -> bool {
    match (
        one.as_bytes().get(..size_of::<T>()),
        other.as_bytes().get(..size_of::<T>()),
    ) {
        (Some(one), Some(other)) => one == other,
        _ => false,
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
    type KeyBuffer = Image<K>;

    #[inline(always)]
    fn key_len(self) -> usize {
        size_of::<K>()
    }

    #[inline(always)]
    fn key_words(self) -> usize {
        Image::<K>::WORDS
    }

    #[inline(always)]
    fn value_words(self) -> usize {
        Image::<V>::WORDS
    }

    #[inline(always)]
    fn key_buffer(self) -> Image<K> {
        Image::uninit()
    }
}
