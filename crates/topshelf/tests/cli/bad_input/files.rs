//! Files that are no logs, and unusual ones that are.

use super::{Case, Section};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

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
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "advertiser_id;product_id;type;date\nacme;shoe;click;2024-11-20\n",
                );
            },
        },
        Case {
            what: "tabs instead of commas, and decimal commas in a column of no interest",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/ads_views.csv",
                    "advertiser_id\tproduct_id\ttype\tdate\tbid\nacme\tshoe\tclick\t2024-11-20\t0,12\n",
                );
            },
        },
        Case {
            what: "colons instead of commas",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/ads_views.csv", "advertiser_id:product_id:type:date\n");
            },
        },
        Case {
            what: "a delimiter in the configuration that is not there",
            exit: 3,
            prepare: |scene| scene.environment("TOPSHELF_INPUT__DELIMITER", ";"),
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
        Case {
            what: "gzip that holds no log",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", gzip("some,other,file\n")),
        },
        Case {
            what: "gzip of a good log, whatever its name",
            exit: 0,
            prepare: |scene| scene.write("logs/ads_views.csv", gzip(good_ads())),
        },
        Case {
            what: "gzip of a good log in two members, `ads_views.csv.gz`, beside zstd, `product_views.tsv.zst`",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.remove("logs/product_views.csv");
                let text = good_ads();
                let (first, second) = text.split_at(500);
                scene.write("logs/ads_views.csv.gz", [gzip(first), gzip(second)].concat());
                let views =
                    "advertiser_id\tproduct_id\tdate\n".to_owned() + &"acme\tshoe\t2024-11-20\n".repeat(99);
                scene.write("logs/product_views.tsv.zst", zstd::encode_all(views.as_bytes(), 3).unwrap());
            },
        },
        Case {
            what: "gzip, cut off in the header",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", &gzip(good_ads())[..12]),
        },
        Case {
            what: "gzip, cut off behind the header",
            exit: 3,
            prepare: |scene| {
                let compressed = gzip(good_ads());
                scene.write("logs/ads_views.csv", &compressed[..compressed.len() - 6]);
            },
        },
        Case {
            what: "gzip whose checksum is wrong",
            exit: 3,
            prepare: |scene| {
                let mut compressed = gzip(good_ads());
                let checksum = compressed.len() - 8;
                compressed[checksum] ^= 1;
                scene.write("logs/ads_views.csv", compressed);
            },
        },
        Case {
            what: "gzip with something else behind it",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", [&gzip(good_ads())[..], b"more"].concat()),
        },
        Case {
            what: "gzip of an empty file",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", gzip("")),
        },
        Case {
            what: "a plain log under a compressed one's name, `ads_views.csv.gz`",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.write("logs/ads_views.csv.gz", good_ads());
            },
        },
        Case {
            what: "the list of active advertisers, gzip cut off",
            exit: 3,
            prepare: |scene| {
                let list = gzip(&("advertiser_id\n".to_owned() + &"acme\n".repeat(9999)));
                scene.write("logs/advertiser_ids.csv", &list[..list.len() - 9]);
            },
        },
        Case {
            what: "zstd, cut off",
            exit: 3,
            prepare: |scene| {
                let compressed = zstd::encode_all(good_ads().as_bytes(), 3).unwrap();
                scene.write("logs/ads_views.csv", &compressed[..compressed.len() - 1]);
            },
        },
        Case {
            what: "bytes that begin as zstd does",
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
            what: "Avro",
            exit: 3,
            prepare: |scene| scene.write("logs/ads_views.csv", b"Obj\x01\x04\x16avro.schema"),
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

fn good_ads() -> String {
    let rows = "acme,shoe,impression,2024-11-20\nacme,shoe,click,2024-11-20\n".repeat(50);
    format!("advertiser_id,product_id,type,date\n{rows}")
}

pub(crate) fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}
