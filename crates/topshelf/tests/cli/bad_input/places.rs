//! Logs that are not where they should be, and places where nothing can be written.

use super::{Case, Section};
use crate::scene::DAY;
use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt, fs::symlink, net::UnixListener},
};

pub(crate) const INPUT: Section = Section {
    title: "Logs that are not there, or cannot be read",
    says: "The message names the log, what was looked for and what is there instead.",
    cases: &[
        Case { what: "the input folder is missing", exit: 1, prepare: |scene| scene.remove("logs") },
        Case {
            what: "the input is a file",
            exit: 2,
            prepare: |scene| {
                scene.args(&["run", "--day", DAY, "--input", "logs/ads_views.csv"]);
            },
        },
        Case {
            what: "the input is an address of another kind",
            exit: 2,
            prepare: |scene| {
                scene.args(&["run", "--day", DAY, "--input", "https://user:hunter2@example.org/logs"]);
            },
        },
        Case {
            what: "the input's name is empty",
            exit: 2,
            prepare: |scene| {
                scene.args(&["run", "--day", DAY, "--input", ""]);
            },
        },
        Case {
            what: "the input folder is empty",
            exit: 1,
            prepare: |scene| {
                scene.remove("logs");
                std::fs::create_dir(scene.path("logs")).unwrap();
            },
        },
        Case {
            what: "`ads_views` is not there",
            exit: 1,
            prepare: |scene| scene.remove("logs/ads_views.csv"),
        },
        Case {
            what: "`advertiser_ids` is not there",
            exit: 1,
            prepare: |scene| scene.remove("logs/advertiser_ids.csv"),
        },
        Case {
            what: "a glob that matches nothing",
            exit: 1,
            prepare: |scene| {
                scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "ads/*.csv");
            },
        },
        Case {
            what: "a template `ads_views-{day}.csv` whose day is missing",
            exit: 1,
            prepare: |scene| {
                scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "ads_views-{day}.csv");
                scene.write("logs/ads_views-2024-11-19.csv", "advertiser_id,product_id,type,date\n");
            },
        },
        Case {
            what: "Hive folders in which the day's is missing",
            exit: 1,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.write("logs/ads_views/date=2024-11-19/part-0.csv", "advertiser_id,product_id,type\n");
            },
        },
        Case {
            what: "a range of days of which one is missing",
            exit: 1,
            prepare: |scene| {
                scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "ads_views-{day}.csv");
                let good = "advertiser_id,product_id,type,date\nacme,shoe,click,2024-11-19\n";
                scene.write("logs/ads_views-2024-11-19.csv", good);
                scene.args(&["backfill", "--from", "2024-11-19", "--to", DAY, "--input", "logs"]);
            },
        },
        Case {
            what: "Hive folders in which the day's holds lines of another day",
            exit: 0,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                scene.write(
                    "logs/ads_views/date=2024-11-20/part-0.csv",
                    "advertiser_id,product_id,type,date\nacme,shoe,click,2024-11-20\nacme,shoe,click,2024-11-19\n",
                );
            },
        },
        Case {
            what: "a range of days of which one has no events",
            exit: 3,
            prepare: |scene| {
                scene.environment("TOPSHELF_STORE__URL", "sqlite:other.db");
                scene.args(&["backfill", "--from", DAY, "--to", "2024-11-21", "--input", "logs"]);
            },
        },
        Case {
            what: "no `product_views`, and the configuration says so",
            exit: 0,
            prepare: |scene| {
                scene.environment("TOPSHELF_INPUT__PRODUCT_VIEWS", "");
                scene.remove("logs/product_views.csv");
            },
        },
        Case {
            what: "a log that is a link to nothing",
            exit: 1,
            prepare: |scene| {
                scene.remove("logs/ads_views.csv");
                symlink("nowhere", scene.path("logs/ads_views.csv")).unwrap();
            },
        },
        Case {
            what: "a link in a folder that points back to the folder",
            exit: 1,
            prepare: |scene| {
                scene.write("logs/ads_views/part-0.csv", "advertiser_id,product_id,type,date\n");
                symlink("..", scene.path("logs/ads_views/again")).unwrap();
                symlink("ads_views", scene.path("logs/ads_views_link")).unwrap();
            },
        },
        Case {
            what: "a socket under a log's name",
            exit: 1,
            prepare: |scene| {
                let socket = UnixListener::bind(scene.path("logs/ads_views.sock")).unwrap();
                scene.keep(socket);
            },
        },
        Case {
            what: "a file's name that is not UTF-8",
            exit: 1,
            prepare: |scene| {
                let name = OsString::from_vec(b"logs/ads_views\xFF.csv".to_vec());
                std::fs::write(scene.folder().join(name), "").unwrap();
            },
        },
        Case {
            what: "a day that has not been counted is to be ranked",
            exit: 1,
            prepare: |scene| scene.args(&["rank", "--day", DAY]),
        },
        Case {
            what: "a day that has been counted but not ranked is to be published",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
                scene.args(&["publish", "--day", DAY]);
            },
        },
        Case {
            what: "a day that was counted again, with another result, is to be published",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
                scene.end_well(&["rank", "--day", DAY]);
                scene.ads("acme,hat,click,2024-11-20\n");
                scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
                scene.args(&["publish", "--day", DAY]);
            },
        },
    ],
};

pub(crate) const OUTPUT: Section = Section {
    title: "Lakes and files that cannot be written or read",
    says: "The lake is where the stages leave their outputs, the store is where readers look.",
    cases: &[
        Case {
            what: "the lake's place is a file",
            exit: 1,
            prepare: |scene| {
                scene.write("lake", "");
                scene.add_args(&["--lake", "lake"]);
            },
        },
        Case {
            what: "the lake lies below a file",
            exit: 1,
            prepare: |scene| {
                scene.write("file", "");
                scene.add_args(&["--lake", "file/lake"]);
            },
        },
        Case {
            what: "the lake is on `/proc`, where nobody can write",
            exit: 1,
            prepare: |scene| {
                scene.add_args(&["--lake", "/proc/lake"]);
            },
        },
        Case {
            what: "the lake's disk takes no more than a few hundred bytes",
            exit: 1,
            prepare: |scene| {
                scene.args(&["count", "--day", DAY, "--input", "logs"]);
                scene.limit_files_to_a_block();
            },
        },
        Case {
            what: "counts of 60,000 products in the least memory, and a disk that takes no more of them than a few hundred bytes",
            exit: 1,
            prepare: |scene| {
                let rows: String = (0..60_000).map(|product| format!("acme,{product},{DAY}\n")).collect();
                scene.views(rows);
                scene.environment("TOPSHELF_COUNTING__THREADS", "1");
                scene.environment("TOPSHELF_COUNTING__MEMORY_LIMIT", "90MiB");
                scene.environment("TOPSHELF_COUNTING__SPILL_DIR", "spill");
                scene.args(&["count", "--day", DAY, "--input", "logs"]);
                scene.limit_files_to_a_block();
            },
        },
        Case {
            what: "the store's disk takes no more than a few hundred bytes",
            exit: 1,
            prepare: |scene| scene.limit_files_to_a_block(),
        },
        Case {
            what: "the folder of the day's counts is a file",
            exit: 1,
            prepare: |scene| scene.write("topshelf-data/lake/counts", ""),
        },
        Case {
            what: "the day's counts in the lake were overwritten by something else",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
                scene.overwrite_below("topshelf-data/lake/counts", ".parquet", "this is no Parquet");
                scene.args(&["rank", "--day", DAY]);
            },
        },
        Case {
            what: "the manifest of the day's counts was overwritten by something else",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
                scene.overwrite_below("topshelf-data/lake/counts", ".json", "{}");
                scene.args(&["rank", "--day", DAY]);
            },
        },
        Case {
            what: "sample logs are there already",
            exit: 2,
            prepare: |scene| scene.args(&["generate", "--out", "logs"]),
        },
        Case {
            what: "sample logs below a file",
            exit: 1,
            prepare: |scene| scene.args(&["generate", "--out", "logs/ads_views.csv/more"]),
        },
    ],
};
