//! Counting against a naive reading of the same bytes: byte by byte, into ordered maps.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod columns;
mod readings;

use counting::{
    Content, CountError, CountedObject, DateFormat, Header, Instructions, Limits, Memory, ObjectDays,
    Objects, SpillFile, SpillPlace, Wanted, count,
};
use domain::{AdvertiserId, Day, Log};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use readings::{
    LogObject, case,
    naive::naive,
    ours::{How, ours},
};
use std::{
    fs,
    io::{self, Read},
    ops::Range,
    path::Path,
    sync::Arc,
};

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn advertiser(text: &str) -> AdvertiserId {
    AdvertiserId::new(text).unwrap()
}

/// An object of `product_views` or `ads_views` that can be cut.
fn log_object(log: Log, bytes: &[u8]) -> LogObject {
    LogObject { log, days: ObjectDays::Any, bytes: bytes.to_vec(), delimiter: None, is_stream: false }
}

fn check(active: &[(Day, Vec<AdvertiserId>)], mut log: LogObject, threads: usize, slice_bytes: u64) {
    let naive = naive(active, std::slice::from_ref(&log), &TimeZone::UTC);
    for (is_stream, instructions) in
        [(false, Instructions::Best), (false, Instructions::Portable), (true, Instructions::Best)]
    {
        log.is_stream = is_stream;
        let how = How { instructions, ..How::new(threads, slice_bytes) };
        let ours = ours(active, std::slice::from_ref(&log), &how);
        let different = ours.lines().zip(naive.lines()).find(|(ours, naive)| ours != naive);
        assert_eq!(different, None, "{how:?}, stream: {is_stream}");
        assert_eq!(ours.lines().count(), naive.lines().count());
    }
}

fn days() -> Vec<(Day, Vec<AdvertiserId>)> {
    let list = vec![advertiser("a"), advertiser("b, \"c\"\n"), advertiser("é".repeat(20).as_str())];
    vec![(day("2024-11-20"), list.clone()), (day("2024-11-22"), list)]
}

#[test]
fn a_stray_quote_costs_its_own_line_in_any_slicing() {
    let log = b"advertiser_id,product_id,date\na,\"p,2024-11-20\na,q,2024-11-20\n\"a\",\"r\n\ns\",2024-11-20\na,\"t\"u,2024-11-20\na,v,2024-11-20";
    let log = log_object(Log::ProductViews, log);
    for slice_bytes in 1..120 {
        check(&days(), log.clone(), 2, slice_bytes);
    }
    let told = ours(&days(), &[log], &How::new(1, 1000));
    assert!(
        told.contains("\"a\" \"q\" 0 0 1") && told.contains("\"r\\n\\ns\"") && told.contains("\"v\""),
        "{told}"
    );
    assert!(told.contains("0:2 bad quoting"), "{told}");
}

#[test]
fn active_lists_may_differ_by_day() {
    let log =
        b"date,product_id,advertiser_id\n2024-11-20,p,a\n2024-11-22,p,a\n2024-11-22,q,b\n2024-11-21,q,b\n";
    let active = [(day("2024-11-20"), vec![advertiser("b")]), (day("2024-11-22"), vec![advertiser("a")])];
    for slice_bytes in [1, 20, 1000] {
        check(&active, log_object(Log::ProductViews, log), 2, slice_bytes);
    }
}

#[test]
fn without_any_active_advertiser_all_events_are_inactive() {
    let log = b"date,product_id,advertiser_id\n2024-11-20,p,a\n2024-11-20,\"q\",b\n2024-11-21,p,a\n";
    for active in [vec![], vec![advertiser("c")]] {
        let logs = [log_object(Log::ProductViews, log)];
        let told = ours(&[(day("2024-11-20"), active)], &logs, &How::new(1, 99));
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
        check(&active, log_object(Log::AdsViews, &log), threads, slice_bytes);
    }
}

#[test]
fn any_memory_gives_the_same() {
    let mut log = b"advertiser_id,product_id,type,date\n".to_vec();
    for row in 0..30_000 {
        let product = row * 7919 % 4001;
        let product = match row % 5 {
            0 => format!("a product with a long id {product}"),
            1 => format!("of-16-bytes-{product:04}"),
            _ => format!("p{product}"),
        };
        let quote = if row % 101 == 0 { "\"" } else { "" };
        let day = ["2024-11-20", "2024-11-22"][row % 3 % 2];
        log.extend(format!("a,{quote}{product}{quote},impression,{day}\n").bytes());
    }
    let logs = [log_object(Log::AdsViews, &log)];
    let naive = naive(&days(), &logs, &TimeZone::UTC);
    for share_bytes in [1 << 30, 1 << 20, 50_000, 5000, 1500] {
        let how = How { share_bytes: Some(share_bytes), ..How::new(2, 50_000) };
        assert!(ours(&days(), &logs, &how) == naive, "{how:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_no_object_is_blamed() {
    #[derive(Debug)]
    struct Full;
    impl SpillPlace for Full {
        fn create(&self) -> io::Result<Box<dyn SpillFile>> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    struct InMemory(Vec<u8>);
    impl Objects for InMemory {
        fn open(&self, _: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(&self.0[usize::try_from(range.start).unwrap()..]))
        }
    }
    let rows = (0..1000).map(|row| format!("a,{row},2024-11-20\n")).collect::<String>();
    let bytes = InMemory(format!("advertiser_id,product_id,date\n{rows}").into_bytes());
    let header = Header::read(&bytes.0, true, None).unwrap().unwrap();
    let layout = header.layout(&log_object(Log::ProductViews, b"").columns()).unwrap();
    let size = Some(bytes.0.len() as u64);
    let object = views(Content::Text { size, layout });
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let memory = Some(Memory { table_bytes: 4000, spill: Arc::new(Full) });
    let limits = Limits { threads: 1, slice_bytes: 1 << 20, instructions: Instructions::Best, memory };
    match count(&wanted, &[object], &bytes, (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap_err() {
        CountError::Spill(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        error => panic!("{error}"),
    }
}

#[test]
fn a_line_of_10_mb_is_one_reject_and_the_rest_is_counted() {
    let mut log = b"advertiser_id,product_id,date\na,p,2024-11-20\na,".to_vec();
    log.extend(std::iter::repeat_n(b'x', 10 << 20));
    log.extend(b",2024-11-20\na,q,2024-11-20\n\"");
    log.extend(std::iter::repeat_n(b'y', 3 << 20));
    log.extend(b"\na,r,2024-11-20\n");
    let log = log_object(Log::ProductViews, &log);
    let stream = LogObject { is_stream: true, ..log.clone() };
    let told =
        |log: &LogObject, slice_bytes| ours(&days(), std::slice::from_ref(log), &How::new(2, slice_bytes));
    let whole = told(&log, 1 << 30);
    for part in
        ["\"p\" 0 0 1", "\"q\" 0 0 1", "\"r\" 0 0 1", "0:3 line too long", "0:5 line too long", "5 read"]
    {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    for slice_bytes in [1 << 20, 777_777] {
        assert_eq!(told(&log, slice_bytes), whole);
        assert_eq!(told(&stream, slice_bytes), whole);
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
    let logs = [log_object(Log::ProductViews, &log)];
    let told = |slice_bytes| ours(&days(), &logs, &How::new(1, slice_bytes));
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
    let layout = header.layout(&log_object(Log::ProductViews, b"").columns()).unwrap();
    let object = views(Content::Text { size: Some(1000), layout });
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let limits = Limits { threads: 2, slice_bytes: 100, instructions: Instructions::Best, memory: None };
    let error = count(&wanted, &[object], &Broken, (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap_err();
    assert_eq!(error.to_string(), "could not count views.csv");
}

#[test]
fn dates_may_be_missing_where_the_object_holds_one_day() {
    let bytes = b"product_id,advertiser_id\np,a\n\"p\",a\n,a\n";
    let log = LogObject { days: ObjectDays::Only(day("2024-11-20")), ..log_object(Log::ProductViews, bytes) };
    check(&days(), log.clone(), 1, 100);
    let told = ours(&days(), &[log], &How::new(1, 100));
    assert!(told.contains("\"a\" \"p\" 0 0 2") && told.contains("0:4 empty id"), "{told}");
}

#[test]
fn the_kept_corpus_of_the_fuzz_target_counts_as_a_naive_reading() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/csv");
    let mut files = 0;
    for file in fs::read_dir(&corpus).unwrap() {
        let file = file.unwrap().path();
        println!("{}", file.display());
        case::check(&fs::read(&file).unwrap());
        files += 1;
    }
    assert!(files > 0, "{} is empty", corpus.display());
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
        chop_seed in prop_oneof![Just(0), any::<u64>()],
        instructions in prop::sample::select(vec![Instructions::Best, Instructions::Portable]),
        // From what holds everything to what holds next to nothing.
        share_bytes in prop::option::of(1200u64..4000),
    ) {
        let delimited = |bytes: Vec<u8>| bytes.into_iter().map(|byte| if byte == b',' { delimiter } else { byte });
        let (first, second) = (delimited(first).collect(), delimited(second).collect());
        let days_of_second = if only { ObjectDays::Only(day("2024-11-22")) } else { ObjectDays::Any };
        let logs = [(first, ObjectDays::Any, are_streams[0]), (second, days_of_second, are_streams[1])];
        let logs = logs.map(|(bytes, days, is_stream)| {
            LogObject { log: Log::AdsViews, days, bytes, delimiter: None, is_stream }
        });
        let how = How { instructions, chop_seed, share_bytes, ..How::new(threads, slice_bytes) };
        prop_assert_eq!(ours(&days(), &logs, &how), naive(&days(), &logs, &TimeZone::UTC));
    }
}

fn views(content: Content) -> CountedObject {
    CountedObject { name: "views.csv".into(), days: ObjectDays::Any, content }
}
