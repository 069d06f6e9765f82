//! What the ledger keeps of a job on the cluster.

use serde::Serialize;
use std::collections::BTreeMap;

/// What the cluster did for a night.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterFigures {
    /// The engine's name of the job.
    pub job: String,
    /// Tasks that counted.
    pub tasks: usize,
    /// How long it took, in milliseconds, until the last sum had come, or it had failed.
    pub elapsed_ms: u64,
    /// Rows that came back: sums that were not kept, and a report of each task and of each range.
    pub rows: u64,
    /// Sums that executors have written to the lake.
    pub rows_kept: u64,
    /// How many jobs were tried; this is the last of them.
    pub jobs: u32,
    /// Partial counts that tasks gave, before any were added up.
    pub partial_rows: u64,
    /// Bytes that executors put on disk while they counted, as there was no memory for them.
    pub spilled_bytes: u64,
    /// What the scheduler told; nothing when it did not answer in the end.
    #[serde(flatten)]
    pub engine: Option<EngineFigures>,
}

/// What the engine knows of a job.
#[derive(Debug, Clone, Serialize)]
pub struct EngineFigures {
    /// Rows that executors wrote for each other: partial counts, a report of each task, and its mark in each range.
    pub shuffled_rows: u64,
    /// Bytes of them, as they were written.
    pub shuffled_bytes: u64,
    /// Attempts at a task that failed, or whose result was lost, so that it was tried again.
    pub task_retries: u64,
    /// The stages, in order.
    pub stages: Vec<ClusterStage>,
    /// The executors that took part: of those, what was done counts.
    pub executors: Vec<ClusterExecutor>,
}

/// A stage of a job.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterStage {
    /// `count` or `add`.
    pub stage: &'static str,
    /// Its tasks.
    pub tasks: u32,
    /// Those that were done in the end: all, unless the job failed.
    pub tasks_done: u32,
    /// Attempts at a task that failed, or whose result was lost.
    pub task_retries: u32,
    /// How often the stage was begun.
    pub attempts: u32,
    /// From when its first task was handed out until its last was done, in milliseconds.
    pub elapsed_ms: u64,
    /// Rows that its tasks wrote.
    pub output_rows: u64,
    /// Bytes of them.
    pub output_bytes: u64,
    /// Bytes that the engine put on disk, as there was no memory for them.
    pub spilled_bytes: u64,
}

/// An executor that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterExecutor {
    /// The engine's name of it.
    pub executor: String,
    /// Its host and port; none when it was gone by the end.
    pub address: Option<String>,
    /// Tasks that it did, by stage.
    pub tasks: BTreeMap<&'static str, u32>,
}
