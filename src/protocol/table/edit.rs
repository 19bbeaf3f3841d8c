//! The loop around a write: what to do about a lock that somebody else holds.
//!
//! This is the top of the folder. Nothing below it knows of takeovers.

use super::Table;
use super::request::{Blocked, Edit, Obstacle, Outcome, Probe};
use super::takeover::Burial;
use super::writer::{Who, Writer};
use crate::liveness::token::{LockWord, Verdict};
use crate::protocol::shape::Shape;
use crate::sys::copy::Sink;
use crate::sys::sync::{Ordering, WAIT_SLICE_US, futex_wait};

impl<'a, S: Shape> Table<'a, S> {
    /// As [`edit_at_home`](Self::edit_at_home), wherever the key is and whoever is in the way.
    #[inline(never)]
    pub(crate) fn edit<W: Who>(
        &self,
        writer: &mut Writer<'_, W>,
        key: Probe<'_>,
        old: &mut Sink<'_>,
        new: &mut [u64],
        decide: &mut impl FnMut(Option<&[u64]>, &mut [u64]) -> Edit,
    ) -> Result<Outcome, Blocked> {
        loop {
            match self.try_edit(writer.token, key, old, new, decide) {
                Ok(outcome) => return Ok(outcome),
                Err(Obstacle::Blocked(blocked)) => return Err(blocked),
                Err(Obstacle::Locked { bucket, found }) => self.overcome(writer, bucket, found)?,
            }
        }
    }

    /// Does what can be done about a lock that somebody else holds: takes it from the dead,
    /// waits for the living. The caller holds nothing, and starts again afterwards.
    #[cold]
    #[inline(never)]
    pub(crate) fn overcome<W: Who>(
        &self,
        writer: &mut Writer<'_, W>,
        bucket: u64,
        found: LockWord,
    ) -> Result<(), Blocked> {
        let Some(owner) = found.owner() else {
            return match writer.is_held_up() {
                true => Err(Blocked::Busy { bucket, found }),
                false => Ok(()),
            };
        };
        match writer.verdict(owner) {
            Verdict::Dead => {
                // The dead cost no patience, unless the living are in the way, or somebody
                // forges locks of the dead without end.
                let is_over = match self.bury(writer, bucket, found) {
                    Burial::NotYet => writer.deadline.passed(),
                    Burial::Released | Burial::Deduplicated(_) => writer.is_held_up(),
                };
                if is_over {
                    return Err(Blocked::Busy { bucket, found });
                }
            }
            Verdict::Alive | Verdict::Unknowable => {
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
