//! What ends a process of a cluster.

use crate::unreachable::Unreachable;
use ballista_core::error::BallistaError;
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

/// Why a process of a cluster ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot listen there.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Its server ended.
    #[error("the server on {address} has ended")]
    Server {
        /// Where it listened.
        address: SocketAddr,
        /// Why.
        source: tonic::transport::Error,
    },
    /// Others would not take its certificate.
    #[error("its certificate {reason}: nobody could fetch from this executor at {host}")]
    Certificate {
        /// What others call its host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The folder cannot be used.
    #[error("the work folder cannot be used")]
    Folder(#[source] io::Error),
    /// The scheduler was not reached for too long.
    #[error("the scheduler at {scheduler} was not reached for {} s", after.as_secs())]
    GivenUp {
        /// Its address.
        scheduler: String,
        /// How long it was waited for.
        after: Duration,
        /// Why it was not reached at last.
        source: Option<Unreachable>,
    },
    /// The engine ended.
    #[error(transparent)]
    Engine(#[from] BallistaError),
}

/// Listens there; with the address as it is known to others, who cannot call port 0.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProcessError> {
    let told = |source| ProcessError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    Ok((listener, address))
}
