//! Releasing at once, for all buckets, what dead processes hold: what writers would do one by one.
//!
//! Nobody *needs* this. A writer that meets a dead owner's lock takes it over by itself
//! ([`crate::protocol::table::takeover`]), and a process that needs a participant slot takes a dead
//! one's.

use std::fmt;
use std::time::Duration;

use crate::liveness::token::{LockWord, Token};
use crate::liveness::{Liveness, OwnerInfo, Participant, RegisterError};
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::protocol::table::takeover::Takeover;
use crate::protocol::table::{Table, Writer};
use crate::store::Store;
use crate::sys::sync::{Deadline, LOCK_SPINS, Ordering, spin_hint};

/// Most findings that are listed one by one; the rest is counted.
const MAX_LISTED: usize = 1000;

/// How often one bucket of a dead owner is worked on before it is left to the writers. Each
/// time but the last something was achieved or somebody else was at it.
const MAX_TRIES: u32 = 256;

/// How many of these follow each other at once, before a recovery begins to sleep in between.
const SPINNING_TRIES: u32 = 8;

/// How long a recovery waits, in sum, to see whether locks of live processes are let go.
const TIMEOUT: Duration = Duration::from_millis(if cfg!(fuzzing) { 1 } else { 100 });

/// What a recovery did about one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// The lock of a dead owner was released.
    Released,
    /// An entry had been left in two buckets; the copy in its secondary bucket was removed.
    Deduplicated {
        /// The hash of the entry's key.
        key_hash: u64,
    },
    /// Nothing: the owner lives, or cannot be judged from here.
    LeftToOwner,
    /// Nothing: the owner is dead, but a live process holds a bucket that is needed as well.
    /// The next writer, or the next recovery, does it.
    Postponed,
}

/// A bucket whose lock was found held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Which bucket.
    pub bucket: u64,
    /// Who held it.
    pub owner: OwnerInfo,
    /// What was done.
    pub action: RecoveryAction,
}

/// What a recovery found and did; see [`Map::recover`](crate::Map::recover).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Buckets that were visited: all.
    pub buckets: u64,
    /// Locks of dead owners that were released.
    pub released: u64,
    /// Entries that were in two buckets and are in one now.
    pub deduplicated: u64,
    /// Locks of dead owners that could not be released now.
    pub postponed: u64,
    /// Locks that live owner held all the time.
    pub busy: u64,
    /// Dead writers whose participant slots are free now.
    pub reclaimed: Vec<Participant>,
    /// Writers whose slots were freed because the caller knew that they are dead, and nobody could
    /// tell: see [`Map::recover_assuming_dead`](crate::Map::recover_assuming_dead).
    pub assumed_dead: Vec<Participant>,
    /// The single cases, in the order of their buckets; the first thousand.
    pub findings: Vec<Finding>,
}

impl RecoveryReport {
    /// Whether nothing had to be done and nothing remains to be done.
    pub fn is_clean(&self) -> bool {
        self.released + self.deduplicated + self.postponed == 0
            && self.reclaimed.is_empty()
            && self.assumed_dead.is_empty()
    }

    fn add(&mut self, bucket: u64, owner: OwnerInfo, action: RecoveryAction) {
        *match action {
            RecoveryAction::Released => &mut self.released,
            RecoveryAction::Deduplicated { .. } => &mut self.deduplicated,
            RecoveryAction::LeftToOwner => &mut self.busy,
            RecoveryAction::Postponed => &mut self.postponed,
        } += 1;
        if self.findings.len() < MAX_LISTED {
            self.findings.push(Finding {
                bucket,
                owner,
                action,
            });
        }
    }
}

/// As [`recover`], and takes those for dead of whom nobody can tell and `is_dead` says so.
pub(crate) fn recover_assuming_dead<S: Shape>(
    shared: &Store,
    shape: S,
    is_dead: impl Fn(&Participant) -> bool,
) -> Result<RecoveryReport, RegisterError> {
    // First, so that nothing is forced by who cannot go on.
    shared.token_or_error()?;
    let assumed_dead = shared.owners().free_unknown(shared.participants(), is_dead);
    Ok(RecoveryReport {
        assumed_dead,
        ..recover(shared, shape)?
    })
}

/// Releases what dead processes hold, in a segment with entries of this shape.
pub(crate) fn recover<S: Shape>(shared: &Store, shape: S) -> Result<RecoveryReport, RegisterError> {
    let participants = shared.participants();
    // Before we register: that may take the slot of a dead one, with its record.
    let known = shared.owners().list(participants);
    let token = shared.token_or_error()?;
    let table = shared.table(shape);
    let writer = Writer::new(shared, token, Duration::ZERO);
    let mut timeout = Deadline::new(TIMEOUT);
    let mut recovery = RecoveryReport {
        buckets: table.buckets(),
        ..RecoveryReport::default()
    };
    for bucket in 0..table.buckets() {
        recover_bucket(&table, &writer, bucket, &mut timeout, |owner, action| {
            let is_it = |known: &&Participant| {
                known.owner.slot() == owner.slot() && known.owner.generation() == owner.generation()
            };
            let owner = match known.iter().find(is_it) {
                Some(known) => known.owner.clone(),
                None => shared.owners().describe(participants, owner),
            };
            recovery.add(bucket, owner, action);
        });
    }
    recovery.reclaimed = shared.owners().reclaim_dead(participants);
    Ok(recovery)
}

fn recover_bucket<S: Shape>(
    table: &Table<'_, S>,
    writer: &Writer<'_, Store>,
    bucket: u64,
    timeout: &mut Deadline,
    mut report: impl FnMut(Token, RecoveryAction),
) {
    let lock = table.bucket(bucket).lock_word();
    let mut tries = 0;
    loop {
        let found = LockWord(lock.load(Ordering::Relaxed));
        let Some(owner) = found.owner() else { return };
        tries += 1;
        if writer.liveness(owner) == Liveness::Dead {
            match table.take_over(writer, bucket, found) {
                Takeover::Released => return report(owner, RecoveryAction::Released),
                Takeover::Deduplicated(KeyHash(key_hash)) => {
                    report(owner, RecoveryAction::Deduplicated { key_hash });
                    // More than a bucket has slots is not what dead processes have left.
                    if tries >= MAX_TRIES {
                        return report(owner, RecoveryAction::Postponed);
                    }
                }
                Takeover::NotYet
                    if tries >= MAX_TRIES || (tries >= SPINNING_TRIES && timeout.passed()) =>
                {
                    return report(owner, RecoveryAction::Postponed);
                }
                Takeover::NotYet => pause(tries),
            }
        // The owner works, or somebody who takes over: that is over in a moment.
        } else if tries < MAX_TRIES && !timeout.passed() {
            pause(tries);
        } else {
            return report(owner, RecoveryAction::LeftToOwner);
        }
    }
}

/// Waits for somebody who needs nanoseconds, or, if it was descheduled, milliseconds.
fn pause(tries: u32) {
    if tries < SPINNING_TRIES {
        (0..LOCK_SPINS).for_each(|_| spin_hint());
    } else {
        std::thread::sleep(Duration::from_micros(100));
    }
}

impl fmt::Display for RecoveryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("lock released"),
            Self::Deduplicated { key_hash } => {
                write!(
                    f,
                    "second copy of the entry with hash {key_hash:#018x} removed"
                )
            }
            Self::LeftToOwner => f.write_str("left alone"),
            Self::Postponed => f.write_str("not now: a live process holds what is needed"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bucket,
            owner,
            action,
        } = self;
        write!(f, "bucket {bucket}, locked by {owner}: {action}")
    }
}

/// A line of counts, then a line for each finding and each dead writer.
impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} buckets: {} locks of dead writers released, {} entries in two buckets repaired, \
             {} postponed, {} locked by live processes; {} slots of dead writers freed",
            self.buckets,
            self.released,
            self.deduplicated,
            self.postponed,
            self.busy,
            self.reclaimed.len()
        )?;
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        for dead in &self.reclaimed {
            write!(f, "\nslot freed: {}", dead.owner)?;
        }
        for dead in &self.assumed_dead {
            write!(f, "\nslot freed by force: {}", dead.owner)?;
        }
        Ok(())
    }
}
