//! Partial counts as the engine shuffles them: rows of a group, a product and three numbers.

use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt32Array,
    builder::{BinaryBuilder, Int64Builder, UInt32Builder},
    cast::AsArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::{
    io, iter,
    sync::{Arc, LazyLock},
};

/// The column of the range's label, which rows have while they are shuffled.
pub(crate) const RANGE: &str = "range";

/// The group of marks while rows are shuffled; those of counts are one higher there. Each task leaves a mark in each range:
/// with its number in a product's place, an impression, and as clicks how many rows it gave to the range.
pub(crate) const MARKS: u32 = 0;

/// The group of tasks' reports. A report stands where a product's id does, behind its task's number, with one impression.
pub(crate) const REPORTS: u32 = u32::MAX - 1;

/// The group of the report of each range: what was kept of it.
pub(crate) const KEPT: u32 = u32::MAX - 2;

/// Groups of counts are below, also while they are shuffled.
pub(crate) const FIRST_REPORT: u32 = KEPT;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Bytes of the products of a batch after which it is given on.
const BATCH_BYTES: usize = 1 << 20;

static SHUFFLED: LazyLock<SchemaRef> = LazyLock::new(|| {
    let range = Field::new(RANGE, DataType::UInt32, false);
    let fields = iter::once(Arc::new(range)).chain(SCHEMA.fields().iter().cloned());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields =
        vec![Field::new("group", DataType::UInt32, false), Field::new("product", DataType::Binary, false)];
    fields.extend(["impressions", "clicks", "views"].map(|name| Field::new(name, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
});

/// The columns of rows.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The columns of rows that are shuffled: the range's label comes first.
pub(crate) fn shuffled_schema() -> SchemaRef {
    Arc::clone(&SHUFFLED)
}

/// Rows on their way into a batch.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    ranges: UInt32Builder,
    groups: UInt32Builder,
    products: BinaryBuilder,
    counters: [Int64Builder; 3],
    rows: usize,
    bytes: usize,
}

impl RowsBuilder {
    /// Adds a row, all or none of them with a range; whether the batch is full.
    pub(crate) fn push(
        &mut self,
        range: Option<u32>,
        group: u32,
        product: &[u8],
        counters: [i64; 3],
    ) -> bool {
        range.into_iter().for_each(|range| self.ranges.append_value(range));
        self.groups.append_value(group);
        self.products.append_value(product);
        self.counters.iter_mut().zip(counters).for_each(|(column, counter)| column.append_value(counter));
        self.rows += 1;
        self.bytes += product.len();
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows so far, if there are any, and none from then on.
    pub(crate) fn take(&mut self) -> Option<RecordBatch> {
        if self.rows == 0 {
            return None;
        }
        (self.rows, self.bytes) = (0, 0);
        let ranges = self.ranges.finish();
        let schema = if ranges.is_empty() { schema() } else { shuffled_schema() };
        let mut columns: Vec<ArrayRef> = Vec::new();
        if !ranges.is_empty() {
            columns.push(Arc::new(ranges));
        }
        columns.extend([Arc::new(self.groups.finish()) as ArrayRef, Arc::new(self.products.finish())]);
        columns.extend(self.counters.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        Some(RecordBatch::try_new(schema, columns).expect("the columns are those of the schema"))
    }
}

/// The rows of a batch.
#[derive(Debug)]
pub(crate) struct Rows {
    ranges: Option<UInt32Array>,
    groups: UInt32Array,
    products: BinaryArray,
    counters: [Int64Array; 3],
}

impl Rows {
    /// Of a batch that has the columns of [`schema`] or [`shuffled_schema`].
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn of(batch: &RecordBatch) -> io::Result<Self> {
        Self::of_columns(batch.columns())
            .ok_or_else(|| io::Error::other("rows have other columns than they should"))
    }

    fn of_columns(columns: &[ArrayRef]) -> Option<Self> {
        let (ranges, columns) = match columns {
            [ranges, columns @ ..] if columns.len() == 5 => {
                (Some(ranges.as_primitive_opt()?.clone()), columns)
            }
            columns => (None, columns),
        };
        let [groups, products, one, two, three] = columns else { return None };
        let counter = |column: &ArrayRef| column.as_primitive_opt().cloned();
        Some(Self {
            ranges,
            groups: groups.as_primitive_opt()?.clone(),
            products: products.as_binary_opt()?.clone(),
            counters: [counter(one)?, counter(two)?, counter(three)?],
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The label of a row's range; 0 when it has none.
    pub(crate) fn range(&self, row: usize) -> u32 {
        self.ranges.as_ref().map_or(0, |ranges| ranges.value(row))
    }

    /// A row's group, product and counters.
    pub(crate) fn row(&self, row: usize) -> (u32, &[u8], [i64; 3]) {
        let counters = [0, 1, 2].map(|counter: usize| self.counters[counter].value(row));
        (self.groups.value(row), self.products.value(row), counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut rows = RowsBuilder::default();
        assert!(rows.take().is_none());
        let long = [7; 255];
        let pushed: [(u32, &[u8], [i64; 3]); 3] =
            [(0, b"a", [1, 0, -2]), (7, &long, [0; 3]), (REPORTS, b"{}", [1, 0, 0])];
        for ranges in [None, Some([5, 5, 9])] {
            for (row, (group, product, counters)) in pushed.into_iter().enumerate() {
                assert!(!rows.push(ranges.map(|ranges| ranges[row]), group, product, counters));
            }
            let batch = rows.take().unwrap();
            assert!(rows.take().is_none());
            let came = Rows::of(&batch).unwrap();
            assert_eq!([0, 1, 2].map(|row| came.row(row)), pushed);
            assert_eq!([0, 1, 2].map(|row| came.range(row)), ranges.unwrap_or_default());
            assert!(Rows::of(&batch.project(&[0, 1, 2, 3]).unwrap()).is_err());
        }
    }

    #[test]
    fn batches_are_bounded() {
        let mut rows = RowsBuilder::default();
        let pushes = (1..).find(|_| rows.push(None, 0, b"a", [0; 3])).unwrap();
        assert_eq!((pushes, rows.take().unwrap().num_rows()), (BATCH_ROWS, BATCH_ROWS));
        assert!(rows.push(None, 0, &vec![0; BATCH_BYTES], [0; 3]));
    }
}
