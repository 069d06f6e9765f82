//! `deploy/compose/compose.yaml`: each of its services run as the file says, in the order that it says.
//!
//! Images of others cannot be pulled wherever tests run, so that the same programs take their place: PostgreSQL as all
//! tests have it, and moto from PyPI, of the version that the file names. What the file says of topshelf is done to the
//! image itself.

use crate::{
    cluster::Cluster,
    engine::{Container, Engine, PATIENCE},
    network,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The hosts of the file's network, which is this machine's loopback address here.
const HOSTS: [&str; 2] = ["--add-host=postgres:127.0.0.1", "--add-host=s3:127.0.0.1"];

/// What `cargo xtask test` has prepared.
pub(crate) fn prepared(name: &str) -> PathBuf {
    let set = env::var_os(name);
    set.unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test`, which prepares it")).into()
}

/// The file, as a tool of compose reads it, and all that its services left running.
struct Composed<'a> {
    engine: &'a Engine,
    services: BTreeMap<String, Value>,
    done: Vec<String>,
    database: Option<Cluster>,
    moto: Option<Child>,
    topshelf: Option<Container<'a>>,
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        if let Some(moto) = &mut self.moto {
            let _ = moto.kill();
            let _ = moto.wait();
        }
    }
}

#[test]
fn all_services_start_in_their_order_and_the_samples_are_served() {
    network::enter();
    let engine = Engine::new();
    let file: Value = serde_json::from_slice(&fs::read(prepared("TOPSHELF_TEST_COMPOSE")).unwrap()).unwrap();
    let services = file["services"].as_object().unwrap().clone().into_iter().collect();
    let mut composed =
        Composed { engine: &engine, services, done: vec![], database: None, moto: None, topshelf: None };
    composed.up();
    assert_eq!(composed.done, ["postgres", "s3", "samples", "buckets", "nights", "topshelf"]);
    composed.topshelf.as_ref().unwrap().until_ready();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let published =
        composed.services["topshelf"]["ports"][0].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
    let stats = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("http://{published}/stats/")).send().await.unwrap().text().await.unwrap()
    });
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["day"], "2024-11-22");
    assert_eq!(stats["advertisers"]["active"], 16);
}

impl Composed<'_> {
    /// Starts each service once those that it waits for are there.
    fn up(&mut self) {
        while self.done.len() < self.services.len() {
            let next = self.services.iter().find(|(name, service)| {
                let waits_for = service["depends_on"].as_object();
                let is_free = waits_for.is_none_or(|on| on.keys().all(|on| self.done.contains(on)));
                is_free && !self.done.contains(name)
            });
            let (name, service) = next.map(|(name, service)| (name.clone(), service.clone())).unwrap();
            self.start(&name, &service);
            self.done.push(name);
        }
    }

    fn start(&mut self, name: &str, service: &Value) {
        match service["image"].as_str().unwrap().split(':').next().unwrap() {
            "postgres" => self.postgres(service),
            "motoserver/moto" if service["entrypoint"].is_null() => self.moto(service),
            "motoserver/moto" => self.python(service),
            "topshelf" => self.program(name, service),
            image => panic!("{image} is not known here"),
        }
    }

    fn postgres(&mut self, service: &Value) {
        let set = |name: &str| service["environment"][name].as_str().unwrap();
        let (user, password, database) = (set("POSTGRES_USER"), set("POSTGRES_PASSWORD"), set("POSTGRES_DB"));
        let cluster = Cluster::at(5432);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
            for statement in [
                format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"),
                format!("CREATE DATABASE {database} OWNER {user}"),
            ] {
                connection.execute(AssertSqlSafe(statement)).await.unwrap();
            }
        });
        self.database = Some(cluster);
        self.until_healthy(service, Path::new("pg_isready"));
    }

    fn moto(&mut self, service: &Value) {
        let port = service["environment"]["MOTO_PORT"].as_str().unwrap();
        let mut moto = Command::new(prepared("TOPSHELF_TEST_PYTHON").with_file_name("moto_server"));
        moto.args(["-H", "127.0.0.1", "-p", port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.moto = Some(moto.spawn().unwrap());
        self.until_healthy(service, &prepared("TOPSHELF_TEST_PYTHON"));
    }

    /// The service's own `healthcheck`, by the program that it names.
    fn until_healthy(&self, service: &Value, program: &Path) {
        let test: Vec<_> = words(&service["healthcheck"]["test"]);
        assert_eq!(test[0], "CMD");
        let began = Instant::now();
        while !Command::new(program).args(&test[2..]).output().unwrap().status.success() {
            assert!(began.elapsed() < PATIENCE, "{test:?} finds nothing healthy");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A script in moto's image: here by the same Python, with the volumes' own paths in place of the container's.
    fn python(&self, service: &Value) {
        let entrypoint = words(&service["entrypoint"]);
        assert_eq!(entrypoint[0], "python");
        let mut python = Command::new(prepared("TOPSHELF_TEST_PYTHON"));
        for word in &entrypoint[1..] {
            let mut word = word.replace("//s3:", "//127.0.0.1:");
            for volume in words(&service["volumes"]) {
                let mut parts = volume.split(':');
                let (source, inside) = (parts.next().unwrap(), parts.next().unwrap());
                if word.starts_with(inside) {
                    word = word.replacen(inside, &self.source(source), 1);
                    break;
                }
            }
            python.arg(word);
        }
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where a volume lies outside containers.
    fn source(&self, name: &str) -> String {
        if name.starts_with('.') {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose");
            return folder.join(name).to_str().unwrap().to_owned();
        }
        self.engine.succeed(&["volume", "inspect", "--format", "{{.Mountpoint}}", name]).trim().to_owned()
    }

    /// A service of the image.
    fn program(&mut self, name: &str, service: &Value) {
        is_confined(service);
        let volumes = words(&service["volumes"]).into_iter().map(|volume| format!("--volume={volume}"));
        let settings: Vec<_> = environment(service).into_iter().chain(volumes).collect();
        let settings: Vec<_> = settings.iter().map(String::as_str).chain(HOSTS).collect();
        let command = words(&service["command"]);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        if name == "topshelf" {
            self.topshelf = Some(self.engine.start(name, &settings, &command));
        } else {
            self.engine.end_well(&settings, &command);
        }
    }
}

/// The service is confined as all containers of these tests are.
pub(crate) fn is_confined(service: &Value) {
    assert_eq!(service["read_only"], true);
    assert_eq!(words(&service["cap_drop"]), ["ALL"]);
    assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"]);
}

/// podman's flags for the service's environment.
pub(crate) fn environment(service: &Value) -> Vec<String> {
    let environment = service["environment"].as_object().cloned().unwrap_or_default();
    environment.iter().map(|(name, value)| format!("--env={name}={}", value.as_str().unwrap())).collect()
}

/// The texts of a list, or none where there is no list.
pub(crate) fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}
