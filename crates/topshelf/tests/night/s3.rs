//! A real S3 server in this process: what lies in its directory is what it serves. It lets nobody write to a bucket whose
//! folder is marked read-only.

use futures::{FutureExt, future::BoxFuture};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    Body, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    service::S3ServiceBuilder,
};
use std::{
    fs,
    future::ready,
    path::{Path, PathBuf},
};
use tokio::net::TcpListener;

const ACCESS_KEY: &str = "AKIDTOPSHELF";
const SECRET_KEY: &str = "a secret of the tests";

/// Who may do what, by the folder of all buckets.
struct Access(PathBuf);

impl S3Access for Access {
    fn check<'s, 'c, 'x, 'f>(&'s self, context: &'c mut S3AccessContext<'x>) -> BoxFuture<'f, S3Result<()>>
    where
        's: 'f,
        'c: 'f,
        'x: 'f,
        Self: 'f,
    {
        let bucket = context.s3_path().get_bucket_name().map(|bucket| self.0.join(bucket));
        let is_read_only = bucket
            .and_then(|bucket| fs::metadata(bucket).ok())
            .is_some_and(|bucket| bucket.permissions().readonly());
        let reads = ["Get", "Head", "List"].iter().any(|name| context.s3_op().name().starts_with(name));
        let is_known = context.credentials().is_some();
        let is_allowed = is_known && (reads || !is_read_only);
        ready(if is_allowed { Ok(()) } else { Err(S3ErrorCode::AccessDenied.into()) }).boxed()
    }
}

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
    service.set_access(Access(root.to_owned()));
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
