//! A server of what is published, and a client that sends paths exactly as they are written.

use api::{Options, Server};
use domain::ModelName;
use std::{
    fmt::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
};
use topshelf::pipeline::Night;

/// Longer than anything here takes on a machine that is not broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; dropped, it ends.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    store: Store,
    running: JoinHandle<()>,
}

impl Site {
    /// A server on a free port.
    pub(crate) async fn start(night: &Night) -> Self {
        let store = night.store().await.unwrap();
        let models = ["TopCTR", "TopProduct"].map(ModelName::new);
        let options = Options {
            history_days_kept: night.config.serve.history_days,
            poll: Duration::from_millis(10),
            ..Options::new("127.0.0.1:0", models.to_vec())
        };
        let schedule = night.schedule.clone();
        let server = Server::bind(options, store.clone(), move |now| schedule.promise(now)).await.unwrap();
        let address = server.address();
        let running = tokio::spawn(server.run(std::future::pending()));
        let site = Self { address, store, running };
        site.until_served().await;
        site
    }

    /// Waits until the server serves what is published by now.
    pub(crate) async fn until_served(&self) {
        let version = self.store.publication_version().await.unwrap();
        let text = format!("\"snapshot_version\":{version},");
        let mut client = self.client().await;
        let began = Instant::now();
        loop {
            let answer = client.get("/health/ready").await;
            if answer.body.contains(&text) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "readiness never said {text}; it says {}", answer.body);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A connection to the server.
    pub(crate) async fn client(&self) -> Client {
        Client { connection: BufReader::new(TcpStream::connect(self.address).await.unwrap()) }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A connection that asks again and again.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: topshelf\r\n\r\n");
        self.connection.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut line = String::new();
        self.connection.read_line(&mut line).await.unwrap();
        let status = line.split(' ').nth(1).expect("a status").parse().unwrap();
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.connection.read_line(&mut line).await.unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await.unwrap();
        Answer { status, body: String::from_utf8(body).unwrap() }
    }
}

/// An id as one segment of a path.
pub(crate) fn segment(id: &str) -> String {
    id.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
        text
    })
}
