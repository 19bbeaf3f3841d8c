//! Taking a bucket over from a dead owner.
//!
//! A dead writer leaves nothing half done that anyone could see, with one exception: a
//! displacement that died between its two publications leaves one key in two buckets, with
//! the same value, both locked by the dead. As long as either lock stands, nobody can change
//! either copy; so the second copy must go before the *first* of the two locks does.
//!
//! Whoever meets the lock of a dead owner, holding no lock himself:
//!
//! 1. looks, for each entry of the bucket, into the entry's other bucket, whoever may hold
//!    that one (a first taker may have died here too, so the two locks may carry different
//!    tokens of dead processes);
//! 2. if a key is in both: locks both in the order of their index, taking over from the
//!    dead, looks again, removes the copy that is away from home, and gives each lock that was
//!    a dead owner's *back to the dead*;
//! 3. if none is: exchanges exactly the dead word for his own and lets go.
//!
//! Then the interrupted operation starts anew. Two takers that meet here cannot wait for
//! each other, since neither waits while he holds a lock; nor can each remove his copy,
//! since both look again under both locks. If the compare-exchange of step 3 fails, somebody
//! else was faster: fine as well.
//!
//! Step 3 is the only place where a lock of the dead becomes free. Step 2 may have the first
//! lock and not get the second (a waiter raised the flag in the word between look and exchange, or
//! the owner there is not provably dead), and the lock that it got may be that of another dead
//! owner, who left another entry twice. If it let go of such a lock, somebody could remove
//! a key whose second copy then came back. Giving back changes nothing for those who have just
//! looked: all that a taker ever does to a bucket of the dead is to remove a second copy.

use crate::liveness::token::{LockWord, Verdict};
use crate::protocol::bucket::{Locked, Search};
use crate::protocol::hash::Hashed;
use crate::protocol::shape::Shape;
use crate::protocol::table::{Probe, Table, Who, Writer};
use crate::sys::copy::Buffer;
use crate::sys::sync::LOCK_SPINS;

/// What a burial did, for those who report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burial {
    /// The lock was taken from the dead and released.
    Released,
    /// A second copy of an entry was removed; the lock is still to be looked at.
    Deduplicated(Hashed),
    /// Somebody else got there first, or the neighbourhood is busy: look again.
    NotYet,
}

impl<'a, S: Shape> Table<'a, S> {
    /// Takes the lock word `dead` of a provably dead owner away from `bucket`, one step.
    /// The caller holds nothing.
    pub(crate) fn bury<W: Who>(
        &self,
        writer: &Writer<'_, W>,
        bucket: u64,
        dead: LockWord,
    ) -> Burial {
        let mut buffer = self.shape().key_buffer();
        let view = self.bucket(bucket);
        // Nobody but the takers of this very lock can change the bucket, so the state and
        // the keys stand still; if they do not, the exchange below fails.
        for slot in view.begin().occupied() {
            let key = view.load_key(slot, buffer.words());
            let hash = self.hash_of(key);
            let Some(mate) = self.mate(hash, bucket) else {
                continue;
            };
            match self.search_bucket(mate, hash.tag(), key) {
                Some(Search::Absent) => {}
                Some(Search::Found(_)) => {
                    let key = Probe { hash, words: key };
                    return if self.remove_second_copy(writer, key) {
                        Burial::Deduplicated(hash)
                    } else {
                        Burial::NotYet
                    };
                }
                None => return Burial::NotYet,
            }
        }
        match view.take_over(dead, writer.token()) {
            Some(locked) => {
                drop(locked);
                Burial::Released
            }
            None => Burial::NotYet,
        }
    }

    /// Removes the copy of `key` that is away from home, if there really are two.
    fn remove_second_copy<W: Who>(&self, writer: &Writer<'_, W>, key: Probe<'_>) -> bool {
        let home = key.hash.home(self.buckets());
        let other = key.hash.other(self.buckets());
        let Some(first) = self.lock_or_take(writer, home.min(other)) else {
            return false;
        };
        let Some(second) = self.lock_or_take(writer, home.max(other)) else {
            first.end();
            return false;
        };
        let (home, other) = if home < other {
            (&first.lock, &second.lock)
        } else {
            (&second.lock, &first.lock)
        };
        let tag = key.hash.tag();
        let found = (home.search(tag, key.words), other.search(tag, key.words));
        let is_twice = if let (Search::Found(_), Search::Found(slot)) = found {
            other.publish(other.state().occupied().without(slot));
            // Exact in both directions: a move away from home had raised the count before it
            // died, and for a move back home the key was counted all along.
            home.lower_away(key.hash.class());
            true
        } else {
            false
        };
        second.end();
        first.end();
        is_twice
    }

    /// The lock of a bucket that is free, or whose owner is dead.
    fn lock_or_take<W: Who>(&self, writer: &Writer<'_, W>, bucket: u64) -> Option<Custody<'a, S>> {
        match self.bucket(bucket).try_lock(writer.token(), LOCK_SPINS) {
            Ok(lock) => Some(Custody { lock, dead: None }),
            Err(found) if writer.verdict(found.owner()?) == Verdict::Dead => {
                let lock = self.bucket(bucket).take_over(found, writer.token())?;
                let dead = Some(found);
                Some(Custody { lock, dead })
            }
            Err(_) => None,
        }
    }
}

/// A lock that is held during a repair.
struct Custody<'a, S: Shape> {
    lock: Locked<'a, S>,
    /// The word of the dead owner from whom it was taken, if it was not free.
    dead: Option<LockWord>,
}

impl<S: Shape> Custody<'_, S> {
    /// Leaves the lock as it was found.
    fn end(self) {
        match self.dead {
            Some(dead) => self.lock.give_back(dead),
            None => drop(self.lock),
        }
    }
}
