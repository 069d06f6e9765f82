//! A real S3 server in this process: what is put into its directory is what it serves.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "AKIDTOPSHELF";
const SECRET_KEY: &str = "a secret that no message shows";

/// A server on a free port with one bucket, `logs`; it ends with the runtime it was started on.
pub(crate) struct S3Server {
    root: TempDir,
    endpoint: String,
}

impl S3Server {
    /// Starts a server that accepts only requests signed with its keys.
    pub(crate) async fn start() -> Self {
        Self::start_with(true).await
    }

    /// Starts a server that asks for no signature.
    pub(crate) async fn start_public() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(is_signed: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("logs")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        if is_signed {
            service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        }
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A client that hangs up is no failure of the server.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { root, endpoint }
    }

    /// The directory whose files are the bucket's objects.
    pub(crate) fn bucket_directory(&self) -> PathBuf {
        self.root.path().join("logs")
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The environment in which a program finds this server.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }
}
