//! The header line of a bucket: which word is what, and the values that stand there.

/// Places in the header line.
pub(super) const STATE: usize = 0;
pub(super) const LOCK: usize = 1;
pub(super) const TAGS: usize = 2;
pub(super) const POLICY: usize = 4;
pub(super) const OVERFLOW: usize = 6;

/// The word and the shift of the counter for a class of keys.
#[inline(always)]
pub(super) fn overflow_counter(class: u32) -> (usize, u32) {
    (OVERFLOW + (class as usize >> 4 & 1), (class & 15) * 4)
}

/// The word that readers depend on: how often the bucket was published, and which slots are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(pub(super) u64);

impl State {
    /// The slots in use.
    #[inline(always)]
    pub(crate) fn occupied(self) -> SlotSet {
        SlotSet(self.0 as u16)
    }

    /// How often the bucket was published.
    pub(crate) fn version(self) -> u64 {
        self.0 >> 16
    }

    /// Whether exactly one commit separates this state from `before`, and left `slot` in use.
    #[cold]
    pub(super) fn follows_and_keeps(self, before: Self, slot: Slot) -> bool {
        let commits = (self.0 >> 16).wrapping_sub(before.0 >> 16) & ((1 << 48) - 1);
        commits == 1 && self.occupied().contains(slot)
    }

    /// The state that follows this one. The version wraps after 2^48 publications of one
    /// bucket: years of them while a single read is under way.
    #[inline(always)]
    pub(super) fn next(self, occupied: SlotSet) -> Self {
        Self((self.0 & !0xFFFF).wrapping_add(1 << 16) | u64::from(occupied.0))
    }
}

/// A place for an entry, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) u32);

impl Slot {
    #[inline(always)]
    fn bit(self) -> u16 {
        1 << (self.0 & 15)
    }

    /// Slot number `index`, of which the low four bits count.
    #[inline(always)]
    pub(crate) fn new(index: u32) -> Self {
        Self(index & 15)
    }

    /// The number, certainly below 16 (which spares bounds checks).
    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        (self.0 & 15) as usize
    }
}

/// A set of slots. Iterates from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotSet(pub(super) u16);

impl SlotSet {
    /// The set as bits, the lowest for slot 0.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(crate) fn contains(self, slot: Slot) -> bool {
        self.0 & slot.bit() != 0
    }

    #[inline(always)]
    pub(crate) fn with(self, slot: Slot) -> Self {
        Self(self.0 | slot.bit())
    }

    #[inline(always)]
    pub(crate) fn without(self, slot: Slot) -> Self {
        Self(self.0 & !slot.bit())
    }

    /// Where one more entry may go, if `usable` slots may be in use: not beyond, so that a spare
    /// slot remains.
    #[inline(always)]
    pub(crate) fn room(self, usable: u32, preferred: Self) -> Option<Slot> {
        if self.len() < usable {
            self.free(preferred)
        } else {
            None
        }
    }

    /// A slot that is not in the set, a preferred one if possible.
    #[inline(always)]
    pub(crate) fn free(self, preferred: Self) -> Option<Slot> {
        match !self.0 & preferred.0 {
            0 => self.first_free(),
            free => Some(Slot(free.trailing_zeros())),
        }
    }

    /// The lowest slot that is not in the set.
    #[inline(always)]
    pub(crate) fn first_free(self) -> Option<Slot> {
        (self.0 != u16::MAX).then(|| Slot(self.0.trailing_ones()))
    }
}

impl Iterator for SlotSet {
    type Item = Slot;

    #[inline(always)]
    fn next(&mut self) -> Option<Slot> {
        if self.0 == 0 {
            return None;
        }
        let slot = Slot(self.0.trailing_zeros());
        self.0 &= self.0 - 1;
        Some(slot)
    }
}
