//! Derive macros of `shmkv`, which re-exports them: depend on that crate instead.

mod attrs;
mod record;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `shmkv::Schema`: names, types and order of a type's fields, or names and
/// numbers of its variants.
///
/// For structs under `#[repr(C)]`, `#[repr(transparent)]` or `#[repr(packed)]` without
/// padding, and for fieldless enums under `#[repr(u8)]` to `#[repr(i64)]`. That the
/// fields follow each other without padding, in the order in which they are declared, is
/// checked when the program is compiled.
///
/// * `#[shmkv(crate = path)]` on the type: where to find `shmkv` if it was renamed.
/// * `#[shmkv(rename = "name")]` on the type, a field or a variant: its name in the
///   schema, so that a Rust item can be renamed without making another schema of it.
#[proc_macro_derive(Schema, attributes(shmkv))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    schema::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a struct or fieldless enum a key or value of a map.
///
/// Adds, unless they are there already:
///
/// * `#[repr(C)]` to a struct, `#[repr(u8)]` to an enum;
/// * `#[derive(Clone, Copy)]`;
/// * zerocopy's `TryFromBytes`, `IntoBytes`, `Immutable` and `KnownLayout`, through
///   `shmkv`, so that the crate needs no dependency on zerocopy;
/// * `#[derive(Schema)]`.
///
/// A key needs `PartialEq` and `Eq` as well; derive these yourself. Put `record` above
/// the other attributes: it does not see derives that stand before it.
///
/// `#[record(crate = path)]` says where to find `shmkv` if it was renamed.
#[proc_macro_attribute]
pub fn record(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as attrs::RecordOptions);
    let item = parse_macro_input!(item as DeriveInput);
    record::expand(options, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
