//! What a cache keeps beside a value.
//!
//! ```text
//!  word 0   63           44 43               4 3      0
//!          ┌───────────────┬──────────────────┬────────┐
//!          │ epoch         │ deadline, ms     │ flags  │
//!          └───────────────┴──────────────────┴────────┘
//!  word 1   when it was last asked for, ms     only in a cache with a time to idle
//! ```
//!
//! A deadline of zero is none. Times are milliseconds of the cache's clock (module `clock`). An
//! entry of another epoch than the cache's was invalidated. The cache's own word has its epoch in the
//! same place and nothing else, so that most entries are told by one comparison: those that only
//! say of which epoch they are. Flag 0 marks a negative entry: the value is zeros and means
//! nothing.
//!
//! The words are those of an entry: they are written, published and confirmed with its value.
//! Only word 1 is refreshed in place, by one store under the bucket's lock. They may hold any bits,
//! if another process wants them to, and so may the cache's word; then an entry lives too long or too
//! short, or a negative one, has a value of zeros.

/// Most words that a slot has for this.
pub(crate) const MAX_META_WORDS: usize = 2;

/// The latest time that can be written down: 34 years after the clock began.
pub(crate) const MAX_TICKS: u64 = (1 << 40) - 1;

/// Epochs that can be told apart.
pub(crate) const EPOCHS: u64 = 1 << (u64::BITS - EPOCH_SHIFT);
/// What is added to an epoch to have the next; after the last comes the first.
pub(crate) const NEXT_EPOCH: u64 = 1 << EPOCH_SHIFT;

const EPOCH_SHIFT: u32 = 44;
const DEADLINE_SHIFT: u32 = 4;
const NEGATIVE: u64 = 1;

/// The number of an epoch, below [`EPOCHS`].
pub(crate) fn epoch_number(epoch: u64) -> u64 {
    epoch >> EPOCH_SHIFT
}

/// Word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta(pub(crate) u64);

impl Meta {
    /// An entry of this epoch that ends at `deadline`; never, if that is zero.
    #[inline]
    pub(crate) fn new(deadline: u64, epoch: u64, is_negative: bool) -> Self {
        let deadline = deadline.min(MAX_TICKS) << DEADLINE_SHIFT;
        let epoch = epoch >> EPOCH_SHIFT << EPOCH_SHIFT;
        Self(epoch | deadline | if is_negative { NEGATIVE } else { 0 })
    }

    /// When it ends; zero if never.
    #[inline(always)]
    pub(crate) fn deadline(self) -> u64 {
        self.0 >> DEADLINE_SHIFT & MAX_TICKS
    }

    /// Whether it is of this epoch.
    #[inline(always)]
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        (self.0 ^ epoch) >> EPOCH_SHIFT == 0
    }

    /// Whether it is of this epoch, never ends by itself, and has a value.
    #[inline(always)]
    pub(crate) fn says_nothing_but(self, epoch: u64) -> bool {
        self.0 == epoch
    }

    /// Whether it is negative.
    #[inline(always)]
    pub(crate) fn is_negative(self) -> bool {
        self.0 & NEGATIVE != 0
    }

    /// When it ends, `idle` milliseconds (if not zero) after it was last asked for included;
    /// zero if never.
    #[inline(always)]
    pub(crate) fn end(self, accessed: u64, idle: u64) -> u64 {
        if idle == 0 {
            return self.deadline();
        }
        let idles = accessed.saturating_add(idle).max(1);
        match self.deadline() {
            0 => idles,
            deadline => deadline.min(idles),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_what_was_put_into_them() {
        for deadline in [0, 1, 77, MAX_TICKS] {
            for epoch in [0, 1, EPOCHS - 1].map(|number| number * NEXT_EPOCH) {
                let next = epoch.wrapping_add(NEXT_EPOCH);
                for is_negative in [false, true] {
                    let meta = Meta::new(deadline, epoch, is_negative);
                    assert_eq!(meta.deadline(), deadline);
                    assert!(meta.is_of(epoch) && meta.is_of(epoch | 5));
                    assert!(!meta.is_of(next));
                    assert_eq!(meta.is_negative(), is_negative);
                    let is_plain = deadline == 0 && !is_negative;
                    assert_eq!(meta.says_nothing_but(epoch), is_plain);
                    assert!(!meta.says_nothing_but(next));
                }
            }
        }
        assert_eq!(Meta::new(u64::MAX, 0, false).deadline(), MAX_TICKS);
    }

    #[test]
    fn the_earlier_of_both_limits_counts() {
        assert_eq!(Meta::new(0, 0, false).end(5, 0), 0);
        assert_eq!(Meta::new(0, 0, false).end(5, 10), 15);
        assert_eq!(Meta::new(9, 0, false).end(5, 10), 9);
        assert_eq!(Meta::new(20, 0, false).end(5, 10), 15);
        assert_eq!(Meta::new(20, 0, false).end(u64::MAX, 10), 20);
    }
}
