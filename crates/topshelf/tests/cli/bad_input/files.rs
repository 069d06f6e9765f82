//! Files that are no logs, and unusual ones that are.

use super::{Case, Section};

pub(crate) const NOT_A_LOG: Section = Section {
    title: "Files that are not the log they claim to be",
    says: "The file is refused with its name, what was found and what was expected. Nothing else of the day is looked at.",
    cases: &[
        Case { what: "empty file, 0 bytes", exit: 3, prepare: |scene| scene.write("logs/ads_views.csv", "") },
        Case {
            what: "no header: the first line is a row",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "acme,shoe,impression,2024-11-20\n");
            },
        },
        Case {
            what: "semicolons instead of commas",
            exit: 3,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "advertiser_id;product_id;type;date\nacme;shoe;click;2024-11-20\n",
                );
            },
        },
        Case {
            what: "tabs instead of commas",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id\tproduct_id\ttype\tdate\n");
            },
        },
        Case {
            what: "other column names",
            exit: 3,
            prepare: |scene| {
                scene
                    .write("logs/ads_views.csv", "advertiser,product,kind,day\nacme,shoe,click,2024-11-20\n");
            },
        },
        Case {
            what: "column names in upper case",
            exit: 3,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "ADVERTISER_ID,PRODUCT_ID,TYPE,DATE\nacme,shoe,click,2024-11-20\n",
                );
            },
        },
        Case {
            what: "spaces after the header's commas",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id, product_id, type, date\n");
            },
        },
        Case {
            what: "a needed column is missing",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,date\nacme,shoe,2024-11-20\n");
            },
        },
        Case {
            what: "a needed column stands there twice",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,type,date,date\n");
            },
        },
        Case {
            what: "`advertiser_ids` without its column",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/advertiser_ids.csv", "acme\nzeta\n");
            },
        },
        Case {
            what: "a quote in the header that is never closed",
            exit: 3,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "advertiser_id,\"product_id,type,date\nacme,shoe,click,2024-11-20\n",
                );
            },
        },
        Case {
            what: "a first line of 10 MB",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", vec![b'a'; 10 << 20]);
            },
        },
        Case {
            what: "bytes without meaning",
            exit: 3,
            prepare: |scene| {
                let junk: Vec<u8> =
                    (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                scene.write("logs/ads_views.csv", junk);
            },
        },
        Case {
            what: "bytes without meaning and without NUL",
            exit: 3,
            prepare: |scene| {
                let junk: Vec<u8> =
                    (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
                scene.write("logs/ads_views.csv", junk);
            },
        },
        Case {
            what: "NUL in the header",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,type,da\0te\n");
            },
        },
        Case {
            what: "UTF-16, little end first, with BOM",
            exit: 3,
            prepare: |scene| {
                let text = "\u{FEFF}advertiser_id,product_id,type,date\n".encode_utf16();
                scene.write("logs/ads_views.csv", text.flat_map(u16::to_le_bytes).collect::<Vec<_>>());
            },
        },
        Case {
            what: "UTF-16, big end first, with BOM",
            exit: 3,
            prepare: |scene| {
                let text = "\u{FEFF}advertiser_id,product_id,type,date\n".encode_utf16();
                scene.write("logs/ads_views.csv", text.flat_map(u16::to_be_bytes).collect::<Vec<_>>());
            },
        },
        Case {
            what: "UTF-16 without BOM",
            exit: 3,
            prepare: |scene| {
                let text = "advertiser_id,product_id,type,date\n".encode_utf16();
                scene.write("logs/ads_views.csv", text.flat_map(u16::to_le_bytes).collect::<Vec<_>>());
            },
        },
        Case { what: "gzip", exit: 3, prepare: |scene| scene.write("logs/ads_views.csv", GZIP) },
        Case {
            what: "gzip, cut off",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", &GZIP[..12]),
        },
        Case {
            what: "gzip under its own name, `ads_views.csv.gz`",
            exit: 3,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.write("logs/ads_views.csv.gz", GZIP);
            },
        },
        Case {
            what: "zstd",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", b"\x28\xB5\x2F\xFD\x04\x58\x51\0\0"),
        },
        Case { what: "bzip2", exit: 3, prepare: |scene| scene.write("logs/ads_views.csv", b"BZh91AY&SY") },
        Case {
            what: "zip archive",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", b"PK\x03\x04\x14\0\0\0"),
        },
        Case {
            what: "Parquet",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.parquet", b"PAR1\x15\x04\x15\x10PAR1"),
        },
        Case {
            what: "Avro",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", b"Obj\x01\x04\x16avro.schema"),
        },
        Case {
            what: "JSON lines",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\"}\n");
            },
        },
        Case {
            what: "an HTML page, as proxies give instead of files",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n");
            },
        },
        Case {
            what: "one bad file beside a good one of the same log",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views-2.csv", "");
            },
        },
        Case {
            what: "`advertiser_ids` with its header and nothing else",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/advertiser_ids.csv", "advertiser_id\n");
            },
        },
        Case {
            what: "all event logs with their headers and nothing else",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,type,date\n");
                scene.write("logs/product_views.csv", "advertiser_id,product_id,date\n");
            },
        },
        Case {
            what: "no event of the day: all lines are of other days",
            exit: 3,
            prepare: |scene| {
                scene.args(&["run", "--day", "2024-11-21", "--input", "logs"]);
            },
        },
        Case {
            what: "no event by an active advertiser",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/advertiser_ids.csv", "advertiser_id\nzeta\n");
            },
        },
    ],
};

pub(crate) const ALL_RIGHT: Section = Section {
    title: "Unusual files that are all right",
    says: "Nothing is said on stderr; every line is accounted for.",
    cases: &[
        Case {
            what: "header only, in one of the logs",
            exit: 0,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,type,date\n");
            },
        },
        Case {
            what: "header without the final newline",
            exit: 0,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id,product_id,type,date");
            },
        },
        Case {
            what: "no newline at the end",
            exit: 0,
            prepare: |scene| scene.ads("acme,hat,click,2024-11-20"),
        },
        Case {
            what: "UTF-8 byte-order mark",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "\u{FEFF}advertiser_id,product_id,type,date\nacme,shoe,click,2024-11-20\n",
                );
            },
        },
        Case {
            what: "lines that end in CR LF",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "advertiser_id,product_id,type,date\r\nacme,shoe,click,2024-11-20\r\n",
                );
            },
        },
        Case {
            what: "lines that end in LF and CR LF, mixed",
            exit: 0,
            prepare: |scene| {
                scene.ads("acme,shoe,click,2024-11-20\r\nacme,shoe,click,2024-11-20\n");
            },
        },
        Case {
            what: "every field quoted, the header's too",
            exit: 0,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "\"advertiser_id\",\"product_id\",\"type\",\"date\"\n\"acme\",\"shoe\",\"click\",\"2024-11-20\"\n");
            },
        },
        Case {
            what: "commas, doubled quotes and newlines inside quotes",
            exit: 0,
            prepare: |scene| {
                scene.ads("acme,\"a \"\"b\"\", c\nd\r\ne\",click,2024-11-20\n");
            },
        },
        Case {
            what: "columns in another order, and columns that nobody needs",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "date,browser,type,product_id,advertiser_id\n2024-11-20,x,click,shoe,acme\n",
                );
            },
        },
        Case {
            what: "blank lines in the middle and at the end",
            exit: 0,
            prepare: |scene| {
                scene.ads("\nacme,shoe,click,2024-11-20\n\r\n\n");
            },
        },
        Case {
            what: "equal lines: each is an event",
            exit: 0,
            prepare: |scene| {
                scene.ads("acme,shoe,click,2024-11-20\n".repeat(3));
            },
        },
        Case {
            what: "ids of 255 bytes",
            exit: 0,
            prepare: |scene| {
                scene.ads(format!("acme,{},click,2024-11-20\n", "é".repeat(127) + "x"));
            },
        },
        Case {
            what: "ids with spaces, slashes, quotes, emoji and other scripts",
            exit: 0,
            prepare: |scene| {
                scene.ads("acme, a/b c%2F ,click,2024-11-20\nacme,\"\"\"\",click,2024-11-20\nacme,日本語👟,click,2024-11-20\nacme,\u{1},click,2024-11-20\n");
            },
        },
        Case {
            what: "date-times with `T`, a space, fractions, offsets and `Z`",
            exit: 0,
            prepare: |scene| {
                scene.ads("acme,shoe,click,2024-11-20T23:59:60Z\nacme,shoe,click,2024-11-20 08:30:00.123456789\nacme,shoe,click,2024-11-20T23:30:00-03:00\nacme,shoe,click,2024-11-20T10:00+01\n");
            },
        },
        Case {
            what: "an advertiser that is listed twice",
            exit: 0,
            prepare: |scene| {
                scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\nacme\n");
            },
        },
    ],
};

/// `gzip -n` of a short log.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c\x29\x4b\x2d\x2a\xc9\x2c\x4e\x2d\x8a\xcf\x4c\xd1\x29\x28\xca\x4f\x29\x4d\x2e\x01\x73\xb8\x00\x21\xa4\x1d\xd2\x19\x00\x00\x00";
