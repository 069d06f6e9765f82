//! Values of a line that looks usual: where they end, found with few instructions.

use super::{
    scan::{Look, WINDOW},
    text::text,
    value::{scalar_end, value_end, whole_number_end},
};
use crate::padded::{PADDING_BYTES, Padded};

/// How long the text before it at the same place was.
///
/// Where a text ends decides where everything behind it is looked for. A processor that has to wait for that
/// cannot look ahead, so it gets a guess, in a branch that it learns to foresee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    length: u32,
    /// The bits of a text so long, and of its end.
    bits: u32,
    end: u32,
}

impl Guess {
    /// A text of `length` bytes, of which those in its last window count.
    fn of(length: u32) -> Self {
        let end = 1 << length;
        Self { length, bits: end | (end - 1), end }
    }

    /// The lowest of `stops`, of which there is one.
    #[inline(always)]
    fn first(&mut self, stops: u32) -> u32 {
        if stops & self.bits == self.end { self.length } else { self.missed(stops) }
    }

    /// A call, so that there is a branch.
    #[cold]
    #[inline(never)]
    fn missed(&mut self, stops: u32) -> u32 {
        *self = Self::of(stops.trailing_zeros());
        self.length
    }
}

impl Default for Guess {
    fn default() -> Self {
        Self::of(0)
    }
}

/// A text without escapes that begins at `start`, if no more than its closing quote follows.
#[inline(always)]
pub(super) fn text_field<'b>(
    look: impl Look,
    buffer: &'b [u8],
    start: usize,
    guess: &mut Guess,
) -> Option<Padded<'b>> {
    let mut end = start;
    let stops = loop {
        let room = buffer.get(end..)?.first_chunk::<{ WINDOW + PADDING_BYTES }>()?;
        let stops = look.stops(room.first_chunk().expect("there is room for more"));
        if stops != 0 {
            break stops;
        }
        end += WINDOW;
    };
    end += guess.first(stops) as usize;
    if buffer[end] != b'"' {
        return unusual_text(buffer, start);
    }
    // SAFETY: the end is in the last window, behind which the buffer has so many bytes.
    Some(unsafe { Padded::new_unchecked(buffer, start, end - start) })
}

/// The same for a text that is not ASCII.
#[inline(never)]
fn unusual_text(buffer: &[u8], start: usize) -> Option<Padded<'_>> {
    let text = text(buffer, start)?;
    let is_utf8 = || std::str::from_utf8(&buffer[start..text.end]).is_ok();
    let has_padding = text.end + PADDING_BYTES <= buffer.len();
    let is_usual = has_padding && !text.has_escapes && is_utf8();
    is_usual.then(|| Padded::new(buffer, start, text.end - start))
}

/// A whole number that begins at `start`, whatever follows its digits.
#[inline(never)]
pub(super) fn whole_number(buffer: &[u8], start: usize) -> Option<Padded<'_>> {
    let end = whole_number_end(buffer, start)?;
    let has_padding = end + PADDING_BYTES <= buffer.len();
    has_padding.then(|| Padded::new(buffer, start, end - start))
}

/// The end of a value of any kind that begins at `start`.
#[inline(always)]
pub(super) fn ignored_end(look: impl Look, buffer: &[u8], start: usize, guess: &mut Guess) -> Option<usize> {
    match buffer.get(start)? {
        b'"' => match text_field(look, buffer, start + 1, guess) {
            Some(text) => Some(start + text.len() + 2),
            None => any_value_end(buffer, start),
        },
        b'{' | b'[' => any_value_end(buffer, start),
        _ => scalar_end(buffer, start),
    }
}

#[inline(never)]
fn any_value_end(buffer: &[u8], start: usize) -> Option<usize> {
    let end = value_end(buffer, start)?;
    std::str::from_utf8(&buffer[start..end]).is_ok().then_some(end)
}
