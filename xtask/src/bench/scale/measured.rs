//! What was measured, and where: kept beside what is built, so that tables can be made again without measuring.

use super::{model::Amounts, pairs::Population};
use crate::{
    Failure,
    bench::{gigabytes, median},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where is measured: logs, the size of tasks, and how many executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) rows: u64,
    pub(super) view_rows: u64,
    pub(super) advertisers: u32,
    pub(super) products: u32,
    pub(super) task_mib: u64,
    /// `cluster.adders`.
    pub(super) adders: u64,
    pub(super) executors: u32,
}

impl Point {
    fn population(&self) -> Population {
        Population { advertisers: self.advertisers.into(), products: self.products.into() }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, view_rows, advertisers, products, task_mib, adders, executors } = self;
        write!(
            f,
            "{} rows of {advertisers} × {products}, tasks of {task_mib} MiB, {adders} that add up, {executors} executors",
            rows + view_rows
        )
    }
}

/// What the processes of a role took; the largest resident set of any of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) cpu_s: f64,
    pub(super) memory_bytes: u64,
}

/// What one run took, or the medians of several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Took {
    pub(super) wall_s: f64,
    pub(super) executors: Role,
    pub(super) scheduler: Role,
    /// Whoever runs the night.
    pub(super) night: Role,
    /// Written by tasks for other tasks, and for the night.
    pub(super) shuffled_bytes: u64,
    pub(super) returned_bytes: u64,
    /// Sums and reports that came back, and sums that executors wrote to the lake.
    pub(super) rows: u64,
    pub(super) kept: u64,
    pub(super) tasks: u64,
}

impl Took {
    pub(super) fn median(runs: &[Self]) -> Option<Self> {
        let role = |of: fn(&Self) -> Role| {
            Some(Role {
                cpu_s: median(runs.iter().map(|run| of(run).cpu_s))?,
                memory_bytes: median(runs.iter().map(|run| of(run).memory_bytes))?,
            })
        };
        Some(Self {
            wall_s: median(runs.iter().map(|run| run.wall_s))?,
            executors: role(|run| run.executors)?,
            scheduler: role(|run| run.scheduler)?,
            night: role(|run| run.night)?,
            shuffled_bytes: median(runs.iter().map(|run| run.shuffled_bytes))?,
            returned_bytes: median(runs.iter().map(|run| run.returned_bytes))?,
            rows: median(runs.iter().map(|run| run.rows))?,
            kept: median(runs.iter().map(|run| run.kept))?,
            tasks: median(runs.iter().map(|run| run.tasks))?,
        })
    }
}

/// A point with the medians of its runs, and what one machine takes for the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) point: Point,
    pub(super) bytes: u64,
    /// Pairs of active advertisers and products that were counted.
    pub(super) pairs: u64,
    /// Partial counts: the pairs that each task met, of all tasks together.
    pub(super) partial: u64,
    pub(super) runs: u32,
    pub(super) took: Took,
    pub(super) one_machine: OneMachine,
}

/// The same without a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct OneMachine {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) memory_bytes: u64,
}

/// CPU of a cluster without work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Idle {
    pub(super) executors: u32,
    pub(super) wall_s: f64,
    /// Of all of them together.
    pub(super) executors_s: f64,
    pub(super) scheduler_s: f64,
}

impl Idle {
    pub(super) fn amounts(&self) -> Amounts {
        Amounts { waiting: self.wall_s * f64::from(self.executors), ..Amounts::default() }
    }
}

/// Bytes of a line, as `topshelf generate` writes them.
const AD_LINE_BYTES: f64 = 50.0;
const VIEW_LINE_BYTES: f64 = 39.0;

/// Tasks that add up, as `cluster.adders = 0` has them.
const ADDERS_MAX: u64 = 32;

impl Measured {
    pub(super) fn of_runs(
        point: Point,
        (bytes, pairs, partial): (u64, u64, u64),
        runs: &[Took],
        one_machine: OneMachine,
    ) -> Result<Self, Failure> {
        let took = Took::median(runs).ok_or("nothing was measured")?;
        let runs = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        Ok(Self { point, bytes, pairs, partial, runs, took, one_machine })
    }

    pub(super) fn adders(&self) -> u64 {
        match self.point.adders {
            0 => self.took.tasks.clamp(1, ADDERS_MAX),
            adders => adders,
        }
    }

    /// How many partial counts there are by how the logs are made. A task reads one log or the other, each log's have
    /// the same share of it.
    #[expect(clippy::cast_precision_loss, reason = "three digits of it matter")]
    pub(super) fn reckoned_partial(&self) -> f64 {
        let Point { rows, view_rows, .. } = self.point;
        let (tasks, population) = (self.took.tasks as f64, self.point.population());
        if self.took.tasks < 2 {
            return population.among((rows + view_rows) as f64);
        }
        let (ad_bytes, view_bytes) = (rows as f64 * AD_LINE_BYTES, view_rows as f64 * VIEW_LINE_BYTES);
        let of_ads = (tasks * ad_bytes / (ad_bytes + view_bytes)).round().clamp(1.0, tasks - 1.0);
        let met = |rows: u64, tasks: f64| tasks * population.among(rows as f64 / tasks);
        met(rows, of_ads) + met(view_rows, tasks - of_ads)
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits of it matter")]
    pub(super) fn amounts(&self) -> Amounts {
        Amounts {
            jobs: 1.0,
            gigabytes: gigabytes(self.bytes),
            tasks: self.took.tasks as f64,
            adders: self.adders() as f64,
            partial: self.partial as f64 / 1e6,
            kept: self.took.kept as f64 / 1e6,
            back: self.took.rows as f64 / 1e6,
            waiting: self.took.wall_s * f64::from(self.point.executors),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits of it matter")]
    pub(super) fn shuffled_mb(&self) -> f64 {
        self.took.shuffled_bytes as f64 / 1e6
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::scale::model::Model;

    /// A point that costs what a model says; of its partial counts are as many as there are.
    pub(in super::super) fn measured(amounts: Amounts, model: &Model) -> Measured {
        let point = Point {
            rows: (amounts.gigabytes * 14e6) as u64,
            view_rows: (amounts.gigabytes * 7e6) as u64,
            advertisers: 1_000,
            products: ((amounts.kept + amounts.back) * 1_250.0) as u32,
            task_mib: 64,
            adders: 0,
            executors: 2,
        };
        let role = |cpu_s| Role { cpu_s, memory_bytes: 1 << 30 };
        let took = Took {
            wall_s: amounts.waiting / f64::from(point.executors),
            executors: role(0.0),
            scheduler: role(0.0),
            night: role(0.0),
            shuffled_bytes: 0,
            returned_bytes: 0,
            rows: (amounts.back * 1e6) as u64,
            kept: (amounts.kept * 1e6) as u64,
            tasks: amounts.tasks as u64,
        };
        let one_machine = OneMachine { wall_s: 1.0, cpu_s: 2.0, memory_bytes: 1 << 28 };
        let bytes = (amounts.gigabytes * 1e9) as u64;
        let mut measured = Measured {
            point,
            bytes,
            pairs: ((amounts.kept + amounts.back) * 1e6) as u64,
            partial: 0,
            runs: 3,
            took,
            one_machine,
        };
        measured.partial = measured.reckoned_partial() as u64;
        let costs = model.costs(measured.amounts());
        measured.took.executors = role(costs.executors_s);
        measured.took.scheduler = role(costs.scheduler_s);
        measured.took.night = role(costs.night_s);
        measured.took.shuffled_bytes = (costs.shuffled_gb * 1e9) as u64;
        measured
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let run = |wall_s: f64, cpu_s: f64, bytes: u64| {
            let role = Role { cpu_s, memory_bytes: bytes };
            Took {
                wall_s,
                executors: role,
                scheduler: role,
                night: role,
                shuffled_bytes: bytes,
                returned_bytes: 1,
                rows: 2,
                kept: 1,
                tasks: 3,
            }
        };
        let median = Took::median(&[run(3.0, 1.0, 20), run(1.0, 3.0, 30), run(2.0, 2.0, 10)]).unwrap();
        assert_eq!(median, run(2.0, 2.0, 20));
        assert_eq!(Took::median(&[]), None);
    }

    #[test]
    fn more_tasks_meet_more_pairs() {
        let model = Model {
            executors: vec![1.0; 6],
            scheduler: vec![1.0; 4],
            night: vec![1.0; 3],
            shuffle: vec![1.0; 2],
        };
        let partial = |tasks| {
            let amounts = Amounts {
                jobs: 1.0,
                gigabytes: 1.0,
                tasks,
                adders: 1.0,
                back: 0.08,
                waiting: 2.0,
                ..Amounts::default()
            };
            measured(amounts, &model).reckoned_partial()
        };
        // Each of two tasks meets all 80,000 pairs, as the lines are many; so do many tasks less often than their number says.
        assert!((partial(2.0) / 160_000.0 - 1.0).abs() < 0.01, "{}", partial(2.0));
        assert!((10.0 * 80_000.0..200.0 * 80_000.0).contains(&partial(200.0)), "{}", partial(200.0));
    }
}
