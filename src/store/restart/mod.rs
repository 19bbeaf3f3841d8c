//! What outlives the machine: warm restarts of `file:` segments, and torn ones.
//!
//! A process that dies takes nothing along: its stores are in the page cache, which is the
//! segment for all others. When the *machine* dies, only what the kernel has written back is
//! left: of each page some state that it had, of different pages states of different times. A
//! header line of yesterday may stand over a slot of today.
//!
//! # What `msync` gives, and what not
//!
//! `msync(MS_SYNC)` returns when all that was dirty at the call is on stable storage. It is no
//! barrier: any page may reach the disk at any time before, in any order, and again afterwards
//! with later stores in it. So no order of stores and syncs can make the words of a running table
//! consistent on the disk; and a mark "clean" that has to be *removed* before the first store
//! after it would have to be waited for (by all writers, at each first store after any sync).
//!
//! # The seal of the content
//!
//! Therefore the mark certifies itself. [`sync`] computes a digest of everything that the table
//! holds ([`content`]) while nobody writes, waits until all of it is on the disk, and then stores
//! the digest ([`record`]). A segment that has seen a crash of the machine is trusted if, and only
//! if, its content *has* that digest: then it is the content that was synced, byte for byte,
//! however it came to be on the disk. Nothing has to be ordered for that to be true, nobody
//! has to remove a mark, and a process that dies at any instruction of a sync leaves either a
//! digest that fits or one that does not. Writers pay nothing: their first store makes the digest
//! a wrong one.
//!
//! The last writer that leaves does the same (a *clean close*). Whoever leaves gives its slot
//! back first and looks for others afterwards, so of several that leave at once the last one, at
//! least, finds itself alone; if two do, both compute the same.
//!
//! # Admission
//!
//! The header says during which boot a segment was created; if the machine was booted since, the
//! first process that opens it for writing *admits* it, alone ([`crate::liveness::admission_lock`]): with the
//! right digest as it is; else, as the builder says, not at all, what passes a
//! check ([`salvage`]), or nothing. What belonged to processes of the former boot, locks and
//! participant slots, is blotted out in any case. Last of all the boot for which it was
//! admitted is recorded; who dies before that leaves the work to the next one. That record need
//! not reach the disk: after the next crash, another boot is asked for anyway.
//!
//! A reader cannot admit anything. It opens a segment whose digest fits, and else says that a
//! writer has to come first.
//!
//! # Not promised
//!
//! Without a fitting digest any entry may be missing, or old. What [`salvage`] keeps has a key
//! that belongs where it is; a *value* can only be checked by its type, and may be one that the
//! key had before, or a mixture, if the machine died while it was being replaced.
//! Where that matters, values need a checksum of their own. And the boot id tells crashes of
//! the machine only: a disk that loses pages without one (it was torn out, the file system was shut
//! down by an error) is not noticed.

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
