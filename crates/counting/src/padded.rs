//! Text that may be read sixteen bytes at a time, whatever its length.

use crate::bytes16::Bytes16;
use std::{fmt, marker::PhantomData, ptr::NonNull};

/// Bytes that must be readable behind the end of a [`Padded`].
pub(crate) const PADDING_BYTES: usize = 16;

/// Part of a buffer that has [`PADDING_BYTES`] behind it. What lies there does not matter.
#[derive(Clone, Copy)]
pub(crate) struct Padded<'b> {
    start: NonNull<u8>,
    length: usize,
    buffer: PhantomData<&'b [u8]>,
}

impl<'b> Padded<'b> {
    /// The bytes `at..at + length` of `buffer`.
    ///
    /// # Panics
    /// When they are not in the buffer, or no padding is behind them.
    pub(crate) fn new(buffer: &'b [u8], at: usize, length: usize) -> Self {
        let room = buffer.len().checked_sub(PADDING_BYTES).and_then(|room| room.checked_sub(at));
        assert!(room.is_some_and(|room| length <= room), "text has padding");
        // SAFETY: just checked.
        unsafe { Self::new_unchecked(buffer, at, length) }
    }

    /// The bytes `at..at + length` of `buffer`.
    ///
    /// # Safety
    /// `at + length + PADDING_BYTES` is at most the buffer's length.
    #[inline(always)]
    pub(crate) unsafe fn new_unchecked(buffer: &'b [u8], at: usize, length: usize) -> Self {
        debug_assert!(at + length + PADDING_BYTES <= buffer.len(), "text has padding");
        // SAFETY: by contract inside of the buffer, whose pointer is not null.
        let start = unsafe { NonNull::from(buffer).cast::<u8>().add(at) };
        Self { start, length, buffer: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.length
    }

    /// The text without its last `count` bytes.
    ///
    /// # Panics
    /// When it has fewer.
    pub(crate) fn shortened(self, count: usize) -> Self {
        Self { length: self.length.checked_sub(count).expect("the text is longer"), ..self }
    }

    #[inline(always)]
    pub(crate) fn bytes(self) -> &'b [u8] {
        // SAFETY: the buffer holds these bytes and is borrowed for 'b.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// At most the first 16 bytes; the rest is zero.
    #[inline(always)]
    pub(crate) fn head(self) -> Bytes16 {
        self.window(0).masked(Bytes16::mask(self.length.min(16)))
    }

    /// At most the first 8 bytes; the rest is zero. The text has at least one.
    #[inline(always)]
    pub(crate) fn first_8(self) -> u64 {
        self.window(0).low & (u64::MAX >> (64 - 8 * self.length.clamp(1, 8)))
    }

    /// Whether the text is `other`, of at most 16 bytes that are known when this is compiled.
    #[inline(always)]
    pub(crate) fn is<const N: usize>(self, other: &[u8; N]) -> bool {
        const { assert!(N <= 16, "a window has 16 bytes") };
        self.length == N && self.begins_with(Bytes16::of(other), Bytes16::mask(N))
    }

    /// Whether the first 16 bytes, and what lies behind, are `bytes` where `mask` has bits.
    #[inline(always)]
    pub(crate) fn begins_with(self, bytes: Bytes16, mask: Bytes16) -> bool {
        self.window(0).masked(mask) == bytes
    }

    /// The first 16 bytes and the last 16; of at most 16 bytes the latter are zero.
    #[inline(always)]
    pub(crate) fn ends(self) -> (Bytes16, Bytes16) {
        if self.length <= 16 {
            (self.head(), Bytes16::default())
        } else {
            (self.window(0), self.window(self.length - 16))
        }
    }

    /// 16 bytes from `at`, which is at most the length.
    #[inline(always)]
    fn window(self, at: usize) -> Bytes16 {
        debug_assert!(at <= self.length, "a window begins in the text");
        // SAFETY: `at` is at most the length, and 16 bytes behind that are in the buffer.
        let bytes = unsafe { self.start.add(at).cast::<[u8; 16]>().read() };
        Bytes16::of_array(bytes)
    }
}

impl fmt::Debug for Padded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

impl Default for Padded<'_> {
    fn default() -> Self {
        Self::new(&[0; PADDING_BYTES], 0, 0)
    }
}

/// A copy of some text, with padding.
pub(crate) struct PaddedCopy(Vec<u8>);

impl PaddedCopy {
    pub(crate) fn of(text: &[u8]) -> Self {
        Self([text, &[0; PADDING_BYTES]].concat())
    }

    pub(crate) fn text(&self) -> Padded<'_> {
        Padded::new(&self.0, 0, self.0.len() - PADDING_BYTES)
    }
}

const _: () = assert!(PADDING_BYTES >= size_of::<Bytes16>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_ignore_what_lies_around_the_text() {
        let buffer = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for length in 0..40 {
            let text = Padded::new(buffer, 3, length);
            assert_eq!(text.bytes(), &buffer[3..3 + length]);
            assert_eq!(text.head(), Bytes16::of(&buffer[3..3 + length]), "{length} bytes");
            let (head, tail) = text.ends();
            assert_eq!(head, text.head());
            let tail_bytes = if length <= 16 { &[][..] } else { &buffer[3 + length - 16..3 + length] };
            assert_eq!(tail, Bytes16::of(tail_bytes));
        }
    }

    #[test]
    #[should_panic(expected = "text has padding")]
    fn text_without_padding_is_refused() {
        let _ = Padded::new(&[b'x'; 20], 0, 5);
    }
}
