//! `cargo xtask bench memory`: a night of far more products than fit in its memory limit.
//!
//! Every count is known by how the logs are made. Each product of each advertiser is viewed once, and the
//! first [`SHOWN`] of an advertiser more often, the first of them most. Those and the last [`CLICKED`] are shown
//! once; the latter are clicked, too. The lines come in no order. What is checked: how many products and
//! lines were counted, every ranking of some advertisers, and the largest resident set.

use super::{
    build_release, gigabytes, machine,
    measure::{self, Usage, Used},
    seconds, thousands,
};
use crate::{
    Failure,
    repository::{program, stdout, target},
    say,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const DAY: &str = "2024-11-20";

/// Products of each advertiser that are clicked.
const CLICKED: u64 = 5;

/// Products of each advertiser that are shown, beside those that are clicked; more than a ranking holds.
const SHOWN: u64 = 30;

/// Products of a ranking.
const K: u64 = 20;

/// The resident set may exceed the limit by so much: tenths.
const SLACK_TENTHS: u64 = 13;

/// Has no factor in common with any number of lines below it.
const STRIDE: u64 = 982_451_653;

/// How many, and in how much memory.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Products of all advertisers together
    #[arg(long, default_value_t = 200_000_000, value_parser = clap::value_parser!(u64).range(1..STRIDE))]
    products: u64,
    /// Advertisers, all active; each has at least 40 products
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    advertisers: u64,
    /// Mebibytes that the night may take
    #[arg(long, default_value_t = 1_024)]
    limit_mib: u64,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Seconds after which the run is given up
    #[arg(long, default_value_t = 3_600)]
    limit_s: u64,
}

/// Makes the logs, runs the night, checks and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if options.products / options.advertisers < 40 {
        return Err("each advertiser has at least 40 products: ask for fewer --advertisers".into());
    }
    build_release()?;
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    say(&format!("writing logs of {} products", thousands(options.products)));
    let bytes = write_logs(options, &folder.path().join("logs"))
        .map_err(|error| format!("could not write logs below {}: {error}", folder.path().display()))?;
    machine::warn_when_busy();
    let night = Night { options, folder: folder.path() };
    let used = match measure::run(&mut night.command()?, Duration::from_secs(options.limit_s))? {
        Usage::Done(used) => used,
        usage => return Err(format!("topshelf {usage}").into()),
    };
    let spilled_bytes = night.check()?;
    println!("{}", report(options, bytes, used, spilled_bytes));
    let allowed = (options.limit_mib << 20) * SLACK_TENTHS / 10;
    if used.memory_bytes > allowed {
        return Err(format!("the resident set had {} bytes, more than {allowed}", used.memory_bytes).into());
    }
    Ok(())
}

fn report(options: &Options, bytes: u64, used: Used, spilled_bytes: u64) -> String {
    let Options { products, advertisers, limit_mib, threads, .. } = options;
    let times_limit = gigabytes(used.memory_bytes) / gigabytes(limit_mib << 20);
    format!(
        "{} products of {} advertisers in {:.1} GB of logs, {threads} threads, counting.memory_limit = {limit_mib}MiB: \
         exact, {:.1} s, {:.1} s of CPU, largest resident set {:.3} GB = {times_limit:.2} × the limit, {:.2} GB spilled",
        thousands(*products),
        thousands(*advertisers),
        gigabytes(bytes),
        seconds(used.wall),
        seconds(used.cpu),
        gigabytes(used.memory_bytes),
        gigabytes(spilled_bytes),
    )
}

fn advertiser(number: u64) -> String {
    format!("a{number:03x}")
}

/// Eight bytes, in order of the number.
fn product(number: u64) -> String {
    format!("p{number:07x}")
}

impl Options {
    /// How many products an advertiser has: the first few have one more.
    fn products_of(&self, advertiser: u64) -> u64 {
        (self.products - advertiser).div_ceil(self.advertisers)
    }
}

fn write_logs(options: &Options, folder: &Path) -> std::io::Result<u64> {
    fs::create_dir_all(folder)?;
    let create = |name: &str| {
        Ok::<_, std::io::Error>(BufWriter::with_capacity(1 << 20, File::create(folder.join(name))?))
    };
    let mut list = create("advertiser_ids.csv")?;
    writeln!(list, "advertiser_id")?;
    let mut ads = create("ads_views.csv")?;
    writeln!(ads, "advertiser_id,product_id,type,date")?;
    let mut views = create("product_views.csv")?;
    writeln!(views, "advertiser_id,product_id,date")?;
    for line in 0..options.products {
        let key = line * STRIDE % options.products;
        let (advertiser, product) =
            (advertiser(key % options.advertisers), product(key / options.advertisers));
        writeln!(views, "{advertiser},{product},{DAY}")?;
    }
    for number in 0..options.advertisers {
        let advertiser = advertiser(number);
        writeln!(list, "{advertiser}")?;
        for shown in 0..SHOWN {
            writeln!(ads, "{advertiser},{},impression,{DAY}", product(shown))?;
            for _ in 1..views_of(shown) {
                writeln!(views, "{advertiser},{},{DAY}", product(shown))?;
            }
        }
        for back in 1..=CLICKED {
            let product = product(options.products_of(number) - back);
            writeln!(ads, "{advertiser},{product},impression,{DAY}\n{advertiser},{product},click,{DAY}")?;
        }
    }
    [list, ads, views].into_iter().try_for_each(|mut file| file.flush())?;
    let sizes = fs::read_dir(folder)?.map(|file| Ok(file?.metadata()?.len()));
    sizes.sum()
}

/// The night under the limit.
struct Night<'a> {
    options: &'a Options,
    folder: &'a Path,
}

impl Night<'_> {
    fn report(&self) -> PathBuf {
        self.folder.join("run.json")
    }

    fn topshelf(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = program(target().join("release/topshelf"), arguments);
        // No configuration file of the repository has a say.
        command.current_dir(self.folder);
        command
    }

    fn command(&self) -> Result<std::process::Command, Failure> {
        let report = File::create(self.report())
            .map_err(|error| format!("could not make {}: {error}", self.report().display()))?;
        let mut command = self.topshelf(&["run", "--json", "--day", DAY, "--input", "logs"]);
        command.env("TOPSHELF_COUNTING__THREADS", self.options.threads.to_string());
        command.env("TOPSHELF_COUNTING__MEMORY_LIMIT", format!("{}MiB", self.options.limit_mib));
        command.stdout(report);
        Ok(command)
    }

    /// Checks what the night has made; how much it spilled.
    fn check(&self) -> Result<u64, Failure> {
        let Options { products, advertisers, .. } = self.options;
        let manifest = self.json(&format!("topshelf-data/lake/counts/day={DAY}/manifest.json"))?;
        let (ads, more_views) = (advertisers * (SHOWN + 2 * CLICKED), advertisers * SHOWN * (SHOWN + 1) / 2);
        let kept = |log: &str| &manifest["logs"][log]["tally"]["kept"];
        for (what, counted, expected) in [
            ("products", &manifest["products"], *products),
            ("lines of ads_views", kept("ads_views"), ads),
            ("lines of product_views", kept("product_views"), products + more_views),
        ] {
            if counted.as_u64() != Some(expected) {
                return Err(format!("{counted} {what} were counted, there are {expected}").into());
            }
        }
        let some = [0, 1, advertisers / 2, advertisers - 1];
        for number in some.into_iter().filter(|number| number < advertisers) {
            self.check_ranking(number, "TopCTR", &self.top_ctr(number))?;
            self.check_ranking(number, "TopProduct", &Self::top_product())?;
        }
        let stages = self.json("run.json")?["runs"][0]["report"]["stages"].clone();
        let spilled =
            stages.as_array().into_iter().flatten().find_map(|stage| stage["spilled_bytes"].as_u64());
        spilled.ok_or_else(|| "nothing was spilled: ask for more --products or a lower --limit-mib".into())
    }

    /// Product, impressions, clicks and views, in order: what was clicked, then the first of the others.
    fn top_ctr(&self, advertiser: u64) -> Vec<(u64, u64, u64, u64)> {
        let products = self.options.products_of(advertiser);
        let clicked = (products - CLICKED..products).map(|product| (product, 1, 1, views_of(product)));
        clicked.chain((0..K - CLICKED).map(|product| (product, 1, 0, views_of(product)))).collect()
    }

    fn top_product() -> Vec<(u64, u64, u64, u64)> {
        (0..K).map(|product| (product, 1, 0, views_of(product))).collect()
    }

    fn check_ranking(
        &self,
        number: u64,
        model: &str,
        expected: &[(u64, u64, u64, u64)],
    ) -> Result<(), Failure> {
        let advertiser = advertiser(number);
        let answer = stdout(&mut self.topshelf(&["show", &advertiser, model, "--json"]))?;
        let answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("`show` prints no JSON: {error}"))?;
        let told = |product: &Value| {
            let number = |key: &str| product[key].as_u64();
            (
                product["product_id"].as_str().map(str::to_owned),
                number("impressions"),
                number("clicks"),
                number("views"),
            )
        };
        let told: Vec<_> = answer["recommendations"].as_array().into_iter().flatten().map(told).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(number, impressions, clicks, views)| {
                (Some(product(*number)), Some(*impressions), Some(*clicks), Some(*views))
            })
            .collect();
        if told == expected {
            return Ok(());
        }
        Err(format!("{model} of {advertiser} is {told:?}, it should be {expected:?}").into())
    }

    fn json(&self, file: &str) -> Result<Value, Failure> {
        let file = self.folder.join(file);
        let text = fs::read_to_string(&file)
            .map_err(|error| format!("could not read {}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", file.display()).into())
    }
}

fn views_of(product: u64) -> u64 {
    1 + SHOWN.saturating_sub(product)
}
