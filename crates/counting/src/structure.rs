//! Where the separators are: a structural index over a whole buffer.
//!
//! The idea of indexing structure before parsing follows simdjson (Langdale and Lemire, 2019).

/// Positions of commas, newlines and quotes in a buffer, in order.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    positions: Vec<u32>,
    length: usize,
    has_unusual_bytes: bool,
}

/// Stands before the first position, so that a field begins one after the position before it.
const BEFORE_START: u32 = u32::MAX;

impl Structure {
    /// Indexes `buffer` anew, with what the processor offers.
    pub(crate) fn index(&mut self, buffer: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if x86::is_supported() {
            // SAFETY: the features that `index` is compiled for were just detected.
            return unsafe { x86::index(self, buffer) };
        }
        self.index_by(buffer, scan_portable);
    }

    /// Indexes by `scan`, which takes one look at 64 bytes: the separators as bits, lowest first,
    /// and whether any byte is above 127 or NUL.
    #[inline(always)]
    fn index_by(&mut self, buffer: &[u8], scan: impl Fn(&[u8; 64]) -> (u64, bool)) {
        self.begin(buffer.len());
        let (blocks, rest) = buffer.as_chunks::<64>();
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        let mut base = 0;
        for block in blocks.iter().chain([&last]) {
            let (mask, is_unusual) = scan(block);
            self.push(base, mask);
            self.has_unusual_bytes |= is_unusual;
            base += 64;
        }
    }

    fn begin(&mut self, buffer_bytes: usize) {
        // At most one position a byte, and `push` writes 64 ahead.
        let room = buffer_bytes + 1 + 64 + 64;
        if self.positions.len() < room {
            self.positions.resize(room, 0);
        }
        self.positions[0] = BEFORE_START;
        self.length = 1;
        self.has_unusual_bytes = false;
    }

    #[inline(always)]
    fn push(&mut self, base: u32, mut mask: u64) {
        let count = mask.count_ones() as usize;
        let out = &mut self.positions[self.length..self.length + 64];
        let mut written = 0;
        // Eight at a time without a branch between: most blocks hold fewer than eight separators.
        while written < count {
            for place in &mut out[written..written + 8] {
                *place = base + mask.trailing_zeros();
                mask &= mask.wrapping_sub(1);
            }
            written += 8;
        }
        self.length += count;
    }

    /// [`BEFORE_START`], then the positions.
    pub(crate) fn positions(&self) -> &[u32] {
        &self.positions[..self.length]
    }

    /// Whether the buffer holds any byte above 127, or a NUL: then ids must be looked at.
    pub(crate) fn has_unusual_bytes(&self) -> bool {
        self.has_unusual_bytes
    }
}

fn scan_portable(block: &[u8; 64]) -> (u64, bool) {
    let mut mask = 0;
    let mut is_unusual = false;
    for (bit, byte) in block.iter().enumerate() {
        mask |= u64::from(matches!(byte, b',' | b'\n' | b'"')) << bit;
        is_unusual |= matches!(byte, 0 | 128..);
    }
    (mask, is_unusual)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Structure;
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8, _mm256_setzero_si256,
    };

    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt")
    }

    /// The loop of `index_by`, compiled so that the scan is inlined into it.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    pub(super) fn index(structure: &mut Structure, buffer: &[u8]) {
        structure.index_by(buffer, |block| scan(block));
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn scan(block: &[u8; 64]) -> (u64, bool) {
        let (low, low_unusual) = half(block[..32].try_into().expect("half a block is 32 bytes"));
        let (high, high_unusual) = half(block[32..].try_into().expect("half a block is 32 bytes"));
        (u64::from(low) | (u64::from(high) << 32), (low_unusual | high_unusual) != 0)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn half(bytes: &[u8; 32]) -> (u32, i32) {
        // SAFETY: the reference covers the 32 bytes that are loaded; the load may be unaligned.
        let data = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
        let comma = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b',' as i8));
        let newline = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'\n' as i8));
        let quote = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'"' as i8));
        let any = _mm256_or_si256(_mm256_or_si256(comma, newline), quote);
        let unusual = _mm256_or_si256(data, _mm256_cmpeq_epi8(data, _mm256_setzero_si256()));
        (_mm256_movemask_epi8(any).cast_unsigned(), _mm256_movemask_epi8(unusual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(buffer: &[u8]) -> Vec<u32> {
        let separators = buffer.iter().enumerate().filter(|(_, byte)| b",\n\"".contains(byte));
        [BEFORE_START].into_iter().chain(separators.map(|(at, _)| u32::try_from(at).unwrap())).collect()
    }

    proptest! {
        #[test]
        fn every_path_finds_what_a_loop_finds(
            buffer in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(b'"'), any::<u8>()], 0..400)
        ) {
            let mut structure = Structure::default();
            structure.index_by(&buffer, scan_portable);
            prop_assert_eq!(structure.positions(), naive(&buffer));
            prop_assert_eq!(structure.has_unusual_bytes(), buffer.iter().any(|byte| matches!(byte, 0 | 128..)));
            structure.index(&buffer);
            prop_assert_eq!(structure.positions(), naive(&buffer));
            prop_assert_eq!(structure.has_unusual_bytes(), buffer.iter().any(|byte| matches!(byte, 0 | 128..)));
        }
    }
}
