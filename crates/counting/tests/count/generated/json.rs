//! Lines of JSON that are mostly good.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

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
        1 => "2024-11-2[02] (10:30|23:59)".prop_map(Value::from),
        1 => "2024-11-2[0-2][T ]2[0-3]:[0-5]0:[0-5]9(Z|[+-]0[0-9]:30)?".prop_map(Value::from),
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
    // Now and then one of them stands there twice.
    let order = (order, option::weighted(0.1, 0..6usize)).prop_map(|(mut order, repeated)| {
        order.extend(repeated);
        order
    });
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
pub(super) fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
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
