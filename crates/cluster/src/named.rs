//! What does an executor's tasks: the engine, with failures that tell where they happened.
//!
//! The engine tries again what fails as input or output, and gives a job up at anything else. What it writes and reads
//! itself comes as an error of its file format: a disk that is full would end the job of all.

use crate::trouble::Trouble;
use async_trait::async_trait;
use ballista_core::{
    JobId,
    error::BallistaError,
    serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport},
};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::{
    arrow::error::ArrowError,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{ExecutionPlan, metrics::MetricsSet},
    prelude::SessionConfig,
};
use std::{fmt, io, path::Path, sync::Arc};

/// The engine, by the name of the executor that runs it.
pub(crate) struct NamedEngine {
    executor: Executor,
    engine: DefaultExecutionEngine,
}

impl NamedEngine {
    pub(crate) fn new(executor: Executor, engine: DefaultExecutionEngine) -> Self {
        Self { executor, engine }
    }
}

impl ExecutionEngine for NamedEngine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let stage = self
            .engine
            .create_query_stage_exec(job_id, stage_id, task_id, partitions, plan, work_dir, config)
            .map_err(|error| self.executor.failed(error))?;
        Ok(Arc::new(NamedStage { executor: self.executor.clone(), stage }))
    }
}

/// Tasks of a stage.
#[derive(Debug)]
struct NamedStage {
    executor: Executor,
    stage: Arc<dyn QueryStageExecutor>,
}

impl fmt::Display for NamedStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for NamedStage {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let done = self.stage.execute_query_stage(task_id, context).await;
        done.map_err(|error| self.executor.failed(error))
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.stage.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.stage.collect_column_stats()
    }
}

/// An executor, where something goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Executor {
    /// What others call it.
    pub(crate) name: Arc<str>,
    /// Where what tasks gave waits on disk.
    pub(crate) folder: Arc<Path>,
}

impl Executor {
    /// The same error, and where. What the engine has a name for, a peer whose rows cannot be fetched, stays as it is, and so
    /// does what a worker says, who knows where it is.
    pub(crate) fn named(&self, error: DataFusionError) -> DataFusionError {
        match root(&error) {
            DataFusionError::IoError(source) if is_told(source) => error,
            DataFusionError::IoError(source) => self.of_system(source),
            DataFusionError::ArrowError(source, _) => match &**source {
                ArrowError::IoError(_, source) => self.of_system(source),
                _ => error,
            },
            DataFusionError::External(source) => match source.downcast_ref() {
                Some(BallistaError::IoError(source)) if !is_told(source) => self.of_system(source),
                Some(BallistaError::ArrowError(source)) => match &**source {
                    ArrowError::IoError(_, source) => self.of_system(source),
                    _ => error,
                },
                _ => error,
            },
            DataFusionError::ResourcesExhausted(reason) => {
                let message = format!("executor {} has too little memory: {reason}", self.name);
                let remedy = Some("give it more `--memory`, or fewer `--slots`".to_owned());
                error.context(format!("{:?}", Trouble { message, remedy }))
            }
            _ => error,
        }
    }

    /// The same, told to the log, too: nobody else keeps it when others can do the task.
    pub(crate) fn failed(&self, error: DataFusionError) -> DataFusionError {
        let error = self.named(error);
        let reason = Trouble::told_in(&format!("{error:?}"));
        let reason = reason.map_or_else(|| error.to_string(), |trouble| trouble.message);
        tracing::warn!(reason, "a task failed, and the scheduler hears of it");
        error
    }

    /// What failed as input or output, which the engine tries again.
    fn of_system(&self, error: &io::Error) -> DataFusionError {
        let Self { name, folder } = self;
        if !is_of_disk(error) {
            let trouble = Trouble { message: format!("on executor {name}: {error}"), remedy: None };
            return DataFusionError::IoError(io::Error::other(trouble));
        }
        let folder = folder.display();
        let message = format!("on executor {name}, below {folder}: {error}");
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(
                format!("give {folder} room on that machine, or stop that executor: others do its tasks"),
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(format!(
                "let the user of that executor write {folder} on its machine, or stop it: others do its tasks"
            )),
            _ => Some(format!(
                "look at {folder} and its disk on that machine, or stop that executor: others do its tasks"
            )),
        };
        DataFusionError::IoError(io::Error::other(Trouble { message, remedy }))
    }
}

/// Whether it is the system that says so, and of more than this process.
fn is_of_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    // ENFILE and EMFILE.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let kinds = [
        FileTooLarge,
        NotADirectory,
        NotFound,
        PermissionDenied,
        QuotaExceeded,
        ReadOnlyFilesystem,
        StorageFull,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|code| !TOO_MANY_FILES.contains(&code))
}

fn is_told(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Trouble>)
}

/// What is at the bottom of an error, also where the engine has wrapped its own kind of error around it.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref() {
            Some(BallistaError::DataFusionError(inner)) => root(inner),
            _ => error.find_root(),
        },
        root => root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ballista_core::serde::protobuf::{FailedTask, failed_task::FailedReason};

    /// What the scheduler hears.
    fn told(error: DataFusionError) -> FailedTask {
        let executor = Executor { name: "10.0.3.8:50051".into(), folder: Path::new("/var/shuffle").into() };
        FailedTask::from(BallistaError::from(executor.named(error)))
    }

    fn full() -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, "No space left on device")
    }

    #[test]
    fn a_full_disk_is_named_and_tried_again() {
        let written = || Box::new(ArrowError::IoError("No space left on device".to_owned(), full()));
        let by_engine = DataFusionError::External(Box::new(BallistaError::ArrowError(written())));
        for error in [
            DataFusionError::ArrowError(written(), None),
            DataFusionError::IoError(full()).context("spilling"),
            DataFusionError::Shared(Arc::new(by_engine)),
        ] {
            let told = told(error);
            let trouble = Trouble::told_in(&told.error).unwrap();
            let expected = "on executor 10.0.3.8:50051, below /var/shuffle: No space left on device";
            assert!(told.retryable && trouble.message == expected, "{told:?}");
            assert!(trouble.remedy.unwrap().starts_with("give /var/shuffle room"), "{}", told.error);
        }
    }

    #[test]
    fn too_little_memory_is_named_with_the_remedy() {
        let exhausted = || DataFusionError::ResourcesExhausted("no room to merge".to_owned());
        let wrapped = BallistaError::DataFusionError(Box::new(exhausted()));
        for error in [exhausted(), DataFusionError::External(Box::new(wrapped))] {
            let told = told(error);
            let trouble = Trouble::told_in(&told.error).unwrap();
            assert!(!told.retryable && trouble.remedy.unwrap().contains("--memory"), "{told:?}");
            for text in ["executor 10.0.3.8:50051", "no room to merge"] {
                assert!(trouble.message.contains(text), "{told:?}");
            }
        }
    }

    #[test]
    fn what_is_not_of_the_disk_is_not_called_so() {
        let told = told(DataFusionError::IoError(io::Error::other("a sum is too large")));
        let message = "on executor 10.0.3.8:50051: a sum is too large".to_owned();
        assert_eq!(Trouble::told_in(&told.error), Some(Trouble { message, remedy: None }));
    }

    #[test]
    fn what_a_worker_says_stays_what_it_is() {
        let trouble = Trouble { message: "on executor a: could not read".to_owned(), remedy: None };
        let said = || io::Error::other(trouble.clone());
        let wrapped = BallistaError::IoError(said());
        for error in [DataFusionError::IoError(said()), DataFusionError::External(Box::new(wrapped))] {
            let told = told(error);
            assert!(told.retryable && Trouble::told_in(&told.error).as_ref() == Some(&trouble), "{told:?}");
        }
    }

    #[test]
    fn rows_that_cannot_be_fetched_stay_what_they_are() {
        let lost = BallistaError::FetchFailed("another".to_owned(), 1, 2, "gone".to_owned());
        let told = told(DataFusionError::External(Box::new(lost)));
        assert!(
            matches!(told.failed_reason, Some(FailedReason::FetchPartitionError(of)) if of.executor_id == "another")
        );
    }
}
