//! A digest of everything that a table holds.
//!
//! Of each bucket: its state, the counts of keys in their secondary bucket, and of each slot in use
//! its number, its tag and its words. Not: locks, slots that are not in use, recency bits, what
//! participants and moves have written; none of these says anything about an entry.

use zerocopy::IntoBytes;

use super::record;
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering, fence};

/// What was seen of a table in which nobody wrote.
pub(super) struct Seen {
    pub(super) digest: u64,
    /// The sum of all states: another one after any publication.
    states: u64,
}

/// The digest, if every bucket was unlocked and stood still. Copies one bucket at a time.
pub(super) fn digest(shared: &Store) -> Option<Seen> {
    walk(shared, true)
}

/// Whether nothing has been published since. (A value that was replaced in place changes no
/// state; then the digest does not fit the content any more, as after any later write.)
pub(super) fn is_unchanged(shared: &Store, seen: &Seen) -> bool {
    fence(Ordering::Acquire);
    let sum = (0..shared.layout.counts.buckets as usize)
        .map(|bucket| words_of(shared, bucket)[0].load(Ordering::Relaxed))
        .fold(0, u64::wrapping_add);
    sum == seen.states
}

/// Whether the content is the one that was synced last. Locks do not matter: those that
/// stand there are of the former boot.
pub(super) fn is_sealed(shared: &Store) -> bool {
    // Without a record there is no need to look.
    record::sealed(shared)
        .is_some_and(|(digest, _)| walk(shared, false).is_some_and(|seen| seen.digest == digest))
}

pub(super) fn words_of(shared: &Store, bucket: usize) -> &[AtomicU64] {
    let step = shared.layout.counts.bucket_words() as usize;
    &shared.mapping.buckets()[bucket * step..(bucket + 1) * step]
}

fn walk(shared: &Store, unlocked: bool) -> Option<Seen> {
    let slot_words = shared.layout.counts.slot_words() as usize;
    let mut seen = Seen {
        digest: shared.layout.segment_id[0],
        states: 0,
    };
    let mut buffer: Vec<u64> = Vec::with_capacity(8 + 16 * (1 + slot_words));
    for bucket in 0..shared.layout.counts.buckets as usize {
        let words = words_of(shared, bucket);
        let load = |at: usize| words[at].load(Ordering::Relaxed);
        let state = load(0);
        // Acquire: pairs with the Release store that published this state.
        fence(Ordering::Acquire);
        if unlocked && load(1) != 0 {
            return None;
        }
        buffer.clear();
        // Chained, so that the order of the buckets counts.
        buffer.extend([seen.digest, state, load(6), load(7)]);
        for slot in (0..16).filter(|slot| state >> slot & 1 == 1) {
            let tag = load(2 + slot / 8) >> (slot % 8 * 8) & 0xFF;
            buffer.push((slot as u64) << 8 | tag);
            let start = 8 + slot * slot_words;
            crate::sys::copy::append(&words[start..start + slot_words], &mut buffer);
        }
        // Acquire: pairs with the Release fence of whoever locks: had a later writer written any
        // of it, the lock or the state would show.
        fence(Ordering::Acquire);
        if load(0) != state || unlocked && load(1) != 0 {
            return None;
        }
        seen.digest = rapidhash::v3::rapidhash_v3(buffer.as_bytes());
        seen.states = seen.states.wrapping_add(state);
    }
    Some(seen)
}
