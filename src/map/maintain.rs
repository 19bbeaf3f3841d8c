//! Looking a map over, releasing what dead processes hold, and syncing it to the disk.

use super::{Map, ReadOnlyMap};
use crate::liveness::{Participant, RegisterError};
use crate::protocol::shape::Typed;
use crate::segment::SegmentError;
use crate::store::check::{CheckReport, check};
use crate::store::recover::{RecoveryReport, recover, recover_assuming_dead};
use crate::store::restart::{self, SyncOutcome};
use crate::types::{Key, Value};

impl<K: Key, V: Value> Map<K, V> {
    /// Takes over, in all buckets, what provably dead processes hold, and frees their slots.
    ///
    /// Writers do the same when they need such a bucket; this does it everywhere and now, and
    /// tells. It locks one bucket at a time for a moment (two to repair an entry that was left
    /// in both of its buckets), and may run while others read and write, also several times at
    /// once. A lock that a live process holds is looked at for a moment and left alone.
    ///
    /// # Errors
    /// If this process cannot register as a writer.
    pub fn recover(&self) -> Result<RecoveryReport, RegisterError> {
        recover(self.shared(), Typed::<K, V>::SHAPE)
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
        recover_assuming_dead(self.shared(), Typed::<K, V>::SHAPE, is_dead)
    }

    /// Writes a `file:` segment to the disk, and returns when it is there. If nobody writes
    /// meanwhile, it is also sealed: unless somebody writes afterwards, it is opened again after
    /// a crash of the machine as it is.
    ///
    /// Reads all entries, for a digest of them. Others may read and write meanwhile (which costs
    /// the seal, see [`SyncOutcome::InUse`]). Locks of dead processes are released before.
    ///
    /// The last writer of a segment does the same when its last handle is dropped, unless
    /// [`sync_on_close`](super::MapBuilder::sync_on_close) says no; calling it before tells of errors.
    ///
    /// # Errors
    /// What the kernel says about the disk.
    pub fn sync(&self) -> Result<SyncOutcome, SegmentError> {
        let shared = self.shared();
        // The lock of a dead process hides whether it was about to move an entry. If they cannot
        // be released (no slot is free), the segment is not sealed.
        let _ = self.recover();
        restart::sync(shared)
    }
}

impl<K: Key, V: Value> ReadOnlyMap<K, V> {
    /// Compares the whole segment with what the protocol promises. Changes nothing, waits for
    /// nobody, and may run while others write: what is under way then is not taken for a fault.
    ///
    /// Takes some memory of its own for each entry that is in its secondary bucket (one in six or
    /// so of a table that is nearly full).
    pub fn check(&self) -> CheckReport {
        check(self.shared(), Typed::<K, V>::SHAPE)
    }

    /// The processes that are registered as writers, live and dead.
    pub fn participants(&self) -> Vec<Participant> {
        self.shared().list()
    }
}
