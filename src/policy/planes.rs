//! Age classes, and the bit planes in which a bucket holds those of all its entries.

/// What a bucket's header remembers for the policy.
pub(crate) type Words = [u64; 2];

/// Kinds of past.
pub(super) const AGE_CLASSES: usize = CLASSES * LEVELS;
pub(super) const CLASSES: usize = 4;
pub(super) const LEVELS: usize = 32;

/// What is known of an entry: its class and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AgeClass(pub(super) u8);

impl AgeClass {
    /// Of one that has just come.
    pub(super) const NEW: Self = Self::of(0, 0);
    /// Of one that has come back.
    pub(super) const RETURNED: Self = Self::of(1, 0);

    pub(super) const fn of(class: usize, level: usize) -> Self {
        Self((class % CLASSES * LEVELS + level % LEVELS) as u8)
    }

    /// As a number below [`AGE_CLASSES`].
    #[inline(always)]
    pub(super) fn index(self) -> usize {
        usize::from(self.0) % AGE_CLASSES
    }

    /// Ticks that an entry spends at a level, on average.
    pub(super) const fn ticks(level: usize) -> u32 {
        1 << (level / 4).saturating_sub(1)
    }
}

/// The bits of all slots, one plane each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) hit: u16,
    class: [u16; 2],
    level: [u16; 5],
}

impl Planes {
    #[inline(always)]
    pub(super) fn of([first, second]: Words) -> Self {
        let plane = |word: u64, number: u32| (word >> (number * 16)) as u16;
        Self {
            hit: plane(first, 0),
            class: [plane(first, 1), plane(first, 2)],
            level: [
                plane(first, 3),
                plane(second, 0),
                plane(second, 1),
                plane(second, 2),
                plane(second, 3),
            ],
        }
    }

    #[inline(always)]
    pub(super) fn words(self) -> Words {
        let word = |planes: [u16; 4]| {
            (planes.into_iter().rev()).fold(0, |word, plane| word << 16 | u64::from(plane))
        };
        let [l0, l1, l2, l3, l4] = self.level;
        [
            word([self.hit, self.class[0], self.class[1], l0]),
            word([l1, l2, l3, l4]),
        ]
    }

    #[inline(always)]
    pub(super) fn age_class(&self, slot: u32) -> AgeClass {
        let planes = self.level.iter().chain(&self.class);
        let bits = planes.enumerate();
        AgeClass(bits.fold(0, |age_class, (bit, plane)| {
            age_class | ((plane >> (slot & 15) & 1) as u8) << bit
        }))
    }

    pub(super) fn set_age_class(&mut self, slot: u32, age_class: AgeClass) {
        let place = 1u16 << (slot & 15);
        let planes = self.level.iter_mut().chain(&mut self.class);
        for (bit, plane) in planes.enumerate() {
            match age_class.0 >> bit & 1 {
                0 => *plane &= !place,
                _ => *plane |= place,
            }
        }
    }

    /// Up a class and to level 0.
    #[inline(always)]
    pub(super) fn promote(&mut self, slots: u16) {
        let not_yet_last = slots & !(self.class[0] & self.class[1]);
        let carry = self.class[0] & not_yet_last;
        self.class[0] ^= not_yet_last;
        self.class[1] ^= carry;
        for plane in &mut self.level {
            *plane &= !slots;
        }
    }

    /// Up a level.
    #[inline(always)]
    pub(super) fn advance(&mut self, slots: u16) {
        let last = self.level.iter().fold(u16::MAX, |last, plane| last & plane);
        let mut carry = slots & !last;
        for plane in &mut self.level {
            let both = *plane & carry;
            *plane ^= carry;
            carry = both;
        }
    }

    /// The slots whose level is below four times `quarter`.
    #[inline(always)]
    pub(super) fn below(&self, quarter: u32) -> u16 {
        // Comparison from the highest bit: below as soon as the first difference says so.
        let (mut below, mut equal) = (0, u16::MAX);
        for (plane, bit) in self.level[2..].iter().zip([1, 2, 4]).rev() {
            if quarter & bit != 0 {
                below |= equal & !plane;
                equal &= plane;
            } else {
                equal &= !plane;
            }
        }
        if quarter < 8 { below } else { u16::MAX }
    }
}

/// The numbers of the slots in a set, from the lowest.
#[inline(always)]
pub(super) fn slots(mut set: u16) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let slot = (set != 0).then(|| set.trailing_zeros());
        set &= set.wrapping_sub(1);
        slot
    })
}
