//! Where the parts of a segment are, and how somebody writes into them.

use shmkv::testing::Words;

use crate::plan::Scribble;

/// Where the parts of a segment are, by the table of the format.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    participants: usize,
    moves: usize,
    buckets: usize,
    bucket_count: usize,
    bucket_words: usize,
    end: usize,
}

impl Parts {
    /// Reads them, by the table of the format and not by the library's own code, in words.
    pub fn of(words: &Words) -> Self {
        let byte = |at: usize| words.load(at / 8);
        let half = |at: usize| (byte(at) >> (at % 8 * 8) & 0xFFFF_FFFF) as usize;
        let participants = (byte(24) / 8) as usize + 512;
        let moves = participants + 8 * half(156);
        let moves_end = moves + (8 + 3 * half(160)).next_multiple_of(8);
        // What a cache has in between: leases, counters, the policy's words.
        let bucket_count = byte(136) as usize;
        let of_cache = match half(40) {
            2 => 8 * half(232) + 16 * half(236) + 512 + 2 * bucket_count,
            _ => 0,
        };
        let buckets = (moves_end + of_cache).next_multiple_of(512);
        let slot = half(144).div_ceil(8) + half(148).div_ceil(8) + half(152);
        let bucket_words = 8 + 16 * slot;
        let end = buckets + bucket_count * bucket_words;
        assert_eq!(end as u64 * 8, byte(32));
        Self {
            participants,
            moves,
            buckets,
            bucket_count,
            bucket_words,
            end,
        }
    }

    fn bucket(&self, number: u8) -> usize {
        self.buckets + usize::from(number) % self.bucket_count * self.bucket_words
    }

    /// Words of the header, schemas included.
    pub fn header(&self) -> usize {
        self.participants - 512
    }

    /// The bucket to which a word belongs, or the first one.
    pub fn bucket_around(&self, index: usize) -> usize {
        let distance = index.saturating_sub(self.buckets);
        index.max(self.buckets) - distance % self.bucket_words
    }

    /// Does it.
    pub fn scribble(&self, words: &Words, scribble: Scribble) {
        match scribble {
            Scribble::Geometry { word, value } => {
                words.store(usize::from(word) % 32, value.word());
            }
            Scribble::Store { word, value } => {
                words.store(self.header() + usize::from(word) % 32, value.word());
            }
            Scribble::Header {
                bucket,
                word,
                value,
            } => words.store(self.bucket(bucket) + usize::from(word % 8), value.word()),
            Scribble::Slot {
                bucket,
                word,
                value,
            } => {
                let slots = (self.bucket_words - 8).max(1);
                let at = 8 + usize::from(word) % slots;
                if at < self.bucket_words {
                    words.store(self.bucket(bucket) + at, value.word());
                }
            }
            Scribble::Moves { word, value } => {
                let place = usize::from(word) % (self.buckets - self.moves);
                words.store(self.moves + place, value.word());
            }
            Scribble::Participant { word, value } => {
                let place = usize::from(word) % (self.moves - self.participants);
                words.store(self.participants + place, value.word());
            }
            Scribble::LockOfTheLiving {
                bucket,
                slot,
                waiters,
            } => {
                let slot = usize::from(slot) % ((self.moves - self.participants) / 8);
                let claim = words.load(self.participants + slot * 8);
                let token = claim >> 25 << 17 | (slot as u64 + 1) << 1 | u64::from(waiters);
                words.store(self.bucket(bucket) + 1, token);
            }
            Scribble::Copy { from, to } => {
                let (from, to) = (self.bucket(from), self.bucket(to));
                for word in 0..self.bucket_words {
                    words.store(to + word, words.load(from + word));
                }
            }
            Scribble::Flip { word, bits } => {
                let place = word as usize % (self.end - self.participants);
                let index = self.participants + place;
                words.store(index, words.load(index) ^ bits);
            }
        }
    }
}
