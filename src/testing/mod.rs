//! What tests and fuzz targets reach that programs do not.

pub(crate) mod bounds;
#[cfg(fuzzing)]
mod fuzzing;

#[cfg(fuzzing)]
pub use self::fuzzing::*;
