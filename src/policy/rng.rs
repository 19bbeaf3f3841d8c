//! Random bits that cost nothing to keep.

/// Bits that differ from one insertion to the next: the policy needs some that nobody has to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rng(pub(super) u64);

impl Rng {
    /// For the insertion of a key with this hash into a bucket of this version.
    #[inline(always)]
    pub(crate) fn new(hash: u64, version: u64) -> Self {
        // The finisher of SplitMix64 (Steele, Lea and Flood, 2014).
        let mut bits = hash ^ version.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self(bits ^ bits >> 31)
    }

    /// The same for the key's secondary bucket.
    #[inline(always)]
    pub(crate) fn for_the_secondary(self) -> Self {
        Self(self.0.rotate_right(8))
    }

    /// Levels below four times this one move on: all to 8, half of the time those to 12, ...
    #[inline(always)]
    pub(super) fn quarter(self) -> u32 {
        2 + (self.0 | 1 << 6).trailing_zeros()
    }

    /// Whether the choice is left to chance.
    #[inline(always)]
    pub(super) fn explores(self) -> bool {
        self.0 >> 16 & 63 == 0
    }

    /// A number below `end`, which is at most 2^16.
    #[inline(always)]
    pub(super) fn below(self, end: u32) -> u32 {
        (((self.0 >> 48) as u32) * end) >> 16
    }
}
