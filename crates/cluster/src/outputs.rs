//! What the scheduler notes of jobs and tells those who wait for them: as the engine does in memory, but for two things.
//!
//! The engine keeps where the last stage's tasks have left their rows, also when an executor is lost and the stage begins
//! anew: such rows would come once more than there are. Of each partition, the place that was noted last counts: the
//! engine takes no word of a task that it has given to another. And whoever waits for a job is told its name at once,
//! instead of when its first stage is done: without it nobody can cancel it.

use async_trait::async_trait;
use ballista_core::{
    JobId, JobStatusSubscriber,
    error::Result,
    serde::protobuf::{JobStatus, PartitionLocation, job_status::Status},
};
use ballista_scheduler::{
    cluster::{JobState, JobStateEventStream},
    state::execution_graph::ExecutionGraphBox,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// The engine's state of jobs, with outputs that come once.
pub(crate) struct OutputsOnce(pub(crate) Arc<dyn JobState>);

#[async_trait]
impl JobState for OutputsOnce {
    async fn submit_job(
        &self,
        job: JobId,
        graph: &ExecutionGraphBox,
        subscriber: Option<JobStatusSubscriber>,
    ) -> Result<()> {
        if let Some(subscriber) = &subscriber {
            // Whoever does not wait any more need not know.
            let _ = subscriber.try_send(graph.status().clone());
        }
        self.0.submit_job(job, graph, subscriber).await
    }

    async fn save_job(&self, job: &JobId, graph: &ExecutionGraphBox) -> Result<()> {
        let mut graph = graph.cloned();
        let status = with_outputs_once(graph.status().clone());
        graph.update_status(status);
        self.0.save_job(job, &graph).await
    }

    async fn get_job_status(&self, job: &JobId) -> Result<Option<JobStatus>> {
        self.0.get_job_status(job).await
    }

    fn accept_job(&self, job: &JobId, name: &str, queued_at: u64) -> Result<()> {
        self.0.accept_job(job, name, queued_at)
    }

    fn pending_job_number(&self) -> usize {
        self.0.pending_job_number()
    }

    async fn get_jobs(&self) -> Result<HashSet<JobId>> {
        self.0.get_jobs().await
    }

    async fn get_all_jobs(&self) -> Result<HashSet<JobId>> {
        self.0.get_all_jobs().await
    }

    async fn get_execution_graph(&self, job: &JobId) -> Result<Option<ExecutionGraphBox>> {
        self.0.get_execution_graph(job).await
    }

    async fn fail_unscheduled_job(&self, job: &JobId, reason: String) -> Result<()> {
        self.0.fail_unscheduled_job(job, reason).await
    }

    async fn remove_job(&self, job: &JobId) -> Result<()> {
        self.0.remove_job(job).await
    }

    async fn try_acquire_job(&self, job: &JobId) -> Result<Option<ExecutionGraphBox>> {
        self.0.try_acquire_job(job).await
    }

    async fn job_state_events(&self) -> Result<JobStateEventStream> {
        self.0.job_state_events().await
    }

    async fn create_or_update_session(
        &self,
        session: &str,
        config: &SessionConfig,
    ) -> Result<Arc<SessionContext>> {
        self.0.create_or_update_session(session, config).await
    }

    async fn remove_session(&self, session: &str) -> Result<()> {
        self.0.remove_session(session).await
    }

    fn produce_config(&self) -> SessionConfig {
        self.0.produce_config()
    }
}

/// The status of a job, of whose outputs each partition has one place.
fn with_outputs_once(mut status: JobStatus) -> JobStatus {
    if let Some(Status::Successful(job)) = &mut status.status {
        let partition = |place: &PartitionLocation| place.partition_id.as_ref().map(|id| id.partition_id);
        let places = std::mem::take(&mut job.partition_location).into_iter();
        let last: BTreeMap<_, _> = places.map(|place| (partition(&place), place)).collect();
        job.partition_location = last.into_values().collect();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use ballista_core::serde::protobuf::{ExecutorMetadata, PartitionId, RunningJob, SuccessfulJob};

    #[test]
    fn of_a_partition_the_last_place_counts() {
        let place = |partition_id, executor: &str| PartitionLocation {
            partition_id: Some(PartitionId { job_id: "job".to_owned(), stage_id: 2, partition_id }),
            executor_meta: Some(ExecutorMetadata { id: executor.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let of = |status| JobStatus { status: Some(status), ..Default::default() };
        let successful = |partition_location| {
            of(Status::Successful(SuccessfulJob { partition_location, ..Default::default() }))
        };
        let noted = vec![place(1, "lost"), place(0, "a"), place(2, "b"), place(1, "b"), place(0, "b")];
        let once = with_outputs_once(successful(noted));
        assert_eq!(once, successful(vec![place(0, "b"), place(1, "b"), place(2, "b")]));
        let running = of(Status::Running(RunningJob::default()));
        assert_eq!(with_outputs_once(running.clone()), running);
    }
}
