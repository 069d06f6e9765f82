//! The table of the benchmark, for the terminal and for `docs/performance.md`.

use super::{
    Options,
    objects::Objects,
    server::{Conditions, Seen},
};
use crate::{Failure, bench::report, repository::root, say};
use std::{fmt, fs, time::Duration};

/// The page that the table is written into, between two markers.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- cargo xtask bench s3: begin -->";
const END: &str = "<!-- cargo xtask bench s3: end -->";

/// One turn of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) from_s3: Duration,
    /// The CPU time of all its threads, without the server's.
    pub(super) from_s3_cpu: Duration,
    pub(super) downloaded: Duration,
    pub(super) from_disk: Duration,
    pub(super) from_disk_cpu: Duration,
    /// What counting asked of the server.
    pub(super) seen: Seen,
}

/// The same objects under the same conditions.
pub(super) struct Row {
    pub(super) objects: Objects,
    pub(super) conditions: Conditions,
    /// Of all objects.
    pub(super) bytes: u64,
    pub(super) runs: Vec<Run>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = [self.downloaded, self.from_s3, self.from_s3_cpu, self.from_disk, self.from_disk_cpu];
        let [downloaded, from_s3, from_s3_cpu, from_disk, from_disk_cpu] = times.map(|time| time.as_secs_f64());
        let Seen { requests, at_once } = self.seen;
        write!(
            f,
            "downloaded in {downloaded:.2} s, counted from S3 in {from_s3:.2} s ({from_s3_cpu:.2} s of CPU, \
             {requests} requests, {at_once} at once), from disk in {from_disk:.2} s ({from_disk_cpu:.2} s of CPU)"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |time: fn(&Run) -> Duration| report::median(self.runs.iter().map(time)).unwrap_or_default();
        let rate = |time: Duration| (self.bytes as f64 / 1e6 / time.as_secs_f64()).round();
        let [downloaded, from_s3, from_disk] =
            [median(|run| run.downloaded), median(|run| run.from_s3), median(|run| run.from_disk)];
        let ratio = downloaded.as_secs_f64() / from_s3.as_secs_f64();
        let seen = self.runs.last().map_or(Seen { requests: 0, at_once: 0 }, |run| run.seen);
        write!(
            f,
            "| {} | {} | {} | {} | {} | {:.0} % | {} | {} | {} |",
            self.objects,
            self.conditions.latency.as_millis(),
            self.conditions.bytes_per_second.map_or_else(|| "–".to_owned(), |rate| format!("{:.0}", rate / 1e6)),
            rate(downloaded),
            rate(from_s3),
            100.0 * ratio,
            rate(from_disk),
            seen.requests,
            seen.at_once,
        )
    }
}

/// The table with what one must know to make it again.
pub(super) fn markdown(options: &Options, rows: &[Row]) -> String {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    format!(
        "| objects | server's latency ms | its limit MB/s | plain download MB/s | counting from S3 MB/s | of the download | counting from disk MB/s | requests | at once |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}\nMedian of {} runs, {} threads. {}.\n\n```\n{}\n```\n",
        options.runs,
        options.threads,
        report::machine(),
        command_line(options)
    )
}

fn command_line(options: &Options) -> String {
    let joined = |numbers: Vec<String>| numbers.join(",");
    let rates = joined(options.rates_mb.iter().map(ToString::to_string).collect());
    let mut words = format!("cargo xtask bench s3 --runs {} --threads {} --rates-mb {rates}", options.runs, options.threads);
    if let (Some(objects), Some(bytes)) = (options.objects, options.object_bytes) {
        words += &format!(" --objects {objects} --object-bytes {bytes}");
    }
    if !options.latency_ms.is_empty() {
        words += &format!(" --latency-ms {}", joined(options.latency_ms.iter().map(ToString::to_string).collect()));
    }
    words
}

/// Replaces what stands between the markers of the page.
pub(super) fn write_into_docs(report: &str) -> Result<(), Failure> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("could not read {PAGE}: {error}"))?;
    let replaced = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = replaced
        .ok_or_else(|| format!("{PAGE} has no lines `{BEGIN}` and `{END}`: add them where the table belongs"))?;
    fs::write(&path, format!("{before}{BEGIN}\n{report}{END}{after}"))
        .map_err(|error| format!("could not write {PAGE}: {error}"))?;
    say(&format!("wrote the table into {PAGE}"));
    Ok(())
}
