//! The untyped handle: segments for those who know their types only by the schema.
//!
//! A [`DynMap`] opens any segment and takes keys and values as *encoded bytes*: the byte image
//! that the segment's own [`Type`](crate::schema::Type) describes. What the compiler does for a
//! [`Map`](crate::Map), every call does here: bytes that are no value of the type are refused
//! before they are stored, and what comes out of the segment is checked, on a private copy,
//! before it is handed on. [`Datum`](crate::schema::Datum) makes values of bytes and bytes of
//! values; with the feature `json`, so do [`to_json`](crate::schema::to_json) and
//! [`from_json`](crate::schema::from_json).
//!
//! Caches are opened likewise: entries that are out of date are not there, and an insertion into a
//! full cache takes the place of another entry. What a `DynMap` writes is counted in the cache's
//! statistics; what it reads is not, and keeps no entry from going.
//!
//! Everything else is as with a typed handle, whose protocol this is: it is the same table
//! under dimensions that are values instead of constants.

mod activity;
mod builder;
mod bytes;
mod entries;
mod error;
mod map;
mod replace;
mod types;

pub use self::activity::{Activity, HeldLock};
pub use self::builder::DynMapBuilder;
pub use self::entries::{DynEntries, DynEntry};
pub use self::error::DynError;
pub use self::map::{DynMap, ReadOnlyDynMap};
