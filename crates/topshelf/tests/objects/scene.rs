//! A bucket with an input and a lake, and a database: where nights happen, and what they leave.

use crate::{input::Prepared, server::S3Server};
use domain::Day;
use jiff::Timestamp;
use source::AwsSettings;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};
use tempfile::TempDir;
use topshelf::{
    checks::Checks,
    clock::Clock,
    config::Config,
    failure::Failure,
    pipeline::{self, Night, StartedBy, Verdict},
    progress::Progress,
    schedule::Schedule,
};

/// Of nights that nobody disturbs.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) bucket_name: String,
    bucket: PathBuf,
    pub(crate) config: Config,
    clock: Clock,
    database: TempDir,
    /// How the server itself is reached.
    direct: AwsSettings,
}

/// How each day of a night ended.
pub(crate) type Ended = BTreeMap<Day, Result<Verdict, Failure>>;

/// What a night without faults leaves: the rows that readers see of each day, and the lake.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) rows: BTreeMap<Day, Vec<String>>,
    pub(crate) lake: BTreeMap<String, Vec<u8>>,
}

impl Scene {
    /// A scene with an empty input.
    pub(crate) fn new(server: &S3Server, bucket_name: &str) -> Self {
        let bucket = server.new_bucket(bucket_name);
        fs::create_dir(bucket.join("input")).unwrap();
        let database = tempfile::tempdir_in(server.beside()).unwrap();
        let mut config = Config { checks: Checks::off(), ..Config::default() };
        config.input.url = format!("s3://{bucket_name}/input");
        config.lake.url = format!("s3://{bucket_name}/lake");
        config.store.url = format!("sqlite:{}", database.path().join("topshelf.db").display());
        config.counting.threads = 2;
        config.counting.slice_mib = 1;
        let told = AtomicU32::new(0);
        let now: Timestamp = "2024-12-20T02:30:00Z".parse().unwrap();
        let clock = Clock::told_by(move || (now, told.fetch_add(1, Relaxed)));
        let direct = settings(server.address(), LONG);
        Self { bucket_name: bucket_name.to_owned(), bucket, config, clock, database, direct }
    }

    /// Makes these logs the input.
    pub(crate) fn take(&mut self, logs: &Prepared) {
        logs.put_into(&self.input());
        let input = &mut self.config.input;
        [input.advertiser_ids, input.ads_views, input.product_views] = logs.patterns.clone();
    }

    /// The folder whose files are the input.
    pub(crate) fn input(&self) -> PathBuf {
        self.bucket.join("input")
    }

    pub(crate) fn night(&self, aws: AwsSettings) -> Night {
        let config = self.config.clone();
        let schedule = Schedule::new(&config.schedule).unwrap();
        let clock = self.clock.clone();
        Night { schedule, clock, aws, ..Night::new(config, Progress::none()).unwrap() }
    }

    /// Runs the days in one go.
    pub(crate) async fn run(&self, through: SocketAddr, patience: Duration, days: &[Day]) -> Ended {
        self.run_with(settings(through, patience), days).await
    }

    async fn run_with(&self, aws: AwsSettings, days: &[Day]) -> Ended {
        match pipeline::run(&self.night(aws), days, StartedBy::Hand).await {
            Ok(outcomes) => {
                let outcomes = outcomes.into_iter();
                outcomes.map(|outcome| (outcome.day, outcome.ended.map(|report| report.verdict()))).collect()
            }
            Err(failure) => days.iter().map(|day| (*day, Err(failure.again()))).collect(),
        }
    }

    /// Runs the days with nothing between them and the server: each ends well.
    pub(crate) async fn run_undisturbed(&self, days: &[Day]) {
        for (day, ended) in self.run_with(self.direct.clone(), days).await {
            let verdict = ended.unwrap_or_else(|failure| panic!("{day}: {}", failure.chain()));
            assert!(matches!(verdict, Verdict::Published | Verdict::Unchanged), "{day}: {verdict:?}");
        }
    }

    /// What the server serves.
    pub(crate) async fn left(&self, days: &[Day]) -> Left {
        let mut rows = BTreeMap::new();
        for day in days {
            rows.insert(*day, self.rows(*day, false).await);
        }
        Left { rows, lake: self.lake() }
    }

    /// What readers see of a day, with or without the run that it is from.
    pub(crate) async fn rows(&self, day: Day, with_run: bool) -> Vec<String> {
        let run = if with_run { "run_id" } else { "''" };
        let of = |view: &str| {
            format!(
                "SELECT '{view} ' || advertiser_id || ' ' || rank || ' ' || product_id || ' ' || score || ' '
                     || impressions || ' ' || clicks || ' ' || views || ' ' || {run} FROM {view} WHERE day = ?1"
            )
        };
        let query = format!("{} UNION ALL {} ORDER BY 1", of("top_ctr"), of("top_product"));
        self.query(query, day).await
    }

    /// What the ledger says of the day's last run: its status, and why it failed.
    pub(crate) async fn last_run(&self, day: Day) -> String {
        let query = "SELECT status || ' ' || coalesce(error, '') FROM runs WHERE day = ?1 ORDER BY rowid DESC LIMIT 1";
        self.query(query.to_owned(), day).await.pop().unwrap()
    }

    async fn query(&self, query: String, day: Day) -> Vec<String> {
        let path = self.database.path().join("topshelf.db");
        if !path.exists() {
            return Vec::new();
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(day.to_string());
        query.fetch_all(&mut connection).await.unwrap()
    }

    /// Every object of the lake, by name.
    pub(crate) fn lake(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        add_files(&self.bucket.join("lake"), "", &mut objects);
        objects
    }
}

/// How a bucket is reached through a proxy.
pub(crate) fn settings(through: SocketAddr, patience: Duration) -> AwsSettings {
    let endpoint = format!("http://{through}");
    let settings = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_SKIP_SIGNATURE", "true")];
    AwsSettings::from_pairs(settings).with_patience(patience)
}

fn add_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            add_files(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}
