//! Records of delimited text, by example.

use super::{advertiser, check, day, days, log_object, told};
use crate::readings::{
    LogObject,
    ours::{How, ours},
};
use counting::ObjectDays;
use domain::Log;

#[test]
fn a_stray_quote_costs_its_own_line_in_any_slicing() {
    let log = b"advertiser_id,product_id,date\na,\"p,2024-11-20\na,q,2024-11-20\n\"a\",\"r\n\ns\",2024-11-20\na,\"t\"u,2024-11-20\na,v,2024-11-20";
    let log = log_object(Log::ProductViews, log);
    for slice_bytes in 1..120 {
        check(&days(), &log, 2, slice_bytes);
    }
    let told = told(&log, 1000);
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
        check(&active, &log_object(Log::ProductViews, log), 2, slice_bytes);
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
        check(&active, &log_object(Log::AdsViews, &log), threads, slice_bytes);
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
    let log = log_object(Log::ProductViews, &log);
    let whole = told(&log, 1 << 30);
    assert!(whole.contains("screen of the large kind"), "{whole}");
    assert_eq!(whole, told(&log, 1000));
}

#[test]
fn dates_may_be_missing_where_the_object_holds_one_day() {
    let bytes = b"product_id,advertiser_id\np,a\n\"p\",a\n,a\n";
    let log = LogObject { days: ObjectDays::Only(day("2024-11-20")), ..log_object(Log::ProductViews, bytes) };
    check(&days(), &log, 1, 100);
    let told = told(&log, 100);
    assert!(told.contains("\"a\" \"p\" 0 0 2") && told.contains("0:4 empty id"), "{told}");
}
