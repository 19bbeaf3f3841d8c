//! Looking a cache over, and writing it to the disk: as for a map.

use super::{Cache, ReadOnlyCache};
use crate::liveness::{Participant, RegisterError};
use crate::protocol::lease::Leases;
use crate::protocol::replacement::Replacement;
use crate::protocol::shape::Cached;
use crate::segment::SegmentError;
use crate::store::check::{CheckReport, check};
use crate::store::recover::{RecoveryReport, recover};
use crate::store::restart::{self, SalvageReport, SyncOutcome};
use crate::types::{Key, Value};

impl<K: Key, V: Value> ReadOnlyCache<K, V> {
    /// Compares the whole segment with what the protocol promises, as
    /// [`ReadOnlyMap::check`](crate::ReadOnlyMap::check).
    pub fn check(&self) -> CheckReport {
        let layout = &self.shared.layout;
        // For the limits of the buckets.
        let replacement = Replacement::new(layout.capacity, layout.counts.buckets);
        let shape = Cached::<K, V, _>::replacing(self.meta_words(), &replacement);
        check(&self.shared, shape)
    }

    /// What was kept, and what was dropped, of a segment that was in use when the machine
    /// crashed, if it was this handle's opening that looked it over (see
    /// [`CrashPolicy`](crate::restart::CrashPolicy)).
    pub fn salvage(&self) -> Option<&SalvageReport> {
        self.shared.salvage.get()
    }
}

impl<K: Key, V: Value> Cache<K, V> {
    /// Takes over, in all buckets, what provably dead processes hold, frees their slots, and ends
    /// their loads; as [`Map::recover`](crate::Map::recover).
    ///
    /// # Errors
    /// If this process cannot register as a writer.
    pub fn recover(&self) -> Result<RecoveryReport, RegisterError> {
        let shared = &**self.shared();
        let recovery = recover(shared, Cached::<K, V, _>::new(self.meta_words()))?;
        let token = shared.owners().token(shared.participants())?;
        Leases::new(shared.mapping.leases()).free_all_dead_cells(shared, token);
        Ok(recovery)
    }

    /// The processes that are registered as participants, live and dead.
    pub fn participants(&self) -> Vec<Participant> {
        let shared = self.shared();
        shared.owners().list(shared.participants())
    }

    /// Writes a `file:` segment to the disk, and returns when it is there; as
    /// [`Map::sync`](crate::Map::sync).
    ///
    /// # Errors
    /// What the kernel says about the disk.
    pub fn sync(&self) -> Result<SyncOutcome, SegmentError> {
        // The lock of a dead process hides what it was about to do. If it cannot be released (no
        // slot is free), the segment is not sealed.
        let _ = self.recover();
        restart::sync(self.shared())
    }
}
