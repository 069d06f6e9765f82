//! An executor: does tasks, and keeps what they give until others have fetched it.
//!
//! It asks the scheduler for tasks. Told to stop it takes no more, gives those that it has back to the scheduler, and
//! lets who fetches from it come to the end.

use crate::{
    MESSAGE_BYTES_MAX, Worker,
    codec::{LogicalCodec, PhysicalCodec},
    connections::Connections,
    ended::{ProcessError, listen},
    named::{Executor as Named, NamedEngine},
    patience::{Patience, Slow},
    shuffled::Shuffled,
    transport::Peer,
};
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::{
    RuntimeProducer,
    error::BallistaError,
    extension::SessionConfigExt,
    registry::BallistaFunctionRegistry,
    serde::{
        BallistaCodec,
        protobuf::{ExecutorStoppedParams, scheduler_grpc_client::SchedulerGrpcClient},
    },
    utils::{GrpcServerConfig, create_grpc_server},
};
use ballista_executor::{
    execution_engine::DefaultExecutionEngine,
    execution_loop::poll_loop,
    executor::Executor,
    executor_process::{ExecutorProcessConfig, structure_executor_metadata},
    flight_service::BallistaFlightService,
    health::ExecutorHealth,
    metrics::LoggingMetricsCollector,
    runtime_cache::{DefaultSessionRuntimeCache, MemoryPoolPolicy},
};
use datafusion::{
    execution::{memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
    prelude::SessionConfig,
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};
use tonic::transport::server::Router;

/// How long who fetches has to the end of it, once the executor is told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// How long the scheduler has to hear of it.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Sessions, one for each job, whose caches are kept.
const SESSIONS: usize = 16;

/// How an executor is run.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    /// Where others fetch what its tasks gave.
    pub listen: SocketAddr,
    /// What they call its host; none for the address by which it reaches the scheduler.
    pub host: Option<String>,
    /// The scheduler.
    pub scheduler: Peer,
    /// Tasks that are done at a time; at least 1.
    pub slots: usize,
    /// Memory of all tasks together, in bytes.
    pub memory_bytes: u64,
    /// Where shuffled rows wait on disk. Whatever is in there is deleted.
    pub shuffle_dir: PathBuf,
    /// For how long it waits for a scheduler that is not reached; none for ever.
    pub give_up_after: Option<Duration>,
}

/// Runs an executor until it is told to stop. Who does its tasks is made once it has a name, by which others call it: its
/// host and port.
///
/// # Errors
/// When it cannot listen there, or does not reach the scheduler for too long.
pub async fn run_executor(
    settings: &ExecutorSettings,
    worker: impl FnOnce(&str) -> Arc<dyn Worker>,
    stop: impl Future<Output = ()>,
) -> Result<(), ProcessError> {
    tokio::pin!(stop);
    let shuffled = Shuffled::empty(settings.shuffle_dir.clone()).map_err(ProcessError::Folder)?;
    let (listener, address) = listen(settings.listen).await?;
    let mut patience = Patience::new(settings.scheduler.clone(), settings.give_up_after);
    let (ours, channel) = tokio::select! {
        () = &mut stop => return Ok(()),
        reached = patience.reach() => reached?,
    };
    let host = settings
        .host
        .as_ref()
        .map_or_else(|| in_url(ours), |host| host.parse().map_or_else(|_| host.clone(), in_url));
    let is_for_us = settings.scheduler.transport().is_for(&host);
    is_for_us.map_err(|reason| ProcessError::Certificate { host: host.clone(), reason })?;
    let name = format!("{host}:{}", address.port());
    let codec = PhysicalCodec::of_executor(&name, worker(&name));
    let executor = Arc::new(executor(settings, host, address.port()));
    tracing::info!(
        %address, scheduler = %settings.scheduler, tls = settings.scheduler.transport().is_tls(), slots = settings.slots,
        memory_bytes = settings.memory_bytes, "the executor listens"
    );

    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let stopped = async { drop(server_stopped.await) };
    let serving = settings.scheduler.transport().serve(router(&shuffled), listener, stopped, GRACE);
    tokio::pin!(serving);
    let health = ExecutorHealth::new();
    let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
        BallistaCodec::new(Arc::new(LogicalCodec::default()), Arc::new(codec));
    let asking = poll_loop(
        client(Slow::new(channel.clone())),
        Arc::clone(&executor),
        codec,
        None,
        None,
        health.clone(),
    );
    let mut asking = tokio::spawn(asking);
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        Err(source) = &mut serving => Err(ProcessError::Server { address, source }),
        asked = &mut asking => asked.map_err(BallistaError::TokioError).flatten().map_err(ProcessError::from),
        given_up = patience.watch(&health) => Err(given_up),
        () = shuffled.tidy() => unreachable!("it goes on for ever"),
    };
    // Tasks that are under way end with whoever asks for them.
    asking.abort();
    ended?;
    tracing::info!("the executor ends: others do its tasks");
    let reason = "it was told to stop".to_owned();
    let stopped = ExecutorStoppedParams { executor_id: executor.metadata.id.clone(), reason };
    if !matches!(timeout(TELL_WITHIN, client(channel).executor_stopped(stopped)).await, Ok(Ok(_))) {
        tracing::warn!(scheduler = %settings.scheduler, "the scheduler could not be told");
    }
    drop(stop_server);
    serving.await.map_err(|source| ProcessError::Server { address, source })
}

/// An address as URLs have it.
fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn client<C>(channel: C) -> SchedulerGrpcClient<C>
where
    C: tonic::client::GrpcService<tonic::body::Body>,
    C::Error: Into<tonic::codegen::StdError>,
    C::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <C::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    SchedulerGrpcClient::new(channel)
        .max_encoding_message_size(MESSAGE_BYTES_MAX as usize)
        .max_decoding_message_size(MESSAGE_BYTES_MAX as usize)
}

/// What does the tasks.
fn executor(settings: &ExecutorSettings, host: String, port: u16) -> Executor {
    let slots = settings.slots.max(1);
    let name = format!("{host}:{port}");
    let connections = Connections::of(&name, settings.scheduler.transport().clone());
    let engine = DefaultExecutionEngine::with_client_pool(Arc::new(connections));
    let named = Named { name: name.into(), folder: settings.shuffle_dir.as_path().into() };
    let engine = NamedEngine::new(named.clone(), engine);
    let process = ExecutorProcessConfig {
        external_host: Some(host),
        port,
        // Nobody calls it. A task that is cancelled gives its slot back while parts of it go on, and whoever then does the
        // same task again writes to the same files.
        grpc_port: 0,
        ..ExecutorProcessConfig::default()
    };
    let vcores = u32::try_from(slots).unwrap_or(u32::MAX);
    let metadata = structure_executor_metadata(&Arc::new(process), vcores);
    let folder = settings.shuffle_dir.clone();
    let runtime: RuntimeProducer = Arc::new(move |_| {
        let runtime = RuntimeEnvBuilder::new().with_temp_file_path(folder.clone()).build();
        Ok(Arc::new(runtime.map_err(|error| named.failed(error))?))
    });
    let share = usize::try_from(settings.memory_bytes / slots as u64).unwrap_or(usize::MAX).max(1);
    let memory: MemoryPoolPolicy = Arc::new(move |runtime, _, slots| {
        let pool = FairSpillPool::new(share.saturating_mul(slots.max(1) as usize));
        RuntimeEnvBuilder::from_runtime_env(&runtime).with_memory_pool(Arc::new(pool)).build_arc()
    });
    let transport = settings.scheduler.transport().clone();
    let session = move || {
        let session = SessionConfig::new_with_ballista()
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX as usize);
        transport.session(session)
    };
    let cache = DefaultSessionRuntimeCache::new(Arc::clone(&runtime), memory, SESSIONS);
    let executor = Executor::new(
        metadata,
        &settings.shuffle_dir.to_string_lossy(),
        runtime,
        Arc::new(session),
        Arc::new(BallistaFunctionRegistry::default()),
        Arc::new(LoggingMetricsCollector::default()),
        slots,
        Arc::new(engine),
    );
    executor.with_session_runtime_cache(Some(Arc::new(cache)))
}

/// What others may ask for: what tasks gave.
fn router(shuffled: &Shuffled) -> Router {
    let fetches = FlightServiceServer::new(BallistaFlightService::new(shuffled.path()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX as usize)
        .max_encoding_message_size(MESSAGE_BYTES_MAX as usize);
    create_grpc_server(&GrpcServerConfig::default()).add_service(fetches)
}
