//! What a mapping allows.

/// Whether a mapping may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// `PROT_READ` only.
    ReadOnly,
    /// `PROT_READ | PROT_WRITE`.
    ReadWrite,
}
