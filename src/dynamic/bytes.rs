//! Bytes as words, and back.

use zerocopy::IntoBytes;

/// The image of these bytes in a slot: whole words, the rest zero.
pub(crate) fn to_words(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    words
}

/// The first `len` bytes of an image (fewer if it is shorter, which an image of ours is not).
pub(crate) fn to_bytes(words: &[u64], len: usize) -> &[u8] {
    let bytes = words.as_bytes();
    &bytes[..len.min(bytes.len())]
}
