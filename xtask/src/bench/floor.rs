//! How far counting is from its floor: a bare newline count of the same bytes on the same threads.

use super::{
    contender::OurNight,
    logs::Logs,
    measure::{self, Usage},
    median, seconds,
};
use crate::{
    Failure,
    repository::{cargo, program, stdout, succeed, target},
    say,
};
use std::time::Duration;

/// The part of `docs/performance.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench count, the floor";

/// A run of counting may take so long.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Builds the program that counts newlines.
pub(super) fn build() -> Result<(), Failure> {
    say("building the count of newlines");
    succeed(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "topshelf-counting",
        "--example",
        "count_newlines",
    ]))
}

/// How long both took, run by run.
pub(super) struct Floor {
    /// (The newline count, our stage of counting.)
    pairs: Vec<(Duration, Duration)>,
}

impl Floor {
    /// The medians, each by itself: of the newline count, of counting, of the ratios, and the lowest ratio.
    pub(super) fn medians(&self) -> Option<(f64, f64, f64, f64)> {
        let ratios = || self.pairs.iter().map(|(floor, counting)| seconds(*counting) / seconds(*floor));
        Some((
            median(self.pairs.iter().map(|pair| seconds(pair.0)))?,
            median(self.pairs.iter().map(|pair| seconds(pair.1)))?,
            median(ratios())?,
            ratios().reduce(f64::min)?,
        ))
    }
}

/// Runs the newline count and a night in turn; of the night the stage of counting is taken.
pub(super) fn measure(logs: &Logs, runs: u32, threads: u32) -> Result<Floor, Failure> {
    say("measuring the count of newlines and the stage of counting");
    let mut pairs = Vec::new();
    for _ in 0..runs {
        pairs.push((count_newlines(logs, threads)?, count(logs, threads)?));
    }
    Ok(Floor { pairs })
}

fn count_newlines(logs: &Logs, threads: u32) -> Result<Duration, Failure> {
    let mut command = program(target().join("release/examples/count_newlines"), &[&threads.to_string()]);
    let answer: serde_json::Value = serde_json::from_str(&stdout(command.args(logs.event_files()))?)
        .map_err(|error| format!("the count of newlines prints no JSON: {error}"))?;
    let elapsed_us = answer["elapsed_us"].as_u64();
    elapsed_us.map(Duration::from_micros).ok_or_else(|| "the count of newlines tells no time".into())
}

fn count(logs: &Logs, threads: u32) -> Result<Duration, Failure> {
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    let night = OurNight { folder: folder.path() };
    match measure::run(&mut night.run(logs, threads)?, LIMIT)? {
        Usage::Done(_) => night.counting(),
        usage => Err(format!("topshelf {usage}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_neighbouring_runs() {
        let pair = |floor, counting| (Duration::from_secs(floor), Duration::from_secs(counting));
        let floor = Floor { pairs: vec![pair(1, 3), pair(2, 4), pair(4, 20)] };
        assert_eq!(floor.medians(), Some((2.0, 4.0, 3.0, 2.0)));
        assert_eq!(Floor { pairs: Vec::new() }.medians(), None);
    }
}
