//! The table of the benchmark, for the terminal and for `docs/performance.md`.

use super::{
    Options,
    objects::Objects,
    server::{Conditions, Seen},
};
use crate::bench::{machine, measure::Used, median, seconds};
use std::{fmt, time::Duration};

/// One turn of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Without what the server used.
    pub(super) from_s3: Used,
    pub(super) downloaded: Duration,
    pub(super) from_disk: Used,
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
        let Self { from_s3, downloaded, from_disk, seen: Seen { requests, at_once } } = self;
        write!(
            f,
            "downloaded in {:.2} s; counted from S3: {from_s3}, {requests} requests, {at_once} at once; \
             counted from disk: {from_disk}",
            seconds(*downloaded)
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let middle = |time: fn(&Run) -> f64| median(self.runs.iter().map(time)).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
        let rate = |time: f64| (self.bytes as f64 / 1e6 / time).round();
        let downloaded = middle(|run| seconds(run.downloaded));
        let [from_s3, from_disk] =
            [middle(|run| seconds(run.from_s3.wall)), middle(|run| seconds(run.from_disk.wall))];
        let memory_mb = middle(|run| run.from_s3.memory_bytes as f64 / 1e6);
        let ratio = downloaded / from_s3;
        let seen = self.runs.last().map_or(Seen { requests: 0, at_once: 0 }, |run| run.seen);
        write!(
            f,
            "| {} | {} | {} | {} | {} | {:.0} % | {} | {} | {} | {memory_mb:.0} |",
            self.objects,
            self.conditions.latency.as_millis(),
            self.conditions
                .bytes_per_second
                .map_or_else(|| "–".to_owned(), |rate| format!("{:.0}", rate / 1e6)),
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
        "| objects | server's latency ms | its limit MB/s | plain download MB/s | counting from S3 MB/s | of the download | counting from disk MB/s | requests | at once | peak memory MB |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{lines}\nMedian of {} runs, {} threads. {}.\n\n```\n{}\n```\n",
        options.runs,
        options.threads,
        machine::description(),
        command_line(options)
    )
}

fn command_line(options: &Options) -> String {
    let joined = |numbers: Vec<String>| numbers.join(",");
    let rates = joined(options.rates_mb.iter().map(ToString::to_string).collect());
    let mut words = format!(
        "cargo xtask bench s3 --runs {} --threads {} --rates-mb {rates}",
        options.runs, options.threads
    );
    if let (Some(objects), Some(bytes)) = (options.objects, options.object_bytes) {
        words += &format!(" --objects {objects} --object-bytes {bytes}");
    }
    if !options.latency_ms.is_empty() {
        words += &format!(
            " --latency-ms {}",
            joined(options.latency_ms.iter().map(ToString::to_string).collect())
        );
    }
    words
}
