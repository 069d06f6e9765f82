//! Parquet bytes of a fixed form: the same rows give the same bytes.

use arrow_array::{ArrayRef, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        properties::{
            EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr, WriterVersion,
        },
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, TypePtr},
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
    let properties = WriterProperties::builder()
        .set_created_by("topshelf".to_owned())
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(zstd)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Ids of products are sorted and mostly distinct: neighbours share what they begin with.
        .set_column_dictionary_enabled(product_id.clone(), false)
        .set_column_encoding(product_id.clone(), Encoding::DELTA_BYTE_ARRAY)
        .set_column_statistics_enabled(product_id, EnabledStatistics::None);
    ["impressions", "clicks", "views"].into_iter().map(ColumnPath::from).fold(properties, counts).build()
}

/// Counts are packed into as few bits as they need, of which zstd would save nothing.
fn counts(properties: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(column, EnabledStatistics::None)
}

/// The form of files whose row groups are encoded apart from each other.
pub(crate) struct FileForm {
    schema: SchemaRef,
    root: TypePtr,
    properties: WriterPropertiesPtr,
}

/// An encoded row group, on its way into a file.
pub(crate) type RowGroupChunks = Vec<ArrowColumnChunk>;

impl FileForm {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let converted = ArrowSchemaConverter::new().convert(&schema).expect("the schema is of plain columns");
        Self { schema, root: converted.root_schema_ptr(), properties: Arc::new(properties()) }
    }

    /// Encodes the columns of one row group, all at once: where pages end depends on how much is given.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<RowGroupChunks, String> {
        let encode = || {
            let writers = ArrowRowGroupWriterFactory::new(&self.writer()?, self.schema.clone());
            let writers = writers.create_column_writers(0)?;
            let columns = self.schema.fields().iter().zip(columns);
            let encode = |(mut writer, (field, column)): (ArrowColumnWriter, (&FieldRef, &ArrayRef))| {
                for leaf in compute_leaves(field, column)? {
                    writer.write(&leaf)?;
                }
                writer.close()
            };
            writers.into_iter().zip(columns).map(encode).collect::<Result<_, ParquetError>>()
        };
        encode().map_err(|error| error.to_string())
    }

    /// The file of these row groups.
    pub(crate) fn file(&self, row_groups: Vec<RowGroupChunks>) -> Result<Vec<u8>, String> {
        let write = || {
            let mut file = self.writer()?;
            for chunks in row_groups {
                let mut row_group = file.next_row_group()?;
                for chunk in chunks {
                    chunk.append_to_row_group(&mut row_group)?;
                }
                row_group.close()?;
            }
            file.into_inner()
        };
        write().map_err(|error: ParquetError| error.to_string())
    }

    fn writer(&self) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
        SerializedFileWriter::new(Vec::new(), self.root.clone(), self.properties.clone())
    }
}

/// A file whose row groups are decoded apart from each other.
#[derive(Clone)]
pub(crate) struct EncodedFile {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
}

impl EncodedFile {
    /// Opens a file that can be read as of that schema.
    pub(crate) fn open(bytes: Bytes, schema: SchemaRef) -> Result<Self, String> {
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::load(&bytes, options).map_err(|error| error.to_string())?;
        Ok(Self { bytes, metadata })
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// All rows of a row group.
    pub(crate) fn decode(&self, row_group: usize) -> Result<RecordBatch, String> {
        let rows = self.metadata.metadata().row_group(row_group).num_rows();
        let rows = usize::try_from(rows).map_err(|_| format!("a row group has {rows} rows"))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone());
        let reader = builder.with_row_groups(vec![row_group]).with_batch_size(rows).build();
        let batch = reader.map_err(|error| error.to_string())?.next();
        let batch = batch.ok_or_else(|| "a row group has no rows".to_owned())?;
        batch.map_err(|error| error.to_string())
    }
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
