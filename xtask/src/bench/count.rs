//! `cargo xtask bench count`: a whole night beside what one would write with another tool.
//!
//! All read the same files with the same number of threads, and every answer must be ours to the byte.
//! Ours runs before each run of another tool: what disturbs the machine for a while disturbs both.
//! `benches/README.md` says what the other tools are spared.

use super::{
    build_release,
    contender::{self, Contender, OurNight, Peer},
    floor,
    logs::{DAYS_MAX, Format, Logs, Shape},
    machine,
    measure::{self, Usage, Used},
    page, peers,
    report::Report,
    runs::Runs,
};
use crate::{Failure, repository::target, say};
use std::{fs, path::PathBuf, time::Duration};

/// The part of `docs/performance.md` that the tables are written into.
pub(super) const PART: &str = "cargo xtask bench count";

/// How large, how often, beside whom.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Lines of the ad log, of all days together
    #[arg(long, default_value_t = 40_000_000)]
    pub(super) rows: u64,
    /// Lines of the product-view log, of all days together
    #[arg(long, default_value_t = 20_000_000)]
    pub(super) view_rows: u64,
    /// Advertisers, four fifths of them active
    #[arg(long, default_value_t = 2_000)]
    pub(super) advertisers: u32,
    /// Products of each advertiser
    #[arg(long, default_value_t = 500)]
    pub(super) products: u32,
    /// Days in each file; the last of them is ranked
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    pub(super) days: u32,
    /// Columns that nobody needs
    #[arg(long, default_value_t = 0, value_name = "COLUMNS")]
    pub(super) wide: u32,
    /// How the logs are written; each is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "csv")]
    pub(super) formats: Vec<Format>,
    /// Every format, then CSV with 20 columns that nobody needs, then CSV of 30 days
    #[arg(long, conflicts_with_all = ["formats", "wide", "days"])]
    pub(super) suite: bool,
    /// Runs of each tool
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) runs: u32,
    /// Threads of each tool
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) threads: u32,
    /// The other tools; none with `--peers ""`
    #[arg(long, value_delimiter = ',', value_parser = contender::peer, default_value = "duckdb,polars,chdb,datafusion,pandas")]
    pub(super) peers: Vec<Option<Peer>>,
    /// Seconds after which a run is given up
    #[arg(long, default_value_t = 900)]
    pub(super) limit_s: u64,
    /// A tool that takes more seconds than this is run once
    #[arg(long, default_value_t = 60)]
    pub(super) once_above_s: u64,
    /// Write the tables into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// Logs of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    format: Format,
    days: u32,
    extra_columns: u32,
}

/// What `--suite` measures.
const SUITE: [Kind; 7] = [
    Kind { format: Format::Csv, days: 1, extra_columns: 0 },
    Kind { format: Format::CsvGzip, days: 1, extra_columns: 0 },
    Kind { format: Format::CsvZstd, days: 1, extra_columns: 0 },
    Kind { format: Format::Jsonl, days: 1, extra_columns: 0 },
    Kind { format: Format::Parquet, days: 1, extra_columns: 0 },
    Kind { format: Format::Csv, days: 1, extra_columns: 20 },
    Kind { format: Format::Csv, days: 30, extra_columns: 0 },
];

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        if self.suite {
            return SUITE.to_vec();
        }
        let Self { days, wide: extra_columns, .. } = *self;
        self.formats.iter().map(|format| Kind { format: *format, days, extra_columns }).collect()
    }

    fn shape(&self, Kind { days, extra_columns, .. }: Kind) -> Shape {
        let Self { rows, view_rows, advertisers, products, .. } = *self;
        // Each day has the same number of lines.
        let [rows, view_rows] = [rows, view_rows].map(|rows| rows - rows % u64::from(days));
        Shape { rows, view_rows, advertisers, products, days, extra_columns }
    }

    fn peers(&self) -> impl Iterator<Item = Contender> {
        self.peers.iter().copied().flatten().map(Contender::Peer)
    }

    /// The command that prints the same tables again.
    pub(super) fn command_line(&self) -> String {
        let Self { rows, view_rows, advertisers, products, days, wide, runs, threads, .. } = self;
        let formats = self.formats.iter().map(|format| format.ending()).collect::<Vec<_>>().join(",");
        let kinds = if self.suite {
            "--suite".to_owned()
        } else {
            format!("--formats {formats} --days {days} --wide {wide}")
        };
        let peers = self.peers().map(Contender::file_stem).collect::<Vec<_>>().join(",");
        format!(
            "cargo xtask bench count --rows {rows} --view-rows {view_rows} --advertisers {advertisers} \
             --products {products} {kinds} --runs {runs} --threads {threads} --peers \"{peers}\""
        )
    }
}

/// Builds, generates, installs, measures, compares and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    build_release()?;
    floor::build()?;
    peers::install(peers::COUNT)?;
    let mut report = Report::new(options);
    for kind in options.kinds() {
        let logs = Logs::find_or_make(options.shape(kind), kind.format)?;
        machine::warn_when_busy();
        logs.warm()?;
        let runs = Measuring { options, logs: &logs, right_answer: None }.in_turn()?;
        report.add_table(&logs, &runs);
        if kind.format.is_lines() && runs[0].problem.is_none() {
            report.add_floor(&logs, &floor::measure(&logs, options.runs, options.threads)?);
        }
    }
    println!("{}\n{}", report.tables()?, report.floors());
    if options.write {
        page::write(PART, &report.tables()?)?;
        page::write(floor::PART, &report.floors())?;
    }
    let problems = report.problems();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// One table being measured.
struct Measuring<'a> {
    options: &'a Options,
    logs: &'a Logs,
    /// The first answer that was given: ours, unless we failed.
    right_answer: Option<Vec<u8>>,
}

impl Measuring<'_> {
    /// Runs ours before each run of each other tool; ours are the first of the answer.
    fn in_turn(mut self) -> Result<Vec<Runs>, Failure> {
        let Options { runs: wanted, once_above_s, .. } = *self.options;
        let patience = Duration::from_secs(once_above_s);
        let mut ours = Runs::new(Contender::Topshelf);
        let mut theirs: Vec<_> = self.options.peers().map(Runs::new).collect();
        for _ in 0..wanted {
            for runs in theirs.iter_mut().filter(|runs| runs.goes_on(wanted, patience)) {
                let our_run = if ours.problem.is_none() { self.once(&mut ours)? } else { None };
                let their_run = self.once(runs)?;
                if let (Some(our_run), Some(their_run)) = (our_run, their_run) {
                    runs.pair(our_run, their_run);
                }
            }
        }
        while ours.goes_on(wanted, patience) {
            self.once(&mut ours)?;
        }
        Ok([ours].into_iter().chain(theirs).collect())
    }

    /// One run from reading the logs to the answer's last byte; what it took when all is well.
    fn once(&mut self, runs: &mut Runs) -> Result<Option<Used>, Failure> {
        let contender = runs.contender;
        let answer = answer_file(contender)?;
        let folder = tempfile::tempdir_in(target());
        let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
        let night = OurNight { folder: folder.path() };
        let mut command = contender.command(self.logs, self.options.threads, &answer, &night)?;
        let usage = measure::run(&mut command, Duration::from_secs(self.options.limit_s))?;
        if contender == Contender::Topshelf && matches!(usage, Usage::Done(_)) {
            night.write_answer(self.logs, &answer)?;
        }
        say(&format!("{} of {}: {usage}", contender, self.logs.format.ending()));
        Ok(runs.add(usage, self.is_right(fs::read(&answer).unwrap_or_default())))
    }

    /// Whether an answer is the one given first; an empty one never is.
    fn is_right(&mut self, answer: Vec<u8>) -> bool {
        !answer.is_empty() && *self.right_answer.get_or_insert_with(|| answer.clone()) == answer
    }
}

/// Where a contender's answer goes; there is none yet.
fn answer_file(contender: Contender) -> Result<PathBuf, Failure> {
    let folder = target().join("bench-answers");
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    let file = folder.join(format!("{}.tsv", contender.file_stem()));
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("could not remove {}: {error}", file.display()).into())
        }
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::try_parse_from(["count"].into_iter().chain(line.split_whitespace())).unwrap().options
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        for line in ["--suite --peers duckdb,pandas", "--formats jsonl,csv.gz --days 3 --wide 9 --rows 7"] {
            let given = options(line);
            let told = given.command_line();
            let again = options(&told.trim_start_matches("cargo xtask bench count").replace('"', ""));
            assert_eq!(again.kinds(), given.kinds());
            assert_eq!(again.command_line(), told);
        }
    }

    #[test]
    fn a_suite_takes_no_other_kinds() {
        assert!(Line::try_parse_from(["count", "--suite", "--wide", "3"]).is_err());
        assert_eq!(options("--suite").kinds().len(), 7);
    }

    #[test]
    fn the_first_answer_is_right_and_an_empty_one_is_not() {
        let options = options("--peers duckdb");
        let shape = options.shape(SUITE[0]);
        let logs = Logs { shape, format: Format::Csv, folder: PathBuf::new(), bytes: 0 };
        let mut measuring = Measuring { options: &options, logs: &logs, right_answer: None };
        let mut answers = Vec::new();
        for answer in ["", "ours", "theirs", "ours"] {
            answers.push(measuring.is_right(answer.into()));
        }
        assert_eq!(answers, [false, true, false, true]);
    }
}
