//! Which word of the shared page is whose: the only such table.
//!
//! ```text
//! words 0..3    the record of the last sync        store::restart::record
//! words 8..13   the file that it was made in       store::restart::record
//! words 16..19  the record of the admission        store::restart::record
//! word 19       how often it was admitted          store::restart::record
//! word 24       epoch of a cache                   cache
//! word 25       boot by which its deadlines count  cache
//! word 26       whether any entry has a deadline   cache
//! ```
//!
//! All others are reserved, and zero.

use std::ops::Range;

/// The record of the last sync.
pub(crate) const SYNC_RECORD: Range<usize> = 0..3;
/// The record of the file that the segment was made in, or adopted.
pub(crate) const FILE_RECORD: Range<usize> = 8..13;
/// How often the segment was admitted, which changes before anything else of it does.
pub(crate) const ADMISSIONS: usize = 19;
/// The record of the admission.
pub(crate) const BOOT_RECORD: Range<usize> = 16..19;
/// The epoch of a cache: entries of another one were invalidated.
pub(crate) const EPOCH: usize = 24;
/// The boot of the machine by whose clock the deadlines of a cache count.
pub(crate) const BOOT: usize = 25;
/// Whether any entry of a cache has a deadline.
pub(crate) const HAS_TTL: usize = 26;

/// Whether a word of the shared page is in use, in a cache or in a map.
pub(crate) fn is_in_use(word: usize, is_cache: bool) -> bool {
    SYNC_RECORD.contains(&word)
        || FILE_RECORD.contains(&word)
        || BOOT_RECORD.contains(&word)
        || word == ADMISSIONS
        || (is_cache && (EPOCH..=HAS_TTL).contains(&word))
}
