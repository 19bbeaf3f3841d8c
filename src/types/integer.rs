//! Integers as values.

use crate::types::Value;

/// An integer type, for [`fetch_add`](crate::Map::fetch_add). All fixed-width integers are;
/// the trait is sealed.
pub trait Integer: Value + sealed::Sealed {
    /// Addition that wraps around at the ends of the type.
    #[must_use]
    fn wrapping_add(self, other: Self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Integer for $type {
            #[inline(always)]
            fn wrapping_add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
