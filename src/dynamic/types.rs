//! Types that are known when the program runs, and the checks that take the compiler's place.

use super::bytes::to_bytes;
use super::error::DynError;
use crate::format::{Header, StoreKind};
use crate::schema::Type;
use crate::store::entry_types::{EntryTypes, check_sizes, stored_types};
use crate::store::error::OpenError;
use crate::store::restart::DropReason;

/// Which half of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

impl EntryTypes {
    fn of(&self, part: Part) -> &Type {
        match part {
            Part::Key => &self.key,
            Part::Value => &self.value,
        }
    }

    /// Whether the caller's bytes may be stored.
    pub(super) fn accept(&self, part: Part, bytes: &[u8]) -> Result<(), DynError> {
        let ty = self.of(part);
        ty.validate(bytes).map_err(|reason| DynError::Unfit {
            part: part.name(),
            reason,
            ty: Box::new(ty.clone()),
        })
    }

    /// Whether bytes that were copied out of a segment are what it declares.
    pub(super) fn judge(&self, part: Part, bytes: &[u8]) -> Result<(), DynError> {
        let ty = self.of(part);
        ty.validate(bytes).map_err(|reason| DynError::Invalid {
            part: part.name(),
            reason,
        })
    }
}

impl EntryTypes {
    /// What is wrong with an entry, given as words, if anything is.
    pub(super) fn invalid_part(&self, key: &[u64], value: &[u64]) -> Option<DropReason> {
        if self
            .judge(Part::Key, to_bytes(key, self.key.size()))
            .is_err()
        {
            Some(DropReason::InvalidKey)
        } else if self
            .judge(Part::Value, to_bytes(value, self.value.size()))
            .is_err()
        {
            Some(DropReason::InvalidValue)
        } else {
            None
        }
    }
}

/// The types that a segment declares, if its sizes agree with them.
pub(super) fn declared_types(layout: &Header) -> Result<EntryTypes, OpenError> {
    let types = stored_types(layout)?;
    let meta_words = match layout.kind {
        StoreKind::Map => 0,
        StoreKind::Cache => layout.cache.meta_words(),
    };
    check_sizes(layout, types.key.size(), types.value.size(), meta_words)?;
    Ok(types)
}
