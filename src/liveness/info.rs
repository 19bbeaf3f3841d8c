//! What can be told about participants: for error messages, `check`, and people.

use std::fmt;

use super::process::Origin;
use super::slot::{Snapshot, State};
use super::token::Liveness;

/// The owner of a lock or of a participant slot, as far as the segment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerInfo {
    pid: Option<u32>,
    pid_namespace: Option<u32>,
    start_ticks: Option<u64>,
    since: Option<u64>,
    slot: Option<u32>,
    generation: u64,
    liveness: Liveness,
}

impl OwnerInfo {
    pub(super) fn nobody(slot: Option<u32>, generation: u64, liveness: Liveness) -> Self {
        Self {
            pid: None,
            pid_namespace: None,
            start_ticks: None,
            since: None,
            slot,
            generation,
            liveness,
        }
    }

    pub(super) fn of(slot: u32, seen: Snapshot, liveness: Liveness) -> Self {
        let record = seen.record;
        let origin = record.map(|record| Origin::from_words(&record));
        Self {
            pid: Some(seen.claim.pid()).filter(|&pid| pid != 0),
            pid_namespace: origin
                .map(|origin| origin.pid_namespace)
                .filter(|&inode| inode != 0),
            start_ticks: record.and_then(|record| record.started.checked_sub(1)),
            since: record.map(|record| record.since),
            ..Self::nobody(Some(slot), seen.claim.generation(), liveness)
        }
    }

    /// Its process id, in its own pid namespace.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The inode of its pid namespace, as `ls -l /proc/PID/ns/pid` shows it.
    pub fn pid_namespace(&self) -> Option<u32> {
        self.pid_namespace
    }

    /// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub fn start_ticks(&self) -> Option<u64> {
        self.start_ticks
    }

    /// When it registered as a writer, in seconds since 1970.
    pub fn registered_at(&self) -> Option<u64> {
        self.since
    }

    /// The index of its participant slot; `None` if it names none that the segment has.
    pub fn slot(&self) -> Option<u32> {
        self.slot
    }

    /// How often that slot had been given out when this owner got it, itself included.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it lives.
    pub fn liveness(&self) -> Liveness {
        self.liveness
    }
}

impl fmt::Display for OwnerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => write!(f, "a process that is not on record")?,
        }
        write!(f, " (")?;
        if let Some(inode) = self.pid_namespace {
            write!(f, "pid namespace {inode}, ")?;
        }
        if let Some(ticks) = self.start_ticks {
            let hertz = rustix::param::clock_ticks_per_second().max(1);
            let (seconds, rest) = (ticks / hertz, ticks % hertz);
            let hundredths = rest * 100 / hertz;
            write!(f, "started {seconds}.{hundredths:02} s after boot, ")?;
        }
        match self.slot {
            Some(slot) => write!(f, "slot {slot}, ")?,
            None => write!(f, "no valid slot, ")?,
        }
        write!(f, "generation {}): {}", self.generation, self.liveness)
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Unknown => "cannot be told alive or dead from here",
        })
    }
}

/// A participant slot that is not free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Who holds it.
    pub owner: OwnerInfo,
    /// Whether it is this very handle.
    pub is_self: bool,
    /// Whether it was still registering, and thus had no locks yet.
    pub is_registering: bool,
    /// Whether it could not lock its byte of the lock file, so that only its process id
    /// tells whether it lives.
    pub has_no_file_lock: bool,
}

impl Participant {
    pub(super) fn of(slot: u32, seen: Snapshot, liveness: Liveness, is_self: bool) -> Self {
        Self {
            owner: OwnerInfo::of(slot, seen, liveness),
            is_self,
            is_registering: seen.claim.state() == State::Claiming,
            has_no_file_lock: seen.claim.has_no_file_lock(),
        }
    }
}
