//! What a night on a cluster costs, as a formula: fitted to what was measured, and asked for what was not.
//!
//! With `GB` of input, `T` tasks that count, `A` that add up, `R` million partial counts (of each task, the pairs that it
//! met), `K` million sums that executors keep in the lake and `B` million that come back:
//!
//! ```text
//! CPU of the executors  = per_gb × GB + per_million_partial × R + per_task × T + per_fetch × T × A + per_million_kept × K + per_waiting × W
//! CPU of the scheduler  = per_job + per_task × T + per_task_squared × T² + per_waiting × W
//! CPU of the night      = per_job + per_million_back × B + per_task × T
//! bytes shuffled        = per_partial × R + per_file × T × A
//! ```
//!
//! `W` are executors × seconds: each asks the scheduler for tasks all the time. What that costs is measured of a cluster
//! without work, too, as it cannot be told from the work of a short job.

use super::{
    fit::{Sample, cost, fit, residual},
    measured::{Idle, Measured},
};
use serde::{Deserialize, Serialize};

/// What a night is made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Amounts {
    /// One; none of a cluster without work.
    pub(super) jobs: f64,
    pub(super) gigabytes: f64,
    pub(super) tasks: f64,
    pub(super) adders: f64,
    /// In millions.
    pub(super) partial: f64,
    pub(super) kept: f64,
    pub(super) back: f64,
    /// Seconds, of all executors together.
    pub(super) waiting: f64,
}

impl Amounts {
    fn of_executors(self) -> Vec<f64> {
        vec![self.gigabytes, self.partial, self.tasks, self.tasks * self.adders, self.kept, self.waiting]
    }

    fn of_scheduler(self) -> Vec<f64> {
        vec![self.jobs, self.tasks, self.tasks.powi(2), self.waiting]
    }

    fn of_night(self) -> Vec<f64> {
        vec![self.jobs, self.back, self.tasks]
    }

    fn of_shuffle(self) -> Vec<f64> {
        vec![self.partial, self.tasks * self.adders]
    }
}

/// The coefficients; seconds of CPU, and bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Model {
    pub(super) executors: Vec<f64>,
    pub(super) scheduler: Vec<f64>,
    pub(super) night: Vec<f64>,
    /// Megabytes.
    pub(super) shuffle: Vec<f64>,
}

/// How far the model is off at a point, as shares of what was measured there; none where that was nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Residuals {
    pub(super) executors: Option<f64>,
    pub(super) scheduler: Option<f64>,
    pub(super) night: Option<f64>,
    pub(super) shuffle: Option<f64>,
}

/// What a night takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Costs {
    pub(super) executors_s: f64,
    pub(super) scheduler_s: f64,
    pub(super) night_s: f64,
    pub(super) shuffled_gb: f64,
}

impl Model {
    pub(super) fn of(measured: &[Measured], idle: Option<&Idle>) -> Self {
        let fitted = |amounts: fn(Amounts) -> Vec<f64>, cost: fn(&Measured) -> f64, of_idle: Option<f64>| {
            let sample =
                |measured: &Measured| Sample { amounts: amounts(measured.amounts()), cost: cost(measured) };
            let idle =
                idle.zip(of_idle).map(|(idle, cost)| Sample { amounts: amounts(idle.amounts()), cost });
            // Nothing is shuffled by a single task.
            let samples = measured.iter().map(sample).chain(idle).filter(|sample| sample.cost > 0.0);
            fit(&samples.collect::<Vec<_>>())
        };
        let (executors_s, scheduler_s) =
            (idle.map(|idle| idle.executors_s), idle.map(|idle| idle.scheduler_s));
        Self {
            executors: fitted(Amounts::of_executors, |measured| measured.took.executors.cpu_s, executors_s),
            scheduler: fitted(Amounts::of_scheduler, |measured| measured.took.scheduler.cpu_s, scheduler_s),
            night: fitted(Amounts::of_night, |measured| measured.took.night.cpu_s, None),
            shuffle: fitted(Amounts::of_shuffle, Measured::shuffled_mb, None),
        }
    }

    pub(super) fn costs(&self, amounts: Amounts) -> Costs {
        Costs {
            executors_s: cost(&amounts.of_executors(), &self.executors),
            scheduler_s: cost(&amounts.of_scheduler(), &self.scheduler),
            night_s: cost(&amounts.of_night(), &self.night),
            shuffled_gb: cost(&amounts.of_shuffle(), &self.shuffle) / 1e3,
        }
    }

    pub(super) fn residuals(&self, measured: &Measured) -> Residuals {
        let amounts = measured.amounts();
        let of = |amounts, cost: f64, each: &[f64]| {
            (cost > 0.0).then(|| residual(&Sample { amounts, cost }, each))
        };
        Residuals {
            executors: of(amounts.of_executors(), measured.took.executors.cpu_s, &self.executors),
            scheduler: of(amounts.of_scheduler(), measured.took.scheduler.cpu_s, &self.scheduler),
            night: of(amounts.of_night(), measured.took.night.cpu_s, &self.night),
            shuffle: of(amounts.of_shuffle(), measured.shuffled_mb(), &self.shuffle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scale::measured::tests::measured;

    #[test]
    fn a_model_tells_what_was_measured_and_what_was_not() {
        let model = Model {
            executors: vec![1.0, 0.5, 0.01, 1e-4, 0.3, 1e-3],
            scheduler: vec![0.1, 2e-3, 1e-6, 5e-3],
            night: vec![0.2, 0.6, 1e-4],
            shuffle: vec![20.0, 3e-4],
        };
        let amounts = [
            (2.0, 30.0, 0.0, 0.8, 10.0),
            (2.0, 30.0, 0.0, 0.8, 90.0),
            (2.0, 29.0, 0.0, 0.1, 8.0),
            (0.5, 20.0, 0.0, 4.0, 9.0),
            (0.5, 20.0, 2.0, 2.0, 7.0),
            (2.0, 900.0, 0.0, 0.1, 30.0),
            (2.0, 1_900.0, 0.0, 0.1, 40.0),
        ];
        // How many partial counts there are, and how many add up, follows from these.
        let amounts = amounts.map(|(gigabytes, tasks, kept, back, waiting)| Amounts {
            jobs: 1.0,
            gigabytes,
            tasks,
            adders: 0.0,
            partial: 0.0,
            kept,
            back,
            waiting,
        });
        let points = amounts.map(|amounts| measured(amounts, &model));
        let fitted = Model::of(&points, None);
        let much = Amounts {
            jobs: 1.0,
            gigabytes: 1e3,
            tasks: 4e3,
            adders: 1e3,
            partial: 1e4,
            kept: 60.0,
            back: 40.0,
            waiting: 1e5,
        };
        let (wanted, found) = (model.costs(much), fitted.costs(much));
        for (wanted, found) in [
            (wanted.executors_s, found.executors_s),
            (wanted.scheduler_s, found.scheduler_s),
            (wanted.night_s, found.night_s),
            (wanted.shuffled_gb, found.shuffled_gb),
        ] {
            assert!((found / wanted - 1.0).abs() < 0.01, "{found} instead of {wanted}");
        }
        let residuals = fitted.residuals(&points[0]);
        let is_near = |residual: Option<f64>| residual.is_some_and(|residual| residual.abs() < 0.01);
        assert!(is_near(residuals.executors) && is_near(residuals.shuffle), "{residuals:?}");
    }

    #[test]
    fn what_waiting_costs_is_what_it_costs_a_cluster_without_work() {
        let model = Model {
            executors: vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.3],
            scheduler: vec![0.1, 0.0, 0.0, 0.02],
            night: vec![0.2, 0.0, 0.0],
            shuffle: vec![20.0, 0.0],
        };
        let of = |gigabytes| Amounts {
            jobs: 1.0,
            gigabytes,
            tasks: 9.0,
            back: 0.1,
            waiting: 8.0,
            ..Amounts::default()
        };
        let points = [1.0, 2.0, 4.0].map(|gigabytes| measured(of(gigabytes), &model));
        let idle = Idle { executors: 2, wall_s: 30.0, executors_s: 0.42, scheduler_s: 0.3 };
        let fitted = Model::of(&points, Some(&idle));
        assert!((fitted.executors[5] / 0.007 - 1.0).abs() < 0.02, "{fitted:?}");
        assert!((fitted.scheduler[3] / 0.005 - 1.0).abs() < 0.02, "{fitted:?}");
    }
}
