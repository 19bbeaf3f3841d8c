//! The loop around a write: what to do about a lock that somebody else holds.
//!
//! This is the top of the folder. Nothing below it knows of takeovers.

use super::Table;
use super::request::{Blocked, Conflict, Edit, HashedKey, Outcome};
use super::takeover::Takeover;
use super::writer::{LivenessCheck, Writer};
use crate::liveness::token::{Liveness, LockWord};
use crate::protocol::shape::Shape;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::{Ordering, WAIT_SLICE_US, futex_wait};

impl<'a, S: Shape> Table<'a, S> {
    /// As [`edit_in_primary`](Self::edit_in_primary), wherever the key is and whoever is in the
    /// way.
    #[inline(never)]
    pub(crate) fn edit<W: LivenessCheck>(
        &self,
        writer: &mut Writer<'_, W>,
        key: HashedKey<'_>,
        old: &mut CopyBuf<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Blocked> {
        loop {
            let conflict = match self.try_edit(writer.token, key, old, new, decide) {
                Ok(outcome) => return Ok(outcome),
                Err(Conflict::Blocked(Blocked::Full)) => {
                    match self.make_room(writer.token, key.hash) {
                        // As after a lock that was free again: the next round counts.
                        Ok(()) => Conflict::Locked {
                            bucket: key.hash.primary(self.buckets()),
                            found: LockWord::FREE,
                        },
                        Err(conflict) => conflict,
                    }
                }
                Err(conflict) => conflict,
            };
            match conflict {
                Conflict::Blocked(blocked) => return Err(blocked),
                Conflict::Locked { bucket, found } => {
                    self.resolve_conflict(writer, bucket, found)?
                }
            }
        }
    }

    /// Does what can be done about a lock that somebody else holds: takes it from a dead owner,
    /// waits for live processes. The caller holds nothing, and starts again afterwards.
    #[cold]
    #[inline(never)]
    pub(crate) fn resolve_conflict<W: LivenessCheck>(
        &self,
        writer: &mut Writer<'_, W>,
        bucket: u64,
        found: LockWord,
    ) -> Result<(), Blocked> {
        let Some(owner) = found.owner() else {
            return match writer.is_out_of_rounds() {
                true => Err(Blocked::Busy { bucket, found }),
                false => Ok(()),
            };
        };
        match writer.liveness(owner) {
            Liveness::Dead => {
                // Dead owners cost no retry budget, unless live processes are in the way, or
                // somebody forges locks of dead processes without end.
                let is_over = match self.take_over(writer, bucket, found) {
                    Takeover::NotYet => writer.deadline.passed(),
                    Takeover::Released | Takeover::Deduplicated(_) => writer.is_out_of_rounds(),
                };
                if is_over {
                    return Err(Blocked::Busy { bucket, found });
                }
            }
            Liveness::Alive | Liveness::Unknown => {
                if writer.deadline.passed() {
                    return Err(Blocked::Busy { bucket, found });
                }
                let lock = self.bucket(bucket).lock_word();
                let flagged = found.with_waiters();
                // Relaxed: the flag orders nothing, it only asks for a wake-up.
                if found == flagged
                    || lock
                        .compare_exchange(found.0, flagged.0, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    futex_wait(lock, flagged.0, WAIT_SLICE_US);
                }
            }
        }
        Ok(())
    }
}
