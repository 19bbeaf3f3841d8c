//! The bytes of a typed key or value as whole words of private memory.
//!
//! A slot holds words, a type has any number of bytes. An [`WordBuf`] is a place on the stack
//! for the words that a `T` takes; the bytes beyond the `T` in its last word are zero in
//! every segment, so that keys can be compared word by word.

use core::mem::MaybeUninit;
use core::ops::Deref;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::sys::copy::{Buffer, CopyBuf};
use crate::types::metadata::MAX_META_WORDS;

/// A `T` with its size rounded up to whole words, and aligned like one.
#[repr(C, align(8))]
struct Padded<T>(MaybeUninit<T>);

/// Room for the words of one `T`.
pub(crate) struct WordBuf<T>(MaybeUninit<Padded<T>>);

impl<T> WordBuf<T> {
    /// Words that a `T` takes.
    pub(crate) const WORDS: usize = size_of::<Padded<T>>() / size_of::<u64>();

    /// Whether the words of a `T` are kept on the heap: see [`MAX_ON_STACK`].
    pub(crate) const IS_LARGE: bool = size_of::<T>() > MAX_ON_STACK;

    /// Room whose content is not yet anything.
    #[inline(always)]
    pub(crate) fn uninit() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// The room, for a copy out of a segment.
    #[inline(always)]
    pub(crate) fn sink(&mut self) -> CopyBuf<'_> {
        CopyBuf::new(self.words())
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

/// Longest value, in bytes, whose words are kept on the stack. Those of longer ones are on the heap,
/// since an unoptimised program has a dozen copies of each in its frames, and 2 MiB of stack a thread.
const MAX_ON_STACK: usize = 4096;

/// Runs `work` with room for the words of one `T`.
#[inline(always)]
pub(crate) fn with_buf<T, R>(work: impl FnOnce(&mut WordBuf<T>) -> R) -> R {
    if const { WordBuf::<T>::IS_LARGE } {
        with_boxed(WordBuf::uninit, work)
    } else {
        with_local(WordBuf::uninit, work)
    }
}

/// The same for the words of one value of a cache.
#[inline(always)]
pub(crate) fn with_meta_buf<T, R>(work: impl FnOnce(&mut WordBufWithMeta<T>) -> R) -> R {
    if const { WordBuf::<T>::IS_LARGE } {
        with_boxed(WordBufWithMeta::uninit, work)
    } else {
        with_local(WordBufWithMeta::uninit, work)
    }
}

#[inline(always)]
fn with_local<B, R>(uninit: impl FnOnce() -> B, work: impl FnOnce(&mut B) -> R) -> R {
    work(&mut uninit())
}

#[inline(never)]
fn with_boxed<B, R>(uninit: impl FnOnce() -> B, work: impl FnOnce(&mut B) -> R) -> R {
    let mut boxed = boxed(uninit);
    work(&mut boxed)
}

/// A frame of its own for what passes over the stack on its way to the heap.
#[inline(never)]
fn boxed<B>(uninit: impl FnOnce() -> B) -> Box<B> {
    Box::new(uninit())
}

impl<T> Buffer for WordBuf<T> {
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

/// Room for the words of one value of a cache: those of a `T`, and its metadata behind them.
#[repr(C)]
pub(crate) struct WordBufWithMeta<T> {
    value: WordBuf<T>,
    meta: [MaybeUninit<u64>; MAX_META_WORDS],
}

impl<T> WordBufWithMeta<T> {
    /// Room whose content is not yet anything.
    #[inline(always)]
    pub(crate) fn uninit() -> Self {
        Self {
            value: WordBuf::uninit(),
            meta: [MaybeUninit::uninit(); MAX_META_WORDS],
        }
    }

    /// The room, for a copy out of a segment with so many words of metadata.
    #[inline(always)]
    pub(crate) fn sink(&mut self, meta_words: usize) -> CopyBuf<'_> {
        CopyBuf::new(&mut self.words()[..WordBuf::<T>::WORDS + meta_words])
    }

    /// Writes the image of `value`, or zeros, and the metadata.
    #[inline(always)]
    pub(crate) fn write(&mut self, value: Option<&T>, meta: &[u64]) -> &mut [u64]
    where
        T: IntoBytes + Immutable,
    {
        match value {
            Some(value) => {
                self.value.write(value);
            }
            None => self.value.words().fill(MaybeUninit::new(0)),
        }
        let words = &mut self.words()[..WordBuf::<T>::WORDS + meta.len()];
        for (word, meta) in words[WordBuf::<T>::WORDS..].iter_mut().zip(meta) {
            word.write(*meta);
        }
        // SAFETY: either arm has written the words of the value, and the loop those behind it, of
        // which there are `meta.len()`.
        #[expect(unsafe_code, reason = "the words were just initialised")]
        unsafe {
            words.assume_init_mut()
        }
    }

    #[inline(always)]
    fn words(&mut self) -> &mut [MaybeUninit<u64>] {
        const {
            assert!(size_of::<WordBuf<T>>() == WordBuf::<T>::WORDS * size_of::<u64>());
            assert!(core::mem::offset_of!(Self, meta) == size_of::<WordBuf<T>>());
        }
        let base = core::ptr::from_mut(self).cast::<MaybeUninit<u64>>();
        // SAFETY: the metadata begins where the value's words end, as checked above, so there are
        // that many words in a row; they may be uninitialised; `self` is borrowed.
        #[expect(unsafe_code, reason = "a typed place is viewed as words")]
        unsafe {
            core::slice::from_raw_parts_mut(base, WordBuf::<T>::WORDS + MAX_META_WORDS)
        }
    }
}

/// The `T` whose image the words are, if they are the image of one: judged where it lies, so that
/// it is copied once, to where it is wanted.
#[inline(always)]
pub(crate) fn decode<T>(words: &[u64]) -> Option<Decoded<'_, T>>
where
    T: TryFromBytes + KnownLayout + Immutable + Copy,
{
    let bytes = words.as_bytes().get(..size_of::<T>())?;
    match align_of::<T>() <= align_of::<u64>() {
        true => T::try_ref_from_bytes(bytes).ok().map(Decoded::InPlace),
        false => T::try_read_from_bytes(bytes).ok().map(Decoded::Copy),
    }
}

/// Where a `T` is.
pub(crate) enum Decoded<'w, T> {
    /// Among the words.
    InPlace(&'w T),
    /// Not there, since its alignment is a larger one.
    Copy(T),
}

impl<T> Deref for Decoded<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match self {
            Self::InPlace(value) => value,
            Self::Copy(value) => value,
        }
    }
}

/// Whether two images are of the same `T`, byte by byte. What fills up the last word is not
/// looked at: it is zero, unless somebody wrote invalid bytes, who shall not make a value differ
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
