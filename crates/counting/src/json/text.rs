//! Text between quotes: where it ends, and what it says.

use super::scan::{Look, Portable, WINDOW};
use std::borrow::Cow;

/// A text that is valid but for its bytes above 127, at which nobody has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    /// Where its closing quote is.
    pub(super) end: usize,
    pub(super) has_escapes: bool,
}

/// Finds the end of the text whose first byte, or closing quote, is at `at`. None when there is no closing
/// quote, or a control character, an unknown escape or a lone surrogate before it.
pub(super) fn text(bytes: &[u8], mut at: usize) -> Option<Text> {
    let mut has_escapes = false;
    loop {
        at = plain_end(bytes, at);
        match *bytes.get(at)? {
            b'"' => return Some(Text { end: at, has_escapes }),
            b'\\' => {
                (_, at) = escaped(bytes, at)?;
                has_escapes = true;
            }
            128.. => at += bytes[at..].iter().take_while(|byte| **byte > 127).count(),
            _ => return None,
        }
    }
}

/// The first byte from `at` on that is not plain text, or the end.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    let mut last = [0; WINDOW];
    loop {
        let rest = &bytes[at..];
        let window = rest.first_chunk().unwrap_or_else(|| {
            last[..rest.len()].copy_from_slice(rest);
            &last
        });
        match Portable.stops(window) {
            0 => at += WINDOW,
            stops => return at + stops.trailing_zeros() as usize,
        }
    }
}

/// What the escape that begins at `at` stands for, and where it ends.
fn escaped(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let char = match *bytes.get(at + 1)? {
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return utf16_escaped(bytes, at),
        _ => return None,
    };
    Some((char, at + 2))
}

/// The same for `\uXXXX`, or two of them that are a surrogate pair.
fn utf16_escaped(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let first = utf16_unit(bytes, at)?;
    match char::from_u32(first) {
        Some(char) => Some((char, at + 6)),
        None => {
            let second = utf16_unit(bytes, at + 6)?;
            let is_pair = (0xD800..0xDC00).contains(&first) && (0xDC00..0xE000).contains(&second);
            let char = is_pair.then(|| 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00));
            Some((char::from_u32(char?)?, at + 12))
        }
    }
}

fn utf16_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// What a valid text says.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut escape) = memchr::memchr(b'\\', text) else { return Cow::Borrowed(text) };
    let (mut decoded, mut at) = (Vec::with_capacity(text.len()), 0);
    loop {
        decoded.extend_from_slice(&text[at..escape]);
        let char;
        (char, at) = escaped(text, escape).expect("the text is valid");
        decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        match memchr::memchr(b'\\', &text[at..]) {
            Some(offset) => escape = at + offset,
            None => break,
        }
    }
    decoded.extend_from_slice(&text[at..]);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rest: &str, expected: Option<&str>) {
        for padding in [0, 31, 64] {
            let bytes = format!("{}{rest}", "x".repeat(padding));
            let found = text(bytes.as_bytes(), 0).map(|text| {
                let raw = &bytes.as_bytes()[..text.end];
                assert_eq!(text.has_escapes, raw.contains(&b'\\'));
                String::from_utf8(decoded(raw).into_owned()).unwrap()
            });
            let expected = expected.map(|expected| format!("{}{expected}", "x".repeat(padding)));
            assert_eq!(found, expected, "{rest:?}");
        }
    }

    #[test]
    fn texts_say_what_their_escapes_stand_for() {
        check("\"", Some(""));
        check("plain\" and what follows is no part of it", Some("plain"));
        check(r#"\"\\\/\b\f\n\r\t" \"#, Some("\"\\/\u{8}\u{C}\n\r\t"));
        check(r#"\u0041\u00e9\u00E9\ud83d\uDE00\u0000x""#, Some("Aéé😀\0x"));
        check("é商品\u{7F}😀\"", Some("é商品\u{7F}😀"));
        check(r#"a\\""#, Some("a\\"));
    }

    #[test]
    fn what_is_no_text_is_told() {
        for rest in ["", "x", "\n\"", "\t\"", "\0\"", "\u{1F}\"", "\\", r"\", r#"\""#] {
            check(rest, None);
        }
        for escape in [r"\x41", r"\'", r"\u12", r"\u12g4", r"\u+123", r"\U0041", r"\0"] {
            check(&format!("{escape}\""), None);
        }
        for lone in
            [r"\ud83d", r"\ud83dx", r"\ud83d\n", r"\ud83d\u0041", r"\ud83d\ud83d", r"\ude00\ud83d", r"\ude00"]
        {
            check(&format!("{lone}\""), None);
        }
    }
}
