//! What goes on in a segment, in one sample: for monitors, which look again and again.

use crate::liveness::OwnerInfo;
use crate::liveness::token::LockWord;
use crate::protocol::bucket::Bucket;
use crate::protocol::shape::Shape;
use crate::store::{ParticipantView, Store};
use crate::sys::sync::Ordering;

/// Most buckets that are looked at: a monitor must not cost more than what it watches.
const MAX_LOOKED_AT: u64 = 1 << 16;

/// Most held locks that are listed.
const MAX_LISTED: usize = 256;

/// One look at the headers of the buckets, or of an even sample of them.
///
/// Two of these, some time apart, give rates. It is made by loads alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Activity {
    /// Buckets that there are.
    pub buckets: u64,
    /// Buckets that were looked at: all, or every n-th.
    pub looked_at: u64,
    /// Entries, extrapolated if not all buckets were looked at.
    pub entries: u64,
    /// How often buckets were published since the creation of the segment, extrapolated
    /// likewise: once for each entry that was inserted, removed, or replaced, but not for values
    /// of at most eight bytes in a map that were replaced in place.
    pub publications: u64,
    /// Entries that were displaced since the creation of the segment.
    pub displaced: u64,
    /// Locks that were held, the first 256. A lock is held for some dozens of nanoseconds; one
    /// that shows up twice in a row under one [`stamp`](HeldLock::stamp) is slow.
    pub locks: Vec<HeldLock>,
}

/// A lock that was held when its bucket was looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeldLock {
    /// Which bucket.
    pub bucket: u64,
    /// Who held it.
    pub owner: OwnerInfo,
    /// The number of publications of the bucket: if it is the same later, and so is the
    /// owner, it may still be the same lock.
    pub stamp: u64,
    /// Whether somebody waits for it.
    pub is_awaited: bool,
}

/// The lock of a bucket, if it is held.
fn held<S: Shape>(
    shared: &Store,
    participant_view: &ParticipantView<'_>,
    index: u64,
    bucket: Bucket<'_, S>,
) -> Option<HeldLock> {
    let stamp = bucket.read_begin().version();
    let word = LockWord(bucket.lock_word().load(Ordering::Relaxed));
    Some(HeldLock {
        bucket: index,
        owner: participant_view
            .get()
            .describe(shared.participants(), word.owner()?),
        stamp,
        is_awaited: word.has_waiters(),
    })
}

pub(super) fn locks_of<S: Shape>(shared: &Store, shape: S, buckets: &[u64]) -> Vec<HeldLock> {
    let table = shared.table(shape);
    let participant_view = shared.participant_view();
    let exist = buckets.iter().filter(|&&index| index < table.buckets());
    exist
        .filter_map(|&index| held(shared, &participant_view, index, table.bucket(index)))
        .collect()
}

pub(super) fn take<S: Shape>(shared: &Store, shape: S) -> Activity {
    let table = shared.table(shape);
    let participant_view = shared.participant_view();
    let step = table.buckets().div_ceil(MAX_LOOKED_AT);
    let (mut looked_at, mut entries, mut publications) = (0_u64, 0_u64, 0_u64);
    let mut locks = Vec::new();
    for index in (0..table.buckets()).step_by(step as usize) {
        let bucket = table.bucket(index);
        let state = bucket.read_begin();
        looked_at += 1;
        entries += u64::from(state.occupied().len());
        publications = publications.wrapping_add(state.version());
        if locks.len() < MAX_LISTED {
            locks.extend(held(shared, &participant_view, index, bucket));
        }
    }
    let scale = |sum: u64| {
        let scaled = u128::from(sum) * u128::from(table.buckets()) / u128::from(looked_at.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    Activity {
        buckets: table.buckets(),
        looked_at,
        entries: scale(entries),
        publications: scale(publications),
        displaced: table.moves().head(),
        locks,
    }
}
