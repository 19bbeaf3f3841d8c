//! Words as values of the program's types, and those types as the segment describes them.

use crate::format::{Header, StoreKind};
use crate::schema;
use crate::store::entry_types::{EntryTypes, check_sizes, stored_types};
use crate::store::error::{OpenError, ReadError};
use crate::store::restart::DropReason;
use crate::types::image::{WordBuf, decode};
use crate::types::{Key, Value};

/// The schemas of this program's types.
pub(crate) fn types<K: Key, V: Value>() -> Result<EntryTypes, OpenError> {
    let unfit = |part| {
        move |source| OpenError::Unfit {
            part,
            source: Box::new(source),
        }
    };
    Ok(EntryTypes {
        key: schema::of::<K>().map_err(unfit("key"))?,
        value: schema::of::<V>().map_err(unfit("value"))?,
    })
}

/// Whether the segment is of this kind and holds what this program's types describe.
pub(crate) fn check_types<K: Key, V: Value>(
    layout: &Header,
    kind: StoreKind,
    meta_words: u32,
) -> Result<(), OpenError> {
    if layout.kind != kind {
        return Err(OpenError::WrongKind {
            expected: kind,
            found: layout.kind,
        });
    }
    let (stored, program) = (stored_types(layout)?, types::<K, V>()?);
    if let Some(mismatch) = stored.key.mismatch(&program.key) {
        return Err(OpenError::KeyType(Box::new(mismatch)));
    }
    if let Some(mismatch) = stored.value.mismatch(&program.value) {
        return Err(OpenError::ValueType(Box::new(mismatch)));
    }
    check_sizes(layout, size_of::<K>(), size_of::<V>(), meta_words)
}

/// What is wrong with the words of a key and of a value (which metadata may follow), by the types.
pub(crate) fn invalid_part<K: Key, V: Value>(key: &[u64], value: &[u64]) -> Option<DropReason> {
    if decoded::<K>(key).is_err() {
        Some(DropReason::InvalidKey)
    } else if decoded::<V>(&value[..WordBuf::<V>::WORDS]).is_err() {
        Some(DropReason::InvalidValue)
    } else {
        None
    }
}

/// A value from the words that are stored, if they are one.
#[inline(always)]
pub(crate) fn decoded<V: Value>(words: &[u64]) -> Result<V, ReadError> {
    match decode::<V>(words) {
        Some(value) if value.is_valid() => Ok(*value),
        _ => Err(ReadError::InvalidValue),
    }
}

/// The same as the answer of a `get`. Not made of the other, from which the value would be copied
/// once more, in pieces that a processor waits for.
#[inline(always)]
pub(crate) fn found<V: Value>(words: &[u64]) -> Result<Option<V>, ReadError> {
    match decode::<V>(words) {
        Some(value) if value.is_valid() => Ok(Some(*value)),
        _ => Err(ReadError::InvalidValue),
    }
}
