//! Lines of JSON that cannot be understood.

use super::{Case, Section};
use crate::scene::JSON_ADS;

pub(crate) const BAD: Section = Section {
    title: "Bad lines of JSON",
    says: "They are counted as bad lines of CSV are. `bad JSON` is what RFC 8259 does not allow, or no object; `missing member` that a \
           needed one is not there or `null`; `repeated member` that one is there twice; `not text` that one is neither text nor a \
           whole number. The ad log is `ads_views.jsonl` here, of 100 good lines with others behind them.",
    cases: &[
        Case {
            what: "a needed member is missing",
            exit: 0,
            prepare: |scene| scene.json_ads(r#"{"advertiser_id":"acme","type":"click","date":"2024-11-20"}"#),
        },
        Case {
            what: "a needed member is `null`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":null,"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member is a number with a fraction",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":1.5,"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member is a number with an exponent",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":1e3,"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member is `true`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":true,"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member is an array",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":["shoe"],"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member is an object",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":{"id":"shoe"},"type":"click","date":"2024-11-20"}"#)
            },
        },
        Case {
            what: "needed members inside another object",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"event":{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"}}"#)
            },
        },
        Case {
            what: "a member's name in another case",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","Product_Id":"shoe","type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a needed member that stands there twice",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","product_id":"hat"}"#)
            },
        },
        Case {
            what: "a needed member that stands there twice, once with an escape in its name",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","product\u005fid":"hat"}"#)
            },
        },
        Case {
            what: "an empty product",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"","type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a product of 256 bytes",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","type":"click","date":"2024-11-20"}"#)
            },
        },
        Case {
            what: "NUL in a product, as `\\u0000`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"sh\u0000oe","type":"click","date":"2024-11-20"}"#)
            },
        },
        Case {
            what: "a `type` that is neither `impression` nor `click`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe","type":"hover","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "a date as seconds since 1970",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":1732060800}"#,
                )
            },
        },
        Case {
            what: "half a surrogate pair, `\\ud83d`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"sh\ud83doe","type":"click","date":"2024-11-20"}"#)
            },
        },
        Case {
            what: "half a surrogate pair in a member that nobody needs",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","note":"\ude00"}"#)
            },
        },
        Case {
            what: "an escape that JSON does not have, `\\x41`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"\x41","type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "`NaN` in a member that nobody needs",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","price":NaN}"#)
            },
        },
        Case {
            what: "a number with a leading zero",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","price":01}"#)
            },
        },
        Case {
            what: "single quotes",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{'advertiser_id':'acme','product_id':'shoe','type':'click','date':'2024-11-20'}"#,
                )
            },
        },
        Case {
            what: "names without quotes",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{advertiser_id:"acme",product_id:"shoe",type:"click",date:"2024-11-20"}"#)
            },
        },
        Case {
            what: "a comma before the closing brace",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20",}"#,
                )
            },
        },
        Case {
            what: "a comma behind the closing brace",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"},"#,
                )
            },
        },
        Case {
            what: "a comment behind the closing brace",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"} // bought"#)
            },
        },
        Case {
            what: "two objects in a line",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"}{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"}"#)
            },
        },
        Case {
            what: "a line of CSV",
            exit: 0,
            prepare: |scene| scene.json_ads(r#"acme,shoe,click,2024-11-20"#),
        },
        Case {
            what: "an array in a line",
            exit: 0,
            prepare: |scene| scene.json_ads(r#"["acme","shoe","click","2024-11-20"]"#),
        },
        Case { what: "`null` in a line", exit: 0, prepare: |scene| scene.json_ads(r#"null"#) },
        Case {
            what: "text that is never closed",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe,"type":"click","date":"2024-11-20"}"#,
                )
            },
        },
        Case {
            what: "an object that is never closed",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(
                    r#"{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20""#,
                )
            },
        },
        Case {
            what: "lines cut off at the end, as by an upload that broke",
            exit: 0,
            prepare: |scene| scene.json_ads(r#"{"advertiser_id":"acme","product_id":"sh"#),
        },
        Case {
            what: "a tab inside text that is no escape",
            exit: 0,
            prepare: |scene| {
                scene.json_ads("{\"advertiser_id\":\"acme\",\"product_id\":\"sh\toe\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n")
            },
        },
        Case {
            what: "a NUL byte inside text",
            exit: 0,
            prepare: |scene| {
                scene.json_ads("{\"advertiser_id\":\"acme\",\"product_id\":\"sh\0oe\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n")
            },
        },
        Case {
            what: "bytes that are not UTF-8 in a product",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(b"{\"advertiser_id\":\"acme\",\"product_id\":\"caf\xE9\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n")
            },
        },
        Case {
            what: "bytes that are not UTF-8 in a member that nobody needs",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(b"{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\",\"type\":\"click\",\"date\":\"2024-11-20\",\"note\":\"\xE9\"}\n")
            },
        },
        Case {
            what: "a byte-order mark in the middle, as of files put together",
            exit: 0,
            prepare: |scene| scene.json_ads("\u{FEFF}".to_owned() + JSON_ADS),
        },
        Case {
            what: "a line of 10 MB",
            exit: 0,
            prepare: |scene| {
                let product = "x".repeat(10 << 20);
                scene.json_ads(format!(
                    r#"{{"advertiser_id":"acme","product_id":"{product}","type":"click","date":"2024-11-20"}}"#
                ));
            },
        },
        Case {
            what: "arrays nested 200 deep in a member that nobody needs",
            exit: 0,
            prepare: |scene| {
                let (open, close) = ("[".repeat(200), "]".repeat(200));
                scene.json_ads(format!(
                    r#"{{"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20","note":{open}{close}}}"#
                ));
            },
        },
        Case {
            what: "an id that is an array in `advertiser_ids`, one of 101 lines",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/advertiser_ids.csv");
                let lines = "{\"advertiser_id\":\"acme\"}\n".repeat(100);
                scene.write("logs/advertiser_ids.jsonl", lines + "{\"advertiser_id\":[\"zeta\"]}\n");
            },
        },
        Case {
            what: "a newline inside text that is no escape: each half is bad",
            exit: 3,
            prepare: |scene| {
                scene.json_ads("{\"advertiser_id\":\"acme\",\"product_id\":\"sh\noe\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n");
            },
        },
        Case {
            what: "a document spread over lines, behind good lines",
            exit: 3,
            prepare: |scene| {
                scene.json_ads("{\n  \"advertiser_id\": \"acme\",\n  \"product_id\": \"shoe\",\n  \"type\": \"click\",\n  \"date\": \"2024-11-20\"\n}\n");
            },
        },
        Case {
            what: "a member that some of the lines lack: 2 of 102",
            exit: 3,
            prepare: |scene| {
                scene.json_ads(
                    "{\"advertiser_id\":\"acme\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n".repeat(2),
                );
            },
        },
    ],
};
