//! How a job stands: the tasks of each stage, who did them, and what they shuffled.
//!
//! The engine itself tells of a job that it runs, and of a stage what it did once all of it is done. This is read from the
//! job's graph, at any time.

use ballista_core::serde::protobuf::{SuccessfulTask, task_status::Status};
use ballista_scheduler::state::{execution_graph::ExecutionGraph, execution_stage::ExecutionStage};
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricsSet};
use prost::Message;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How a job stands.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Overview {
    /// Its stages, in the order in which they are done.
    #[prost(message, repeated, tag = "1")]
    pub stages: Vec<StageOverview>,
    /// Executors that the scheduler knows of, whatever they do.
    #[prost(uint32, tag = "2")]
    pub executors: u32,
}

/// How a stage of a job stands. A task is a partition: one that is handed out with others counts by itself.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StageOverview {
    /// Its tasks.
    #[prost(uint32, tag = "1")]
    pub tasks: u32,
    /// Those that are done.
    #[prost(uint32, tag = "2")]
    pub tasks_done: u32,
    /// Those that are under way.
    #[prost(uint32, tag = "3")]
    pub tasks_running: u32,
    /// Attempts at a task that failed, or whose result was lost; of the last attempt at the stage that began anew.
    #[prost(uint32, tag = "4")]
    pub attempts_failed: u32,
    /// How often the stage was begun: more than once when results were lost behind it, or before it.
    #[prost(uint32, tag = "5")]
    pub attempts: u32,
    /// From when its first task was handed out until its last was done, in milliseconds.
    #[prost(uint64, tag = "6")]
    pub elapsed_ms: u64,
    /// Rows that its tasks wrote for the next stage, or for whoever asked.
    #[prost(uint64, tag = "7")]
    pub rows: u64,
    /// Bytes of them, as they were written.
    #[prost(uint64, tag = "8")]
    pub bytes: u64,
    /// Bytes that the engine put on disk, as there was no memory for them.
    #[prost(uint64, tag = "9")]
    pub spilled_bytes: u64,
    /// Who did the tasks that are done.
    #[prost(message, repeated, tag = "10")]
    pub executors: Vec<ExecutorShare>,
}

/// What an executor did of a stage.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExecutorShare {
    /// The engine's name of it, which a process has for as long as it runs.
    #[prost(string, tag = "1")]
    pub executor: String,
    /// Its host and port; empty when it is gone.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Tasks.
    #[prost(uint32, tag = "3")]
    pub tasks: u32,
}

impl Overview {
    /// Whether all tasks of all stages are done.
    pub(crate) fn is_done(&self) -> bool {
        !self.stages.is_empty() && self.stages.iter().all(StageOverview::is_done)
    }

    pub(crate) fn of_graph(graph: &dyn ExecutionGraph, addresses: &HashMap<String, String>) -> Self {
        let stages: BTreeMap<_, _> = graph.stages().iter().collect();
        let stages = stages.into_values().map(|stage| StageOverview::new(stage, addresses)).collect();
        Self { stages, executors: number(addresses.len()) }
    }
}

impl StageOverview {
    pub(crate) fn is_done(&self) -> bool {
        self.tasks_done == self.tasks
    }

    fn new(stage: &ExecutionStage, addresses: &HashMap<String, String>) -> Self {
        let nothing: &[MetricsSet] = &[];
        let (tasks, attempt, metrics) = match stage {
            ExecutionStage::UnResolved(stage) => (partitions(&stage.plan), stage.stage_attempt_num, nothing),
            ExecutionStage::Resolved(stage) => (stage.partitions, stage.stage_attempt_num, nothing),
            ExecutionStage::Running(stage) => {
                (stage.partitions, stage.stage_attempt_num, stage.stage_metrics.as_deref().unwrap_or(nothing))
            }
            ExecutionStage::Successful(stage) => {
                (stage.partitions, stage.stage_attempt_num, &stage.stage_metrics[..])
            }
            ExecutionStage::Failed(stage) => {
                (stage.partitions, stage.stage_attempt_num, stage.stage_metrics.as_deref().unwrap_or(nothing))
            }
        };
        let mut told = Self { tasks: number(tasks), attempts: number(attempt + 1), ..Self::default() };
        told.spilled_bytes = metrics.iter().map(spilled_bytes).sum();
        let (mut done, mut by): (Vec<bool>, BTreeMap<&str, u32>) = (vec![false; tasks], BTreeMap::new());
        let (mut first, mut last) = (u128::MAX, 0);
        for info in stage.task_infos().unwrap_or_default() {
            let tasks = number(info.global_input_partition_ids.len());
            (first, last) = (first.min(info.scheduled_time), last.max(info.finish_time));
            match &info.task_status {
                Status::Running(_) => told.tasks_running += tasks,
                Status::Failed(_) => told.attempts_failed += tasks,
                Status::Successful(SuccessfulTask { executor_id, partitions, .. }) => {
                    info.global_input_partition_ids.iter().for_each(|task| done[*task] = true);
                    *by.entry(executor_id).or_default() += tasks;
                    told.rows += partitions.iter().map(|partition| partition.num_rows).sum::<u64>();
                    told.bytes += partitions.iter().map(|partition| partition.num_bytes).sum::<u64>();
                }
            }
        }
        told.tasks_done = number(done.into_iter().filter(|is_done| *is_done).count());
        told.elapsed_ms = u64::try_from(last.saturating_sub(first)).unwrap_or(u64::MAX);
        let share = |(executor, tasks): (&str, u32)| ExecutorShare {
            executor: executor.to_owned(),
            address: addresses.get(executor).cloned().unwrap_or_default(),
            tasks,
        };
        told.executors = by.into_iter().map(share).collect();
        told
    }
}

/// Tasks of a stage that waits for another: below what writes its rows.
fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let of = plan.children().first().map_or_else(|| Arc::clone(plan), |input| Arc::clone(input));
    of.properties().partitioning.partition_count()
}

/// What writes for a shuffle counts its own by another name than all others.
fn spilled_bytes(of: &MetricsSet) -> u64 {
    let by_writer = of.sum_by_name("spill_bytes").map_or(0, |sum| sum.as_usize());
    (of.spilled_bytes().unwrap_or_default() + by_writer) as u64
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ranges::Ranges, table::TasksTable};
    use ballista_core::{
        JobId,
        extension::SessionConfigExt,
        serde::{
            protobuf::{FailedTask, IoError, ShuffleWritePartition, TaskStatus, failed_task::FailedReason},
            scheduler::{ExecutorMetadata, ExecutorOperatingSystemSpecification, ExecutorSpecification},
        },
    };
    use ballista_scheduler::{
        planner::DefaultDistributedPlanner,
        state::execution_graph::{StaticExecutionGraph, create_task_info},
    };
    use bytes::Bytes;
    use datafusion::prelude::{SessionConfig, SessionContext};

    const TASKS: usize = 3;
    const RANGES: usize = 2;

    /// A job's graph, driven as a scheduler and its executors drive it.
    struct Driven {
        graph: StaticExecutionGraph,
        addresses: HashMap<String, String>,
    }

    impl Driven {
        async fn new() -> Self {
            let ranges = Ranges::cut_at((1..RANGES).map(|cut| (number(cut), Bytes::new())).collect());
            let config = SessionConfig::new_with_ballista().with_target_partitions(RANGES);
            let context = SessionContext::new_with_config(config.clone());
            let tasks = vec![Bytes::from_static(b"task"); TASKS];
            let table = Arc::new(TasksTable { shared: Bytes::new(), tasks, ranges, keeps: false });
            let query = context.read_table(table).unwrap();
            let (plan, job) = (query.create_physical_plan().await.unwrap(), JobId::from("job"));
            let mut planner = DefaultDistributedPlanner::new();
            let config = Arc::new(config);
            let graph = StaticExecutionGraph::new("s", &job, "job", "s", plan, 0, config, &mut planner, None);
            let addresses = ["a", "b"].map(|name| (name.to_owned(), format!("{name}.host:1")));
            let mut graph = graph.unwrap();
            graph.revive();
            Self { graph, addresses: addresses.into() }
        }

        fn overview(&self) -> Overview {
            Overview::of_graph(&self.graph, &self.addresses)
        }

        /// Hands out so many tasks of the stage that is under way, as one; its number and that of the stage.
        fn hand_out(&mut self, executor: &str, tasks: usize) -> (usize, usize) {
            let stage = self.graph.fetch_running_stage(&[]).unwrap();
            let mut info = create_task_info(executor.to_owned(), stage.task_infos.len());
            info.global_input_partition_ids = stage.pending.next_slice(tasks);
            assert_eq!(info.global_input_partition_ids.len(), tasks);
            stage.task_infos.push(info);
            (stage.task_infos.len() - 1, stage.stage_id)
        }

        fn ends(&mut self, executor: &str, (task, stage_id): (usize, usize), status: Status) {
            let attempt = match &self.graph.stages()[&stage_id] {
                ExecutionStage::Running(stage) => stage.stage_attempt_num,
                stage => panic!("{stage:?} is not under way"),
            };
            let status = TaskStatus {
                task_id: number(task),
                job_id: "job".into(),
                stage_id: number(stage_id),
                stage_attempt_num: number(attempt),
                status: Some(status),
                ..TaskStatus::default()
            };
            let executor = ExecutorMetadata {
                id: executor.to_owned(),
                host: String::new(),
                port: 0,
                grpc_port: 0,
                specification: ExecutorSpecification::default(),
                os_info: ExecutorOperatingSystemSpecification::default(),
            };
            self.graph.update_task_status(&executor, vec![status], 4, 4).unwrap();
            self.graph.revive();
        }

        /// Does so many tasks at a time, which write 10 rows of 100 bytes for each of the next stage.
        fn does(&mut self, executor: &str, tasks: usize) {
            let task = self.hand_out(executor, tasks);
            let partition = |partition_id| ShuffleWritePartition {
                partition_id,
                num_rows: 10,
                num_bytes: 100,
                ..ShuffleWritePartition::default()
            };
            let done = SuccessfulTask {
                executor_id: executor.to_owned(),
                partitions: (0..RANGES as u64).map(partition).collect(),
                ..SuccessfulTask::default()
            };
            self.ends(executor, task, Status::Successful(done));
        }
    }

    fn share(executor: &str, tasks: u32) -> ExecutorShare {
        ExecutorShare { executor: executor.into(), address: format!("{executor}.host:1"), tasks }
    }

    /// Without the times, which are those of the machine.
    fn stages(of: &Driven) -> [StageOverview; 2] {
        let stages = of.overview().stages.into_iter().map(|stage| StageOverview { elapsed_ms: 0, ..stage });
        stages.collect::<Vec<_>>().try_into().unwrap()
    }

    #[tokio::test]
    async fn tasks_are_told_as_they_are_done() {
        let mut job = Driven::new().await;
        let [count, add] = stages(&job);
        let waiting = |tasks| StageOverview { tasks, attempts: 1, ..StageOverview::default() };
        assert_eq!((count, add), (waiting(3), waiting(2)));
        job.does("a", 1);
        job.hand_out("b", 1);
        let [count, _] = stages(&job);
        let expected = StageOverview {
            tasks_done: 1,
            tasks_running: 1,
            rows: 20,
            bytes: 200,
            executors: vec![share("a", 1)],
            ..waiting(3)
        };
        assert_eq!(count, expected);
        assert!(!job.overview().is_done());
        assert_eq!(job.overview().executors, 2);
    }

    #[tokio::test]
    async fn tasks_that_are_handed_out_together_count_each() {
        let mut job = Driven::new().await;
        job.does("a", 3);
        job.does("b", 1);
        let [count, add] = stages(&job);
        assert_eq!((count.tasks_done, count.executors), (3, vec![share("a", 3)]));
        assert_eq!((add.tasks_done, add.executors), (1, vec![share("b", 1)]));
        job.does("a", 1);
        assert!(job.overview().is_done());
    }

    #[tokio::test]
    async fn what_fails_or_is_lost_is_tried_again_and_counts_once() {
        let mut job = Driven::new().await;
        let failed = FailedTask {
            retryable: true,
            count_to_failures: true,
            failed_reason: Some(FailedReason::IoError(IoError {})),
            ..FailedTask::default()
        };
        let task = job.hand_out("b", 1);
        job.ends("b", task, Status::Failed(failed));
        assert_eq!(stages(&job)[0].attempts_failed, 1);
        job.does("b", 2);
        job.does("a", 1);
        assert!(stages(&job)[0].is_done());
        job.hand_out("a", 1);
        job.graph.reset_stages_on_lost_executor("b").unwrap();
        job.addresses.remove("b");
        job.graph.revive();
        let [count, _] = stages(&job);
        assert_eq!((count.tasks_done, count.attempts_failed, count.attempts), (1, 3, 2));
        assert_eq!((count.rows, count.executors), (20, vec![share("a", 1)]));
        job.does("a", 2);
        job.does("a", 2);
        assert!(job.overview().is_done());
        let [count, _] = stages(&job);
        assert_eq!((count.tasks_done, count.rows, count.executors), (3, 40, vec![share("a", 3)]));
    }
}
