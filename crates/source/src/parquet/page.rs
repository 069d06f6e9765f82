//! The pages of a column chunk: which of their rows are null, and where the values of the others lie.

use super::{
    Broken, Failure, PADDING_BYTES,
    chunk::ChunkBytes,
    codec::{Codec, Unpacker},
    delta,
    hybrid::Hybrid,
    page_header::{self, Encoding, PageContent, PageHeader},
    thrift::Problem,
};
use parquet::basic::Type;
use std::ops::Range;

/// The pages of one column chunk, in order.
pub(super) struct Pages {
    chunk: ChunkBytes,
    column: PagedColumn,
}

/// What is to be known of a column to read its pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct PagedColumn {
    pub(super) codec: Codec,
    pub(super) physical: Type,
    pub(super) has_nulls: bool,
}

/// What the next page holds.
pub(super) enum NextPage {
    /// Plain values, so many, that keys of later pages stand for.
    Dictionary(Range<usize>, usize),
    /// Rows.
    Rows(RowsPage),
}

/// Rows of a data page. What it holds lies in the buffer that the page was unpacked into.
pub(super) struct RowsPage {
    pub(super) rows: usize,
    /// For each row 1, or 0 where it is null; none when no row is.
    pub(super) presence: Option<Hybrid>,
    /// The values of the rows that are not null.
    pub(super) values: PageValues,
}

/// How the values of a page are written.
pub(super) enum PageValues {
    /// As keys of the dictionary.
    Keys(Hybrid),
    /// One after the other: integers as their bytes, the lowest first, texts behind their lengths.
    Plain(Range<usize>),
}

/// The most bytes of a page: usual ones have a mebibyte, and each must be in memory whole.
pub(super) const PAGE_BYTES_MAX: usize = 256 << 20;
/// The bytes of a header that are looked at at first, and the most that it may have.
const HEADER_BYTES: usize = 1 << 10;
const HEADER_BYTES_MAX: usize = 16 << 20;

impl Pages {
    pub(super) fn new(chunk: ChunkBytes, column: PagedColumn) -> Self {
        Self { chunk, column }
    }

    /// Unpacks the next page, of at most `rows_left` rows, into `buffer`; none behind the last.
    pub(super) fn next(
        &mut self,
        rows_left: usize,
        unpacker: &mut Unpacker,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<NextPage>, Failure> {
        while !self.chunk.is_at_end() {
            let header = self.header()?;
            if header.unpacked_bytes > PAGE_BYTES_MAX || header.stored_bytes > PAGE_BYTES_MAX {
                let bytes = header.unpacked_bytes.max(header.stored_bytes);
                return Err(Broken(format!("a page of {bytes} bytes, more than {PAGE_BYTES_MAX}")).into());
            }
            let stored = self.chunk.peek(header.stored_bytes)?;
            let stored = stored.get(..header.stored_bytes).ok_or_else(too_short)?;
            if header.checksum.is_some_and(|checksum| checksum != crc32fast::hash(stored)) {
                return Err(Broken("a page is not what its checksum says".to_owned()).into());
            }
            let page = unpack(&header, stored, self.column, rows_left, unpacker, buffer)?;
            self.chunk.pass(header.stored_bytes);
            if page.is_some() {
                return Ok(page);
            }
        }
        Ok(None)
    }

    fn header(&mut self) -> Result<PageHeader, Failure> {
        let mut least = HEADER_BYTES;
        loop {
            let bytes = self.chunk.peek(least)?;
            match page_header::read(bytes) {
                Ok((header, length)) => {
                    self.chunk.pass(length);
                    return Ok(header);
                }
                Err(Problem::Broken(broken)) => return Err(broken.into()),
                Err(Problem::TooShort) if bytes.len() < least || least >= HEADER_BYTES_MAX => {
                    return Err(too_short().into());
                }
                Err(Problem::TooShort) => least *= 4,
            }
        }
    }
}

/// What a page holds, unpacked into `buffer`; none of a page that nobody needs.
fn unpack(
    header: &PageHeader,
    stored: &[u8],
    column: PagedColumn,
    rows_left: usize,
    unpacker: &mut Unpacker,
    buffer: &mut Vec<u8>,
) -> Result<Option<NextPage>, Broken> {
    let length = header.unpacked_bytes;
    match header.content {
        PageContent::Other => Ok(None),
        PageContent::Dictionary { values, encoding: Encoding::Plain | Encoding::Dictionary } => {
            unpacker.unpack(column.codec, stored, buffer, 0, length)?;
            Ok(Some(NextPage::Dictionary(0..length, values)))
        }
        PageContent::Dictionary { encoding, .. } => {
            Err(Broken(format!("a dictionary encoded as {encoding:?}")))
        }
        PageContent::Rows { values: rows, .. } | PageContent::RowsV2 { values: rows, .. }
            if rows > rows_left =>
        {
            Err(Broken("a column has more rows than its row group".to_owned()))
        }
        PageContent::Rows { values: rows, encoding, level_encoding } => {
            unpacker.unpack(column.codec, stored, buffer, 0, length)?;
            let mut levels = 0..0;
            if column.has_nulls {
                if level_encoding != Encoding::Hybrid {
                    return Err(Broken(format!("nulls encoded as {level_encoding:?}")));
                }
                let levels_length = buffer[..length].first_chunk().ok_or_else(too_short)?;
                levels = 4..4 + u32::from_le_bytes(*levels_length) as usize;
            }
            let values = levels.end..length;
            rows_page(column, rows, encoding, levels, values, buffer).map(NextPage::Rows).map(Some)
        }
        PageContent::RowsV2 { values: rows, encoding, repetition_bytes, definition_bytes, is_packed } => {
            let values_start = repetition_bytes + definition_bytes;
            let (levels, packed) = stored.split_at_checked(values_start).ok_or_else(too_short)?;
            let values_length = length.checked_sub(values_start).ok_or_else(too_short)?;
            let codec = if is_packed { column.codec } else { Codec::None };
            unpacker.unpack(codec, packed, buffer, values_start, values_length)?;
            buffer[..values_start].copy_from_slice(levels);
            let (levels, values) = (repetition_bytes..values_start, values_start..length);
            rows_page(column, rows, encoding, levels, values, buffer).map(NextPage::Rows).map(Some)
        }
    }
}

fn rows_page(
    column: PagedColumn,
    rows: usize,
    encoding: Encoding,
    levels: Range<usize>,
    mut values: Range<usize>,
    buffer: &mut Vec<u8>,
) -> Result<RowsPage, Broken> {
    if values.start > values.end {
        return Err(too_short());
    }
    let (mut presence, mut present) = (None, rows);
    if column.has_nulls {
        let levels = Hybrid::new(levels, 1)?;
        present = count_present(&levels, rows, buffer)?;
        presence = Some(levels).filter(|_| present < rows);
    }
    let values = match encoding {
        Encoding::Plain => PageValues::Plain(values),
        // A page without values may lack even the width of its keys.
        Encoding::Dictionary if present == 0 => PageValues::Keys(Hybrid::new(0..0, 0)?),
        Encoding::Dictionary => {
            let width = buffer[values.next().ok_or_else(too_short)?];
            PageValues::Keys(Hybrid::new(values, width)?)
        }
        other => {
            let decoded = decoded(column, other, &buffer[values.clone()], present)?;
            let values = values.start..values.start + decoded.len();
            buffer.truncate(values.start);
            buffer.extend_from_slice(&decoded);
            buffer.extend_from_slice(&[0; PADDING_BYTES]);
            PageValues::Plain(values)
        }
    };
    Ok(RowsPage { rows, presence, values })
}

/// The values of a rarer encoding, written plainly.
fn decoded(column: PagedColumn, encoding: Encoding, bytes: &[u8], count: usize) -> Result<Vec<u8>, Broken> {
    match (encoding, column.physical) {
        (Encoding::DeltaIntegers, Type::INT32) => delta::integers(bytes, count, 4),
        (Encoding::DeltaIntegers, Type::INT64) => delta::integers(bytes, count, 8),
        (Encoding::ByteStreamSplit, Type::INT32) => delta::joined(bytes, count, 4),
        (Encoding::ByteStreamSplit, Type::INT64) => delta::joined(bytes, count, 8),
        (Encoding::DeltaLengths, Type::BYTE_ARRAY) => delta::texts(bytes, count),
        (Encoding::DeltaTexts, Type::BYTE_ARRAY) => delta::texts_by_prefix(bytes, count),
        (_, physical) => Err(Broken(format!("values of {physical} encoded as {encoding:?}"))),
    }
}

fn count_present(presence: &Hybrid, rows: usize, page: &[u8]) -> Result<usize, Broken> {
    let (mut presence, mut left, mut present) = (presence.clone(), rows, 0);
    let mut some = [0; 1024];
    while left > 0 {
        let some = &mut some[..left.min(1024)];
        presence.read(page, some)?;
        present += some.iter().sum::<u32>() as usize;
        left -= some.len();
    }
    Ok(present)
}

pub(super) fn too_short() -> Broken {
    Broken("a page is too short for what it says to hold".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// A page of one number with a checksum.
    fn page(number: i64, checksum: u32) -> Vec<u8> {
        let signed = i64::from(checksum.cast_signed());
        let mut zigzag = ((signed << 1) ^ (signed >> 63)).cast_unsigned();
        let mut header = vec![0x15, 0, 0x15, 16, 0x15, 16, 0x15];
        while zigzag > 0x7F {
            header.push(0x80 | (zigzag & 0x7F) as u8);
            zigzag >>= 7;
        }
        header.push(zigzag as u8);
        header.extend([0x1C, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0]);
        [&header[..], &number.to_le_bytes()].concat()
    }

    fn read(page: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let column = PagedColumn { codec: Codec::None, physical: Type::INT64, has_nulls: false };
        let mut pages = Pages::new(ChunkBytes::whole(Bytes::from(page)), column);
        let mut buffer = Vec::new();
        match pages.next(1, &mut Unpacker::default(), &mut buffer)? {
            Some(NextPage::Rows(RowsPage { rows: 1, values: PageValues::Plain(place), .. })) => {
                Ok(buffer[place].to_vec())
            }
            _ => panic!("the page has one row"),
        }
    }

    #[test]
    fn a_checksum_tells_a_spoilt_page() {
        let checksum = crc32fast::hash(&7_i64.to_le_bytes());
        assert_eq!(read(page(7, checksum)).unwrap(), 7_i64.to_le_bytes());
        let Err(Failure::Broken(Broken(reason))) = read(page(8, checksum)) else { panic!("it is spoilt") };
        assert_eq!(reason, "a page is not what its checksum says");
    }
}
