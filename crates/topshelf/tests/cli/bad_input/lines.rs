//! Lines that cannot be understood, few and many.

use super::{Case, Section};

pub(crate) const BAD: Section = Section {
    title: "Bad lines, few of them",
    says: "A bad line is counted by its reason, the first few are kept as examples with file and line number, and the run goes on. \
           Here one line of 101 is bad, and `input.max_rejected_ratio` is its default, 1 %.",
    cases: &[
        Case { what: "too few fields", exit: 0, prepare: |scene| scene.ads("acme,shoe,click\n") },
        Case {
            what: "too many fields",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,2024-11-20,\n"),
        },
        Case { what: "an empty advertiser", exit: 0, prepare: |scene| scene.ads(",shoe,click,2024-11-20\n") },
        Case {
            what: "an empty product",
            exit: 0,
            prepare: |scene| scene.ads("acme,\"\",click,2024-11-20\n"),
        },
        Case {
            what: "a product of 256 bytes",
            exit: 0,
            prepare: |scene| {
                scene.ads(format!("acme,{},click,2024-11-20\n", "é".repeat(128)));
            },
        },
        Case {
            what: "NUL in a product",
            exit: 0,
            prepare: |scene| scene.ads("acme,sh\0oe,click,2024-11-20\n"),
        },
        Case {
            what: "a `type` that is neither `impression` nor `click`",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,hover,2024-11-20\n"),
        },
        Case {
            what: "a `type` in upper case",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,CLICK,2024-11-20\n"),
        },
        Case { what: "an empty `type`", exit: 0, prepare: |scene| scene.ads("acme,shoe,,2024-11-20\n") },
        Case {
            what: "a date that does not exist",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,2024-02-30\n"),
        },
        Case {
            what: "29 February of a year without one",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,2023-02-29\n"),
        },
        Case { what: "an empty date", exit: 0, prepare: |scene| scene.ads("acme,shoe,click,\n") },
        Case {
            what: "a date in another order, `20/11/2024`",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,20/11/2024\n"),
        },
        Case {
            what: "a second header, as of files put together",
            exit: 0,
            prepare: |scene| scene.ads("advertiser_id,product_id,type,date\n"),
        },
        Case {
            what: "a date as seconds since 1970",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,1732060800\n"),
        },
        Case {
            what: "an hour that does not exist",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,2024-11-20T25:00:00Z\n"),
        },
        Case {
            what: "a quote inside a field without quotes",
            exit: 0,
            prepare: |scene| scene.ads("acme,6\" nails,click,2024-11-20\n"),
        },
        Case {
            what: "text after a closing quote",
            exit: 0,
            prepare: |scene| scene.ads("acme,\"shoe\"s,click,2024-11-20\n"),
        },
        Case {
            what: "a quote that is never closed, in the last line",
            exit: 0,
            prepare: |scene| scene.ads("acme,\"shoe,click,2024-11-20\n"),
        },
        Case {
            what: "a quote that is never closed, with 99 good lines behind it",
            exit: 0,
            prepare: |scene| {
                scene.ads_of(
                    1,
                    "acme,\"shoe,click,2024-11-20\n".to_owned() + &"acme,shoe,click,2024-11-20\n".repeat(99),
                );
            },
        },
        Case {
            what: "bytes that are not UTF-8 in a product",
            exit: 0,
            prepare: |scene| scene.ads(b"acme,caf\xE9,click,2024-11-20\n"),
        },
        Case {
            what: "a line of 10 MB",
            exit: 0,
            prepare: |scene| {
                scene.ads(format!("acme,{},click,2024-11-20\n", "x".repeat(10 << 20)));
            },
        },
        Case {
            what: "an id too long in `advertiser_ids`, one of 101 lines",
            exit: 0,
            prepare: |scene| {
                scene.write(
                    "logs/advertiser_ids.csv",
                    format!("advertiser_id\n{}{}\n", "acme\n".repeat(100), "x".repeat(256)),
                );
            },
        },
        Case {
            what: "lines cut off at the end, as by an upload that broke",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,impr"),
        },
        Case {
            what: "a date cut off at the end: `2024-11-2`",
            exit: 0,
            prepare: |scene| scene.ads("acme,shoe,click,2024-11-2"),
        },
    ],
};

pub(crate) const TOO_MANY: Section = Section {
    title: "Bad lines, too many",
    says: "Past `input.max_rejected_ratio` of a log's lines the day is refused before anything is published.",
    cases: &[
        Case {
            what: "1 of 100 lines is bad: just what is allowed",
            exit: 0,
            prepare: |scene| scene.ads_of(99, "acme,shoe,hover,2024-11-20\n"),
        },
        Case {
            what: "2 of 101 lines are bad",
            exit: 3,
            prepare: |scene| {
                scene.ads_of(99, "acme,shoe,hover,2024-11-20\nacme,shoe\n");
            },
        },
        Case {
            what: "2 of 101 lines are bad, and 5 % are allowed",
            exit: 0,
            prepare: |scene| {
                scene.environment("TOPSHELF_INPUT__MAX_REJECTED_RATIO", "0.05");
                scene.ads_of(99, "acme,shoe,hover,2024-11-20\nacme,shoe\n");
            },
        },
        Case {
            what: "2 of 101 lines of `product_views` are bad",
            exit: 3,
            prepare: |scene| {
                scene.views("acme,shoe,2024-13-01\nacme,shoe,\n");
            },
        },
        Case {
            what: "every line is bad: another date order than configured",
            exit: 3,
            prepare: |scene| {
                scene.ads_of(0, "acme,shoe,click,20/11/2024\n".repeat(3));
            },
        },
        Case {
            what: "`advertiser_ids` in which every other line is bad",
            exit: 3,
            prepare: |scene| {
                scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\n\"acme\n");
            },
        },
        Case {
            what: "a quote that is never closed, in a log of views",
            exit: 3,
            prepare: |scene| {
                let rows = "acme,\"shoe,2024-11-20\nacme,shoe,2024-11-20\n";
                scene.write("logs/product_views.csv", format!("advertiser_id,product_id,date\n{rows}"));
            },
        },
        Case {
            what: "a field of 10 MB in quotes, 160 newlines inside: each of its lines is bad",
            exit: 3,
            prepare: |scene| {
                scene
                    .ads(format!("acme,\"{}\",click,2024-11-20\n", ("x".repeat(1 << 16) + "\n").repeat(160)));
            },
        },
    ],
};
