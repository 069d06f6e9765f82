//! Parquet that is no log, Parquet with rows that cannot be understood, and unusual Parquet that is all right.

use super::{Case, Section, files::gzip};
use crate::{
    parquet_file,
    scene::{JSON_ADS, Scene},
};
use arrow_array::{
    ArrayRef, BinaryArray, Date32Array, Float64Array, Int64Array, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use std::{fs, path::Path, sync::Arc};

/// 2024-11-20 in days since 1970-01-01.
const DAY: i32 = 20_047;
/// The same as microseconds, at 13:00.
const TIME: i64 = (DAY as i64 * 24 + 13) * 3_600_000_000;
const ROWS: usize = 100;

fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

/// The columns of so many good rows of the ad log.
fn good(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let kinds: Vec<_> = ["impression", "click"].into_iter().cycle().map(Some).take(rows).collect();
    vec![
        ("advertiser_id", texts(&vec![Some("acme"); rows])),
        ("product_id", texts(&vec![Some("shoe"); rows])),
        ("type", texts(&kinds)),
        ("date", Arc::new(Date32Array::from(vec![DAY; rows]))),
    ]
}

/// The ad log as Parquet, of good rows with this column instead of one of the same name.
fn with_column(scene: &Scene, name: &'static str, column: ArrayRef) {
    let mut columns = good(column.len());
    columns.retain(|(other, _)| *other != name);
    columns.push((name, column));
    write(scene, &parquet_file::written(&columns, ROWS, true));
}

/// Good rows, and one whose text in a column is this.
fn with_text(scene: &Scene, name: &'static str, text: Option<&[u8]>) {
    let good: &[u8] = match name {
        "advertiser_id" => b"acme",
        "product_id" => b"shoe",
        "type" => b"impression",
        _ => b"2024-11-20",
    };
    let mut texts = vec![Some(good); ROWS];
    texts.push(text);
    with_column(scene, name, Arc::new(BinaryArray::from(texts)));
}

/// The ad log as Parquet, under another name, and nothing else.
fn write(scene: &Scene, bytes: &[u8]) {
    scene.remove("logs/ads_views.csv");
    scene.write("logs/ads_views.parquet", bytes);
}

fn sound() -> Vec<u8> {
    parquet_file::written(&good(ROWS), ROWS, true)
}

/// Where the footer begins.
fn footer_start(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    tail - u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize
}

pub(crate) const NOT_A_LOG: Section = Section {
    title: "Parquet that is not the log it claims to be",
    says: "What begins with `PAR1` is Parquet. Its footer says where each column lies and of which type it is; none of it is believed \
           before it is checked. The ad log is `ads_views.parquet` here.",
    cases: &[
        Case {
            what: "nothing but how it begins and ends",
            exit: 3,
            prepare: |scene| write(scene, b"PAR1\x15\x04\x15\x10PAR1"),
        },
        Case {
            what: "cut off",
            exit: 3,
            prepare: |scene| {
                let bytes = sound();
                write(scene, &bytes[..bytes.len() - 10]);
            },
        },
        Case {
            what: "something follows it",
            exit: 3,
            prepare: |scene| write(scene, &[&sound()[..], b"more"].concat()),
        },
        Case {
            what: "a footer of zeros",
            exit: 3,
            prepare: |scene| {
                let mut bytes = sound();
                let (start, end) = (footer_start(&bytes), bytes.len() - 8);
                bytes[start..end].fill(0);
                write(scene, &bytes);
            },
        },
        Case {
            what: "a footer whose first half is lost",
            exit: 3,
            prepare: |scene| {
                let mut bytes = sound();
                let (start, end) = (footer_start(&bytes), bytes.len() - 8);
                bytes[start..start.midpoint(end)].fill(0x5A);
                write(scene, &bytes);
            },
        },
        Case {
            what: "95 bytes whose footer claims 2,147,483,647 row groups",
            exit: 3,
            prepare: |scene| {
                let folder = "../source/tests/source/parquet/hostile/row_groups_claim.parquet";
                write(scene, &fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap());
            },
        },
        Case {
            what: "pages of zeros",
            exit: 3,
            prepare: |scene| {
                let mut bytes = sound();
                let end = footer_start(&bytes);
                bytes[4..end].fill(0);
                write(scene, &bytes);
            },
        },
        Case {
            what: "a byte of a compressed page changed",
            exit: 3,
            prepare: |scene| {
                let mut bytes = sound();
                // The magic number of the first page's zstd frame.
                let at = bytes.windows(4).position(|window| window == b"\x28\xB5\x2F\xFD").unwrap();
                bytes[at] = 0;
                write(scene, &bytes);
            },
        },
        Case {
            what: "an encrypted footer",
            exit: 3,
            prepare: |scene| {
                let mut bytes = sound();
                let end = bytes.len() - 4;
                bytes[end..].copy_from_slice(b"PARE");
                write(scene, &bytes);
            },
        },
        Case {
            what: "a needed column is missing",
            exit: 3,
            prepare: |scene| {
                let mut columns = good(ROWS);
                columns.retain(|(name, _)| *name != "type");
                write(scene, &parquet_file::written(&columns, ROWS, true));
            },
        },
        Case {
            what: "ids are numbers",
            exit: 3,
            prepare: |scene| with_column(scene, "product_id", Arc::new(Int64Array::from(vec![7; ROWS]))),
        },
        Case {
            what: "dates are numbers with a fraction",
            exit: 3,
            prepare: |scene| with_column(scene, "date", Arc::new(Float64Array::from(vec![20_047.5; ROWS]))),
        },
        Case {
            what: "dates are numbers of no unit",
            exit: 3,
            prepare: |scene| {
                with_column(scene, "date", Arc::new(Int64Array::from(vec![1_732_060_800; ROWS])));
            },
        },
        Case {
            what: "the id lies within another column",
            exit: 3,
            prepare: |scene| {
                let inner = ("id", texts(&[Some("shoe"); ROWS]));
                let outer = StructArray::try_from(vec![inner]).unwrap();
                with_column(scene, "product_id", Arc::new(outer));
            },
        },
        Case { what: "Parquet within gzip", exit: 3, prepare: |scene| write(scene, &gzip(sound())) },
        Case {
            what: "`advertiser_ids` as Parquet without its column",
            exit: 3,
            prepare: |scene| {
                let columns = [("advertiser", texts(&[Some("acme")]))];
                scene.remove("logs/advertiser_ids.csv");
                scene.write("logs/advertiser_ids.parquet", parquet_file::written(&columns, 1, false));
            },
        },
    ],
};

pub(crate) const ALL_RIGHT: Section = Section {
    title: "Unusual Parquet that is all right",
    says: "Only the needed columns are read, and only the row groups that may hold one of the days by their statistics of the date: \
           rows of others count as of other days, whatever is in them.",
    cases: &[
        Case { what: "Parquet", exit: 0, prepare: |scene| write(scene, &sound()) },
        Case {
            what: "Parquet under the name `ads_views.csv`",
            exit: 0,
            prepare: |scene| scene.write("logs/ads_views.csv", sound()),
        },
        Case {
            what: "many row groups, not compressed",
            exit: 0,
            prepare: |scene| write(scene, &parquet_file::written(&good(ROWS), 7, false)),
        },
        Case {
            what: "dates as text",
            exit: 0,
            prepare: |scene| with_column(scene, "date", texts(&[Some("2024-11-20"); ROWS])),
        },
        Case {
            what: "dates as timestamps of UTC",
            exit: 0,
            prepare: |scene| {
                let times = TimestampMicrosecondArray::from(vec![TIME; ROWS]).with_timezone("UTC");
                with_column(scene, "date", Arc::new(times));
            },
        },
        Case {
            what: "dates as timestamps of no zone, in nanoseconds",
            exit: 0,
            prepare: |scene| {
                let times = TimestampNanosecondArray::from(vec![TIME * 1000; ROWS]);
                with_column(scene, "date", Arc::new(times));
            },
        },
        Case {
            what: "texts that do not say that they are text",
            exit: 0,
            prepare: |scene| {
                with_column(scene, "product_id", Arc::new(BinaryArray::from(vec![&b"shoe"[..]; ROWS])));
            },
        },
        Case {
            what: "columns of any type that nobody needs, and needed ones in another order",
            exit: 0,
            prepare: |scene| {
                let mut columns = good(ROWS);
                columns.reverse();
                columns.push(("price", Arc::new(Float64Array::from(vec![Some(0.5); ROWS]))));
                let inner = ("x", texts(&[None; ROWS]));
                columns.push(("more", Arc::new(StructArray::try_from(vec![inner]).unwrap())));
                write(scene, &parquet_file::written(&columns, ROWS, true));
            },
        },
        Case {
            what: "Parquet without rows beside CSV, JSON lines and Parquet in one log",
            exit: 0,
            prepare: |scene| {
                scene.write("logs/ads_views-1.parquet", parquet_file::written(&good(0), ROWS, true));
                scene.write("logs/ads_views-2.jsonl", JSON_ADS);
                scene.write("logs/ads_views-3.parquet", sound());
            },
        },
        Case {
            what: "`advertiser_ids` as Parquet",
            exit: 0,
            prepare: |scene| {
                let columns = [("advertiser_id", texts(&[Some("acme"), Some("zeta"), Some("acme")]))];
                scene.remove("logs/advertiser_ids.csv");
                scene.write("logs/advertiser_ids.parquet", parquet_file::written(&columns, 2, false));
            },
        },
    ],
};

pub(crate) const BAD: Section = Section {
    title: "Bad rows of Parquet",
    says: "They are counted as bad lines of CSV are, and shown as such; their number is the row's, from 1. The ad log is \
           `ads_views.parquet` here, of 100 good rows and one behind them.",
    cases: &[
        Case {
            what: "a null instead of an id",
            exit: 0,
            prepare: |scene| with_text(scene, "product_id", None),
        },
        Case { what: "an empty id", exit: 0, prepare: |scene| with_text(scene, "advertiser_id", Some(b"")) },
        Case {
            what: "an id of 256 bytes",
            exit: 0,
            prepare: |scene| with_text(scene, "product_id", Some(&[b'x'; 256])),
        },
        Case {
            what: "NUL in an id",
            exit: 0,
            prepare: |scene| with_text(scene, "product_id", Some(b"sh\0e")),
        },
        Case {
            what: "bytes that are not UTF-8",
            exit: 0,
            prepare: |scene| with_text(scene, "product_id", Some(b"caf\xE9")),
        },
        Case { what: "an unknown type", exit: 0, prepare: |scene| with_text(scene, "type", Some(b"view")) },
        Case { what: "a null instead of a type", exit: 0, prepare: |scene| with_text(scene, "type", None) },
        Case {
            what: "a date that does not exist, as text",
            exit: 0,
            prepare: |scene| with_text(scene, "date", Some(b"2024-02-30")),
        },
        Case {
            what: "a null instead of a date",
            exit: 0,
            prepare: |scene| {
                let mut days = vec![Some(DAY); ROWS];
                days.push(None);
                with_column(scene, "date", Arc::new(Date32Array::from(days)));
            },
        },
        Case {
            what: "a date in the year 10000",
            exit: 0,
            prepare: |scene| {
                let mut days = vec![DAY; ROWS];
                days.push(2_932_897);
                with_column(scene, "date", Arc::new(Date32Array::from(days)));
            },
        },
        Case {
            what: "a timestamp in the year 294247",
            exit: 0,
            prepare: |scene| {
                let mut times = vec![TIME; ROWS];
                times.push(i64::MAX);
                with_column(scene, "date", Arc::new(TimestampMicrosecondArray::from(times)));
            },
        },
    ],
};
