//! Pages that belong to no single item.

pub mod verification {
    #![doc = include_str!("verification.md")]
}
