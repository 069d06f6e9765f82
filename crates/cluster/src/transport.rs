//! How processes of a cluster connect: plainly, or by mutual TLS.
//!
//! The engine makes its connections by itself, and lets each be changed before. Why a peer cannot be talked to it does
//! not tell well, above all with TLS: so a connection that asks for nothing comes first.

use crate::{
    answers,
    members::Members,
    tls::{Tls, TlsError, TlsFiles},
    unreachable::{Unreachable, lacks, refusal},
};
use ballista_core::{
    extension::{EndpointOverrideFn, SessionConfigExt},
    utils::{GrpcClientConfig, create_grpc_client_endpoint},
};
use datafusion::prelude::SessionConfig;
use futures::stream;
use rustls::{
    client::verify_server_name,
    pki_types::{InvalidDnsNameError, ServerName},
    server::ParsedCertificate,
};
use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};
use tonic::{
    Code,
    transport::{
        Channel, Endpoint,
        server::{Router, TcpIncoming},
    },
};

/// How long a connection and its handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How often it is tried again to reach who is not reached.
pub(crate) const TRY_EVERY: Duration = Duration::from_secs(1);

/// How often the other end of a connection is asked whether it is there, and how long it may take to answer.
const ASK_EVERY: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long the log is silent after it told of a peer that was refused.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How connections are made and taken. Without files they are plain.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    tls: Option<Arc<Tls>>,
}

impl Transport {
    /// By mutual TLS: both sides show a certificate of the authority.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn tls(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { tls: Some(Arc::new(Tls::load(files, CONNECT_WITHIN)?)) })
    }

    /// Whether it is by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Makes sure that the certificate, if there is one, is for a host of this process.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn is_for(&self, host: &str) -> Result<(), String> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let name = server_name(host).map_err(|error| error.to_string())?;
        let ours = ParsedCertificate::try_from(&tls.certificate).map_err(|error| error.to_string())?;
        verify_server_name(&ours, &name).map_err(|error| match error {
            rustls::Error::InvalidCertificate(error) => lacks(&error),
            error => error.to_string(),
        })
    }

    /// What the engine does to each of its connections before it makes it.
    pub(crate) fn of_engine(&self) -> EndpointOverrideFn {
        let tls = self.tls.clone();
        Arc::new(move |endpoint| {
            let Some(tls) = &tls else { return Ok(watched(endpoint)) };
            Ok(watched(secure(endpoint)?).tls_config(tls.engine.clone())?)
        })
    }

    /// A session whose connections are made so.
    pub(crate) fn session(&self, config: SessionConfig) -> SessionConfig {
        config
            .with_ballista_use_tls(self.is_tls())
            .with_ballista_override_create_grpc_client_endpoint(self.of_engine())
    }

    /// Serves until it is told to stop; then who is being answered has so long to the end of it.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub(crate) async fn serve(
        &self,
        router: Router,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) -> Result<(), tonic::transport::Error> {
        let (stop_server, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let serving = async {
            match &self.tls {
                None => {
                    let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
                    router.serve_with_incoming_shutdown(plain, stopped).await
                }
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(Arc::clone(&tls.server));
                    router.serve_with_incoming_shutdown(let_in(listener, acceptor), stopped).await
                }
            }
        };
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            () = stop => drop(stop_server),
        }
        timeout(grace, serving).await.unwrap_or(Ok(()))
    }
}

/// The same endpoint, which notices soon that nobody answers any more: a machine that vanished says nothing, and neither
/// does a process that stands still. The engine would ask every five minutes, or never.
fn watched(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(ASK_EVERY)
        .keep_alive_timeout(ANSWER_WITHIN)
        .keep_alive_while_idle(true)
}

/// The same endpoint, by https.
fn secure(endpoint: Endpoint) -> Result<Endpoint, tonic::transport::Error> {
    match endpoint.uri().authority() {
        Some(authority) if endpoint.uri().scheme_str() != Some("https") => {
            create_grpc_client_endpoint(format!("https://{authority}"), Some(&GrpcClientConfig::default()))
        }
        _ => Ok(endpoint),
    }
}

/// Connections whose peers have shown a certificate of the authority.
fn let_in(
    listener: TcpListener,
    acceptor: TlsAcceptor,
) -> impl stream::Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let untold = Arc::new(Untold::default());
        loop {
            let connection = tokio::select! {
                connection = listener.accept() => connection,
                () = sender.closed() => return,
            };
            let Ok((connection, peer)) = connection else {
                // Out of files, say: it passes, or not.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let _ = connection.set_nodelay(true);
            let (acceptor, sender, untold) = (acceptor.clone(), sender.clone(), Arc::clone(&untold));
            tokio::spawn(async move {
                match timeout(CONNECT_WITHIN, acceptor.accept(connection)).await {
                    Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                    Ok(Err(error)) => untold.tell(peer.ip(), &refusal(&error)),
                    Err(_) => untold.tell(peer.ip(), "it said nothing"),
                }
            });
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|connection| (connection, receiver))
    })
}

/// What the log was not told, so that nobody fills it from outside.
#[derive(Default)]
struct Untold {
    /// When it was told of each reason.
    told_at: Mutex<HashMap<String, Instant>>,
    count: AtomicU64,
}

/// Reasons that are told beside each other: names of others may stand in them.
const REASONS_MAX: usize = 16;

impl Untold {
    fn tell(&self, peer: IpAddr, reason: &str) {
        let mut told_at = self.told_at.lock().expect("nobody panics while telling");
        told_at.retain(|_, at| at.elapsed() < TELL_EVERY);
        if told_at.contains_key(reason) || told_at.len() == REASONS_MAX {
            self.count.fetch_add(1, Relaxed);
            return;
        }
        told_at.insert(reason.to_owned(), Instant::now());
        let others = self.count.swap(0, Relaxed);
        tracing::warn!(%peer, reason, others, "a connection was refused");
    }
}

/// A host of URLs, as certificates have it.
fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// A process of a cluster, and how it is connected to.
#[derive(Debug, Clone)]
pub struct Peer {
    address: String,
    transport: Transport,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Peer {
    /// The one at `host:port`.
    #[must_use]
    pub fn new(address: impl Into<String>, transport: Transport) -> Self {
        Self { address: address.into(), transport }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Connects as the engine does.
    pub(crate) async fn connect(&self) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
        let endpoint =
            create_grpc_client_endpoint(format!("http://{self}"), Some(&GrpcClientConfig::default()))?;
        Ok((self.transport.of_engine())(endpoint)?.connect().await?)
    }

    /// The same, once something is asked.
    pub(crate) fn channel(&self) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
        let endpoint =
            create_grpc_client_endpoint(format!("http://{self}"), Some(&GrpcClientConfig::default()))?;
        Ok((self.transport.of_engine())(endpoint)?.connect_lazy())
    }

    /// Waits until it is there and may be talked to, for so long; it is asked at least once.
    ///
    /// # Errors
    /// What was wrong in the end, on which side.
    pub async fn reach(&self, within: Duration) -> Result<(), Unreachable> {
        let deadline = Instant::now() + within;
        loop {
            match self.greet().await {
                Ok(_) => return Ok(()),
                Err(unreachable) if Instant::now() >= deadline => return Err(unreachable),
                Err(_) => tokio::time::sleep(TRY_EVERY).await,
            }
        }
    }

    /// Makes sure that it is there, may be talked to and is a scheduler; by which address of this machine it is reached.
    ///
    /// # Errors
    /// What is wrong, on which side.
    pub(crate) async fn greet(&self) -> Result<IpAddr, Unreachable> {
        let greeted = async {
            let ours = self.say_hello().await?;
            match self.ask_members().await {
                Err(Unreachable::NoScheduler) => Err(Unreachable::NoScheduler),
                // What else is wrong is told when it is asked for something.
                _ => Ok(ours),
            }
        };
        timeout(CONNECT_WITHIN, greeted).await.unwrap_or(Err(Unreachable::Silent))
    }

    /// The cluster of a scheduler.
    ///
    /// # Errors
    /// What is wrong, on which side.
    pub async fn members(&self) -> Result<Members, Unreachable> {
        let told = async {
            self.say_hello().await?;
            self.ask_members().await
        };
        timeout(CONNECT_WITHIN, told).await.unwrap_or(Err(Unreachable::Silent))
    }

    /// Makes sure that it is there and may be talked to, whatever it is.
    ///
    /// # Errors
    /// What is wrong, on which side.
    pub async fn hello(&self) -> Result<(), Unreachable> {
        timeout(CONNECT_WITHIN, self.say_hello()).await.unwrap_or(Err(Unreachable::Silent)).map(drop)
    }

    async fn ask_members(&self) -> Result<Members, Unreachable> {
        let channel = self.channel().map_err(|error| Unreachable::Connection(io::Error::other(error)))?;
        answers::members(&channel).await.map_err(|answer| match answer.code() {
            Code::Unimplemented => Unreachable::NoScheduler,
            _ => Unreachable::NoAnswer(answer.message().to_owned()),
        })
    }

    async fn say_hello(&self) -> Result<IpAddr, Unreachable> {
        let connection = TcpStream::connect(&self.address).await.map_err(Unreachable::Connection)?;
        let ours = connection.local_addr().map_err(Unreachable::Connection)?.ip();
        match &self.transport.tls {
            None => speak_http2(connection).await?,
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
                let name = server_name(host).map_err(|error| {
                    Unreachable::Connection(io::Error::new(io::ErrorKind::InvalidInput, error))
                })?;
                let connector = TlsConnector::from(Arc::clone(&tls.client));
                speak_http2(connector.connect(name, connection).await?).await?;
            }
        }
        Ok(ours)
    }
}

/// Says the first words of HTTP/2, and hears whether the same come back.
async fn speak_http2(mut connection: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Unreachable> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    const SETTINGS: u8 = 4;
    const TLS_ALERT: u8 = 0x15;
    // Who refuses us may have hung up already: why, is still to be read.
    let said = async {
        connection.write_all(PREFACE).await?;
        connection.write_all(&EMPTY_SETTINGS).await?;
        connection.flush().await
    };
    let _ = said.await;
    let mut heard = [0; 4];
    match connection.read_exact(&mut heard).await {
        Ok(_) if heard[3] == SETTINGS => Ok(()),
        Ok(_) if heard[0] == TLS_ALERT => Err(Unreachable::SpeaksTls),
        Ok(_) => Err(Unreachable::OfAnotherKind),
        Err(error) => Err(error.into()),
    }
}
