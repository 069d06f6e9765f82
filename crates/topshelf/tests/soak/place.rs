//! A PostgreSQL of a test's own, a way to it that can be cut, a publisher, and servers that come that way.

use crate::{
    answers::Question,
    client::Connection,
    cluster::Cluster,
    load::Fleet,
    proxy::Proxy,
    publication::{ADVERTISERS, Model},
    publisher::Publisher,
    record::{DAYS, Record},
    scene::Scene,
    service::{Service, get_until},
    tally::{Server, Tally},
};
use serde_json::Value;
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Builder;

/// Longer than a server takes to follow a publication on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    pub(crate) record: Arc<Record>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) proxy: Proxy,
    pub(crate) scene: Scene,
    pub(crate) cluster: Cluster,
}

impl Place {
    /// With as many days published as servers keep.
    pub(crate) fn new() -> (Self, Publisher) {
        let cluster = Cluster::new();
        let record = Arc::new(Record::default());
        let url = cluster.url("postgres");
        let publisher = Publisher::new(&url, record.clone());
        let proxy = Proxy::before(&url);
        let mut scene = Scene::new();
        scene.environment("TOPSHELF_STORE__URL", &proxy.url(&url));
        scene.environment("TOPSHELF_SERVE__LISTEN", "127.0.0.1:0");
        scene.environment("TOPSHELF_SERVE__HISTORY_DAYS", &DAYS.to_string());
        scene.environment("TOPSHELF_SERVE__POLL_SECONDS", "1");
        let tally = Tally::new(record.clone());
        (Self { record, tally, fleet: Arc::default(), proxy, scene, cluster }, publisher)
    }

    /// A server that listens, ready or not.
    pub(crate) fn start(&self) -> (Service, Arc<Server>) {
        let mut service = Service::start(&self.scene, &["serve"]);
        let server = Server::new(service.address());
        (service, server)
    }

    /// A server that is ready, and has joined the fleet.
    pub(crate) fn serve(&self) -> (Service, Arc<Server>) {
        let (service, server) = self.start();
        get_until(&server.address, "/health/ready", 200);
        self.fleet.join(server.clone());
        (service, server)
    }

    /// Waits until readers were seen to have all that is published.
    pub(crate) fn until_all_shown(&self) {
        let began = Instant::now();
        while !self.record.is_all_shown() {
            assert!(began.elapsed() < PATIENCE, "readers do not see what is published");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a server that may be behind serves what is published now.
    pub(crate) fn until_current(&self, server: &Server) {
        let began = Instant::now();
        let version = self.record.version();
        let readiness =
            || serde_json::from_str::<Value>(&get_until(&server.address, "/health/ready", 200)).unwrap();
        while readiness()["snapshot_version"].as_i64() < Some(version) {
            assert!(began.elapsed() < PATIENCE, "{}", readiness());
            thread::sleep(Duration::from_millis(20));
        }
        self.all_is_current(server);
    }

    /// Every question is answered with what is published now.
    pub(crate) fn all_is_current(&self, server: &Server) {
        self.all_from(server, self.record.last());
    }

    /// Every question is answered, with what was published from this state on.
    pub(crate) fn all_from(&self, server: &Server, floor: usize) {
        let of = |advertiser| {
            let recommendations = Model::ALL.map(|model| Question::Recommendations(advertiser, model.name()));
            recommendations.into_iter().chain([Question::History(advertiser)])
        };
        let questions = (0..ADVERTISERS).flat_map(of).chain([Question::Stats]);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = Connection::open(&server.address).await.unwrap();
            for question in questions {
                let answer = connection.ask(&question.path(), None).await.unwrap();
                self.tally.take(server, floor, question, None, &answer);
            }
        });
        self.tally.is_well();
    }
}
