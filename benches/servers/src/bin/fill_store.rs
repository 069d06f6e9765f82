//! Publishes rankings of as many advertisers as one asks for, as nights would: a run a day, through the store.
//!
//! Prints a line of JSON for each day that is published: the version readers see then, and when that was.

use bench_servers::rankings;
use clap::Parser;
use domain::{Counts, Day, DayRankings, RunId};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::error::Error;
use store::{Holds, NewPublication, NewRun, Outcome, RunEnd, Store};

/// Day number 0.
const FIRST_DAY: &str = "2024-11-20";

/// Fills a store.
#[derive(Parser)]
struct Arguments {
    /// The database
    #[arg(long)]
    store: String,
    /// Advertisers, all active
    #[arg(long)]
    advertisers: u64,
    /// Days, one run each
    #[arg(long)]
    days: u64,
    /// The number of the first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { store, advertisers, days, first } = Arguments::parse();
    let store = Store::open(&store).await?;
    store.migrate().await?;
    for number in first..first + days {
        let (rankings, totals) = rankings::of_day(day(number)?, number, advertisers);
        publish(&store, number, &rankings, &totals).await?;
    }
    Ok(())
}

fn day(number: u64) -> Result<Day, Box<dyn Error>> {
    let first: Day = FIRST_DAY.parse()?;
    Ok(Day::from_date(first.date().checked_add(i64::try_from(number)?.days())?))
}

async fn publish(
    store: &Store,
    number: u64,
    rankings: &DayRankings,
    totals: &[Counts],
) -> Result<(), Box<dyn Error>> {
    let started_at = Timestamp::now();
    let run_id = RunId::new(started_at, u32::try_from(number)?);
    let run = NewRun {
        run_id: run_id.clone(),
        day: rankings.day,
        started_by: "hand".to_owned(),
        orchestrator: None,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash: "benchmark".to_owned(),
        started_at,
        process: format!("fill_store {}", std::process::id()),
        host: "localhost".to_owned(),
        due_at: None,
    };
    store.begin_runs(&[run]).await?;
    let holds = Holds::default();
    store.publish(&run_id, NewPublication { rankings, totals, holds: &holds }, Timestamp::now()).await?;
    let published_at = Timestamp::now();
    let version = store.publication_version().await?;
    let end = RunEnd { ended_at: published_at, outcome: Outcome::Succeeded, error: None, report: json!({}) };
    store.end_run(&run_id, &end).await?;
    let published_ms = published_at.as_millisecond();
    println!("{}", json!({ "day": rankings.day, "version": version, "published_ms": published_ms }));
    Ok(())
}
