//! What a column's type is, and what it can be read as.

use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit as ParquetUnit, Type as Physical},
    schema::types::{ColumnDescriptor, Type},
};

/// What a column is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnUse {
    /// Text, or bytes that ought to be text.
    Text,
    /// Text, or dates, or date-times.
    Date,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text, or bytes that ought to be text.
    Text,
    /// Days since 1970-01-01.
    Days,
    /// Time since 1970-01-01T00:00:00Z.
    Instants(TimeUnit),
    /// Time since 1970-01-01T00:00:00 on a clock of no zone.
    Civil(TimeUnit),
}

/// What a number of a date-time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Billionths of a second.
    Nanos,
}

impl ColumnKind {
    /// What the column holds, if that is of use.
    pub(super) fn of(column: &ColumnDescriptor, wanted_for: ColumnUse) -> Option<Self> {
        let kind = match column.physical_type() {
            Physical::BYTE_ARRAY => is_text(column).then_some(Self::Text),
            Physical::INT32 => is_date(column).then_some(Self::Days),
            Physical::INT64 => date_time(column),
            // Written by Spark, Hive and Impala before there were other date-times, in UTC.
            Physical::INT96 => Some(Self::Instants(TimeUnit::Seconds)),
            _ => None,
        };
        kind.filter(|kind| wanted_for == ColumnUse::Date || *kind == Self::Text)
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(logical) => matches!(logical, LogicalType::String | LogicalType::Enum | LogicalType::Json),
        None => matches!(
            column.converted_type(),
            ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        ),
    }
}

fn is_date(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(logical) => *logical == LogicalType::Date,
        None => column.converted_type() == ConvertedType::DATE,
    }
}

fn date_time(column: &ColumnDescriptor) -> Option<ColumnKind> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(timestamp)), _) => {
            let unit = match timestamp.unit {
                ParquetUnit::MILLIS => TimeUnit::Millis,
                ParquetUnit::MICROS => TimeUnit::Micros,
                ParquetUnit::NANOS => TimeUnit::Nanos,
            };
            let is_instant = timestamp.is_adjusted_to_u_t_c;
            Some(if is_instant { ColumnKind::Instants(unit) } else { ColumnKind::Civil(unit) })
        }
        // Older files have but these, which are of UTC.
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some(ColumnKind::Instants(TimeUnit::Millis)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some(ColumnKind::Instants(TimeUnit::Micros)),
        _ => None,
    }
}

/// A column's type, for people to read.
pub(super) fn type_name(column: &Type) -> String {
    if column.is_group() {
        return "a column of columns".to_owned();
    }
    let info = column.get_basic_info();
    let physical = column.get_physical_type();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(logical), _) => format!("{physical} ({logical:?})"),
        (None, ConvertedType::NONE) => physical.to_string(),
        (None, converted) => format!("{physical} ({converted})"),
    }
}
