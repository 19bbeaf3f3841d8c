//! Whether a segment may be opened as it is, and what has to be done about it else.
//!
//! The evidence is gathered here, and judged by [`trust`](crate::liveness::trust). Nothing of the
//! segment changes before all that can refuse the opening has been asked.

use std::time::{Duration, SystemTime};

use super::{CrashPolicy, DropReason, SalvageReport, content, is_on_disk, record, salvage};
use crate::format::StoreKind;
use crate::format::shared_page::HAS_TTL;
use crate::liveness::admission_lock::{AdmissionLock, AdmissionLockError};
use crate::liveness::trust::{
    Boot, Bytes, Content, FileWords, Medium, SegmentEvidence, SegmentState, compare_files, state_of,
};
use crate::liveness::{Registration, any_byte_is_locked};
use crate::protocol::shape::Shape;
use crate::protocol::table::Table;
use crate::segment::SegmentError;
use crate::store::Store;
use crate::store::error::{OpenError, Unreadable};
use crate::sys::access::Access;
use crate::sys::boot::{boot_digest, boot_id};
use crate::sys::clock::Clock;
use crate::sys::sync::{Ordering, fence};

/// How long one who opens waits for another one who admits the segment.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// The boot word of a cache that was created where the boot id cannot be read.
const UNKNOWN_BOOT: u64 = 1;

/// What was wished for by whoever opens a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    pub(crate) after_crash: CrashPolicy,
    /// Take a copy for what it is.
    pub(crate) adopt_copy: bool,
    /// Take writers of whom nobody can tell for dead.
    pub(crate) assume_dead: bool,
    /// The segment was made by this very call.
    pub(crate) is_new: bool,
}

/// How an opening went.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) salvage: Option<SalvageReport>,
    /// What the boot word of a cache holds if its deadlines are by the clock of this machine's boot;
    /// 0 if that cannot be told.
    pub(crate) boot: u64,
}

/// How often an opening begins anew because another process has admitted the segment meanwhile.
const OPENING_TRIES: u32 = 8;

/// Lets a segment pass as it is, or admits it, or refuses it: see the table in `docs/trust.md`.
/// `check` says what is wrong with an entry's key and value, given as words.
pub(crate) fn admit<S: Shape>(
    shared: &Store,
    shape: S,
    file: Option<FileWords>,
    wishes: Wishes,
    check: impl Fn(&[u64], &[u64]) -> Option<DropReason>,
) -> Result<Admitted, OpenError> {
    let case = Case {
        shared,
        file,
        wishes,
        now: boot_id(),
    };
    let mut salvage = None;
    for _ in 0..OPENING_TRIES {
        shared.note_admissions();
        let boot = if wishes.is_new {
            case.now.map_or(UNKNOWN_BOOT, boot_digest)
        } else {
            match case.look()? {
                Some(boot) => boot,
                None => {
                    salvage = case.admit_alone(shape, &check)?.or(salvage);
                    continue;
                }
            }
        };
        // From here on others see that a handle is open which may write, and nobody admits the
        // segment beside it. Somebody may have done so before.
        if let Some(owners) = &shared.owners {
            owners.show_writer();
        }
        fence(Ordering::SeqCst);
        if !shared.is_taken_over() {
            return Ok(Admitted { salvage, boot });
        }
        // Or we would take our own byte for somebody else's.
        if let Some(owners) = &shared.owners {
            owners.hide_writer();
        }
    }
    Err(case.busy())
}

/// A segment that is being opened.
struct Case<'a> {
    shared: &'a Store,
    file: Option<FileWords>,
    wishes: Wishes,
    now: Option<[u8; 16]>,
}

impl Case<'_> {
    /// The boot word by which the deadlines of a cache count, if the segment passes as it is; `None`
    /// if it has to be admitted, and may be.
    fn look(&self) -> Result<Option<u64>, OpenError> {
        let (shared, wishes) = (self.shared, self.wishes);
        let found = self.evidence(self.bytes());
        let state = state_of(found);
        let passes = match state {
            SegmentState::InUse | SegmentState::AsLeft => true,
            SegmentState::Whole => shared.access() == Access::ReadOnly || self.now.is_none(),
            SegmentState::WholeCopy => shared.access() == Access::ReadOnly && wishes.adopt_copy,
            _ => false,
        };
        if !passes {
            self.refuse(state, found)?;
            return Ok(None);
        }
        let boot = self.boot_of_deadlines(state);
        self.check_clock(boot)?;
        Ok(Some(boot))
    }

    fn busy(&self) -> OpenError {
        OpenError::BeingChecked {
            segment: self.shared.segment.clone(),
            waited: ADMISSION_TIMEOUT,
        }
    }

    fn bytes(&self) -> Bytes {
        let view = self.shared.participant_view();
        let locked = match self.shared.fd() {
            // No lock is ever taken through this description.
            Some(file) => any_byte_is_locked(file),
            None => view.get().any_byte_is_locked(),
        };
        match locked {
            Some(true) => Bytes::Locked,
            Some(false) => self.bytes_if_none_is_locked(view.get()),
            None if self.wishes.assume_dead => Bytes::Free,
            None => Bytes::Unknown,
        }
    }

    fn bytes_if_none_is_locked(&self, view: &Registration) -> Bytes {
        if !self.wishes.assume_dead && view.has_unprovable_writer(self.shared.participants()) {
            return Bytes::Unknown;
        }
        Bytes::Free
    }

    /// The digest is computed only where it matters.
    fn evidence(&self, bytes: Bytes) -> SegmentEvidence {
        let shared = self.shared;
        let mut found = SegmentEvidence {
            bytes,
            file: compare_files(record::file(shared), self.file),
            medium: match is_on_disk(shared) {
                true => Medium::Disk,
                false => Medium::Memory,
            },
            boot: self.boot(),
            content: Content::Unsealed,
        };
        let sealed = SegmentEvidence {
            content: Content::Sealed,
            ..found
        };
        if state_of(found) != state_of(sealed) {
            found.content = match content::is_sealed(shared) {
                true => Content::Sealed,
                false => Content::Unsealed,
            };
        }
        found
    }

    /// The boot for which it was admitted last, or in which it was created. Only the last one counts:
    /// another may have been in between.
    fn last_boot(&self) -> record::Recorded<[u8; 16]> {
        let created = self.shared.layout.boot_id;
        let last = match record::admitted(self.shared) {
            record::Recorded::Never if created != [0; 16] => record::Recorded::Fields(created),
            last => last,
        };
        // Acquire: pairs with the Release store in `record::admit`: what was done to admit the
        // segment is visible.
        fence(Ordering::Acquire);
        last
    }

    fn boot(&self) -> Boot {
        match (self.last_boot(), self.now) {
            (record::Recorded::Fields(last), Some(now)) if last == now => Boot::Same,
            // A record that no admission has left: its page was not written by this boot.
            (record::Recorded::Fields(_) | record::Recorded::Invalid, Some(_)) => Boot::Other,
            (record::Recorded::Never, _) | (_, None) => Boot::Unknown,
        }
    }

    /// By which boot word the deadlines of a cache count for us.
    fn boot_of_deadlines(&self, state: SegmentState) -> u64 {
        match state {
            // The machine has not been booted since, whatever the boot ids say. Not the word itself:
            // whoever has admitted the segment may not have come to it yet.
            SegmentState::InUse | SegmentState::AsLeft => match self.last_boot() {
                record::Recorded::Fields(boot) => boot_digest(boot),
                record::Recorded::Never => UNKNOWN_BOOT,
                record::Recorded::Invalid => self.now.map_or(0, boot_digest),
            },
            _ => self.now.map_or(0, boot_digest),
        }
    }

    /// Who cannot tell the time of a cache's entries must not write to it: it would evict what has
    /// not expired. A reader takes such entries for expired.
    fn check_clock(&self, boot: u64) -> Result<(), OpenError> {
        let layout = &self.shared.layout;
        let cache = &layout.cache;
        let has_times = cache.time_to_live != 0
            || cache.time_to_idle != 0
            || cache.negative_ttl != 0
            || self.shared.mapping.shared()[HAS_TTL].load(Ordering::Relaxed) != 0;
        if layout.kind == StoreKind::Map || !has_times || self.shared.access() == Access::ReadOnly {
            return Ok(());
        }
        if boot == 0 {
            return Err(self.unknown(Unreadable::BootId));
        }
        match Clock::of_this_process().is_known() {
            true => Ok(()),
            false => Err(self.unknown(Unreadable::TimeNamespace)),
        }
    }

    fn unknown(&self, unreadable: Unreadable) -> OpenError {
        OpenError::Undecided {
            segment: self.shared.segment.clone(),
            unreadable,
        }
    }

    /// The error for a state that does not pass, unless whoever opens has chosen to deal with it.
    fn refuse(&self, state: SegmentState, found: SegmentEvidence) -> Result<(), OpenError> {
        let read_only = self.shared.access() == Access::ReadOnly;
        let segment = self.shared.segment.clone();
        let copy = |is_whole| OpenError::Copy {
            segment: segment.clone(),
            is_whole,
            read_only,
        };
        let refuses = self.wishes.after_crash == CrashPolicy::Refuse;
        let needs_boot = || match self.now {
            Some(_) => Ok(()),
            None => Err(self.unknown(Unreadable::BootId)),
        };
        match state {
            SegmentState::Unknown => Err(self.unknown(match found {
                SegmentEvidence {
                    boot: Boot::Unknown,
                    ..
                } => Unreadable::BootId,
                _ => Unreadable::Writers,
            })),
            SegmentState::Crashed if read_only || refuses => Err(OpenError::MachineCrash {
                segment,
                synced_at: record::sealed(self.shared).map(|(_, at)| SystemTime::UNIX_EPOCH + at),
                read_only,
            }),
            SegmentState::WholeCopy if !self.wishes.adopt_copy => Err(copy(true)),
            SegmentState::TornCopy if read_only || refuses || !self.wishes.adopt_copy => {
                Err(copy(false))
            }
            SegmentState::UnknownFile if read_only || refuses || !self.wishes.adopt_copy => {
                Err(self.unknown(Unreadable::File))
            }
            _ => needs_boot(),
        }
    }

    /// Does what the state demands while nobody else can begin to write.
    fn admit_alone<S: Shape>(
        &self,
        shape: S,
        check: &impl Fn(&[u64], &[u64]) -> Option<DropReason>,
    ) -> Result<Option<SalvageReport>, OpenError> {
        let shared = self.shared;
        let failed = |error| match error {
            AdmissionLockError::Taken => self.busy(),
            AdmissionLockError::Impossible(error) => {
                OpenError::Segment(SegmentError::io("lock", &shared.segment, error))
            }
        };
        let owners = shared.owners();
        let lock = owners.admission_lock(ADMISSION_TIMEOUT).map_err(failed)?;
        // Once more, since somebody else may have admitted it while we waited, and with all bytes
        // in our hands, so that the answer stays true.
        let Some(_bytes) = owners.lock_all_bytes(&lock).map_err(failed)? else {
            // A writer: then the segment is as that one sees it.
            return match self.bytes() {
                Bytes::Locked => Ok(None),
                _ => Err(self.busy()),
            };
        };
        let found = self.evidence(self.bytes_if_none_is_locked(owners));
        let state = state_of(found);
        if matches!(state, SegmentState::AsLeft | SegmentState::InUse) {
            return Ok(None);
        }
        self.check_clock(self.now.map_or(0, boot_digest))?;
        self.refuse(state, found)?;
        record::count_admission(shared);
        if !self.wishes.assume_dead && owners.has_unprovable_writer(shared.participants()) {
            return Err(self.unknown(Unreadable::Writers));
        }
        Ok(self.carry_out(state, shape, &lock, check))
    }

    fn carry_out<S: Shape>(
        &self,
        state: SegmentState,
        shape: S,
        lock: &AdmissionLock<'_>,
        check: &impl Fn(&[u64], &[u64]) -> Option<DropReason>,
    ) -> Option<SalvageReport> {
        let shared = self.shared;
        let table: Table<'_, S> = shared.table(shape);
        let is_whole = matches!(state, SegmentState::Whole | SegmentState::WholeCopy);
        let salvage = match self.wishes.after_crash {
            _ if is_whole => {
                salvage::unlock_all(table);
                None
            }
            CrashPolicy::Salvage => Some(salvage::keep(shared, table, check)),
            // `Refuse` has refused.
            CrashPolicy::Discard | CrashPolicy::Refuse => Some(salvage::discard(shared, table)),
        };
        shared.owners().reset(shared.participants(), lock);
        if let Some(file) = self.file {
            record::made_in(shared, file);
        }
        if let Some(now) = self.now {
            record::admit(shared, now);
        }
        salvage
    }
}
