//! The server: bound, then run until it is told to end.

use crate::{
    options::{Options, Promise, ServedStore},
    refresh::{follow_publications, follow_schedule},
    routes,
    serving::Serving,
};
use axum::serve::ListenerExt;
use jiff::Timestamp;
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

/// How long connections may take to end after the listener closed, before they are cut.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("could not listen on {listen}: choose another address with serve.listen")]
    Listen {
        /// The address, as configured.
        listen: String,
        /// Why not.
        source: io::Error,
    },
    /// The listener failed.
    #[error("could not go on serving on {address}")]
    Serve {
        /// The address listened on.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A server that listens; it answers once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    serving: Arc<Serving>,
    store: ServedStore,
}

impl Server {
    /// Listens as `options` say, to serve what `store` publishes. `promise` says what should be
    /// published at a moment; it is asked several times a second and must not block.
    ///
    /// The store is not asked for anything yet: a server starts without a database, and waits for it.
    /// It never migrates the store.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when the address cannot be listened on.
    pub async fn bind(
        options: Options,
        store: impl Into<ServedStore>,
        promise: impl Fn(Timestamp) -> Promise + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let error = |source| ServerError::Listen { listen: options.listen.clone(), source };
        let listener = TcpListener::bind(&options.listen).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let serving = Arc::new(Serving::new(options, Box::new(promise)));
        Ok(Self { listener, address, serving, store: store.into() })
    }

    /// The address listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes: readiness falls, requests are accepted for `options.drain`
    /// more, then those in flight end.
    ///
    /// # Errors
    /// [`ServerError::Serve`] when the listener fails.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ServerError> {
        let Self { listener, address, serving, store } = self;
        let mut tasks = JoinSet::new(); // aborts them when dropped
        tasks.spawn(follow_publications(serving.clone(), store));
        tasks.spawn(follow_schedule(serving.clone()));
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "could not turn off delays of a connection");
            }
        });
        let (closing, closed) = oneshot::channel();
        let router = routes::router(serving.clone());
        let serve = axum::serve(listener, router).with_graceful_shutdown(async move {
            shutdown.await;
            serving.end();
            tokio::time::sleep(serving.options.drain).await;
            let _ = closing.send(()); // nobody listens when the listener failed first
        });
        tokio::select! {
            served = serve.into_future() => served.map_err(|source| ServerError::Serve { address, source }),
            () = end_timeout(closed) => {
                tracing::warn!("connections still open were cut");
                Ok(())
            }
        }
    }
}

async fn end_timeout(closed: oneshot::Receiver<()>) {
    match closed.await {
        Ok(()) => tokio::time::sleep(END_TIMEOUT).await,
        Err(_) => std::future::pending().await,
    }
}
