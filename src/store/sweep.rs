//! Removing what is unwanted from the whole table, entry by entry.

use std::mem::MaybeUninit;

use crate::protocol::order::Order;
use crate::protocol::shape::Shape;
use crate::protocol::table::{Edit, HashedKey, Outcome};
use crate::protocol::walk::{Entries, Scan};
use crate::store::Store;
use crate::store::error::{IterError, SweepError};
use crate::sys::copy::CopyBuf;
use crate::sys::random::seed;

/// Removes all entries; returns how many. Those that are inserted meanwhile may stay.
pub(crate) fn clear<S: Shape>(shared: &Store, shape: S) -> Result<usize, SweepError> {
    sweep(shared, shape, |_, _| true)
}

/// Removes the entries of which `is_unwanted` says so, by the words of key and value, when they
/// are met and again under their lock; returns how many.
pub(crate) fn sweep<S: Shape>(
    shared: &Store,
    shape: S,
    is_unwanted: impl Fn(&[u64], &[u64]) -> bool,
) -> Result<usize, SweepError> {
    let table = shared.table(shape);
    let mut walk = Scan::new(&table, Order::new(&table, seed()));
    let mut entries = Entries::default();
    let mut old = vec![MaybeUninit::uninit(); shape.value_words()];
    let mut removed = 0;
    while walk
        .advance(&table, &mut entries)
        .map_err(IterError::from)?
    {
        for entry in entries.iter() {
            // By the stored words: a key that is no valid one is removed as well.
            let (words, value) = entry.split_at(shape.key_words());
            if !is_unwanted(words, value) {
                continue;
            }
            let hashed = HashedKey {
                hash: table.hash_of(words),
                words,
            };
            let mut remove = |current: Option<&[u64]>, _: &mut [u64]| match current {
                Some(value) if is_unwanted(words, value) => Edit::Remove,
                _ => Edit::Keep,
            };
            let token = shared.token()?;
            let mut old = CopyBuf::new(&mut old);
            let outcome = shared.edit(&table, token, hashed, &mut old, &mut [], &mut remove)?;
            removed += usize::from(outcome == Outcome::Removed);
        }
    }
    Ok(removed)
}
