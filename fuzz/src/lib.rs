//! What the targets share: keys and values of numbers, the whole interface at one call, a model
//! of what it should do, and what somebody may do to a segment meanwhile.

pub mod model;
pub mod op;
pub mod sample;
pub mod segment;
pub mod strike;
pub mod survive;

pub use model::agree;
pub use op::Op;
pub use sample::Sample;
pub use segment::{Parts, Scribble, Wild, file_of, file_with, name_of, new_map};
pub use strike::{Attack, Strike};
pub use survive::survive;
