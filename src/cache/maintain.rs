//! Looking a cache over, and writing it to the disk: as for a map.

use super::{Cache, ReadOnlyCache};
use crate::liveness::{Participant, RegisterError};
use crate::protocol::lease::Leases;
use crate::protocol::replacement::Replacement;
use crate::protocol::shape::Cached;
use crate::segment::SegmentError;
use crate::store::check::{CheckReport, check};
use crate::store::recover::{RecoveryReport, recover, recover_assuming_dead};
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
        self.end_loads_of_dead_processes()?;
        Ok(recovery)
    }

    /// As [`recover`](Self::recover), and takes writers for dead of whom nobody can tell whether they
    /// live ([`Liveness::Unknown`](crate::process::Liveness::Unknown)) and for which `is_dead` says so: the
    /// way out where an operator knows what no process can prove. Who is provably alive is not asked
    /// about. If one of the others lives, values are lost or mixed.
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn recover_assuming_dead(
        &self,
        is_dead: impl Fn(&Participant) -> bool,
    ) -> Result<RecoveryReport, RegisterError> {
        let shape = Cached::<K, V, _>::new(self.meta_words());
        let recovery = recover_assuming_dead(self.shared(), shape, is_dead)?;
        self.end_loads_of_dead_processes()?;
        Ok(recovery)
    }

    fn end_loads_of_dead_processes(&self) -> Result<(), RegisterError> {
        let shared = &**self.shared();
        let token = shared.token_or_error()?;
        Leases::new(shared.mapping.leases()).free_all_dead_cells(shared, token);
        Ok(())
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
