//! Inserting into a full cache: an entry of the key's two buckets is evicted.
//!
//! A cache never has more entries than it was made for: each bucket has a limit of its own, by
//! its number, and the limits add up to the capacity. When both buckets of an absent key are at
//! their limits, and both are locked, the policy ([`crate::policy`]) names one of their
//! entries. The new entry goes into the spare slot of that bucket, and **one** store of the
//! bucket's state takes the one out and brings the other in: a reader sees either, and a
//! process that dies on the way has changed nothing or all.
//!
//! Nothing is displaced, so no entry is ever in two buckets, and a take-over has nothing to repair.
//!
//! A victim that was in its secondary bucket was counted there. That count is lowered if the lock
//! of its primary bucket can be had at once; if not, it stays too high by one, which costs misses
//! of that class a look into a second bucket. It is never too low: it is lowered after the entry is
//! gone.

use crate::liveness::token::Token;
use crate::policy::{self, Candidates, Ranks, Rng};
use crate::protocol::bucket::{BucketGuard, Slot, SlotSet};
use crate::protocol::hash::KeyHash;
use crate::protocol::replacement::{Replaced, Replacement};
use crate::protocol::shape::Shape;
use crate::protocol::table::{HashedKey, Outcome, Table};
use crate::sys::copy::Buffer;
use crate::types::metadata::Meta;

impl<'a, S: Shape> BucketGuard<'a, S> {
    /// Tells the policy of an entry that is about to be published in `slot`.
    pub(crate) fn note_insert(&self, slot: Slot, hash: KeyHash) {
        let rng = Rng::new(hash.0, self.state().version());
        let before = self.policy();
        let after = policy::inserted(self.aged(before, rng), slot.index() as u32, false);
        self.set_policy(before, after);
    }

    /// What the policy makes of the bucket at an insertion.
    fn aged(&self, words: policy::Words, rng: Rng) -> policy::Words {
        let memory = self.shape().replacement().and_then(|by| by.memory);
        policy::aged(words, self.state().occupied().bits(), rng, |age_class| {
            if let Some(memory) = memory {
                memory.estimator.hit(age_class);
            }
        })
    }

    /// Tells the policy of an entry that is about to change its slot.
    pub(crate) fn note_update(&self, from: Slot, to: Slot) {
        let before = self.policy();
        let after = policy::updated(before, from.index() as u32, to.index() as u32);
        self.set_policy(before, after);
    }
}

impl<'a, S: Shape> Table<'a, S> {
    /// Inserts a key both of whose buckets, locked, are at their limits. `None` if neither has an
    /// entry that could be evicted, which cannot be.
    #[cold]
    #[inline(never)]
    pub(crate) fn replace(
        &self,
        token: Token,
        primary: &BucketGuard<'a, S>,
        secondary: &BucketGuard<'a, S>,
        key: HashedKey<'_>,
        value: &[u64],
    ) -> Option<Outcome> {
        let shape = self.shape();
        let replacement = shape.replacement()?;
        let memory = replacement.memory;
        let pair = [primary, secondary];
        let rng = Rng::new(key.hash.0, primary.state().version());
        let before = pair.map(BucketGuard::policy);
        let mut after = [
            primary.aged(before[0], rng),
            secondary.aged(before[1], rng.for_the_secondary()),
        ];
        let candidates = [0, 1].map(|number| {
            let occupied = pair[number].state().occupied();
            Candidates {
                occupied: occupied.bits(),
                stale: self.stale(pair[number], occupied, replacement),
                words: after[number],
            }
        });
        let ranks = memory.map_or(Ranks::UNTAUGHT, |memory| memory.ranks());
        let victim = policy::victim(candidates[0], candidates[1], &ranks, rng)?;
        let chosen = usize::from(victim.is_in_secondary);
        let (bucket, slot) = (pair[chosen], Slot::new(victim.slot));
        let is_stale = candidates[chosen].stale >> victim.slot & 1 != 0;
        replacement.replaced.set(Some(match is_stale {
            true => Replaced::Stale,
            false => Replaced::ForRoom,
        }));
        if let Some(copy) = &replacement.victim {
            let mut copy = copy.borrow_mut();
            copy.clear();
            bucket.append_entry(slot, &mut copy);
        }
        let mut buffer = shape.key_buffer();
        let gone = self.hash_of(bucket.load_key(slot, buffer.words()));

        if victim.is_in_secondary {
            primary.increment_overflow(key.hash.class());
        }
        let occupied = bucket.state().occupied();
        let place = match occupied.free(bucket.preferred(key.hash.preferred_slot())) {
            Some(spare) => spare,
            None => {
                // No bucket of ours is that full. First out, then in.
                bucket.publish(occupied.without(slot));
                bucket.begin_next();
                slot
            }
        };
        let mut returned = false;
        if let Some(memory) = memory {
            memory.evicted(policy::age_class(after[chosen], victim.slot));
            let indexes = [
                key.hash.primary(self.buckets()),
                key.hash.secondary(self.buckets()),
            ];
            let ghosts = indexes.map(|index| memory.ghosts(index));
            returned = ghosts
                .iter()
                .any(|ghosts| ghosts.know(key.hash.tag().in_slot(0)));
            memory.set_ghosts(indexes[chosen], ghosts[chosen].with(gone.tag().in_slot(0)));
        }
        after[chosen] = policy::inserted(after[chosen], place.index() as u32, returned);
        for (bucket, (before, after)) in pair.iter().zip(before.into_iter().zip(after)) {
            bucket.set_policy(before, after);
        }
        bucket.fill(place, key.hash.tag(), key.words, value);
        bucket.publish(occupied.without(slot).with(place));
        self.release_overflow_count(token, key.hash, pair, chosen, gone);
        Some(Outcome::Inserted)
    }

    /// The entries of a bucket that are out of date.
    fn stale(&self, bucket: &BucketGuard<'a, S>, occupied: SlotSet, by: &Replacement<'_>) -> u16 {
        if !by.may_be_stale {
            return 0;
        }
        let shape = self.shape();
        let meta = shape.value_words() - shape.meta_words();
        occupied
            .filter(|slot| {
                let word = bucket.value_word(*slot, meta).unwrap_or(0);
                let accessed = bucket.value_word(*slot, meta + 1).unwrap_or(0);
                by.is_stale(Meta(word), accessed)
            })
            .fold(0, |stale, slot| stale | 1 << slot.index())
    }

    /// Lowers the count of keys in their secondary bucket for one that is `gone` from the bucket
    /// `pair[from]`, if it was counted and its primary bucket can be locked at once. The pair is
    /// that of the key `hash`.
    fn release_overflow_count(
        &self,
        token: Token,
        hash: KeyHash,
        pair: [&BucketGuard<'a, S>; 2],
        from: usize,
        gone: KeyHash,
    ) {
        let indexes = [hash.primary(self.buckets()), hash.secondary(self.buckets())];
        let primary = gone.primary(self.buckets());
        if gone.secondary(self.buckets()) != indexes[from] {
            return; // It was in the primary bucket, or nowhere that a writer of ours would have put it.
        }
        if primary == indexes[1 - from] {
            pair[1 - from].decrement_overflow(gone.class());
        } else if let Some(primary) = self.bucket(primary).try_lock_once(token) {
            primary.decrement_overflow(gone.class());
        }
    }
}
