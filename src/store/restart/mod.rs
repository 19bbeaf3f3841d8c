//! What outlives the machine: `file:` segments that are opened again, and those whose pages are of
//! different times. Why it is done so, and what is not promised: `docs/restarts.md`.
//!
//! [`sync`] stores a digest of the content ([`content`], [`record`]) when all of it is on the disk. The
//! last writer that leaves does the same ([`close`]). After a crash of the machine, [`admit`] trusts a
//! segment if its content has that digest, and else does what the builder says ([`salvage`]).
//! Whoever admits a segment holds the admission lock ([`crate::liveness::admission_lock`]).

mod content;
mod record;
mod report;
mod salvage;

use std::time::{Duration, SystemTime};

use crate::liveness::admission_lock::AdmissionLockError;
use crate::liveness::{Liveness, Participant};
use crate::protocol::shape::Shape;
use crate::protocol::table::Table;
use crate::segment::{self, Segment, SegmentError};
use crate::store::Store;
use crate::store::error::OpenError;
use crate::sys::access::Access;
use crate::sys::boot::boot_id;
use crate::sys::sync::{Ordering, fence};

pub use self::report::{DropReason, DroppedEntry, SalvageReport};

/// How long one who opens waits for another one who admits the segment.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a sync looks for a moment in which nobody writes.
const SYNC_TRIES: u32 = 4;

/// What becomes of a `file:` segment that was in use when the machine crashed, so that the pages on
/// the disk may be of different times. (One that was closed or synced last, and not written to
/// since, is taken as it is.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// Opening fails with [`OpenError::MachineCrash`].
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

/// Lets an open segment pass if it is of this boot, or was admitted in it, and else admits it.
/// `check` says what is wrong with an entry's key and value, given as words.
pub(crate) fn admit<S: Shape>(
    shared: &Store,
    shape: S,
    policy: CrashPolicy,
    check: impl Fn(&[u64], &[u64]) -> Option<DropReason>,
) -> Result<Option<SalvageReport>, OpenError> {
    if !is_on_disk(shared) {
        return Ok(None);
    }
    let now = boot_id();
    if is_admitted(shared, now) {
        return Ok(None);
    }
    let Some(owners) = shared
        .owners
        .as_ref()
        .filter(|_| shared.access() == Access::ReadWrite)
    else {
        // A writer may admit it, and change it, while we look.
        return if content::is_sealed(shared) || is_admitted(shared, now) {
            Ok(None)
        } else {
            Err(refusal(shared, true))
        };
    };
    let admission_lock = owners
        .admission_lock(ADMISSION_TIMEOUT)
        .map_err(|error| match error {
            AdmissionLockError::Taken => OpenError::BeingChecked {
                segment: shared.segment.clone(),
                waited: ADMISSION_TIMEOUT,
            },
            AdmissionLockError::Impossible(error) => {
                OpenError::Segment(SegmentError::io("lock", &shared.segment, error))
            }
        })?;
    // Somebody else may have done it while we waited for the admission lock.
    if is_admitted(shared, now) {
        return Ok(None);
    }
    let participants = shared.participants();
    let table: Table<'_, S> = shared.table(shape);
    let salvage = if content::is_sealed(shared) {
        salvage::unlock_all(table);
        None
    } else {
        match policy {
            CrashPolicy::Refuse => return Err(refusal(shared, false)),
            CrashPolicy::Salvage => Some(salvage::keep(shared, table, check)),
            CrashPolicy::Discard => Some(salvage::discard(shared, table)),
        }
    };
    owners.reset(participants, &admission_lock);
    record::admit(shared, now);
    Ok(salvage)
}

/// Whether no crash of the machine lies between the last use of the segment and now, as far as
/// can be told: where `/proc` is missing, nothing can.
fn is_admitted(shared: &Store, now: [u8; 16]) -> bool {
    let created = shared.layout.boot_id;
    let admitted = now == [0; 16]
        || created == [0; 16]
        || created == now
        || record::admitted(shared) == Some(now);
    // Acquire: pairs with the Release store in `record::admit`: what was done to admit the segment
    // is visible.
    fence(Ordering::Acquire);
    admitted
}

fn refusal(shared: &Store, read_only: bool) -> OpenError {
    OpenError::MachineCrash {
        segment: shared.segment.clone(),
        synced_at: record::sealed(shared).map(|(_, at)| SystemTime::UNIX_EPOCH + at),
        read_only,
    }
}
