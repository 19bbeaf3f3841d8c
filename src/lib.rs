//! shmkv
mod mapping;
mod owner;
pub mod schema;
mod sync;
pub mod types;

// The macros name this crate `::shmkv`, also when used inside it.
extern crate self as shmkv;

pub use schema::Schema;
pub use shmkv_derive::{Schema, record};
pub use types::{Bytes, Str};
#[doc(hidden)]
pub use zerocopy;
