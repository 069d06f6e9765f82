//! The header of a page, in Thrift's compact protocol, as `parquet.thrift` has it.

use super::{
    Broken,
    thrift::{Compact, Kind, Problem},
};

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

/// Reads the header at the start of the bytes; with it, how many it takes.
pub(super) fn read(bytes: &[u8]) -> Result<(PageHeader, usize), Problem> {
    let mut reader = Compact::new(bytes);
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
    let header = page.header(&parts).map_err(Problem::Broken)?;
    Ok((header, bytes.len() - reader.left()))
}

/// Numbers by the field they stand in; truth is 1.
#[derive(Debug, Default)]
struct Fields {
    is_there: bool,
    numbers: [Option<i64>; 8],
}

impl Fields {
    fn set(&mut self, field: i16, number: i64) -> Result<(), Problem> {
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
            assert_eq!(read(&ROWS[..length]), Err(Problem::TooShort), "{length}");
        }
        for at in 0..ROWS.len() {
            for byte in 0..=255 {
                let mut bytes = ROWS;
                bytes[at] = byte;
                let _ = read(&bytes);
            }
        }
        assert_eq!(
            read(&[0x1C; 64]),
            Err(Problem::Broken(Broken("structures lie too deep within others".to_owned())))
        );
        assert_eq!(
            read(&[0x15; 64]),
            Err(Problem::Broken(Broken("a page's header lacks a length, or has one below zero".to_owned())))
                .or(read(&[0x15; 64]))
        );
    }
}
