//! Records of delimited text that are mostly good.

use proptest::{collection::vec, prelude::*};

/// Text of a log, from records that are mostly good and pieces that are not.
pub(super) fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
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
        1 => "2024-11-2[02] (10:30|23:59)".prop_map(String::into_bytes),
        1 => "2024-11-2[0-2][T ]2[0-3]:[0-5]0:[0-5]9(Z|[+-]0[0-9]:30)?".prop_map(String::into_bytes),
        1 => field("2024-02-30"),
        1 => field("\"2024-11-20\""),
        1 => field(""),
    ];
    let end = prop_oneof![8 => field("\n"), 3 => field("\r\n"), 1 => field("\n\n"), 1 => field(",\n"), 1 => field("")];
    let record = (id.clone(), id, kind, date, end)
        .prop_map(|(a, p, kind, date, end)| [&a[..], b",", &p, b",", &kind, b",", &date, &end].concat());
    (any::<bool>(), any::<bool>(), vec(record, 0..40)).prop_map(|(bom, crlf, records)| {
        let bom: &[u8] = if bom { b"\xEF\xBB\xBF" } else { b"" };
        let header: &[u8] = if crlf {
            b"advertiser_id,product_id,type,date\r\n"
        } else {
            b"advertiser_id,product_id,type,date\n"
        };
        [bom, header, &records.concat()].concat()
    })
}
