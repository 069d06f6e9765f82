//! The header of a page, in Thrift's compact protocol, as `parquet.thrift` has it.

use super::Broken;

/// What a page says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the page once it is unpacked, and as it is stored behind the header.
    pub(super) unpacked_bytes: usize,
    pub(super) stored_bytes: usize,
    /// Of the bytes as they are stored.
    pub(super) checksum: Option<u32>,
    pub(super) content: PageContent,
}

/// What a page holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageContent {
    /// Values that keys stand for.
    Dictionary { values: usize, encoding: Encoding },
    /// Rows, behind the levels that say which are null.
    Rows { values: usize, encoding: Encoding, level_encoding: Encoding },
    /// The same in the second form: the levels have lengths that stand here, and are not packed.
    RowsV2 {
        values: usize,
        encoding: Encoding,
        repetition_bytes: usize,
        definition_bytes: usize,
        is_packed: bool,
    },
    /// Nothing that is needed.
    Other,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    /// Keys of the dictionary; in a dictionary's page, plain values.
    Dictionary,
    /// Run lengths and packed bits.
    Hybrid,
    DeltaIntegers,
    DeltaLengths,
    DeltaTexts,
    ByteStreamSplit,
    Unknown(i64),
}

impl Encoding {
    fn of(number: i64) -> Self {
        match number {
            0 => Self::Plain,
            2 | 8 => Self::Dictionary,
            3 => Self::Hybrid,
            5 => Self::DeltaIntegers,
            6 => Self::DeltaLengths,
            7 => Self::DeltaTexts,
            9 => Self::ByteStreamSplit,
            other => Self::Unknown(other),
        }
    }
}

/// Why a header could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderProblem {
    /// It goes on behind the bytes.
    TooShort,
    Broken(Broken),
}

/// Reads the header at the start of the bytes; with it, how many it takes.
pub(super) fn read(bytes: &[u8]) -> Result<(PageHeader, usize), HeaderProblem> {
    let mut reader = Compact { rest: bytes };
    let mut page = Fields::default();
    let mut parts: [Fields; 9] = Default::default();
    reader.structure(0, &mut |reader, field, kind| match (field, kind) {
        (1..=4, Kind::Integer) => page.set(field, reader.integer()?),
        (5 | 7 | 8, Kind::Structure) => {
            let part = &mut parts[usize::from(field.unsigned_abs())];
            part.is_there = true;
            reader.structure(1, &mut |reader, field, kind| match (field, kind) {
                (1..=6, Kind::Integer) => part.set(field, reader.integer()?),
                (7, Kind::Bool(is_true)) => part.set(field, i64::from(is_true)),
                _ => reader.skip(kind, 2),
            })
        }
        _ => reader.skip(kind, 1),
    })?;
    let header = page.header(&parts).map_err(HeaderProblem::Broken)?;
    Ok((header, bytes.len() - reader.rest.len()))
}

/// Numbers by the field they stand in; truth is 1.
#[derive(Debug, Default)]
struct Fields {
    is_there: bool,
    numbers: [Option<i64>; 8],
}

impl Fields {
    fn set(&mut self, field: i16, number: i64) -> Result<(), HeaderProblem> {
        self.numbers[usize::from(field.unsigned_abs())] = Some(number);
        Ok(())
    }

    fn length(&self, field: usize) -> Result<usize, Broken> {
        let number = self.numbers[field].and_then(|number| i32::try_from(number).ok());
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| Broken("a page's header lacks a length, or has one below zero".to_owned()))
    }

    fn encoding(&self, field: usize) -> Encoding {
        Encoding::of(self.numbers[field].unwrap_or(-1))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checksum is 32 bits")]
    fn header(&self, parts: &[Fields]) -> Result<PageHeader, Broken> {
        let part = |number: usize| {
            Some(&parts[number])
                .filter(|part| part.is_there)
                .ok_or_else(|| Broken("a page's header does not tell what the page holds".to_owned()))
        };
        let content = match self.numbers[1] {
            Some(0) => {
                let part = part(5)?;
                let (values, encoding) = (part.length(1)?, part.encoding(2));
                PageContent::Rows { values, encoding, level_encoding: part.encoding(3) }
            }
            Some(2) => {
                PageContent::Dictionary { values: part(7)?.length(1)?, encoding: part(7)?.encoding(2) }
            }
            Some(3) => {
                let part = part(8)?;
                PageContent::RowsV2 {
                    values: part.length(1)?,
                    encoding: part.encoding(4),
                    definition_bytes: part.length(5)?,
                    repetition_bytes: part.length(6)?,
                    is_packed: part.numbers[7] != Some(0),
                }
            }
            _ => PageContent::Other,
        };
        let checksum = self.numbers[4].map(|checksum| checksum as u32);
        Ok(PageHeader { unpacked_bytes: self.length(2)?, stored_bytes: self.length(3)?, checksum, content })
    }
}

/// What a field of a structure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool(bool),
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Map,
    Structure,
}

/// Structures within structures at most: there are two in a header, and statistics may have more.
const DEPTH_MAX: usize = 16;

struct Compact<'b> {
    rest: &'b [u8],
}

type Step = Result<(), HeaderProblem>;

impl Compact<'_> {
    /// Reads a structure; `field` takes the value of each of its fields.
    fn structure(&mut self, depth: usize, field: &mut dyn FnMut(&mut Self, i16, Kind) -> Step) -> Step {
        if depth > DEPTH_MAX {
            return Err(broken("a page's header is too deep"));
        }
        let mut number = 0_i16;
        loop {
            let byte = self.byte()?;
            let Some(kind) = kind(byte & 0x0F)? else { return Ok(()) };
            number = match byte >> 4 {
                0 => i16::try_from(self.integer()?).map_err(|_| broken("a field's number is too large"))?,
                delta => number.wrapping_add(i16::from(delta)),
            };
            field(self, number, kind)?;
        }
    }

    fn skip(&mut self, of: Kind, depth: usize) -> Step {
        match of {
            Kind::Bool(_) => Ok(()),
            Kind::Byte => self.take(1),
            Kind::Integer => self.integer().map(drop),
            Kind::Double => self.take(8),
            Kind::Binary => {
                let length = self.varint()?;
                self.take(usize::try_from(length).unwrap_or(usize::MAX))
            }
            Kind::Structure => self.structure(depth, &mut |reader, _, kind| reader.skip(kind, depth + 1)),
            // A page's header has none, and no later version may need them: that would not be skipped.
            Kind::List | Kind::Map => Err(broken("a page's header holds what it should not")),
        }
    }

    #[expect(clippy::cast_possible_wrap, reason = "half of an unsigned number fits")]
    fn integer(&mut self) -> Result<i64, HeaderProblem> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, HeaderProblem> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken("a number of a page's header is too long"))
    }

    fn byte(&mut self) -> Result<u8, HeaderProblem> {
        let (byte, rest) = self.rest.split_first().ok_or(HeaderProblem::TooShort)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, length: usize) -> Step {
        self.rest = self.rest.get(length..).ok_or(HeaderProblem::TooShort)?;
        Ok(())
    }
}

/// None at the end of a structure.
fn kind(code: u8) -> Result<Option<Kind>, HeaderProblem> {
    Ok(Some(match code {
        0 => return Ok(None),
        1 | 2 => Kind::Bool(code == 1),
        3 => Kind::Byte,
        4..=6 => Kind::Integer,
        7 => Kind::Double,
        8 => Kind::Binary,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Structure,
        _ => return Err(broken("a page's header makes no sense")),
    }))
}

fn broken(reason: &str) -> HeaderProblem {
    HeaderProblem::Broken(Broken(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 5 rows without nulls, of 40 bytes in 30, with a checksum and statistics.
    const ROWS: [u8; 30] = [
        0x15, 0, 0x15, 80, 0x15, 60, 0x15, 2, 0x1C, 0x15, 10, 0x15, 16, 0x15, 6, 0x15, 6, 0x1C, 0x18, 1,
        b'a', 0x38, 2, b'b', b'c', 0x11, 0x11, 0, 0, 0,
    ];

    #[test]
    fn a_header_is_read_and_what_is_not_needed_is_skipped() {
        let content =
            PageContent::Rows { values: 5, encoding: Encoding::Dictionary, level_encoding: Encoding::Hybrid };
        let header = PageHeader { unpacked_bytes: 40, stored_bytes: 30, checksum: Some(1), content };
        let followed = [&ROWS[..], b"page"].concat();
        assert_eq!(read(&followed), Ok((header, ROWS.len())));
    }

    #[test]
    fn a_header_may_need_more_bytes_and_never_panics() {
        for length in 0..ROWS.len() {
            assert_eq!(read(&ROWS[..length]), Err(HeaderProblem::TooShort), "{length}");
        }
        for at in 0..ROWS.len() {
            for byte in 0..=255 {
                let mut bytes = ROWS;
                bytes[at] = byte;
                let _ = read(&bytes);
            }
        }
        assert_eq!(read(&[0x1C; 64]), Err(broken("a page's header is too deep")));
        assert_eq!(
            read(&[0x15; 64]),
            Err(broken("a page's header lacks a length, or has one below zero")).or(read(&[0x15; 64]))
        );
    }
}
