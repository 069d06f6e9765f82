//! What is read of a Parquet object.

use super::sheet::Cell;
use source::{
    ColumnKind, ColumnUse, DateRange, ObjectInfo, ParquetObject, Reading, RowGroupReader, RowGroups,
    RowValues, SourceError,
};

/// What is read of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kinds: Vec<ColumnKind>,
    pub(crate) columns: Vec<Vec<Cell>>,
    pub(crate) dates: Vec<Option<DateRange>>,
}

/// The object with these columns chosen.
pub(crate) async fn choose(
    reading: &Reading,
    object: &ObjectInfo,
    columns: &[(&str, ColumnUse)],
) -> Result<ParquetObject, SourceError> {
    let footer = reading.parquet_footer(object).await?;
    let names = footer.column_names();
    let place = |name: &str| names.iter().position(|found| found == name);
    let chosen = columns.iter().map(|(name, wanted)| Some((place(name)?, *wanted)));
    let chosen = chosen.collect::<Option<Vec<_>>>().ok_or_else(|| SourceError::Unsupported {
        url: reading.location().object_url(&object.name),
        reason: format!("it has {names:?}"),
        remedy: "",
    })?;
    footer.choose(&chosen)
}

/// All that is read of it; this blocks.
pub(crate) fn see(reading: &Reading, parquet: &ParquetObject) -> Result<Seen, SourceError> {
    let row_groups = RowGroups::new(reading);
    let kinds = parquet.columns().to_vec();
    let mut columns = vec![Vec::new(); kinds.len()];
    let mut dates = Vec::new();
    for (index, (rows, range)) in parquet.row_groups().enumerate() {
        let before = columns[0].len();
        read_row_group(row_groups.open(parquet, index)?, &mut columns)?;
        assert_eq!((columns[0].len() - before) as u64, rows, "row group {index}");
        dates.push(range.cloned());
    }
    Ok(Seen { kinds, columns, dates })
}

fn read_row_group(mut reader: RowGroupReader, all: &mut [Vec<Cell>]) -> Result<(), SourceError> {
    loop {
        let rows = reader.next_rows()?;
        if rows == 0 {
            return Ok(());
        }
        for (number, cells) in all.iter_mut().enumerate() {
            let column = reader.column(number);
            let text = |span: (u32, u32)| match span {
                (_, u32::MAX) => Cell::Null,
                (start, length) => Cell::Text(column.bytes[start as usize..][..length as usize].to_vec()),
            };
            let number = |number| if number == i64::MIN { Cell::Null } else { Cell::Number(number) };
            let before = cells.len();
            match column.values {
                RowValues::Texts(texts) => cells.extend(texts.iter().map(|span| text(*span))),
                RowValues::Numbers(numbers) => cells.extend(numbers.iter().map(|value| number(*value))),
                RowValues::TextKeys(keys, texts) => cells.extend(
                    keys.keys
                        .iter()
                        .map(|key| texts.get(*key as usize).map_or(Cell::Null, |span| text(*span))),
                ),
                RowValues::NumberKeys(keys, numbers) => {
                    cells.extend(
                        keys.keys
                            .iter()
                            .map(|key| numbers.get(*key as usize).map_or(Cell::Null, |value| number(*value))),
                    );
                }
            }
            assert_eq!(cells.len() - before, rows);
        }
    }
}
