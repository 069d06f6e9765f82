//! Any value: where it ends, when it is valid.

use super::text::text;

/// Objects and arrays may stand in one another so often, the record being the first.
const DEPTH_MAX: u32 = 127;

/// The value that begins at `at`: one past its end. None when it is not valid, its bytes above 127 apart, or
/// nests deeper than [`DEPTH_MAX`] as a member of a record.
///
/// A line ending is no white space here, as no line holds one.
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut open = Open { depth: 1, objects: 0 };
    loop {
        at = match bytes.get(at)? {
            b'{' => match member_or_close(bytes, at + 1)? {
                Inside::Value(value) => {
                    open.push(true)?;
                    at = value;
                    continue;
                }
                Inside::Closed(end) => open.allows_one_more().then_some(end)?,
            },
            b'[' => {
                let first = without_space(bytes, at + 1);
                if bytes.get(first) != Some(&b']') {
                    open.push(false)?;
                    at = first;
                    continue;
                }
                open.allows_one_more().then_some(first + 1)?
            }
            _ => scalar_end(bytes, at)?,
        };
        // Behind a value: either it was the last of what is open, or another follows.
        at = loop {
            if open.depth == 1 {
                return Some(at);
            }
            let next = without_space(bytes, at);
            match (bytes.get(next)?, open.is_object()) {
                (b',', true) => break member(bytes, without_space(bytes, next + 1))?.1,
                (b',', false) => break without_space(bytes, next + 1),
                (b'}', true) | (b']', false) => open.pop(),
                _ => return None,
            }
            at = next + 1;
        };
    }
}

/// The objects and arrays that are open, as a bit each: 1 for an object, the innermost lowest.
struct Open {
    /// With the record itself.
    depth: u32,
    objects: u128,
}

const _: () = assert!(DEPTH_MAX <= 128, "every level has a bit");

impl Open {
    fn allows_one_more(&self) -> bool {
        self.depth < DEPTH_MAX
    }

    fn push(&mut self, is_object: bool) -> Option<()> {
        let is_allowed = self.allows_one_more();
        self.objects = self.objects << 1 | u128::from(is_object);
        self.depth += 1;
        is_allowed.then_some(())
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

/// What stands behind an object's opening brace.
pub(super) enum Inside {
    /// A member, whose value begins there.
    Value(usize),
    /// Its end: the object has no members.
    Closed(usize),
}

fn member_or_close(bytes: &[u8], at: usize) -> Option<Inside> {
    let at = without_space(bytes, at);
    match bytes.get(at)? {
        b'}' => Some(Inside::Closed(at + 1)),
        _ => Some(Inside::Value(member(bytes, at)?.1)),
    }
}

/// The member whose name's quote is at `at`: where its name ends and where its value begins.
pub(super) fn member(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = text(bytes, at + 1)?.end;
    let colon = without_space(bytes, end + 1);
    (bytes.get(colon) == Some(&b':')).then(|| (end, without_space(bytes, colon + 1)))
}

/// The first byte from `at` on that is no white space.
pub(super) fn without_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

pub(super) fn scalar_end(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |word: &[u8]| bytes[at..].starts_with(word).then_some(at + word.len());
    match bytes.get(at)? {
        b'"' => text(bytes, at + 1).map(|text| text.end + 1),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => number_end(bytes, at),
    }
}

fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = whole_number_end(bytes, at)?;
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let has_sign = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits_end(bytes, at + 1 + usize::from(has_sign))?;
    }
    Some(at)
}

/// The end of an optional minus and digits, of which only a lone one may be a leading 0.
#[inline(always)]
pub(super) fn whole_number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = at + usize::from(bytes.get(at) == Some(&b'-'));
    if bytes.get(first) == Some(&b'0') { Some(first + 1) } else { digits_end(bytes, first) }
}

/// The end of at least one digit.
#[inline(always)]
fn digits_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > start).then_some(at)
}
