//! A real S3 server in this process: what lies in its directory is what it serves.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use std::path::Path;
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "AKIDTOPSHELF";
const SECRET_KEY: &str = "a secret of the tests";

/// Starts a server whose buckets are the folders in `root`; it ends with the runtime. What comes back
/// is the environment in which a program finds it.
pub(crate) async fn start(root: &Path) -> Vec<(String, String)> {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Short answers go out at once, not when the client has acknowledged the one before.
            socket.set_nodelay(true).unwrap();
            let service = service.clone();
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
