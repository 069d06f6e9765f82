//! A job: tasks done on the cluster, and their partial counts added up.

use crate::{
    MESSAGE_BYTES_MAX,
    codec::{LogicalCodec, PhysicalCodec},
    overview::Overview,
    ranges::Ranges,
    rows::{KEPT, REPORTS, Rows},
    table::TasksTable,
    transport::Peer,
    trouble::Trouble,
    unreachable::Unreachable,
    watch::{Seen, ended, stands, watch},
};
use ballista::prelude::SessionContextExt;
use ballista_core::{
    config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK,
    execution_plans::DistributedQueryExec,
    extension::SessionConfigExt,
    serde::protobuf::{CancelJobParams, scheduler_grpc_client::SchedulerGrpcClient},
};
use bytes::Bytes;
use datafusion::{
    error::DataFusionError,
    execution::SessionStateBuilder,
    physical_plan::ExecutionPlan,
    prelude::{SessionConfig, SessionContext},
};
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::StreamExt;
use std::{
    any::Any,
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tonic::transport::Channel;

/// Tasks to be done, and how what they give is added up.
#[derive(Debug, Clone)]
pub struct Job {
    /// What operators see.
    pub name: String,
    /// What all tasks have in common.
    pub shared: Bytes,
    /// The tasks; at least one.
    pub tasks: Vec<Bytes>,
    /// What is added up together.
    pub ranges: Ranges,
    /// Whether executors are asked to keep sums ([`Worker::keep`](crate::Worker::keep)).
    pub keeps: bool,
    /// After so long it is given up.
    pub deadline: Duration,
}

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row<'r> {
    /// The sums of a group's product, which come once. All groups' are in no order.
    Counts(u32, &'r [u8], [i64; 3]),
    /// The report of a task.
    Report(&'r [u8]),
    /// The report of what was kept of a range.
    Kept(&'r [u8]),
}

/// How a job went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFigures {
    /// Its name to the engine; empty when it came to none.
    pub job: String,
    /// How long it took, until the last row had come, or it had failed.
    pub took: Duration,
    /// Rows that came back.
    pub rows: u64,
    /// What the scheduler told of it at the end; none when it did not.
    pub overview: Option<Overview>,
}

/// Why a job gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError<E> {
    /// Nobody answers there.
    #[error("no scheduler answers at {scheduler}")]
    Unreachable {
        /// Its address.
        scheduler: String,
        /// Why.
        source: Unreachable,
    },
    /// It did not end in time.
    #[error(
        "{} had not ended after {} s, and was given up{}", named(job), deadline.as_secs(),
        if *executors == Some(0) { ": there were no executors" } else { "" }
    )]
    Deadline {
        /// The engine's name of it.
        job: String,
        /// What time it had.
        deadline: Duration,
        /// How many executors there were at last, if the scheduler told.
        executors: Option<u32>,
    },
    /// The scheduler does not answer any more, and all of the job was in its memory.
    #[error("the scheduler at {scheduler} was lost, and {} with it", named(job))]
    Lost {
        /// Its address.
        scheduler: String,
        /// The engine's name of the job.
        job: String,
        /// Why it is not reached.
        source: Unreachable,
    },
    /// All who could do its tasks are gone.
    #[error("{} failed: all executors were lost, and none came back", named(job))]
    NoExecutors {
        /// The engine's name of the job.
        job: String,
    },
    /// What an executor did of it is not to be had.
    #[error("what executor {executor} did of {} cannot be fetched", named(job))]
    NotFetched {
        /// The engine's name of the job.
        job: String,
        /// The executor's host and port.
        executor: String,
        /// Why it is not reached.
        source: Unreachable,
    },
    /// The engine gave it up.
    #[error("{} failed on the cluster", named(job))]
    Failed {
        /// The engine's name of it.
        job: String,
        /// What an executor says is to be done about it.
        remedy: Option<String>,
        /// Why: what an executor says, or else the engine.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What came back cannot be right.
    #[error("what job {job} gave cannot be right: {reason}")]
    Wrong {
        /// The engine's name of it.
        job: String,
        /// Why.
        reason: &'static str,
    },
    /// Whoever takes the rows does not want more, or was told to stop.
    #[error(transparent)]
    Taken(E),
}

/// A job that the scheduler has refused, or not taken yet, has no name.
fn named(job: &str) -> String {
    if job.is_empty() { "the job".to_owned() } else { format!("job {job}") }
}

/// How long a scheduler has to hear that a job is given up.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// Has a job done by the cluster of a scheduler, and calls `take` with what comes back, and `seen` with how it goes. When
/// `stop` is there first, or `take` wants no more, the job is cancelled. How it went is told in any case; what was taken
/// of a job without a result means nothing.
pub async fn run_job<E>(
    scheduler: &Peer,
    job: Job,
    stop: impl Future<Output = E>,
    seen: impl Fn(Seen),
    take: impl FnMut(Row<'_>) -> Result<(), E>,
) -> (JobFigures, Result<(), ClusterError<E>>) {
    let started = Instant::now();
    let mut figures = JobFigures::default();
    let done = match submit(scheduler, job).await {
        Ok(submitted) => {
            let taken = submitted.take(stop, &seen, take, &mut figures).await;
            figures.took = started.elapsed();
            submitted.end(scheduler, taken, &seen, &mut figures).await
        }
        Err(error) => Err(error),
    };
    (figures, done)
}

/// A job on its way to its scheduler.
struct Submitted {
    channel: Channel,
    context: SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    tasks: usize,
    ranges: usize,
    deadline: Duration,
}

async fn submit<E>(scheduler: &Peer, job: Job) -> Result<Submitted, ClusterError<E>> {
    let unreachable = |source| ClusterError::Unreachable { scheduler: scheduler.to_string(), source };
    scheduler.greet().await.map_err(unreachable)?;
    let channel = scheduler.channel().map_err(|_| unreachable(Unreachable::OfAnotherKind))?;
    let (tasks, ranges, deadline) = (job.tasks.len(), job.ranges.count(), job.deadline);
    let (context, plan) = plan(scheduler, job).await.map_err(|source| failed("", source))?;
    Ok(Submitted { channel, context, plan, tasks, ranges, deadline })
}

impl Submitted {
    /// The engine's name of it; empty before it has one.
    fn name(&self) -> String {
        let query: Option<&DistributedQueryExec<LogicalPlanNode>> = (&*self.plan as &dyn Any).downcast_ref();
        let query = query.expect("a remote session plans a query for its scheduler");
        query.job_id().map(|job| job.to_string()).unwrap_or_default()
    }

    /// Takes all that comes back, for as long as there is time, and nobody wants it to stop.
    async fn take<E>(
        &self,
        stop: impl Future<Output = E>,
        seen: &impl Fn(Seen),
        take: impl FnMut(Row<'_>) -> Result<(), E>,
        figures: &mut JobFigures,
    ) -> Result<(), ClusterError<E>> {
        let executors = Mutex::new(None);
        let seen = |of: Seen| {
            *executors.lock().expect("nobody panics meanwhile") = Some(of.executors);
            seen(of);
        };
        let taken = tokio::select! {
            taken = timeout(self.deadline, self.take_rows(take, &mut figures.rows)) => taken,
            stopped = stop => Ok(Err(ClusterError::Taken(stopped))),
            never = watch(&self.channel, || self.name(), &seen) => match never {},
        };
        taken.unwrap_or_else(|_| {
            let executors = *executors.lock().expect("nobody panics meanwhile");
            Err(ClusterError::Deadline { job: self.name(), deadline: self.deadline, executors })
        })
    }

    async fn take_rows<E>(
        &self,
        mut take: impl FnMut(Row<'_>) -> Result<(), E>,
        taken: &mut u64,
    ) -> Result<(), ClusterError<E>> {
        let wrong = |reason| ClusterError::Wrong { job: self.name(), reason };
        let failed = |source| failed(&self.name(), source);
        let (mut reports, mut ranges_told) = (0, 0);
        let mut stream = self.plan.execute(0, self.context.task_ctx()).map_err(failed)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            *taken += batch.num_rows() as u64;
            let rows = Rows::of(&batch).map_err(|_| wrong("its rows have other columns"))?;
            for row in 0..rows.len() {
                let row = match rows.row(row) {
                    (REPORTS | KEPT, _, counters) if counters != [1, 0, 0] => {
                        return Err(wrong("a report came more than once"));
                    }
                    (REPORTS, report, _) => {
                        reports += 1;
                        let numbered = report.split_first_chunk::<4>();
                        let (_, report) = numbered.ok_or_else(|| wrong("a report has no number"))?;
                        Row::Report(report)
                    }
                    (KEPT, report, _) => {
                        ranges_told += 1;
                        if report.is_empty() {
                            continue;
                        }
                        Row::Kept(report)
                    }
                    (group, product, counters) => Row::Counts(group, product, counters),
                };
                take(row).map_err(ClusterError::Taken)?;
            }
        }
        match (reports, ranges_told) == (self.tasks, self.ranges) {
            true => Ok(()),
            false => Err(wrong("a task or a range has not reported")),
        }
    }

    /// Hears from the scheduler how it went, and has it end what has not.
    async fn end<E>(
        &self,
        scheduler: &Peer,
        taken: Result<(), ClusterError<E>>,
        seen: &impl Fn(Seen),
        figures: &mut JobFigures,
    ) -> Result<(), ClusterError<E>> {
        let job = self.name();
        figures.job.clone_from(&job);
        let Err(error) = taken else {
            figures.overview = ended(&self.channel, &job).await;
            figures.overview.as_ref().and_then(Seen::of).into_iter().for_each(seen);
            return Ok(());
        };
        let error = match error {
            ClusterError::Failed { job, remedy, source } => why_failed(scheduler, job, remedy, source).await,
            error => error,
        };
        if !job.is_empty() && !matches!(error, ClusterError::Lost { .. }) {
            figures.overview = stands(&self.channel, &job).await;
            cancel(scheduler, &job).await;
        }
        Err(error)
    }
}

/// What is behind a failure that the engine tells in its own words.
async fn why_failed<E>(
    scheduler: &Peer,
    job: String,
    remedy: Option<String>,
    source: Box<dyn Error + Send + Sync>,
) -> ClusterError<E> {
    tracing::debug!(error = %source, job, "what the engine said of it");
    if let Err(unreachable) = scheduler.greet().await {
        return ClusterError::Lost { scheduler: scheduler.to_string(), job, source: unreachable };
    }
    let text = source.to_string();
    if text.contains(ALL_LOST) {
        return ClusterError::NoExecutors { job };
    }
    if let Some(executor) = not_connected(&text) {
        let executor = Peer::new(executor, scheduler.transport().clone());
        if let Err(source) = executor.hello().await {
            return ClusterError::NotFetched { job, executor: executor.to_string(), source };
        }
    }
    ClusterError::Failed { job, remedy, source }
}

/// What the engine says when there is nobody left.
const ALL_LOST: &str = "all executors were lost";

/// Whom the engine could not connect to: host and port.
fn not_connected(text: &str) -> Option<&str> {
    let (_, address) = text.split_once("Error connecting to Ballista scheduler or executor at ")?;
    let (_, address) = address.split_once("://")?;
    let end = address.find(|char: char| char.is_whitespace() || "/\"".contains(char))?;
    Some(address[..end].trim_end_matches(':'))
}

fn failed<E>(job: &str, source: DataFusionError) -> ClusterError<E> {
    let job = job.to_owned();
    match Trouble::told_in(&source.to_string()) {
        Some(trouble) => {
            ClusterError::Failed { job, remedy: trouble.remedy.clone(), source: Box::new(trouble) }
        }
        None => ClusterError::Failed { job, remedy: None, source: Box::new(source) },
    }
}

/// The rows that come of the tasks, as a query to the scheduler.
async fn plan(
    scheduler: &Peer,
    job: Job,
) -> Result<(SessionContext, Arc<dyn ExecutionPlan>), DataFusionError> {
    let config = scheduler.transport().session(settings(&job));
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let context = SessionContext::remote_with_state(&format!("df://{scheduler}"), state).await?;
    let Job { shared, tasks, ranges, keeps, .. } = job;
    let table = TasksTable { shared, tasks, ranges, keeps };
    let plan = context.read_table(Arc::new(table))?.create_physical_plan().await?;
    Ok((context, plan))
}

/// What the engine is told of a job.
fn settings(job: &Job) -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_target_partitions(job.ranges.count())
        .with_ballista_job_name(&job.name)
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX as usize)
        // With it a job hangs once an executor is lost behind the first stage.
        .with_ballista_adaptive_query_planner(false)
        // A task of the engine's is one of ours: it has one slot, one share of memory, and what fails in it is tried again alone.
        .set_str(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, "1")
        .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::default()))
        .with_ballista_physical_extension_codec(Arc::new(PhysicalCodec::default()))
        // A stream that takes another's files reads some twice, and some never.
        .set_bool("datafusion.execution.enable_file_stream_work_stealing", false)
}

/// Ends a job whose result nobody awaits any more; that it could not be ended changes nothing.
async fn cancel(scheduler: &Peer, job: &str) {
    let Ok(channel) = scheduler.channel() else { return };
    let mut client = SchedulerGrpcClient::new(channel);
    let asked = client.cancel_job(CancelJobParams { job_id: job.to_owned() });
    match timeout(CANCEL_WITHIN, asked).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, job, "the job could not be cancelled"),
        Err(_) => tracing::debug!(job, "the scheduler did not hear in time that the job is given up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_not_be_connected_to_is_found_in_what_the_engine_says() {
        let text = |of: &str| {
            format!(
                "GrpcConnectionError(\"Error connecting to Ballista scheduler or executor at {of}: tonic::transport::Error(Transport)\")"
            )
        };
        for (url, expected) in [("http://10.0.3.8:50051", "10.0.3.8:50051"), ("https://[::1]:7", "[::1]:7")] {
            assert_eq!(not_connected(&text(url)), Some(expected));
        }
        assert_eq!(not_connected("something else"), None);
    }

    #[test]
    fn what_counts_wrong_or_hangs_is_switched_off() {
        let job = Job {
            name: "a night".to_owned(),
            shared: Bytes::new(),
            tasks: Vec::new(),
            ranges: Ranges::cut_at(Vec::new()),
            keeps: false,
            deadline: Duration::from_secs(1),
        };
        let settings = settings(&job);
        assert!(!settings.ballista_adaptive_query_planner_enabled());
        assert_eq!(settings.ballista_config().max_partitions_per_task(), 1);
        assert!(!settings.options().execution.enable_file_stream_work_stealing);
    }
}
