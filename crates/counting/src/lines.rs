//! The lines of an indexed buffer, and where in them the needed fields are.

use crate::{
    padded::Padded,
    structure::{Quirks, Word},
};

/// The most separators that bound the needed fields of a record: two for each.
const BOUNDS_MAX: usize = 8;

/// Which fields of a record are needed, as the separators that bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The fields of a record.
    fields: u32,
    /// How many separators lie between each bounding one and the one before it.
    skipped: [u32; BOUNDS_MAX],
    count: usize,
}

/// A needed field: which of the bounds are before and behind it. The line's start is the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needed {
    before: usize,
    behind: usize,
}

impl Bounds {
    /// The bounds of these fields, counted from 0 and at most four, of records that have `fields`; and
    /// where each of the fields lies among them.
    pub(crate) fn of<const N: usize>(fields: usize, needed: [usize; N]) -> (Self, [Needed; N]) {
        const { assert!(2 * N <= BOUNDS_MAX, "two bounds for each field") };
        let before = |field: usize| field.checked_sub(1);
        let mut numbers: Vec<_> =
            needed.iter().flat_map(|field| [before(*field), Some(*field)]).flatten().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let number = |field: usize| u32::try_from(field).expect("a header has fewer than 4 GiB");
        let (mut skipped, mut next) = ([0; BOUNDS_MAX], 0);
        for (skipped, bound) in skipped.iter_mut().zip(&numbers) {
            *skipped = number(bound - next);
            next = bound + 1;
        }
        let place = |bound| 1 + numbers.binary_search(&bound).expect("it is among them");
        let needed =
            needed.map(|field| Needed { before: before(field).map_or(0, place), behind: place(field) });
        (Self { fields: number(fields), skipped, count: numbers.len() }, needed)
    }
}

impl Needed {
    /// A field of records whose first fields are all needed.
    #[inline(always)]
    pub(crate) fn first(number: usize) -> Self {
        Self { before: number, behind: number + 1 }
    }
}

/// A buffer with its index, and a place where a record begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'b> {
    buffer: &'b [u8],
    words: &'b [Word],
    quirks: Quirks,
    at: usize,
}

/// A line with as many separators as a record should have, its newline the last of them.
#[derive(Debug, Default)]
pub(crate) struct Line<'b> {
    buffer: &'b [u8],
    start: usize,
    /// Its bytes with its newline.
    length: usize,
    /// From the line's start, where it and what follows each bounding separator begins.
    begins: [u32; BOUNDS_MAX + 1],
}

impl<'b> Records<'b> {
    /// The records of a buffer with padding, by its index; the place is the start.
    pub(crate) fn new(buffer: &'b [u8], words: &'b [Word], quirks: Quirks) -> Self {
        Self { buffer, words, quirks, at: 0 }
    }

    /// What the buffer holds beside the usual.
    pub(crate) fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Moves the place to `at`, where a record begins.
    pub(crate) fn advance(&mut self, at: usize) {
        self.at = at;
    }

    /// Where the place is.
    #[inline(always)]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The index of the 64 bytes from `at`, if that is in the indexed text.
    #[inline(always)]
    fn window(&self, at: usize) -> Option<Word> {
        let [low, high] = self.words.get(at / 64..at / 64 + 2)? else { unreachable!("two words") };
        let joined = |low: u64, high: u64| (low >> (at % 64)) | (high << 1 << (63 - at % 64));
        let (separators, newlines) =
            (joined(low.separators, high.separators), joined(low.newlines, high.newlines));
        Some(Word { separators, newlines })
    }

    /// Finds the line at the place, if it has as many separators as a record, its newline the last of
    /// these. When the bounds are known to be the first separators, `first` tells how many; else it is 0.
    #[inline(always)]
    pub(crate) fn find_line(&self, bounds: &Bounds, first: usize, line: &mut Line<'b>) -> bool {
        let Some(Word { mut separators, newlines }) = self.window(self.at) else { return false };
        if newlines == 0 {
            return self.find_long_line(bounds, line);
        }
        separators &= up_to_first(newlines);
        if separators.count_ones() != bounds.fields {
            return false;
        }
        let count = if first > 0 { first } else { bounds.count };
        for (begin, skipped) in line.begins[1..=count].iter_mut().zip(&bounds.skipped) {
            let skipped = if first > 0 { 0 } else { *skipped };
            (0..skipped).for_each(|_| separators = without_lowest(separators));
            *begin = separators.trailing_zeros() + 1;
            separators = without_lowest(separators);
        }
        (line.buffer, line.start) = (self.buffer, self.at);
        line.length = newlines.trailing_zeros() as usize + 1;
        true
    }

    /// Finds a line of more than 64 bytes.
    #[inline(never)]
    fn find_long_line(&self, bounds: &Bounds, line: &mut Line<'b>) -> bool {
        (line.buffer, line.start, line.length) = (self.buffer, self.at, 0);
        let (mut found, mut skipped, mut fields) = (0, 0, 0);
        while let Some(Word { separators, newlines }) = self.window(self.at + line.length) {
            let mut separators = separators & up_to_first(newlines);
            fields += separators.count_ones();
            while found < bounds.count && separators != 0 {
                if skipped == bounds.skipped[found] {
                    (found, skipped) = (found + 1, 0);
                    let before = u32::try_from(line.length).expect("a buffer has fewer than 4 GiB");
                    line.begins[found] = before + separators.trailing_zeros() + 1;
                } else {
                    skipped += 1;
                }
                separators = without_lowest(separators);
            }
            if newlines != 0 {
                line.length += newlines.trailing_zeros() as usize + 1;
                return fields == bounds.fields;
            }
            line.length += 64;
        }
        false
    }

    /// Moves the place behind a line that was found there.
    #[inline(always)]
    pub(crate) fn pass(&mut self, line: &Line<'b>) {
        self.at += line.length;
    }
}

/// The bits up to the lowest of the mask, and that one; all when it has none.
#[inline(always)]
fn up_to_first(mask: u64) -> u64 {
    mask ^ mask.wrapping_sub(1)
}

#[inline(always)]
fn without_lowest(mask: u64) -> u64 {
    mask & mask.wrapping_sub(1)
}

impl<'b> Line<'b> {
    /// The text of a field, of the last one with its `\r`.
    #[inline(always)]
    pub(crate) fn field(&self, needed: Needed) -> Padded<'b> {
        let (begin, end) = (self.begins[needed.before] as usize, self.begins[needed.behind] as usize - 1);
        // SAFETY: bounds are places in the text, which has padding behind it, and in order: `begin` is
        // one past a bound or the line's start, `end` is the next bound or a later one.
        unsafe { Padded::new_unchecked(self.buffer, self.start + begin, end - begin) }
    }

    /// The text of a field, of the last one without its `\r`.
    #[inline(always)]
    pub(crate) fn field_without_cr(&self, needed: Needed) -> Padded<'b> {
        let field = self.field(needed);
        let is_last = self.begins[needed.behind] as usize == self.length;
        if is_last && field.bytes().last() == Some(&b'\r') { field.shortened(1) } else { field }
    }

    /// Whether no quote is in the line.
    pub(crate) fn is_without_quotes(&self) -> bool {
        memchr::memchr(b'"', &self.buffer[self.start..][..self.length]).is_none()
    }

    /// The line's bytes with its newline.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instructions::Instructions, structure::Structure};
    use proptest::prelude::*;

    /// The needed fields of each line that has `fields`, beginning with the lines' places.
    fn lines(text: &[u8], fields: usize, needed: [usize; 2], first: usize) -> Vec<Option<[String; 2]>> {
        let buffer = [text, &[b','; 16]].concat();
        let mut structure = Structure::new(Instructions::Best);
        let mut records = structure.index(&buffer, text.len(), b',');
        let (bounds, needed) = Bounds::of(fields, needed);
        let mut line = Line::default();
        let mut lines = Vec::new();
        let mut at = 0;
        while at < text.len() {
            records.advance(at);
            let is_found = records.find_line(&bounds, first, &mut line);
            lines.push(is_found.then(|| {
                needed.map(|field| String::from_utf8_lossy(line.field_without_cr(field).bytes()).into_owned())
            }));
            at = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end + 1);
            if is_found {
                records.pass(&line);
                assert_eq!(records.at(), at);
            }
        }
        lines
    }

    #[test]
    fn lines_have_fields_or_are_left() {
        let found = lines(b"a,b\ncd,\r\n\"e\",f\n\ng,h\ni,j", 2, [0, 1], 2);
        let [ab, cd, gh] = [["a", "b"], ["cd", ""], ["g", "h"]].map(|fields| Some(fields.map(str::to_owned)));
        assert_eq!(found, [ab, cd, None, None, gh, None]);
    }

    proptest! {
        #[test]
        fn lines_of_any_length_are_split_as_by_a_loop(
            lines_in in proptest::collection::vec(proptest::collection::vec("[a-c]{0,3}|[a-c]{0,40}", 1..14), 0..9),
            fields in 1usize..14,
            needed in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let needed = [needed.0.index(fields), needed.1.index(fields)];
            let text: String = lines_in.iter().map(|fields| fields.join(",") + "\n").collect();
            let naive: Vec<_> = lines_in.iter().map(|line| {
                (line.len() == fields).then(|| needed.map(|field| line[field].clone()))
            }).collect();
            prop_assert_eq!(&lines(text.as_bytes(), fields, needed, 0), &naive);
            if needed == [0, 1] {
                prop_assert_eq!(&lines(text.as_bytes(), fields, needed, 2), &naive);
            }
        }
    }
}
