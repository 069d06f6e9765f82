//! The rows of one row group, some at a time.

use super::{
    Broken, Failure, PADDING_BYTES,
    chunk::ChunkBytes,
    codec::Unpacker,
    column::ColumnKind,
    footer::{ParquetObject, RowGroup},
    hybrid::Hybrid,
    page::{NextPage, PageValues, Pages, RowsPage, too_short},
    row_groups::Workshop,
};
use crate::{Location, ObjectInfo, SourceError};
use parquet::basic::Type;
use std::{ops::Range, sync::Arc};

/// The most rows of a batch: few enough for their values to stay in the processor's cache.
const BATCH_ROWS: usize = 2048;

/// The most entries of a dictionary: its column would be written without one long before.
const ENTRIES_MAX: usize = 1 << 24;
/// The most bytes of a column's pages whose memory is kept for other row groups.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// A reader of one row group.
pub struct RowGroupReader {
    location: Location,
    object: ObjectInfo,
    rows_left: usize,
    columns: Vec<Cursor>,
    tools: Tools,
    workshop: Arc<Workshop>,
}

/// What readers of row groups need and leave to the next, for its memory.
#[derive(Default)]
pub(super) struct Tools {
    unpacker: Unpacker,
    buffers: Vec<Buffers>,
}

/// The values of a column for the rows at hand.
#[derive(Debug, Clone, Copy)]
pub struct ColumnRows<'r> {
    /// Where texts lie; empty when the column holds numbers.
    pub bytes: &'r [u8],
    /// The values.
    pub values: RowValues<'r>,
}

/// Values row by row. A text is where it begins among the bytes and how long it is, a null text is
/// `(0, u32::MAX)`; a null number is [`i64::MIN`].
#[derive(Debug, Clone, Copy)]
pub enum RowValues<'r> {
    /// The texts.
    Texts(&'r [(u32, u32)]),
    /// The numbers.
    Numbers(&'r [i64]),
    /// Texts of a dictionary.
    TextKeys(Keys<'r>, &'r [(u32, u32)]),
    /// Numbers of a dictionary.
    NumberKeys(Keys<'r>, &'r [i64]),
}

/// Places in a dictionary; the number of its entries is the place of a null.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'r> {
    /// Row by row.
    pub keys: &'r [u32],
    /// Counts the dictionaries of the column, since there may be several.
    pub dictionary: u64,
}

impl RowGroupReader {
    pub(super) fn new(
        location: &Location,
        object: &ParquetObject,
        row_group: &RowGroup,
        chunks: Vec<ChunkBytes>,
        workshop: &Arc<Workshop>,
    ) -> Self {
        let mut tools = workshop.take();
        let columns =
            object.columns.iter().zip(&row_group.chunks).zip(chunks).map(|((kind, chunk), bytes)| {
                let pages = Pages::new(bytes, chunk.column);
                Cursor::new(pages, *kind, chunk.column.physical, tools.buffers.pop().unwrap_or_default())
            });
        let columns = columns.collect();
        Self {
            location: location.clone(),
            object: object.info.clone(),
            rows_left: row_group.rows,
            columns,
            tools,
            workshop: Arc::clone(workshop),
        }
    }

    /// Goes on to the next rows, and tells how many these are: none when there are no more.
    ///
    /// # Errors
    /// [`SourceError`] when they cannot be read, or the object is broken.
    pub fn next_rows(&mut self) -> Result<usize, SourceError> {
        self.next().map_err(|failure| failure.of(&self.location, &self.object))
    }

    fn next(&mut self) -> Result<usize, Failure> {
        // What is behind the last row may be anything.
        if self.rows_left == 0 {
            return Ok(0);
        }
        let mut rows = self.rows_left.min(BATCH_ROWS);
        for column in &mut self.columns {
            rows = rows.min(column.turn_page(self.rows_left, &mut self.tools.unpacker)?);
        }
        for column in &mut self.columns {
            column.take(rows)?;
        }
        self.rows_left -= rows;
        Ok(rows)
    }

    /// A column's values of the rows at hand.
    #[must_use]
    pub fn column(&self, column: usize) -> ColumnRows<'_> {
        self.columns[column].rows()
    }
}

impl Drop for RowGroupReader {
    fn drop(&mut self) {
        let mut tools = std::mem::take(&mut self.tools);
        let buffers = self.columns.drain(..).map(|column| column.buffers);
        tools.buffers.extend(buffers.filter(Buffers::are_usual));
        self.workshop.give_back(tools);
    }
}

/// A column on its way through its pages.
struct Cursor {
    pages: Pages,
    holds_texts: bool,
    number: PlainNumber,
    /// How many dictionaries there were; the last one's entries are in the buffers.
    dictionaries: u64,
    page: RowsPage,
    /// What is at hand are keys of the dictionary.
    is_keys: bool,
    buffers: Buffers,
}

/// The memory of a column.
#[derive(Default)]
struct Buffers {
    page: Vec<u8>,
    dictionary: Dictionary,
    batch: Batch,
}

/// Values that keys stand for.
#[derive(Default)]
struct Dictionary {
    /// Where texts lie, in the first `length` bytes.
    page: Vec<u8>,
    length: usize,
    texts: Vec<(u32, u32)>,
    numbers: Vec<i64>,
}

/// Rows at hand.
#[derive(Default)]
struct Batch {
    keys: Vec<u32>,
    texts: Vec<(u32, u32)>,
    numbers: Vec<i64>,
    presence: Vec<u32>,
}

impl Buffers {
    /// Whether the next reader may have them: memory for an unusually large page is given back.
    fn are_usual(&self) -> bool {
        self.page.len() + self.dictionary.page.len() <= KEPT_BYTES_MAX
    }
}

const NO_TEXT: (u32, u32) = (0, u32::MAX);
const NO_NUMBER: i64 = i64::MIN;

impl Cursor {
    fn new(pages: Pages, kind: ColumnKind, physical: Type, mut buffers: Buffers) -> Self {
        buffers.dictionary.clear();
        Self {
            pages,
            holds_texts: kind == ColumnKind::Text,
            number: PlainNumber::of(physical),
            dictionaries: 0,
            page: RowsPage { rows: 0, presence: None, values: PageValues::Plain(0..0) },
            is_keys: false,
            buffers,
        }
    }

    /// Goes on to a page with rows, of which there must be one, and tells how many of it are left.
    fn turn_page(&mut self, rows_left: usize, unpacker: &mut Unpacker) -> Result<usize, Failure> {
        while self.page.rows == 0 {
            let buffers = &mut self.buffers;
            match self.pages.next(rows_left, unpacker, &mut buffers.page)? {
                Some(NextPage::Rows(page)) => self.page = page,
                Some(NextPage::Dictionary(place, count)) => {
                    self.dictionaries += 1;
                    self.page.values = PageValues::Plain(0..0);
                    std::mem::swap(&mut buffers.page, &mut buffers.dictionary.page);
                    buffers.dictionary.read(place.end, count, self.holds_texts, self.number)?;
                }
                None => {
                    return Err(Broken("a column has fewer rows than its row group".to_owned()).into());
                }
            }
        }
        Ok(self.page.rows)
    }

    /// Takes the next rows, which the page has.
    fn take(&mut self, rows: usize) -> Result<(), Broken> {
        let Buffers { page, dictionary, batch } = &mut self.buffers;
        self.page.rows -= rows;
        batch.presence.clear();
        let mut present = rows;
        if let Some(presence) = &mut self.page.presence {
            batch.presence.resize(rows, 0);
            presence.read(page, &mut batch.presence)?;
            present = batch.presence.iter().sum::<u32>() as usize;
        }
        self.is_keys = matches!(self.page.values, PageValues::Keys(_));
        match &mut self.page.values {
            PageValues::Keys(_) if self.dictionaries == 0 && present > 0 => {
                return Err(Broken("a column lacks its dictionary".to_owned()));
            }
            PageValues::Keys(keys) => {
                let entries = dictionary.entries(self.holds_texts);
                batch.keys.resize(rows, 0);
                read_keys(keys, page, entries, &mut batch.keys[..present])?;
                let null = u32::try_from(entries).expect("a dictionary's entries have 32 bits");
                spread(&mut batch.keys, &batch.presence, present, null);
            }
            PageValues::Plain(place) if self.holds_texts => {
                batch.texts.resize(rows, NO_TEXT);
                plain_texts(page, place, &mut batch.texts[..present])?;
                spread(&mut batch.texts, &batch.presence, present, NO_TEXT);
            }
            PageValues::Plain(place) => {
                batch.numbers.resize(rows, NO_NUMBER);
                self.number.read(page, place, &mut batch.numbers[..present])?;
                spread(&mut batch.numbers, &batch.presence, present, NO_NUMBER);
            }
        }
        Ok(())
    }

    fn rows(&self) -> ColumnRows<'_> {
        let Buffers { page, dictionary, batch } = &self.buffers;
        let keys = Keys { keys: &batch.keys, dictionary: self.dictionaries };
        match (self.is_keys, self.holds_texts) {
            (true, true) => {
                ColumnRows { bytes: dictionary.bytes(), values: RowValues::TextKeys(keys, &dictionary.texts) }
            }
            (true, false) => {
                ColumnRows { bytes: &[], values: RowValues::NumberKeys(keys, &dictionary.numbers) }
            }
            (false, true) => ColumnRows { bytes: page, values: RowValues::Texts(&batch.texts) },
            (false, false) => ColumnRows { bytes: &[], values: RowValues::Numbers(&batch.numbers) },
        }
    }
}

impl Dictionary {
    /// Where texts lie, and some bytes behind them.
    fn bytes(&self) -> &[u8] {
        &self.page[..self.page.len().min(self.length + PADDING_BYTES)]
    }

    /// Forgets the entries of another column chunk.
    fn clear(&mut self) {
        self.length = 0;
        self.texts.clear();
        self.numbers.clear();
    }

    /// Reads the entries, which are in the first `length` bytes of the page.
    fn read(
        &mut self,
        length: usize,
        count: usize,
        holds_texts: bool,
        number: PlainNumber,
    ) -> Result<(), Broken> {
        // Keys must have one place more than there are entries, for nulls.
        if count > ENTRIES_MAX {
            return Err(Broken(format!("a dictionary of {count} entries, more than {ENTRIES_MAX}")));
        }
        if count > length {
            return Err(too_short());
        }
        self.length = length;
        let mut place = 0..length;
        if holds_texts {
            self.texts.resize(count, NO_TEXT);
            plain_texts(&self.page, &mut place, &mut self.texts)
        } else {
            self.numbers.resize(count, NO_NUMBER);
            number.read(&self.page, &mut place, &mut self.numbers)
        }
    }

    fn entries(&self, holds_texts: bool) -> usize {
        if holds_texts { self.texts.len() } else { self.numbers.len() }
    }
}

fn read_keys(hybrid: &mut Hybrid, page: &[u8], entries: usize, keys: &mut [u32]) -> Result<(), Broken> {
    hybrid.read(page, keys)?;
    let most = keys.iter().fold(0, |most, key| most.max(*key));
    if !keys.is_empty() && most as usize >= entries {
        return Err(Broken(format!("a value is number {most} of a dictionary of {entries}")));
    }
    Ok(())
}

/// Moves the first `present` values to the rows that have one, and gives `null` to the others.
fn spread<T: Copy>(values: &mut [T], presence: &[u32], mut present: usize, null: T) {
    for (row, has_value) in presence.iter().enumerate().rev() {
        values[row] = if *has_value == 1 {
            present -= 1;
            values[present]
        } else {
            null
        };
    }
}

/// Takes the next texts from their place in the page, where each follows its length.
fn plain_texts(page: &[u8], place: &mut Range<usize>, texts: &mut [(u32, u32)]) -> Result<(), Broken> {
    let bytes = &page[..place.end];
    let mut at = place.start;
    if let Some(length) = common_length(&bytes[at..], texts.len()) {
        for text in texts {
            *text = (u32::try_from(at + 4).map_err(|_| too_short())?, length);
            at += 4 + length as usize;
        }
    } else {
        for text in texts {
            let length = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(too_short)?;
            let length = u32::from_le_bytes(*length);
            *text = (u32::try_from(at + 4).map_err(|_| too_short())?, length);
            at += 4 + length as usize;
        }
    }
    if at > bytes.len() {
        return Err(too_short());
    }
    place.start = at;
    Ok(())
}

/// The length that so many texts have in common, if they have: then where each lies is known without
/// looking at all before it, which takes longer than this.
fn common_length(bytes: &[u8], count: usize) -> Option<u32> {
    let first = bytes.first_chunk::<4>()?;
    let length = u32::from_le_bytes(*first);
    let stride = 4 + length as usize;
    let all = bytes.get(..stride.checked_mul(count)?)?;
    // Most columns that have no common length have none among their first texts.
    let has_it = |text: &[u8]| text.first_chunk() == Some(first);
    all.chunks_exact(stride).all(has_it).then_some(length)
}

/// How a number is written.
#[derive(Debug, Clone, Copy)]
enum PlainNumber {
    Four,
    Eight,
    /// Nanoseconds of a Julian day, and the day; read as seconds since 1970-01-01T00:00:00.
    Twelve,
}

impl PlainNumber {
    fn of(physical: Type) -> Self {
        match physical {
            Type::INT96 => Self::Twelve,
            Type::INT64 => Self::Eight,
            _ => Self::Four,
        }
    }

    /// Takes the next numbers from their place in the page.
    fn read(self, page: &[u8], place: &mut Range<usize>, numbers: &mut [i64]) -> Result<(), Broken> {
        let bytes = &page[place.clone()];
        let read = match self {
            Self::Four => fill(bytes, numbers, |bytes| i64::from(i32::from_le_bytes(bytes))),
            Self::Eight => fill(bytes, numbers, i64::from_le_bytes),
            Self::Twelve => fill(bytes, numbers, |bytes: [u8; 12]| {
                let (nanos, day) = bytes.split_at(8);
                let nanos = i64::from_le_bytes(nanos.try_into().expect("eight bytes"));
                let day = i64::from(u32::from_le_bytes(day.try_into().expect("four bytes")));
                (day - JULIAN_DAY_OF_1970) * 86_400 + nanos.div_euclid(1_000_000_000)
            }),
        };
        place.start += read.ok_or_else(too_short)?;
        Ok(())
    }
}

const JULIAN_DAY_OF_1970: i64 = 2_440_588;

/// Makes numbers of as many bytes each; tells how many bytes they had, if these were there.
fn fill<const N: usize>(bytes: &[u8], numbers: &mut [i64], number: impl Fn([u8; N]) -> i64) -> Option<usize> {
    let length = numbers.len() * N;
    for (to, from) in numbers.iter_mut().zip(bytes.get(..length)?.as_chunks().0) {
        *to = number(*from);
    }
    Some(length)
}
