//! An open segment: what all handles of one `open` have in common.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::bucket::Shape;
use crate::copy::Sink;
use crate::error::WriteError;
use crate::hash::KeyHasher;
use crate::layout::Layout;
use crate::mapping::{Access, Mapping};
use crate::moves::Moves;
use crate::owner::Owners;
use crate::owner::token::{Token, Verdict};
use crate::restart::{self, Salvage};
use crate::segment::{Identity, Segment};
use crate::sync::AtomicU64;
use crate::table::{Blocked, Edit, Outcome, Probe, Table, Who, Writer};

/// An open segment. Dropping it unmaps; it never removes anything.
pub(crate) struct Shared {
    pub(crate) mapping: Mapping,
    pub(crate) layout: Layout,
    pub(crate) hasher: KeyHasher,
    pub(crate) segment: Segment,
    pub(crate) identity: Identity,
    /// Who we are among the writers; a read-only handle is nobody.
    pub(crate) owners: Option<Owners>,
    pub(crate) lock_timeout: Duration,
    /// Whether the last writer that leaves syncs and seals the segment.
    pub(crate) sync_on_close: bool,
    /// What was kept of it, if it had to be looked over after a crash of the machine.
    pub(crate) salvage: std::sync::OnceLock<Salvage>,
    /// The file behind the mapping: kept open so that it can be asked about.
    pub(crate) file: Option<OwnedFd>,
}

impl Shared {
    /// The words of the participant table.
    #[inline(always)]
    pub(crate) fn participants(&self) -> &[AtomicU64] {
        self.mapping.participants()
    }

    /// The table, for entries of the given shape, which the layout was checked against.
    #[inline(always)]
    pub(crate) fn table<S: Shape>(&self, shape: S) -> Table<'_, S> {
        Table::new(
            self.mapping.buckets(),
            self.layout.counts.buckets,
            shape,
            &self.hasher,
            Moves::new(self.mapping.moves()),
        )
    }

    /// Whether the handle may write.
    pub(crate) fn access(&self) -> Access {
        self.mapping.access()
    }

    /// What this process writes into lock words. Registers it at its first write.
    #[inline(always)]
    pub(crate) fn token(&self) -> Result<Token, WriteError> {
        Ok(self.owners().token(self.participants())?)
    }

    /// An edit the long way: see [`Table::edit`].
    #[inline(never)]
    pub(crate) fn edit<S: Shape>(
        &self,
        table: &Table<'_, S>,
        token: Token,
        key: Probe<'_>,
        old: &mut Sink<'_>,
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
    pub(crate) fn owners(&self) -> &Owners {
        self.owners
            .as_ref()
            .expect("read-only handles have no writing methods")
    }

    /// The error that the caller sees for a write that did not happen.
    #[cold]
    pub(crate) fn write_error(&self, blocked: Blocked) -> WriteError {
        match blocked {
            Blocked::Full => WriteError::Full {
                capacity: self.layout.capacity,
            },
            Blocked::Damaged { bucket } => WriteError::Damaged { bucket },
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

impl Who for Shared {
    fn verdict(&self, token: Token) -> Verdict {
        match &self.owners {
            Some(owners) => owners.verdict(self.participants(), token),
            None => Verdict::Unknowable,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(owners) = &self.owners {
            let has_written = owners.is_registered();
            owners.release(self.participants());
            if has_written && self.sync_on_close {
                restart::close(self);
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("segment", &self.segment)
            .field("access", &self.access())
            .field("capacity", &self.layout.capacity)
            .finish_non_exhaustive()
    }
}
