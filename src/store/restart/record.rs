//! The words in the shared part of a segment that say what was synced and admitted.
//!
//! ```text
//! word 0        seal of words 1 and 2; 0 = never synced
//! word 1        digest of the content at the last sync
//! word 2        when that was, in nanoseconds since 1970
//! word 16       seal of words 17 and 18; 0 = never admitted, so the header's boot counts
//! words 17, 18  id of the boot for which the segment was last admitted
//! ```
//!
//! Each record is one cache line, which the kernel and the disk write as a whole; the seal is
//! for what may happen to it otherwise, and for two processes that write it at once.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zerocopy::IntoBytes;

use crate::format::shared_page::{BOOT_RECORD, SYNC_RECORD};
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering};

/// Records that the content has this digest, and is on the disk.
pub(super) fn seal(shared: &Store, digest: u64) {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    write(words(shared, SYNC_RECORD), [digest, at]);
}

/// The digest of the content at the last sync, and when that was since 1970.
pub(super) fn sealed(shared: &Store) -> Option<(u64, Duration)> {
    let [digest, at] = read(words(shared, SYNC_RECORD))?;
    Some((digest, Duration::from_nanos(at)))
}

/// Records that the segment may be used in this boot.
pub(super) fn admit(shared: &Store, boot: [u8; 16]) {
    let boot = u128::from_be_bytes(boot);
    write(
        words(shared, BOOT_RECORD),
        [(boot >> 64) as u64, boot as u64],
    );
}

/// The boot for which it was admitted last.
pub(super) fn admitted(shared: &Store) -> Option<[u8; 16]> {
    let [high, low] = read(words(shared, BOOT_RECORD))?;
    Some((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

fn words(shared: &Store, record: Range<usize>) -> &[AtomicU64] {
    let start = shared.layout.places.shared;
    &shared.mapping.words()[start + record.start..start + record.end]
}

fn write(record: &[AtomicU64], fields: [u64; 2]) {
    for (word, field) in record[1..].iter().zip(fields) {
        word.store(field, Ordering::Relaxed);
    }
    // Release: whoever finds the record complete also finds what it vouches for.
    record[0].store(digest_of(fields), Ordering::Release);
}

fn read(record: &[AtomicU64]) -> Option<[u64; 2]> {
    let [seal, fields @ ..] = std::array::from_fn::<_, 3, _>(|i| record[i].load(Ordering::Relaxed));
    (seal != 0 && seal == digest_of(fields)).then_some(fields)
}

fn digest_of(fields: [u64; 2]) -> u64 {
    rapidhash::v3::rapidhash_v3(fields.as_bytes()).max(1)
}
