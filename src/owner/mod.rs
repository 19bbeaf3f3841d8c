//! Who writes, and who of them is dead.
pub(crate) mod token;
