//! What a night needs, each thing by a name that only the test's own DNS knows: a bucket with logs, a bucket for the
//! lake, and a database that is reached by TLS alone, with a certificate of the test's own authority.

use crate::{
    authority::Authority,
    engine::Engine,
    names, network, s3,
    tls_cluster::{PASSWORD, TlsCluster},
};
use std::{
    cell::Cell,
    fs,
    future::ready,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

/// The day of the logs.
pub(crate) const DAY: &str = "2024-11-20";

const BUCKETS: &str = "buckets.shelf.test";
const DATABASE: &str = "database.shelf.test";

/// All of it, in a network of its own.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
    /// The database's, as it is now.
    pub(crate) password: Cell<&'static str>,
    database: TlsCluster,
    folder: TempDir,
    /// How containers find the buckets.
    aws: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::behind(|_, _| (ready(()), ready(())))
    }

    /// The same whose buckets wait, as `s3::start_behind` tells.
    pub(crate) fn behind<W: Future<Output = ()> + Send + 'static>(
        gate: impl Fn(&str, &str) -> (W, W) + Clone + Send + 'static,
    ) -> Self {
        network::enter();
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(names::serve(&[BUCKETS, DATABASE]));
        let folder = tempfile::tempdir().unwrap();
        for bucket in ["logs", "lake"] {
            fs::create_dir_all(folder.path().join("buckets").join(bucket)).unwrap();
        }
        let logs = folder.path().join("buckets/logs");
        let shape = ["--rows", "4000", "--advertisers", "8", "--products", "30", "--days", "1"];
        outside(
            folder.path(),
            &[&["generate", "--first-day", DAY, "--out", logs.to_str().unwrap()], &shape[..]].concat(),
        );
        let mut aws = runtime.block_on(s3::start_behind(&folder.path().join("buckets"), gate));
        for (_, value) in &mut aws {
            *value = value.replace("127.0.0.1", BUCKETS);
        }
        let authority = Authority::new();
        let engine = Engine::new();
        engine.write("ca.pem", &authority.pem());
        let database = TlsCluster::start(&authority.sign(DATABASE, 2040));
        Self { engine, runtime, password: Cell::new(PASSWORD), database, folder, aws }
    }

    /// podman's flags for a container that reaches all of it.
    pub(crate) fn settings(&self) -> Vec<String> {
        let mut settings = self.without_authority();
        settings.push(format!("--volume={}:/ca.pem:ro", self.engine.path("ca.pem").display()));
        settings
    }

    /// The same, but for the authority that signed the database's certificate.
    pub(crate) fn without_authority(&self) -> Vec<String> {
        let parameters = "sslmode=verify-full&sslrootcert=/ca.pem";
        let store = self.database.url_with(self.password.get(), DATABASE, parameters);
        let configured = [
            ("TOPSHELF_STORE__URL", store.as_str()),
            ("TOPSHELF_INPUT__URL", "s3://logs"),
            ("TOPSHELF_LAKE__URL", "s3://lake/topshelf"),
        ];
        let configured = configured.map(|(name, value)| format!("--env={name}={value}"));
        let aws = self.aws.iter().map(|(name, value)| format!("--env={name}={value}"));
        configured.into_iter().chain(aws).collect()
    }

    /// Gives the database another password, and ends all that came in by the old one.
    pub(crate) fn change_password(&self, password: &'static str) {
        self.database.change_password(password);
        self.password.set(password);
    }

    /// The folder that the bucket of the logs is.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("buckets/logs")
    }

    /// What a program outside any container prints of the same logs, with nothing but a folder and a file.
    pub(crate) fn outside(&self, arguments: &[&str]) -> String {
        outside(self.folder.path(), &[arguments, &["--input", self.logs().to_str().unwrap()]].concat())
    }
}

/// Runs the program of this build, which must end well; what it prints.
fn outside(folder: &Path, arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_topshelf"));
    let output = program.args(arguments).current_dir(folder).env_clear().output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
