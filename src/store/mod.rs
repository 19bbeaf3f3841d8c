//! An open segment: what all handles of one `open` have in common.

pub(crate) mod check;
pub(crate) mod correct;
pub(crate) mod create;
pub(crate) mod entry_types;
pub(crate) mod error;
pub(crate) mod open;
pub(crate) mod recover;
pub(crate) mod restart;
pub(crate) mod settings;
pub(crate) mod statistics;
pub(crate) mod stats;
pub(crate) mod sweep;
pub(crate) mod typed;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::format::Header;
use crate::format::sections::Sections;
use crate::liveness::token::{Liveness, Token};
use crate::liveness::{LockPlace, Participant, RegisterError, Registration};
use crate::policy::estimator::{Estimator, Memory};
use crate::protocol::hash::{HashFunction, KeyHasher, Secret};
use crate::protocol::move_log::Moves;
use crate::protocol::shape::Shape;
use crate::protocol::table::{
    Blocked, Edit, HashedKey, LivenessCheck, Lookup, Outcome, Table, Writer,
};
use crate::segment::{Segment, SegmentError, SegmentId};
use crate::store::error::{ReadError, WriteError};
use crate::store::restart::report::SalvageReport;
use crate::sys::access::Access;
use crate::sys::clock::Clock;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::{AtomicU64, Ordering, fence};

/// An open segment. Dropping it unmaps; it never removes anything.
pub(crate) struct Store {
    pub(crate) mapping: Sections,
    pub(crate) layout: Header,
    pub(crate) secret: Secret,
    pub(crate) segment: Segment,
    pub(crate) identity: SegmentId,
    /// When the file was made, as it was when it was opened; 0 if not known.
    pub(crate) born: u64,
    /// Who we are among the writers; a read-only handle is nobody.
    pub(crate) owners: Option<Registration>,
    pub(crate) lock_timeout: Duration,
    /// Whether the last writer that leaves syncs and seals the segment.
    pub(crate) sync_on_close: bool,
    /// What does that: asked once this handle has given its slot back.
    pub(crate) at_close: fn(&Store),
    /// What was kept of it, if it had to be looked over after a crash of the machine.
    pub(crate) salvage: std::sync::OnceLock<SalvageReport>,
    /// The second, by the coarse clock and plus one, in which this process last could not register
    /// for something that it can do without; 0 if never.
    pub(crate) refused: AtomicU64,
    /// What this process has counted for the replacement policy of a cache.
    pub(crate) estimator: Estimator,
    /// What a cache's boot word says if deadlines count by the clock of this machine's boot; 0 if that
    /// could not be told when it was opened.
    pub(crate) boot: std::sync::OnceLock<u64>,
    /// How often it had been admitted when this handle was opened.
    pub(crate) admissions: AtomicU64,
    /// Whether it must be synced and sealed by its creator, since no boot id says later that the
    /// machine has not crashed.
    pub(crate) seal_when_closed: bool,
    /// The file behind the mapping: kept open so that it can be asked about.
    pub(crate) file: Option<OwnedFd>,
}

impl Store {
    /// The words of the participant table.
    #[inline(always)]
    pub(crate) fn participants(&self) -> &[AtomicU64] {
        self.mapping.participants()
    }

    /// What the replacement policy of a cache remembers.
    pub(crate) fn memory(&self) -> Memory<'_> {
        Memory {
            estimator: &self.estimator,
            counts: self.mapping.estimator(),
            ghosts: self.mapping.ghosts(),
        }
    }

    /// The hash of keys.
    #[inline(always)]
    pub(crate) fn hasher(&self) -> KeyHasher<'_> {
        KeyHasher::new(self.layout.hash, &self.secret)
    }

    /// The table, for entries of the given shape, which the layout was checked against.
    #[inline(always)]
    pub(crate) fn table<S: Shape>(&self, shape: S) -> Table<'_, S> {
        let hash = self.layout.hash;
        let area = self.mapping.area(shape, hash);
        let area = area.expect("types are compared with a segment's when it is opened");
        let moves = Moves::new(self.mapping.moves());
        Table::new(area, KeyHasher::new(hash, &self.secret), moves)
    }

    /// The same, if the hash function is the usual one: for the shortest way of a read, which
    /// asks for the shape and the function at once, and nothing after that.
    #[inline(always)]
    pub(crate) fn quick_table<S: Shape>(&self, shape: S) -> Option<Table<'_, S>> {
        let area = self.mapping.area(shape, HashFunction::Rapid)?;
        let hasher = KeyHasher::new(HashFunction::Rapid, &self.secret);
        Some(Table::new(area, hasher, Moves::new(self.mapping.moves())))
    }

    /// The file behind the segment; System V segments have none.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Fails if the segment's name does not lead to this very file any more.
    pub(crate) fn ensure_current(&self) -> Result<(), SegmentError> {
        self.segment.ensure_current(self.identity)?;
        self.segment.ensure_not_copied_up(self.born)
    }

    /// Whether the handle may write.
    pub(crate) fn access(&self) -> Access {
        self.mapping.access()
    }

    /// What this process writes into lock words. Registers it at its first write.
    #[inline(always)]
    pub(crate) fn token(&self) -> Result<Token, WriteError> {
        Ok(self.token_or_error()?)
    }

    /// The same, for whom only that can fail.
    #[inline(always)]
    pub(crate) fn token_or_error(&self) -> Result<Token, RegisterError> {
        match self.owners().current() {
            Some(token) => Ok(token),
            None => self.register(),
        }
    }

    /// Registers this process as a writer, unless somebody else has admitted the segment since the
    /// handle was opened: what we have seen of it then does not count any more.
    #[cold]
    #[inline(never)]
    pub(crate) fn register(&self) -> Result<Token, RegisterError> {
        if self.is_taken_over() {
            return Err(RegisterError::TakenOver);
        }
        let token = self.owners().token(self.participants())?;
        // SeqCst: pairs with the fence in `restart::record::count_admission`.
        fence(Ordering::SeqCst);
        if self.is_taken_over() {
            self.owners().release(self.participants());
            return Err(RegisterError::TakenOver);
        }
        Ok(token)
    }

    /// Whether another process has admitted the segment since this handle was opened.
    pub(crate) fn is_taken_over(&self) -> bool {
        restart::record::admissions(self) != self.admissions.load(Ordering::Relaxed)
    }

    /// Takes the segment for what it is now.
    pub(crate) fn note_admissions(&self) {
        let now = restart::record::admissions(self);
        self.admissions.store(now, Ordering::Relaxed);
    }

    /// What the boot word of a cache says if its deadlines are by this clock; 0 if nobody can tell.
    pub(crate) fn boot_of_deadlines(&self, clock: &Clock) -> u64 {
        match clock.is_known() {
            true => self.boot.get().copied().unwrap_or(0),
            false => 0,
        }
    }

    /// Our token, if this process is registered.
    #[inline(always)]
    pub(crate) fn current_token(&self) -> Option<Token> {
        self.owners.as_ref()?.current()
    }

    /// Our token for what can be done without: registers this process if it is not, but tries
    /// that once a second only, since it takes long where all slots are taken.
    pub(crate) fn token_for_hits(&self) -> Option<Token> {
        let owners = self.owners.as_ref()?;
        if let Some(token) = owners.current() {
            return Some(token);
        }
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let second = now.tv_sec.cast_unsigned() + 1;
        if self.refused.load(Ordering::Relaxed) == second {
            return None;
        }
        let token = self.register().ok();
        if token.is_none() {
            self.refused.store(second, Ordering::Relaxed);
        }
        token
    }

    /// Runs one edit of the entry of a key.
    #[inline(always)]
    pub(crate) fn edit_key<S: Shape>(
        &self,
        table: &Table<'_, S>,
        hashed: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        mut decide: impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, WriteError> {
        let token = self.token()?;
        match table.edit_in_primary(token, hashed, old, new, &mut decide) {
            Some(outcome) => Ok(outcome),
            None => self.edit(table, token, hashed, old, new, &mut decide),
        }
    }

    /// What a read does when it was overtaken too often: a writable handle reads under the lock,
    /// a read-only one has a larger retry budget, and an end of it. Says whether the key is there.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_contended<S: Shape>(
        &self,
        table: &Table<'_, S>,
        hashed: HashedKey<'_>,
        value: &mut CopyBuf<'_>,
    ) -> Result<bool, ReadError> {
        if self.access() == Access::ReadWrite
            && let Ok(token) = self.token()
        {
            let mut keep = |_: Option<&[u64]>, _: &mut [u64]| Edit::Keep;
            let kept = self.edit(table, token, hashed, value, &mut [], &mut keep);
            if let Ok(outcome) = kept {
                return Ok(outcome == Outcome::KeptPresent);
            }
        }
        match table.read_persistently(hashed, value) {
            Lookup::Hit => Ok(true),
            Lookup::Miss => Ok(false),
            Lookup::Contended => Err(ReadError::Contended),
        }
    }

    /// An edit the long way: see [`Table::edit`].
    #[inline(never)]
    pub(crate) fn edit<S: Shape>(
        &self,
        table: &Table<'_, S>,
        token: Token,
        key: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, WriteError> {
        let mut writer = Writer::new(self, token, self.lock_timeout);
        table
            .edit(&mut writer, key, old, new, decide)
            .map_err(|blocked| self.write_error(blocked))
    }

    /// Our bookkeeping as a writer.
    ///
    /// # Panics
    /// On a read-only handle, whose types have no writing methods.
    #[inline(always)]
    pub(crate) fn owners(&self) -> &Registration {
        self.owners
            .as_ref()
            .expect("read-only handles have no writing methods")
    }

    /// Our bookkeeping about the others: as a writer's, or that of somebody who only looks.
    pub(crate) fn participant_view(&self) -> ParticipantView<'_> {
        match &self.owners {
            Some(owners) => ParticipantView::Writer(owners),
            None => {
                let file = self.fd();
                let place = lock_place(&self.segment, file);
                let Header {
                    segment_id, counts, ..
                } = &self.layout;
                ParticipantView::Reader(Registration::read_only(
                    place,
                    *segment_id,
                    counts.participants,
                ))
            }
        }
    }

    /// Who is registered as a writer, live and dead.
    pub(crate) fn list(&self) -> Vec<Participant> {
        self.participant_view().get().list(self.participants())
    }

    /// The error that the caller sees for a write that did not happen.
    #[cold]
    pub(crate) fn write_error(&self, blocked: Blocked) -> WriteError {
        match blocked {
            Blocked::Full => WriteError::Full {
                capacity: self.layout.capacity,
            },
            Blocked::Corrupted { bucket } => WriteError::Corrupted { bucket },
            Blocked::Busy { bucket, found } => match found.owner() {
                Some(owner) => WriteError::Busy {
                    owner: Box::new(self.owners().describe(self.participants(), owner)),
                    bucket,
                    waited: self.lock_timeout,
                },
                None => WriteError::Contended {
                    waited: self.lock_timeout,
                },
            },
        }
    }
}

/// Who tells live processes from dead ones.
pub(crate) enum ParticipantView<'a> {
    Writer(&'a Registration),
    Reader(Registration),
}

impl ParticipantView<'_> {
    pub(crate) fn get(&self) -> &Registration {
        match self {
            Self::Writer(owners) => owners,
            Self::Reader(owners) => owners,
        }
    }
}

/// Where the writers of a segment lock their bytes.
pub(crate) fn lock_place<'a>(segment: &Segment, file: Option<BorrowedFd<'a>>) -> LockPlace<'a> {
    match file {
        Some(file) => LockPlace::File(file),
        None => match segment.metadata() {
            Ok(found) => LockPlace::LockFile {
                owner: found.uid,
                mode: found.mode,
            },
            Err(_) => LockPlace::None,
        },
    }
}

impl LivenessCheck for Store {
    fn liveness(&self, token: Token) -> Liveness {
        match &self.owners {
            Some(owners) => owners.liveness(self.participants(), token),
            None => Liveness::Unknown,
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(owners) = &self.owners {
            let has_written = owners.is_registered();
            owners.release(self.participants());
            if (has_written || self.seal_when_closed) && self.sync_on_close {
                (self.at_close)(self);
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("segment", &self.segment)
            .field("access", &self.access())
            .field("capacity", &self.layout.capacity)
            .finish_non_exhaustive()
    }
}
