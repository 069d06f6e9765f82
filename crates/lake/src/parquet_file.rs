//! Parquet bytes of a fixed form: the same rows give the same bytes.

use arrow_array::{ArrayRef, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
    schema::types::ColumnPath,
};
use std::sync::Arc;

/// Rows that are encoded at a time.
pub(crate) const BATCH_ROWS: usize = 64 << 10;

/// A schema of columns that hold a value in every row.
pub(crate) fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), false);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn properties() -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("zstd has a level 1"));
    let product_id = ColumnPath::from("product_id");
    WriterProperties::builder()
        .set_created_by("topshelf".to_owned())
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(zstd)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Ids of products are sorted and mostly distinct: neighbours share what they begin with.
        .set_column_dictionary_enabled(product_id.clone(), false)
        .set_column_encoding(product_id, Encoding::DELTA_BYTE_ARRAY)
        .build()
}

/// Encodes batches of the schema's columns.
pub(crate) fn encode(
    schema: &SchemaRef,
    batches: impl Iterator<Item = Vec<ArrayRef>>,
) -> Result<Vec<u8>, ParquetError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties()))?;
    for columns in batches {
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.into_inner()
}

/// Decodes a file of that schema, batch by batch.
pub(crate) fn decode(
    schema: &SchemaRef,
    bytes: Bytes,
    mut on_batch: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
    let names =
        |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let types = |schema: &SchemaRef| {
        schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
    };
    if names(builder.schema()) != names(schema) || types(builder.schema()) != types(schema) {
        return Err(format!("its columns are {:?}, not {:?}", names(builder.schema()), names(schema)));
    }
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
    for batch in reader {
        on_batch(&batch.map_err(|error| error.to_string())?)?;
    }
    Ok(())
}

/// The texts of a column.
pub(crate) fn texts(batch: &RecordBatch, column: usize) -> &arrow_array::StringArray {
    batch.column(column).as_string()
}

/// The integers of a column.
pub(crate) fn integers(batch: &RecordBatch, column: usize) -> &[i64] {
    batch.column(column).as_primitive::<Int64Type>().values()
}

/// A count as Parquet keeps it.
pub(crate) fn to_integer(count: u64) -> Result<i64, String> {
    i64::try_from(count).map_err(|_| format!("a count of {count} is more than 63 bits hold"))
}

/// A count that Parquet kept.
pub(crate) fn from_integer(count: i64) -> Result<u64, String> {
    u64::try_from(count).map_err(|_| format!("a count is {count}"))
}
