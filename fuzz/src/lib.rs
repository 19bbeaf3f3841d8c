//! What the targets share: keys and values of numbers, the whole interface at one call, a model
//! of what it should do, and what somebody may do to a segment meanwhile.
//!
//! The parts that attack a segment need the library as fuzz targets see it (`--cfg fuzzing`). The
//! command that makes the seeds does without.

pub mod cache;
pub mod encode;
pub mod model;
pub mod op;
#[cfg(fuzzing)]
pub mod parts;
pub mod plan;
pub mod sample;
pub mod segment;
#[cfg(fuzzing)]
pub mod strike;
#[cfg(fuzzing)]
pub mod survive;
#[cfg(fuzzing)]
pub mod survive_cache;

pub use model::agree;
pub use op::{CacheOp, Op};
#[cfg(fuzzing)]
pub use parts::Parts;
pub use sample::Sample;
pub use segment::{file_of, file_of_cache, file_with, name_of, new_map, new_map_on_disk};
#[cfg(fuzzing)]
pub use survive::survive;
#[cfg(fuzzing)]
pub use survive_cache::{new_cache, survive_cache};
