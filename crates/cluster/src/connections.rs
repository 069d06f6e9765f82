//! Connections to other executors, kept for the next fetch: with TLS a new one is dear.

use async_trait::async_trait;
use ballista_core::{
    client::BallistaClient,
    client_pool::{BallistaClientPool, PooledClient},
    error::Result,
    extension::BallistaConfigGrpcEndpoint,
    utils::GrpcClientConfig,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// How long one is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(30);

type Idle = HashMap<(String, u16), Vec<(BallistaClient, Instant)>>;

/// Connections that nobody uses at the moment, by host and port.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Idle>>);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// Those that are not too old.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        let mut idle = self.0.lock().expect("nobody panics while holding it");
        idle.retain(|_, clients| {
            clients.retain(|(_, since)| since.elapsed() < KEPT_FOR);
            !clients.is_empty()
        });
        idle
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
                BallistaClient::try_new(
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
                .await?
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
