//! An executor: does tasks, and keeps what they give until others have fetched it.

use crate::{
    MESSAGE_BYTES_MAX, Worker,
    codec::{LogicalCodec, PhysicalCodec},
    connection::watched,
};
use ballista_core::{config::TaskSchedulingPolicy, error::BallistaError, extension::SessionConfigExt};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::prelude::SessionConfig;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// How an executor is run.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    /// Where others fetch what its tasks gave.
    pub listen: SocketAddr,
    /// What they call its host; none when it is that of `listen`.
    pub host: Option<String>,
    /// The scheduler's host and port.
    pub scheduler: (String, u16),
    /// Tasks that are done at a time; at least 1.
    pub slots: usize,
    /// Memory of all tasks together, in bytes.
    pub memory_bytes: u64,
    /// Where shuffled rows, and what does not fit in memory, wait on disk.
    pub work_dir: PathBuf,
}

/// Runs an executor whose tasks the worker does, until the process is told to end.
///
/// # Errors
/// When it cannot listen there, or does not reach the scheduler.
pub async fn run_executor(settings: &ExecutorSettings, worker: Arc<dyn Worker>) -> Result<(), BallistaError> {
    let (scheduler_host, scheduler_port) = settings.scheduler.clone();
    let session = || {
        SessionConfig::new_with_ballista()
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX as usize)
            .with_ballista_override_create_grpc_client_endpoint(watched())
    };
    let config = ExecutorProcessConfig {
        bind_host: settings.listen.ip().to_string(),
        external_host: settings.host.clone(),
        port: settings.listen.port(),
        // Nobody calls it while executors ask for their tasks.
        grpc_port: 0,
        scheduler_host,
        scheduler_port,
        scheduler_connect_timeout_seconds: 60,
        vcores: settings.slots.max(1),
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(settings.work_dir.to_string_lossy().into_owned()),
        job_data_ttl_seconds: 24 * 60 * 60,
        job_data_clean_up_interval_seconds: 10 * 60,
        grpc_max_decoding_message_size: MESSAGE_BYTES_MAX,
        grpc_max_encoding_message_size: MESSAGE_BYTES_MAX,
        memory_pool_size: Some(settings.memory_bytes),
        override_config_producer: Some(Arc::new(session)),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::with(worker))),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await
}
