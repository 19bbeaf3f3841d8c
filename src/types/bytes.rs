//! Byte strings of varying length in a fixed number of bytes.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::TooLong;
use crate::schema::{Schema, Type, limits};

/// Up to `N` bytes, stored inline: two bytes of length, then room for `N`.
///
/// The bytes behind the content are always zero, so equal content has equal bytes:
/// what a key needs. `N` may be up to 65,535.
///
/// Any bytes are memory-safe as a `Bytes<N>`. One whose length is above `N`, which no
/// constructor makes, reads as if it were full; a map answers with an error instead of
/// handing it out ([`Schema::is_valid`]).
///
/// ```
/// use shmkv::Bytes;
///
/// let digest = Bytes::<32>::new(b"\x00\x01\x02")?;
/// assert_eq!(digest, b"\x00\x01\x02");
/// assert_eq!(digest.len(), 3);
/// # Ok::<(), shmkv::types::TooLong>(())
/// ```
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Bytes<const N: usize> {
    /// Little-endian.
    len: [u8; 2],
    /// Zero from `len` on.
    bytes: [u8; N],
}

impl<const N: usize> Bytes<N> {
    /// No bytes.
    pub const EMPTY: Self = {
        assert!(N <= limits::INLINE, "N may be up to 65,535");
        Self {
            len: [0; 2],
            bytes: [0; N],
        }
    };

    /// A copy of `content`.
    pub const fn new(content: &[u8]) -> Result<Self, TooLong> {
        if content.len() > N {
            return Err(TooLong {
                len: content.len(),
                max: N,
            });
        }
        let mut it = Self::EMPTY;
        // Lossless: `EMPTY` asserts that `N` fits into 16 bits.
        it.len = (content.len() as u16).to_le_bytes();
        it.bytes
            .split_at_mut(content.len())
            .0
            .copy_from_slice(content);
        Ok(it)
    }

    /// A copy of the first `N` bytes of `content`, or of all if they are fewer.
    pub fn truncated(content: &[u8]) -> Self {
        let content = &content[..content.len().min(N)];
        Self::new(content).unwrap_or(Self::EMPTY)
    }

    /// The content.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // The length may be anything in a value made of foreign bytes.
        let len = usize::from(u16::from_le_bytes(self.len)).min(N);
        &self.bytes[..len]
    }

    /// How many bytes there is room for: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Whether length and unused bytes are as a constructor makes them.
    pub(super) fn is_canonical(&self) -> bool {
        let len = usize::from(u16::from_le_bytes(self.len));
        self.bytes
            .get(len..)
            .is_some_and(|unused| unused.iter().all(|&b| b == 0))
    }
}

impl<const N: usize> Schema for Bytes<N> {
    fn schema() -> Type {
        Type::Bytes(N)
    }

    fn is_valid(&self) -> bool {
        self.is_canonical()
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> AsRef<[u8]> for Bytes<N> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> Borrow<[u8]> for Bytes<N> {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> TryFrom<&[u8]> for Bytes<N> {
    type Error = TooLong;

    fn try_from(content: &[u8]) -> Result<Self, TooLong> {
        Self::new(content)
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Bytes<N> {}

impl<const N: usize> PartialEq<[u8]> for Bytes<N> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<&[u8]> for Bytes<N> {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl<const N: usize, const M: usize> PartialEq<&[u8; M]> for Bytes<N> {
    fn eq(&self, other: &&[u8; M]) -> bool {
        **self == **other
    }
}

impl<const N: usize> PartialOrd for Bytes<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Bytes<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<const N: usize> Hash for Bytes<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
