//! A listener and the way in: the door, TLS where there is some, then HTTP.
//!
//! Accepting waits for nobody: handshakes, heads and bodies are each connection's own matter, in a task of its own.

use crate::{
    caller::Peer,
    door::{Door, Inside},
    front::Front,
    limits::Limits,
    pulse::{Bare, Pulse, Stream},
    tls::Tls,
    watch::Watch,
};
use futures::FutureExt;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// The pause after a connection could not be accepted because this process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least that hyper takes.
const HEAD_BYTES_MIN: usize = 8192;

/// So many headers hyper reads unless it is told another number, which would cost it time with each request. Who sends more
/// than are allowed, but no more than that, is told why.
const HEADERS_READ_MAX: usize = 100;

/// A listener and what is behind it.
pub(crate) struct Entrance {
    listener: TcpListener,
    door: Arc<Door>,
    watch: Arc<Watch>,
    way: Arc<Way>,
}

/// What each connection of a listener goes through.
struct Way {
    tls: Option<Arc<Tls>>,
    http: http1::Builder,
    front: Front,
}

impl Entrance {
    pub(crate) fn new(listener: TcpListener, door: Arc<Door>, front: Front, tls: Option<Arc<Tls>>) -> Self {
        let http = http(front.limits());
        let watch = Watch::new(front.limits(), door.metrics().clone());
        Self { listener, door, watch, way: Arc::new(Way { tls, http, front }) }
    }

    /// What ends connections that do nothing for too long, if it is kept.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }

    /// Accepts connections, each served by a task of its own, until dropped.
    pub(crate) async fn accept(&self, connections: &GracefulShutdown) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => self.serve(accepted, connections),
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

    /// Accepts those that have connected already.
    pub(crate) fn accept_waiting(&self, connections: &GracefulShutdown) {
        while let Some(Ok(accepted)) = self.listener.accept().now_or_never() {
            self.serve(accepted, connections);
        }
    }

    fn serve(&self, (connection, address): (TcpStream, SocketAddr), connections: &GracefulShutdown) {
        let peer = self.way.front.peer(address.ip());
        let Some(inside) = self.door.enter(peer) else { return };
        let pulse = Arc::new(Pulse::new(self.way.tls.is_some()));
        let serving = self.way.clone().serve(connection, peer, inside, pulse.clone(), connections.watcher());
        tokio::spawn(self.watch.over(pulse, serving));
    }
}

impl Way {
    async fn serve(
        self: Arc<Self>,
        connection: TcpStream,
        peer: Peer,
        inside: Inside,
        pulse: Arc<Pulse>,
        watcher: Watcher,
    ) {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "could not turn off delays of a connection");
        }
        let Some(bare) = self.bare(connection, &pulse).await else { return };
        let stream = TokioIo::new(Stream::new(bare, pulse.clone()));
        let connection = self.http.serve_connection(stream, self.front.visit(peer, inside.owner(), pulse));
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }

    /// The connection after a handshake, if it takes one; none when that fails.
    async fn bare(&self, connection: TcpStream, pulse: &Pulse) -> Option<Bare> {
        let Some(tls) = &self.tls else { return Some(Bare::Plain(connection)) };
        match tls.acceptor().accept(connection).await {
            Ok(stream) => {
                pulse.shook_hands();
                Some(Bare::Tls(Box::new(stream)))
            }
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }
}

/// HTTP/1.1 as the limits say. A head that is too long is answered by hyper itself, 431 without a body.
///
/// Answers are not gathered (`pipeline_flush`): hyper would keep those of a client that sends on and on, and write none.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None) // crate::watch does that
        .writev(false) // copying short answers behind their heads takes less time
        .max_buf_size(limits.head_bytes_max.max(HEAD_BYTES_MIN));
    if limits.headers_max > HEADERS_READ_MAX {
        http.max_headers(limits.headers_max);
    }
    http
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
