//! What the values of columns stand for, those of a dictionary looked up only once.

use crate::{
    bytes16::Bytes16,
    columns::{NO_TEXT, Span, Texts, Values, text_at},
    event::Dated,
    padded::{PADDING_BYTES, Padded, PaddedCopy},
    table::{Counter, Key, Table},
};
use domain::ID_BYTES_MAX;

/// No number of an advertiser, and no day slot.
pub(crate) const UNUSUAL: u32 = u32::MAX - 1;

/// What a value can stand for.
pub(crate) trait Code: Copy {
    /// The exact rules decide.
    const UNUSUAL: Self;
}

impl Code for u32 {
    const UNUSUAL: Self = UNUSUAL;
}

impl Code for Dated {
    const UNUSUAL: Self = Self::of_slot(UNUSUAL);
}

impl Code for Option<Counter> {
    const UNUSUAL: Self = None;
}

/// What each value of a column stands for.
#[derive(Debug, Default)]
pub(crate) struct Codes<C> {
    /// Of which dictionary the entries are.
    dictionary: Option<u64>,
    /// Its entries, and last a null.
    entries: Vec<C>,
    rows: Vec<C>,
}

impl<C: Code> Codes<C> {
    /// Another row group may have other dictionaries of the same numbers.
    pub(crate) fn forget_dictionary(&mut self) {
        self.dictionary = None;
    }

    /// The codes of the rows at hand.
    pub(crate) fn rows(&self) -> &[C] {
        &self.rows
    }

    /// The same code for so many rows.
    pub(crate) fn fill(&mut self, rows: usize, code: C) {
        self.rows.clear();
        self.rows.resize(rows, code);
    }

    /// By a judgement of each text; a null is unusual.
    pub(crate) fn of_texts(&mut self, texts: &Texts<'_>, mut judge: impl FnMut(Padded<'_>) -> C) {
        let bytes = texts.bytes;
        self.of_values(&texts.values, |span: Span| match padded(bytes, span) {
            Some(text) => judge(text),
            None if span == NO_TEXT => C::UNUSUAL,
            None => judge(PaddedCopy::of(text_at(bytes, span)).text()),
        });
    }

    /// By a judgement of each value; the null of a dictionary is unusual.
    pub(crate) fn of_values<T: Copy>(&mut self, values: &Values<'_, T>, mut judge: impl FnMut(T) -> C) {
        self.rows.clear();
        match values {
            Values::Each(values) => self.rows.extend(values.iter().map(|value| judge(*value))),
            Values::Keys { keys, entries, dictionary } => {
                if self.dictionary != Some(*dictionary) {
                    self.dictionary = Some(*dictionary);
                    self.entries.clear();
                    self.entries.extend(entries.iter().map(|entry| judge(*entry)).chain([C::UNUSUAL]));
                }
                let codes = &self.entries[..];
                self.rows.extend(keys.iter().map(|key| codes[*key as usize]));
            }
        }
    }
}

/// The products of a dictionary; by key, last a null.
#[derive(Debug, Default)]
pub(crate) struct Products {
    /// Which.
    dictionary: Option<u64>,
    /// As [`short_id`] has them.
    short_ids: Vec<u64>,
    /// In no group, and where among `bytes` the id lies; none of what is no id.
    keys: Vec<Option<(Key, Span)>>,
    /// The ids, with padding.
    bytes: Vec<u8>,
}

impl Products {
    pub(crate) fn forget_dictionary(&mut self) {
        self.dictionary = None;
    }

    /// Takes the entries of a dictionary, unless it has them.
    pub(crate) fn resolve(&mut self, bytes: &[u8], entries: &[Span], dictionary: u64, table: &Table) {
        if self.dictionary == Some(dictionary) {
            return;
        }
        self.dictionary = Some(dictionary);
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(&[0; PADDING_BYTES]);
        let bytes = &self.bytes;
        self.short_ids.clear();
        self.short_ids.extend(entries.iter().map(|span| short_id(bytes, *span)).chain([0]));
        self.keys.clear();
        self.keys.extend(entries.iter().map(|span| Some((key(table, bytes, *span)?.0, *span))).chain([None]));
    }

    #[inline(always)]
    pub(crate) fn short_id(&self, key: u32) -> u64 {
        self.short_ids[key as usize]
    }

    /// The product's key, in no group, and its id; none of what is no id.
    pub(crate) fn key(&self, key: u32) -> Option<(Key, Padded<'_>)> {
        let (key, span) = self.keys[key as usize]?;
        Some((key, padded(&self.bytes, span)?))
    }
}

/// The key, in no group, of the product with the id at `span`; none of what is no id, and where no
/// padding is behind it.
#[inline(always)]
pub(crate) fn key<'b>(table: &Table, bytes: &'b [u8], span: Span) -> Option<(Key, Padded<'b>)> {
    let id = padded(bytes, span).filter(|id| is_id(*id))?;
    Some((table.key(0, id), id))
}

/// The text at `span`; none of a null, and where no padding is behind it.
#[inline(always)]
fn padded(bytes: &[u8], (start, length): Span) -> Option<Padded<'_>> {
    let (at, length) = (start as usize, length as usize);
    let has_padding = at + length + PADDING_BYTES <= bytes.len();
    // SAFETY: just checked; numbers of 32 bits cannot overflow a sum of 64.
    has_padding.then(|| unsafe { Padded::new_unchecked(bytes, at, length) })
}

const _: () = assert!(usize::BITS >= 64, "three numbers of 32 bits can be added");

/// The id at `span`, zero-padded, if it is one of 1–8 ASCII characters and has padding behind it; else 0.
#[inline(always)]
pub(crate) fn short_id(bytes: &[u8], span: Span) -> u64 {
    let Some(id) = padded(bytes, span).filter(|id| id.len().wrapping_sub(1) < 8) else { return 0 };
    let low = id.first_8();
    if is_plain(low, id.len()) { low } else { 0 }
}

/// Whether the text is an id: 1–255 bytes of UTF-8 without NUL.
#[inline(always)]
pub(crate) fn is_id(text: Padded<'_>) -> bool {
    let Bytes16 { low, high } = text.head();
    let length = text.len();
    let is_short = length.wrapping_sub(1) < 16;
    if is_short && is_plain(low, length.min(8)) && (length <= 8 || is_plain(high, length - 8)) {
        return true;
    }
    length.wrapping_sub(1) < ID_BYTES_MAX && is_other_id(text.bytes())
}

#[inline(never)]
fn is_other_id(id: &[u8]) -> bool {
    memchr::memchr(0, id).is_none() && (id.is_ascii() || std::str::from_utf8(id).is_ok())
}

/// Whether the first `length` (1–8) bytes, behind which there are zeros, are ASCII without NUL.
#[inline(always)]
fn is_plain(bytes: u64, length: usize) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    // Behind the text stand ones; then a byte that is zero, or not ASCII, shows in its highest bit.
    let bytes = bytes | (ONES & !(u64::MAX >> (64 - 8 * length)));
    (bytes | bytes.wrapping_sub(ONES)) & (ONES << 7) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_text_of_so_many_bytes_without_nul(
            id in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20),
                proptest::collection::vec(prop::sample::select(&b"\0\x01aZ~\x7F\x80"[..]), 0..20),
                "[aéß]{0,12}|x{250,260}|[a\0]{3,9}".prop_map(String::into_bytes),
            ],
            around in any::<[u8; 16]>(),
        ) {
            let text = std::str::from_utf8(&id);
            let expected = text.is_ok_and(|text| (1..=255).contains(&text.len()) && !text.contains('\0'));
            let bytes = [&around[..3], &id, &around].concat();
            let span = (3, u32::try_from(id.len()).unwrap());
            prop_assert_eq!(is_id(padded(&bytes, span).unwrap()), expected);
            let is_short = expected && id.len() <= 8 && id.is_ascii();
            let low = if is_short { Bytes16::of(&id).low } else { 0 };
            prop_assert_eq!(short_id(&bytes, span), low);
            prop_assert!(padded(&bytes[..bytes.len() - 1], span).is_none());
        }
    }
}
