//! Schemas of the types that Rust itself has.

use std::marker::PhantomData;
use std::num::NonZero;

use super::{Int, Schema, Type};

macro_rules! ints {
    ($($rust:ty => $int:ident),* $(,)?) => {$(
        impl Schema for $rust {
            fn schema() -> Type {
                Type::Int(Int::$int)
            }
        }

        impl Schema for NonZero<$rust> {
            fn schema() -> Type {
                Type::NonZero(Int::$int)
            }
        }
    )*};
}

ints! {
    u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, i128 => I128,
}

macro_rules! leaves {
    ($($rust:ty => $leaf:ident),* $(,)?) => {$(
        impl Schema for $rust {
            fn schema() -> Type {
                Type::$leaf
            }
        }
    )*};
}

leaves! { f32 => F32, f64 => F64, bool => Bool, char => Char, () => Unit }

/// A marker without bytes.
impl<T: ?Sized> Schema for PhantomData<T> {
    fn schema() -> Type {
        Type::Unit
    }
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    fn schema() -> Type {
        Type::Array {
            element: Box::new(T::schema()),
            len: N,
        }
    }

    #[inline]
    fn is_valid(&self) -> bool {
        self.iter().all(T::is_valid)
    }
}
