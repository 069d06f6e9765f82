//! The rarer encodings of values, decoded into plain ones: integers as their bytes, the lowest first,
//! texts behind their lengths.

use super::{
    Broken,
    page::{PAGE_BYTES_MAX, too_short},
};

/// The most values of a page in one of these encodings: a few bytes can claim any number.
const VALUES_MAX: usize = 1 << 24;

/// The most bytes that a page's texts may have once they are decoded: those that begin like the text
/// before them are written in less.
const TEXT_BYTES_MAX: usize = PAGE_BYTES_MAX;

/// Integers as differences, in blocks of packed bits (`DELTA_BINARY_PACKED`): `count` of them, of
/// `width` bytes each.
pub(super) fn integers(bytes: &[u8], count: usize, width: usize) -> Result<Vec<u8>, Broken> {
    let (values, _) = differences(bytes, count)?;
    let mut plain = Vec::with_capacity(count * width);
    for value in values {
        plain.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    Ok(plain)
}

/// Texts one after the other behind all their lengths (`DELTA_LENGTH_BYTE_ARRAY`).
pub(super) fn texts(bytes: &[u8], count: usize) -> Result<Vec<u8>, Broken> {
    let (lengths, mut rest) = differences(bytes, count)?;
    let mut plain = Vec::new();
    for length in lengths {
        push(&mut plain, &[], take_text(&mut rest, length)?)?;
    }
    Ok(plain)
}

/// Texts as what they share with the text before and what follows (`DELTA_BYTE_ARRAY`).
pub(super) fn texts_by_prefix(bytes: &[u8], count: usize) -> Result<Vec<u8>, Broken> {
    let (prefixes, rest) = differences(bytes, count)?;
    let (lengths, mut rest) = differences(rest, count)?;
    let (mut plain, mut last) = (Vec::new(), Vec::new());
    for (prefix, length) in prefixes.into_iter().zip(lengths) {
        let suffix = take_text(&mut rest, length)?;
        let shared = usize::try_from(prefix).ok().filter(|shared| *shared <= last.len());
        last.truncate(shared.ok_or_else(|| Broken("a text shares more than there is".to_owned()))?);
        push(&mut plain, &last, suffix)?;
        last.extend_from_slice(suffix);
    }
    Ok(plain)
}

/// Bytes of values apart: first the lowest byte of each, then the next (`BYTE_STREAM_SPLIT`).
pub(super) fn joined(bytes: &[u8], count: usize, width: usize) -> Result<Vec<u8>, Broken> {
    if Some(bytes.len()) != count.checked_mul(width) {
        return Err(too_short());
    }
    Ok((0..count).flat_map(|value| (0..width).map(move |byte| bytes[byte * count + value])).collect())
}

fn push(plain: &mut Vec<u8>, first: &[u8], second: &[u8]) -> Result<(), Broken> {
    let length = first.len() + second.len();
    if plain.len() + length > TEXT_BYTES_MAX {
        return Err(Broken(format!("the texts of a page have more than {TEXT_BYTES_MAX} bytes")));
    }
    plain.extend(u32::try_from(length).expect("less than the most").to_le_bytes());
    plain.extend_from_slice(first);
    plain.extend_from_slice(second);
    Ok(())
}

/// `count` integers that were written as differences, and what follows them.
fn differences(bytes: &[u8], count: usize) -> Result<(Vec<i64>, &[u8]), Broken> {
    if count > VALUES_MAX {
        return Err(Broken(format!("a page of more than {VALUES_MAX} values")));
    }
    let mut reader = Reader(bytes);
    let (block, miniblocks) = (reader.varint()?, reader.varint()?);
    let (total, first) = (reader.varint()?, reader.zigzag()?);
    if total != count as u64 {
        return Err(Broken(format!("{total} values where {count} should be")));
    }
    let per_miniblock = block.checked_div(miniblocks).and_then(|per| usize::try_from(per).ok());
    let per_miniblock = per_miniblock.filter(|per| *per > 0 && per % 8 == 0);
    let per_miniblock =
        per_miniblock.ok_or_else(|| Broken(format!("blocks of {block} values in {miniblocks} parts")))?;
    let miniblocks = usize::try_from(miniblocks).map_err(|_| too_short())?;
    let mut values = Vec::with_capacity(count);
    values.extend((count > 0).then_some(first));
    let mut last = first;
    while values.len() < count {
        let least = reader.zigzag()?;
        for width in take(&mut reader.0, miniblocks)? {
            let left = count - values.len();
            if left == 0 {
                break;
            }
            let bits = usize::from(*width);
            if bits > 64 {
                return Err(Broken(format!("differences of {bits} bits")));
            }
            let packed = take(&mut reader.0, (per_miniblock / 8).saturating_mul(bits))?;
            for number in 0..per_miniblock.min(left) {
                last = last.wrapping_add(least).wrapping_add(packed_bits(packed, number * bits, bits));
                values.push(last);
            }
        }
    }
    Ok((values, reader.0))
}

/// So many bits from `bit` on, the lowest first.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "64 bits, whatever they mean"
)]
fn packed_bits(bytes: &[u8], bit: usize, bits: usize) -> i64 {
    let mut window = [0; 16];
    let bytes = &bytes[(bit / 8).min(bytes.len())..];
    let length = bytes.len().min(9);
    window[..length].copy_from_slice(&bytes[..length]);
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    ((u128::from_le_bytes(window) >> (bit % 8)) as u64 & mask) as i64
}

/// Takes the first bytes, when there are so many.
fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], Broken> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(too_short)?;
    *bytes = rest;
    Ok(taken)
}

fn take_text<'b>(bytes: &mut &'b [u8], length: i64) -> Result<&'b [u8], Broken> {
    take(bytes, usize::try_from(length).map_err(|_| too_short())?)
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = take(&mut self.0, 1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("an integer of too many bytes".to_owned()))
    }

    #[expect(clippy::cast_possible_wrap, reason = "half of an unsigned number fits")]
    fn zigzag(&mut self) -> Result<i64, Broken> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
