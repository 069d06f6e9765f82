//! `demo`: the whole product on sample logs, in one command.

use super::{generate::explain, output::Output, serve, stop};
use crate::{
    cli::{Demo, Global},
    config::{self, Flags},
    failure::Failure,
    generate::{GenerateOptions, Layout, generate},
    pipeline::{self, Night, StartedBy},
    progress::Progress,
};
use domain::{Day, DayRange};
use serde_json::json;
use std::{path::Path, time::Duration};
use store::Store;

/// Ad rows of each day: enough for click rates that look like click rates.
const ROWS_A_DAY: u64 = 100_000;

/// Makes sample logs up to yesterday, runs every day of them, and serves.
pub(super) async fn demo(flags: Demo, global: &Global, output: Output) -> Result<(), Failure> {
    let night = demo_night(&flags.dir, global)?;
    let last = night.schedule.ended_day(night.clock.now());
    let first = (1..flags.days).fold(last, |day, _| day.yesterday());
    let server = serve::bind(&night).await?;
    stop::at_signal(night.halt.clone());
    eprintln!("1/3  sample logs of {first} to {last} in {}", night.config.input.url);
    make_logs(&night, first, flags.days)?;
    eprintln!("2/3  {} days: counted, ranked, published to {}", flags.days, night.config.store.url);
    run_days(&night, DayRange { first, last }).await?;
    let advertiser = an_advertiser(&night).await?;
    eprintln!("3/3  serving; Ctrl-C stops it\n");
    let addresses = addresses(&server.url(), &advertiser);
    output.either(&addresses.to_json(), || addresses.to_text())?;
    server.run(serve::stopped(night.halt, Duration::ZERO)).await;
    Ok(())
}

/// The demo's own places, whatever the configuration says; only the address can be chosen.
fn demo_night(dir: &Path, global: &Global) -> Result<Night, Failure> {
    let below = |name: &str| dir.join(name).display().to_string();
    let flags = Flags {
        input: Some(below("logs")),
        lake: Some(below("lake")),
        store: Some(format!("sqlite:{}", below("topshelf.db"))),
        ..global.flags()
    };
    let (mut config, _) = config::load(&flags)?;
    config.input = config::Input {
        url: config.input.url,
        ads_views: "ads_views-{day}.csv".into(),
        product_views: "product_views-{day}.csv".into(),
        ..config::Input::default()
    };
    config.serve.snapshot_dir = below("snapshot");
    Night::new(config, Progress::for_terminal())
}

fn make_logs(night: &Night, first_day: Day, days: u32) -> Result<(), Failure> {
    let out = night.config.input.url.clone().into();
    let (rows, layout) = (ROWS_A_DAY, Layout::Daily);
    let options =
        GenerateOptions { out, rows, first_day, days, layout, overwrite: true, ..GenerateOptions::default() };
    let bar = night.progress.steps("generating", options.total_rows());
    generate(&options, &|rows| bar.set_position(rows)).map_err(explain)?;
    bar.finish_and_clear();
    Ok(())
}

async fn run_days(night: &Night, range: DayRange) -> Result<(), Failure> {
    let days: Vec<_> = range.days().collect();
    for outcome in pipeline::run(night, &days, StartedBy::Hand).await? {
        outcome.ended?;
    }
    Ok(())
}

/// An advertiser with recommendations, to show as an example.
async fn an_advertiser(night: &Night) -> Result<String, Failure> {
    let store = Store::open(night.database()?).await?;
    let snapshot = api::load(&store, &serve::options(night)).await.map_err(Failure::of)?;
    Ok(snapshot.example().map(|(advertiser, _)| advertiser.to_owned()).unwrap_or_default())
}

/// What can be asked for, and its URL.
struct Addresses(Vec<(&'static str, String)>);

fn addresses(server: &str, advertiser: &str) -> Addresses {
    let routes = [
        ("what runs here", String::new()),
        ("a ranking", format!("recommendations/{advertiser}/TopCTR")),
        ("the other model", format!("recommendations/{advertiser}/TopProduct")),
        ("the last 7 days", format!("history/{advertiser}/")),
        ("statistics", "stats/".to_owned()),
        ("try the API", "docs/".to_owned()),
        ("is it ready?", "health/ready".to_owned()),
    ];
    Addresses(routes.map(|(what, path)| (what, format!("{server}/{path}"))).into())
}

impl Addresses {
    fn to_text(&self) -> String {
        self.0.iter().map(|(what, url)| format!("{what:16} curl {url}\n")).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(|(what, url)| json!({ "what": what, "url": url })).collect()
    }
}
