//! A server of its own for each test, days to publish, and `check`: a request in, text out.

use api::{Options, Promise, ServedStore, Server, ServerError};
use domain::{
    AdvertiserId, Counts, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
    RunId,
};
use jiff::{Timestamp, ToSpan};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use store::{Holds, NewPublication, NewRun, Outcome, RunEnd, Store};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Longer than anything here takes on a machine that is not broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// What a run publishes of one day.
#[derive(Default)]
pub(crate) struct NewDay {
    active: BTreeSet<AdvertiserId>,
    models: BTreeMap<&'static str, BTreeMap<AdvertiserId, Vec<RankedProduct>>>,
}

impl NewDay {
    /// A day on which `models` are computed.
    pub(crate) fn new(models: &[&'static str]) -> Self {
        let models = models.iter().map(|model| (*model, BTreeMap::new())).collect();
        Self { models, ..Self::default() }
    }

    /// An active advertiser.
    pub(crate) fn active(mut self, advertiser: &str) -> Self {
        self.active.insert(AdvertiserId::new(advertiser).unwrap());
        self
    }

    /// An active advertiser's products by clicks and impressions, best first.
    pub(crate) fn ctr(self, advertiser: &str, products: &[(&str, u64, u64)]) -> Self {
        let ranked = products.iter().map(|(id, clicks, impressions)| {
            let score = *clicks as f64 / *impressions as f64;
            product(id, score, Counts { impressions: *impressions, clicks: *clicks, views: 0 })
        });
        let ranked = ranked.collect();
        self.ranked(advertiser, "TopCTR", ranked)
    }

    /// An active advertiser's products by views, best first.
    pub(crate) fn views(self, advertiser: &str, products: &[(&str, u64)]) -> Self {
        let ranked = products
            .iter()
            .map(|(id, views)| product(id, *views as f64, Counts { views: *views, ..Counts::default() }));
        let ranked = ranked.collect();
        self.ranked(advertiser, "TopProduct", ranked)
    }

    fn ranked(self, advertiser: &str, model: &'static str, products: Vec<RankedProduct>) -> Self {
        let mut new = self.active(advertiser);
        let advertiser = AdvertiserId::new(advertiser).unwrap();
        new.models.entry(model).or_default().insert(advertiser, products);
        new
    }

    pub(crate) fn rankings(self, day: Day) -> DayRankings {
        let models = self.models.into_iter().map(|(model, rankings)| ModelRankings {
            day,
            model: ModelName::new(model),
            rankings: rankings
                .into_iter()
                .map(|(advertiser_id, products)| Ranking { advertiser_id, products })
                .collect(),
        });
        DayRankings { day, active: self.active.into_iter().collect(), models: models.collect() }
    }
}

fn product(id: &str, score: f64, counts: Counts) -> RankedProduct {
    RankedProduct { product_id: ProductId::new(id).unwrap(), score, counts }
}

/// A run of the night after `day`, told apart by `attempt`.
pub(crate) fn run_id(day: Day, attempt: u32) -> RunId {
    format!("{}T023000Z-{attempt:08x}", day.tomorrow().to_string().replace('-', "")).parse().unwrap()
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let models = ["TopCTR", "TopProduct", "Trending"].map(ModelName::new);
    let mut options = Options::new("127.0.0.1:0", models.to_vec());
    options.poll = Duration::from_millis(20);
    change(&mut options);
    options
}

/// A running server, its store in a directory of its own, and a schedule that the test moves.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) operator_address: Option<SocketAddr>,
    pub(crate) store: Store,
    promise: Arc<Mutex<Promise>>,
    ending: Option<oneshot::Sender<Duration>>,
    running: JoinHandle<()>,
    directory: TempDir,
}

impl Site {
    /// A server on a store without any table, which promises nothing newer than the year 1.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// The same with other options.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("topshelf.db").display());
        let store = Store::open(&url).await.unwrap();
        Self::serve(store.clone().into(), store, directory, change).await
    }

    /// A server on `served`, beside which the test has `store`.
    pub(crate) async fn serve(
        served: ServedStore,
        store: Store,
        directory: TempDir,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let options = options(change);
        let next_run_at = Timestamp::now() + 1.hour();
        let promise = Promise { newest_day: day("0001-01-01"), next_run_at, next_night_at: next_run_at };
        let promise = Arc::new(Mutex::new(promise));
        let asked = promise.clone();
        let server = Server::bind(options, served, move |_| *asked.lock().unwrap()).await.unwrap();
        let (address, operator_address) = (server.address(), server.operator_address());
        let (ending, ended) = oneshot::channel();
        let running = tokio::spawn(server.run(async move { ended.await.unwrap() }));
        Self { address, operator_address, store, promise, ending: Some(ending), running, directory }
    }

    /// Why a server with those options does not serve.
    pub(crate) async fn refused(change: impl FnOnce(&mut Options)) -> ServerError {
        let now = Timestamp::now();
        let promise = Promise { newest_day: day("0001-01-01"), next_run_at: now, next_night_at: now };
        let served = ServedStore::Closed("sqlite:nowhere".into());
        match Server::bind(options(change), served, move |_| promise).await {
            Ok(server) => panic!("it listens on {}", server.address()),
            Err(error) => error,
        }
    }

    /// A server that serves `days`, each of a run of its own, oldest first.
    pub(crate) async fn publishing(days: Vec<(&str, NewDay)>) -> Self {
        Self::publishing_with(days, |_| ()).await
    }

    /// The same with other options.
    pub(crate) async fn publishing_with(
        days: Vec<(&str, NewDay)>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let site = Self::start_with(change).await;
        site.store.migrate().await.unwrap();
        for (text, new) in days {
            site.publish(text, 1, new).await;
        }
        site.until_served().await;
        site
    }

    /// Publishes a day, half a minute after its run began.
    pub(crate) async fn publish(&self, text: &str, attempt: u32, new: NewDay) {
        self.publish_held(text, attempt, new, &Holds::default()).await;
    }

    /// Publishes what of a day is not held.
    pub(crate) async fn publish_held(&self, text: &str, attempt: u32, new: NewDay, holds: &Holds) {
        let day = day(text);
        let run_id = run_id(day, attempt);
        let run = NewRun {
            run_id: run_id.clone(),
            day,
            started_by: "hand".to_owned(),
            orchestrator: None,
            program_version: "0.1.0".to_owned(),
            config_hash: String::new(),
            started_at: format!("{}T02:30:00Z", day.tomorrow()).parse().unwrap(),
            process: String::new(),
            host: String::new(),
            due_at: None,
        };
        self.store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
        let published_at = run.started_at + 30.seconds();
        let rankings = new.rankings(day);
        let totals = vec![domain::Counts::default(); rankings.active.len()];
        let new = NewPublication { rankings: &rankings, totals: &totals, holds };
        self.store.publish(&run_id, new, published_at).await.unwrap();
    }

    /// Ends a run a minute after it began.
    pub(crate) async fn end_run(&self, text: &str, attempt: u32, outcome: Outcome) {
        let run = self.store.run(&run_id(day(text), attempt)).await.unwrap().unwrap();
        let (ended_at, report) = (run.started_at + 1.minute(), serde_json::Value::Null);
        let end = RunEnd { ended_at, outcome, error: None, report };
        self.store.end_run(&run.run_id, &end).await.unwrap();
    }

    /// When the schedule says that the next night begins.
    pub(crate) fn next_night_at(&self) -> Timestamp {
        self.promise.lock().unwrap().next_night_at
    }

    /// Waits until the server serves what is published by now.
    pub(crate) async fn until_served(&self) {
        let version = self.store.publication_version().await.unwrap();
        self.until("/health/ready", &format!("\"snapshot_version\":{version},")).await;
    }

    /// What the metrics tell of `name`, with its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let address = self.operator_address.unwrap_or(self.address);
        let mut connection = Connection::open(address).await;
        connection.send("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
        let told = connection.rest().await;
        let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until the metrics tell at least `value` of `name`.
    pub(crate) async fn until_metric(&self, name: &str, value: f64) {
        let began = Instant::now();
        while self.metric(name).await < value {
            assert!(began.elapsed() < PATIENCE, "{name} never became {value}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the answer at `path` contains `text`, and gives it back.
    pub(crate) async fn until(&self, path: &str, text: &str) -> String {
        let began = Instant::now();
        loop {
            let answer = self.check(&format!("GET {path}")).await;
            if answer.contains(text) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "{path} never said {text:?}; it says {answer}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Moves what the schedule promises.
    pub(crate) fn promise(&self, newest_day: &str, next_run_at: Timestamp) {
        *self.promise.lock().unwrap() =
            Promise { newest_day: day(newest_day), next_run_at, next_night_at: next_run_at };
    }

    /// Tells the server to end, and to accept connections for so long before.
    pub(crate) fn end(&mut self, drain: Duration) {
        self.ending.take().expect("a server ends once").send(drain).unwrap();
    }

    /// The URL of its store.
    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.directory().join("topshelf.db").display())
    }

    /// The directory of its store.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until the server has ended, and puts a folder in the place of its database; all that is dropped with what
    /// is returned.
    pub(crate) async fn ended_without_its_database(self) -> TempDir {
        tokio::time::timeout(PATIENCE, self.running).await.expect("the server ends").unwrap();
        let database = self.directory.path().join("topshelf.db");
        std::fs::rename(&database, self.directory.path().join("lost.db")).unwrap();
        std::fs::create_dir(&database).unwrap();
        self.directory
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.running).await.expect("the server ends").unwrap();
    }

    /// The answer to `request`, a request line without version and any headers: status, the headers
    /// that matter and the body. A lifetime is shown as N, since it depends on when the test runs.
    pub(crate) async fn check(&self, request: &str) -> String {
        let Answer { status, headers, body } = self.ask(request).await;
        let mut text = status.to_string();
        for name in ["content-type", "location", "allow", "retry-after", "cache-control"] {
            if let Some(value) = headers.get(name) {
                let value = value.trim_end_matches(|c: char| c.is_ascii_digit());
                let value = if value.ends_with('=') { format!("{value}N") } else { headers[name].clone() };
                text += &format!(" · {value}");
            }
        }
        if body.is_empty() { text } else { text + "\n" + &body }
    }

    /// The answer to `request` as it came, byte for byte as it was sent: no client rewrites the path.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let (mut answer, body) = self.ask_bytes(request).await;
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// The same, with the body as bytes beside it.
    pub(crate) async fn ask_bytes(&self, request: &str) -> (Answer, Vec<u8>) {
        let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
        let headers: String = headers.lines().map(|header| format!("{}\r\n", header.trim())).collect();
        self.exchange(&format!("{line} HTTP/1.1\r\nHost: topshelf\r\nConnection: close\r\n{headers}\r\n"))
            .await
    }

    /// The answer to a POST of `body`.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, "X-Nothing: more", body).await
    }

    /// The same, with another header.
    pub(crate) async fn post_with(&self, path: &str, header: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: topshelf\r\nConnection: close\r\nContent-Length: {length}\r\n{header}\r\n"
        );
        let (mut answer, body) = self.exchange(&format!("{head}\r\n{body}")).await;
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    async fn exchange(&self, text: &str) -> (Answer, Vec<u8>) {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let body = answer.split_off(end + 4);
        (Answer::parse(std::str::from_utf8(&answer).unwrap()), body)
    }
}

/// A connection of which the test sends and reads the bytes.
pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// The same from another address of this machine.
    pub(crate) async fn from(local: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(local.parse().unwrap(), 0)).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends what a server may have stopped reading.
    pub(crate) async fn try_send(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).await.is_ok()
    }

    /// Asks for `path` and leaves the connection open; the head of the answer and its body.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")).await;
        self.answer().await
    }

    /// The next answer, of a length that its head tells.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        self.body(head).await
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.0.read_u8()).await.unwrap());
        }
        Answer::parse(std::str::from_utf8(&head).unwrap())
    }

    /// The same answer with its body.
    pub(crate) async fn body(&mut self, mut answer: Answer) -> Answer {
        let mut body = vec![0; answer.headers["content-length"].parse().unwrap()];
        within(self.0.read_exact(&mut body)).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Everything that comes until the server ends the connection; nothing when it breaks off.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = within(self.0.read_to_end(&mut bytes)).await; // a reset ends a connection too
        String::from_utf8(bytes).unwrap()
    }
}

/// What comes of `work`, which ends.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it ends")
}

/// An answer in parts.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// The answer of that head, without its body.
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status").parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: String::new() }
    }
}
