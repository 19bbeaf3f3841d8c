//! Comparing a key's tag with the sixteen tags of a bucket at once.
//!
//! One byte a slot, packed into two words. On x86-64 a single SSE2 comparison does it;
//! everywhere else eight bytes are compared inside one 64-bit word ("SWAR", Knuth,
//! "The Art of Computer Programming" 7.1.3). Both give the same answer, which a test checks.

/// A bit for each slot whose tag equals `tag`, given the two tag words of a bucket.
#[inline(always)]
pub(crate) fn matches(words: [u64; 2], tag: u8) -> u16 {
    imp::matches(words, tag)
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};

    #[inline(always)]
    pub(super) fn matches(words: [u64; 2], tag: u8) -> u16 {
        // SAFETY: the only obligation of these intrinsics is that the processor has SSE2,
        // and every x86-64 processor has.
        #[expect(unsafe_code, reason = "vector intrinsics")]
        unsafe {
            let tags = _mm_set_epi64x(words[1] as i64, words[0] as i64);
            _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8))) as u16
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod imp {
    pub(super) use super::portable::matches;
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    const LOW: u64 = 0x0101_0101_0101_0101;

    #[inline(always)]
    pub(super) fn matches(words: [u64; 2], tag: u8) -> u16 {
        u16::from(in_word(words[0], tag)) | u16::from(in_word(words[1], tag)) << 8
    }

    /// Bit `i` is set if byte `i` of `word` equals `tag`.
    #[inline(always)]
    fn in_word(word: u64, tag: u8) -> u8 {
        let difference = word ^ (LOW * u64::from(tag));
        // The top bit of each byte that is zero, exactly: no carry crosses a byte.
        let zero = !(((difference & (LOW * 0x7F)) + LOW * 0x7F) | difference) & (LOW * 0x80);
        // Gather the eight top bits into one byte.
        ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn one_by_one(words: [u64; 2], tag: u8) -> u16 {
        let mut found = 0;
        for slot in 0..16 {
            if (words[slot / 8] >> (slot % 8 * 8)) as u8 == tag {
                found |= 1 << slot;
            }
        }
        found
    }

    proptest! {
        #[test]
        fn vector_and_portable_comparison_agree_with_one_by_one(
            words: [u64; 2], tag: u8, copies in 0u16..=u16::MAX,
        ) {
            let mut words = words;
            for slot in (0..16).filter(|slot| copies >> slot & 1 == 1) {
                let shift = slot % 8 * 8;
                words[slot / 8] = words[slot / 8] & !(0xFF << shift) | u64::from(tag) << shift;
            }
            let expected = one_by_one(words, tag);
            prop_assert_eq!(super::matches(words, tag), expected);
            prop_assert_eq!(super::portable::matches(words, tag), expected);
        }
    }
}
