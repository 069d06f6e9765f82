//! Where the separators are: a structural index over a whole buffer.
//!
//! A buffer enters, a bit for each of its bytes leaves. The idea of indexing structure before parsing
//! follows simdjson (Langdale and Lemire, 2019); as in it, bits are kept, not positions.

use crate::{instructions::Instructions, lines::Records, padded::PADDING_BYTES};

/// Which bytes of a buffer are separators: delimiters, newlines and quotes.
#[derive(Debug)]
pub(crate) struct Structure {
    instructions: Instructions,
    /// For each 64 bytes; at least one word without any is behind the last.
    words: Vec<Word>,
    quirks: Quirks,
}

/// What 64 bytes are: a bit for each byte, the lowest for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Word {
    /// Delimiters, newlines and quotes.
    pub(crate) separators: u64,
    pub(crate) newlines: u64,
}

/// What a buffer holds beside printable ASCII without quotes, newlines and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Quirks {
    pub(crate) has_quotes: bool,
    /// Any `\r`.
    pub(crate) has_cr: bool,
    /// Any other byte: then ids must be looked at.
    pub(crate) has_unusual_bytes: bool,
}

impl Structure {
    /// An index that is made with these instructions.
    pub(crate) fn new(instructions: Instructions) -> Self {
        Self { instructions, words: Vec::new(), quirks: Quirks::default() }
    }

    /// Indexes `buffer[..filled]` anew; the place is its start. The delimiter is an ASCII character,
    /// neither a quote nor a line ending.
    ///
    /// # Panics
    /// When no padding is behind, or the buffer has 4 GiB: places in a line have 32 bits.
    pub(crate) fn index<'b>(&'b mut self, buffer: &'b [u8], filled: usize, delimiter: u8) -> Records<'b> {
        assert!(u32::try_from(buffer.len()).is_ok(), "places in a line have 32 bits");
        assert!(filled + PADDING_BYTES <= buffer.len(), "text has padding");
        self.scan(&buffer[..filled], delimiter);
        Records::new(buffer, &self.words, self.quirks)
    }

    fn scan(&mut self, text: &[u8], delimiter: u8) {
        let (blocks, rest) = text.as_chunks::<64>();
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.words.resize(blocks.len() + 2, Word::default());
        let (words, behind) = self.words.split_at_mut(blocks.len());
        let most = look(self.instructions, blocks, words, delimiter);
        let rest = look(self.instructions, &[last], &mut behind[..1], delimiter);
        behind[1] = Word::default();
        let has_others = most.has_others || rest.has_others;
        self.quirks = Quirks {
            has_quotes: most.has_quotes || rest.has_quotes,
            has_cr: has_others && memchr::memchr(b'\r', text).is_some(),
            has_unusual_bytes: has_others && text.iter().fold(false, |any, byte| any | is_unusual(*byte)),
        };
    }
}

fn is_unusual(byte: u8) -> bool {
    !matches!(byte, b'\n' | b'\r' | b'\t' | b' '..128)
}

/// What some blocks hold beside printable ASCII and separators.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    has_quotes: bool,
    /// `\r`, tabs that are no delimiters, and unusual bytes.
    has_others: bool,
}

/// Fills in the words of the blocks.
fn look(instructions: Instructions, blocks: &[[u8; 64]], words: &mut [Word], delimiter: u8) -> Found {
    #[cfg(target_arch = "x86_64")]
    if instructions.use_avx2() {
        // SAFETY: the processor was just found to have AVX2.
        return unsafe { x86::look(blocks, words, delimiter) };
    }
    #[cfg(target_arch = "aarch64")]
    if instructions == Instructions::Best {
        // SAFETY: every processor of this kind has NEON.
        return unsafe { neon::look(blocks, words, delimiter) };
    }
    portable::look(blocks, words, delimiter)
}

mod portable {
    use super::{Found, Word, is_unusual};

    pub(super) fn look(blocks: &[[u8; 64]], words: &mut [Word], delimiter: u8) -> Found {
        let mut found = Found::default();
        for (block, word) in blocks.iter().zip(words) {
            *word = Word::default();
            for (bit, byte) in block.iter().enumerate() {
                let is_separator = matches!(byte, b'\n' | b'"') || *byte == delimiter;
                word.separators |= u64::from(is_separator) << bit;
                word.newlines |= u64::from(*byte == b'\n') << bit;
                found.has_quotes |= *byte == b'"';
                found.has_others |= !is_separator & (is_unusual(*byte) | matches!(byte, b'\r' | b'\t'));
            }
        }
        found
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Found, Word};
    use std::arch::x86_64::{
        __m256i, _mm256_andnot_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_testz_si256,
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn look(blocks: &[[u8; 64]], words: &mut [Word], delimiter: u8) -> Found {
        let every = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
        let [delimiter, newline, quote, space] = [delimiter, b'\n', b'"', b' '].map(every);
        let (mut quotes, mut others) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (block, word) in blocks.iter().zip(words) {
            let (halves, _) = block.as_chunks::<32>();
            let [low, high] = [&halves[0], &halves[1]].map(|half| {
                // SAFETY: the reference covers the 32 bytes that are loaded; the load may be unaligned.
                let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()) };
                let newlines = _mm256_cmpeq_epi8(bytes, newline);
                let quoted = _mm256_cmpeq_epi8(bytes, quote);
                let ends = _mm256_or_si256(newlines, quoted);
                let separators = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, delimiter), ends);
                // Bytes above 127 are negative.
                let unprintable = _mm256_cmpgt_epi8(space, bytes);
                quotes = _mm256_or_si256(quotes, quoted);
                others = _mm256_or_si256(others, _mm256_andnot_si256(separators, unprintable));
                [separators, newlines].map(|bytes| u64::from(_mm256_movemask_epi8(bytes).cast_unsigned()))
            });
            *word = Word { separators: low[0] | (high[0] << 32), newlines: low[1] | (high[1] << 32) };
        }
        let has_any = |bytes| _mm256_testz_si256(bytes, bytes) == 0;
        Found { has_quotes: has_any(quotes), has_others: has_any(others) }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{Found, Word};
    use std::arch::aarch64::{
        uint8x16_t, vandq_u8, vbicq_u8, vceqq_u8, vcgtq_s8, vdupq_n_s8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8,
        vmaxvq_u8, vorrq_u8, vpaddq_u8, vreinterpretq_s8_u8, vreinterpretq_u64_u8,
    };

    #[target_feature(enable = "neon")]
    pub(super) fn look(blocks: &[[u8; 64]], words: &mut [Word], delimiter: u8) -> Found {
        let [delimiter, newline, quote] = [delimiter, b'\n', b'"'].map(|byte| vdupq_n_u8(byte));
        let space = vdupq_n_s8(0x20);
        let (mut quotes, mut others) = (vdupq_n_u8(0), vdupq_n_u8(0));
        for (block, word) in blocks.iter().zip(words) {
            let (quarters, _) = block.as_chunks::<16>();
            let looks = [0, 1, 2, 3].map(|quarter| {
                let bytes = load(&quarters[quarter]);
                let newlines = vceqq_u8(bytes, newline);
                let quoted = vceqq_u8(bytes, quote);
                let separators = vorrq_u8(vceqq_u8(bytes, delimiter), vorrq_u8(newlines, quoted));
                // Bytes above 127 are negative.
                let unprintable = vcgtq_s8(space, vreinterpretq_s8_u8(bytes));
                quotes = vorrq_u8(quotes, quoted);
                others = vorrq_u8(others, vbicq_u8(unprintable, separators));
                (separators, newlines)
            });
            let separators = bits(looks.map(|(separators, _)| separators));
            *word = Word { separators, newlines: bits(looks.map(|(_, newlines)| newlines)) };
        }
        Found { has_quotes: vmaxvq_u8(quotes) != 0, has_others: vmaxvq_u8(others) != 0 }
    }

    /// A bit for each byte that is all ones, of bytes that are all ones or zero.
    #[target_feature(enable = "neon")]
    fn bits(bytes: [uint8x16_t; 4]) -> u64 {
        let weights = load(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
        let [a, b, c, d] = bytes.map(|bytes| vandq_u8(bytes, weights));
        // Neighbours are added up three times: eight bits become one byte.
        let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
        vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)))
    }

    #[target_feature(enable = "neon")]
    fn load(bytes: &[u8; 16]) -> uint8x16_t {
        // SAFETY: the reference covers the 16 bytes that are loaded.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(instructions: Instructions, text: &[u8], delimiter: u8) {
        let mut structure = Structure::new(instructions);
        // What an earlier buffer left must not be seen.
        structure.scan(&[b'"'; 700], b'"');
        structure.scan(text, delimiter);
        let bits = |of: fn(&Word) -> u64| {
            let bytes =
                structure.words.iter().flat_map(|word| (0..64).map(move |bit| of(word) >> bit & 1 == 1));
            bytes.enumerate().filter(|(_, is_set)| *is_set).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let places = |is: &dyn Fn(u8) -> bool| (0..text.len()).filter(|at| is(text[*at])).collect::<Vec<_>>();
        assert_eq!(bits(|word| word.separators), places(&|byte| [delimiter, b'\n', b'"'].contains(&byte)));
        assert_eq!(bits(|word| word.newlines), places(&|byte| byte == b'\n'));
        assert!(structure.words.len() * 64 >= text.len() + 64, "a window reaches into the next word");
        let quirks = Quirks {
            has_quotes: text.contains(&b'"'),
            has_cr: text.contains(&b'\r'),
            has_unusual_bytes: text.iter().any(|byte| matches!(byte, 0..=8 | 11..=12 | 14..=31 | 128..)),
        };
        assert_eq!(structure.quirks, quirks);
    }

    proptest! {
        #[test]
        fn every_path_finds_what_a_loop_finds(
            text in proptest::collection::vec(
                prop_oneof![Just(b','), Just(b'\t'), Just(b'\n'), b' '..=b'!', b'#'..=b'~', any::<u8>()],
                0..400,
            ),
            delimiter in prop::sample::select(vec![b',', b'\t', b';']),
        ) {
            check(Instructions::Best, &text, delimiter);
            check(Instructions::Portable, &text, delimiter);
        }
    }
}
