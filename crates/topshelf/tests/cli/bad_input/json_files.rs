//! Files of JSON that are no logs, and unusual ones that are.

use super::{Case, Section, files::gzip};
use crate::scene::JSON_ADS;

pub(crate) const NOT_A_LOG: Section = Section {
    title: "Files of JSON that are not the log they claim to be",
    says: "A log of JSON has an object a line, and no header. So the first mebibyte must have a line with all members that are needed. \
           The ad log is `ads_views.jsonl` here.",
    cases: &[
        Case {
            what: "a needed member is in no line",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads("{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\"}\n");
            },
        },
        Case {
            what: "the same under the name `ads_views.csv`",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\"}\n");
            },
        },
        Case {
            what: "members of other names",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads("{\"advertiser\":\"acme\",\"product\":\"shoe\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n");
            },
        },
        Case {
            what: "needed members inside another object",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads("{\"event\":".to_owned() + JSON_ADS.lines().next().unwrap() + "}\n")
            },
        },
        Case {
            what: "all needed members, but never in one line",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads("{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\"}\n{\"type\":\"click\",\"date\":\"2024-11-20\"}\n");
            },
        },
        Case { what: "nothing but `{}`", exit: 3, prepare: |scene| scene.only_json_ads("{}\n{}\n") },
        Case {
            what: "an array",
            exit: 3,
            prepare: |scene| scene.only_json_ads(format!("[{}]\n", JSON_ADS.trim().replace('\n', ","))),
        },
        Case {
            what: "an array with an object a line",
            exit: 3,
            prepare: |scene| scene.only_json_ads(format!("[\n{}\n]\n", JSON_ADS.trim().replace('\n', ",\n"))),
        },
        Case {
            what: "an object spread over lines",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads("{\n  \"advertiser_id\": \"acme\",\n  \"product_id\": \"shoe\",\n  \"type\": \"click\",\n  \"date\": \"2024-11-20\"\n}\n");
            },
        },
        Case {
            what: "an object that holds the records in a member",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads(format!(
                    "{{\"records\":[\n{}\n]}}\n",
                    JSON_ADS.trim().replace('\n', ",\n")
                ))
            },
        },
        Case {
            what: "objects without line endings between them",
            exit: 3,
            prepare: |scene| scene.only_json_ads(JSON_ADS.replace('\n', "")),
        },
        Case {
            what: "a comma behind each line",
            exit: 3,
            prepare: |scene| scene.only_json_ads(JSON_ADS.replace('\n', ",\n")),
        },
        Case {
            what: "single quotes, as Python prints",
            exit: 3,
            prepare: |scene| scene.only_json_ads(JSON_ADS.replace('"', "'")),
        },
        Case {
            what: "text instead of objects in `advertiser_ids.jsonl`",
            exit: 3,
            prepare: |scene| {
                scene.remove("logs/advertiser_ids.csv");
                scene.write("logs/advertiser_ids.jsonl", "\"acme\"\n\"zeta\"\n");
            },
        },
        Case {
            what: "the one line is cut off",
            exit: 3,
            prepare: |scene| scene.only_json_ads(&JSON_ADS[..40]),
        },
        Case {
            what: "a first line of 10 MB",
            exit: 3,
            prepare: |scene| {
                scene.only_json_ads(format!("{{\"note\":\"{}\"}}\n{JSON_ADS}", "x".repeat(10 << 20)));
            },
        },
        Case {
            what: "UTF-16, little end first, with BOM",
            exit: 3,
            prepare: |scene| scene.only_json_ads(utf16(&format!("\u{FEFF}{JSON_ADS}"), u16::to_le_bytes)),
        },
        Case {
            what: "UTF-16 without BOM, little end first",
            exit: 3,
            prepare: |scene| scene.only_json_ads(utf16(JSON_ADS, u16::to_le_bytes)),
        },
        Case {
            what: "UTF-16 without BOM, big end first",
            exit: 3,
            prepare: |scene| scene.only_json_ads(utf16(JSON_ADS, u16::to_be_bytes)),
        },
        Case { what: "empty file, 0 bytes", exit: 3, prepare: |scene| scene.only_json_ads("") },
        Case { what: "nothing but blank lines", exit: 3, prepare: |scene| scene.only_json_ads("\n \r\n\n") },
        Case {
            what: "gzip, cut off in the first line",
            exit: 3,
            prepare: |scene| {
                let compressed = gzip(JSON_ADS);
                scene.only_json_ads(&compressed[..30]);
            },
        },
        Case {
            what: "gzip, cut off behind the first line",
            exit: 3,
            prepare: |scene| {
                let compressed = gzip(JSON_ADS.repeat(50));
                scene.only_json_ads(&compressed[..compressed.len() - 6]);
            },
        },
    ],
};

pub(crate) const ALL_RIGHT: Section = Section {
    title: "Unusual files of JSON lines that are all right",
    says: "The format is told by the content, and only where that does not tell by the name.",
    cases: &[
        Case { what: "JSON lines", exit: 0, prepare: |scene| scene.json_ads("") },
        Case {
            what: "JSON lines under the name `ads_views.csv`",
            exit: 0,
            prepare: |scene| scene.write("logs/ads_views.csv", JSON_ADS),
        },
        Case {
            what: "CSV under the name `ads_views.jsonl`",
            exit: 0,
            prepare: |scene| {
                scene.only_json_ads("advertiser_id,product_id,type,date\nacme,shoe,click,2024-11-20\n");
            },
        },
        Case {
            what: "CSV, TSV, JSON lines and gzip of JSON lines in one log",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views-1.tsv",
                    "date\ttype\tproduct_id\tadvertiser_id\n2024-11-20\tclick\tshoe\tacme\n",
                );
                scene.write("logs/ads_views-2.jsonl", JSON_ADS);
                scene.write("logs/ads_views-3.jsonl.gz", gzip(JSON_ADS));
            },
        },
        Case {
            what: "zstd of JSON lines, whatever its name",
            exit: 0,
            prepare: |scene| scene.only_json_ads(zstd::encode_all(JSON_ADS.as_bytes(), 3).unwrap()),
        },
        Case {
            what: "`advertiser_ids` as JSON lines",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/advertiser_ids.csv");
                scene.write(
                    "logs/advertiser_ids.jsonl",
                    "{\"advertiser_id\":\"acme\",\"name\":\"ACME\"}\n{\"advertiser_id\":\"zeta\"}\n",
                );
            },
        },
        Case {
            what: "UTF-8 byte-order mark",
            exit: 0,
            prepare: |scene| scene.only_json_ads("\u{FEFF}".to_owned() + JSON_ADS),
        },
        Case {
            what: "lines that end in CR LF",
            exit: 0,
            prepare: |scene| scene.only_json_ads(JSON_ADS.replace('\n', "\r\n")),
        },
        Case {
            what: "blank lines at the start, in the middle and at the end",
            exit: 0,
            prepare: |scene| scene.only_json_ads(format!("\n{JSON_ADS}\r\n \t\n{JSON_ADS}\n")),
        },
        Case {
            what: "no newline at the end",
            exit: 0,
            prepare: |scene| scene.only_json_ads(JSON_ADS.trim_end()),
        },
        Case {
            what: "members in any order, with others, nested ones too, and spaces",
            exit: 0,
            prepare: |scene| {
                scene.only_json_ads(r#" { "date" : "2024-11-20", "seen": {"date": null, "by": ["x", 1.5e3]}, "type": "click", "product_id": "shoe", "advertiser_id": "acme" } "#);
            },
        },
        Case {
            what: "members that nobody needs stand there twice",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"note":1,"note":2,"advertiser_id":"acme","product_id":"shoe","type":"click","date":"2024-11-20"}"#);
            },
        },
        Case {
            what: "escapes in names and values: `\\u00e9`, `\\n`, `\\\"`, `\\/`, a surrogate pair",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acm\u0065","product\u005fid":"\u00e9\n\"\/\ud83d\udc5f","type":"click","date":"2024-11-20"}"#);
            },
        },
        Case {
            what: "whole numbers as ids and dates: 12 is `\"12\"`, 20241120 is `\"20241120\"`",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":12,"type":"click","date":20241120}"#);
            },
        },
        Case {
            what: "a number too large for any integer, as a product",
            exit: 0,
            prepare: |scene| {
                scene.json_ads(r#"{"advertiser_id":"acme","product_id":123456789012345678901234567890,"type":"click","date":"2024-11-20"}"#);
            },
        },
        Case {
            what: "Hive folders whose lines have no date",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.write(
                    "logs/ads_views/date=2024-11-20/part-0.json",
                    "{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\",\"type\":\"click\"}\n",
                );
            },
        },
    ],
};

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}
