//! An object made of bytes, spoilt or not, that is read as it was written or refused.

use super::{
    seen::{Seen, choose, see},
    sheet::{Cell, Sheet},
};
use ::parquet::{
    basic::{Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::EnabledStatistics,
};
use source::{ColumnUse, Location, ObjectInfo, ReadLimits, Reading, SourceError};
use std::{collections::HashMap, fs};
use tokio::runtime::{Builder, Runtime};

const COMPRESSIONS: [Compression; 4] =
    [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW, Compression::LZ4];

/// How dates may be written, and the encodings of each without a dictionary.
const DATES: [(&str, &[Encoding]); 6] = [
    ("binary date (STRING)", TEXTS),
    ("int32 date (DATE)", NUMBERS),
    ("int64 date (TIMESTAMP(MILLIS,true))", NUMBERS),
    ("int64 date (TIMESTAMP(MICROS,false))", NUMBERS),
    ("int64 date (TIMESTAMP(NANOS,true))", NUMBERS),
    ("int96 date", &[Encoding::PLAIN]),
];
const TEXTS: &[Encoding] = &[Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY];
const NUMBERS: &[Encoding] = &[Encoding::PLAIN, Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT];

/// Reads what the bytes say; panics when ours does not read it as it should.
pub(crate) fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let how = bytes.next();
    if how == 0 {
        return drop(read(bytes.0, &[("date", ColumnUse::Date)]));
    }
    let spoilt: Vec<_> = (0..how % 4).map(|_| (bytes.next(), bytes.next(), bytes.next())).collect();
    let sheet = sheet(&mut bytes, how / 4);
    let mut object = sheet.written();
    for (high, low, bit) in &spoilt {
        let place = (usize::from(*high) << 8 | usize::from(*low)) % object.len();
        object[place] ^= 1 << (bit % 8);
    }
    match read(&object, &[("id", ColumnUse::Text), ("date", ColumnUse::Date)]) {
        Ok(seen) if spoilt.is_empty() => assert_eq!(seen.columns, sheet.columns, "{sheet:?}"),
        Ok(seen) => assert_eq!(seen.columns[0].len(), seen.columns[1].len()),
        Err(error) => {
            assert!(!spoilt.is_empty(), "{error}: {sheet:?}");
            let is_refusal = matches!(error, SourceError::Damaged { .. } | SourceError::Unsupported { .. });
            assert!(is_refusal, "{error}: {sheet:?}");
        }
    }
}

/// Bytes that are zero behind their end.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn sheet(bytes: &mut Bytes<'_>, way: u8) -> Sheet {
    let (date, encodings) = DATES[usize::from(bytes.next()) % DATES.len()];
    let is_required = way & 1 == 1;
    let repetition = if is_required { "required" } else { "optional" };
    let compression = match bytes.next() {
        0x40 => Compression::ZSTD(ZstdLevel::default()),
        0x41 => Compression::GZIP(GzipLevel::default()),
        other => COMPRESSIONS[usize::from(other) % COMPRESSIONS.len()],
    };
    let has_dictionary = way & 2 == 2;
    let encoding = usize::from(bytes.next());
    let (group_rows, page_rows) = (1 + usize::from(bytes.next()) % 60, 1 + usize::from(bytes.next()) % 40);
    let (mut ids, mut dates) = (Vec::new(), Vec::new());
    while !bytes.0.is_empty() {
        let length = bytes.next();
        let id = Cell::Text(bytes.take(usize::from(length % 20)).to_vec());
        let date = match (date, bytes.next()) {
            ("binary date (STRING)", length) => Cell::Text(bytes.take(usize::from(length % 12)).to_vec()),
            (_, small) if small < 0xF0 => Cell::Number(i64::from(small) - 0x80),
            ("int32 date (DATE)", _) => Cell::Number(i64::from(i32::from_le_bytes(four(bytes.take(4))))),
            // Its days are counted from -4713 on, by numbers of 32 bits.
            ("int96 date", _) => Cell::Number(i64::from(u32::from_le_bytes(four(bytes.take(4))))),
            _ => {
                let [low, high] = [four(bytes.take(4)), four(bytes.take(4))].map(u32::from_le_bytes);
                Cell::Number(((u64::from(high) << 32) | u64::from(low)).cast_signed().max(i64::MIN + 1))
            }
        };
        let is_null = |flag: u8| !is_required && length & flag != 0;
        ids.push(if is_null(0x40) { Cell::Null } else { id });
        dates.push(if is_null(0x80) { Cell::Null } else { date });
    }
    let schema = format!("{repetition} binary id (STRING); {repetition} {date};");
    Sheet {
        schema,
        columns: vec![ids, dates],
        group_rows,
        compression,
        has_dictionary,
        encodings: if has_dictionary {
            HashMap::new()
        } else {
            let of = |encodings: &[Encoding]| encodings[encoding % encodings.len()];
            HashMap::from([("id", of(TEXTS)), ("date", of(encodings))])
        },
        is_version_2: way & 4 == 4,
        page_rows,
        statistics: EnabledStatistics::Chunk,
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    let mut four = [0; 4];
    four[..bytes.len()].copy_from_slice(bytes);
    four
}

/// What is read of these bytes.
fn read(bytes: &[u8], columns: &[(&str, ColumnUse)]) -> Result<Seen, SourceError> {
    thread_local! {
        static PLACE: (Runtime, tempfile::TempDir) =
            (Builder::new_current_thread().build().unwrap(), tempfile::tempdir().unwrap());
    }
    PLACE.with(|(runtime, folder)| {
        let path = folder.path().join("log");
        fs::write(&path, bytes).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let object = ObjectInfo { name: "log".into(), size: bytes.len() as u64, etag: None, modified };
        let url = folder.path().to_str().unwrap();
        let location = Location::open(url).unwrap();
        let reading = Reading::new(&location, ReadLimits::for_threads(1), runtime.handle());
        let parquet = runtime.block_on(choose(&reading, &object, columns))?;
        see(&reading, &parquet)
    })
}
