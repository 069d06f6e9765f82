//! What an object's first bytes tell: how it is written, or that it is no log.

use counting::{Columns, HEADER_BYTES_MAX, Head, HeaderError, Layout};
use serde_json::Value;

const GOOD: &str = r#"{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}"#;

fn columns() -> Columns {
    Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: Some("product_id".into()),
        kind: None,
        date: Some("date".into()),
        date_is_optional: false,
    }
}

fn check_head(name: &str, bytes: &[u8], expected: &str) {
    let head = Head { name, bytes, is_whole: true };
    let seen = match Layout::read(&head, None, &columns()) {
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
    check_head("views.csv", b"\n\n", "the object is empty: it has no header line");
    check_head("views.jsonl", b"", "the object is empty: it has no header line");
    check_head("views.jsonl", b"\n\n", "the object is empty: it has no header line");
}

#[test]
fn one_of_the_first_lines_must_have_all_members() {
    let ok = "JSON lines from 0";
    check_head("v", format!("{{}}\n{{\"x\":1}}\n{{{{\n{GOOD}\n").as_bytes(), ok);
    check_head("v", br#"{"date":null,"product_id":[],"advertiser_id":1.5}"#, ok);
    let lacking = |lack: &str, found: &str| {
        format!(
            "no line has all members that are needed, {lack}; found: {found}; expected: advertiser_id, product_id, date"
        )
    };
    let missing = |missing: &str, found: &str| lacking(&format!("missing: {missing}"), found);
    let other = br#"{"advertiser":"a","product_id":"p","date":"2024-11-20"}"#;
    check_head("v", other, &missing("advertiser_id", "advertiser, product_id, date"));
    check_head("v", b"{}\n", &missing("advertiser_id, product_id, date", "none"));
    let parts = b"{\"advertiser_id\":\"a\"}\n{\"product_id\":\"p\",\"date\":\"2024-11-20\"}\n";
    check_head("v", parts, &lacking("though each is in some line", "advertiser_id, product_id, date"));
    let nested = br#"{"event":{"advertiser_id":"a","product_id":"p","date":"2024-11-20"}}"#;
    check_head("v", nested, &missing("advertiser_id, product_id, date", "event"));
}

#[test]
fn what_is_no_json_lines_is_refused() {
    let refused = |what: &str| format!("the object looks like {what}, not JSON lines: one {{…}} a line");
    let [array, document, several] =
        ["a JSON array", "a JSON document spread over lines", "JSON objects one behind the other in a line"]
            .map(refused);
    check_head("v", format!("[{GOOD},{GOOD}]").as_bytes(), &array);
    check_head("v", format!("[\n{GOOD},\n{GOOD}\n]\n").as_bytes(), &array);
    let value: Value = serde_json::from_str(GOOD).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    check_head("v", format!("{pretty}\n").as_bytes(), &document);
    check_head("v", format!("{pretty}\n{pretty}\n").as_bytes(), &document);
    check_head("v", format!("{{\"rows\":[\n{GOOD},\n{GOOD}\n]}}\n").as_bytes(), &document);
    check_head("v", format!("{GOOD}{GOOD} {GOOD}").as_bytes(), &several);
    check_head("v", format!("\n{GOOD} {GOOD}\n").as_bytes(), &several);
    let long = format!("{GOOD}{GOOD}{}", "x".repeat(HEADER_BYTES_MAX));
    assert_eq!(refusal_of_part(long.as_bytes()), several);
}

#[test]
fn what_has_no_object_is_refused_with_its_first_line() {
    let first = |line: &str| format!("no line is a JSON object, the first is: {line}");
    check_head("v", b"{\"advertiser_id\":\"a\"", &first("{\"advertiser_id\":\"a\""));
    check_head("v", b"\r\n{'a': 1}\r\n{'a': 2}\r\n", &first("{'a': 1}"));
    check_head("v", format!("{GOOD},\n{GOOD},\n").as_bytes(), &first(&format!("{GOOD},")));
    check_head("v", b"{\"a\": \"\0\xFF\"}", &first("{\"a\": \"\\0\u{FFFD}\"}"));
    check_head("ids.jsonl", b"\"a\"\n\"b\"\n", &first("\"a\""));
    let long = [b"{\"x\":\"", &vec![b'x'; HEADER_BYTES_MAX][..]].concat();
    assert_eq!(refusal_of_part(&long), "the first line does not end within 1048576 bytes");
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(to_bytes).collect();
        check_head("v", &utf16, "the object looks like UTF-16, not text in UTF-8");
    }
}

/// Why an object whose first mebibyte this is cannot be the log.
fn refusal_of_part(bytes: &[u8]) -> String {
    let head = Head { name: "v", bytes: &bytes[..HEADER_BYTES_MAX], is_whole: false };
    Layout::read(&head, None, &columns()).unwrap_err().to_string()
}

#[test]
fn a_head_that_does_not_tell_asks_for_more() {
    let others = "{\"x\":1}\n".repeat(9999);
    for bytes in
        ["", " ", "\n", "\u{FEFF}\r\n \n", "{", &GOOD[..GOOD.len() - 1], GOOD, "{\n", "{\"x\":1}\n", &others]
    {
        let head = Head { name: "v", bytes: bytes.as_bytes(), is_whole: false };
        assert_eq!(Layout::read(&head, None, &columns()), Ok(None), "{bytes}");
    }
    let head = format!("{others}{GOOD}\n{{");
    let head = Head { name: "v", bytes: head.as_bytes(), is_whole: false };
    assert!(matches!(Layout::read(&head, None, &columns()), Ok(Some(_))));
    let long = vec![b' '; 1 << 20];
    let head = Head { name: "v.jsonl", bytes: &[b"{\"x\":1}\n", &long[..]].concat(), is_whole: false };
    let refused = Layout::read(&head, None, &columns());
    assert!(matches!(refused, Err(HeaderError::MissingMember { .. })), "{refused:?}");
}
