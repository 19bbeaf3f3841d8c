//! Text of varying length in a fixed number of bytes.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Bytes, TooLong};
use crate::schema::{Schema, Type};

/// Up to `N` bytes of UTF-8, stored inline: two bytes of length, then room for `N`.
///
/// The bytes behind the text are always zero, so equal text has equal bytes: what a key
/// needs. `N` may be up to 65,535.
///
/// Any bytes are memory-safe as a `Str<N>`. One that no constructor makes (a length above
/// `N`, bytes that are not UTF-8) reads as the longest text that it begins with; a map
/// answers with an error instead of handing it out ([`Schema::is_valid`]). The price is a
/// UTF-8 check whenever the text is looked at.
///
/// ```
/// use shmkv::Str;
///
/// let symbol = Str::<8>::new("ACME")?;
/// assert_eq!(symbol, "ACME");
/// assert!(Str::<8>::new("too long to fit").is_err());
/// assert_eq!(Str::<4>::truncated("naïve"), "naï");
/// # Ok::<(), shmkv::types::TooLong>(())
/// ```
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Str<const N: usize>(Bytes<N>);

impl<const N: usize> Str<N> {
    /// The empty text.
    pub const EMPTY: Self = Self(Bytes::EMPTY);

    /// A copy of `text`.
    pub const fn new(text: &str) -> Result<Self, TooLong> {
        match Bytes::new(text.as_bytes()) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(too_long) => Err(too_long),
        }
    }

    /// A copy of as many whole characters of `text` as fit.
    pub fn truncated(text: &str) -> Self {
        Self(Bytes::truncated(
            &text.as_bytes()[..text.floor_char_boundary(N)],
        ))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        let bytes = self.0.as_slice();
        str::from_utf8(bytes).unwrap_or_else(|_| longest_text(bytes))
    }

    /// How many bytes there is room for: `N`.
    pub const fn capacity(&self) -> usize {
        N
    }
}

/// The longest prefix that is UTF-8.
#[cold]
fn longest_text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

impl<const N: usize> Schema for Str<N> {
    fn schema() -> Type {
        Type::Str(N)
    }

    fn is_valid(&self) -> bool {
        self.0.is_canonical() && str::from_utf8(&self.0).is_ok()
    }
}

impl<const N: usize> Deref for Str<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for Str<N> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<const N: usize> Borrow<str> for Str<N> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<const N: usize> TryFrom<&str> for Str<N> {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        Self::new(text)
    }
}

impl<const N: usize> FromStr for Str<N> {
    type Err = TooLong;

    fn from_str(text: &str) -> Result<Self, TooLong> {
        Self::new(text)
    }
}

impl<const N: usize> fmt::Display for Str<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> fmt::Debug for Str<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> PartialEq for Str<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Str<N> {}

impl<const N: usize> PartialEq<str> for Str<N> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<&str> for Str<N> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl<const N: usize> PartialEq<Str<N>> for str {
    fn eq(&self, other: &Str<N>) -> bool {
        *self == **other
    }
}

impl<const N: usize> PartialOrd for Str<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Str<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<const N: usize> Hash for Str<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
