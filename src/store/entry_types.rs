//! The types of a segment's entries, and whether its sizes are theirs.

use crate::format::Header;
use crate::schema::{ParseError, Type};
use crate::store::error::OpenError;

/// The types of a segment's entries, as a handle expects or has found them.
#[derive(Clone, Debug)]
pub(crate) struct EntryTypes {
    pub(crate) key: Type,
    pub(crate) value: Type,
}

impl EntryTypes {
    /// Stands in where only lengths matter.
    pub(crate) const UNIT: Self = Self {
        key: Type::Unit,
        value: Type::Unit,
    };
}

/// The types that a segment says it holds.
pub(crate) fn stored_types(layout: &Header) -> Result<EntryTypes, OpenError> {
    let parsed = |part, text: &str| {
        Type::parse(text).map_err(|source: ParseError| OpenError::Schema {
            part,
            source: Box::new(source),
        })
    };
    Ok(EntryTypes {
        key: parsed("key", &layout.key_schema)?,
        value: parsed("value", &layout.value_schema)?,
    })
}

/// Whether the sizes by which the table is laid out are those of the types by which its
/// entries are accessed: they must agree, whatever the schemas say.
pub(crate) fn check_sizes(
    layout: &Header,
    key: usize,
    value: usize,
    meta_words: u32,
) -> Result<(), OpenError> {
    let counts = &layout.counts;
    let sizes = [
        ("key", key as u64, u64::from(counts.key_len)),
        ("value", value as u64, u64::from(counts.value_len)),
        (
            "metadata",
            u64::from(meta_words) * 8,
            u64::from(counts.meta_words) * 8,
        ),
    ];
    for (part, expected, found) in sizes {
        if expected != found {
            return Err(OpenError::SizeContradiction {
                part,
                expected,
                found,
            });
        }
    }
    Ok(())
}
