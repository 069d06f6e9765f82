//! What stands in columns that nobody needs: short texts, as varied as those of a real log.

use super::popularity::{Stream, below, stream};
use rand_xoshiro::rand_core::RngCore;

/// The longest text.
pub(super) const TEXT_BYTES_MAX: usize = 12;

/// How many texts there are: a draw takes a byte.
const TEXTS: usize = 256;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Every text that an unused column may hold.
#[derive(Debug)]
pub(super) struct Texts(Vec<Vec<u8>>);

impl Texts {
    /// Texts of 0 to [`TEXT_BYTES_MAX`] characters.
    pub(super) fn new(stream: &mut Stream) -> Self {
        let mut draw = |bound: usize| below(bound as u32, stream.next_u32()) as usize;
        let mut text = || {
            let length = draw(TEXT_BYTES_MAX + 1);
            (0..length).map(|_| ALPHABET[draw(ALPHABET.len())]).collect()
        };
        Self((0..TEXTS).map(|_| text()).collect())
    }

    /// One and the same text.
    #[cfg(test)]
    pub(super) fn same(text: &[u8]) -> Self {
        Self(vec![text.to_vec(); TEXTS])
    }

    /// The texts in the order of the random stream that belongs to `key`.
    pub(super) fn unused(&self, key: [u64; 4]) -> Unused<'_> {
        Unused { texts: self, stream: stream(key), bits: 0, draws_left: 0 }
    }
}

/// One text after the other.
#[derive(Debug)]
pub(super) struct Unused<'t> {
    texts: &'t Texts,
    stream: Stream,
    bits: u64,
    draws_left: u32,
}

impl Unused<'_> {
    pub(super) fn next_text(&mut self) -> &[u8] {
        if self.draws_left == 0 {
            (self.bits, self.draws_left) = (self.stream.next_u64(), 8);
        }
        let text = &self.texts.0[self.bits as usize % TEXTS];
        self.bits >>= 8;
        self.draws_left -= 1;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_are_varied_and_come_in_the_order_of_their_stream() {
        let texts = Texts::new(&mut stream([1, 2, 3, 4]));
        let drawn = |key| {
            let mut unused = texts.unused(key);
            (0..5_000).map(|_| unused.next_text().to_vec()).collect::<Vec<_>>()
        };
        let first = drawn([1; 4]);
        assert_eq!(first, drawn([1; 4]));
        assert_ne!(first, drawn([2; 4]));
        assert_eq!(first.iter().collect::<BTreeSet<_>>(), texts.0.iter().collect());
        let lengths: BTreeSet<_> = first.iter().map(Vec::len).collect();
        assert_eq!(lengths, (0..=TEXT_BYTES_MAX).collect());
    }
}
