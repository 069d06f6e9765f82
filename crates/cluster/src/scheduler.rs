//! The scheduler: plans jobs and hands their tasks to executors.

use crate::{
    MESSAGE_BYTES_MAX,
    codec::{LogicalCodec, PhysicalCodec},
    outputs::OutputsOnce,
};
use ballista_core::{config::TaskSchedulingPolicy, error::BallistaError};
use ballista_scheduler::{
    cluster::BallistaCluster, config::SchedulerConfig, scheduler_process::start_server,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How a scheduler is run.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What executors and clients call its host.
    pub host: String,
    /// For how long an executor may be silent before its tasks are given to others.
    pub executor_timeout: Duration,
}

/// Runs a scheduler until the process ends. Its jobs are in memory alone.
///
/// # Errors
/// When it cannot listen there.
pub async fn run_scheduler(settings: &SchedulerSettings) -> Result<(), BallistaError> {
    let silence = settings.executor_timeout.as_secs().max(2);
    let mut config = SchedulerConfig::default()
        .with_hostname(settings.host.clone())
        .with_port(settings.listen.port())
        .with_scheduler_policy(TaskSchedulingPolicy::PullStaged)
        .with_no_executors_grace_period_seconds(silence.max(60))
        .with_grpc_server_max_decoding_message_size(MESSAGE_BYTES_MAX)
        .with_grpc_server_max_encoding_message_size(MESSAGE_BYTES_MAX)
        .with_grpc_client_max_message_size(MESSAGE_BYTES_MAX);
    config.bind_host = settings.listen.ip().to_string();
    config.executor_timeout_seconds = silence;
    config.expire_dead_executor_interval_seconds = (silence / 5).max(1);
    config.override_logical_codec = Some(Arc::new(LogicalCodec::default()));
    config.override_physical_codec = Some(Arc::new(PhysicalCodec::default()));
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let cluster = BallistaCluster::new(cluster.cluster_state(), Arc::new(OutputsOnce(cluster.job_state())));
    start_server(cluster, settings.listen, Arc::new(config)).await
}
