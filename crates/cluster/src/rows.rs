//! Partial counts as the engine shuffles them: rows of a group, a product and three numbers.

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{BinaryBuilder, Int64Builder, UInt32Builder},
    cast::AsArray,
    types::{Int64Type, UInt32Type},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

pub(crate) const GROUP: &str = "group";
pub(crate) const PRODUCT: &str = "product";
pub(crate) const COUNTERS: [&str; 3] = ["impressions", "clicks", "views"];

/// The group of reports; groups of counts are below. A report stands where a product's id does, with one impression.
pub(crate) const REPORTS: u32 = u32::MAX;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Bytes of the products of a batch after which it is given on.
const BATCH_BYTES: usize = 1 << 20;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields =
        vec![Field::new(GROUP, DataType::UInt32, false), Field::new(PRODUCT, DataType::Binary, false)];
    fields.extend(COUNTERS.map(|name| Field::new(name, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
});

pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Rows on their way into a batch.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    groups: UInt32Builder,
    products: BinaryBuilder,
    counters: [Int64Builder; 3],
    rows: usize,
    bytes: usize,
}

impl RowsBuilder {
    /// Adds a row; whether the batch is full.
    pub(crate) fn push(&mut self, group: u32, product: &[u8], counters: [i64; 3]) -> bool {
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
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.groups.finish()), Arc::new(self.products.finish())];
        columns.extend(self.counters.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        Some(RecordBatch::try_new(schema(), columns).expect("the columns are those of the schema"))
    }
}

/// Calls `take` with each row of a batch that has the columns of [`schema`] in their order; none when it has not.
pub(crate) fn each_row<E>(
    batch: &RecordBatch,
    mut take: impl FnMut(u32, &[u8], [i64; 3]) -> Result<(), E>,
) -> Option<Result<(), E>> {
    let columns = batch.columns();
    let [groups, products, counters @ ..] = columns else { return None };
    let [one, two, three] = counters else { return None };
    let groups = groups.as_primitive_opt::<UInt32Type>()?;
    let products = products.as_binary_opt::<i32>()?;
    let one = one.as_primitive_opt::<Int64Type>()?;
    let two = two.as_primitive_opt::<Int64Type>()?;
    let three = three.as_primitive_opt::<Int64Type>()?;
    let each = |row| {
        take(groups.value(row), products.value(row), [one.value(row), two.value(row), three.value(row)])
    };
    Some((0..batch.num_rows()).try_for_each(each))
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
        for (group, product, counters) in pushed {
            assert!(!rows.push(group, product, counters));
        }
        let batch = rows.take().unwrap();
        assert!(rows.take().is_none());
        let mut came = Vec::new();
        let take = |group, product: &[u8], counters| {
            came.push((group, product.to_vec(), counters));
            Ok::<_, ()>(())
        };
        each_row(&batch, take).unwrap().unwrap();
        assert_eq!(came, pushed.map(|(group, product, counters)| (group, product.to_vec(), counters)));
        assert!(each_row(&batch.project(&[0, 1, 2, 3]).unwrap(), |_, _, _| Ok::<_, ()>(())).is_none());
    }

    #[test]
    fn batches_are_bounded() {
        let mut rows = RowsBuilder::default();
        let pushes = (1..).find(|_| rows.push(0, b"a", [0; 3])).unwrap();
        assert_eq!((pushes, rows.take().unwrap().num_rows()), (BATCH_ROWS, BATCH_ROWS));
        assert!(rows.push(0, &vec![0; BATCH_BYTES], [0; 3]));
    }
}
