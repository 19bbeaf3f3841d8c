//! Copying words between a segment and private memory.
//!
//! A value may be rewritten while we copy it (the caller finds out afterwards and throws
//! the copy away), so `memcpy` would be a data race, which is undefined behaviour. The
//! portable copy is a loop of relaxed 64-bit loads. For long values that loop costs three
//! times a `memcpy`, because the compiler may not merge atomic accesses; so on x86-64 the
//! long copies are written in assembly, which is outside the compiler's reach: each aligned
//! 64-bit lane of a vector load or store is a single access on every x86-64 processor, so
//! the block does what the portable loop does, in another order, and relaxed accesses to
//! different words have none. Sanitizers cannot see through assembly and get the loop.

use core::mem::MaybeUninit;

use crate::sync::{AtomicU64, Ordering, atomics_are_words};

/// Copies shorter than this are done word by word: the loop unrolls, and for so few words
/// it is as fast as vectors.
const VECTOR_WORDS: usize = 8;

/// Loads `from` into `to`, each word once, relaxed, in any order.
///
/// # Panics
/// If `to` is not as long as `from`: a bug of ours, both lengths are private.
#[inline(always)]
pub(crate) fn load<'t>(from: &[AtomicU64], to: &'t mut [MaybeUninit<u64>]) -> &'t mut [u64] {
    assert_eq!(from.len(), to.len());
    if !atomics_are_words() || to.len() < VECTOR_WORDS || !vector::load(from, to) {
        for (word, to) in from.iter().zip(to.iter_mut()) {
            to.write(word.load(Ordering::Relaxed));
        }
    }
    // SAFETY: `to` has as many words as `from`, and either copy wrote every one of them.
    #[expect(unsafe_code, reason = "the words were just initialised")]
    unsafe {
        to.assume_init_mut()
    }
}

/// Private memory for a copy that may or may not come about.
pub(crate) struct Sink<'t> {
    words: &'t mut [MaybeUninit<u64>],
    /// Whether all of `words` were written.
    filled: bool,
}

impl<'t> Sink<'t> {
    #[inline(always)]
    pub(crate) fn new(words: &'t mut [MaybeUninit<u64>]) -> Self {
        Self {
            words,
            filled: false,
        }
    }

    /// Loads `from`, which is as long as the sink, as [`load`] does.
    #[inline(always)]
    pub(crate) fn load(&mut self, from: &[AtomicU64]) -> &[u64] {
        load(from, self.words);
        self.filled = true;
        self.words()
    }

    /// What was loaded last.
    ///
    /// # Panics
    /// If nothing was.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[u64] {
        assert!(self.filled, "nothing was copied yet");
        // SAFETY: `filled` is only set after `load` has initialised every word.
        #[expect(unsafe_code, reason = "the words are initialised")]
        unsafe {
            self.words.assume_init_ref()
        }
    }
}

/// Loads `from` behind what `to` holds already.
pub(crate) fn append(from: &[AtomicU64], to: &mut Vec<u64>) {
    to.reserve(from.len());
    let new = load(from, &mut to.spare_capacity_mut()[..from.len()]).len();
    let len = to.len() + new;
    // SAFETY: `load` has initialised the `new` words behind the old length, and there is room
    // for them.
    #[expect(unsafe_code, reason = "the words were just initialised")]
    unsafe {
        to.set_len(len);
    }
}

/// Stores `from` into `to`, each word once, relaxed, in any order.
///
/// # Panics
/// If `to` is not as long as `from`: a bug of ours, both lengths are private.
#[inline(always)]
pub(crate) fn store(from: &[u64], to: &[AtomicU64]) {
    assert_eq!(from.len(), to.len());
    if atomics_are_words() && from.len() >= VECTOR_WORDS && vector::store(from, to) {
        return;
    }
    for (from, word) in from.iter().zip(to) {
        word.store(*from, Ordering::Relaxed);
    }
}

#[cfg(all(target_arch = "x86_64", not(shmkv_portable_copy)))]
mod vector {
    use super::{AtomicU64, MaybeUninit};
    use core::arch::asm;

    /// Words that one turn of the loop moves.
    const STEP: usize = 8;

    /// Copies all words and says so, in steps of 64 bytes and a last one that overlaps.
    #[inline(always)]
    pub(super) fn load(from: &[AtomicU64], to: &mut [MaybeUninit<u64>]) -> bool {
        let words = from.len().min(to.len());
        if words < STEP {
            return false;
        }
        let (source, target) = (from.as_ptr().cast::<u64>(), to.as_mut_ptr().cast::<u64>());
        for start in steps(words) {
            // SAFETY: `steps` yields starts with `start + STEP <= words`, so the block
            // reads 64 bytes inside `from` and writes 64 bytes inside `to`, which we
            // borrow mutably. The shared words are read by single accesses to aligned
            // 64-bit lanes (see the module's head). `movups` asks for no alignment.
            #[expect(unsafe_code, reason = "inline assembly")]
            unsafe {
                move_64_bytes(source.add(start), target.add(start));
            }
        }
        true
    }

    /// As `load`, the other way round.
    #[inline(always)]
    pub(super) fn store(from: &[u64], to: &[AtomicU64]) -> bool {
        let words = from.len().min(to.len());
        if words < STEP {
            return false;
        }
        let (source, target) = (from.as_ptr(), to.as_ptr().cast::<u64>().cast_mut());
        for start in steps(words) {
            // SAFETY: as in `load`. Writing through a pointer that came from a shared
            // reference is allowed because `AtomicU64` has interior mutability.
            #[expect(unsafe_code, reason = "inline assembly")]
            unsafe {
                move_64_bytes(source.add(start), target.add(start));
            }
        }
        true
    }

    /// Where each block of `STEP` words starts: side by side, the last one flush with the end.
    #[inline(always)]
    fn steps(words: usize) -> impl Iterator<Item = usize> {
        let last = words - STEP;
        (0..words.div_ceil(STEP)).map(move |step| (step * STEP).min(last))
    }

    /// Moves eight words with four unaligned vector loads and stores.
    ///
    /// # Safety
    /// 64 bytes are readable at `from` and writable at `to`, and they do not overlap.
    #[inline(always)]
    #[expect(unsafe_code, reason = "inline assembly")]
    unsafe fn move_64_bytes(from: *const u64, to: *mut u64) {
        // SAFETY: the caller vouches for both ranges; four xmm registers are declared as
        // clobbered; the flags and the stack are not touched.
        unsafe {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                from = in(reg) from,
                to = in(reg) to,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(shmkv_portable_copy))))]
mod vector {
    use super::{AtomicU64, MaybeUninit};

    pub(super) fn load(_: &[AtomicU64], _: &mut [MaybeUninit<u64>]) -> bool {
        false
    }

    pub(super) fn store(_: &[u64], _: &[AtomicU64]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole_and_nothing_beyond_it() {
        for words in 0..80 {
            let shared: Vec<AtomicU64> = (0..words + 2).map(|_| AtomicU64::new(7)).collect();
            let private: Vec<u64> = (0..words as u64)
                .map(|i| i.wrapping_mul(0x0123_4567_89AB_CDEF) + 1)
                .collect();
            store(&private, &shared[1..=words]);
            assert_eq!(shared[0].load(Ordering::Relaxed), 7);
            assert_eq!(shared[words + 1].load(Ordering::Relaxed), 7);
            let mut back = vec![MaybeUninit::new(9); words + 2];
            assert_eq!(load(&shared[1..=words], &mut back[1..=words]), private);
            for beyond in [0, words + 1] {
                // SAFETY: initialised two lines above.
                #[expect(unsafe_code, reason = "looking at a guard word")]
                let guard = unsafe { back[beyond].assume_init() };
                assert_eq!(guard, 9);
            }
        }
    }
}
