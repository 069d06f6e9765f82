//! `cargo xtask bench count`: a whole night beside what one would write with another tool.
//!
//! Everything runs in turn on the same files with the same number of threads, and every answer must be
//! ours to the byte. `benches/README.md` says what the other tools are spared.

mod contender;
mod logs;
mod measure;
mod report;

use crate::{
    Failure,
    repository::{cargo, succeed, target},
    say,
};
use contender::{Contender, Peer, Published};
use logs::{Format, Logs};
use measure::Usage;
use report::{Outcome, Row};
use std::{fs, path::PathBuf, time::Duration};

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Measure a whole night beside DuckDB, Polars and pandas
    Count(Options),
}

/// How large, how often, beside whom.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Lines of the ad log
    #[arg(long, default_value_t = 40_000_000)]
    rows: u64,
    /// Lines of the product-view log
    #[arg(long, default_value_t = 20_000_000)]
    view_rows: u64,
    /// Advertisers, four fifths of them active
    #[arg(long, default_value_t = 2_000)]
    advertisers: u32,
    /// Products of each advertiser
    #[arg(long, default_value_t = 500)]
    products: u32,
    /// Runs of each tool; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads of each tool
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// How the logs are written; each is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "csv")]
    formats: Vec<Format>,
    /// The other tools; none with `--peers ""`
    #[arg(long, value_delimiter = ',', value_parser = contender::peer, default_value = "duckdb,polars,pandas")]
    peers: Vec<Option<Peer>>,
    /// Seconds after which a run is given up
    #[arg(long, default_value_t = 900)]
    limit_s: u64,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// Builds, generates, installs, measures, compares and reports.
pub(crate) fn count(options: &Options) -> Result<(), Failure> {
    say("building the release binary");
    succeed(&mut cargo(&["build", "--release", "--package", "topshelf", "--bin", "topshelf"]))?;
    let contenders: Vec<_> = [Contender::Topshelf]
        .into_iter()
        .chain(options.peers.iter().copied().flatten().map(Contender::Peer))
        .collect();
    contender::install_peers()?;
    let (mut tables, mut differing) = (String::new(), Vec::new());
    for format in &options.formats {
        let logs = Logs::find_or_make(options, *format)?;
        report::warn_when_busy();
        logs.warm()?;
        let rows = measure_in_turn(options, &logs, &contenders)?;
        let differs = |row: &&Row| matches!(row.outcome, Outcome::Differs);
        let names = rows.iter().filter(differs).map(|row| format!("{} ({})", row.contender, format.ending()));
        differing.extend(names);
        tables += &report::table(options, &logs, &rows);
    }
    let report = report::markdown(options, &tables);
    println!("{report}");
    if options.write {
        report::write_into_docs(&report)?;
    }
    if differing.is_empty() {
        Ok(())
    } else {
        Err(format!("other answers than ours: {}", differing.join(", ")).into())
    }
}

/// Runs everyone once, then everyone again: what disturbs the machine for a while disturbs all.
fn measure_in_turn(options: &Options, logs: &Logs, contenders: &[Contender]) -> Result<Vec<Row>, Failure> {
    let limit = Duration::from_secs(options.limit_s);
    let mut rows: Vec<_> = contenders.iter().map(|contender| Row::new(*contender)).collect();
    for run in 1..=options.runs {
        for row in rows.iter_mut().filter(|row| row.is_running()) {
            let usage = measure_once(options, logs, row.contender, limit)?;
            say(&format!("run {run} of {}: {} {usage}", options.runs, row.contender));
            row.add(usage, has_our_answer(row.contender)?);
        }
    }
    Ok(rows)
}

/// One run from reading the logs to the answer's last byte; how it ended.
fn measure_once(
    options: &Options,
    logs: &Logs,
    contender: Contender,
    limit: Duration,
) -> Result<Usage, Failure> {
    let answer = answer_file(contender)?;
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    let published = Published { folder: folder.path() };
    let mut command = contender.command(logs, options.threads, &answer, &published);
    let usage = measure::run(&mut command, limit)?;
    if matches!((contender, &usage), (Contender::Topshelf, Usage::Done { .. })) {
        succeed(&mut published.write_answer(&answer))?;
    }
    Ok(usage)
}

fn answer_file(contender: Contender) -> Result<PathBuf, Failure> {
    let folder = target().join("bench-answers");
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    Ok(folder.join(format!("{}.tsv", contender.file_stem())))
}

/// Whether the answer just written is ours to the byte; there must be one if the run was good.
fn has_our_answer(contender: Contender) -> Result<bool, Failure> {
    let read =
        |contender| -> Result<Vec<u8>, Failure> { Ok(fs::read(answer_file(contender)?).unwrap_or_default()) };
    let (ours, theirs) = (read(Contender::Topshelf)?, read(contender)?);
    if ours.is_empty() {
        return Err("topshelf gave no answer to compare with: see what it printed above".into());
    }
    Ok(ours == theirs)
}
