//! Logs as others may write them: any format, quoting, line ending, order of columns and layout of objects.

use crate::parquet_file;
use arrow_array::{ArrayRef, BinaryArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use csv::{QuoteStyle, Terminator, WriterBuilder};
use flate2::write::GzEncoder;
use jiff::{
    civil::{Date, DateTime, date},
    tz::TimeZone,
};
use serde_json::{Value, json};
use std::{cell::Cell, fs, io::Write, path::Path, sync::Arc};

/// How days are spread over objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Layout {
    /// One object.
    Single,
    /// Two objects, each with lines of any day.
    Parts,
    /// An object a day, found by a glob.
    Daily,
    /// An object a day, found by a template.
    Template,
    /// A folder a day, with two objects; the lines may say their day too.
    Hive { has_date: bool },
}

impl Layout {
    /// Whether an object's name tells the day of its lines.
    pub(crate) fn tells_day(self) -> bool {
        matches!(self, Self::Template | Self::Hive { .. })
    }
}

/// How a log is written.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) layout: Layout,
    pub(crate) quotes: QuoteStyle,
    pub(crate) has_crlf: bool,
    pub(crate) has_bom: bool,
    pub(crate) ends_with_newline: bool,
    /// Where each of at most four columns and of the two extra ones stands.
    pub(crate) order: [usize; 6],
    pub(crate) has_extras: bool,
    /// A comma where there is only one column: nothing would tell which other it is.
    pub(crate) delimiter: u8,
    /// How the objects are written: of each three the first, second and third. One without lines is
    /// delimited where it should be JSON, as nothing would tell what it is.
    pub(crate) formats: [Format; 3],
    pub(crate) compression: Compression,
}

impl Style {
    fn line_end(&self) -> &'static str {
        if self.has_crlf { "\r\n" } else { "\n" }
    }

    /// The fields, and the extra ones if there are any, each in its place.
    fn arranged<'f, T: ?Sized>(&self, fields: &[&'f T], extras: [&'f T; 2]) -> Vec<&'f T> {
        let place = |place: &usize| match *place {
            index @ 0..4 => fields.get(index).copied(),
            extra => self.has_extras.then(|| extras[extra - 4]),
        };
        self.order.iter().filter_map(place).collect()
    }
}

/// How an object's lines are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Format {
    Delimited,
    JsonLines,
    Parquet,
}

/// How an object is compressed: in two parts, each of which could stand alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    fn compress(self, bytes: &[u8]) -> Vec<u8> {
        let gzip = |part: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        };
        let (first, second) = bytes.split_at(bytes.len() / 2);
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => [gzip(first), gzip(second)].concat(),
            Self::Zstd => [first, second].map(|part| zstd::encode_all(part, 1).unwrap()).concat(),
        }
    }
}

/// As most programs write it.
pub(crate) const PLAIN: Style = Style {
    layout: Layout::Single,
    quotes: QuoteStyle::Necessary,
    has_crlf: false,
    has_bom: false,
    ends_with_newline: true,
    order: [0, 1, 2, 3, 4, 5],
    has_extras: false,
    delimiter: b',',
    formats: [Format::Delimited; 3],
    compression: Compression::None,
};

/// One line of a log, and the day that it is filed under.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) day: String,
    pub(crate) fields: Vec<String>,
}

/// Writes a log of some `days`, whose date, if it has one, is the last column; the pattern that finds it.
pub(crate) fn write(
    folder: &Path,
    log: &str,
    columns: &[&str],
    lines: &[Line],
    days: &[String],
    style: &Style,
) -> String {
    let written = Cell::new(0);
    let object = |name: String, columns: &[&str], lines: &[&Line]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = match style.formats[written.replace(written.get() + 1) % 3] {
            Format::Parquet => parquet(columns, lines, style),
            Format::JsonLines if !lines.is_empty() => {
                style.compression.compress(&json_lines(columns, lines, style))
            }
            _ => style.compression.compress(&delimited(columns, lines, style)),
        };
        fs::write(path, bytes).unwrap();
    };
    let all: Vec<_> = lines.iter().collect();
    let of = |day: &String| lines.iter().filter(|line| line.day == *day).collect::<Vec<_>>();
    match style.layout {
        Layout::Single => object(format!("{log}.csv"), columns, &all),
        Layout::Parts => {
            let (first, second) = all.split_at(all.len() / 2);
            object(format!("{log}-0.csv"), columns, first);
            object(format!("{log}-1.csv"), columns, second);
        }
        Layout::Daily => days.iter().for_each(|day| object(format!("{log}-{day}.csv"), columns, &of(day))),
        Layout::Template => {
            for day in days {
                object(format!("{}/{log}-{day}.csv", day.replace('-', "/")), columns, &of(day));
            }
            return format!("{{yyyy}}/{{mm}}/{{dd}}/{log}-{{day}}.csv");
        }
        Layout::Hive { has_date } => {
            let last = if has_date { columns.len() } else { columns.len() - 1 };
            for day in days {
                let lines = of(day);
                let (first, second) = lines.split_at(lines.len() / 2);
                object(format!("{log}/date={day}/part-0.csv"), &columns[..last], first);
                object(format!("{log}/date={day}/part-1.csv"), &columns[..last], second);
            }
        }
    }
    format!("{log}*")
}

/// An object's bytes that hold the lines' first fields, as many as there are columns.
fn delimited(columns: &[&str], lines: &[&Line], style: &Style) -> Vec<u8> {
    let mut bytes = if style.has_bom { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
    let terminator = if style.has_crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };
    let mut writer = WriterBuilder::new();
    let delimiter = if columns.len() == 1 && !style.has_extras { b',' } else { style.delimiter };
    let mut writer =
        writer.quote_style(style.quotes).terminator(terminator).delimiter(delimiter).from_writer(&mut bytes);
    let names: Vec<_> = columns.iter().map(|name| name.as_bytes()).collect();
    writer.write_record(style.arranged(&names, [b"note", b"\"price\", in \xE2\x82\xAC"])).unwrap();
    for line in lines {
        let fields: Vec<_> = line.fields[..columns.len()].iter().map(String::as_bytes).collect();
        // Nobody needs these, so they may be anything.
        let extras: [&[u8]; 2] = [b"two\r\nlines, \"quoted\"", b"\xFF not UTF-8"];
        writer.write_record(style.arranged(&fields, extras)).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    if !style.ends_with_newline {
        bytes.truncate(bytes.len() - style.line_end().len());
    }
    bytes
}

/// The same as lines of JSON.
fn json_lines(columns: &[&str], lines: &[&Line], style: &Style) -> Vec<u8> {
    let mut text = if style.has_bom { "\u{FEFF}" } else { "" }.to_owned();
    let space = if matches!(style.quotes, QuoteStyle::NonNumeric) { " " } else { "" };
    let member = |(name, value): (&str, String)| format!("{}:{space}{value}", json!(name));
    for line in lines {
        let values = line.fields.iter().map(|field| json_value(field, style));
        let members: Vec<_> = columns.iter().copied().zip(values).map(member).collect();
        // Nobody needs these, so they may be anything.
        let extras =
            ["\"note\": [{\"date\": \"2024-02-28\"}, -1.5e-3]", "\"\\\"price\\\", in \u{20AC}\":null"];
        let members = style.arranged(&members.iter().map(String::as_str).collect::<Vec<_>>(), extras);
        text += &format!("{{{}}}{}", members.join(&format!(",{space}")), style.line_end());
    }
    if !style.ends_with_newline {
        text.truncate(text.len() - style.line_end().len());
    }
    text.into_bytes()
}

/// A field as a value of JSON: mostly text, perhaps all escaped; the digits of a whole number may be one.
fn json_value(field: &str, style: &Style) -> String {
    let is_number = serde_json::from_str::<u64>(field).is_ok_and(|number| number.to_string() == field);
    match style.quotes {
        QuoteStyle::Always => {
            let units = field.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            format!("\"{units}\"")
        }
        QuoteStyle::NonNumeric if is_number => field.to_owned(),
        _ => Value::from(field).to_string(),
    }
}

/// The same as Parquet. The flags, which mean nothing here, choose among ways of writing it.
fn parquet(columns: &[&str], lines: &[&Line], style: &Style) -> Vec<u8> {
    let field = |column: usize| lines.iter().map(move |line| line.fields[column].as_str());
    let array = |(column, name): (usize, &&str)| -> ArrayRef {
        let days = || field(column).map(days_since_1970).collect::<Option<Vec<_>>>();
        let times = || field(column).map(micros_since_1970).collect::<Option<Vec<_>>>();
        match (days(), times()) {
            (Some(days), _) if *name == "date" && style.has_crlf => Arc::new(Date32Array::from(days)),
            (_, Some(times)) if *name == "date" && style.has_bom => {
                Arc::new(TimestampMicrosecondArray::from(times))
            }
            _ if style.ends_with_newline => Arc::new(StringArray::from_iter_values(field(column))),
            _ => Arc::new(BinaryArray::from_iter_values(field(column))),
        }
    };
    let arrays: Vec<_> = columns.iter().enumerate().map(array).collect();
    let named: Vec<_> = columns.iter().copied().zip(arrays).collect();
    // Nobody needs these, so they may be anything.
    let numbers: ArrayRef =
        Arc::new(Int64Array::from_iter((0..lines.len() as i64).map(|n| (n % 3 > 0).then_some(n))));
    let notes: ArrayRef = Arc::new(BinaryArray::from_iter_values(lines.iter().map(|_| b"\xFF\0")));
    let extras = [("note", notes), ("\"price\", in \u{20AC}", numbers)];
    let arranged = style.arranged(&named.iter().collect::<Vec<_>>(), extras.each_ref());
    let arranged: Vec<_> = arranged.into_iter().cloned().collect();
    parquet_file::written(
        &arranged,
        if style.has_extras { 7 } else { 1000 },
        style.compression == Compression::Zstd,
    )
}

/// The time of a date-time that a column of timestamps could hold.
fn micros_since_1970(text: &str) -> Option<i64> {
    let civil: DateTime = text.parse().ok().filter(|_| text.len() == "YYYY-MM-DD hh:mm:ss".len())?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// The day of a date that a column of dates could hold.
fn days_since_1970(text: &str) -> Option<i32> {
    let day: Date = text.parse().ok().filter(|day: &Date| day.to_string() == text)?;
    Some(date(1970, 1, 1).until(day).ok()?.get_days())
}
