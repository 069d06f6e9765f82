//! Servers that a test needs and that nobody else has: with a certificate of the test's own, with a wrong clock,
//! without an answer, without a listener.

use crate::{authority::Signed, scene::Scene};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{self, Runtime},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// A runtime that goes on by itself while a test waits for the program.
pub(crate) fn runtime() -> Runtime {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What a server of TLS is asked before the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Https,
    /// PostgreSQL's request for TLS.
    Postgres,
}

/// A server that shakes hands with this certificate, and hangs up. Its port.
pub(crate) fn tls(scene: &mut Scene, signed: &Signed, before: Before) -> u16 {
    let (certificate, key) = signed.der.clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(scene, move |mut socket| {
        let acceptor = acceptor.clone();
        async move {
            if before == Before::Postgres {
                let mut request = [0; 8];
                socket.read_exact(&mut request).await?;
                assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "PostgreSQL's SSLRequest");
                socket.write_all(b"S").await?;
            }
            let mut stream = acceptor.accept(socket).await?;
            stream.shutdown().await
        }
    })
}

/// A server of HTTP that refuses every request, at this time.
pub(crate) fn refusing_at(scene: &mut Scene, date: &'static str) -> u16 {
    serve(scene, move |mut socket| async move {
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await?;
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).await
    })
}

/// What is wrong with a server of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It carries out a put with `If-None-Match` in any case.
    ConditionsIgnored,
    /// It carries out none.
    ConditionsUnknown,
    /// It allows no put.
    PutsDenied,
    /// It allows no delete.
    DeletesDenied,
}

/// A server of empty buckets that agrees to everything and forgets it, but for one fault.
pub(crate) fn agreeing(scene: &mut Scene, fault: Fault) -> u16 {
    serve(scene, move |mut socket| async move {
        let mut request = String::new();
        while !is_whole(&request) {
            let mut bytes = Vec::new();
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            request += std::str::from_utf8(&bytes).unwrap();
        }
        let (status, body) = agreed(&request, fault);
        let head = format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\nContent-Length: {}", body.len());
        socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes()).await
    })
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// What a server with that fault answers to a request.
fn agreed(request: &str, fault: Fault) -> (&'static str, String) {
    let denied = "<Code>AccessDenied</Code><Message>Access Denied</Message>";
    let has_condition = request.to_lowercase().contains("if-none-match");
    match (request.split(' ').next().unwrap(), fault) {
        ("PUT", Fault::PutsDenied) => ("403 Forbidden", format!("<Error>{denied}</Error>")),
        ("PUT", Fault::ConditionsUnknown) if has_condition => {
            ("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>".to_owned())
        }
        ("GET", _) => (
            "200 OK",
            "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
                .to_owned(),
        ),
        ("POST", _) => {
            let (_, rest) = request.split_once("<Key>").expect("what is posted is a list of keys to delete");
            let (key, _) = rest.split_once("</Key>").unwrap();
            let answer = match fault {
                Fault::DeletesDenied => format!("<Error><Key>{key}</Key>{denied}</Error>"),
                _ => format!("<Deleted><Key>{key}</Key></Deleted>"),
            };
            ("200 OK", format!("<DeleteResult>{answer}</DeleteResult>"))
        }
        ("HEAD", _) => ("403 Forbidden", String::new()),
        _ => ("200 OK", String::new()),
    }
}

/// A server that gives one answer to all.
pub(crate) fn answering(scene: &mut Scene, answer: &'static str) -> u16 {
    serve(scene, move |mut socket| async move {
        let _ = socket.read(&mut [0; 4096]).await?;
        socket.write_all(answer.as_bytes()).await
    })
}

/// A server of one object a log, which takes more than ten seconds to list `ads_views`, a page after the other.
pub(crate) fn listing_slowly(scene: &mut Scene) -> u16 {
    serve(scene, move |mut socket| async move {
        let mut bytes = [0; 4096];
        let read = socket.read(&mut bytes).await?;
        let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let target = request.split(' ').nth(1).unwrap_or_default();
        let page: u32 = target
            .split_once("continuation-token=")
            .map_or(0, |(_, rest)| rest.split('&').next().unwrap().parse().unwrap());
        let log =
            ["advertiser_ids", "ads_views", "product_views"].into_iter().find(|log| target.contains(log));
        let name = log.unwrap_or("advertiser_ids");
        let content = match name == "ads_views" && page < 8 {
            true => {
                tokio::time::sleep(Duration::from_millis(1400)).await;
                let next = page + 1;
                format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
                )
            }
            false => format!(
                "<IsTruncated>false</IsTruncated><Contents><Key>night/{name}.csv</Key><LastModified>2024-11-21T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>10</Size></Contents>"
            ),
        };
        let body = format!("<ListBucketResult>{content}</ListBucketResult>");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
        socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes()).await
    })
}

/// A server that hears every request, and never answers.
pub(crate) fn mute(scene: &mut Scene) -> u16 {
    serve(scene, |mut socket| async move {
        let mut request = [0; 4096];
        while socket.read(&mut request).await? > 0 {}
        Ok(())
    })
}

fn serve<W>(scene: &mut Scene, answer: impl Fn(TcpStream) -> W + Send + 'static) -> u16
where
    W: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Clients hang up when they have seen enough.
            tokio::spawn(answer(socket));
        }
    });
    scene.keep(runtime);
    port
}

/// A port at which nobody listens while the scene lasts: it is bound, and that is all.
pub(crate) fn refused_port(scene: &mut Scene) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    scene.keep(socket);
    port
}

/// A port whose listener accepts nobody and whose queue is full: the system drops whatever comes, in silence.
pub(crate) fn dropping_port(scene: &mut Scene) -> u16 {
    let runtime = runtime();
    let (listener, queued) = runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
            queued.push(connected.unwrap());
        }
        (listener, queued)
    });
    let port = listener.local_addr().unwrap().port();
    scene.keep((listener, queued));
    scene.keep(runtime);
    port
}
