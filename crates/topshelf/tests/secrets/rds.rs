//! What stands before a PostgreSQL and wants tokens for passwords, as RDS does: over TLS alone, asked for in clear.

use crate::authority::Signed;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::{self, Runtime},
};
use tokio_rustls::TlsAcceptor;

/// A server before another, which must trust the role `night`.
pub(crate) struct Rds {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

/// What it was sent, and for how long it takes a token.
struct State {
    tokens: Vec<String>,
    refused: usize,
    good_for: SignedDuration,
}

impl Rds {
    pub(crate) fn before(backend: String, signed: &Signed) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (certificate, key) = signed.der.clone();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let good_for = SignedDuration::from_mins(15);
        let state = Arc::new(Mutex::new(State { tokens: Vec::new(), refused: 0, good_for }));
        let rds = Self { port, state: Arc::clone(&state), _runtime: runtime };
        rds._runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, state, backend) = (acceptor.clone(), Arc::clone(&state), backend.clone());
                // A client that hangs up is no failure of the server.
                tokio::spawn(async move { drop(serve(socket, acceptor, port, &state, &backend).await) });
            }
        });
        rds
    }

    /// Takes tokens that are younger than that from here on.
    pub(crate) fn takes_tokens_for(&self, good_for: SignedDuration) {
        self.state.lock().unwrap().good_for = good_for;
    }

    /// The tokens that it was sent, in order.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().tokens.clone()
    }

    /// How many of them it refused.
    pub(crate) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }
}

async fn serve(
    mut socket: TcpStream,
    acceptor: TlsAcceptor,
    port: u16,
    state: &Mutex<State>,
    backend: &str,
) -> io::Result<()> {
    let mut request = [0; 8];
    socket.read_exact(&mut request).await?;
    assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "nobody comes without TLS");
    socket.write_all(b"S").await?;
    let mut stream = acceptor.accept(socket).await?;
    let length = stream.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await?;
    // AuthenticationCleartextPassword.
    stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await?;
    assert_eq!(stream.read_u8().await?, b'p');
    let mut password = vec![0; stream.read_u32().await? as usize - 4];
    stream.read_exact(&mut password).await?;
    let password = String::from_utf8(password).unwrap().trim_end_matches('\0').to_owned();
    let is_taken = {
        let mut state = state.lock().unwrap();
        let is_taken = is_good(&password, port, state.good_for);
        state.tokens.push(password);
        state.refused += usize::from(!is_taken);
        is_taken
    };
    if !is_taken {
        let fields = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"night\"\0\0";
        stream.write_u8(b'E').await?;
        stream.write_u32(u32::try_from(fields.len()).unwrap() + 4).await?;
        stream.write_all(fields).await?;
        return stream.shutdown().await;
    }
    let mut backend = TcpStream::connect(backend).await?;
    backend.write_u32(length).await?;
    backend.write_all(&startup).await?;
    copy_bidirectional(&mut stream, &mut backend).await.map(drop)
}

/// Whether it is a token of this server for `night`, and young enough. Its signature is looked at by the crate's own tests.
fn is_good(token: &str, port: u16, good_for: SignedDuration) -> bool {
    let Some(query) = token.strip_prefix(&format!("localhost:{port}/?")) else { return false };
    let of: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let day = Timestamp::now().strftime("%Y%m%d").to_string();
    let value = |name: &str| of.get(name).copied().unwrap_or_default();
    let made_at = DateTime::strptime("%Y%m%dT%H%M%SZ", value("X-Amz-Date"));
    let Ok(made_at) = made_at.and_then(|at| at.to_zoned(TimeZone::UTC)) else { return false };
    value("Action") == "connect"
        && value("DBUser") == "night"
        && value("X-Amz-Algorithm") == "AWS4-HMAC-SHA256"
        && value("X-Amz-Credential").starts_with("AKID")
        && value("X-Amz-Credential").ends_with(&format!("%2F{day}%2Feu-west-1%2Frds-db%2Faws4_request"))
        && value("X-Amz-Expires") == "900"
        && value("X-Amz-SignedHeaders") == "host"
        && value("X-Amz-Security-Token") == "hunter2-session"
        && value("X-Amz-Signature").len() == 64
        && Timestamp::now().duration_since(made_at.timestamp()) < good_for
}
