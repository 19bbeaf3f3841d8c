//! Words that are rewritten between the accesses of an operation, by a schedule.

use std::fmt::Debug;

use shmkv::testing::{Handle, Words, watch};
use shmkv::{Key, Map, ReadOnlyMap, Value};

use crate::parts::Parts;
use crate::plan::{Attack, Strike, Target};
use crate::sample::Sample;
use crate::survive::{step_bound, survive};

impl Attack {
    /// Runs the operation under attack, and asserts that it ends within its stated bound.
    pub fn run<K: Key + Sample, V: Value + Sample>(
        &self,
        map: &Map<K, V>,
        reader: &ReadOnlyMap<K, V>,
        parts: Parts,
    ) {
        let bound = step_bound(self.op, map.words().step_bounds());
        let words = vec![map.words(), reader.words()];
        let attacker = Attacker::new(map.words(), parts, &self.strikes, self.again);
        attacker.watch(words, (self.op, bound), || survive(map, reader, self.op));
    }
}

/// Who strikes.
pub struct Attacker {
    words: Words,
    parts: Parts,
    strikes: Vec<Strike>,
    again: bool,
    /// The next strike, and how many accesses are left until then.
    next: usize,
    wait: u8,
    /// The word that was rewritten last, and what it had held.
    last: Option<(usize, u64)>,
}

impl Attacker {
    /// One who writes through `words`.
    pub fn new(words: Words, parts: Parts, strikes: &[Strike], again: bool) -> Self {
        let mut attacker = Self {
            words,
            parts,
            strikes: strikes[..strikes.len().min(16)].to_vec(),
            again,
            next: 0,
            wait: 0,
            last: None,
        };
        attacker.wait = attacker.pause();
        attacker
    }

    /// Strikes while `work` runs on these mappings, which must end within a bound of accesses.
    pub fn watch<T>(
        mut self,
        mappings: Vec<Words>,
        (op, bound): (impl Debug + 'static, u64),
        work: impl FnOnce() -> T,
    ) -> T {
        let mut count = 0u64;
        let before = move |index: usize| {
            count += 1;
            assert!(count <= bound, "{op:?}: more than {bound} accesses");
            self.before(index);
        };
        watch(mappings, before, work)
    }

    fn pause(&self) -> u8 {
        self.strikes.get(self.next).map_or(0, |strike| strike.pause)
    }

    fn before(&mut self, index: usize) {
        let Some(Strike { target, .. }) = self.strikes.get(self.next).copied() else {
            return;
        };
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        self.strike(target, index);
        self.next += 1;
        if self.next == self.strikes.len() && self.again {
            self.next = 0;
        }
        self.wait = self.pause();
    }

    fn strike(&mut self, target: Target, index: usize) {
        match target {
            Target::This(value) => self.write(index, value.word()),
            Target::Near(distance, value) => {
                if let Some(near) = index.checked_add_signed(distance.into()) {
                    self.write(near, value.word());
                }
            }
            Target::Line(word, value) => {
                let bucket = self.parts.bucket_around(index);
                self.write(bucket + usize::from(word % 8), value.word());
            }
            Target::Publish { commits, occupied } => {
                let bucket = self.parts.bucket_around(index);
                let version = (self.words.load(bucket) >> 16).wrapping_add(commits.into());
                self.write(bucket, version << 16 | u64::from(occupied));
            }
            Target::Restore => {
                if let Some((index, value)) = self.last.take() {
                    self.write(index, value);
                }
            }
            Target::Somewhere(scribble) => self.parts.scribble(&self.words, scribble),
        }
    }

    fn write(&mut self, index: usize, value: u64) {
        self.last = Some((index, self.words.load(index)));
        self.words.store(index, value);
    }
}
