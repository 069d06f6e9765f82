//! The server: bound, then run until it is told to end.

use crate::{
    door::{Door, DoorMetrics},
    entrance::Entrance,
    front::Front,
    limits::Limits,
    options::{Options, Promise, ServedStore},
    refresh::{follow_publications, follow_schedule},
    serving::Serving,
    tls::{Tls, TlsError},
};
use futures::future::join_all;
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};

/// How long connections may take to end after the listener closed, before they are cut.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the last connections have to send their request before those that sent none are closed; with TLS, to agree
/// on keys first.
const LAST_REQUEST_TIME: Duration = Duration::from_millis(100);
const LAST_TLS_REQUEST_TIME: Duration = Duration::from_millis(500);

/// The pause before work that broke off begins anew.
const DEFECT_PAUSE: Duration = Duration::from_secs(1);

/// Connections of operators, whom no crowd at the public door keeps out.
const OPERATOR_CONNECTIONS_MAX: usize = 256;

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("could not listen on {listen}: choose another address with {key}")]
    Listen {
        /// The configuration key that names it.
        key: &'static str,
        /// The address, as configured.
        listen: String,
        /// Why not.
        source: io::Error,
    },
    /// Certificate and key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens; it answers once it runs.
pub struct Server {
    public: Listening,
    operator: Option<Listening>,
    tls: Option<Arc<Tls>>,
    serving: Arc<Serving>,
    store: ServedStore,
}

/// A socket that is listened on.
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    async fn bind(key: &'static str, listen: &str) -> Result<Self, ServerError> {
        let error = |source| ServerError::Listen { key, listen: listen.to_owned(), source };
        let listener = TcpListener::bind(listen).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address })
    }
}

impl Server {
    /// Listens as `options` say, to serve what `store` publishes. `promise` says what should be
    /// published at a moment; it is asked several times a second and must not block.
    ///
    /// The store is not asked for anything yet: a server starts without a database, and waits for it.
    /// It never migrates the store.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when an address cannot be listened on, [`ServerError::Tls`] when certificate and key
    /// cannot be used.
    pub async fn bind(
        options: Options,
        store: impl Into<ServedStore>,
        promise: impl Fn(Timestamp) -> Promise + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let public = Listening::bind("serve.listen", &options.listen).await?;
        let operator = match &options.operator_listen {
            Some(listen) => Some(Listening::bind("serve.operator_listen", listen).await?),
            None => None,
        };
        let asks_for_keys = options.keys.are_asked_for(public.address);
        if !asks_for_keys && !public.address.ip().is_loopback() {
            tracing::warn!(address = %public.address, "no API keys are asked for: whoever reaches this address sees all");
        }
        let serving = Arc::new(Serving::new(options, asks_for_keys, Box::new(promise)));
        let tls = serving.options.tls.clone().map(|files| Tls::load(files, &serving.telemetry));
        let tls = tls.transpose()?.map(Arc::new);
        Ok(Self { public, operator, tls, serving, store: store.into() })
    }

    /// The address listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// The same as a URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.public.address)
    }

    /// The address listened on for operators, if they have one of their own.
    #[must_use]
    pub fn operator_address(&self) -> Option<SocketAddr> {
        self.operator.as_ref().map(|listening| listening.address)
    }

    /// Serves until `shutdown` completes: readiness falls, and connections are accepted for as long as it says, the time
    /// a load balancer needs to notice. Each answer then asks the client to connect anew. At last those in flight end.
    pub async fn run(self, shutdown: impl Future<Output = Duration>) {
        let serving = self.serving.clone();
        let last_request_time = if self.tls.is_some() { LAST_TLS_REQUEST_TIME } else { LAST_REQUEST_TIME };
        let mut tasks = self.follow();
        let entrances = self.entrances();
        let watches: Vec<_> = entrances.iter().map(Entrance::watch).collect();
        for watch in watches.clone() {
            tasks.spawn(for_ever(move || watch.clone().keep()));
        }
        let connections = GracefulShutdown::new();
        let drained = async {
            let drain = shutdown.await;
            serving.end();
            tracing::info!(drain_seconds = drain.as_secs_f64(), "no longer ready");
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            _ = join_all(entrances.iter().map(|entrance| entrance.accept(&connections))) => (),
            () = drained => (),
        }
        // Who has connected is answered: the kernel has said yes in our name.
        entrances.iter().for_each(|entrance| entrance.accept_waiting(&connections));
        drop(entrances);
        tokio::time::sleep(last_request_time).await;
        if tokio::time::timeout(END_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("connections still open are cut");
            watches.iter().for_each(|watch| watch.end_all());
        }
    }

    /// Begins what goes on beside answering, until what is returned is dropped.
    fn follow(&self) -> JoinSet<()> {
        let Self { serving, store, .. } = self;
        let mut tasks = JoinSet::new();
        let (followed, store) = (serving.clone(), store.clone());
        tasks.spawn(for_ever(move || follow_publications(followed.clone(), store.clone())));
        let followed = serving.clone();
        tasks.spawn(for_ever(move || follow_schedule(followed.clone())));
        if let Some(tls) = self.tls.clone() {
            let serving = serving.clone();
            tasks.spawn(for_ever(move || tls.clone().follow(serving.clone())));
        }
        tasks
    }

    fn entrances(self) -> Vec<Entrance> {
        let Self { serving, public, operator, tls, .. } = self;
        let metrics = DoorMetrics::new(&serving.telemetry);
        let limits = serving.options.limits.clone();
        let operator = operator.map(|listening| {
            let limits = Limits {
                connections_max: OPERATOR_CONNECTIONS_MAX,
                connections_per_address_max: OPERATOR_CONNECTIONS_MAX,
                ..limits.clone()
            };
            let front = Front::for_operators(serving.clone());
            Entrance::new(listening.listener, Door::new(&limits, metrics.clone()), front, None)
        });
        let front = Front::public(serving.clone());
        let public = Entrance::new(public.listener, Door::new(&limits, metrics), front, tls);
        [public].into_iter().chain(operator).collect()
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
