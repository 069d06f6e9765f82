//! Spoilt objects: an error that names them, or what they held; never a panic, never rows from nowhere.

use super::sheets::{
    seen::Seen,
    sheet::{Cell, Sheet, text},
};
use crate::support::Place;
use ::parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::EnabledStatistics,
};
use source::{ColumnUse, SourceError};
use std::{fs, path::Path};

const COLUMNS: [(&str, ColumnUse); 2] = [("id", ColumnUse::Text), ("date", ColumnUse::Date)];

fn sheet() -> Sheet {
    let ids =
        (0..60).map(|number| if number == 7 { Cell::Null } else { text(&format!("id {}", number % 13)) });
    let dates = (0..60).map(|number| Cell::Number(20_047 + number / 40));
    let mut sheet = Sheet::new(
        "optional binary id (STRING); required int32 date (DATE);",
        vec![ids.collect(), dates.collect()],
    );
    (sheet.group_rows, sheet.page_rows) = (40, 25);
    sheet
}

/// What is read of these bytes, or what is said of them.
async fn read(place: &Place, bytes: &[u8]) -> Result<Seen, SourceError> {
    read_columns(place, bytes, &COLUMNS).await
}

async fn read_columns(
    place: &Place,
    bytes: &[u8],
    columns: &[(&str, ColumnUse)],
) -> Result<Seen, SourceError> {
    place.put("log", bytes).await;
    place.parquet(&place.object("log").await, columns).await
}

fn is_refusal(error: &SourceError) -> bool {
    matches!(error, SourceError::Damaged { format: "Parquet", .. } | SourceError::Unsupported { .. })
}

/// Where the footer begins.
fn footer_start(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    tail - u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize
}

#[tokio::test]
async fn cut_off_anywhere_it_is_refused() {
    let place = Place::directory();
    let bytes = sheet().written();
    for length in 0..bytes.len() {
        let error = read(&place, &bytes[..length]).await.unwrap_err();
        assert!(is_refusal(&error), "{length} bytes: {error}");
    }
    let error = read(&place, &[&bytes[..], b"more"].concat()).await.unwrap_err().to_string();
    let reason = "it does not end as it begins, with PAR1: it is cut off, or something follows it";
    assert_eq!(error, format!("{}/log cannot be read as Parquet: {reason}", place.location.url()));
    for length in 4..=12_u64 {
        let error =
            read(&place, &[b"PAR1", &b"\0\0\0\0PAR1"[8 - usize::try_from(length - 4).unwrap()..]].concat())
                .await;
        assert!(is_refusal(&error.unwrap_err()), "{length} bytes with the magic");
    }
}

/// Every byte of `range` is replaced, one after the other, by some others.
async fn spoil(
    bytes: &[u8],
    columns: &[(&str, ColumnUse)],
    range: std::ops::Range<usize>,
    check: impl Fn(usize, u8, Result<Seen, SourceError>),
) {
    let place = Place::directory();
    for at in range {
        for spoilt in [bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at].wrapping_add(2), 0, 0xFF, 0x15] {
            if spoilt != bytes[at] {
                let mut bytes = bytes.to_vec();
                bytes[at] = spoilt;
                check(at, spoilt, read_columns(&place, &bytes, columns).await);
            }
        }
    }
}

#[tokio::test]
async fn a_spoilt_footer_is_refused_or_does_not_matter() {
    let mut sheet = sheet();
    // A row group whose bounds are spoilt cannot be told from one of other days.
    sheet.statistics = EnabledStatistics::None;
    let bytes = sheet.written();
    let place = Place::directory();
    let expected = read(&place, &bytes).await.unwrap();
    let start = footer_start(&bytes);
    spoil(&bytes, &COLUMNS, start..bytes.len(), |at, spoilt, seen| match seen {
        // The kind of date is what the footer says, and nothing says it twice.
        Ok(seen) => assert_eq!(seen.columns, expected.columns, "byte {} is {spoilt:#x}", at - start),
        Err(error) => assert!(is_refusal(&error), "byte {} is {spoilt:#x}: {error}", at - start),
    })
    .await;
}

fn has_all_rows(at: usize, spoilt: u8, seen: Result<Seen, SourceError>) {
    match seen {
        Ok(seen) => assert_eq!(seen.columns[0].len(), 60, "byte {at} is {spoilt:#x}"),
        Err(error) => assert!(is_refusal(&error), "byte {at} is {spoilt:#x}: {error}"),
    }
}

#[tokio::test]
async fn spoilt_pages_never_panic_and_checksums_tell_them() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ] {
        for (has_dictionary, is_version_2) in [(true, false), (false, true)] {
            let mut sheet = sheet();
            (sheet.compression, sheet.has_dictionary, sheet.is_version_2) =
                (compression, has_dictionary, is_version_2);
            let bytes = sheet.written();
            let end = footer_start(&bytes);
            spoil(&bytes, &COLUMNS, 4..end, has_all_rows).await;
        }
    }
}

#[tokio::test]
async fn spoilt_values_of_the_rarer_encodings_never_panic() {
    for (texts, numbers) in [
        (Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_BINARY_PACKED),
        (Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::BYTE_STREAM_SPLIT),
    ] {
        for (schema, column, encoding) in [
            ("optional binary date (STRING);", sheet().columns[0].clone(), texts),
            ("required int32 date (DATE);", sheet().columns[1].clone(), numbers),
        ] {
            let mut sheet = Sheet::new(schema, vec![column]);
            sheet.has_dictionary = false;
            sheet.encodings.insert("date", encoding);
            let bytes = sheet.written();
            let end = footer_start(&bytes);
            spoil(&bytes, &[("date", ColumnUse::Date)], 4..end, has_all_rows).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let place = Place::directory();
    let mut sheet = sheet();
    sheet.compression = Compression::SNAPPY;
    let bytes = sheet.written();
    // The codec of a column chunk, a small number, stands somewhere in the footer.
    let mut said = Vec::new();
    for at in footer_start(&bytes)..bytes.len() - 8 {
        let mut bytes = bytes.clone();
        bytes[at] = 8;
        said.extend(read(&place, &bytes).await.err().map(|error| error.to_string()));
    }
    let brotli =
        format!("{}/log cannot be read: column \"id\" is compressed with BROTLI", place.location.url());
    assert!(said.contains(&brotli), "{said:#?}");

    let mut encrypted = bytes.clone();
    let end = encrypted.len() - 4;
    encrypted[end..].copy_from_slice(b"PARE");
    let error = read(&place, &encrypted).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{}/log cannot be read: it is encrypted", place.location.url()));
    assert!(error.help().unwrap().contains("without Parquet's own encryption"));
}

/// What is read of the texts and the dates of a file beside this one.
async fn read_kept(name: &str) -> Result<Seen, SourceError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/source/parquet/hostile");
    let bytes = fs::read(folder.join(name)).unwrap();
    let columns =
        [("advertiser_id", ColumnUse::Text), ("product_id", ColumnUse::Text), ("date", ColumnUse::Date)];
    read_columns(&Place::directory(), &bytes, &columns).await
}

#[tokio::test]
async fn a_few_bytes_that_claim_to_be_many_are_refused_before_memory_is_taken() {
    for (name, reason) in [
        // 2,147,483,647 row groups, for each of which the library would take memory.
        ("row_groups_claim.parquet", "its footer: it claims more than it holds"),
        // Pages of two gigabytes in a few bytes.
        ("snappy_claim.parquet", "a page of 2147483647 bytes, more than 268435456"),
        ("zstd_claim.parquet", "a page of 2147483647 bytes, more than 268435456"),
        // 100,000,000 empty texts for one row.
        ("dictionary_bomb.parquet", "a page of 400000000 bytes, more than 268435456"),
        // 134,217,728 empty texts, of which each length takes no bit.
        ("delta_claim.parquet", "a page of more than 16777216 values"),
    ] {
        let error = read_kept(name).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("/log cannot be read as Parquet: {reason}")), "{name}: {error}");
    }
}

#[tokio::test]
async fn what_is_behind_the_last_row_is_not_looked_at() {
    for name in ["trailing_dictionary.parquet", "trailing_dictionary_numbers.parquet"] {
        let seen = read_kept(name).await.unwrap();
        assert_eq!(seen.columns.iter().map(Vec::len).collect::<Vec<_>>(), [200; 3], "{name}");
    }
}
