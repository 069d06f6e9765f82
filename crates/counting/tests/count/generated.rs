//! Generated logs: any way to read them says what a naive reading says, and the same rows are the same in
//! any format.

mod delimited;
mod json;

use super::{day, days};
use crate::readings::{
    LogObject,
    naive::naive,
    ours::{How, ours},
    told::Told,
};
use counting::{Instructions, ObjectDays};
use domain::Log;
use jiff::tz::TimeZone;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;

fn how() -> impl Strategy<Value = How> {
    let slice_bytes = prop_oneof![1u64..40, 40u64..400, Just(1 << 20)];
    let instructions = select(vec![Instructions::Best, Instructions::Portable]);
    let chop_seed = prop_oneof![Just(0), any::<u64>()];
    // From what holds everything to what holds next to nothing.
    let share_bytes = option::of(1200u64..4000);
    let machines = prop_oneof![2 => Just(0), 1 => 1usize..5];
    (1usize..4, slice_bytes, instructions, chop_seed, share_bytes, machines).prop_map(
        |(threads, slice_bytes, instructions, chop_seed, share_bytes, machines)| How {
            instructions,
            chop_seed,
            share_bytes,
            machines,
            ..How::new(threads, slice_bytes)
        },
    )
}

/// The bytes of an object of either format, whose fields may have another delimiter than a comma.
fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
    let delimited = (delimited::log_bytes(), select(b",,\t;|".to_vec())).prop_map(|(bytes, delimiter)| {
        bytes.into_iter().map(|byte| if byte == b',' { delimiter } else { byte }).collect()
    });
    prop_oneof![delimited, json::log_bytes()]
}

fn log_object() -> impl Strategy<Value = LogObject> {
    let log = select(vec![Log::AdsViews, Log::AdsViews, Log::ProductViews]);
    let days = select(vec![ObjectDays::Any, ObjectDays::Only(day("2024-11-22"))]);
    (log_bytes(), log, days, any::<bool>()).prop_map(|(bytes, log, days, is_stream)| LogObject {
        log,
        days,
        bytes,
        delimiter: None,
        is_stream,
    })
}

/// Rows with what the readings must agree on: ids, type and date.
fn rows() -> impl Strategy<Value = Vec<[&'static str; 4]>> {
    const LONG: &str = "an advertiser of more than thirty-two bytes";
    let id = || select(vec!["a", "a", "12", "é", "p", LONG, "\"", "a,b", "\\", "{}", "", "a\0b", " "]);
    let kind = select(vec!["impression", "impression", "click", "Click", ""]);
    let dates = ["2024-11-20", "2024-11-22", "2024-11-21", "20241120", "2024-02-30", ""];
    let date_times = ["2024-11-20 10:00", "2024-11-20T09:59:59Z", "2024-11-22 23:59:59.9"];
    let date = select([&dates[..], &date_times].concat());
    let row = (id(), id(), kind, date);
    vec(row.prop_map(|(advertiser, product, kind, date)| [advertiser, product, kind, date]), 0..60)
}

const NAMES: [&str; 4] = ["advertiser_id", "product_id", "type", "date"];

fn as_csv(rows: &[[&str; 4]]) -> Vec<u8> {
    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }
    let line = |row: &[&str; 4]| row.map(quoted).join(",") + "\n";
    let lines: String = rows.iter().map(line).collect();
    (NAMES.join(",") + "\n" + &lines).into_bytes()
}

fn as_json(rows: &[[&str; 4]]) -> Vec<u8> {
    let line = |row: &[&str; 4]| {
        let members = NAMES.iter().zip(row).map(|(name, value)| format!("{name:?}:{}", json!(value)));
        format!("{{{}}}\n", members.collect::<Vec<_>>().join(","))
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

/// What was told, of rejected lines without their text and counted from the first row.
fn without_texts(told: &Told, header_lines: u64) -> Vec<String> {
    let line = |line: &str| {
        let Some(example) = line.strip_prefix("0:") else { return line.to_owned() };
        let (number, reason_and_text) = example.split_once(' ').unwrap();
        let (reason, _) = reason_and_text.split_once(" \"").unwrap();
        format!("{} {reason}", number.parse::<u64>().unwrap() - header_lines)
    };
    told.lines().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn any_way_to_read_says_what_a_naive_reading_says(objects in vec(log_object(), 1..4), how in how()) {
        prop_assert_eq!(ours(&days(), &objects, &how), naive(&days(), &objects, &TimeZone::UTC));
    }

    #[test]
    fn the_same_rows_are_the_same_in_either_format(mut rows in rows(), hows in [how(), how()]) {
        // So that the lines of JSON are a log.
        rows.insert(0, ["a", "p", "click", "2024-11-20"]);
        let [csv, json] = [as_csv(&rows), as_json(&rows)].map(|bytes| super::log_object(Log::AdsViews, &bytes));
        let told = [(csv, &hows[0]), (json, &hows[1])].map(|(log, how)| ours(&days(), &[log], how));
        prop_assert_eq!(without_texts(&told[0], 1), without_texts(&told[1], 0));
    }
}
