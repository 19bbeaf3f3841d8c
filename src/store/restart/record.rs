//! The words in the shared part of a segment that say what was synced and admitted.
//!
//! ```text
//! word 0        seal of words 1 and 2; 0 = never synced
//! word 1        digest of the content at the last sync
//! word 2        when that was, in nanoseconds since 1970
//! word 8        seal of words 9 to 12; 0 = nothing is known of the file
//! words 9..13   inode, device, digest of the handle, and creation of the file (0 = not known)
//! word 16       seal of words 17 and 18; 0 = never admitted, so the header's boot counts
//! words 17, 18  id of the boot for which the segment was last admitted
//! word 19       how often it was admitted, or somebody was about to
//! ```
//!
//! Each record is one cache line, which the kernel and the disk write as a whole; the seal is
//! for what may happen to it otherwise, and for two processes that write it at once.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zerocopy::IntoBytes;

use crate::format::shared_page::{ADMISSIONS, BOOT_RECORD, FILE_RECORD, SYNC_RECORD};
use crate::liveness::trust::FileWords;
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering, fence};

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
    match read(words(shared, SYNC_RECORD)) {
        Recorded::Fields([digest, at]) => Some((digest, Duration::from_nanos(at))),
        Recorded::Never | Recorded::Invalid => None,
    }
}

/// Records that the segment may be used in this boot.
pub(crate) fn admit(shared: &Store, boot: [u8; 16]) {
    let boot = u128::from_be_bytes(boot);
    write(
        words(shared, BOOT_RECORD),
        [(boot >> 64) as u64, boot as u64],
    );
}

/// The boot for which it was admitted last.
pub(super) fn admitted(shared: &Store) -> Recorded<[u8; 16]> {
    read(words(shared, BOOT_RECORD))
        .map(|[high, low]| (u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// Says that the segment is about to be admitted, before anything else of it changes.
pub(super) fn count_admission(shared: &Store) {
    shared.mapping.shared()[ADMISSIONS].fetch_add(1, Ordering::Relaxed);
    // SeqCst: pairs with the fence in `Store::register`. Of a writer that takes a slot without a
    // lock and of us who look for such, one at least sees the other.
    fence(Ordering::SeqCst);
}

/// How often it was admitted.
pub(crate) fn admissions(shared: &Store) -> u64 {
    shared.mapping.shared()[ADMISSIONS].load(Ordering::Acquire)
}

/// Records the file that the segment is in, as its own.
pub(super) fn made_in(shared: &Store, file: FileWords) {
    write(words(shared, FILE_RECORD), fields_of(file));
}

/// The same in a new segment that nobody else has yet, given the words of its shared page.
pub(crate) fn made_in_new(shared_page: &[AtomicU64], file: FileWords) {
    write(&shared_page[FILE_RECORD], fields_of(file));
}

/// The file that the segment was made in, or adopted.
pub(super) fn file(shared: &Store) -> Option<FileWords> {
    match read(words(shared, FILE_RECORD)) {
        Recorded::Fields([inode, device, handle, born]) => Some(FileWords {
            inode,
            device,
            handle,
            born,
        }),
        Recorded::Never | Recorded::Invalid => None,
    }
}

fn fields_of(file: FileWords) -> [u64; 4] {
    [file.inode, file.device, file.handle, file.born]
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded<T> {
    /// It was never written.
    Never,
    /// It was, and not by the rules, or not wholly.
    Invalid,
    Fields(T),
}

impl<T> Recorded<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Recorded<U> {
        match self {
            Self::Never => Recorded::Never,
            Self::Invalid => Recorded::Invalid,
            Self::Fields(fields) => Recorded::Fields(f(fields)),
        }
    }
}

fn words(shared: &Store, record: Range<usize>) -> &[AtomicU64] {
    &shared.mapping.shared()[record]
}

fn write<const N: usize>(record: &[AtomicU64], fields: [u64; N]) {
    for (word, field) in record[1..].iter().zip(fields) {
        word.store(field, Ordering::Relaxed);
    }
    // Release: whoever finds the record complete also finds what it vouches for.
    record[0].store(digest_of(fields), Ordering::Release);
}

fn read<const N: usize>(record: &[AtomicU64]) -> Recorded<[u64; N]> {
    let seal = record[0].load(Ordering::Relaxed);
    let fields = std::array::from_fn(|i| record[i + 1].load(Ordering::Relaxed));
    match seal {
        0 => Recorded::Never,
        seal if seal == digest_of(fields) => Recorded::Fields(fields),
        _ => Recorded::Invalid,
    }
}

fn digest_of<const N: usize>(fields: [u64; N]) -> u64 {
    rapidhash::v3::rapidhash_v3(fields.as_bytes()).max(1)
}
