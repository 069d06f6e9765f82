//! Counting against a naive reading of the same bytes: byte by byte, into ordered maps.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use counting::{
    Columns, CountedObject, DateFormat, Header, Instructions, Limits, ObjectDays, Objects, Wanted, count,
};
use domain::{AdvertiserId, Counts, Day, Log, RejectReason};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Read},
    ops::Range,
};

struct InMemory<'a>(&'a [Vec<u8>]);

impl Objects for InMemory<'_> {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[object][usize::try_from(range.start).unwrap()..]))
    }
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn advertiser(text: &str) -> AdvertiserId {
    AdvertiserId::new(text).unwrap()
}

fn columns(log: Log) -> Columns {
    Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: Some("product_id".into()),
        kind: (log == Log::AdsViews).then(|| "type".into()),
        date: Some("date".into()),
        date_is_optional: false,
    }
}

/// What both readings say, as text: counts in order, tallies, examples.
type Told = String;

fn ours(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    threads: usize,
    slice_bytes: u64,
) -> Told {
    ours_of(active, logs, (threads, slice_bytes, Instructions::Best), |_| false)
}

/// `is_stream` says which of the logs can only be read from the start to the end.
fn ours_of(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    (threads, slice_bytes, instructions): (usize, u64, Instructions),
    is_stream: impl Fn(usize) -> bool,
) -> Told {
    let wanted = Wanted::new(active.iter().map(|(day, list)| (*day, list.clone().into())).collect());
    let bytes: Vec<_> = logs.iter().map(|(_, _, bytes)| bytes.clone()).collect();
    let objects: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(number, (log, days, bytes))| {
            let header = Header::read(bytes, true, None).unwrap().unwrap();
            let layout = header.layout(&columns(*log)).unwrap();
            let (name, size) = (number.to_string(), bytes.len() as u64);
            CountedObject { name, size: (!is_stream(number)).then_some(size), layout, days: *days }
        })
        .collect();
    let date = (&DateFormat::Iso, &TimeZone::UTC);
    let limits = Limits { threads, slice_bytes, instructions };
    let counted = count(&wanted, &objects, &InMemory(&bytes), date, limits).unwrap();
    let mut told = String::new();
    for day in &counted.days {
        writeln!(told, "{}", day.counts.day()).unwrap();
        let (_, active) = active.iter().find(|(of, _)| *of == day.counts.day()).unwrap();
        for part in day.counts.parts() {
            for (advertiser, product, counts) in part.merge().unwrap().rows() {
                tell_counts(&mut told, active[advertiser as usize].as_str(), product, counts);
            }
        }
        for part in &day.objects {
            let tally = part.tally;
            assert_eq!(tally.read, tally.kept + tally.inactive + tally.other_days + tally.rejected.total());
            let rejected: Vec<_> = tally.rejected.iter().collect();
            let Range { start, end } = tally.kept..tally.inactive;
            tell_tally(&mut told, part.object, tally.read, (start, end), tally.blank, &rejected);
        }
    }
    for example in counted.examples.iter().flatten() {
        writeln!(told, "{}:{} {} {:?}", example.object, example.line, example.reason, example.text).unwrap();
    }
    told
}

fn tell_counts(told: &mut Told, advertiser: &str, product: &str, counts: Counts) {
    let Counts { impressions, clicks, views } = counts;
    writeln!(told, "  {advertiser:?} {product:?} {impressions} {clicks} {views}").unwrap();
}

fn tell_tally(
    told: &mut Told,
    object: usize,
    read: u64,
    (kept, inactive): (u64, u64),
    blank: u64,
    rejected: &[(RejectReason, u64)],
) {
    writeln!(
        told,
        "  object {object}: {read} read {kept} kept {inactive} inactive {blank} blank {rejected:?}"
    )
    .unwrap();
}

/// A record of the naive reading: its first line, its text up to the first line ending, its fields.
struct NaiveRecord {
    line: u64,
    text: String,
    fields: Result<Vec<Vec<u8>>, RejectReason>,
}

fn naive_records(bytes: &[u8]) -> Vec<NaiveRecord> {
    // The column `advertiser_id` is the first, where it is not alone or quoted.
    let delimiter = *bytes.get(13).filter(|byte| b",\t;|".contains(byte)).unwrap_or(&b',');
    let mut records = Vec::new();
    let mut at = 0;
    let mut line = 1;
    while at < bytes.len() {
        let line_end =
            bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |offset| at + offset + 1);
        let (fields, end) = match naive_record(&bytes[at..], delimiter) {
            Some((fields, length)) => (Ok(fields), at + length),
            None => (Err(RejectReason::BadQuoting), line_end),
        };
        let text = bytes[at..line_end].strip_suffix(b"\n").unwrap_or(&bytes[at..line_end]);
        let text = &text[..text.len().min(120)];
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        records.push(NaiveRecord { line, text, fields });
        line += bytes[at..end].iter().filter(|b| **b == b'\n').count() as u64;
        at = end;
    }
    records
}

/// A state machine over bytes: the fields of the first record and its length; none for bad quoting.
fn naive_record(bytes: &[u8], delimiter: u8) -> Option<(Vec<Vec<u8>>, usize)> {
    #[derive(PartialEq)]
    enum State {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let mut fields = vec![Vec::new()];
    let mut state = State::Start;
    let mut at = 0;
    loop {
        let field = fields.last_mut().unwrap();
        let Some(byte) = bytes.get(at) else {
            if state == State::Quoted {
                return None;
            }
            if state != State::Closed && field.last() == Some(&b'\r') {
                field.pop();
            }
            return Some((fields, at));
        };
        let at_crlf = *byte == b'\r' && matches!(bytes.get(at + 1), Some(b'\n') | None);
        match (&state, byte) {
            (State::Quoted, b'"') => state = State::Closed,
            (State::Quoted, _) => field.push(*byte),
            (State::Closed, b'"') => {
                field.push(b'"');
                state = State::Quoted;
            }
            (_, byte) if *byte == delimiter => {
                fields.push(Vec::new());
                state = State::Start;
            }
            (_, b'\n') => return Some((fields, at + 1)),
            (State::Closed, b'\r') if at_crlf => {}
            (State::Closed, _) => return None,
            (State::Start, b'"') => state = State::Quoted,
            (_, b'"') => return None,
            (_, b'\r') if at_crlf => {}
            _ => {
                field.push(*byte);
                state = State::Plain;
            }
        }
        at += 1;
    }
}

fn naive(active: &[(Day, Vec<AdvertiserId>)], logs: &[(Log, ObjectDays, Vec<u8>)]) -> Told {
    let mut told = String::new();
    let mut examples = String::new();
    let read: Vec<_> = logs.iter().map(|(log, _, bytes)| naive_log(*log, bytes)).collect();
    for (day, list) in active {
        let active: BTreeSet<_> = list.iter().map(AdvertiserId::as_str).collect();
        let mut counts = BTreeMap::<_, Counts>::new();
        let mut tallies = String::new();
        for (object, ((_, days, _), log)) in logs.iter().zip(&read).enumerate() {
            if matches!(days, ObjectDays::Only(only) if only != day) {
                continue;
            }
            let (mut kept, mut inactive) = (0, 0);
            let mut rejected = BTreeMap::<RejectReason, u64>::new();
            for row in &log.rows {
                match row {
                    Err((reason, ..)) => *rejected.entry(*reason).or_default() += 1,
                    Ok(row) if row.day != *day => {}
                    Ok(row) if !active.contains(row.advertiser.as_str()) => inactive += 1,
                    Ok(row) => {
                        kept += 1;
                        *counts.entry((row.advertiser.clone(), row.product.clone())).or_default() +=
                            row.counts;
                    }
                }
            }
            let rejected: Vec<_> = rejected.into_iter().collect();
            tell_tally(&mut tallies, object, log.rows.len() as u64, (kept, inactive), log.blank, &rejected);
        }
        writeln!(told, "{day}").unwrap();
        for ((advertiser, product), counts) in counts {
            tell_counts(&mut told, &advertiser, &product, counts);
        }
        told += &tallies;
    }
    for (object, log) in read.iter().enumerate() {
        let mut shown = BTreeMap::<RejectReason, u32>::new();
        for (reason, line, text) in log.rows.iter().filter_map(|row| row.as_ref().err()) {
            let shown = shown.entry(*reason).or_default();
            *shown += 1;
            if *shown <= 3 {
                writeln!(examples, "{object}:{line} {reason} {text:?}").unwrap();
            }
        }
    }
    told + &examples
}

struct NaiveRow {
    day: Day,
    advertiser: String,
    product: String,
    counts: Counts,
}

struct NaiveLog {
    rows: Vec<Result<NaiveRow, (RejectReason, u64, String)>>,
    blank: u64,
}

fn naive_log(log: Log, bytes: &[u8]) -> NaiveLog {
    let mut records = naive_records(bytes).into_iter();
    let header: Vec<_> = records
        .next()
        .unwrap()
        .fields
        .unwrap()
        .into_iter()
        .map(|name| String::from_utf8(name).unwrap())
        .collect();
    let mut read = NaiveLog { rows: Vec::new(), blank: 0 };
    for record in records {
        if matches!(&record.fields, Ok(fields) if record.text.is_empty() && fields.len() == 1) {
            read.blank += 1;
            continue;
        }
        let row = record.fields.and_then(|fields| naive_row(log, &header, &fields));
        read.rows.push(row.map_err(|reason| (reason, record.line, record.text)));
    }
    read
}

fn naive_row(log: Log, header: &[String], fields: &[Vec<u8>]) -> Result<NaiveRow, RejectReason> {
    if fields.len() != header.len() {
        return Err(RejectReason::FieldCount);
    }
    let field = |name: &str| {
        let place = header.iter().position(|column| column == name).unwrap();
        String::from_utf8(fields[place].clone()).map_err(|_| RejectReason::NotUtf8)
    };
    let (advertiser, product, date) = (field("advertiser_id")?, field("product_id")?, field("date")?);
    let kind = if log == Log::AdsViews { field("type")? } else { "view".into() };
    let id_problem = |id: &str| match id.len() {
        0 => Some(RejectReason::EmptyId),
        256.. => Some(RejectReason::IdTooLong),
        _ => id.contains('\0').then_some(RejectReason::NulInId),
    };
    if let Some(reason) = id_problem(&advertiser).or_else(|| id_problem(&product)) {
        return Err(reason);
    }
    let mut counts = Counts::default();
    match kind.as_str() {
        "impression" => counts.impressions = 1,
        "click" => counts.clicks = 1,
        "view" if log == Log::ProductViews => counts.views = 1,
        _ => return Err(RejectReason::UnknownType),
    }
    let day = date.parse().map_err(|_| RejectReason::BadDate)?;
    Ok(NaiveRow { day, advertiser, product, counts })
}

fn check(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    threads: usize,
    slice_bytes: u64,
) {
    let naive = naive(active, logs);
    for (is_stream, instructions) in
        [(false, Instructions::Best), (false, Instructions::Portable), (true, Instructions::Best)]
    {
        let limits = (threads, slice_bytes, instructions);
        let ours = ours_of(active, logs, limits, |_| is_stream);
        let different = ours.lines().zip(naive.lines()).find(|(ours, naive)| ours != naive);
        assert_eq!(different, None, "{limits:?}, stream: {is_stream}");
        assert_eq!(ours.lines().count(), naive.lines().count());
    }
}

fn days() -> Vec<(Day, Vec<AdvertiserId>)> {
    let list = vec![advertiser("a"), advertiser("b, \"c\"\n"), advertiser("é".repeat(20).as_str())];
    vec![(day("2024-11-20"), list.clone()), (day("2024-11-22"), list)]
}

#[test]
fn a_stray_quote_costs_its_own_line_in_any_slicing() {
    let log = b"advertiser_id,product_id,date\na,\"p,2024-11-20\na,q,2024-11-20\n\"a\",\"r\n\ns\",2024-11-20\na,\"t\"u,2024-11-20\na,v,2024-11-20".to_vec();
    let logs = [(Log::ProductViews, ObjectDays::Any, log)];
    for slice_bytes in 1..120 {
        check(&days(), &logs, 2, slice_bytes);
    }
    let told = ours(&days(), &logs, 1, 1000);
    assert!(
        told.contains("\"a\" \"q\" 0 0 1") && told.contains("\"r\\n\\ns\"") && told.contains("\"v\""),
        "{told}"
    );
    assert!(told.contains("0:2 bad quoting"), "{told}");
}

#[test]
fn active_lists_may_differ_by_day() {
    let log =
        b"date,product_id,advertiser_id\n2024-11-20,p,a\n2024-11-22,p,a\n2024-11-22,q,b\n2024-11-21,q,b\n"
            .to_vec();
    let active = [(day("2024-11-20"), vec![advertiser("b")]), (day("2024-11-22"), vec![advertiser("a")])];
    for slice_bytes in [1, 20, 1000] {
        check(&active, &[(Log::ProductViews, ObjectDays::Any, log.clone())], 2, slice_bytes);
    }
}

#[test]
fn without_any_active_advertiser_all_events_are_inactive() {
    let log = b"date,product_id,advertiser_id\n2024-11-20,p,a\n2024-11-20,\"q\",b\n2024-11-21,p,a\n".to_vec();
    for active in [vec![], vec![advertiser("c")]] {
        let told =
            ours(&[(day("2024-11-20"), active)], &[(Log::ProductViews, ObjectDays::Any, log.clone())], 1, 99);
        assert!(told.contains("object 0: 3 read 0 kept 2 inactive"), "{told}");
    }
}

#[test]
fn many_rows_with_a_strange_one_now_and_then_count_as_a_naive_reading() {
    // Long enough for whole batches, and for blocks with and without anything unusual in them.
    let mut log = b"advertiser_id,product_id,type,date\n".to_vec();
    for row in 0..60_000 {
        let advertiser =
            ["a", "an advertiser of more than sixteen bytes", "inactive", "b\u{e9}"][row % 31 % 4];
        let product = ["p", "product-of-16-by", "a-product-of-more-than-sixteen-bytes"][row % 7 % 3];
        let (product, row_in_product) = (product, row % 1009);
        let kind = if row % 50 == 0 { "click" } else { "impression" };
        let day = ["2024-11-20", "2024-11-22", "2024-11-21"][row % 97 % 3];
        let line = match row {
            1000 | 20_000 => format!("{advertiser},\"{product}\",{kind},{day}\n"),
            7000 => format!("{advertiser},{product},{kind},{day},\n"),
            30_000..31_000 => format!("{advertiser},{product}{row_in_product},{kind},{day}\r\n"),
            45_000 => format!(",{product},{kind},{day}\n"),
            _ if row > 40_000 && advertiser.is_ascii() => {
                format!("{advertiser},{product}{row_in_product},{kind},{day}\n")
            }
            _ if advertiser.is_ascii() => format!("{advertiser},{product},{kind},{day}\n"),
            _ => format!("inactive,{product},{kind},{day}\n"),
        };
        log.extend(line.bytes());
        if row % 9973 == 0 {
            log.extend("b\u{e9},p,click,2024-11-20\n".bytes());
        }
    }
    let advertisers = ["a", "an advertiser of more than sixteen bytes", "b\u{e9}"].map(advertiser);
    let active = ["2024-11-20", "2024-11-22"].map(|text| (day(text), advertisers.to_vec()));
    for (threads, slice_bytes) in [(1, 1 << 30), (3, 100_000)] {
        check(&active, &[(Log::AdsViews, ObjectDays::Any, log.clone())], threads, slice_bytes);
    }
}

#[test]
fn a_line_of_10_mb_is_one_reject_and_the_rest_is_counted() {
    let mut log = b"advertiser_id,product_id,date\na,p,2024-11-20\na,".to_vec();
    log.extend(std::iter::repeat_n(b'x', 10 << 20));
    log.extend(b",2024-11-20\na,q,2024-11-20\n\"");
    log.extend(std::iter::repeat_n(b'y', 3 << 20));
    log.extend(b"\na,r,2024-11-20\n");
    let told =
        |slice_bytes| ours(&days(), &[(Log::ProductViews, ObjectDays::Any, log.clone())], 2, slice_bytes);
    let whole = told(1 << 30);
    for part in
        ["\"p\" 0 0 1", "\"q\" 0 0 1", "\"r\" 0 0 1", "0:3 line too long", "0:5 line too long", "5 read"]
    {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    for slice_bytes in [1 << 20, 777_777] {
        assert_eq!(told(slice_bytes), whole);
        let logs = [(Log::ProductViews, ObjectDays::Any, log.clone())];
        assert_eq!(ours_of(&days(), &logs, (2, slice_bytes, Instructions::Best), |_| true), whole);
    }
}

#[test]
fn an_example_shows_its_line_wherever_blocks_end() {
    // Behind the header bytes are read a power of two at a time: the stray quote is the last byte of a
    // block.
    let mut log = b"advertiser_id,product_id,date\n".to_vec();
    let bad = b"a,5\" screen of the large kind,2024-11-20\n";
    let end = log.len() + (1 << 20);
    while log.len() + 4 < end {
        let room = end - 4 - log.len();
        let product = if room < 100 { "x".repeat(room - "a,,2024-11-20\n".len()) } else { "p".into() };
        log.extend(format!("a,{product},2024-11-20\n").bytes());
    }
    assert_eq!(log.len(), end - 4);
    log.extend(bad);
    let told =
        |slice_bytes| ours(&days(), &[(Log::ProductViews, ObjectDays::Any, log.clone())], 1, slice_bytes);
    assert!(told(1 << 30).contains("screen of the large kind"), "{}", told(1 << 30));
    assert_eq!(told(1 << 30), told(1000));
}

#[test]
fn an_unreadable_object_is_named() {
    struct Broken;
    impl Objects for Broken {
        fn open(&self, _: usize, _: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let header = Header::read(b"advertiser_id,product_id,date\n", true, None).unwrap().unwrap();
    let layout = header.layout(&columns(Log::ProductViews)).unwrap();
    let object = CountedObject { name: "views.csv".into(), size: Some(1000), layout, days: ObjectDays::Any };
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let limits = Limits { threads: 2, slice_bytes: 100, instructions: Instructions::Best };
    let error = count(&wanted, &[object], &Broken, (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap_err();
    assert_eq!(error.to_string(), "could not count views.csv");
}

#[test]
fn dates_may_be_missing_where_the_object_holds_one_day() {
    let header = Header::read(b"product_id,advertiser_id\n", true, None).unwrap().unwrap();
    let columns = Columns { date_is_optional: true, ..columns(Log::ProductViews) };
    let layout = header.layout(&columns).unwrap();
    let bytes = [b"product_id,advertiser_id\np,a\n\"p\",a\n,a\n".to_vec()];
    let size = bytes[0].len() as u64;
    let days = ObjectDays::Only(day("2024-11-20"));
    let object = CountedObject { name: "views".into(), size: Some(size), layout, days };
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let limits = Limits { threads: 1, slice_bytes: 100, instructions: Instructions::Best };
    let counted =
        count(&wanted, &[object], &InMemory(&bytes), (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap();
    let block = counted.days[0].counts.parts().next().unwrap().merge().unwrap();
    let views: Vec<_> = block.rows().map(|(_, product, counts)| (product, counts.views)).collect();
    assert_eq!(views, [("p", 2)]);
}

/// Text of a log, from records that are mostly good and pieces that are not.
fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
    let field = |text: &'static str| Just(text.as_bytes().to_vec());
    let id = prop_oneof![
        4 => "[ab]".prop_map(String::into_bytes),
        1 => "[a-c]{15,18}".prop_map(String::into_bytes),
        1 => field("\"b, \"\"c\"\"\n\""),
        1 => field("\"a\""),
        1 => field("éééééééééééééééééééé"),
        1 => field(""),
        1 => Just(vec![b'x'; 256]),
        1 => Just(b"\xFF".to_vec()),
        1 => field("\"a\"b"),
        1 => field("a\"b"),
        1 => field("\"a,"),
        1 => field("a\rb"),
        1 => field("a\0b"),
    ];
    let kind = prop_oneof![8 => field("impression"), 3 => field("click"), 1 => field("view"), 1 => field("\"click\"")];
    let date = prop_oneof![
        6 => field("2024-11-20"),
        3 => field("2024-11-22"),
        1 => field("2024-11-21"),
        1 => field("2024-02-30"),
        1 => field("\"2024-11-20\""),
        1 => field(""),
    ];
    let end = prop_oneof![8 => field("\n"), 3 => field("\r\n"), 1 => field("\n\n"), 1 => field(",\n"), 1 => field("")];
    let record = (id.clone(), id, kind, date, end)
        .prop_map(|(a, p, kind, date, end)| [&a[..], b",", &p, b",", &kind, b",", &date, &end].concat());
    (any::<bool>(), any::<bool>(), proptest::collection::vec(record, 0..40)).prop_map(
        |(bom, crlf, records)| {
            let bom: &[u8] = if bom { b"\xEF\xBB\xBF" } else { b"" };
            let header: &[u8] = if crlf {
                b"advertiser_id,product_id,type,date\r\n"
            } else {
                b"advertiser_id,product_id,type,date\n"
            };
            [bom, header, &records.concat()].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_slicing_counts_as_a_naive_reading(
        first in log_bytes(),
        second in log_bytes(),
        threads in 1usize..4,
        slice_bytes in prop_oneof![1u64..40, 40u64..400, Just(1 << 20)],
        only in any::<bool>(),
        delimiter in prop::sample::select(b",,,\t;|".to_vec()),
        are_streams in any::<[bool; 2]>(),
        instructions in prop::sample::select(vec![Instructions::Best, Instructions::Portable]),
    ) {
        let delimited = |bytes: Vec<u8>| bytes.into_iter().map(|byte| if byte == b',' { delimiter } else { byte });
        let (first, second) = (delimited(first).collect(), delimited(second).collect());
        let without_bom = |bytes: &Vec<u8>| bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).to_vec();
        let days_of_second = if only { ObjectDays::Only(day("2024-11-22")) } else { ObjectDays::Any };
        let logs = [(Log::AdsViews, ObjectDays::Any, first), (Log::AdsViews, days_of_second, second)];
        let ours = ours_of(&days(), &logs, (threads, slice_bytes, instructions), |log| are_streams[log]);
        let logs = logs.map(|(log, days, bytes)| (log, days, without_bom(&bytes)));
        prop_assert_eq!(ours, naive(&days(), &logs));
    }
}
