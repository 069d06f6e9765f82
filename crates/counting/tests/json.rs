//! Counting JSON lines against a naive reading of the same bytes: line by line with serde_json, into ordered maps.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod told;

use counting::{
    Columns, HEADER_BYTES_MAX, Head, HeaderError, Layout, ObjectDays, RECORD_BYTES_MAX, read_active_list,
};
use domain::{AdvertiserId, Counts, Day, Log, RejectReason};
use proptest::{collection::vec, prelude::*, sample::select};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};
use std::fmt;
use told::{NaiveLog, NaiveRow, advertiser, check, day, ours_of};

/// The members of an object, in order, those of one name too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn naive_log(log: Log, days: ObjectDays, bytes: &[u8]) -> NaiveLog {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut read = NaiveLog { rows: Vec::new(), blank: 0 };
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if line.iter().all(|byte| b" \t\r\n".contains(byte)) {
            read.blank += 1;
            continue;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = &text[..text.len().min(120)];
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        read.rows.push(naive_row(log, days, line).map_err(|reason| (reason, number, text)));
    }
    read
}

fn naive_row(log: Log, days: ObjectDays, line: &[u8]) -> Result<NaiveRow, RejectReason> {
    if line.len() > RECORD_BYTES_MAX {
        return Err(RejectReason::LineTooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| RejectReason::NotUtf8)?;
    // As a value too: raw members may hold lone surrogates, and be nested without end.
    serde_json::from_str::<Value>(line).map_err(|_| RejectReason::BadJson)?;
    let Members(members) = serde_json::from_str(line).map_err(|_| RejectReason::BadJson)?;
    let names: &[_] = match log {
        Log::AdsViews => &["advertiser_id", "product_id", "type", "date"],
        _ => &["advertiser_id", "product_id", "date"],
    };
    let all = |name: &str| members.iter().filter(|(found, _)| found == name).collect::<Vec<_>>();
    if names.iter().any(|name| all(name).len() > 1) {
        return Err(RejectReason::RepeatedMember);
    }
    let raw = |name: &str| all(name).first().map(|(_, value)| value.get()).filter(|value| *value != "null");
    let is_needed = |name: &str| name != "date" || days == ObjectDays::Any;
    if names.iter().any(|name| is_needed(name) && raw(name).is_none()) {
        return Err(RejectReason::MissingMember);
    }
    let text = |name: &str| {
        let as_text = |raw: &str| match serde_json::from_str(raw).unwrap() {
            Value::String(text) => Ok(text),
            Value::Number(_) if !raw.contains(['.', 'e', 'E']) => Ok(raw.to_owned()),
            _ => Err(RejectReason::NotText),
        };
        raw(name).map(as_text).transpose()
    };
    let texts = names.iter().map(|name| text(name)).collect::<Result<Vec<_>, _>>()?;
    let [Some(advertiser), Some(product), kind @ .., date] = &texts[..] else { unreachable!() };
    judged(advertiser, product, kind, date.as_deref(), days)
}

fn judged(
    advertiser: &str,
    product: &str,
    kind: &[Option<String>],
    date: Option<&str>,
    days: ObjectDays,
) -> Result<NaiveRow, RejectReason> {
    for id in [advertiser, product] {
        match id.len() {
            0 => return Err(RejectReason::EmptyId),
            256.. => return Err(RejectReason::IdTooLong),
            _ if id.contains('\0') => return Err(RejectReason::NulInId),
            _ => {}
        }
    }
    let mut counts = Counts::default();
    match kind.first().map(|kind| kind.as_deref().unwrap()) {
        None => counts.views = 1,
        Some("impression") => counts.impressions = 1,
        Some("click") => counts.clicks = 1,
        Some(_) => return Err(RejectReason::UnknownType),
    }
    let day = match (date, days) {
        (Some(date), _) => naive_day(date).ok_or(RejectReason::BadDate)?,
        (None, ObjectDays::Only(day)) => day,
        (None, ObjectDays::Any) => unreachable!("the date is needed"),
    };
    Ok(NaiveRow { day, advertiser: advertiser.into(), product: product.into(), counts })
}

/// `YYYY-MM-DD`, and `YYYYMMDD`, as whole numbers say it.
fn naive_day(date: &str) -> Option<Day> {
    let is_whole = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    let dashed =
        if is_whole { format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]) } else { date.to_owned() };
    dashed.parse().ok()
}

fn days() -> Vec<(Day, Vec<AdvertiserId>)> {
    let ids = ["12", "a", "an advertiser of more than thirty-two bytes", "b, \"c\"\n", &"é".repeat(20)];
    let list: Vec<_> = ids.into_iter().map(advertiser).collect();
    vec![(day("2024-11-20"), list.clone()), (day("2024-11-22"), list)]
}

/// Checks views of any day, in many slicings.
fn check_views(lines: &str) -> String {
    let logs = [(Log::ProductViews, ObjectDays::Any, lines.as_bytes().to_vec())];
    for slice_bytes in [1, 7, 50, 1000] {
        check(&days(), &logs, naive_log, (2, slice_bytes));
    }
    ours_of(&days(), &logs, 1, 1000, |_| false)
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
    let logs = [(Log::ProductViews, ObjectDays::Any, log)];
    for slice_bytes in [1, 50, 1000] {
        check(&days(), &logs, naive_log, (2, slice_bytes));
    }
    let told = ours_of(&days(), &logs, 1, 1000, |_| false);
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
        let logs = [(Log::ProductViews, ObjectDays::Any, log)];
        check(&days(), &logs, naive_log, (2, 50_000));
        let told = ours_of(&days(), &logs, 1, 1 << 30, |_| false);
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
    let logs = [(Log::ProductViews, ObjectDays::Any, log.into_bytes())];
    for slice_bytes in [1 << 30, 1 << 20, 777_777] {
        check(&days(), &logs, naive_log, (2, slice_bytes));
    }
    let told = ours_of(&days(), &logs, 1, 1 << 30, |_| false);
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
    let logs = [(Log::ProductViews, ObjectDays::Only(day("2024-11-22")), log)];
    for slice_bytes in [1, 50, 1000] {
        check(&days(), &logs, naive_log, (2, slice_bytes));
    }
    let told = ours_of(&days(), &logs, 1, 1000, |_| false);
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
        check(
            &days(),
            &[(Log::AdsViews, ObjectDays::Any, log.clone().into_bytes())],
            naive_log,
            (threads, slice_bytes),
        );
    }
}

fn columns(log: Log) -> Columns {
    Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: (log != Log::AdvertiserIds).then(|| "product_id".into()),
        kind: None,
        date: (log != Log::AdvertiserIds).then(|| "date".into()),
        date_is_optional: false,
    }
}

fn check_head(name: &str, bytes: &[u8], expected: &str) {
    let head = Head { name, bytes, is_whole: true };
    let seen = match Layout::read(&head, None, &columns(Log::ProductViews)) {
        Ok(Some(Layout::JsonLines(layout))) => format!("JSON lines from {}", layout.data_start),
        Ok(Some(Layout::Delimited(layout))) => format!("delimited by {:?}", char::from(layout.delimiter)),
        Ok(None) => "more".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(seen, expected, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
}

#[test]
fn content_tells_the_format_first_and_the_name_second() {
    let csv = "advertiser_id,product_id,date\na,p,2024-11-20\n";
    for name in ["views", "views.csv", "views.jsonl", "views.JSON.gz"] {
        check_head(name, GOOD.as_bytes(), "JSON lines from 0");
        check_head(name, format!("\u{FEFF}\r\n \t{GOOD}").as_bytes(), "JSON lines from 3");
        check_head(name, csv.as_bytes(), "delimited by ','");
    }
    // A bad first line that tells nothing.
    let cut = format!("tiser_id\":\"a\",\"product_id\":\"p\",\"date\":\"2024-11-20\"}}\n{GOOD}\n");
    for name in ["views.json", "views.jsonl", "views.ndjson", "views.jsonl.gz", "v.ndjson.zst"] {
        check_head(name, cut.as_bytes(), "JSON lines from 0");
    }
    check_head("views.csv", cut.as_bytes(), "the header line has bad quoting");
    check_head("views.jsonl", b"", "the object is empty: it has no header line");
    check_head("views.jsonl", b"\n\n", "the object is empty: it has no header line");
}

#[test]
fn one_of_the_first_lines_must_have_all_members() {
    let ok = "JSON lines from 0";
    check_head("v", format!("{{}}\n{{\"x\":1}}\n{{{{\n{GOOD}\n").as_bytes(), ok);
    check_head("v", br#"{"date":null,"product_id":[],"advertiser_id":1.5}"#, ok);
    let missing = |missing: &str, found: &str| {
        format!(
            "no line has all members that are needed, missing: {missing}; found: {found}; expected: advertiser_id, product_id, date"
        )
    };
    let other = br#"{"advertiser":"a","product_id":"p","date":"2024-11-20"}"#;
    check_head("v", other, &missing("advertiser_id", "advertiser, product_id, date"));
    check_head("v", b"{}\n", &missing("advertiser_id, product_id, date", ""));
    let parts = b"{\"advertiser_id\":\"a\"}\n{\"product_id\":\"p\",\"date\":\"2024-11-20\"}\n";
    check_head("v", parts, &missing("none, but no line has all", "advertiser_id, product_id, date"));
    let nested = br#"{"event":{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}}"#;
    check_head("v", nested, &missing("advertiser_id, product_id, date", "event"));
}

#[test]
fn what_is_no_json_lines_is_refused() {
    let refused = |what: &str| format!("the object looks like {what}, not JSON lines: one {{…}} a line");
    let [array, document, whole, binary] = [
        "a JSON array",
        "a JSON document spread over lines",
        "JSON without a whole record in its first mebibyte",
        "UTF-16 or other binary data",
    ]
    .map(refused);
    check_head("v", format!("[{GOOD},{GOOD}]").as_bytes(), &array);
    check_head("v", format!("[\n{GOOD},\n{GOOD}\n]\n").as_bytes(), &array);
    let value: Value = serde_json::from_str(GOOD).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    check_head("v", format!("{pretty}\n").as_bytes(), &document);
    check_head("v", format!("{pretty}\n{pretty}\n").as_bytes(), &document);
    check_head("v", format!("{{\"rows\":[\n{GOOD},\n{GOOD}\n]}}\n").as_bytes(), &document);
    check_head("v", b"{\"advertiser_id\":\"a\"", &whole);
    let long = [b"{\"x\":\"", &vec![b'x'; HEADER_BYTES_MAX][..]].concat();
    let head = Head { name: "v", bytes: &long[..HEADER_BYTES_MAX], is_whole: false };
    assert_eq!(Layout::read(&head, None, &columns(Log::ProductViews)).unwrap_err().to_string(), whole);
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    check_head("v", &utf16, &binary);
}

#[test]
fn a_head_that_does_not_tell_asks_for_more() {
    let others = "{\"x\":1}\n".repeat(9999);
    for bytes in ["", " ", "{", &GOOD[..GOOD.len() - 1], GOOD, "{\n", "{\"x\":1}\n", &others] {
        let head = Head { name: "v", bytes: bytes.as_bytes(), is_whole: false };
        assert_eq!(Layout::read(&head, None, &columns(Log::ProductViews)), Ok(None), "{bytes}");
    }
    let head = format!("{others}{GOOD}\n{{");
    let head = Head { name: "v", bytes: head.as_bytes(), is_whole: false };
    assert!(matches!(Layout::read(&head, None, &columns(Log::ProductViews)), Ok(Some(_))));
    let long = vec![b' '; 1 << 20];
    let head = Head { name: "v.jsonl", bytes: &[b"{\"x\":1}\n", &long[..]].concat(), is_whole: false };
    let refused = Layout::read(&head, None, &columns(Log::ProductViews));
    assert!(matches!(refused, Err(HeaderError::MissingMember { .. })), "{refused:?}");
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
    let layout = Layout::read(&head, None, &columns(Log::AdvertiserIds)).unwrap().unwrap();
    let list = read_active_list("ids", &bytes, &layout);
    let ids: Vec<_> = list.advertisers.iter().map(AdvertiserId::as_str).collect();
    assert_eq!(ids, ["12", "a", "b\n", "e"]);
    let rejected: Vec<_> = list.examples.iter().map(|e| format!("{} {}", e.line, e.reason)).collect();
    assert_eq!(rejected, ["6 empty id", "7 id too long", "8 missing member", "9 bad JSON"]);
    assert_eq!((list.tally.read, list.tally.kept, list.tally.blank), (9, 5, 1));
}

/// A member's value as it may be written.
fn value_text(value: &Value) -> impl Strategy<Value = String> + use<> {
    let plain = value.to_string();
    let escaped = match value {
        Value::String(text) => {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            format!("\"{units}\"")
        }
        _ => plain.clone(),
    };
    prop_oneof![9 => Just(plain), 1 => Just(escaped)]
}

/// What may be where an id is expected.
fn id() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => "[ab]".prop_map(Value::from),
        2 => "[a-c]{15,18}|[a-c]{30,34}|[a-c]{62,66}".prop_map(Value::from),
        1 => select(vec![
            json!("b, \"c\"\n"), json!("an advertiser of more than thirty-two bytes"), json!("é".repeat(20)),
            json!("12"), json!(12), json!(0), json!(""), json!("x".repeat(256)), json!("a\0b"), json!("\u{7F}"),
            json!(1.5), json!(null), json!(true), json!([]), json!({"a": "b"}),
        ]),
    ]
}

/// The members of a line in the order of [`NAMES`], the last two of which nobody needs.
fn values() -> impl Strategy<Value = [String; 6]> {
    let kind = prop_oneof![
        8 => Just(json!("impression")), 3 => Just(json!("click")),
        1 => select(vec![json!("view"), json!(""), json!(1), json!(null)]),
    ];
    let date = prop_oneof![
        6 => Just(json!("2024-11-20")), 3 => Just(json!("2024-11-22")),
        1 => select(vec![json!("2024-11-21"), json!("2024-02-30"), json!(20_241_120), json!(""), json!(null)]),
    ];
    let other = select(vec![
        json!(0),
        json!(-1.5e-7),
        json!("text, of some length\u{2028}"),
        json!("a\\\"b"),
        json!(true),
        json!(null),
        json!([[], {}, [1, {"date": "2024-11-20"}]]),
        json!({"x": {"y": ["z"]}}),
        json!("é"),
        json!(12_345),
    ]);
    let texts = |values: (Value, Value, Value, Value, Value, Value)| {
        let (advertiser, product, kind, date, x, y) = values;
        [advertiser, product, kind, date, x, y].map(|value| value_text(&value))
    };
    (id(), id(), kind, date, other.clone(), other).prop_flat_map(texts)
}

const NAMES: [&str; 6] =
    ["advertiser_id", "product_id", "type", "date", "x", "a name of more than thirty-two bytes"];

/// The order of a line's members, how many of them there are, and what stands between them.
type Shape = (Vec<usize>, usize, [&'static str; 4]);

fn shape() -> impl Strategy<Value = Shape> {
    let gaps = select(vec!["", "", " ", "\t \r"]);
    let order = Just((0..6).collect::<Vec<_>>()).prop_shuffle();
    (order, 4..=6usize, [gaps.clone(), gaps.clone(), gaps.clone(), gaps])
}

fn line((order, members, [before, inside, between, after]): &Shape, values: &[String; 6]) -> Vec<u8> {
    let shown = order.iter().filter(|member| **member < 4 || **member < *members);
    let members: Vec<_> = shown
        .map(|member| format!("{}{inside}:{inside}{}", json!(NAMES[*member]), values[*member]))
        .collect();
    format!("{before}{{{inside}{}{inside}}}{after}", members.join(&format!("{between},{between}")))
        .into_bytes()
}

/// A change that spoils most lines: where, with which byte, and how.
type Change = (prop::sample::Index, u8, u8);

fn change() -> impl Strategy<Value = Change> {
    let byte = select(b"\"\\{}[]:, \t\r0-.ex\0\x1F\x7F\xC3\xFFn".to_vec());
    (any::<prop::sample::Index>(), byte, 0..5u8)
}

fn changed(mut line: Vec<u8>, (index, byte, change): Change) -> Vec<u8> {
    let at = index.index(line.len());
    match change {
        0 => line.truncate(at),
        1 => line[at] = byte,
        2 => line.insert(at, byte),
        3 => drop(line.remove(at)),
        _ => line.extend_from_within(at..),
    }
    line
}

/// Text of a log, from lines that are mostly good and some that are not.
fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
    let end =
        prop_oneof![8 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\n \n"), 1 => Just("\n\n"), 1 => Just("")];
    let change = prop_oneof![4 => Just(None), 1 => change().prop_map(Some)];
    let lines = vec((any::<prop::sample::Index>(), values(), change, end), 0..40);
    (any::<bool>(), vec(shape(), 1..4), lines).prop_map(|(has_bom, shapes, lines)| {
        // So that the log is one.
        let first = r#"{"advertiser_id":"a","product_id":"p","type":"click","date":"2024-11-20"}"#;
        let mut bytes = if has_bom { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
        bytes.extend(format!("{first}\n").bytes());
        for (shape, values, change, end) in lines {
            let line = line(shape.get(&shapes), &values);
            bytes.extend(if let Some(change) = change { changed(line, change) } else { line });
            bytes.extend(end.bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_slicing_counts_as_a_naive_reading(
        first in log_bytes(),
        second in log_bytes(),
        threads in 1usize..4,
        slice_bytes in prop_oneof![1u64..40, 40u64..400, Just(1 << 20)],
        only in any::<bool>(),
        are_streams in any::<[bool; 2]>(),
    ) {
        let days_of_second = if only { ObjectDays::Only(day("2024-11-22")) } else { ObjectDays::Any };
        let logs = [(Log::AdsViews, ObjectDays::Any, first), (Log::AdsViews, days_of_second, second)];
        let ours = ours_of(&days(), &logs, threads, slice_bytes, |log| are_streams[log]);
        prop_assert_eq!(ours, told::naive(&days(), &logs, naive_log));
    }
}
