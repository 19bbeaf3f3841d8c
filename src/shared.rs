//! An open segment: what all handles of one `open` have in common.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::bucket::Shape;
use crate::error::WriteError;
use crate::hash::KeyHasher;
use crate::layout::Layout;
use crate::mapping::{Access, Mapping};
use crate::moves::Moves;
use crate::owner::Owners;
use crate::owner::token::{Token, Verdict};
use crate::segment::{Identity, Segment};
use crate::sync::AtomicU64;
use crate::table::{Blocked, Table, Who, Writer};

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

    /// Begins a writing operation.
    #[inline(always)]
    pub(crate) fn writer(&self) -> Result<Writer<'_, Self>, WriteError> {
        let token = self.owners().token(self.participants())?;
        Ok(Writer::new(self, token, self.lock_timeout))
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
            owners.release(self.participants());
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
