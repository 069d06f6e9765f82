//! Lakes to write to, and what lies in them.

use crate::s3_server::S3Server;
use bytes::Bytes;
use futures::TryStreamExt;
use lake::Lake;
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, local::LocalFileSystem, path::Path};
use std::{collections::BTreeMap, sync::Arc};
use tempfile::TempDir;

/// A lake of a test's own, with the store below it.
pub(crate) struct Place {
    pub(crate) lake: Lake,
    pub(crate) store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where the objects are files: what a directory holds, not what a server keeps.
    pub(crate) directory: Option<TempDir>,
    _server: Option<S3Server>,
}

/// Runs a test in an empty directory, then below an empty prefix of an S3 server's bucket.
pub(crate) async fn on_both(test: impl AsyncFn(&Place)) {
    test(&Place::directory()).await;
    test(&Place::bucket().await).await;
}

impl Place {
    pub(crate) fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        let store = Arc::new(store.with_automatic_cleanup(true));
        let lake =
            Lake::new(store.clone(), Path::ROOT, "LAKE").in_directory(Some(directory.path().to_owned()));
        Self { lake, store, prefix: Path::ROOT, directory: Some(directory), _server: None }
    }

    pub(crate) async fn bucket() -> Self {
        let server = S3Server::start().await;
        let mut builder = AmazonS3Builder::new().with_bucket_name("logs").with_allow_http(true);
        for (name, value) in server.environment() {
            builder = builder.with_config(name.to_lowercase().parse().unwrap(), value);
        }
        let store = Arc::new(builder.build().unwrap());
        let prefix = Path::parse("lake of ü/50%").unwrap();
        let lake = Lake::new(store.clone(), prefix.clone(), "LAKE/");
        Self { lake, store, prefix, directory: None, _server: Some(server) }
    }

    /// Every object of the lake by its name, without what only the server sees.
    pub(crate) async fn objects(&self) -> BTreeMap<String, Bytes> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_root());
        let metas: Vec<_> = self.store.list(prefix).try_collect().await.unwrap();
        let mut objects = BTreeMap::new();
        for meta in metas {
            let bytes = self.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            let name = meta.location.as_ref().strip_prefix(self.prefix.as_ref()).unwrap();
            objects.insert(name.trim_start_matches('/').to_owned(), bytes);
        }
        objects
    }

    pub(crate) async fn put(&self, name: &str, bytes: Bytes) {
        self.store.put(&self.path(name), bytes.into()).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.store.delete(&self.path(name)).await.unwrap();
    }

    fn path(&self, name: &str) -> Path {
        Path::parse(format!("{}/{name}", self.prefix)).unwrap()
    }
}
