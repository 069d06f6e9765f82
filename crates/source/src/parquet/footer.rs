//! The footer of a Parquet object: its columns, and where in it each row group's lie.

use super::{
    Broken, Failure, MAGIC, MAGIC_ENCRYPTED,
    codec::Codec,
    column::{ColumnKind, ColumnUse, type_name},
    guarded,
    outline::outline,
    page::PagedColumn,
};
use crate::{Location, ObjectInfo, Reading, SourceError};
use bytes::Bytes;
use parquet::{
    basic::ColumnOrder,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        statistics::Statistics,
    },
};
use std::ops::Range;

/// The least bytes of an object: twice the magic, and the footer's length.
const OBJECT_BYTES_MIN: u64 = 12;
/// The footer's length and the magic.
const TAIL_BYTES: u64 = 8;
/// The most row groups of an object that the library decodes.
const ROW_GROUPS_MAX: usize = 1 << 15;
/// Bytes from the end that are read for the footer at first.
const FOOTER_BYTES: u64 = 64 << 10;

/// A footer that was read.
pub struct ParquetFooter {
    location: Location,
    object: ObjectInfo,
    metadata: ParquetMetaData,
    /// Where the footer begins.
    start: u64,
}

/// The chosen columns of a Parquet object, and its row groups.
pub struct ParquetObject {
    pub(super) info: ObjectInfo,
    pub(super) columns: Vec<ColumnKind>,
    pub(super) row_groups: Vec<RowGroup>,
}

/// The chosen columns of a row group.
pub(super) struct RowGroup {
    pub(super) rows: usize,
    /// In the order in which they were chosen.
    pub(super) chunks: Vec<Chunk>,
    pub(super) dates: Option<DateRange>,
}

/// A column of a row group.
pub(super) struct Chunk {
    /// Where it lies in the object.
    pub(super) range: Range<u64>,
    pub(super) column: PagedColumn,
}

/// Bounds of a row group's values in the column of dates, of which none is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateRange {
    /// Of texts, in the order of their bytes.
    Texts(Vec<u8>, Vec<u8>),
    /// Of numbers.
    Numbers(i64, i64),
}

impl Reading {
    /// Reads the footer of a Parquet object.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read, is not the planned one any more, or is no Parquet.
    pub async fn parquet_footer(&self, object: &ObjectInfo) -> Result<ParquetFooter, SourceError> {
        let location = self.location();
        let broken = |reason: &str| Failure::from(Broken(reason.to_owned())).of(location, object);
        if object.size < OBJECT_BYTES_MIN {
            return Err(broken(&format!(
                "it has {} bytes, and the shortest has {OBJECT_BYTES_MIN}",
                object.size
            )));
        }
        let mut tail_start = object.size.saturating_sub(FOOTER_BYTES);
        let mut tail = self.range_bytes(object, tail_start..object.size).await?;
        let (length, magic) = tail[tail.len() - 8..].split_at(4);
        let length = u64::from(u32::from_le_bytes(length.try_into().expect("four bytes")));
        if magic == MAGIC_ENCRYPTED {
            let remedy = "write it without Parquet's own encryption; a bucket can encrypt whole objects";
            return Err(unsupported(location, object, "it is encrypted", remedy));
        }
        if magic != MAGIC {
            return Err(broken(
                "it does not end as it begins, with PAR1: it is cut off, or something follows it",
            ));
        }
        let end = object.size - TAIL_BYTES;
        let start = end.checked_sub(length).filter(|start| *start >= MAGIC.len() as u64);
        let start = start
            .ok_or_else(|| broken(&format!("its footer would have {length} bytes, more than the object")))?;
        if start < tail_start {
            tail = self.range_bytes(object, start..object.size).await?;
            tail_start = start;
        }
        let footer = within(&tail, start - tail_start..end - tail_start);
        let outline = outline(&footer).map_err(|Broken(reason)| broken(&format!("its footer: {reason}")))?;
        if outline.is_encrypted {
            let remedy = "write it without Parquet's own encryption; a bucket can encrypt whole objects";
            return Err(unsupported(location, object, "columns of it are encrypted", remedy));
        }
        if outline.row_groups > ROW_GROUPS_MAX {
            let reason = format!("it has {} row groups, more than {ROW_GROUPS_MAX}", outline.row_groups);
            return Err(unsupported(location, object, reason, "write it in fewer and larger row groups"));
        }
        let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(&footer));
        let metadata = metadata.map_err(|Broken(reason)| broken(&format!("its footer: {reason}")))?;
        Ok(ParquetFooter { location: location.clone(), object: object.clone(), metadata, start })
    }
}

fn unsupported(
    location: &Location,
    object: &ObjectInfo,
    reason: impl Into<String>,
    remedy: &'static str,
) -> SourceError {
    SourceError::Unsupported { url: location.object_url(&object.name), reason: reason.into(), remedy }
}

fn within(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).expect("it is in memory"));
    bytes.slice(start..end)
}

impl ParquetFooter {
    /// The names of the columns, in order; of columns in columns only the outer ones.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        let fields = self.metadata.file_metadata().schema().get_fields();
        fields.iter().map(|field| field.name().to_owned()).collect()
    }

    /// Chooses columns by their place among the names, each with what it is wanted for; of these at most
    /// one is [`ColumnUse::Date`].
    ///
    /// # Errors
    /// [`SourceError`] when one is not of a type that can be read so, is compressed or stored in a way
    /// that cannot be read, or when the footer contradicts itself.
    pub fn choose(self, columns: &[(usize, ColumnUse)]) -> Result<ParquetObject, SourceError> {
        let chosen = columns.iter().map(|(place, wanted_for)| self.choose_one(*place, *wanted_for));
        let chosen: Vec<Chosen> = chosen.collect::<Result<_, _>>()?;
        let row_groups =
            self.metadata.row_groups().iter().map(|row_group| self.row_group(row_group, &chosen));
        let row_groups: Vec<RowGroup> = row_groups.collect::<Result<_, _>>()?;
        let rows = row_groups.iter().try_fold(0_usize, |rows, row_group| rows.checked_add(row_group.rows));
        if rows != usize::try_from(self.metadata.file_metadata().num_rows()).ok() {
            let reason = "its row groups have another number of rows than its footer says".to_owned();
            return Err(Failure::from(Broken(reason)).of(&self.location, &self.object));
        }
        let columns = chosen.iter().map(|chosen| chosen.kind).collect();
        Ok(ParquetObject { info: self.object, columns, row_groups })
    }

    fn choose_one(&self, place: usize, wanted_for: ColumnUse) -> Result<Chosen, SourceError> {
        let schema = self.metadata.file_metadata().schema_descr();
        let field = &schema.root_schema().get_fields()[place];
        let leaf = (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == place);
        let column = leaf.map(|leaf| schema.column(leaf));
        let flat = column.filter(|column| field.is_primitive() && column.max_rep_level() == 0);
        let kind = flat.and_then(|column| ColumnKind::of(&column, wanted_for));
        let expected = match wanted_for {
            ColumnUse::Text => "text (BYTE_ARRAY, String)",
            ColumnUse::Date => {
                "text (BYTE_ARRAY, String), a date (INT32, Date) or a timestamp (INT64, Timestamp, or INT96)"
            }
        };
        match (leaf, kind) {
            (Some(leaf), Some(kind)) => Ok(Chosen { leaf, kind, has_dates: wanted_for == ColumnUse::Date }),
            _ => {
                let reason =
                    format!("column {:?} is {}; expected: {expected}", field.name(), type_name(field));
                Err(unsupported(
                    &self.location,
                    &self.object,
                    reason,
                    "write the column with that type: each type has a cast to text",
                ))
            }
        }
    }

    fn row_group(&self, row_group: &RowGroupMetaData, chosen: &[Chosen]) -> Result<RowGroup, SourceError> {
        let broken = |reason: String| Failure::from(Broken(reason)).of(&self.location, &self.object);
        let rows = usize::try_from(row_group.num_rows());
        let rows = rows.map_err(|_| broken(format!("a row group of {} rows", row_group.num_rows())))?;
        let mut chunks = Vec::new();
        let mut dates = None;
        for chosen in chosen {
            let chunk = row_group.columns().get(chosen.leaf);
            let chunk = chunk.ok_or_else(|| broken("a row group lacks a column".to_owned()))?;
            chunks.push(self.chunk(chunk, rows)?);
            if chosen.has_dates {
                let order = self.metadata.file_metadata().column_orders();
                let order = order.and_then(|order| order.get(chosen.leaf));
                dates = date_range(chunk, order);
            }
        }
        Ok(RowGroup { rows, chunks, dates })
    }

    /// A column chunk, if it can be read as far as the footer tells.
    fn chunk(&self, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Chunk, SourceError> {
        let name = chunk.column_path().string();
        let broken = |reason: &str| {
            Failure::from(Broken(format!("column {name:?} {reason}"))).of(&self.location, &self.object)
        };
        let unsupported = |reason: String, remedy| unsupported(&self.location, &self.object, reason, remedy);
        if chunk.file_path().is_some() {
            let reason = format!("column {name:?} lies in another object");
            return Err(unsupported(reason, "write each object whole"));
        }
        let codec = Codec::of(chunk.compression()).ok_or_else(|| {
            let codec = chunk.compression().to_string();
            let codec = codec.split('(').next().unwrap_or_default();
            let reason = format!("column {name:?} is compressed with {codec}");
            unsupported(reason, "write it uncompressed, or compressed with snappy, gzip, zstd or lz4")
        })?;
        if usize::try_from(chunk.num_values()) != Ok(rows) {
            return Err(broken("has another number of rows than its row group"));
        }
        // Some writers say 0 where there is no dictionary.
        let data = chunk.data_page_offset();
        let dictionary = chunk.dictionary_page_offset().filter(|at| *at >= MAGIC.len() as i64 && *at < data);
        let start = dictionary.unwrap_or(data);
        let start = u64::try_from(start).ok();
        let end = start.zip(u64::try_from(chunk.compressed_size()).ok()).and_then(|(a, b)| a.checked_add(b));
        let range = start.zip(end).filter(|(_, end)| *end <= self.start);
        let (start, end) = range.ok_or_else(|| broken("lies outside of the object"))?;
        let has_nulls = chunk.column_descr().max_def_level() > 0;
        Ok(Chunk {
            range: start..end,
            column: PagedColumn { codec, physical: chunk.column_type(), has_nulls },
        })
    }
}

/// A column that was chosen.
struct Chosen {
    /// Its place among the columns that hold values.
    leaf: usize,
    kind: ColumnKind,
    has_dates: bool,
}

/// The bounds that the statistics of a column chunk give. Whether a minimum or a maximum is one of the
/// values does not matter. Those of files that do not say how they order texts are none: old writers
/// took bytes for signed numbers. INT96 has no order.
fn date_range(chunk: &ColumnChunkMetaData, order: Option<&ColumnOrder>) -> Option<DateRange> {
    let statistics = chunk.statistics()?;
    if statistics.null_count_opt() != Some(0) {
        return None;
    }
    let is_ordered = matches!(order, Some(ColumnOrder::TYPE_DEFINED_ORDER(_)));
    match statistics {
        Statistics::Int32(values) => {
            Some(DateRange::Numbers(i64::from(*values.min_opt()?), i64::from(*values.max_opt()?)))
        }
        Statistics::Int64(values) => Some(DateRange::Numbers(*values.min_opt()?, *values.max_opt()?)),
        Statistics::ByteArray(values) if is_ordered && !statistics.is_min_max_deprecated() => {
            Some(DateRange::Texts(values.min_opt()?.data().to_vec(), values.max_opt()?.data().to_vec()))
        }
        _ => None,
    }
}

impl ParquetObject {
    /// What the chosen columns hold, in the order in which they were chosen.
    #[must_use]
    pub fn columns(&self) -> &[ColumnKind] {
        &self.columns
    }

    /// The row groups in order: how many rows each has, and between which dates they lie, if that is
    /// known.
    pub fn row_groups(&self) -> impl Iterator<Item = (u64, Option<&DateRange>)> {
        self.row_groups.iter().map(|row_group| (row_group.rows as u64, row_group.dates.as_ref()))
    }

    /// Bytes of a row group's chosen columns, as they are stored.
    #[must_use]
    pub fn stored_bytes(&self, row_group: usize) -> u64 {
        self.row_groups[row_group].ranges().map(|range| range.end - range.start).sum()
    }
}

impl RowGroup {
    /// Where in the object the chunks lie.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.chunks.iter().map(|chunk| chunk.range.clone())
    }
}
