//! Parquet objects as counting takes them: which columns mean what, and rows handed over as they are.

use crate::failure::Failure;
use counting::{
    ColumnPlaces, Columns, DateBounds, Dates, DayReader, HeaderError, RowBatch, RowBatches, RowGroup, Texts,
    Unit, Values,
};
use domain::Day;
use source::{
    ColumnKind, ColumnRows, ColumnUse, DateRange, ObjectInfo, ParquetObject, Reading, RowGroupReader,
    RowValues, TimeUnit,
};
use std::io;

/// A Parquet object of a log, its footer read and its columns found.
pub(super) struct ParquetLog {
    /// The needed columns are chosen in the order in which [`Places`] numbers them.
    pub(super) object: ParquetObject,
    pub(super) places: Places,
}

/// Which of the chosen columns, counted from 0, means what; the advertiser's id is the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    product: Option<usize>,
    kind: Option<usize>,
    date: Option<(usize, ColumnKind)>,
}

impl ParquetLog {
    /// Reads the footer of an object and finds the needed columns.
    pub(super) async fn open(
        reading: &Reading,
        object: &ObjectInfo,
        columns: &Columns,
        refused: impl Fn(HeaderError) -> Failure,
    ) -> Result<Self, Failure> {
        let footer = reading.parquet_footer(object).await?;
        let found: ColumnPlaces = columns.find(&footer.column_names()).map_err(refused)?;
        let mut chosen = vec![(found.advertiser, ColumnUse::Text)];
        let mut choose = |place: Option<usize>, wanted_for| {
            place.map(|place| {
                chosen.push((place, wanted_for));
                chosen.len() - 1
            })
        };
        let product = choose(found.product, ColumnUse::Text);
        let kind = choose(found.kind, ColumnUse::Text);
        let date = choose(found.date, ColumnUse::Date);
        let object = footer.choose(&chosen)?;
        let date = date.map(|date| (date, object.columns()[date]));
        Ok(Self { object, places: Places { product, kind, date } })
    }

    /// The row groups, and which of them may hold one of the days.
    pub(super) fn row_groups(
        &self,
        days: &[Day],
        object_days: counting::ObjectDays,
        reader: &DayReader,
    ) -> Vec<RowGroup> {
        let row_group = |(rows, range): (u64, Option<&DateRange>)| {
            let bounds = range.and_then(|range| self.bounds(range));
            let may_hold = bounds.is_none_or(|bounds| bounds.may_hold(days, object_days, reader));
            RowGroup { rows, is_read: may_hold && rows > 0 }
        };
        self.object.row_groups().map(row_group).collect()
    }

    fn bounds(&self, range: &DateRange) -> Option<DateBounds> {
        let (_, kind) = self.places.date?;
        match (range, kind) {
            (DateRange::Texts(min, max), ColumnKind::Text) => {
                Some(DateBounds::Text(min.clone(), max.clone()))
            }
            (DateRange::Numbers(min, max), ColumnKind::Days) => Some(DateBounds::Days(*min, *max)),
            (DateRange::Numbers(min, max), ColumnKind::Instants(unit)) => {
                Some(DateBounds::Instants(*min, *max, unit_of(unit)))
            }
            (DateRange::Numbers(min, max), ColumnKind::Civil(unit)) => {
                Some(DateBounds::Civil(*min, *max, unit_of(unit)))
            }
            (DateRange::Texts(..), _) | (DateRange::Numbers(..), ColumnKind::Text) => None,
        }
    }
}

/// Rows of one row group, by what their columns mean.
pub(super) struct Rows {
    pub(super) reader: RowGroupReader,
    pub(super) places: Places,
}

impl RowBatches for Rows {
    fn next_batch(&mut self) -> io::Result<Option<RowBatch<'_>>> {
        let rows = self.reader.next_rows()?;
        if rows == 0 {
            return Ok(None);
        }
        let Self { reader, places } = self;
        let texts_at = |place: usize| texts(reader.column(place));
        Ok(Some(RowBatch {
            rows,
            advertiser: texts_at(0),
            product: places.product.map(texts_at),
            kind: places.kind.map(texts_at),
            date: places.date.map(|(place, kind)| dates(reader.column(place), kind)),
        }))
    }
}

fn texts(ColumnRows { bytes, values }: ColumnRows<'_>) -> Texts<'_> {
    let values = match values {
        RowValues::Texts(texts) => Values::Each(texts),
        RowValues::TextKeys(keys, entries) => {
            Values::Keys { keys: keys.keys, entries, dictionary: keys.dictionary }
        }
        RowValues::Numbers(_) | RowValues::NumberKeys(..) => unreachable!("the column was chosen as text"),
    };
    Texts { bytes, values }
}

fn dates(column: ColumnRows<'_>, kind: ColumnKind) -> Dates<'_> {
    let numbers = match column.values {
        RowValues::Numbers(numbers) => Values::Each(numbers),
        RowValues::NumberKeys(keys, entries) => {
            Values::Keys { keys: keys.keys, entries, dictionary: keys.dictionary }
        }
        RowValues::Texts(_) | RowValues::TextKeys(..) => return Dates::Text(texts(column)),
    };
    match kind {
        ColumnKind::Days => Dates::Days(numbers),
        ColumnKind::Instants(unit) => Dates::Instants(numbers, unit_of(unit)),
        ColumnKind::Civil(unit) => Dates::Civil(numbers, unit_of(unit)),
        ColumnKind::Text => unreachable!("a column of text holds no numbers"),
    }
}

fn unit_of(unit: TimeUnit) -> Unit {
    match unit {
        TimeUnit::Seconds => Unit::Seconds,
        TimeUnit::Millis => Unit::Millis,
        TimeUnit::Micros => Unit::Micros,
        TimeUnit::Nanos => Unit::Nanos,
    }
}
