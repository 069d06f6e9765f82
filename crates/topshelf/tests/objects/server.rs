//! A real S3 server in this process that asks for no signature: a proxy may change what is asked.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::service::S3ServiceBuilder;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A server on a free port; it ends with the runtime it was started on.
pub(crate) struct S3Server {
    root: TempDir,
    address: SocketAddr,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        // In memory where there is such a folder: what is written here need not outlive anything.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(root.path().join("served")).unwrap();
        let files = s3s_fs::FileSystem::new(root.path().join("served")).unwrap();
        let service = S3ServiceBuilder::new(files).build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A client that hangs up is no failure of the server.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { root, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new bucket: the folder whose files are its objects.
    pub(crate) fn new_bucket(&self, name: &str) -> PathBuf {
        let folder = self.root.path().join("served").join(name);
        fs::create_dir(&folder).unwrap();
        folder
    }

    /// A folder on the same file system that is not served.
    pub(crate) fn beside(&self) -> &Path {
        self.root.path()
    }
}
