//! shmkv
mod bucket;
mod builder;
mod copy;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod image;
mod integer;
mod inventory;
mod iter;
mod layout;
mod map;
mod mapping;
mod moves;
mod owner;
mod repair;
pub mod schema;
pub mod segment;
mod shared;
mod sync;
mod table;
mod tags;
pub mod types;

// The macros name this crate `::shmkv`, also when used inside it.
extern crate self as shmkv;

pub use builder::MapBuilder;
pub use error::{Exchange, IterError, OpenError, ReadError, SweepError, TryInsert, WriteError};
pub use hash::HashKind;
pub use integer::Integer;
pub use layout::{Kind, LAYOUT_VERSION, Layout, LayoutError, MAX_ENTRY_PART, SizeError};
pub use map::{Iter, Map, MapStats, ReadOnlyMap};
pub use mapping::HugePages;
pub use owner::{OwnerInfo, Participant, RegisterError, Verdict};
pub use schema::Schema;
pub use segment::{Segment, SegmentError, SegmentOptions};
pub use shmkv_derive::{Schema, record};
pub use types::{Bytes, Key, Str, Value};
#[doc(hidden)]
pub use zerocopy;
