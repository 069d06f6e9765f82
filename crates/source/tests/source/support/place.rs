//! The same cases on a directory and on an S3 server.

use super::{Asked, Fate, Proxy, S3Server, settings};
use domain::{Day, Log};
use object_store::{ObjectStoreExt, path::Path};
use source::{
    AwsSettings, Location, LogPattern, ObjectDays, ObjectInfo, PlannedObject, ReadLimits, Reading,
    SourceError,
};
use std::{io::Read, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A location that a test may write to.
pub(crate) struct Place {
    pub(crate) location: Location,
    directory: PathBuf,
    server: Option<S3Server>,
    _temporary: TempDir,
}

/// Runs a test in an empty directory, then below an empty prefix of an S3 server's bucket.
pub(crate) async fn on_both(test: impl AsyncFn(&Place)) {
    test(&Place::directory()).await;
    test(&Place::bucket().await).await;
}

impl Place {
    pub(crate) fn directory() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().to_owned();
        let location = Location::open(directory.to_str().unwrap()).unwrap();
        Self { location, directory, server: None, _temporary: temporary }
    }

    pub(crate) async fn bucket() -> Self {
        let server = S3Server::start().await;
        let location = Location::open_with("s3://logs/ad logs/2024/", false, &settings(&server)).unwrap();
        let directory = server.bucket_directory().join("ad logs/2024");
        std::fs::create_dir_all(&directory).unwrap();
        Self { location, directory, server: Some(server), _temporary: tempfile::tempdir().unwrap() }
    }

    /// The same objects, asked for through a proxy, with this patience for what fails.
    pub(crate) async fn through(
        &self,
        latency: Duration,
        patience: Duration,
        rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> (Location, Proxy) {
        let server = self.server.as_ref().expect("only a bucket has a network before it");
        let proxy = Proxy::start(server.endpoint(), latency, rule).await;
        let endpoint = ("AWS_ENDPOINT_URL", proxy.endpoint().to_owned());
        let settings = AwsSettings::from_pairs(server.environment().into_iter().chain([endpoint]));
        let url = self.location.url();
        let location = Location::open_with(url, false, &settings.with_patience(patience)).unwrap();
        (location, proxy)
    }

    pub(crate) fn is_bucket(&self) -> bool {
        self.server.is_some()
    }

    /// Writes an object as another program would.
    pub(crate) async fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        if self.is_bucket() {
            let key = Path::parse(format!("{}/{name}", self.location.prefix())).unwrap();
            let content: Vec<u8> = content.into();
            self.location.object_store().put(&key, content.into()).await.unwrap();
        } else {
            let path = self.directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content.into()).unwrap();
        }
    }

    /// Writes empty-looking logs under these names, separated by spaces.
    pub(crate) async fn put_all(&self, names: &str) {
        for name in names.split_whitespace() {
            self.put(name, "header\n").await;
        }
    }

    /// The file behind an object.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Dates an object back.
    pub(crate) fn set_modified(&self, name: &str, unix_seconds: u64) {
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
        let file = std::fs::File::options().write(true).open(self.file(name)).unwrap();
        file.set_modified(modified).unwrap();
    }

    pub(crate) fn delete(&self, name: &str) {
        std::fs::remove_file(self.directory.join(name)).unwrap();
    }

    pub(crate) async fn plan(&self, pattern: &str, days: &str) -> Result<Vec<PlannedObject>, SourceError> {
        let days: Vec<Day> = days.split_whitespace().map(|day| day.parse().unwrap()).collect();
        let pattern = LogPattern::parse(pattern).unwrap();
        source::plan(&self.location, Log::AdsViews, &pattern, &days, "fecha").await
    }

    /// The plan as text: `name` for any day, `name template D`, `name partition D`.
    pub(crate) async fn planned(&self, pattern: &str, days: &str) -> Vec<String> {
        let text = |planned: PlannedObject| match planned.days {
            ObjectDays::Any => planned.object.name,
            ObjectDays::Template(day) => format!("{} template {day}", planned.object.name),
            ObjectDays::Partition(day) => format!("{} partition {day}", planned.object.name),
        };
        self.plan(pattern, days).await.unwrap().into_iter().map(text).collect()
    }

    /// The one object that the pattern takes.
    pub(crate) async fn object(&self, pattern: &str) -> ObjectInfo {
        let [planned] = self.plan(pattern, "2024-11-20").await.unwrap().try_into().unwrap();
        planned.object
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading::new(&self.location, ReadLimits::for_threads(1), &Handle::current())
    }

    /// What a worker thread reads from `offset` to the end.
    pub(crate) async fn read(&self, object: &ObjectInfo, offset: u64) -> Result<Vec<u8>, String> {
        self.read_slice(object, offset, object.size).await
    }

    pub(crate) async fn read_slice(
        &self,
        object: &ObjectInfo,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>, String> {
        let (reading, object) = (self.reading(), object.clone());
        let read = move || {
            let mut bytes = Vec::new();
            let mut reader = reading.open(&object, start..end).map_err(|error| error.to_string())?;
            match reader.read_to_end(&mut bytes) {
                Ok(_) => Ok(bytes),
                Err(error) => {
                    Err(SourceError::of_read(&error).expect("a read fails with our error").to_string())
                }
            }
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }
}
