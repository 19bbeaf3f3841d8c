//! The bounds on keys and values, each under one name.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::schema::Schema;

/// A value: plain data that describes itself. Implemented for every type that can be one.
///
/// Plain data means no padding, no pointers, no interior mutability, and that bytes
/// from a segment are checked before they become a value (zerocopy's traits). Values
/// may be up to 64 KiB long; `()` has no bytes at all, so `Map<K, ()>` is a set.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a value in a shared segment",
    label = "not plain data that describes itself",
    note = "put `#[shmkv::record]` on your own struct or fieldless enum",
    note = "text and byte strings are stored inline as `shmkv::Str<N>` and `shmkv::Bytes<N>`",
    note = "`usize` and `isize` differ between programs: use `u64` or `i64`"
)]
pub trait Value:
    Schema + TryFromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static
{
}

#[diagnostic::do_not_recommend]
impl<T> Value for T where
    T: Schema + TryFromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static
{
}

/// A key: a value with equality. Implemented for every type that can be one.
///
/// *Equality and hash of a key in a map are those of its bytes*, whatever its `Eq` and
/// `Hash` say. Floats have no `Eq` (`0.0 == -0.0`, and NaN differs from itself, but
/// their bytes say otherwise) and so are no keys: use `to_bits()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key in a shared segment",
    label = "not plain data with equality",
    note = "put `#[shmkv::record]` and `#[derive(PartialEq, Eq)]` on your own struct or fieldless enum",
    note = "floats are no keys, since their equality is not that of their bytes: use `to_bits()`",
    note = "text and byte strings are stored inline as `shmkv::Str<N>` and `shmkv::Bytes<N>`"
)]
pub trait Key: Value + Eq {}

#[diagnostic::do_not_recommend]
impl<T: Value + Eq> Key for T {}
