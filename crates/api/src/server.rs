//! The server: bound, then run until it is told to end.

use crate::{
    front::Front,
    options::{Options, Promise, ServedStore},
    refresh::{follow_publications, follow_schedule},
    routes,
    serving::Serving,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use jiff::Timestamp;
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How long connections may take to end after the listener closed, before they are cut.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause after a connection could not be accepted because this process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

    /// Serves until `shutdown` completes: readiness falls, and connections are accepted for as long as it says, the time
    /// a load balancer needs to notice. Each answer then asks the client to connect anew. At last those in flight end.
    pub async fn run(self, shutdown: impl Future<Output = Duration>) {
        let Self { listener, serving, store, .. } = self;
        let mut tasks = JoinSet::new(); // aborts them when dropped
        tasks.spawn(follow_publications(serving.clone(), store));
        tasks.spawn(follow_schedule(serving.clone()));
        let front = Front::new(serving.clone(), routes::router(serving.clone()));
        let connections = GracefulShutdown::new();
        let drained = async {
            let drain = shutdown.await;
            serving.end();
            tracing::info!(drain_seconds = drain.as_secs_f64(), "no longer ready");
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            () = accept(&listener, &front, &connections) => (),
            () = drained => (),
        }
        drop(listener);
        if tokio::time::timeout(END_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("connections still open were cut");
        }
    }
}

/// Accepts connections, each served by a task of its own, until dropped.
async fn accept(listener: &TcpListener, front: &Front, connections: &GracefulShutdown) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => serve(connection, front.clone(), connections),
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn serve(connection: TcpStream, front: Front, connections: &GracefulShutdown) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "could not turn off delays of a connection");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(connection), front);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}
