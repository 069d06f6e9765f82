//! Sound objects.

use super::sheets::{
    seen::Seen,
    sheet::{Cell, Sheet, text},
};
use crate::support::{Place, on_both};
use ::parquet::{
    basic::{Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::EnabledStatistics,
};
use proptest::prelude::*;
use source::{ColumnKind, ColumnUse, DateRange, TimeUnit};

const TEXTS: [(&str, ColumnUse); 2] = [("id", ColumnUse::Text), ("date", ColumnUse::Date)];

fn compressions() -> [Compression; 6] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ]
}

fn numbered(count: usize) -> Vec<Cell> {
    (0..count).map(|number| text(&format!("id {}", number * 7 % 1000))).collect()
}

fn check(seen: &Seen, sheet: &Sheet, shown: &str) {
    for (number, (seen, written)) in seen.columns.iter().zip(&sheet.columns).enumerate() {
        let differs = seen.iter().zip(written).position(|(seen, written)| seen != written);
        assert_eq!((seen.len(), differs), (written.len(), None), "column {number} of {shown}");
    }
}

#[tokio::test]
async fn every_codec_and_page_version_reads_back_on_both_places() {
    on_both(async |place| {
        for compression in compressions() {
            for is_version_2 in [false, true] {
                let mut sheet = Sheet::new(
                    "required binary id (STRING); required int32 date (DATE);",
                    vec![numbered(5000), (0..5000).map(|number| Cell::Number(number / 100)).collect()],
                );
                (sheet.compression, sheet.is_version_2) = (compression, is_version_2);
                (sheet.group_rows, sheet.page_rows) = (1700, 600);
                let name = format!("{compression:?}-{is_version_2}.parquet");
                place.put(&name, sheet.written()).await;
                let seen = place.parquet(&place.object(&name).await, &TEXTS).await.unwrap();
                check(&seen, &sheet, &name);
                assert_eq!(seen.kinds, [ColumnKind::Text, ColumnKind::Days]);
                assert_eq!(seen.dates[1], Some(DateRange::Numbers(17, 33)));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_chosen_columns_are_needed_in_any_order() {
    let place = Place::directory();
    let other = "optional group point { optional int32 x; } optional int96 other;";
    let schema = format!("optional int64 date (TIMESTAMP(MICROS,true)); {other} optional binary id;");
    let columns = [
        vec![Cell::Number(1), Cell::Null],
        vec![Cell::Null, Cell::Null],
        vec![Cell::Number(5), Cell::Number(6)],
        vec![Cell::Text(vec![0xFF]), Cell::Null],
    ];
    let sheet = Sheet::new(&schema, columns.to_vec());
    place.put("log", sheet.written()).await;
    let seen = place.parquet(&place.object("log").await, &TEXTS).await.unwrap();
    assert_eq!(seen.columns, [columns[3].clone(), columns[0].clone()]);
    assert_eq!(seen.kinds, [ColumnKind::Text, ColumnKind::Instants(TimeUnit::Micros)]);
    assert_eq!(seen.dates, [None], "a null has no place between bounds");
}

/// What a column of this type is read as, and its values.
async fn read_date(column: &str, cells: Vec<Cell>) -> Result<(ColumnKind, Vec<Cell>), String> {
    let place = Place::directory();
    let sheet = Sheet::new(&format!("optional {column};"), vec![cells]);
    place.put("log", sheet.written()).await;
    let seen = place.parquet(&place.object("log").await, &[("date", ColumnUse::Date)]).await;
    let seen = seen.map_err(|error| error.to_string().replace(place.location.url(), "…"))?;
    Ok((seen.kinds[0], seen.columns[0].clone()))
}

#[tokio::test]
async fn every_type_of_date_is_told() {
    use ColumnKind::{Civil, Days, Instants, Text};
    let numbers = vec![Cell::Number(-7), Cell::Null, Cell::Number(20_047)];
    for (column, kind) in [
        ("int32 date (DATE)", Days),
        ("int64 date (TIMESTAMP(MILLIS,true))", Instants(TimeUnit::Millis)),
        ("int64 date (TIMESTAMP(MICROS,false))", Civil(TimeUnit::Micros)),
        ("int64 date (TIMESTAMP(NANOS,true))", Instants(TimeUnit::Nanos)),
        ("int64 date (TIMESTAMP_MILLIS)", Instants(TimeUnit::Millis)),
        ("int96 date", Instants(TimeUnit::Seconds)),
    ] {
        assert_eq!(read_date(column, numbers.clone()).await, Ok((kind, numbers.clone())), "{column}");
    }
    let texts = vec![text("2024-11-20"), Cell::Null, text("")];
    for column in ["binary date", "binary date (STRING)", "binary date (UTF8)", "binary date (ENUM)"] {
        assert_eq!(read_date(column, texts.clone()).await, Ok((Text, texts.clone())), "{column}");
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_refused_by_name() {
    let expected = "expected: text (BYTE_ARRAY, String), a date (INT32, Date) or a timestamp (INT64, Timestamp, or INT96)";
    for (column, found) in [
        ("int32 date", "INT32"),
        ("int64 date", "INT64"),
        (
            "int64 date (TIME(MICROS,true))",
            "INT64 (Time(TimestampType { is_adjusted_to_u_t_c: true, unit: MICROS }))",
        ),
    ] {
        let message = format!("…/log cannot be read: column \"date\" is {found}; {expected}");
        assert_eq!(read_date(column, vec![Cell::Number(1)]).await, Err(message));
    }
}

#[tokio::test]
async fn bounds_are_taken_only_where_they_hold() {
    let place = Place::directory();
    let dates = async |sheet: Sheet| {
        place.put("log", sheet.written()).await;
        let seen = place.parquet(&place.object("log").await, &[("date", ColumnUse::Date)]).await;
        seen.unwrap().dates
    };
    let texts = || Sheet::new("optional binary date (STRING);", vec![vec![text("b"), text("a")]]);
    assert_eq!(dates(texts()).await, [Some(DateRange::Texts(b"a".to_vec(), b"b".to_vec()))]);
    let mut without = texts();
    without.statistics = EnabledStatistics::None;
    assert_eq!(dates(without).await, [None]);
    let mut with_null = texts();
    with_null.columns[0].push(Cell::Null);
    assert_eq!(dates(with_null).await, [None]);
    let int96 = Sheet::new("optional int96 date;", vec![vec![Cell::Number(1)]]);
    assert_eq!(dates(int96).await, [None]);
}

#[tokio::test]
async fn row_groups_larger_than_what_is_fetched_at_once_are_read_in_windows() {
    on_both(async |place| {
        let long = |number: usize| text(&format!("{number:0>1000}"));
        let ids = (0..12_000).map(long).collect::<Vec<_>>();
        let mut sheet = Sheet::new(
            "optional binary id (STRING); optional int32 date (DATE);",
            vec![ids, (0..12_000).map(Cell::Number).collect()],
        );
        (sheet.has_dictionary, sheet.page_rows, sheet.group_rows) = (false, 500, 11_000);
        place.put("log", sheet.written()).await;
        let seen = place.parquet(&place.object("log").await, &TEXTS).await.unwrap();
        check(&seen, &sheet, "a large file");
    })
    .await;
}

#[tokio::test]
async fn an_object_without_rows_has_columns_all_the_same() {
    let place = Place::directory();
    let sheet = Sheet::new("required binary id; required int32 date (DATE);", vec![vec![], vec![]]);
    place.put("log", sheet.written()).await;
    let seen = place.parquet(&place.object("log").await, &TEXTS).await.unwrap();
    assert_eq!((seen.columns, seen.dates), (vec![vec![], vec![]], vec![]));
}

#[tokio::test]
async fn an_object_that_changed_after_its_footer_was_read_is_told() {
    on_both(async |place| {
        let sheet = Sheet::new(
            "required binary id; required int32 date (DATE);",
            vec![numbered(100), vec![Cell::Number(3); 100]],
        );
        place.put("log", sheet.written()).await;
        let object = place.object("log").await;
        let mut other = sheet.written();
        other.reverse();
        place.put("log", other).await;
        place.set_modified("log", 1_700_000_000);
        let error = place.parquet(&object, &TEXTS).await.unwrap_err().to_string();
        assert!(error.contains("/log changed after the run began: "), "{error}");
    })
    .await;
}

fn cells() -> impl Strategy<Value = (Vec<Cell>, Vec<Cell>)> {
    let id = prop_oneof![
        4 => "[ab]{0,3}|[a-z]{9,12}".prop_map(|id| text(&id)),
        1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Cell::Text),
        1 => Just(Cell::Null),
    ];
    let number = prop_oneof![4 => (-3..3_i64).prop_map(Cell::Number), 2 => (i64::MIN + 1..).prop_map(Cell::Number), 1 => Just(Cell::Null)];
    proptest::collection::vec((id, number), 1..400).prop_map(|rows| rows.into_iter().unzip())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_was_written_is_read(
        (ids, numbers) in cells(),
        group_rows in 1..500_usize,
        page_rows in 1..200_usize,
        compression in prop::sample::select(compressions().to_vec()),
        is_version_2 in any::<bool>(),
        has_dictionary in any::<bool>(),
        encodings in prop::sample::select(vec![
            (None, None),
            (Some(Encoding::DELTA_LENGTH_BYTE_ARRAY), Some(Encoding::DELTA_BINARY_PACKED)),
            (Some(Encoding::DELTA_BYTE_ARRAY), Some(Encoding::BYTE_STREAM_SPLIT)),
            (Some(Encoding::PLAIN), Some(Encoding::PLAIN)),
        ]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (schema, cells, encoding) in [
            ("optional binary date (STRING);", ids, encodings.0),
            ("optional int64 date (TIMESTAMP(NANOS,false));", numbers, encodings.1),
        ] {
            let sheet = Sheet {
                schema: schema.to_owned(),
                columns: vec![cells],
                group_rows,
                compression,
                has_dictionary,
                encodings: encoding.filter(|_| !has_dictionary).map(|encoding| ("date", encoding)).into_iter().collect(),
                is_version_2,
                page_rows,
                statistics: EnabledStatistics::Page,
            };
            let place = Place::directory();
            let seen = runtime.block_on(async {
                place.put("log", sheet.written()).await;
                place.parquet(&place.object("log").await, &[("date", ColumnUse::Date)]).await
            });
            check(&seen.unwrap(), &sheet, schema);
        }
    }
}
