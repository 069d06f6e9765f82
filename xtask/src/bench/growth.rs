//! `cargo xtask bench growth`: a whole night as rows, groups and threads grow.
//!
//! One set of logs at a time is generated, measured and deleted. What is measured is kept below
//! `target/`, so that a later call goes on where an earlier one was stopped; after a change of the
//! program's sources everything is measured again.

mod measured;
mod plot;
mod points;
mod table;

use super::{
    build_release,
    contender::OurNight,
    logs::{Format, Logs},
    machine,
    measure::{self, Usage, Used},
    page,
};
use crate::{
    Failure,
    repository::{root, target},
    say,
};
use measured::{Measured, Results};
use points::{Point, Set};
use std::{fs, time::Duration};

/// The part of `docs/performance.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench growth";
const PLOT: &str = "docs/growth.svg";

/// Left free on the disk, for what a night leaves and for others.
const SPARE_DISK_BYTES: u64 = 5_000_000_000;

/// How far to go.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The most lines of both logs together
    #[arg(long, default_value_t = 640_000_000)]
    max_rows: u64,
    /// The most groups: advertisers × products
    #[arg(long, default_value_t = 100_000_000)]
    max_groups: u64,
    /// Runs of each point; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// A point that takes more seconds than this is run once
    #[arg(long, default_value_t = 30)]
    once_above_s: u64,
    /// Seconds after which a run is given up
    #[arg(long, default_value_t = 3_600)]
    limit_s: u64,
    /// Write the table into docs/performance.md and the plot beside it
    #[arg(long)]
    write: bool,
}

/// Measures what is not measured yet, and reports all of it.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    build_release()?;
    let mut results = Results::open(&target().join("bench-growth.jsonl"))?;
    let mut left_out = Vec::new();
    for set in points::sets(options.max_rows, options.max_groups) {
        let missing: Vec<_> = set.points().into_iter().filter(|point| results.of(point).is_none()).collect();
        if missing.is_empty() {
            continue;
        }
        match no_room_for(&set)? {
            Some(why) => left_out.push(why),
            None => measure_set(options, &set, &missing, &mut results)?,
        }
    }
    left_out.dedup();
    left_out.iter().for_each(|why| say(why));
    let measured = results.up_to(options.max_rows, options.max_groups);
    let table = table::markdown(&measured, &left_out, &command_line(options));
    println!("{table}");
    if options.write {
        write(&table, &measured)?;
    }
    Ok(())
}

fn write(table: &str, measured: &[Measured]) -> Result<(), Failure> {
    let plot = plot::svg(measured)?;
    fs::write(root().join(PLOT), plot).map_err(|error| format!("could not write {PLOT}: {error}"))?;
    let shown = "![Time and peak memory against rows and groups, both axes logarithmic](growth.svg)";
    page::write(PART, &format!("{shown}\n\n{table}"))
}

fn command_line(options: &Options) -> String {
    let Options { max_rows, max_groups, runs, once_above_s, .. } = options;
    format!(
        "cargo xtask bench growth --max-rows {max_rows} --max-groups {max_groups} --runs {runs} \
         --once-above-s {once_above_s}"
    )
}

/// Why a set cannot be measured here.
fn no_room_for(set: &Set) -> Result<Option<String>, Failure> {
    let (needed, free) = (set.shape.csv_bytes() + SPARE_DISK_BYTES, machine::free_disk_bytes(&target())?);
    let [needed_gb, free_gb] = [needed, free].map(|bytes| bytes / 1_000_000_000);
    Ok((needed > free).then(|| {
        let rows = super::thousands(set.rows());
        format!("{rows} rows are left out: they need {needed_gb} GB of disk, {free_gb} GB are free")
    }))
}

/// Generates the set's logs, measures the points and deletes the logs.
fn measure_set(options: &Options, set: &Set, points: &[Point], results: &mut Results) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    say(&format!(
        "generating {} rows of {} groups",
        super::thousands(set.rows()),
        super::thousands(set.groups())
    ));
    set.shape.generate(folder.path(), Format::Csv)?;
    let logs = Logs::of_folder(set.shape, Format::Csv, folder.path().to_owned())?;
    machine::warn_when_busy();
    logs.warm()?;
    for point in points {
        let measured = measure_point(options, &logs, point)?;
        results.add(measured)?;
    }
    Ok(())
}

fn measure_point(options: &Options, logs: &Logs, point: &Point) -> Result<Measured, Failure> {
    let mut runs: Vec<(Used, Duration)> = Vec::new();
    let mut products = 0;
    let is_slow = |runs: &[(Used, Duration)]| {
        runs.first().is_some_and(|(first, _)| first.wall > Duration::from_secs(options.once_above_s))
    };
    while runs.len() < options.runs as usize && !is_slow(&runs) {
        let folder = tempfile::tempdir_in(target());
        let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
        let night = OurNight { folder: folder.path() };
        let limit = Duration::from_secs(options.limit_s);
        let usage = measure::run(&mut night.run(logs, point.threads)?, limit)?;
        say(&format!("{point}: {usage}"));
        let Usage::Done(used) = usage else {
            return Ok(Measured::failed(point, logs.bytes, usage.to_string()));
        };
        runs.push((used, night.counting()?));
        products = night.products(logs)?;
    }
    Ok(Measured::of_runs(point, logs.bytes, products, &runs))
}
