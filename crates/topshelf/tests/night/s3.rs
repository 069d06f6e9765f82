//! A real S3 server in this process: what lies in its directory is what it serves.

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{Body, auth::SimpleAuth, service::S3ServiceBuilder};
use std::{future::ready, path::Path};
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "AKIDTOPSHELF";
const SECRET_KEY: &str = "a secret of the tests";

/// Starts a server whose buckets are the folders in `root`; it ends with the runtime. What comes back
/// is the environment in which a program finds it.
pub(crate) async fn start(root: &Path) -> Vec<(String, String)> {
    start_behind(root, |_, _| (ready(()), ready(()))).await
}

/// The same of a server that waits: of each request the gate is told method and path, and gives what to wait
/// for before it is carried out, and then before it is answered.
pub(crate) async fn start_behind<W: Future<Output = ()> + Send + 'static>(
    root: &Path,
    gate: impl Fn(&str, &str) -> (W, W) + Clone + Send + 'static,
) -> Vec<(String, String)> {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Short answers go out at once, not when the client has acknowledged the one before.
            socket.set_nodelay(true).unwrap();
            let (service, gate) = (service.clone(), gate.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (carried_out, answered) = gate(request.method().as_str(), request.uri().path());
                let service = service.clone();
                async move {
                    carried_out.await;
                    let answer = service.call(request.map(Body::from)).await;
                    answered.await;
                    answer
                }
            });
            tokio::spawn(async move {
                let http = Builder::new(TokioExecutor::new());
                // A client that hangs up is no failure of the server.
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}
