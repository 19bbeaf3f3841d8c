//! From what became of entries to what an age class is worth.
//!
//! An entry of some class that reaches a level is hit there, or evicted there, or moves on. The hits
//! over those who reached it, by the ticks that they spent there, are the *hazard* of a hit in
//! one tick. Evictions end an observation and say nothing else about it.
//!
//! What an entry is worth is the most hits a tick that it can bring if it is given up after the
//! best number of further levels: the maximum over all horizons of expected hits until then by expected ticks
//! until then. A hit counts for more than one if entries of the next class usually bring
//! further ones.
//!
//! Levels that few have reached are estimated with the hazard of the level before, a little lowered,
//! or [`UNSEEN`] if that is more, as if [`CONFIDENCE`] observations had shown it.

use super::{AGE_CLASSES, AgeClass, CLASSES, LEVELS};

/// How many observations an assumption weighs as much as.
const CONFIDENCE: f32 = 4.0;

/// What becomes of a hazard from one level to the next, where nothing is known.
const FADING: f32 = 0.97;

/// The hazard assumed where nothing is known and no level before says more. In a cache with no
/// greater hazard than this everywhere, one request of two hundred is a hit.
const UNSEEN: f32 = 1.0 / 1024.0;

/// Ends of levels fall together with hits and evictions: on average those who reach a level have
/// seen this share of it.
const SHARE_SEEN: f32 = 0.75;

/// More hits than that are not expected of anybody.
const MOST_FURTHER_HITS: f32 = 20.0;

/// How often entries were hit, or evicted, with each age class. In any unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) hits: [f32; AGE_CLASSES],
    pub(crate) evictions: [f32; AGE_CLASSES],
}

/// All age classes, sorted by what they are worth: who has the lowest rank goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranks([u8; AGE_CLASSES]);

impl Ranks {
    /// Words that they take.
    pub(crate) const WORDS: usize = AGE_CLASSES / 8;

    /// As long as nothing is known: by level, then by class.
    pub(crate) const UNTAUGHT: Self = {
        let mut ranks = [0; AGE_CLASSES];
        let mut age_class = 0;
        while age_class < AGE_CLASSES {
            let (class, level) = (age_class / LEVELS, age_class % LEVELS);
            ranks[age_class] = ((LEVELS - 1 - level) * CLASSES + class) as u8;
            age_class += 1;
        }
        Self(ranks)
    };

    /// From words that anybody may have written. All zero, as in a new segment, means untaught.
    #[inline]
    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        if words == [0; Self::WORDS] {
            return Self::UNTAUGHT;
        }
        let mut ranks = [0; AGE_CLASSES];
        for (bytes, word) in ranks.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
        Self(ranks)
    }

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        for (word, bytes) in words.iter_mut().zip(self.0.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words
    }

    /// The rank of one past.
    #[inline(always)]
    pub(crate) fn of(&self, age_class: AgeClass) -> u8 {
        self.0[age_class.index()]
    }

    /// What the outcomes teach. Any finite, non-negative numbers will do.
    pub(crate) fn taught_by(outcomes: &Outcomes) -> Self {
        let worth = worth(outcomes);
        let mut order: [u8; AGE_CLASSES] = core::array::from_fn(|age_class| age_class as u8);
        let untaught = |age_class: u8| Self::UNTAUGHT.0[usize::from(age_class)];
        order.sort_unstable_by(|&a, &b| {
            let by_worth = worth[usize::from(a)].total_cmp(&worth[usize::from(b)]);
            by_worth.then(untaught(a).cmp(&untaught(b)))
        });
        let mut ranks = [0; AGE_CLASSES];
        for (rank, age_class) in order.into_iter().enumerate() {
            ranks[usize::from(age_class)] = rank as u8;
        }
        Self(ranks)
    }
}

/// One level of a class.
#[derive(Clone, Copy, Default)]
struct Stay {
    /// The probability of a hit before the level ends.
    hit: f32,
    /// Ticks until the hit or the end, expected.
    ticks: f32,
}

/// What each age class is worth: hits a tick.
fn worth(outcomes: &Outcomes) -> [f32; AGE_CLASSES] {
    let further = further_hits(outcomes);
    let mut worth = [0.0; AGE_CLASSES];
    for class in 0..CLASSES {
        let of_class = class * LEVELS..(class + 1) * LEVELS;
        let stays = stays(
            &outcomes.hits[of_class.clone()],
            &outcomes.evictions[of_class.clone()],
        );
        let reward = 1.0 + further[(class + 1).min(CLASSES - 1)];
        for (level, worth) in worth[of_class].iter_mut().enumerate() {
            *worth = best_rate(&stays[level..], reward);
        }
    }
    worth
}

/// Hits a tick at the best horizon.
fn best_rate(stays: &[Stay], reward: f32) -> f32 {
    let (mut best, mut still_there, mut hits, mut ticks) = (0.0f32, 1.0, 0.0, 0.0);
    for stay in stays {
        hits += still_there * stay.hit * reward;
        ticks += still_there * stay.ticks;
        still_there *= 1.0 - stay.hit;
        best = best.max(hits / ticks);
    }
    best
}

/// The levels of a class, from the outcomes at each.
fn stays(hits: &[f32], evictions: &[f32]) -> [Stay; LEVELS] {
    // How many reached a level: all whose end came there or later.
    let mut reached = [0.0; LEVELS];
    let mut sum = 0.0;
    for level in (0..LEVELS).rev() {
        sum += hits[level] + evictions[level];
        reached[level] = sum;
    }
    let all_hits: f32 = hits.iter().sum();
    let all_ticks: f32 = (reached.iter().enumerate())
        .map(|(level, reached)| reached * AgeClass::ticks(level) as f32)
        .sum();

    let mut assumed = (all_hits + 0.05) / (all_ticks + 1.0);
    core::array::from_fn(|level| {
        let ticks = AgeClass::ticks(level) as f32;
        let observed = reached[level] * ticks * SHARE_SEEN;
        let expected = CONFIDENCE * assumed.max(UNSEEN);
        let hazard = ((hits[level] + expected) / (observed + CONFIDENCE)).min(0.95);
        assumed = hazard * FADING;
        // One minus (1 - hazard) to the power of ticks, also where the hazard is next to nothing.
        let hit = -((-hazard).ln_1p() * ticks).exp_m1();
        Stay {
            hit,
            ticks: hit / hazard,
        }
    })
}

/// How many hits are to be expected of an entry that has just come into a class.
fn further_hits(outcomes: &Outcomes) -> [f32; CLASSES] {
    let chances: [f32; CLASSES] = core::array::from_fn(|class| {
        let of_class = class * LEVELS..(class + 1) * LEVELS;
        let hits: f32 = outcomes.hits[of_class.clone()].iter().sum();
        let evictions: f32 = outcomes.evictions[of_class].iter().sum();
        (hits + 0.5) / (hits + evictions + 1.0)
    });
    let mut further = [0.0; CLASSES];
    for _ in 0..CLASSES {
        for class in 0..CLASSES {
            let next = further[(class + 1).min(CLASSES - 1)];
            further[class] = (chances[class] * (1.0 + next)).min(MOST_FURTHER_HITS);
        }
    }
    further
}

#[cfg(test)]
mod tests;
