//! What a job on the cluster did, in the ledger's words.

use super::progress::stage_name;
use crate::pipeline::{ClusterExecutor, ClusterFigures, ClusterStage, EngineFigures};
use cluster::{JobFigures, Overview};
use std::collections::BTreeMap;

/// What tasks said of themselves, all together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    pub(super) partial_rows: u64,
    pub(super) spilled_bytes: u64,
    pub(super) rows_kept: u64,
}

impl ClusterFigures {
    pub(super) fn new(figures: JobFigures, given: Given, tasks: usize, jobs: u32) -> Self {
        let JobFigures { job, took, rows, overview, .. } = figures;
        let Given { partial_rows, spilled_bytes, rows_kept } = given;
        let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let engine = overview.as_ref().map(EngineFigures::new);
        Self { job, tasks, elapsed_ms, rows, rows_kept, jobs, partial_rows, spilled_bytes, engine }
    }
}

impl EngineFigures {
    fn new(overview: &Overview) -> Self {
        let named = || (1..).map(stage_name).zip(&overview.stages);
        let stages = named().map(|(stage, told)| ClusterStage {
            stage,
            tasks: told.tasks,
            tasks_done: told.tasks_done,
            task_retries: told.attempts_failed,
            attempts: told.attempts,
            elapsed_ms: told.elapsed_ms,
            output_rows: told.rows,
            output_bytes: told.bytes,
            spilled_bytes: told.spilled_bytes,
        });
        let stages: Vec<_> = stages.collect();
        let mut executors: BTreeMap<&str, ClusterExecutor> = BTreeMap::new();
        for (stage, share) in
            named().flat_map(|(stage, told)| told.executors.iter().map(move |share| (stage, share)))
        {
            let executor = executors.entry(&share.executor).or_insert_with(|| ClusterExecutor {
                executor: share.executor.clone(),
                address: (!share.address.is_empty()).then(|| share.address.clone()),
                tasks: BTreeMap::new(),
            });
            *executor.tasks.entry(stage).or_default() += share.tasks;
        }
        // What the last stage writes is fetched by whoever asked.
        let shuffled = || stages.iter().rev().skip(1);
        Self {
            shuffled_rows: shuffled().map(|stage| stage.output_rows).sum(),
            shuffled_bytes: shuffled().map(|stage| stage.output_bytes).sum(),
            task_retries: stages.iter().map(|stage| u64::from(stage.task_retries)).sum(),
            executors: executors.into_values().collect(),
            stages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::{ExecutorShare, JobFigures, Overview, StageOverview};
    use serde_json::json;
    use std::time::Duration;

    fn share(executor: &str, address: &str, tasks: u32) -> ExecutorShare {
        ExecutorShare { executor: executor.into(), address: address.into(), tasks }
    }

    fn job(overview: Option<Overview>) -> ClusterFigures {
        let took = Duration::from_millis(7);
        let job = JobFigures { job: "j".into(), took, rows: 5, overview };
        ClusterFigures::new(job, Given { partial_rows: 8, spilled_bytes: 3, rows_kept: 2 }, 4, 1)
    }

    #[test]
    fn what_the_scheduler_told_is_told_by_stage_and_by_executor() {
        let count = StageOverview {
            tasks: 4,
            tasks_done: 4,
            attempts_failed: 1,
            attempts: 2,
            elapsed_ms: 20,
            rows: 12,
            bytes: 600,
            executors: vec![share("a", "h:1", 3), share("b", "", 1)],
            ..StageOverview::default()
        };
        let add = StageOverview {
            tasks: 2,
            tasks_done: 2,
            attempts: 1,
            elapsed_ms: 10,
            rows: 5,
            bytes: 200,
            spilled_bytes: 9,
            executors: vec![share("a", "h:1", 2)],
            ..StageOverview::default()
        };
        let told = job(Some(Overview { stages: vec![count, add], executors: 2 }));
        let expected = json!({
            "job": "j", "tasks": 4, "elapsed_ms": 7, "rows": 5, "rows_kept": 2, "jobs": 1,
            "partial_rows": 8, "spilled_bytes": 3,
            "shuffled_rows": 12, "shuffled_bytes": 600, "task_retries": 1,
            "stages": [
                { "stage": "count", "tasks": 4, "tasks_done": 4, "task_retries": 1, "attempts": 2, "elapsed_ms": 20,
                  "output_rows": 12, "output_bytes": 600, "spilled_bytes": 0 },
                { "stage": "add", "tasks": 2, "tasks_done": 2, "task_retries": 0, "attempts": 1, "elapsed_ms": 10,
                  "output_rows": 5, "output_bytes": 200, "spilled_bytes": 9 },
            ],
            "executors": [
                { "executor": "a", "address": "h:1", "tasks": { "count": 3, "add": 2 } },
                { "executor": "b", "address": null, "tasks": { "count": 1 } },
            ],
        });
        assert_eq!(serde_json::to_value(told).unwrap(), expected);
    }

    #[test]
    fn a_scheduler_that_told_nothing_leaves_no_figures_of_the_engine() {
        let told = serde_json::to_value(job(None)).unwrap();
        assert_eq!(told["partial_rows"], 8);
        assert!(told.get("stages").is_none() && told.get("shuffled_rows").is_none(), "{told}");
    }
}
