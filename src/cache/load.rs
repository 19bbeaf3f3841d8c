//! Loading once: what a caller does who finds nothing.

/// Why.
#[derive(Debug)]
pub struct LoadError;
