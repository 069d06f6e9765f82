//! The scheduler: plans jobs and hands their tasks to executors.

use crate::{
    MESSAGE_BYTES_MAX,
    answers::Answers,
    codec::{LogicalCodec, PhysicalCodec},
    ended::{ProcessError, listen},
    outputs::OutputsOnce,
    transport::Transport,
};
use ballista_core::{
    config::TaskSchedulingPolicy, serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer,
};
use ballista_scheduler::{
    cluster::BallistaCluster, config::SchedulerConfig, scheduler_process::create_scheduler,
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tonic::transport::Server;

/// How long who is being answered has to the end of it, once the scheduler is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How a scheduler is run.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What executors and clients call its host.
    pub host: String,
    /// For how long an executor may be silent before its tasks are given to others.
    pub executor_timeout: Duration,
    /// How it talks to others, and they to it.
    pub transport: Transport,
}

/// Runs a scheduler until it is told to stop. Its jobs are in memory alone.
///
/// # Errors
/// When it cannot listen there.
pub async fn run_scheduler(
    settings: &SchedulerSettings,
    stop: impl Future<Output = ()>,
) -> Result<(), ProcessError> {
    let (listener, address) = listen(settings.listen).await?;
    let config = config(settings, address);
    config.validate()?;
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let cluster = BallistaCluster::new(cluster.cluster_state(), Arc::new(OutputsOnce(cluster.job_state())));
    let scheduler =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster.clone(), Arc::new(config)).await?;
    let answers = Answers { scheduler: scheduler.clone(), cluster };
    let scheduler = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(MESSAGE_BYTES_MAX as usize)
        .max_encoding_message_size(MESSAGE_BYTES_MAX as usize);
    tracing::info!(%address, tls = settings.transport.is_tls(), "the scheduler listens");
    let router = Server::builder().add_service(scheduler).add_service(answers);
    let served = settings.transport.serve(router, listener, stop, GRACE).await;
    served.map_err(|source| ProcessError::Server { address, source })
}

fn config(settings: &SchedulerSettings, address: SocketAddr) -> SchedulerConfig {
    let silence = settings.executor_timeout.as_secs().max(2);
    let mut config = SchedulerConfig::default()
        .with_hostname(settings.host.clone())
        .with_port(address.port())
        .with_scheduler_policy(TaskSchedulingPolicy::PullStaged)
        .with_no_executors_grace_period_seconds(silence.max(60))
        .with_grpc_server_max_decoding_message_size(MESSAGE_BYTES_MAX)
        .with_grpc_server_max_encoding_message_size(MESSAGE_BYTES_MAX)
        .with_grpc_client_max_message_size(MESSAGE_BYTES_MAX)
        .with_override_create_grpc_client_endpoint(settings.transport.of_engine())
        .with_use_tls(settings.transport.is_tls());
    config.bind_host = address.ip().to_string();
    config.executor_timeout_seconds = silence;
    config.expire_dead_executor_interval_seconds = (silence / 5).max(1);
    config.override_logical_codec = Some(Arc::new(LogicalCodec::default()));
    config.override_physical_codec = Some(Arc::new(PhysicalCodec::default()));
    config
}
