//! Where the separators are: a structural index over a whole buffer.
//!
//! The idea of indexing structure before parsing follows simdjson (Langdale and Lemire, 2019).

use crate::padded::{PADDING_BYTES, Padded};

/// Positions of delimiters, newlines and quotes in a buffer, in order.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    /// [`BEFORE_START`], then the positions.
    positions: Vec<u32>,
    length: usize,
    /// Where in `positions` the newlines are.
    line_ends: Vec<u32>,
    lines: usize,
    quirks: Quirks,
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

/// Stands before the first position, so that a field begins one after the position before it.
const BEFORE_START: u32 = u32::MAX;

/// A buffer with its index, and a place between two of its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'b> {
    buffer: &'b [u8],
    delimiter: u8,
    positions: &'b [u32],
    line_ends: &'b [u32],
    quirks: Quirks,
    /// In the positions, the first one that is not before the place; at least 1.
    separator: usize,
    /// In the line ends, the first one that is not before the place.
    line: usize,
}

/// A line with as many separators as a record should have, its newline the last of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'b> {
    buffer: &'b [u8],
    delimiter: u8,
    /// The position before the line, then those of its separators.
    marks: &'b [u32],
}

/// One look at 64 bytes. Masks have a bit for each byte, the lowest for the first.
struct Look {
    separators: u64,
    newlines: u64,
    quirks: Quirks,
}

impl Structure {
    /// Indexes `buffer[..filled]` anew, with what the processor offers; the place is its start. The
    /// delimiter is an ASCII character, neither a quote nor a line ending.
    ///
    /// # Panics
    /// When no padding is behind, or the buffer has 4 GiB: a position has 32 bits.
    pub(crate) fn index<'b>(&'b mut self, buffer: &'b [u8], filled: usize, delimiter: u8) -> Records<'b> {
        assert!(u32::try_from(buffer.len()).is_ok(), "positions have 32 bits");
        assert!(filled + PADDING_BYTES <= buffer.len(), "text has padding");
        self.scan(&buffer[..filled], delimiter);
        let (positions, line_ends) = (&self.positions[..self.length], &self.line_ends[..self.lines]);
        Records { buffer, delimiter, positions, line_ends, quirks: self.quirks, separator: 1, line: 0 }
    }

    fn scan(&mut self, buffer: &[u8], delimiter: u8) {
        #[cfg(target_arch = "x86_64")]
        if x86::is_supported() {
            // SAFETY: the features that `index` is compiled for were just detected.
            return unsafe { x86::index(self, buffer, delimiter) };
        }
        self.index_by(buffer, |block| look(block, delimiter));
    }

    #[inline(always)]
    fn index_by(&mut self, buffer: &[u8], look: impl Fn(&[u8; 64]) -> Look) {
        self.begin(buffer.len());
        let (blocks, rest) = buffer.as_chunks::<64>();
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        let mut base = 0;
        for block in blocks.iter().chain([&last]) {
            let look = look(block);
            self.push(base, &look);
            base += 64;
        }
    }

    fn begin(&mut self, buffer_bytes: usize) {
        // At most one position a byte, and `write_bits` writes 64 ahead.
        let room = buffer_bytes + 1 + 64 + 64;
        if self.positions.len() < room {
            self.positions.resize(room, 0);
            self.line_ends.resize(room, 0);
        }
        self.positions[0] = BEFORE_START;
        (self.length, self.lines) = (1, 0);
        self.quirks = Quirks::default();
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer positions than the 4 GiB of bytes")]
    fn push(&mut self, base: u32, look: &Look) {
        let separators_before = |newlines: u64| look.separators & newlines.wrapping_sub(1) & !newlines;
        self.lines += write_bits::<2>(look.newlines, &mut self.line_ends[self.lines..], |newlines| {
            self.length as u32 + separators_before(newlines).count_ones()
        });
        self.length += write_bits::<8>(look.separators, &mut self.positions[self.length..], |separators| {
            base + separators.trailing_zeros()
        });
        self.quirks.has_quotes |= look.quirks.has_quotes;
        self.quirks.has_cr |= look.quirks.has_cr;
        self.quirks.has_unusual_bytes |= look.quirks.has_unusual_bytes;
    }
}

/// Writes for each bit of the mask, lowest first, what `number` says of it and the bits above; returns how
/// many. It takes `GROUP` of them at a time without a branch between, as most masks have fewer: up to 64
/// places of `out` are written.
#[inline(always)]
fn write_bits<const GROUP: usize>(mut mask: u64, out: &mut [u32], number: impl Fn(u64) -> u32) -> usize {
    let out = &mut out[..64];
    let count = mask.count_ones() as usize;
    let mut written = 0;
    while written < count {
        for place in &mut out[written..written + GROUP] {
            *place = number(mask);
            mask &= mask.wrapping_sub(1);
        }
        written += GROUP;
    }
    count
}

impl<'b> Records<'b> {
    /// What the buffer holds beside the usual.
    pub(crate) fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Moves the place on to `at`, where a record begins.
    pub(crate) fn advance(&mut self, at: usize) {
        while self.positions.get(self.separator).is_some_and(|position| (*position as usize) < at) {
            self.separator += 1;
        }
        while self.line_ends.get(self.line).is_some_and(|end| (*end as usize) < self.separator) {
            self.line += 1;
        }
    }

    /// Where the place is.
    #[inline(always)]
    pub(crate) fn at(&self) -> usize {
        self.positions[self.separator - 1].wrapping_add(1) as usize
    }

    /// The line at the place, if it has `fields` separators, its newline the last of these.
    #[inline(always)]
    pub(crate) fn line(&self, fields: usize) -> Option<Line<'b>> {
        let end = *self.line_ends.get(self.line)? as usize;
        let start = self.separator - 1;
        (end - start == fields).then(|| Line {
            buffer: self.buffer,
            delimiter: self.delimiter,
            marks: &self.positions[start..=end],
        })
    }

    /// Moves the place behind a line that [`Records::line`] gave.
    #[inline(always)]
    pub(crate) fn pass(&mut self, line: Line<'b>) {
        self.separator += line.marks.len() - 1;
        self.line += 1;
    }
}

impl<'b> Line<'b> {
    /// The text of a field, of the last one with its `\r`.
    #[inline(always)]
    pub(crate) fn field(&self, number: usize) -> Padded<'b> {
        let [before, end] = self.marks[number..number + 2] else { unreachable!("two marks") };
        let start = before.wrapping_add(1);
        // SAFETY: the end is a position in the buffer, which has padding, and the start, which is
        // behind the position before, is not behind it.
        unsafe { Padded::new_unchecked(self.buffer, start as usize, (end - start) as usize) }
    }

    /// The text of a field, of the last one without its `\r`.
    #[inline(always)]
    pub(crate) fn field_without_cr(&self, number: usize) -> Padded<'b> {
        let field = self.field(number);
        if number + 2 == self.marks.len() && field.bytes().last() == Some(&b'\r') {
            field.shortened(1)
        } else {
            field
        }
    }

    /// Whether all separators but the newline are delimiters.
    pub(crate) fn is_without_quotes(&self) -> bool {
        self.marks[1..self.marks.len() - 1].iter().all(|mark| self.buffer[*mark as usize] == self.delimiter)
    }

    /// The line's bytes with its newline.
    pub(crate) fn len(&self) -> usize {
        self.marks[self.marks.len() - 1].wrapping_sub(self.marks[0]) as usize
    }
}

fn look(block: &[u8; 64], delimiter: u8) -> Look {
    let mut look = Look { separators: 0, newlines: 0, quirks: Quirks::default() };
    for (bit, byte) in block.iter().enumerate() {
        look.separators |= u64::from(matches!(byte, b'\n' | b'"') || *byte == delimiter) << bit;
        look.newlines |= u64::from(*byte == b'\n') << bit;
        look.quirks.has_quotes |= *byte == b'"';
        look.quirks.has_cr |= *byte == b'\r';
        look.quirks.has_unusual_bytes |= !matches!(byte, b'\n' | b'\r' | b'\t' | b' '..128);
    }
    look
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Look, Quirks, Structure};
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8,
    };

    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt")
    }

    /// The loop of `index_by`, compiled so that the look is inlined into it.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    pub(super) fn index(structure: &mut Structure, buffer: &[u8], delimiter: u8) {
        structure.index_by(buffer, |block| look(block, delimiter));
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn look(block: &[u8; 64], delimiter: u8) -> Look {
        let low = half(block[..32].try_into().expect("half a block is 32 bytes"), delimiter);
        let high = half(block[32..].try_into().expect("half a block is 32 bytes"), delimiter);
        let [separators, newlines, quotes, crs, tabs, control] =
            std::array::from_fn(|mask| u64::from(low[mask]) | (u64::from(high[mask]) << 32));
        let (has_quotes, has_cr, has_unusual_bytes) =
            (quotes != 0, crs != 0, control != newlines | crs | tabs);
        Look { separators, newlines, quirks: Quirks { has_quotes, has_cr, has_unusual_bytes } }
    }

    /// Separators, newlines, quotes, `\r`, tabs, control characters and bytes above 127: a bit for each byte.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn half(bytes: &[u8; 32], delimiter: u8) -> [u32; 6] {
        // SAFETY: the reference covers the 32 bytes that are loaded; the load may be unaligned.
        let data = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
        let delimiter = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(delimiter.cast_signed()));
        let newline = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'\n' as i8));
        let quote = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'"' as i8));
        let cr = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'\r' as i8));
        let tab = _mm256_cmpeq_epi8(data, _mm256_set1_epi8(b'\t' as i8));
        let any = _mm256_or_si256(_mm256_or_si256(delimiter, newline), quote);
        // Bytes above 127 are negative.
        let control = _mm256_cmpgt_epi8(_mm256_set1_epi8(b' ' as i8), data);
        [any, newline, quote, cr, tab, control].map(|bytes| _mm256_movemask_epi8(bytes).cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(structure: &Structure, buffer: &[u8], delimiter: u8) {
        let separators: Vec<_> =
            (0..buffer.len()).filter(|at| [delimiter, b'\n', b'"'].contains(&buffer[*at])).collect();
        let positions = structure.positions[1..structure.length].iter().map(|at| *at as usize);
        assert_eq!(positions.collect::<Vec<_>>(), separators);
        let newlines = (0..separators.len()).filter(|index| buffer[separators[*index]] == b'\n');
        let line_ends = structure.line_ends[..structure.lines].iter().map(|end| *end as usize - 1);
        assert_eq!(line_ends.collect::<Vec<_>>(), newlines.collect::<Vec<_>>());
        assert_eq!(structure.positions[0], BEFORE_START);
        let holds = |is: fn(&u8) -> bool| buffer.iter().any(is);
        let quirks = Quirks {
            has_quotes: holds(|byte| *byte == b'"'),
            has_cr: holds(|byte| *byte == b'\r'),
            has_unusual_bytes: holds(|byte| matches!(byte, 0..=8 | 11..=12 | 14..=31 | 128..)),
        };
        assert_eq!(structure.quirks, quirks);
    }

    #[test]
    fn lines_have_fields_until_one_has_not() {
        let buffer = b"a,b\ncd,\r\n\"e\",f\n\ng,h\npadding that is not read";
        let mut structure = Structure::default();
        let mut records = structure.index(buffer, 20, b',');
        let mut next = |skip_to: usize| {
            records.advance(skip_to);
            let line = records.line(2);
            line.inspect(|line| records.pass(*line)).map(|line| {
                assert_eq!(line.len(), line.field(0).len() + line.field(1).len() + 2);
                [0, 1]
                    .map(|number| String::from_utf8_lossy(line.field_without_cr(number).bytes()).into_owned())
            })
        };
        assert_eq!(next(0).unwrap(), ["a", "b"]);
        assert_eq!(next(0).unwrap(), ["cd", ""]);
        assert_eq!(next(0), None);
        assert_eq!(next(15), None);
        assert_eq!(next(16).unwrap(), ["g", "h"]);
        assert_eq!(next(16), None);
    }

    proptest! {
        #[test]
        fn every_path_finds_what_a_loop_finds(
            buffer in proptest::collection::vec(
                prop_oneof![Just(b','), Just(b'\t'), Just(b'\n'), Just(b'"'), b' '..=b'~', any::<u8>()],
                0..400,
            ),
            delimiter in prop::sample::select(vec![b',', b'\t', b';']),
        ) {
            let mut structure = Structure::default();
            structure.index_by(&buffer, |block| look(block, delimiter));
            check(&structure, &buffer, delimiter);
            structure.scan(&buffer, delimiter);
            check(&structure, &buffer, delimiter);
        }
    }
}
