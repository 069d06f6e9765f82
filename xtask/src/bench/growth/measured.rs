//! What was measured, and the file that it is kept in: a JSON object a line.

use super::points::Point;
use crate::{
    Failure,
    bench::{measure::Used, seconds},
    repository::{program, stdout},
    say,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Duration,
};

/// A point with what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) rows: u64,
    /// Advertisers × products of the logs.
    pub(super) groups: u64,
    pub(super) threads: u32,
    /// Of the three logs.
    pub(super) bytes: u64,
    pub(super) outcome: Outcome,
}

/// What it took, or why that is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Medians.
    Took(Took),
    /// How the run ended instead.
    Failed(String),
}

/// Medians of a point's runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Took {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) memory_bytes: u64,
    /// The stage of counting alone.
    pub(super) count_s: f64,
    /// Products of active advertisers that had an event.
    pub(super) products: u64,
    pub(super) runs: usize,
}

impl Measured {
    /// A point that was run; `runs` tells of each what it took, and its stage of counting.
    pub(super) fn of_runs(point: &Point, bytes: u64, products: u64, runs: &[(Used, Duration)]) -> Self {
        let used: Vec<_> = runs.iter().map(|(used, _)| *used).collect();
        let median = Used::median(&used).expect("a point is run at least once");
        let count_s = crate::bench::median(runs.iter().map(|(_, count)| seconds(*count)));
        let took = Took {
            wall_s: seconds(median.wall),
            cpu_s: seconds(median.cpu),
            memory_bytes: median.memory_bytes,
            count_s: count_s.expect("a point is run at least once"),
            products,
            runs: runs.len(),
        };
        Self::new(point, bytes, Outcome::Took(took))
    }

    /// A point whose run did not end well.
    pub(super) fn failed(point: &Point, bytes: u64, how: String) -> Self {
        Self::new(point, bytes, Outcome::Failed(how))
    }

    fn new(point: &Point, bytes: u64, outcome: Outcome) -> Self {
        let Point { rows, groups, threads } = *point;
        Self { rows, groups, threads, bytes, outcome }
    }

    /// What it took, when it ended well.
    pub(super) fn took(&self) -> Option<&Took> {
        match &self.outcome {
            Outcome::Took(took) => Some(took),
            Outcome::Failed(_) => None,
        }
    }

    fn is_of(&self, point: &Point) -> bool {
        (self.rows, self.groups, self.threads) == (point.rows, point.groups, point.threads)
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Names the program's sources.
    sources: String,
    measured: Measured,
}

/// Everything that was measured of these sources.
pub(super) struct Results {
    file: File,
    sources: String,
    all: Vec<Measured>,
}

impl Results {
    /// What the file holds of the program as it is now; the file is made when it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Self::of_sources(path, sources()?)
    }

    fn of_sources(path: &Path, sources: String) -> Result<Self, Failure> {
        let failed = |error| Failure::from(format!("could not open {}: {error}", path.display()));
        let file = File::options().append(true).create(true).open(path).map_err(failed)?;
        let text = fs::read_to_string(path).map_err(failed)?;
        // A line that was cut off when a call was stopped is measured again.
        let kept = text.lines().filter_map(|line| serde_json::from_str::<Kept>(line).ok());
        let all = kept.filter(|kept| kept.sources == sources).map(|kept| kept.measured).collect();
        Ok(Self { file, sources, all })
    }

    /// What was measured at a point.
    pub(super) fn of(&self, point: &Point) -> Option<&Measured> {
        self.all.iter().find(|measured| measured.is_of(point))
    }

    /// Keeps what was measured at a point.
    pub(super) fn add(&mut self, measured: Measured) -> Result<(), Failure> {
        let kept = Kept { sources: self.sources.clone(), measured };
        let line = serde_json::to_string(&kept).expect("what was measured is plain data");
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| format!("could not keep what was measured: {error}"))?;
        self.all.push(kept.measured);
        Ok(())
    }

    /// What was measured up to the limits, in order.
    pub(super) fn up_to(&self, rows_max: u64, groups_max: u64) -> Vec<Measured> {
        let within = |measured: &&Measured| measured.rows <= rows_max && measured.groups <= groups_max;
        let mut measured: Vec<_> = self.all.iter().filter(within).cloned().collect();
        measured.sort_by_key(|measured| (measured.rows, measured.groups, measured.threads));
        measured
    }
}

/// Names what is committed of the program's sources.
fn sources() -> Result<String, Failure> {
    if !stdout(&mut program("git", &["status", "--porcelain", "--", "crates"]))?.is_empty() {
        say("crates has changes that are not committed: what is kept counts as measured of the last commit");
    }
    Ok(stdout(&mut program("git", &["rev-parse", "HEAD:crates"]))?.trim().to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A point that took as many seconds as given.
    pub(in super::super) fn took(rows: u64, groups: u64, threads: u32, wall_s: f64) -> Measured {
        let (wall, memory_bytes) = (Duration::from_secs_f64(wall_s), 100_000_000 + 40 * groups);
        let used = Used { wall, cpu: wall * threads, memory_bytes };
        let point = Point { rows, groups, threads };
        Measured::of_runs(&point, rows * 46, groups / 2, &[(used, wall / 2)])
    }

    #[test]
    fn what_is_kept_is_there_again_for_the_same_sources_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let open = |sources: &str| Results::of_sources(&path, sources.to_owned()).unwrap();
        let point = Point { rows: 10, groups: 5, threads: 2 };
        let failed = Measured::failed(&point, 460, "failed".to_owned());

        let mut results = open("old");
        assert!(results.of(&point).is_none());
        results.add(took(10, 5, 1, 0.25)).unwrap();
        results.add(failed.clone()).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"sources\":\"old\",\"mea").unwrap();

        assert_eq!(open("old").of(&point), Some(&failed));
        assert_eq!(open("old").up_to(10, 5), [took(10, 5, 1, 0.25), failed]);
        assert!(open("old").up_to(9, 5).is_empty());
        assert!(open("new").of(&point).is_none());
    }

    #[test]
    fn a_point_has_the_medians_of_its_runs() {
        let run = |wall_s: u64, count_s: u64| {
            let wall = Duration::from_secs(wall_s);
            (Used { wall, cpu: wall, memory_bytes: wall_s }, Duration::from_secs(count_s))
        };
        let point = Point { rows: 10, groups: 5, threads: 2 };
        let measured = Measured::of_runs(&point, 460, 4, &[run(3, 1), run(1, 3), run(2, 2)]);
        let took = measured.took().unwrap();
        assert_eq!((took.wall_s, took.count_s, took.memory_bytes, took.runs), (2.0, 2.0, 2, 3));
    }
}
