//! How far plain text goes, many bytes at a time.

/// Bytes that are looked at at once.
pub(super) const WINDOW: usize = 32;

/// How many bytes at the window's start are plain text: ASCII, neither a quote nor a backslash nor a control
/// character.
#[inline(always)]
pub(super) fn plain_bytes(window: &[u8; WINDOW]) -> usize {
    #[cfg(target_arch = "x86_64")]
    return x86::plain_bytes(window);
    #[cfg(not(target_arch = "x86_64"))]
    return scalar_plain_bytes(window);
}

/// Eight bytes at a time, as every processor can.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn scalar_plain_bytes(window: &[u8; WINDOW]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is below `limit`, which is at most 128; bytes behind the first such may
    // be wrong, as may be those above 127, which the caller asks for by themselves.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, _) = window.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let stops = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | word & HIGH;
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    WINDOW
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::WINDOW;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    /// With SSE2, which every processor of this architecture has.
    #[inline(always)]
    pub(super) fn plain_bytes(window: &[u8; WINDOW]) -> usize {
        let (halves, _) = window.as_chunks::<16>();
        // SAFETY: the target architecture has the feature.
        let (low, high) = unsafe { (stops(&halves[0]), stops(&halves[1])) };
        (low | (high << 16)).trailing_zeros() as usize
    }

    /// A bit for each byte that is not plain text.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn stops(bytes: &[u8; 16]) -> u32 {
        // SAFETY: the reference covers the 16 bytes that are loaded; the load may be unaligned.
        let data = unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) };
        let quote = _mm_cmpeq_epi8(data, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(data, _mm_set1_epi8(b'\\' as i8));
        // Bytes above 127 are negative.
        let control = _mm_cmpgt_epi8(_mm_set1_epi8(b' ' as i8), data);
        let stops = _mm_or_si128(_mm_or_si128(quote, backslash), control);
        _mm_movemask_epi8(stops).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_path_finds_what_a_loop_finds(
            window in prop::array::uniform32(prop_oneof![
                20 => b' '..=b'~', 1 => Just(b'"'), 1 => Just(b'\\'), 1 => any::<u8>(),
            ]),
        ) {
            let is_plain = |byte: &u8| matches!(byte, b' '..128) && !b"\"\\".contains(byte);
            let expected = window.iter().position(|byte| !is_plain(byte)).unwrap_or(WINDOW);
            prop_assert_eq!(plain_bytes(&window), expected);
            prop_assert_eq!(scalar_plain_bytes(&window), expected);
        }
    }
}
