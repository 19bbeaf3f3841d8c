//! Copying words between a segment and private memory.
//!
//! A value may be rewritten while we copy it (the caller finds out afterwards and throws
//! the copy out), so `memcpy` would be a data race, which is undefined behaviour. The
//! portable copy is a loop of relaxed 64-bit loads. For long values that loop costs three
//! times a `memcpy`, because the compiler may not merge atomic accesses; so on x86-64 the
//! long copies are written in assembly, which is outside the compiler's reach: each aligned
//! 64-bit lane of a vector load or store is a single access on every x86-64 processor, so
//! the block does what the portable loop does, in another order, and relaxed accesses to
//! different words have none. (So it is with vectors of 256 bits, which some processors access in
//! two halves.) Sanitizers cannot see through assembly and get the loop.

use core::mem::MaybeUninit;

use crate::sys::sync::{AtomicU64, Ordering, atomics_are_words};

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
    let done = match atomics_are_words() && to.len() >= VECTOR_WORDS {
        true => vector::load(from, to),
        false => 0,
    };
    for (word, to) in from[done..].iter().zip(&mut to[done..]) {
        to.write(word.load(Ordering::Relaxed));
    }
    // SAFETY: `to` has as many words as `from`; the vectors wrote the first `done` of them, the
    // loop the rest.
    #[expect(unsafe_code, reason = "the words were just initialised")]
    unsafe {
        to.assume_init_mut()
    }
}

/// Private memory for a copy that may or may not come about.
pub(crate) struct CopyBuf<'t> {
    words: &'t mut [MaybeUninit<u64>],
    /// Whether all of `words` were written.
    filled: bool,
}

impl<'t> CopyBuf<'t> {
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

/// Private memory for words that are about to be copied out of a segment.
pub(crate) trait Buffer {
    /// All of it.
    fn words(&mut self) -> &mut [MaybeUninit<u64>];
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
    let done = match atomics_are_words() && from.len() >= VECTOR_WORDS {
        true => vector::store(from, to),
        false => 0,
    };
    for (from, word) in from[done..].iter().zip(&to[done..]) {
        word.store(*from, Ordering::Relaxed);
    }
}

#[cfg(all(target_arch = "x86_64", not(shmkv_portable_copy)))]
mod vector {
    use super::{AtomicU64, MaybeUninit};
    use core::arch::asm;
    use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

    /// Words that one turn of the loop moves.
    const STEP: usize = 8;
    /// The same of the loop for long copies.
    const LONG_STEP: usize = 16;
    /// Copies of so many words are long: too many for the registers, so that they had better be moved by
    /// wider ones, in a loop and by a call.
    const LONG: usize = 32;

    /// Turns of the loop for long copies that belong to a copy of so many words: none if it is short,
    /// or the processor has no wide registers.
    #[inline(always)]
    fn long_turns(words: usize) -> usize {
        match words >= LONG && std::arch::is_x86_feature_detected!("avx") {
            true => words / LONG_STEP,
            false => 0,
        }
    }

    /// Moves `turns` times 128 bytes.
    ///
    /// # Safety
    /// There are as many, at both addresses, of which the one is not part of the other; what is in
    /// a segment is only accessed as atomics; and the processor has AVX.
    #[inline(never)]
    #[expect(unsafe_code, reason = "inline assembly")]
    unsafe fn move_long(source: *const u64, target: *mut u64, turns: usize) {
        // SAFETY: the caller vouches for the memory and the processor. Each aligned 64-bit lane is
        // accessed once (see the module's head); `vmovups` asks for no alignment. What code of the
        // compiler's has in the upper halves of registers is lost by `vzeroupper`, which is
        // within what may be lost in a call of C.
        unsafe {
            asm!(
                "test rcx, rcx",
                "jz 3f",
                "2:",
                "vmovups ymm0, [rsi]",
                "vmovups ymm1, [rsi + 32]",
                "vmovups ymm2, [rsi + 64]",
                "vmovups ymm3, [rsi + 96]",
                "vmovups [rdi], ymm0",
                "vmovups [rdi + 32], ymm1",
                "vmovups [rdi + 64], ymm2",
                "vmovups [rdi + 96], ymm3",
                "sub rsi, -128",
                "sub rdi, -128",
                "dec rcx",
                "jnz 2b",
                "3:",
                "vzeroupper",
                inout("rsi") source => _,
                inout("rdi") target => _,
                inout("rcx") turns => _,
                clobber_abi("C"),
                options(nostack),
            );
        }
    }

    /// Copies whole steps of 64 bytes, and says how many words that were. The rest is left to the
    /// caller, word by word, and not covered by a last step that overlaps the one before: a
    /// processor that reads the copy while it is still in its store buffer can take each piece
    /// from one store, never from two.
    ///
    /// Where the copy is not [`LONG`], only the side in the segment is accessed in assembly. The
    /// compiler sees what is stored to the private side, and can often put it where it is wanted in
    /// the end.
    #[inline(always)]
    pub(super) fn load(from: &[AtomicU64], to: &mut [MaybeUninit<u64>]) -> usize {
        let long = long_turns(from.len().min(to.len()));
        if long > 0 {
            // SAFETY: both are as long as that, and `to` is borrowed mutably; the processor was
            // asked.
            #[expect(unsafe_code, reason = "words of a segment are copied")]
            unsafe {
                move_long(from.as_ptr().cast(), to.as_mut_ptr().cast(), long);
            }
        }
        let done = long * LONG_STEP;
        let (from, to) = (&from[done..], &mut to[done..]);
        let (from, _) = from.as_chunks::<STEP>();
        let (to, _) = to.as_chunks_mut::<STEP>();
        for (from, to) in from.iter().zip(to.iter_mut()) {
            let target = to.as_mut_ptr().cast::<__m128i>();
            let source = from.as_ptr();
            // SAFETY: the chunks are 64 bytes each, which is what is read at `source` and
            // written at `target`, and do not overlap: `to` is borrowed mutably. The shared words
            // are read by single accesses to aligned 64-bit lanes (see the module's head).
            // `movups` and the intrinsic ask for no alignment, and for SSE2, which every
            // x86-64 processor has.
            #[expect(unsafe_code, reason = "inline assembly and vector intrinsics")]
            unsafe {
                let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
                asm!(
                    "movups {a}, [{source}]",
                    "movups {b}, [{source} + 16]",
                    "movups {c}, [{source} + 32]",
                    "movups {d}, [{source} + 48]",
                    source = in(reg) source,
                    a = out(xmm_reg) a,
                    b = out(xmm_reg) b,
                    c = out(xmm_reg) c,
                    d = out(xmm_reg) d,
                    options(readonly, nostack, preserves_flags),
                );
                _mm_storeu_si128(target, a);
                _mm_storeu_si128(target.add(1), b);
                _mm_storeu_si128(target.add(2), c);
                _mm_storeu_si128(target.add(3), d);
            }
        }
        done + from.len().min(to.len()) * STEP
    }

    /// As `load`, the other way round.
    #[inline(always)]
    pub(super) fn store(from: &[u64], to: &[AtomicU64]) -> usize {
        let long = long_turns(from.len().min(to.len()));
        if long > 0 {
            // SAFETY: as in `load`. Writing through a pointer that came from a shared reference is
            // allowed because `AtomicU64` has interior mutability.
            #[expect(unsafe_code, reason = "words of a segment are copied")]
            unsafe {
                move_long(from.as_ptr(), to.as_ptr().cast::<u64>().cast_mut(), long);
            }
        }
        let done = long * LONG_STEP;
        let (from, to) = (&from[done..], &to[done..]);
        let (from, _) = from.as_chunks::<STEP>();
        let (to, _) = to.as_chunks::<STEP>();
        for (from, to) in from.iter().zip(to) {
            let source = from.as_ptr().cast::<__m128i>();
            let target = to.as_ptr();
            // SAFETY: as in `load`. Writing through a pointer that came from a shared
            // reference is allowed because `AtomicU64` has interior mutability.
            #[expect(unsafe_code, reason = "inline assembly and vector intrinsics")]
            unsafe {
                asm!(
                    "movups [{target}], {a}",
                    "movups [{target} + 16], {b}",
                    "movups [{target} + 32], {c}",
                    "movups [{target} + 48], {d}",
                    target = in(reg) target,
                    a = in(xmm_reg) _mm_loadu_si128(source),
                    b = in(xmm_reg) _mm_loadu_si128(source.add(1)),
                    c = in(xmm_reg) _mm_loadu_si128(source.add(2)),
                    d = in(xmm_reg) _mm_loadu_si128(source.add(3)),
                    options(nostack, preserves_flags),
                );
            }
        }
        done + from.len().min(to.len()) * STEP
    }
}

#[cfg(not(all(target_arch = "x86_64", not(shmkv_portable_copy))))]
mod vector {
    use super::{AtomicU64, MaybeUninit};

    pub(super) fn load(_: &[AtomicU64], _: &mut [MaybeUninit<u64>]) -> usize {
        0
    }

    pub(super) fn store(_: &[u64], _: &[AtomicU64]) -> usize {
        0
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
