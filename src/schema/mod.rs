//! What the bytes of a key or a value mean: the schema of a plain-data type.
//!
//! A segment stores the schemas of its keys and values, so that a program with
//! other types is refused with an error that says what differs, and a tool that
//! has never seen the Rust types can print, check and change entries.
//!
//! A [`Type`] describes the *byte image* of a Rust type: every byte belongs to
//! exactly one field, because zerocopy's `IntoBytes` forbids padding. Offsets
//! therefore follow from the order of the fields and are not written down.
//! Integers and floats are in the byte order of the machine, which the header of
//! a segment records.
//!
//! # Written form
//!
//! One text serves the segment header, the command line and error messages:
//!
//! ```text
//! type    = "u8" | "u16" | "u32" | "u64" | "u128"
//!         | "i8" | "i16" | "i32" | "i64" | "i128"
//!         | "f32" | "f64" | "bool" | "char" | "()"
//!         | "NonZero" "<" int ">"
//!         | "Str" "<" number ">"                        up to that many bytes of UTF-8
//!         | "Bytes" "<" number ">"                      up to that many bytes
//!         | "[" type ";" number "]"
//!         | "struct" [ name ] "{" [ fields ] "}"
//!         | "enum" [ name ] ":" int "{" variants "}"
//! fields  = field { "," field } [ "," ]
//! field   = ( name | number ) ":" type                  numbers: fields of a tuple struct
//! variants= variant { "," variant } [ "," ]
//! variant = name [ "=" [ "-" ] number ]                 default: one more than the last
//! name    = letter or "_", then letters, digits and "_"
//! ```
//!
//! White space may stand between any two words. The canonical form, which
//! `Display` prints, is one line with single spaces and every discriminant
//! written; `{:#}` prints the same over several lines, like a Rust item:
//!
//! ```
//! use shmkv::schema::Type;
//!
//! let quote = Type::parse("struct Quote{bid:f64,ask:f64,side:enum Side:u8{Bid,Ask}}")?;
//! assert_eq!(
//!     quote.to_string(),
//!     "struct Quote { bid: f64, ask: f64, side: enum Side: u8 { Bid = 0, Ask = 1 } }",
//! );
//! assert_eq!(quote.size(), 17);
//! # Ok::<(), shmkv::schema::ParseError>(())
//! ```
//!
//! Text from a segment is hostile input. The parser is bounded by the constants
//! of [`limits`], never panics, and allocates nothing by a number in the text.
//! `usize` and `isize` have no schema: their width differs between the programs
//! that share a segment.

mod compare;
mod datum;
mod impls;
#[cfg(feature = "json")]
mod json;
mod parse;
mod print;
#[cfg(feature = "json")]
mod to_json;
mod ty;
mod valid;

#[cfg(test)]
mod tests;

pub use compare::{Difference, Mismatch};
pub use datum::Datum;
#[cfg(feature = "json")]
pub use json::{ValueError, from_json, parse_value};
pub use parse::ParseError;
#[cfg(feature = "json")]
pub use to_json::{to_json, write_json};
pub use ty::{Enum, Field, Int, Struct, Type, Unfit, Variant, limits};
pub use valid::InvalidValue;

/// A plain-data type that can describe its own bytes.
///
/// Derive it: `#[derive(shmkv::Schema)]`, or let [`#[shmkv::record]`](macro@crate::record)
/// derive it together with everything else that a key or a value needs.
///
/// The trait is safe, so nothing unsafe may rest on it: a wrong implementation
/// makes for refused segments and misprinted entries, never for undefined
/// behaviour. Opening a map checks that [`schema`](Schema::schema) has the size
/// of the type (see [`of`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema, so a segment cannot describe it",
    label = "not plain data that shmkv can describe",
    note = "put `#[shmkv::record]` on your own struct or fieldless enum, or derive `shmkv::Schema`",
    note = "text and byte strings are stored inline as `shmkv::Str<N>` and `shmkv::Bytes<N>`",
    note = "`usize` and `isize` differ between programs: use `u64` or `i64`"
)]
pub trait Schema {
    /// The description of this type's bytes.
    fn schema() -> Type;

    /// Whether the content keeps the type's own rules, beyond those that zerocopy
    /// checks when it makes a value of bytes.
    ///
    /// Only [`Str`](crate::Str) and [`Bytes`](crate::Bytes) have such rules, and
    /// types that contain them. A map answers with an error when an entry breaks
    /// them. For all other types this is `true` at compile time.
    #[inline(always)]
    fn is_valid(&self) -> bool {
        true
    }
}

/// The schema of `T`, if a segment can hold it: within [`limits`], well formed,
/// and of the size that `T` has.
pub fn of<T: Schema>() -> Result<Type, Unfit> {
    let ty = T::schema();
    ty.check()?;
    let (schema, rust) = (ty.size(), size_of::<T>());
    if schema == rust {
        Ok(ty)
    } else {
        Err(Unfit::WrongSize { schema, rust })
    }
}
