//! The word that everything shared is made of: `core`'s, or in unit tests and fuzz targets one whose
//! accesses can be watched.

#[cfg(not(any(test, fuzzing)))]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(any(test, fuzzing))]
pub(crate) use crate::sys::watched::AtomicU64;
