//! Words of a mapping, one by one: what is neither a load nor a store.

use core::sync::atomic::AtomicU32;

use crate::sys::atomic::AtomicU64;

/// The low 32 bits of a word, for the kernel to sleep on.
///
/// The reference must be handed to the futex call only: our own code never loads
/// or stores through it, so accesses of two widths never race in our program.
pub(crate) fn low_half(word: &AtomicU64) -> &AtomicU32 {
    let base = std::ptr::from_ref(word).cast::<AtomicU32>();
    let low = if cfg!(target_endian = "little") {
        base
    } else {
        base.wrapping_add(1)
    };
    // SAFETY: both halves of an `AtomicU64` are aligned, initialised and live as long
    // as `word` does; all accesses to shared words are atomic.
    #[expect(unsafe_code, reason = "futexes are 32 bits wide, our words are 64")]
    unsafe {
        &*low
    }
}

/// Which of `words` is `word`, if it is one of them.
#[cfg(any(test, fuzzing))]
pub(crate) fn index_of(words: &[AtomicU64], word: &AtomicU64) -> Option<usize> {
    let distance = std::ptr::from_ref(word)
        .addr()
        .checked_sub(words.as_ptr().addr())?;
    Some(distance / size_of::<AtomicU64>()).filter(|index| *index < words.len())
}

/// Asks the processor to bring the line of `word` near.
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64) {
    prefetch_at::<0>(std::slice::from_ref(word), 0);
}

/// Asks the processor to bring the line of the word `OFFSET + index` of `words` near.
#[inline(always)]
pub(crate) fn prefetch_at<const OFFSET: usize>(words: &[AtomicU64], index: usize) {
    // In assembly, because the compiler was seen to drop the intrinsic, and to compute the
    // address in three instructions where one addressing mode does it.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing that the program could observe, at any
    // address, inside the mapping or not; it is part of SSE, which every x86-64 processor has.
    #[expect(unsafe_code, reason = "inline assembly")]
    unsafe {
        core::arch::asm!(
            "prefetcht0 [{words} + {index} * 8 + {offset}]",
            words = in(reg) words.as_ptr(),
            index = in(reg) index,
            offset = const OFFSET * 8,
            options(readonly, nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (words, index);
}
