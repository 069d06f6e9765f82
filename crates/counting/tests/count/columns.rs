//! Rows that come column by column against the same rows as CSV.

use crate::{day, readings::ours::InMemorySpill};
use counting::{
    ActiveList, Columns, Content, CountedObject, DateFormat, Dates, Header, Instructions, Limits, Memory,
    NO_DATE, NO_TEXT, ObjectDays, Objects, RowBatch, RowBatches, RowGroup, Span, Texts, Unit, Values, Wanted,
    count, read_active_rows,
};
use domain::AdvertiserId;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use proptest::prelude::*;
use std::{
    fmt::Write as _,
    io::{self, Read},
    ops::Range,
};

/// A column of some rows.
#[derive(Debug, Clone)]
struct Column<T> {
    bytes: Vec<u8>,
    values: Vec<T>,
    /// The keys of a dictionary whose entries the values are.
    keys: Option<Vec<u32>>,
    dictionary: u64,
}

impl<T> Column<T> {
    fn values(&self) -> Values<'_, T> {
        match &self.keys {
            None => Values::Each(&self.values),
            Some(keys) => Values::Keys { keys, entries: &self.values, dictionary: self.dictionary },
        }
    }
}

impl Column<Span> {
    fn texts(&self) -> Texts<'_> {
        Texts { bytes: &self.bytes, values: self.values() }
    }
}

/// How a batch is laid out.
#[derive(Debug, Clone)]
struct Style {
    rows: usize,
    /// For each column whether it has a dictionary.
    has_keys: [bool; 4],
    has_padding: bool,
    /// Another number says another dictionary.
    dictionary: u64,
}

/// Texts of rows as a column, each entry of a dictionary once and one that no row has before them.
fn text_column(rows: &[Option<Vec<u8>>], style: &Style, has_keys: bool) -> Column<Span> {
    let mut bytes = b"before".to_vec();
    let mut put = |text: &[u8]| {
        let start = u32::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(text);
        (start, u32::try_from(text.len()).unwrap())
    };
    let (values, keys) = if has_keys {
        let mut entries: Vec<&[u8]> = vec![b"not there"];
        entries.extend(rows.iter().flatten().map(Vec::as_slice));
        entries[1..].sort_unstable();
        entries.dedup();
        let place = |text: &Option<Vec<u8>>| match text {
            Some(text) => entries.iter().rposition(|entry| entry == text).unwrap(),
            None => entries.len(),
        };
        let keys = rows.iter().map(|text| u32::try_from(place(text)).unwrap()).collect();
        (entries.into_iter().map(&mut put).collect(), Some(keys))
    } else {
        (rows.iter().map(|text| text.as_deref().map_or(NO_TEXT, &mut put)).collect(), None)
    };
    if style.has_padding {
        bytes.extend([0xFF; 16]);
    }
    Column { bytes, values, keys, dictionary: style.dictionary }
}

fn number_column(rows: &[i64], style: &Style, has_keys: bool) -> Column<i64> {
    let (bytes, dictionary) = (Vec::new(), style.dictionary);
    if !has_keys {
        return Column { bytes, values: rows.to_vec(), keys: None, dictionary };
    }
    let mut entries: Vec<i64> = rows.iter().copied().filter(|number| *number != NO_DATE).chain([7]).collect();
    entries.sort_unstable();
    entries.dedup();
    let place = |number: &i64| entries.binary_search(number).unwrap_or(entries.len());
    let keys = rows.iter().map(|number| u32::try_from(place(number)).unwrap()).collect();
    Column { bytes, values: entries, keys: Some(keys), dictionary }
}

/// What dates are written as, beside text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum DateKind {
    None,
    Text,
    Days,
    Instants(Unit),
    Civil(Unit),
}

fn per_second(unit: Unit) -> i64 {
    match unit {
        Unit::Seconds => 1,
        Unit::Millis => 1_000,
        Unit::Micros => 1_000_000,
        Unit::Nanos => 1_000_000_000,
    }
}

/// One row: ids, type, date as text, date as a number.
#[derive(Debug, Clone)]
struct Row {
    advertiser: Option<Vec<u8>>,
    product: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
    date: Option<Vec<u8>>,
    seconds: Option<i64>,
}

impl Row {
    /// The date as a line of text has it.
    fn date_text(&self, kind: DateKind) -> Option<Vec<u8>> {
        let seconds = match kind {
            DateKind::None => return None,
            DateKind::Text => return self.date.clone(),
            _ => self.seconds?,
        };
        let time = Timestamp::from_second(seconds).unwrap();
        Some(match kind {
            DateKind::Days => time.to_zoned(TimeZone::UTC).date().to_string().into_bytes(),
            DateKind::Civil(_) => time.to_zoned(TimeZone::UTC).datetime().to_string().into_bytes(),
            _ => time.to_string().into_bytes(),
        })
    }

    /// The date as a column of numbers has it.
    fn date_number(&self, kind: DateKind) -> i64 {
        match (kind, self.seconds) {
            (DateKind::Days, Some(seconds)) => seconds.div_euclid(86_400),
            // Fractions are of no day but their second's.
            (DateKind::Instants(unit) | DateKind::Civil(unit), Some(seconds)) => {
                (seconds + 1) * per_second(unit) - 1
            }
            _ => NO_DATE,
        }
    }
}

/// An object column by column.
struct ColumnObject {
    row_groups: Vec<Vec<OwnedBatch>>,
}

struct OwnedBatch {
    rows: usize,
    advertiser: Column<Span>,
    product: Column<Span>,
    kind: Option<Column<Span>>,
    date_texts: Column<Span>,
    date_numbers: Column<i64>,
    date_kind: DateKind,
}

impl OwnedBatch {
    fn new(rows: &[Row], has_kind: bool, date_kind: DateKind, style: &Style) -> Self {
        let texts = |text: fn(&Row) -> &Option<Vec<u8>>, column: usize| {
            let rows: Vec<_> = rows.iter().map(|row| text(row).clone()).collect();
            text_column(&rows, style, style.has_keys[column])
        };
        let numbers: Vec<_> = rows.iter().map(|row| row.date_number(date_kind)).collect();
        Self {
            rows: rows.len(),
            advertiser: texts(|row| &row.advertiser, 0),
            product: texts(|row| &row.product, 1),
            kind: has_kind.then(|| texts(|row| &row.kind, 2)),
            date_texts: texts(|row| &row.date, 3),
            date_numbers: number_column(&numbers, style, style.has_keys[3]),
            date_kind,
        }
    }

    fn batch(&self) -> RowBatch<'_> {
        let numbers = self.date_numbers.values();
        RowBatch {
            rows: self.rows,
            advertiser: self.advertiser.texts(),
            product: Some(self.product.texts()),
            kind: self.kind.as_ref().map(Column::texts),
            date: match self.date_kind {
                DateKind::None => None,
                DateKind::Text => Some(Dates::Text(self.date_texts.texts())),
                DateKind::Days => Some(Dates::Days(numbers)),
                DateKind::Instants(unit) => Some(Dates::Instants(numbers, unit)),
                DateKind::Civil(unit) => Some(Dates::Civil(numbers, unit)),
            },
        }
    }
}

struct Batches<'a>(std::slice::Iter<'a, OwnedBatch>);

impl RowBatches for Batches<'_> {
    fn next_batch(&mut self) -> io::Result<Option<RowBatch<'_>>> {
        Ok(self.0.next().map(OwnedBatch::batch))
    }
}

enum InMemory {
    Text(Vec<u8>),
    Columns(ColumnObject),
}

/// The objects to count.
struct Logs<'l>(&'l [InMemory]);

impl Objects for Logs<'_> {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        let InMemory::Text(bytes) = &self.0[object] else { panic!("no text") };
        Ok(Box::new(&bytes[usize::try_from(range.start).unwrap()..]))
    }

    fn rows(&self, object: usize, row_group: usize) -> io::Result<Box<dyn RowBatches + '_>> {
        let InMemory::Columns(columns) = &self.0[object] else { panic!("no columns") };
        Ok(Box::new(Batches(columns.row_groups[row_group].iter())))
    }
}

/// Every field in quotes, so that it may hold anything but a line ending.
fn csv(rows: &[Row], has_kind: bool, date_kind: DateKind) -> Vec<u8> {
    let mut text = b"advertiser_id,product_id".to_vec();
    text.extend(if has_kind { &b",type"[..] } else { b"" });
    text.extend(if date_kind == DateKind::None { &b"\n"[..] } else { b",date\n" });
    for row in rows {
        let mut fields = vec![row.advertiser.clone(), row.product.clone()];
        fields.extend(has_kind.then(|| row.kind.clone()));
        fields.extend((date_kind != DateKind::None).then(|| row.date_text(date_kind)));
        for (number, field) in fields.into_iter().enumerate() {
            text.extend(if number == 0 { &b"\""[..] } else { b",\"" });
            text.extend(field.unwrap_or_default().iter().flat_map(|byte| match byte {
                b'"' => vec![b'"'; 2],
                byte => vec![*byte],
            }));
            text.push(b'"');
        }
        text.push(b'\n');
    }
    text
}

fn columns(has_kind: bool, date_kind: DateKind) -> Columns {
    Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: Some("product_id".into()),
        kind: has_kind.then(|| "type".into()),
        date: Some("date".into()),
        date_is_optional: date_kind == DateKind::None,
    }
}

/// Counts, tallies and last times, and of examples line and reason.
fn told(
    wanted: &Wanted,
    objects: &[CountedObject],
    bytes: &[InMemory],
    zone: &TimeZone,
    limits: Limits,
) -> String {
    let counted = count(wanted, objects, &Logs(bytes), (&DateFormat::Iso, zone), limits).unwrap();
    let mut told = String::new();
    for day in &counted.days {
        for part in day.counts.parts() {
            for (advertiser, product, counts) in part.merge().unwrap().rows() {
                writeln!(told, "{} {advertiser} {product} {counts:?}", day.counts.day()).unwrap();
            }
        }
        for part in &day.objects {
            writeln!(told, "{part:?}").unwrap();
        }
    }
    for example in counted.examples.iter().flatten() {
        // The header is line 1 of a text.
        let line = example.line - u64::from(matches!(bytes[0], InMemory::Text(_)));
        writeln!(told, "{line} {}", example.reason).unwrap();
    }
    told
}

/// A share of the memory for each thread's tables; without it, as much as there is.
fn limits(threads: usize, share_bytes: Option<u64>) -> Limits {
    let memory =
        |share| Memory { table_bytes: share * threads as u64, spill: std::sync::Arc::new(InMemorySpill) };
    let memory = share_bytes.map(memory);
    Limits { threads, slice_bytes: 100, instructions: Instructions::Best, memory }
}

/// Cuts rows into pieces of these sizes, as often as needed.
fn pieces<'a, T>(mut rows: &'a [T], sizes: &[usize]) -> Vec<&'a [T]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rows.is_empty() {
            break;
        }
        let (piece, rest) = rows.split_at(rows.len().min(*size));
        pieces.push(piece);
        rows = rest;
    }
    pieces
}

fn column_object(
    rows: &[Row],
    has_kind: bool,
    date_kind: DateKind,
    group_rows: usize,
    styles: &[Style],
) -> ColumnObject {
    let sizes: Vec<_> = styles.iter().map(|style| style.rows).collect();
    let batches = |rows| {
        let pieces = pieces(rows, &sizes);
        let batch = |(piece, style)| OwnedBatch::new(piece, has_kind, date_kind, style);
        let mut batches: Vec<_> = pieces.into_iter().zip(styles.iter().cycle()).map(batch).collect();
        // A number may come again only with the same entries: here each batch has its own.
        for (number, batch) in (0..).zip(&mut batches) {
            let columns = [&mut batch.advertiser, &mut batch.product, &mut batch.date_texts];
            columns.into_iter().chain(&mut batch.kind).for_each(|column| column.dictionary = number);
            batch.date_numbers.dictionary = number;
        }
        batches
    };
    ColumnObject { row_groups: rows.chunks(group_rows).map(batches).collect() }
}

fn ids() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "lower", "eight888", "nine_9999", "sixteen_16161616", "seventeen_7171717", "é", "\u{1F600}"])
            .prop_map(|id| Some(id.as_bytes().to_vec())),
        1 => "[a-c]{1,20}|y{254,257}|[a,\"é ]{1,9}|[a\0]{2,3}|".prop_map(|id| Some(id.into_bytes())),
        1 => proptest::collection::vec(prop::sample::select(&b"ab\xC3\xA9\xFF"[..]), 1..18).prop_map(Some),
        1 => Just(None),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let kind = prop_oneof![
        8 => prop::sample::select(vec!["impression", "click"]).prop_map(|kind| Some(kind.into())),
        1 => prop::sample::select(vec!["", "Click", "impression ", "view"]).prop_map(|kind| Some(kind.into())),
        1 => Just(None),
    ];
    let date = prop_oneof![
        8 => prop::sample::select(vec!["2024-11-20", "2024-11-21", "2024-11-20T01:00:00Z", "2024-11-19 23:30:00-05:00"])
            .prop_map(|date| Some(date.into())),
        1 => prop::sample::select(vec!["", "2024-11-31", "soon", "2024-11-20T00:00:00.123456789+00:00", "20241120"])
            .prop_map(|date| Some(date.into())),
        1 => Just(None),
    ];
    // From 2024-11-19T00:00:00Z on, four days.
    let seconds = prop_oneof![9 => (1_731_974_400_i64..1_732_320_000).prop_map(Some), 1 => Just(None)];
    (ids(), ids(), kind, date, seconds).prop_map(|(advertiser, product, kind, date, seconds)| Row {
        advertiser,
        product,
        kind,
        date,
        seconds,
    })
}

fn styles() -> impl Strategy<Value = Vec<Style>> {
    let style = (1..40_usize, any::<[bool; 4]>(), any::<bool>())
        .prop_map(|(rows, has_keys, has_padding)| Style { rows, has_keys, has_padding, dictionary: 0 });
    proptest::collection::vec(style, 1..4)
}

fn date_kinds() -> impl Strategy<Value = DateKind> {
    let units = || prop::sample::select(vec![Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos]);
    prop_oneof![
        Just(DateKind::None),
        Just(DateKind::Text),
        Just(DateKind::Days),
        units().prop_map(DateKind::Instants),
        units().prop_map(DateKind::Civil),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn columns_count_as_lines_count(
        rows in proptest::collection::vec(row(), 0..120),
        has_kind in any::<bool>(),
        date_kind in date_kinds(),
        group_rows in 1..80_usize,
        styles in styles(),
        threads in 1..4_usize,
        days in prop::sample::select(vec![vec!["2024-11-20"], vec!["2024-11-20", "2024-11-21"]]),
        lists_differ in any::<bool>(),
        zone in prop::sample::select(vec!["UTC", "America/Sao_Paulo", "Asia/Kathmandu"]),
        share_bytes in prop::option::of(1200..4000_u64),
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let list = |ids: &[&str]| {
            let mut list: Vec<_> = ids.iter().map(|id| AdvertiserId::new(*id).unwrap()).collect();
            list.sort();
            list
        };
        let all = list(&["a", "b", "eight888", "nine_9999", "seventeen_7171717", "é"]);
        let one = list(&["a"]);
        let active = days.iter().enumerate().map(|(number, text)| {
            let list = if number == 1 && lists_differ { &one } else { &all };
            (day(text), list.clone().into())
        });
        let wanted = Wanted::new(active.collect());
        let object_days = if date_kind == DateKind::None { ObjectDays::Only(day("2024-11-20")) } else { ObjectDays::Any };

        let text = csv(&rows, has_kind, date_kind);
        let header = Header::read(&text, true, None).unwrap().unwrap();
        let layout = header.layout(&columns(has_kind, date_kind)).unwrap();
        let content = Content::Text { size: Some(text.len() as u64), layout };
        let object = |content| CountedObject { name: "log".into(), days: object_days, content };
        let expected = told(&wanted, &[object(content)], &[InMemory::Text(text)], &zone, limits(1, None));

        let columns = column_object(&rows, has_kind, date_kind, group_rows, &styles);
        let row_group = |batches: &Vec<OwnedBatch>| {
            RowGroup { rows: batches.iter().map(|batch| batch.rows as u64).sum(), is_read: true }
        };
        let content = Content::Columns(columns.row_groups.iter().map(row_group).collect());
        let seen = told(&wanted, &[object(content)], &[InMemory::Columns(columns)], &zone, limits(threads, share_bytes));
        prop_assert_eq!(seen, expected);
    }
}

/// Rows of one day by one advertiser, of products that are few and many.
fn plain_rows(count: usize, date: &str) -> Vec<Row> {
    let row = |number: usize| Row {
        advertiser: Some(b"a".to_vec()),
        product: Some(format!("p{}", number % 700).into_bytes()),
        kind: Some(b"click".to_vec()),
        date: Some(date.into()),
        seconds: None,
    };
    (0..count).map(row).collect()
}

#[test]
fn a_row_group_that_is_not_read_is_of_other_days_and_keeps_its_line_numbers() {
    let style = Style { rows: 5, has_keys: [true; 4], has_padding: true, dictionary: 0 };
    let mut rows = plain_rows(20, "2024-11-20");
    rows[17].product = None;
    let columns = column_object(&rows, true, DateKind::Text, 10, &[style]);
    let row_groups = vec![RowGroup { rows: 10, is_read: false }, RowGroup { rows: 10, is_read: true }];
    let content = Content::Columns(row_groups);
    let object = CountedObject { name: "log".into(), days: ObjectDays::Any, content };
    let wanted = Wanted::new(vec![(day("2024-11-20"), [AdvertiserId::new("a").unwrap()].into())]);
    let columns = [InMemory::Columns(columns)];
    let date = (&DateFormat::Iso, &TimeZone::UTC);
    let counted = count(&wanted, &[object], &Logs(&columns), date, limits(2, None)).unwrap();
    let tally = counted.days[0].objects[0].tally;
    assert_eq!((tally.read, tally.kept, tally.other_days, tally.rejected.total()), (20, 9, 10, 1));
    let example = &counted.examples[0][0];
    assert_eq!((example.line, example.text.as_str()), (18, "a,,click,2024-11-20"));
}

#[test]
fn an_example_shows_its_values_as_text() {
    let seconds = Timestamp::from_second(1_732_060_800).unwrap();
    assert_eq!(seconds.to_string(), "2024-11-20T00:00:00Z");
    let shown = |date_kind, seconds: Option<i64>| {
        let style = Style { rows: 5, has_keys: [false; 4], has_padding: false, dictionary: 0 };
        let row = Row { seconds, product: None, ..plain_rows(1, "2024-11-20").remove(0) };
        let columns = column_object(&[row], false, date_kind, 10, &[style]);
        let content = Content::Columns(vec![RowGroup { rows: 1, is_read: true }]);
        let object = CountedObject { name: "log".into(), days: ObjectDays::Any, content };
        let wanted = Wanted::new(vec![(day("2024-11-20"), [AdvertiserId::new("a").unwrap()].into())]);
        let columns = [InMemory::Columns(columns)];
        let date = (&DateFormat::Iso, &TimeZone::UTC);
        let counted = count(&wanted, &[object], &Logs(&columns), date, limits(1, None)).unwrap();
        counted.examples[0][0].text.clone()
    };
    assert_eq!(shown(DateKind::Days, Some(1_732_060_800)), "a,,2024-11-20");
    assert_eq!(shown(DateKind::Instants(Unit::Micros), Some(1_732_060_800)), "a,,2024-11-20T00:00:00Z");
    assert_eq!(shown(DateKind::Civil(Unit::Nanos), Some(1_732_060_800)), "a,,2024-11-20T00:00:00");
    assert_eq!(shown(DateKind::Days, None), "a,,");
    assert_eq!(Date::constant(2024, 11, 20).to_string(), "2024-11-20");
}

#[test]
fn many_rows_of_many_products_are_all_counted() {
    let style = Style { rows: 2048, has_keys: [true, false, true, true], has_padding: true, dictionary: 0 };
    let rows = plain_rows(70_000, "2024-11-20");
    let columns = column_object(&rows, true, DateKind::Text, 30_000, &[style]);
    let row_groups = [30_000, 30_000, 10_000].map(|rows| RowGroup { rows, is_read: true });
    let object = CountedObject {
        name: "log".into(),
        days: ObjectDays::Any,
        content: Content::Columns(row_groups.to_vec()),
    };
    let wanted = Wanted::new(vec![(day("2024-11-20"), [AdvertiserId::new("a").unwrap()].into())]);
    let columns = [InMemory::Columns(columns)];
    for share_bytes in [None, Some(100_000), Some(3000)] {
        let limits = limits(3, share_bytes);
        let counted = count(
            &wanted,
            std::slice::from_ref(&object),
            &Logs(&columns),
            (&DateFormat::Iso, &TimeZone::UTC),
            limits,
        );
        let counted = counted.unwrap();
        assert_eq!(counted.spilled_bytes > 0, share_bytes == Some(3000), "{share_bytes:?}");
        let mut clicks = Vec::new();
        for part in counted.days[0].counts.parts() {
            clicks.extend(part.merge().unwrap().rows().map(|(_, _, counts)| counts.clicks));
        }
        assert_eq!(clicks, [100; 700]);
    }
}

#[test]
fn a_list_of_active_advertisers_may_come_in_columns() {
    let ids = ["b", "a", "", "b", "x"].map(|id| (id != "x").then(|| id.as_bytes().to_vec()));
    for has_keys in [false, true] {
        let style = Style { rows: 5, has_keys: [has_keys; 4], has_padding: false, dictionary: 0 };
        let row = |id: &Option<Vec<u8>>| Row { advertiser: id.clone(), ..plain_rows(1, "").remove(0) };
        let rows: Vec<_> = ids.iter().map(row).collect();
        let columns = column_object(&rows, false, DateKind::Text, 10, &[style]);
        let mut list = ActiveList::default();
        read_active_rows(&mut list, "ids", 11, &mut Batches(columns.row_groups[0].iter())).unwrap();
        assert_eq!(list.advertisers.iter().map(AdvertiserId::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((list.tally.read, list.tally.kept, list.tally.rejected.total()), (5, 3, 2));
        let lines: Vec<_> =
            list.examples.iter().map(|example| (example.line, example.reason.name())).collect();
        assert_eq!(lines, [(13, "empty_id"), (15, "empty_id")]);
    }
}
