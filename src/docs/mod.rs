//! Pages that belong to no single item.

pub mod speed {
    #![doc = include_str!("speed.md")]
}

pub mod verification {
    #![doc = include_str!("verification.md")]
}
