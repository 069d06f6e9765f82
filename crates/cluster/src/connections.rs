//! Connections to other executors, kept for the next fetch: with TLS a new one is dear.

use crate::{
    transport::{Peer, Transport},
    trouble::Trouble,
    unreachable::Unreachable,
};
use async_trait::async_trait;
use ballista_core::{
    client::BallistaClient,
    client_pool::{BallistaClientPool, PooledClient},
    error::{BallistaError, Result},
    extension::BallistaConfigGrpcEndpoint,
    utils::GrpcClientConfig,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long one is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What lets executors fetch from each other.
const REMEDY: &str = "executors fetch from each other: let each reach that port of all others, and call itself by a host that they know (--host of `topshelf cluster executor`); stop the one that cannot be reached";

/// Whoever could not be connected to for so long is silent.
const SILENT_AFTER: Duration = Duration::from_secs(9);

/// How long it is asked why there is no connection: whoever fetches waits for it.
const ASK_FOR: Duration = Duration::from_secs(2);

type Idle = HashMap<(String, u16), Vec<(BallistaClient, Instant)>>;

/// Connections of an executor to others.
#[derive(Clone)]
pub(crate) struct Connections {
    executor: Arc<str>,
    transport: Transport,
    /// Those that nobody uses at the moment, by host and port.
    idle: Arc<Mutex<Idle>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// For the executor of this name.
    pub(crate) fn of(executor: &str, transport: Transport) -> Self {
        Self { executor: executor.into(), transport, idle: Arc::default() }
    }

    /// Those that are not too old.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        let mut idle = self.idle.lock().expect("nobody panics while holding it");
        idle.retain(|_, clients| {
            clients.retain(|(_, since)| since.elapsed() < KEPT_FOR);
            !clients.is_empty()
        });
        idle
    }
}

impl Connections {
    /// Why there is no connection, in words; what the engine makes of it stays the same.
    async fn told(&self, error: BallistaError, (host, port): (&str, u16), took: Duration) -> BallistaError {
        let BallistaError::GrpcConnectionError(text) = error else { return error };
        tracing::debug!(text, host, port, "what the engine says of a connection that it could not make");
        let other = Peer::new(format!("{host}:{port}"), self.transport.clone());
        let asked = match took >= SILENT_AFTER {
            true => Err(Unreachable::Silent),
            false => timeout(ASK_FOR, other.hello()).await.unwrap_or(Err(Unreachable::Silent)),
        };
        let Err(unreachable) = asked else { return BallistaError::GrpcConnectionError(text) };
        let message =
            format!("executor {} does not reach executor {other}: {}", self.executor, unreachable.chain());
        let files = ["--tls-cert", "--tls-key", "--tls-ca"]
            .map(|flag| format!("{flag} of executor {}", self.executor));
        let remedy = unreachable.remedy_of_tls(files.each_ref().map(String::as_str));
        let remedy = Some(remedy.unwrap_or_else(|| REMEDY.to_owned()));
        BallistaError::GrpcConnectionError(format!("{:?}", Trouble { message, remedy }))
    }
}

#[async_trait]
impl BallistaClientPool for Connections {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let at = (host.to_owned(), port);
        let kept = self.idle().get_mut(&at).and_then(Vec::pop);
        let client = match kept {
            Some((client, _)) => client,
            None => {
                let began = Instant::now();
                let made = BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await;
                match made {
                    Ok(client) => client,
                    Err(error) => return Err(self.told(error, (host, port), began.elapsed()).await),
                }
            }
        };
        let kept = self.clone();
        let keep = move |client| kept.idle().entry(at).or_default().push((client, Instant::now()));
        Ok(PooledClient::new(client, Box::new(keep)))
    }

    async fn evict_idle(&self) {
        drop(self.idle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_reached_by_whom_is_told() {
        let connections = Connections::of("10.0.3.8:50051", Transport::default());
        let id = std::process::id();
        let host = format!("127.{}.{}.201", 1 + id / 250 % 250, 1 + id % 250);
        let config = GrpcClientConfig::default();
        let error = connections.acquire(&host, 7040, &config, None).await.err().unwrap();
        assert!(matches!(error, BallistaError::GrpcConnectionError(_)), "the engine fetches anew: {error:?}");
        let told = Trouble::told_in(&format!("{error:?}")).unwrap();
        let expected = format!("executor 10.0.3.8:50051 does not reach executor {host}:7040: ");
        assert!(told.message.starts_with(&expected) && told.message.contains("refused"), "{told}");
    }
}
