//! Times, counted in classes that are at most a sixteenth wide.

/// Times from here on (a second or so) share the last class.
const LONGEST_NS: u64 = (1 << 30) - 1;

/// Classes that there are.
pub(crate) const CLASSES: u16 = class(LONGEST_NS) + 1;

/// The class of a time: exact below 16, then sixteen of them for each doubling.
pub(crate) const fn class(ns: u64) -> u16 {
    let ns = if ns < LONGEST_NS { ns } else { LONGEST_NS };
    if ns < 16 {
        return ns as u16;
    }
    let doublings = 59 - ns.leading_zeros();
    // The four bits below the highest one.
    (16 * (doublings + 1)) as u16 + ((ns >> doublings) & 15) as u16
}

/// The longest time of a class.
const fn longest(class: u16) -> u64 {
    if class < 16 {
        return class as u64;
    }
    let doublings = class / 16 - 1;
    (((16 + class % 16 + 1) as u64) << doublings) - 1
}

/// How many times fell into each class.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; CLASSES.into()],
        }
    }

    pub(crate) fn add(&mut self, class: u16, count: u64) {
        if let Some(sum) = self.counts.get_mut(usize::from(class)) {
            *sum += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// The time that a fraction of all stays within, rounded up to that of its class.
    pub(crate) fn quantile(&self, fraction: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        // Counts far below 2^53.
        let rank = ((total as f64 * fraction).ceil() as u64).max(1);
        let mut below = 0;
        (0..CLASSES)
            .zip(&self.counts)
            .find(|(_, count)| {
                below += **count;
                below >= rank
            })
            .map(|(class, _)| longest(class))
    }
}

const _: () = {
    assert!(class(15) == 15 && class(16) == 16 && class(31) == 31 && class(32) == 32);
    assert!(class(33) == 32 && class(34) == 33 && class(u64::MAX) == CLASSES - 1);
};
