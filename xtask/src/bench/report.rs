//! The table of a benchmark, for the terminal and for `docs/performance.md`.

use super::{
    Options,
    contender::Contender,
    logs::Logs,
    measure::{Usage, gigabytes},
};
use crate::{
    Failure,
    repository::{root, stdout},
    say,
};
use std::{fs, path::Path, process::Command, thread, time::Duration};

/// The page that the table is written into, between two markers.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- cargo xtask bench count: begin -->";
const END: &str = "<!-- cargo xtask bench count: end -->";

/// The runs of one contender.
pub(super) struct Row {
    pub(super) contender: Contender,
    pub(super) outcome: Outcome,
}

/// What the runs came to.
pub(super) enum Outcome {
    /// Every run so far ended well with our answer.
    Same(Vec<Usage>),
    /// The answer is not ours.
    Differs,
    /// The run that was killed or failed; there is none after it.
    Stopped(Usage),
}

impl Row {
    pub(super) fn new(contender: Contender) -> Self {
        Self { contender, outcome: Outcome::Same(Vec::new()) }
    }

    /// Whether another run makes sense.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.outcome, Outcome::Same(_))
    }

    /// Adds a run and whether its answer is ours.
    pub(super) fn add(&mut self, usage: Usage, is_same: bool) {
        match (&mut self.outcome, usage) {
            (Outcome::Same(_), Usage::Done { .. }) if !is_same => self.outcome = Outcome::Differs,
            (Outcome::Same(runs), Usage::Done { .. }) => runs.push(usage),
            (_, usage) => self.outcome = Outcome::Stopped(usage),
        }
    }

    /// The medians of wall time, CPU time and memory, each by itself.
    fn medians(&self) -> Option<(Duration, Duration, u64)> {
        let Outcome::Same(runs) = &self.outcome else { return None };
        let done = runs.iter().filter_map(|run| match run {
            Usage::Done { wall, cpu, memory_bytes } => Some((*wall, *cpu, *memory_bytes)),
            _ => None,
        });
        let done: Vec<_> = done.collect();
        Some((
            median(done.iter().map(|run| run.0))?,
            median(done.iter().map(|run| run.1))?,
            median(done.iter().map(|run| run.2))?,
        ))
    }
}

/// The middle value; of an even number the higher of the two in the middle.
fn median<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}

/// The table of one format.
pub(super) fn table(options: &Options, logs: &Logs, rows: &[Row]) -> String {
    let ours = rows.first().and_then(Row::medians);
    let lines: String = rows.iter().map(|row| line(row, ours.map(|(wall, ..)| wall))).collect();
    format!(
        "{} ad rows and {} view rows of {} ({:.1} GB, warm), {} advertisers × {} products, one day. \
         {} each, median of {}. Same answer from all, to the byte, where a time stands.\n\n\
         | | wall s | CPU s | peak memory GB | wall ÷ topshelf |\n|---|---:|---:|---:|---:|\n{lines}\n",
        thousands(options.rows),
        thousands(options.view_rows),
        logs.format.ending(),
        gigabytes(logs.bytes),
        thousands(options.advertisers.into()),
        thousands(options.products.into()),
        counted(options.threads, "thread"),
        counted(options.runs, "run"),
    )
}

/// The tables with what one must know to make them again.
pub(super) fn markdown(options: &Options, tables: &str) -> String {
    format!("{tables}{}.\n\n```\n{}\n```\n", machine(), command_line(options))
}

fn line(row: &Row, our_wall: Option<Duration>) -> String {
    let name = row.contender;
    let Some((wall, cpu, memory_bytes)) = row.medians() else {
        let what = match &row.outcome {
            Outcome::Stopped(usage) => usage.to_string(),
            _ => "answer differs".to_owned(),
        };
        return format!("| {name} | {what} | | | |\n");
    };
    let ratio = our_wall.map_or(1.0, |ours| wall.as_secs_f64() / ours.as_secs_f64());
    let (wall, cpu, memory) = (wall.as_secs_f64(), cpu.as_secs_f64(), gigabytes(memory_bytes));
    format!("| {name} | {wall:.2} | {cpu:.1} | {memory:.2} | {ratio:.1} |\n")
}

fn command_line(options: &Options) -> String {
    let Options { rows, view_rows, advertisers, products, runs, threads, .. } = options;
    let peers = options.peers.iter().copied().flatten().map(|peer| Contender::Peer(peer).file_stem());
    let peers = peers.collect::<Vec<_>>().join(",");
    let formats = options.formats.iter().map(|format| format.ending()).collect::<Vec<_>>().join(",");
    format!(
        "cargo xtask bench count --rows {rows} --view-rows {view_rows} --advertisers {advertisers} \
         --products {products} --runs {runs} --threads {threads} --formats {formats} --peers \"{peers}\""
    )
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// What it ran on and with.
fn machine() -> String {
    let about = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory_kib = about("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    let requirements = fs::read_to_string(root().join("benches/peers/requirements.txt")).unwrap_or_default();
    let peers: Vec<_> = requirements.lines().filter_map(|line| line.split_once("==")).collect();
    let peers: Vec<_> = peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "{cores} cores of {}, {:.0} GB of memory, Linux {}; {}; {}",
        about("/proc/cpuinfo", "model name"),
        gigabytes(memory_kib * 1024),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        stdout(Command::new("rustc").arg("--version")).unwrap_or_default().trim(),
        peers.join(", "),
    )
}

/// Wall times on a busy machine are not worth writing down.
pub(super) fn warn_when_busy() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    if load > 0.5 {
        say(&format!("the machine is busy (load {load}): compare CPU seconds rather than wall seconds"));
    }
}

/// Replaces what stands between the markers of the page.
pub(super) fn write_into_docs(report: &str) -> Result<(), Failure> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("could not read {PAGE}: {error}"))?;
    let page = replaced(&page, report).ok_or_else(|| {
        format!("{PAGE} has no lines `{BEGIN}` and `{END}`: add them where the table belongs")
    })?;
    fs::write(&path, page).map_err(|error| format!("could not write {PAGE}: {error}"))?;
    say(&format!("wrote the table into {}", Path::new(PAGE).display()));
    Ok(())
}

fn replaced(page: &str, report: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{report}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contender::Peer;

    fn done(wall_s: u64, cpu_s: u64) -> Usage {
        let seconds = Duration::from_secs;
        Usage::Done { wall: seconds(wall_s), cpu: seconds(cpu_s), memory_bytes: 500_000_000 }
    }

    #[test]
    fn a_row_tells_medians_and_the_ratio_to_ours() {
        let mut row = Row::new(Contender::Peer(Peer::DuckDb));
        for usage in [done(40, 9), done(10, 7), done(20, 8)] {
            row.add(usage, true);
        }
        assert_eq!(line(&row, Some(Duration::from_secs(5))), "| DuckDB | 20.00 | 8.0 | 0.50 | 4.0 |\n");
    }

    #[test]
    fn a_row_without_all_answers_tells_why_and_runs_no_more() {
        let ended = |usage, is_same| {
            let mut row = Row::new(Contender::Peer(Peer::Pandas));
            row.add(done(1, 1), true);
            row.add(usage, is_same);
            assert!(!row.is_running());
            line(&row, None)
        };
        assert_eq!(ended(done(1, 1), false), "| pandas | answer differs | | | |\n");
        let given_up = Usage::GivenUp(Duration::from_secs(9));
        assert_eq!(ended(given_up, false), "| pandas | gave up after 9 s | | | |\n");
        assert_eq!(ended(Usage::Failed, true), "| pandas | failed | | | |\n");
    }

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page = format!("# Before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), format!("# Before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced("# No markers\n", "new\n"), None);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([thousands(7), thousands(1_000), thousands(40_000_000)], ["7", "1,000", "40,000,000"]);
    }
}
