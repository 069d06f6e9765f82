//! Looks at 32 bytes at once: how far plain text goes, and whether bytes are those expected.

/// Bytes that are looked at at once.
pub(super) const WINDOW: usize = 32;

/// Ways to look at a window, which all say the same.
pub(super) trait Look: Copy {
    /// A bit for each byte that is not plain text, the lowest for the first: quotes, backslashes, control
    /// characters and bytes above 127. Only the lowest bit that is set is sure.
    fn stops(self, window: &[u8; WINDOW]) -> u32;

    /// Whether the window's bits are `bits` where `mask` has any.
    fn is(self, window: &[u8; WINDOW], bits: &[u8; WINDOW], mask: &[u8; WINDOW]) -> bool;
}

/// Eight bytes at a time, as every processor can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Look for Portable {
    #[inline(always)]
    fn stops(self, window: &[u8; WINDOW]) -> u32 {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        // The high bit of each byte that is less than `limit`. Only the lowest is sure.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
        let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        for (index, word) in words(window).enumerate() {
            let stops = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | word & HIGH;
            if stops != 0 {
                return 1 << (8 * index as u32 + stops.trailing_zeros() / 8);
            }
        }
        0
    }

    #[inline(always)]
    fn is(self, window: &[u8; WINDOW], bits: &[u8; WINDOW], mask: &[u8; WINDOW]) -> bool {
        let all = words(window).zip(words(bits)).zip(words(mask));
        all.fold(0, |differing, ((word, bits), mask)| differing | (word ^ bits) & mask) == 0
    }
}

#[inline(always)]
fn words(window: &[u8; WINDOW]) -> impl Iterator<Item = u64> {
    window.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Look, WINDOW};
    use crate::instructions::Instructions;
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_testz_si256, _mm256_xor_si256,
    };

    /// All 32 bytes at once. There is one only where the processor can do that.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::json) struct Avx2(());

    impl Avx2 {
        /// One where AVX2 is to be used.
        pub(in crate::json) fn of(instructions: Instructions) -> Option<Self> {
            instructions.use_avx2().then_some(Self(()))
        }
    }

    impl Look for Avx2 {
        #[inline(always)]
        fn stops(self, window: &[u8; WINDOW]) -> u32 {
            // SAFETY: the processor was found to have the instructions.
            unsafe { stops(window) }
        }

        #[inline(always)]
        fn is(self, window: &[u8; WINDOW], bits: &[u8; WINDOW], mask: &[u8; WINDOW]) -> bool {
            // SAFETY: the processor was found to have the instructions.
            unsafe { is(window, bits, mask) }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn stops(window: &[u8; WINDOW]) -> u32 {
        let data = load(window);
        let quote = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'"' as i8));
        let backslash = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'\\' as i8));
        // Bytes above 127 are negative.
        let unusual = _mm256_cmpgt_epi8(_mm256_set1_epi8(b' ' as i8), data);
        let stops = _mm256_or_si256(_mm256_or_si256(quote, backslash), unusual);
        _mm256_movemask_epi8(stops).cast_unsigned()
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn is(window: &[u8; WINDOW], bits: &[u8; WINDOW], mask: &[u8; WINDOW]) -> bool {
        _mm256_testz_si256(_mm256_xor_si256(load(window), load(bits)), load(mask)) != 0
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(window: &[u8; WINDOW]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes that are loaded; the load may be unaligned.
        unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{array::uniform32, prelude::*};

    fn first_stop(look: impl Look, window: &[u8; WINDOW]) -> usize {
        look.stops(window).trailing_zeros() as usize
    }

    proptest! {
        #[test]
        fn every_look_finds_what_a_loop_finds(
            window in uniform32(prop_oneof![
                20 => b' '..=b'~', 1 => Just(b'"'), 1 => Just(b'\\'), 1 => any::<u8>(),
            ]),
            changed in uniform32(prop_oneof![20 => Just(0), 1 => any::<u8>()]),
            mask in uniform32(prop_oneof![Just(0), Just(u8::MAX), any::<u8>()]),
        ) {
            let is_plain = |byte: &u8| matches!(byte, b' '..128) && !b"\"\\".contains(byte);
            let first = window.iter().position(|byte| !is_plain(byte)).unwrap_or(WINDOW);
            let bits: [u8; WINDOW] = std::array::from_fn(|index| window[index] ^ changed[index]);
            let is_same = changed.iter().zip(mask).all(|(changed, mask)| changed & mask == 0);
            prop_assert_eq!(first_stop(Portable, &window), first);
            prop_assert_eq!(Portable.is(&window, &bits, &mask), is_same);
            #[cfg(target_arch = "x86_64")]
            if let Some(look) = x86::Avx2::of(crate::Instructions::Best) {
                prop_assert_eq!(first_stop(look, &window), first);
                prop_assert_eq!(look.is(&window, &bits, &mask), is_same);
            }
        }
    }
}
