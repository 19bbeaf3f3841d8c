//! What outlives the machine: `file:` segments that are opened again, and those whose pages are of
//! different times. Why it is done so, and what is not promised: `docs/restarts.md`.
//!
//! [`sync`] stores a digest of the content ([`content`], [`record`]) when all of it is on the disk. The
//! last writer that leaves does the same ([`close`]). After a crash of the machine, [`admit`] trusts a
//! segment if its content has that digest, and else does what the builder says ([`salvage`]).
//! Whoever admits a segment holds the admission lock ([`crate::liveness::admission_lock`]).

pub(crate) mod admit;
mod content;
pub(crate) mod record;
pub(crate) mod report;
mod salvage;

use crate::liveness::{Liveness, Participant};
use crate::segment::{self, Segment, SegmentError};
use crate::store::Store;

pub use self::report::{DropReason, DroppedEntry, SalvageReport};

/// How often a sync looks for a moment in which nobody writes.
const SYNC_TRIES: u32 = 4;

/// What becomes of a `file:` segment that was in use when the machine crashed, so that the pages on
/// the disk may be of different times. (One that was closed or synced last, and not written to
/// since, is taken as it is.) And what becomes of a copy that was made of a segment in use, if copies
/// are adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// Opening fails with [`OpenError::MachineCrash`](crate::OpenError::MachineCrash).
    #[default]
    Refuse,
    /// Every bucket and every entry is checked, what does not pass is dropped, and
    /// [`salvage`](crate::ReadOnlyMap::salvage) tells about it. A value can be checked by its type
    /// only: it may be an older one, or a mixture if its type allows that.
    Salvage,
    /// The segment is emptied, as if it had been created anew.
    Discard,
}

/// What a [`sync`](crate::Map::sync) achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncOutcome {
    /// Everything is on the disk, and sealed: if nobody writes from here on, the segment is trusted
    /// after a crash of the machine.
    Clean,
    /// Everything that was written before the call is on the disk. But somebody wrote meanwhile,
    /// or holds a lock, so there was no state of the whole to seal.
    InUse,
    /// There is no disk behind this kind of segment: it ends with the machine.
    InMemory,
}

/// Whether anything of the segment can outlive the machine.
fn is_on_disk(shared: &Store) -> bool {
    match (&shared.segment, &shared.file) {
        (Segment::File(_), _) => true,
        // A memfd, or a file that somebody has opened for us.
        (Segment::Fd(_), Some(file)) => !segment::is_memory(file),
        _ => false,
    }
}

/// Writes everything to the disk, and seals it if nobody writes meanwhile.
pub(crate) fn sync(shared: &Store) -> Result<SyncOutcome, SegmentError> {
    if !is_on_disk(shared) {
        return Ok(SyncOutcome::InMemory);
    }
    let failed = |error| SegmentError::io("sync", &shared.segment, error);
    for _ in 0..SYNC_TRIES {
        // What somebody else has admitted since is not ours to certify.
        if shared.is_taken_over() {
            return Ok(SyncOutcome::InUse);
        }
        let seen = content::digest(shared);
        shared.mapping.sync().map_err(failed)?;
        let Some(seen) = seen else { continue };
        // Not: "and nothing was written since". If something was, the digest does not fit.
        if content::is_unchanged(shared, &seen) {
            record::seal(shared, seen.digest);
            let places = &shared.layout.places;
            let words = places.shared..places.participants;
            shared.mapping.sync_words(words).map_err(failed)?;
            sync_name(&shared.segment);
            return Ok(SyncOutcome::Clean);
        }
    }
    Ok(SyncOutcome::InUse)
}

/// Makes the file's name outlive the machine too.
fn sync_name(segment: &Segment) {
    // File systems write a new name with the file that it names, in practice; where they do
    // not, and the directory cannot be synced either, the caller can do nothing about it.
    if let Segment::File(path) = segment
        && let Some(directory) = path.as_path().parent()
        && let Ok(directory) = std::fs::File::open(match directory.as_os_str().is_empty() {
            true => ".".as_ref(),
            false => directory,
        })
    {
        let _ = directory.sync_all();
    }
}

/// What a writer does when it has given its slot back: the last one closes the segment cleanly.
pub(crate) fn close(shared: &Store) {
    if !is_on_disk(shared) {
        return;
    }
    let Some(owners) = &shared.owners else { return };
    let is_in_use = |found: &Participant| found.owner.liveness() != Liveness::Dead;
    if !owners.list(shared.participants()).iter().any(is_in_use) {
        // Nobody is there to hear of an error. The segment is not sealed then, and the next one
        // who opens it after a crash hears of that.
        let _ = sync(shared);
    }
}
