//! Connections to PostgreSQL that fall silent without being closed, as behind a firewall that forgot them.

use crate::database::{Database, new_run};
use std::{
    slice::from_ref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// The database through a proxy. What a client asks in these words gets no answer, the first `times` times: its
/// connection is silent for so long, and is cut then.
async fn silent(database: &Database, words: &'static str, times: usize, for_so_long: Duration) -> String {
    let (_, rest) = database.url.rsplit_once('@').unwrap();
    let server = rest.split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = database.url.replace(&server, &listener.local_addr().unwrap().to_string());
    let left = Arc::new(AtomicUsize::new(times));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(client, server, words, left.clone(), for_so_long));
        }
    });
    url
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    words: &str,
    left: Arc<AtomicUsize>,
    for_so_long: Duration,
) {
    let ((mut asks, mut hears), (mut answers, mut asked)) = (client.into_split(), server.into_split());
    let answering = tokio::spawn(async move { copy(&mut answers, &mut hears).await });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = asks.read(&mut bytes).await {
        let is_it = bytes[..read].windows(words.len()).any(|text| text == words.as_bytes());
        if is_it && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            sleep(for_so_long).await;
            break;
        }
        if asked.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signs_of_life_without_an_answer_are_given_up_and_the_next_is_heard() {
    let database = Database::postgres().await;
    // As many connections as a process holds.
    let url = silent(&database, "SET seen_at", 5, Duration::from_secs(600)).await;
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_runs(from_ref(&run)).await.unwrap();
    let mut signs = JoinSet::new();
    for _ in 0..5 {
        let (store, process) = (store.clone(), run.process.clone());
        signs.spawn(async move { store.sign_of_life(&process).await });
    }
    let said = timeout(Duration::from_secs(30), signs.join_all()).await.expect("nobody waits for ever");
    for said in said {
        let error = said.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("say that a run is under way"), "{error}");
    }
    let asked_at = Instant::now();
    assert_eq!(store.sign_of_life(&run.process).await.unwrap(), 1);
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_when_there_are_nights_is_asked_until_it_is_answered() {
    let database = Database::postgres().await;
    let url = silent(&database, "started_by = 'schedule'", 2, Duration::from_millis(200)).await;
    let store = Store::open_patiently(&url, Duration::from_secs(30)).await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.scheduled_since().await.unwrap(), None);
}
