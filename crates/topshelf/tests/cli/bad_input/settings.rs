//! Flags, variables and configuration files that cannot be meant.

use super::{Case, Section};
use crate::scene::{DAY, Scene};
use std::net::TcpListener;

pub(crate) const SETTINGS: Section = Section {
    title: "Flags and configuration",
    says: "The message names the key, where its value came from, and what would be right.",
    cases: &[
        Case { what: "an unknown command", exit: 2, prepare: |scene| scene.args(&["rnu"]) },
        Case { what: "an unknown flag", exit: 2, prepare: |scene| scene.args(&["run", "--dya", DAY]) },
        Case { what: "a flag without its value", exit: 2, prepare: |scene| scene.args(&["run", "--day"]) },
        Case {
            what: "a day that does not exist",
            exit: 2,
            prepare: |scene| scene.args(&["run", "--day", "2024-02-30"]),
        },
        Case {
            what: "a day in another order",
            exit: 2,
            prepare: |scene| scene.args(&["run", "--day", "20-11-2024"]),
        },
        Case {
            what: "a range that ends before it begins",
            exit: 2,
            prepare: |scene| {
                scene.args(&["backfill", "--from", "2024-11-21", "--to", DAY]);
            },
        },
        Case {
            what: "an unknown model, `rank --model TopCRT`",
            exit: 2,
            prepare: |scene| {
                scene.args(&["rank", "--day", DAY, "--model", "TopCRT"]);
            },
        },
        Case {
            what: "an unknown model, `show acme TopCRT`",
            exit: 2,
            prepare: |scene| {
                scene.end_well(&["run", "--day", DAY, "--input", "logs", "--store", "sqlite:new.db"]);
                scene.args(&["show", "acme", "TopCRT", "--store", "sqlite:new.db"]);
            },
        },
        Case {
            what: "an unknown advertiser, `show ACME`",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["run", "--day", DAY, "--input", "logs", "--store", "sqlite:new.db"]);
                scene.args(&["show", "ACME", "--store", "sqlite:new.db"]);
            },
        },
        Case {
            what: "a run that is not in the ledger",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["migrate"]);
                scene.args(&["runs", "20241121T023000Z-3f9a1c2e"]);
            },
        },
        Case {
            what: "a run's name that is none",
            exit: 2,
            prepare: |scene| scene.args(&["runs", "yesterday"]),
        },
        Case {
            what: "sample logs with twice as many active advertisers as there are",
            exit: 2,
            prepare: |scene| {
                scene.args(&["generate", "--out", "new", "--active-ratio", "2"]);
            },
        },
        Case {
            what: "sample logs of no advertisers",
            exit: 2,
            prepare: |scene| {
                scene.args(&["generate", "--out", "new", "--advertisers", "0"]);
            },
        },
        Case {
            what: "sample logs as Parquet, which is not written",
            exit: 2,
            prepare: |scene| {
                scene.args(&["generate", "--out", "new", "--format", "parquet"]);
            },
        },
        Case {
            what: "sample logs past the year 9999",
            exit: 2,
            prepare: |scene| {
                scene.args(&["generate", "--out", "new", "--first-day", "9999-12-31", "--days", "2"]);
            },
        },
        Case {
            what: "a range of a thousand years",
            exit: 2,
            prepare: |scene| scene.args(&["backfill", "--from", "1024-11-20", "--to", DAY]),
        },
        Case {
            what: "a list in the environment without brackets",
            exit: 2,
            prepare: |scene| scene.environment("TOPSHELF_RANKING__MODELS", "TopCTR,TopProduct"),
        },
        Case {
            what: "the configuration file is missing",
            exit: 2,
            prepare: |scene| scene.add_args(&["--config", "no.toml"]),
        },
        Case {
            what: "the configuration file is no TOML",
            exit: 2,
            prepare: |scene| scene.write("topshelf.toml", "[input\nurl = logs\n"),
        },
        Case {
            what: "the configuration file is not UTF-8",
            exit: 2,
            prepare: |scene| scene.write("topshelf.toml", b"[input]\nurl = \"caf\xE9\"\n"),
        },
        Case { what: "an unknown key", exit: 2, prepare: |scene| file(scene, "[input]\nadds_views = \"x\"") },
        Case { what: "an unknown section", exit: 2, prepare: |scene| file(scene, "[sever]\nlisten = \"x\"") },
        Case {
            what: "an unknown key in the environment",
            exit: 2,
            prepare: |scene| scene.environment("TOPSHELF_STORE__URI", "sqlite:x"),
        },
        Case {
            what: "a variable with one underscore too few",
            exit: 2,
            prepare: |scene| scene.environment("TOPSHELF_STORE_URL", "sqlite:x"),
        },
        Case {
            what: "text where a number is expected",
            exit: 2,
            prepare: |scene| file(scene, "[ranking]\nk = \"many\""),
        },
        Case {
            what: "a number where text is expected",
            exit: 2,
            prepare: |scene| file(scene, "[store]\nurl = 5432"),
        },
        Case { what: "a negative number", exit: 2, prepare: |scene| file(scene, "[ranking]\nk = -1") },
        Case { what: "a ranking of no products", exit: 2, prepare: |scene| file(scene, "[ranking]\nk = 0") },
        Case {
            what: "an unknown model",
            exit: 2,
            prepare: |scene| file(scene, "[ranking]\nmodels = [\"TopCRT\"]"),
        },
        Case { what: "no model", exit: 2, prepare: |scene| file(scene, "[ranking]\nmodels = []") },
        Case {
            what: "a share of bad lines above 1",
            exit: 2,
            prepare: |scene| scene.environment("TOPSHELF_INPUT__MAX_REJECTED_RATIO", "5"),
        },
        Case {
            what: "a share of bad lines with a decimal comma",
            exit: 2,
            prepare: |scene| scene.environment("TOPSHELF_INPUT__MAX_REJECTED_RATIO", "0,05"),
        },
        Case {
            what: "no event log at all",
            exit: 2,
            prepare: |scene| file(scene, "[input]\nads_views = \"\"\nproduct_views = \"\""),
        },
        Case {
            what: "no list of active advertisers",
            exit: 2,
            prepare: |scene| file(scene, "[input]\nadvertiser_ids = \"\""),
        },
        Case {
            what: "an unknown placeholder in a template",
            exit: 2,
            prepare: |scene| file(scene, "[input]\nads_views = \"ads-{date}.csv\""),
        },
        Case {
            what: "a glob that is none",
            exit: 2,
            prepare: |scene| file(scene, "[input]\nads_views = \"ads[\""),
        },
        Case {
            what: "a template outside the input",
            exit: 2,
            prepare: |scene| file(scene, "[input]\nads_views = \"../ads.csv\""),
        },
        Case {
            what: "a delimiter of two characters",
            exit: 2,
            prepare: |scene| file(scene, "[input]\ndelimiter = \"||\""),
        },
        Case {
            what: "a pattern of dates that is none",
            exit: 2,
            prepare: |scene| file(scene, "[input]\ndate_format = \"DD/MM/YYYY\""),
        },
        Case {
            what: "a pattern of dates with an unknown directive",
            exit: 2,
            prepare: |scene| file(scene, "[input]\ndate_format = \"%d/%Q/%Y\""),
        },
        Case {
            what: "a pattern of dates without the year",
            exit: 2,
            prepare: |scene| file(scene, "[input]\ndate_format = \"%d/%m\""),
        },
        Case {
            what: "a renamed column that is not there",
            exit: 3,
            prepare: |scene| file(scene, "[input.columns]\ndate = \"fecha\""),
        },
        Case {
            what: "two columns of one name",
            exit: 2,
            prepare: |scene| file(scene, "[input.columns]\nproduct_id = \"advertiser_id\""),
        },
        Case {
            what: "a memory limit of words",
            exit: 2,
            prepare: |scene| file(scene, "[counting]\nmemory_limit = \"lots\""),
        },
        Case {
            what: "a negative memory limit",
            exit: 2,
            prepare: |scene| file(scene, "[counting]\nmemory_limit = -1"),
        },
        Case {
            what: "a memory limit that is too small to work with",
            exit: 2,
            prepare: |scene| file(scene, "[counting]\nmemory_limit = \"10 MB\"\nthreads = 2"),
        },
        Case {
            what: "no folder for what does not fit in memory",
            exit: 2,
            prepare: |scene| file(scene, "[counting]\nspill_dir = \"\""),
        },
        Case {
            what: "a cron line of words",
            exit: 2,
            prepare: |scene| file(scene, "[schedule]\ncron = \"nightly\""),
        },
        Case {
            what: "a cron line for 30 February",
            exit: 2,
            prepare: |scene| file(scene, "[schedule]\ncron = \"0 2 30 2 *\""),
        },
        Case {
            what: "a cron line of six fields",
            exit: 2,
            prepare: |scene| file(scene, "[schedule]\ncron = \"0 30 2 * * *\""),
        },
        Case {
            what: "an unknown time zone",
            exit: 2,
            prepare: |scene| file(scene, "[schedule]\ntimezone = \"Madrid\""),
        },
        Case {
            what: "an address without a port",
            exit: 2,
            prepare: |scene| scene.args(&["serve", "--listen", "localhost"]),
        },
        Case {
            what: "a port above 65535",
            exit: 2,
            prepare: |scene| scene.args(&["serve", "--listen", "127.0.0.1:80800"]),
        },
        Case {
            what: "an address that is not this machine's",
            exit: 1,
            prepare: |scene| scene.args(&["serve", "--listen", "192.0.2.1:8080"]),
        },
        Case {
            what: "a port that is taken",
            exit: 1,
            prepare: |scene| {
                let taken = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = taken.local_addr().unwrap();
                scene.replace(address.port().to_string(), "PORT");
                scene.keep(taken);
                scene.args(&["serve", "--listen", &address.to_string()]);
            },
        },
    ],
};

fn file(scene: &mut Scene, text: &str) {
    scene.write("topshelf.toml", text);
}
