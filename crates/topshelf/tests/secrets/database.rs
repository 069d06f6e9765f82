//! A PostgreSQL of a test's own, with a database that belongs to the role `night`.

use crate::{
    cluster::Cluster,
    scene::{DAY, Ended, Scene},
    service::get,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::runtime::{self, Runtime};

/// Longer than anything that is waited for takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PATH: &str = "/recommendations/acme/TopCTR";

/// The server, and how to be its superuser.
pub(crate) struct Database {
    pub(crate) cluster: Cluster,
    runtime: Runtime,
}

/// A transaction that keeps others from what nights publish into.
pub(crate) struct Lock(PgConnection);

impl Database {
    pub(crate) fn new(password: &str) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let database = Self { cluster: Cluster::new(), runtime };
        database.execute("CREATE ROLE night LOGIN");
        database.execute("CREATE DATABASE shelf OWNER night");
        database.set_password(password);
        database
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        let url = self.cluster.url("shelf");
        let (_, address) = url.rsplit_once('@').unwrap();
        address.split_once('/').unwrap().0.to_owned()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.cluster.url("shelf")).await.unwrap()
    }

    /// Carries out a statement as a superuser.
    pub(crate) fn execute(&self, sql: &str) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.cluster.url("postgres")).await.unwrap();
            connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    pub(crate) fn set_password(&self, password: &str) {
        self.execute(&format!("ALTER ROLE night PASSWORD '{password}'"));
    }

    /// Ends all connections of the role.
    pub(crate) fn cut(&self) {
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'night'");
    }

    /// Keeps what is published from being changed, until it is let go of.
    pub(crate) fn lock(&self) -> Lock {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            connection.execute("BEGIN").await.unwrap();
            connection.execute("LOCK TABLE publications IN ACCESS EXCLUSIVE MODE").await.unwrap();
            Lock(connection)
        })
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        self.runtime.block_on(lock.0.close()).unwrap();
    }

    /// Waits until a statement of the role waits for a lock.
    pub(crate) fn until_waiting(&self) {
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'night' AND wait_event_type = 'Lock'";
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.unwrap() == 0 {
                assert!(began.elapsed() < PATIENCE, "nothing of the night waits");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// How often the server has refused the role's password.
    pub(crate) fn refusals(&self) -> usize {
        let log = fs::read_to_string(self.cluster.data().parent().unwrap().join("log")).unwrap();
        log.matches("password authentication failed for user \"night\"").count()
    }

    /// Waits until it has refused it once more.
    pub(crate) fn until_refused_after(&self, before: usize) {
        let began = Instant::now();
        while self.refusals() == before {
            assert!(began.elapsed() < PATIENCE, "nobody was refused");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets the role in from this machine without a password.
    pub(crate) fn trust(&self) {
        let file = self.cluster.data().join("pg_hba.conf");
        let lines = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("host all night 127.0.0.1/32 trust\n{lines}")).unwrap();
        self.execute("SELECT pg_reload_conf()");
        let url = format!("postgres://night@{}/shelf", self.address());
        let began = Instant::now();
        while self.runtime.block_on(PgConnection::connect(&url)).is_err() {
            assert!(began.elapsed() < PATIENCE, "it still wants a password");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A night of the day whose logs the scene has.
pub(crate) const NIGHT: [&str; 5] = ["run", "--day", DAY, "--input", "logs"];

/// Lets the logs hold more, so that readers come to see another run.
pub(crate) fn add_to_logs(scene: &Scene) {
    scene.ads("acme,boot,impression,2024-11-20\nacme,boot,click,2024-11-20\n");
}

/// The same night with logs that came to hold more.
pub(crate) fn other_night(scene: &Scene) {
    add_to_logs(scene);
    scene.end_well(&NIGHT);
}

pub(crate) const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// Calls the doctor; the steps about what it says of, by their names.
pub(crate) fn doctor(scene: &Scene) -> (Ended, impl Fn(&str, &str) -> String + use<>) {
    let ended = scene.call(&["doctor", "--day", DAY, "--input", "logs", "--json"]);
    let json: Value = ended.json();
    let step = move |section: &str, step: &str| {
        let sections = json["sections"].as_array().unwrap();
        let section = sections.iter().find(|of| of["section"] == section).unwrap();
        let found = section["steps"].as_array().unwrap().iter().find(|of| of["step"] == step);
        found.unwrap_or_else(|| panic!("no {step} in {section:#}")).to_string()
    };
    (ended, step)
}

/// The run whose ranking a server answers with.
pub(crate) fn served_run(address: &str) -> String {
    let (code, body) = get(address, PATH);
    assert_eq!(code, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["run_id"].as_str().unwrap().to_owned()
}

/// Waits until it answers with another, answering all the while.
pub(crate) fn until_other_run(address: &str, than: &str) {
    let began = Instant::now();
    while served_run(address) == than {
        assert!(began.elapsed() < PATIENCE, "it still serves {than}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
