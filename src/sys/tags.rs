//! Comparing a key's tag with the sixteen tags of a bucket at once.
//!
//! One byte a slot, packed into two words (which byte of a key's four: [`Tag`]). On x86-64 one SSE2 comparison does it, straight from
//! the segment; everywhere else eight bytes are compared inside one 64-bit word ("SWAR", Knuth,
//! "The Art of Computer Programming" 7.1.3). Both give the same answer, which a test checks.
//!
//! The words may change while they are compared; the caller finds out afterwards. So the vector
//! load is written in assembly, for the reasons that [`crate::sys::copy`] gives.

use crate::sys::sync::{AtomicU64, atomics_are_words};

/// The fingerprint of a key: four bytes, of which slot `i` of a bucket keeps number `i % 4`.
///
/// One byte for all slots would have to be spread over sixteen places before each comparison,
/// which takes two more instructions than spreading four, and is no better a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) u32);

impl Tag {
    /// The byte that an entry has in the slot of this number.
    #[inline(always)]
    pub(crate) fn in_slot(self, slot: usize) -> u8 {
        (self.0 >> (slot % 4 * 8)) as u8
    }
}

/// A bit for each slot that has the tag of this key. The tags of a bucket are two words, of which
/// `AT` is the first. Each is loaded once, relaxed.
///
/// # Panics
/// If there are no such words.
#[inline(always)]
pub(crate) fn matches<const AT: usize>(words: &[AtomicU64], tag: Tag) -> u16 {
    if atomics_are_words() {
        imp::matches::<AT>(words, tag)
    } else {
        portable::matches::<AT>(words, tag)
    }
}

#[cfg(all(target_arch = "x86_64", not(shmkv_portable_copy)))]
mod imp {
    use core::arch::asm;
    use core::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi32};

    use super::{AtomicU64, Tag};

    #[inline(always)]
    pub(super) fn matches<const AT: usize>(words: &[AtomicU64], tag: Tag) -> u16 {
        assert!(words.len() >= AT + 2, "a bucket has a header");
        let tags: __m128i;
        // SAFETY: the block reads the 16 bytes of the words `AT` and `AT + 1`, which there are,
        // each aligned 64-bit lane by one access, and touches nothing else. The intrinsics need
        // SSE2, which every x86-64 processor has.
        #[expect(unsafe_code, reason = "inline assembly and vector intrinsics")]
        unsafe {
            asm!(
                // With the place of the tags in the instruction, which spares computing it.
                "movdqu {tags}, [{words} + {at}]",
                tags = out(xmm_reg) tags,
                words = in(reg) words.as_ptr(),
                at = const AT * 8,
                options(readonly, nostack, preserves_flags),
            );
            _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi32(tag.0 as i32))) as u16
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(shmkv_portable_copy))))]
mod imp {
    pub(super) use super::portable::matches;
}

mod portable {
    use super::{AtomicU64, Tag};
    use crate::sys::sync::Ordering;

    const LOW: u64 = 0x0101_0101_0101_0101;

    #[inline(always)]
    pub(super) fn matches<const AT: usize>(words: &[AtomicU64], tag: Tag) -> u16 {
        let [low, high] =
            [&words[AT], &words[AT + 1]].map(|word| in_word(word.load(Ordering::Relaxed), tag));
        u16::from(low) | u16::from(high) << 8
    }

    /// Bit `i` is set if byte `i` of `word` equals byte `i % 4` of `tag`.
    #[inline(always)]
    fn in_word(word: u64, tag: Tag) -> u8 {
        let difference = word ^ (u64::from(tag.0) << 32 | u64::from(tag.0));
        // The top bit of each byte that is zero, exactly: no carry crosses a byte.
        let zero = !(((difference & (LOW * 0x7F)) + LOW * 0x7F) | difference) & (LOW * 0x80);
        // Gather the eight top bits into one byte.
        ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Tag;

    fn one_by_one(words: [u64; 2], tag: Tag) -> u16 {
        let mut found = 0;
        for slot in 0..16 {
            if (words[slot / 8] >> (slot % 8 * 8)) as u8 == tag.in_slot(slot) {
                found |= 1 << slot;
            }
        }
        found
    }

    proptest! {
        #[test]
        fn vector_and_portable_comparison_agree_with_one_by_one(
            words: [u64; 2], tag: u32, copies in 0u16..=u16::MAX,
        ) {
            let (mut words, tag) = (words, Tag(tag));
            for slot in (0..16).filter(|slot| copies >> slot & 1 == 1) {
                let shift = slot % 8 * 8;
                words[slot / 8] = words[slot / 8] & !(0xFF << shift) | u64::from(tag.in_slot(slot)) << shift;
            }
            let expected = one_by_one(words, tag);
            // Others before and behind, which do not count.
            let words = [!words[0], !words[1], words[0], words[1], !words[0]];
            let words = words.map(crate::sys::sync::AtomicU64::new);
            prop_assert_eq!(super::matches::<2>(&words, tag), expected);
            prop_assert_eq!(super::portable::matches::<2>(&words, tag), expected);
        }
    }
}
