//! Lines of JSON, by example.

use super::{check, day, days, log_object, told};
use crate::readings::LogObject;
use counting::{Columns, Head, Layout, ObjectDays, RECORD_BYTES_MAX, read_active_list};
use domain::{AdvertiserId, Log};
use serde_json::json;

/// Checks views of any day, in many slicings.
fn check_views(lines: &str) -> String {
    let log = log_object(Log::ProductViews, lines.as_bytes());
    for slice_bytes in [1, 7, 50, 1000] {
        check(&days(), &log, 2, slice_bytes);
    }
    told(&log, 1000)
}

const GOOD: &str = r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}"#;

#[test]
fn members_are_found_by_name_in_any_order_and_others_may_be_anything() {
    let told = check_views(&format!(
        "\u{FEFF}{GOOD}\n{}\r\n\n  \n{}\n{}",
        r#" { "date" : "2024-11-20" , "x" : [ 1 , { "date" : null } , [ ] , { } , -0.5e+3 ] , "product_id" : "p" , "advertiser_id" : "a" } "#,
        r#"{"":"","advertiser_id":"a","y":"}\n{\"","product_id":"p","z":true,"date":"2024-11-20"}"#,
        r#"{"adv\u0065rtiser_id":"\u0061","product\u005Fid":"p","date":"2024\u002d11-20"}"#,
    ));
    assert!(told.contains("\"a\" \"p\" 0 0 4"), "{told}");
    assert!(told.contains("object 0: 4 read 4 kept 0 inactive 2 blank []"), "{told}");
}

#[test]
fn ids_say_what_their_escapes_stand_for_and_whole_numbers_stand_for_their_digits() {
    let told = check_views(&format!(
        "{GOOD}\n{}\n{}\n{}\n",
        r#"{"advertiser_id":"b, \"c\"\n","product_id":"\ud83d\ude00\u00e9é","date":"2024-11-20"}"#,
        r#"{"advertiser_id":12,"product_id":-34567890123456789012345678901234567890,"date":20241120}"#,
        r#"{"advertiser_id":"12","product_id":"0","date":"2024-11-20"}"#,
    ));
    for part in [
        "\"b, \\\"c\\\"\\n\" \"😀éé\" 0 0 1",
        "\"12\" \"-34567890123456789012345678901234567890\"",
        "\"12\" \"0\"",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn what_breaks_a_rule_is_rejected_by_its_reason() {
    let cases = [
        (
            "bad JSON",
            vec![
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20""#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20",}"#,
                r#"{"advertiser_id":"a" "product_id":"p","date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":'p',"date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":01}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":.5}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":1.}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":NaN}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":True}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":[1,]}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":[}]}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":"\ud800"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","\udc00":1}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":"\x41"}"#,
                "{\"advertiser_id\":\"a\",\"product_id\":\"p\tq\",\"date\":\"2024-11-20\"}",
                "{\"advertiser_id\":\"a\",\"product_id\":\"p\0q\",\"date\":\"2024-11-20\"}",
                "\u{FEFF}{\"advertiser_id\":\"a\",\"product_id\":\"p\",\"date\":\"2024-11-20\"}",
                "{\"advertiser_id\":\"a\",\"product_id\":\"p\",\"date\":\"2024-11-20\"} // why",
                "[]",
                "null",
                "\"a\"",
                "a,p,2024-11-20",
                "{",
                "{\"a\"}",
                "{a:1}",
            ],
        ),
        (
            "missing member",
            vec![
                r#"{"advertiser_id":"a","date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":null,"date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":null}"#,
                r#"{"advertiser_id":"a","product_id":"p","Date":"2024-11-20"}"#,
                r#"{"x":{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}}"#,
                "{}",
            ],
        ),
        (
            "repeated member",
            vec![
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","product_id":"q"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","product_id":"p"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","d\u0061te":null}"#,
            ],
        ),
        (
            "not text",
            vec![
                r#"{"advertiser_id":1.0,"product_id":"p","date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":1e3,"date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":["p"],"date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":{"id":"p"},"date":"2024-11-20"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":false}"#,
            ],
        ),
        ("empty id", vec![r#"{"advertiser_id":"","product_id":"p","date":"2024-11-20"}"#]),
        ("NUL in an id", vec![r#"{"advertiser_id":"a","product_id":"p\u0000","date":"2024-11-20"}"#]),
        (
            "bad date",
            vec![
                r#"{"advertiser_id":"a","product_id":"p","date":"2024-02-30"}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":1732060800}"#,
                r#"{"advertiser_id":"a","product_id":"p","date":""}"#,
            ],
        ),
    ];
    for (reason, lines) in cases {
        for line in lines {
            // Between good lines, so that a shape is known.
            let told = check_views(&format!("{GOOD}\n{GOOD}\n{line}\n{GOOD}\n"));
            assert!(told.contains(&format!("0:3 {reason} ")), "{reason}: {line}\n{told}");
            assert!(told.contains("\"a\" \"p\" 0 0 3"), "{line}\n{told}");
        }
    }
}

#[test]
fn lines_that_are_not_utf8_are_rejected_wherever_it_is() {
    let good = GOOD.as_bytes();
    let bad: [&[u8]; 3] = [
        b"{\"advertiser_id\":\"a\",\"product_id\":\"caf\xE9\",\"date\":\"2024-11-20\"}",
        b"{\"advertiser_id\":\"a\",\"product_id\":\"p\",\"date\":\"2024-11-20\",\"x\":\"\xC3\"}",
        b"{\"advertiser_id\":\"a\",\"product_id\":\"p\",\"date\":\"2024-11-20\",\"\xFF\":1}",
    ];
    let good_with_x = br#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":"\u00e9"}"#;
    let log = [&[good, good_with_x], &bad[..], &[good]].concat().join(&b'\n');
    let log = log_object(Log::ProductViews, &log);
    for slice_bytes in [1, 50, 1000] {
        check(&days(), &log, 2, slice_bytes);
    }
    let told = told(&log, 1000);
    assert!(told.contains("6 read 3 kept 0 inactive 0 blank [(NotUtf8, 3)]"), "{told}");
}

#[test]
fn depth_has_a_limit_and_no_stack_overflows() {
    let line = |levels: usize, [open, close]: [&str; 2]| {
        let nested = open.repeat(levels) + "1" + &close.repeat(levels);
        format!(r#"{{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":{nested}}}"#)
    };
    for brackets in [["[", "]"], ["{\"y\":", "}"], ["[{\"y\":[2,", "]}]"]] {
        let per_bracket = brackets[0].matches(['[', '{']).count();
        let most = 126 / per_bracket;
        let told =
            check_views(&format!("{GOOD}\n{}\n{}\n{GOOD}\n", line(most, brackets), line(most + 1, brackets)));
        assert!(told.contains("4 read 3 kept") && told.contains("0:3 bad JSON"), "{told}");
    }
    for bracket in ["[", "{\"y\":", "[]"] {
        let log = format!("{GOOD}\n{GOOD}\n{}\n{GOOD}\n", bracket.repeat(100_000)).into_bytes();
        let log = log_object(Log::ProductViews, &log);
        check(&days(), &log, 2, 50_000);
        let told = told(&log, 1 << 30);
        assert!(told.contains("4 read 3 kept") && told.contains("0:3 bad JSON"), "{told}");
    }
}

#[test]
fn a_line_of_10_mb_is_one_reject_and_the_rest_is_counted() {
    let long =
        format!(r#"{{"advertiser_id":"a","product_id":"{}","date":"2024-11-20"}}"#, "x".repeat(10 << 20));
    let just = |bytes: usize| {
        let rest = r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":""}"#.len() + 1;
        let x = "y".repeat(bytes - rest);
        format!(r#"{{"advertiser_id":"a","product_id":"p","date":"2024-11-20","x":"{x}"}}"#)
    };
    let (longest, too_long) = (just(RECORD_BYTES_MAX), just(RECORD_BYTES_MAX + 1));
    let log = [GOOD, &longest, &long, GOOD, &longest, &too_long, GOOD, &long].join("\n");
    let log = log_object(Log::ProductViews, log.as_bytes());
    for slice_bytes in [1 << 30, 1 << 20, 777_777] {
        check(&days(), &log, 2, slice_bytes);
    }
    let told = told(&log, 1 << 30);
    assert!(told.contains("8 read 5 kept") && told.contains("0:3 line too long"), "{told}");
}

#[test]
fn a_date_may_be_missing_line_by_line_where_the_object_holds_one_day() {
    let lines = [
        r#"{"advertiser_id":"a","product_id":"p"}"#,
        r#"{"advertiser_id":"a","product_id":"p","date":null}"#,
        r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-22"}"#,
        r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}"#,
        r#"{"advertiser_id":"a","product_id":"p","date":""}"#,
        r#"{"advertiser_id":"a","product_id":"p","date":[]}"#,
    ];
    let log = [lines, lines, lines].concat().join("\n").into_bytes();
    let days_of_object = ObjectDays::Only(day("2024-11-22"));
    let log = LogObject { days: days_of_object, ..log_object(Log::ProductViews, &log) };
    for slice_bytes in [1, 50, 1000] {
        check(&days(), &log, 2, slice_bytes);
    }
    let told = told(&log, 1000);
    assert!(told.contains("18 read 9 kept 0 inactive 0 blank [(BadDate, 3), (NotText, 3)]"), "{told}");
}

#[test]
fn many_lines_of_several_shapes_count_as_a_naive_reading() {
    // Long enough for whole batches and several blocks, with more shapes than are remembered.
    let mut log = String::new();
    for row in 0..40_000 {
        let advertiser = ["a", "an advertiser of more than thirty-two bytes", "inactive", "12"][row % 31 % 4];
        let product = format!("{}{}", ["p", "product-of-16-by", "é"][row % 7 % 3], row % 1009);
        let kind = if row % 50 == 0 { "click" } else { "impression" };
        let day = ["2024-11-20", "2024-11-22", "2024-11-21"][row % 97 % 3];
        let x =
            [json!(row), json!("text"), json!(null), json!([{"y": row}, 1.5]), json!("ü")][row % 5].clone();
        let line = match row {
            1000 => format!(r#"{{"advertiser_id":{advertiser:?},"type":"{kind}"}}"#),
            20_000..20_100 => format!("{row}"),
            30_000..36_000 => match row % 6 {
                0 => format!(
                    r#"{{"advertiser_id":{advertiser:?},"product_id":"{product}","type":"{kind}","date":"{day}"}}"#
                ),
                1 => format!(
                    r#"{{"product_id":"{product}","x":{x},"advertiser_id":{advertiser:?},"type":"{kind}","date":"{day}"}}"#
                ),
                2 => format!(
                    r#"{{"type":"{kind}","date":"{day}","advertiser_id":{advertiser:?},"product_id":"{product}"}}"#
                ),
                3 => format!(
                    r#"{{"type": "{kind}", "date": "{day}", "advertiser_id": {advertiser:?}, "product_id": "{product}"}}"#
                ),
                4 => format!(
                    r#"{{"a_name_of_more_than_thirty_two_bytes":{x},"type":"{kind}","date":"{day}","advertiser_id":{advertiser:?},"product_id":{row}}}"#
                ),
                _ => format!(
                    "{{\"type\":\"{kind}\",\"date\":\"{day}\",\"advertiser_id\":{advertiser:?},\"product_id\":\"\\u0070{row}\"}}\r"
                ),
            },
            _ => format!(
                r#"{{"advertiser_id":{advertiser:?},"product_id":"{product}","x":{x},"type":"{kind}","date":"{day}"}}"#
            ),
        };
        log += &line;
        log += "\n";
    }
    for (threads, slice_bytes) in [(1, 1 << 30), (3, 100_000)] {
        check(&days(), &log_object(Log::AdsViews, log.as_bytes()), threads, slice_bytes);
    }
}

#[test]
fn an_active_list_of_json_lines_is_a_set_and_counts_its_bad_lines() {
    let long = "x".repeat(256);
    let lines = [
        "\u{FEFF}{\"advertiser_id\":\"a\",\"note\":[1]}\r",
        "",
        "{\"note\":null,\"advertiser_id\":\"b\\n\"}",
        "{\"advertiser_id\":\"a\"}",
        "{\"advertiser_id\":12}",
        "{\"advertiser_id\":\"\"}",
        &format!("{{\"advertiser_id\":\"{long}\"}}"),
        "{\"advertiser\":\"c\"}",
        "{\"advertiser_id\":\"d\"",
        "{\"advertiser_id\":\"e\"}",
    ];
    let bytes = lines.join("\n").into_bytes();
    let head = Head { name: "ids", bytes: &bytes, is_whole: true };
    let columns = Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: None,
        kind: None,
        date: None,
        date_is_optional: false,
    };
    let layout = Layout::read(&head, None, &columns).unwrap().unwrap();
    let list = read_active_list("ids", &bytes, &layout);
    let ids: Vec<_> = list.advertisers.iter().map(AdvertiserId::as_str).collect();
    assert_eq!(ids, ["12", "a", "b\n", "e"]);
    let rejected: Vec<_> = list.examples.iter().map(|e| format!("{} {}", e.line, e.reason)).collect();
    assert_eq!(rejected, ["6 empty id", "7 id too long", "8 missing member", "9 bad JSON"]);
    assert_eq!((list.tally.read, list.tally.kept, list.tally.blank), (9, 5, 1));
}
