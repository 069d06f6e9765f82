//! Parquet as others may write it.

use ::parquet::{
    basic::{Compression, Encoding},
    column::writer::ColumnWriter,
    data_type::{ByteArray, Int96},
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};
use std::{collections::HashMap, sync::Arc};

/// A value of a column: a text, a number, or null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(Vec<u8>),
    Number(i64),
    Null,
}

pub(crate) fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

/// A file to be written.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    /// The columns of a schema such as `optional binary date (STRING);`.
    pub(crate) schema: String,
    /// Column by column.
    pub(crate) columns: Vec<Vec<Cell>>,
    pub(crate) group_rows: usize,
    pub(crate) compression: Compression,
    pub(crate) has_dictionary: bool,
    /// By the column's name, where there is no dictionary.
    pub(crate) encodings: HashMap<&'static str, Encoding>,
    pub(crate) is_version_2: bool,
    pub(crate) page_rows: usize,
    pub(crate) statistics: EnabledStatistics,
}

impl Sheet {
    pub(crate) fn new(schema: &str, columns: Vec<Vec<Cell>>) -> Self {
        Self {
            schema: schema.to_owned(),
            columns,
            group_rows: usize::MAX,
            compression: Compression::UNCOMPRESSED,
            has_dictionary: true,
            encodings: HashMap::new(),
            is_version_2: false,
            page_rows: 20_000,
            statistics: EnabledStatistics::Chunk,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns[0].len()
    }

    pub(crate) fn written(&self) -> Vec<u8> {
        let schema = parse_message_type(&format!("message log {{ {} }}", self.schema)).unwrap();
        let version = if self.is_version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let mut properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_dictionary_enabled(self.has_dictionary)
            .set_writer_version(version)
            .set_data_page_row_count_limit(self.page_rows)
            .set_write_batch_size(self.page_rows.min(1024))
            .set_statistics_enabled(self.statistics);
        for (column, encoding) in &self.encodings {
            properties = properties.set_column_encoding(ColumnPath::from(*column), *encoding);
        }
        let mut bytes = Vec::new();
        let mut file =
            SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties.build())).unwrap();
        let mut start = 0;
        while start < self.rows() {
            let end = self.rows().min(start.saturating_add(self.group_rows));
            let mut group = file.next_row_group().unwrap();
            let mut columns = self.columns.iter();
            while let Some(mut column) = group.next_column().unwrap() {
                write(&mut column, &columns.next().unwrap()[start..end]);
                column.close().unwrap();
            }
            group.close().unwrap();
            start = end;
        }
        file.close().unwrap();
        bytes
    }
}

fn write(column: &mut SerializedColumnWriter<'_>, cells: &[Cell]) {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(*cell != Cell::Null)).collect();
    let levels = Some(&levels[..]);
    let numbers = || {
        cells.iter().filter_map(|cell| match cell {
            Cell::Number(number) => Some(*number),
            _ => None,
        })
    };
    let texts = || {
        cells.iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(ByteArray::from(text.clone())),
            _ => None,
        })
    };
    match column.untyped() {
        ColumnWriter::ByteArrayColumnWriter(column) => {
            column.write_batch(&texts().collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::Int32ColumnWriter(column) => {
            let numbers: Vec<_> = numbers().map(|number| i32::try_from(number).unwrap()).collect();
            column.write_batch(&numbers, levels, None)
        }
        ColumnWriter::Int64ColumnWriter(column) => {
            column.write_batch(&numbers().collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::Int96ColumnWriter(column) => {
            let int96 = |seconds: i64| {
                let mut value = Int96::new();
                let nanos = u64::try_from(seconds.rem_euclid(86_400) * 1_000_000_000 + 999_999_999).unwrap();
                let day = u32::try_from(seconds.div_euclid(86_400) + 2_440_588).unwrap();
                value.set_data(nanos as u32, (nanos >> 32) as u32, day);
                value
            };
            column.write_batch(&numbers().map(int96).collect::<Vec<_>>(), levels, None)
        }
        _ => panic!("no test writes another type"),
    }
    .unwrap();
}
