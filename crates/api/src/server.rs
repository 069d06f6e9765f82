//! The server: bound, then run until it is told to end.

use crate::{
    front::Front,
    options::{Options, Promise, ServedStore},
    refresh::{follow_publications, follow_schedule},
    routes,
    serving::Serving,
};
use futures::FutureExt;
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

/// How long the last connections have to send their request before those that sent none are closed.
const LAST_REQUEST_TIME: Duration = Duration::from_millis(100);

/// The pause before work that broke off begins anew.
const DEFECT_PAUSE: Duration = Duration::from_secs(1);

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
        let followed = serving.clone();
        tasks.spawn(for_ever(move || follow_publications(followed.clone(), store.clone())));
        let followed = serving.clone();
        tasks.spawn(for_ever(move || follow_schedule(followed.clone())));
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
        // Who has connected is answered: the kernel has said yes in our name.
        while let Some(Ok((connection, _))) = listener.accept().now_or_never() {
            serve(connection, front.clone(), &connections);
        }
        drop(listener);
        tokio::time::sleep(LAST_REQUEST_TIME).await;
        if tokio::time::timeout(END_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("connections still open were cut");
        }
    }
}

/// Does work that does not end; when it does, which is a defect, it begins anew.
async fn for_ever<W: Future<Output = ()> + Send + 'static>(work: impl Fn() -> W) {
    loop {
        let mut task = JoinSet::new(); // aborts it when dropped
        task.spawn(work());
        let ended = task.join_next().await;
        tracing::error!(?ended, "a task of the server broke off and begins anew: this is a defect");
        tokio::time::sleep(DEFECT_PAUSE).await;
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
        // Not `pipeline_flush`: answers would wait for as long as bytes of a next request are there, however many answers.
        .writev(false)
        .serve_connection(TokioIo::new(connection), front);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}
