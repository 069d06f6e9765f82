//! The tables of `cargo xtask bench count`, for the terminal and for `docs/performance.md`.

use super::{
    contender::Contender,
    count::Options,
    floor::Floor,
    gigabytes,
    logs::Logs,
    machine, peers,
    runs::{Problem, Runs},
    seconds, thousands,
};
use crate::Failure;
use std::time::Duration;

/// What was measured.
pub(super) struct Report<'a> {
    options: &'a Options,
    tables: String,
    floors: String,
    problems: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self { options, tables: String::new(), floors: String::new(), problems: Vec::new() }
    }

    /// Adds the runs of all contenders on the same logs, ours first.
    pub(super) fn add_table(&mut self, logs: &Logs, runs: &[Runs]) {
        let our_wall = runs[0].median().map(|ours| ours.wall);
        let lines: String = runs.iter().map(|runs| line(runs, our_wall)).collect();
        self.tables += &format!(
            "{}\n\n| | wall s | CPU s | peak memory GB | wall ÷ topshelf | lowest of pairs | runs |\n\
             |---|---:|---:|---:|---:|---:|---:|\n{lines}\n",
            caption(logs)
        );
        for runs in runs {
            let (name, format) = (runs.contender, logs.format.ending());
            match &runs.problem {
                Some(Problem::Differs) => {
                    self.problems.push(format!("{name} gave another answer for {format}"))
                }
                Some(Problem::Stopped(usage)) if runs.contender == Contender::Topshelf => {
                    self.problems.push(format!("{name} {usage} on {format}"));
                }
                _ => {}
            }
        }
    }

    /// Adds how counting compares with its floor.
    pub(super) fn add_floor(&mut self, logs: &Logs, floor: &Floor) {
        if let Some((newlines_s, counting_s, ratio, lowest)) = floor.medians() {
            let (what, bytes) = (what(logs), gigabytes(logs.bytes));
            self.floors += &format!(
                "| {what} ({bytes:.2} GB) | {newlines_s:.2} | {counting_s:.2} | {ratio:.1} | {lowest:.1} |\n"
            );
        }
    }

    /// The tables with what one must know to make them again.
    pub(super) fn tables(&self) -> Result<String, Failure> {
        let peers: Vec<_> =
            peers::pinned(peers::COUNT)?.iter().map(|(name, version)| format!("{name} {version}")).collect();
        Ok(format!(
            "{}{}; {}.\n\nEach on {}; medians, and the ratio to the run of topshelf right before as the lowest of \
             all pairs. Same answer from all, to the byte, where a time stands; what takes more than {} s is run \
             once.\n\n```\n{}\n```\n",
            self.tables,
            machine::description(),
            peers.join(", "),
            counted(self.options.threads, "thread"),
            self.options.once_above_s,
            self.options.command_line(),
        ))
    }

    /// The table of floors.
    pub(super) fn floors(&self) -> String {
        format!(
            "| | newline count s | counting s | counting ÷ newline count | lowest of pairs |\n\
             |---|---:|---:|---:|---:|\n{}\n{}, {}, by the same command.\n",
            self.floors,
            counted(self.options.threads, "thread"),
            counted(self.options.runs, "run"),
        )
    }

    /// What makes the benchmark fail: a wrong answer, or none of ours.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// What the logs are, in a few words.
fn what(logs: &Logs) -> String {
    let format = logs.format.ending();
    match (logs.shape.extra_columns, logs.shape.days) {
        (0, 1) => format.to_owned(),
        (extra, 1) => format!("{format} with {extra} unused columns"),
        (0, days) => format!("{format} of {days} days"),
        (extra, days) => format!("{format} of {days} days with {extra} unused columns"),
    }
}

fn caption(logs: &Logs) -> String {
    let shape = &logs.shape;
    let days = if shape.days == 1 {
        "one day".to_owned()
    } else {
        format!("the last of {} days in one file", shape.days)
    };
    format!(
        "**{}**: {} ad rows and {} view rows ({:.2} GB{}), {} advertisers × {} products, {days}",
        what(logs),
        thousands(shape.rows),
        thousands(shape.view_rows),
        gigabytes(logs.bytes),
        if logs.bytes < machine::memory_bytes() / 2 {
            ", in the page cache"
        } else {
            ", more than stays in memory"
        },
        thousands(shape.advertisers.into()),
        thousands(shape.products.into()),
    )
}

fn line(runs: &Runs, our_wall: Option<Duration>) -> String {
    let name = runs.contender;
    let Some(used) = runs.median() else {
        let what = match &runs.problem {
            Some(Problem::Stopped(usage)) => usage.to_string(),
            Some(Problem::Differs) => "answer differs".to_owned(),
            None => "not run".to_owned(),
        };
        return format!("| {name} | {what} | | | | | |\n");
    };
    let (wall, cpu, memory) = (seconds(used.wall), seconds(used.cpu), gigabytes(used.memory_bytes));
    let ratio = our_wall.map_or(String::new(), |ours| format!("{:.1}", wall / seconds(ours)));
    let lowest = runs.lowest_ratio().map_or(String::new(), |lowest| format!("{lowest:.1}"));
    format!("| {name} | {wall:.2} | {cpu:.1} | {memory:.2} | {ratio} | {lowest} | {} |\n", runs.count())
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        contender::Peer,
        logs::{Format, Shape},
        measure::{Usage, Used},
    };
    use std::path::PathBuf;

    fn used(wall_s: u64, cpu_s: u64) -> Used {
        let seconds = Duration::from_secs;
        Used { wall: seconds(wall_s), cpu: seconds(cpu_s), memory_bytes: 500_000_000 }
    }

    #[test]
    fn a_row_tells_medians_and_the_ratio_to_ours() {
        let mut runs = Runs::new(Contender::Peer(Peer::DuckDb));
        for run in [used(40, 9), used(10, 7), used(20, 8)] {
            runs.add(Usage::Done(run), true);
            runs.pair(used(4, 4), run);
        }
        let our_wall = Some(Duration::from_secs(5));
        assert_eq!(line(&runs, our_wall), "| DuckDB | 20.00 | 8.0 | 0.50 | 4.0 | 2.5 | 3 |\n");
        assert_eq!(line(&runs, None), "| DuckDB | 20.00 | 8.0 | 0.50 |  | 2.5 | 3 |\n");
    }

    #[test]
    fn a_row_without_all_answers_tells_why() {
        let ended = |usage, is_right| {
            let mut runs = Runs::new(Contender::Peer(Peer::Pandas));
            runs.add(Usage::Done(used(1, 1)), true);
            runs.add(usage, is_right);
            line(&runs, None)
        };
        assert_eq!(ended(Usage::Done(used(1, 1)), false), "| pandas | answer differs | | | | | |\n");
        let given_up = Usage::GivenUp(Duration::from_secs(9));
        assert_eq!(ended(given_up, true), "| pandas | gave up after 9 s | | | | | |\n");
        assert_eq!(ended(Usage::Failed, true), "| pandas | failed | | | | | |\n");
    }

    #[test]
    fn logs_are_told_by_what_is_special_in_them() {
        let shape = Shape { rows: 1, view_rows: 1, advertisers: 1, products: 1, days: 1, extra_columns: 0 };
        let told = |days, extra_columns| {
            let shape = Shape { days, extra_columns, ..shape };
            what(&Logs { shape, format: Format::Csv, folder: PathBuf::new(), bytes: 0 })
        };
        assert_eq!([told(1, 0), told(30, 0)], ["csv", "csv of 30 days"]);
        assert_eq!(
            [told(1, 20), told(2, 3)],
            ["csv with 20 unused columns", "csv of 2 days with 3 unused columns"]
        );
    }
}
