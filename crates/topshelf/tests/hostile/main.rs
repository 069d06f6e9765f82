//! Hostile traffic: a hundred thousand requests that nobody means well with, against the real program. It neither ends
//! nor fails to answer what can be answered, holds no more memory in the end, and then answers as it did before.
//!
//! `TOPSHELF_TEST_HOSTILE` is another number of requests, `TOPSHELF_TEST_HOSTILE_SEED` decides what they are.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod answers;
mod lingering;
#[path = "../soak/memory.rs"]
mod memory;
mod pipelines;
mod random;
mod requests;
#[path = "../cli/scene.rs"]
#[expect(dead_code, reason = "shared with tests of the command line, which spoil logs in more ways")]
mod scene;
mod sending;
#[path = "../cli/service.rs"]
#[expect(dead_code, reason = "shared with tests of services, which stop them in more ways")]
mod service;

use memory::Memory;
use random::Random;
use scene::{DAY, Scene};
use service::{Service, get, get_until};
use std::{
    env,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

const REQUESTS: u64 = 100_000;

const SEED: u64 = 7;

/// Connections that send without pause.
const CLIENTS: u64 = 8;

const SAMPLE_PERIOD: Duration = Duration::from_millis(100);

/// What a server holds at most that answers so many clients, and as many that take long over everything.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// What the requests come to, if they are as hostile as they should be.
const EXPECTED: [u16; 8] = [200, 308, 400, 404, 405, 413, 414, 431];

/// What must be answered afterwards as before.
const SOUND: [&str; 8] = [
    "/recommendations/acme/TopCTR",
    "/recommendations/acme/TopProduct?limit=1",
    "/recommendations/nobody/TopCTR",
    "/history/acme/",
    "/stats/",
    "/health/live",
    "/openapi.json",
    "/docs/",
];

#[test]
fn hostile_requests_leave_the_server_as_it_was() {
    let [requests, seed] = [("", REQUESTS), ("_SEED", SEED)].map(|(name, usual)| {
        env::var(format!("TOPSHELF_TEST_HOSTILE{name}")).map_or(usual, |value| value.parse().unwrap())
    });
    println!("{requests} requests, TOPSHELF_TEST_HOSTILE_SEED={seed}");
    let scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let mut service = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    get_until(&address, "/health/ready", 200);
    let before = SOUND.map(|path| get(&address, path));
    let ranking = before[0].1.as_bytes();

    let (sent, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let memory = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (sent, address) = (&sent, address.as_str());
                let random = Random::new(seed * CLIENTS + client);
                scope.spawn(move || attack(address, random, sent, requests, ranking))
            })
            .collect();
        let lingering = scope.spawn(|| lingering::linger(&address, Random::new(seed), &is_over));
        let mut memory = Memory::default();
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            memory.sample(service.id());
            thread::sleep(SAMPLE_PERIOD);
        }
        is_over.store(true, SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
        println!("{} connections lingered", lingering.join().unwrap());
        memory
    });

    println!("{} requests in {:?}", sent.load(SeqCst), began.elapsed());
    println!("memory in MiB, by quarters: {:?}", memory.quarters().map(|bytes| bytes >> 20));
    println!("answers by status: {:?}", answers::statuses());
    assert_eq!(SOUND.map(|path| get(&address, path)), before);
    for status in EXPECTED {
        assert!(answers::statuses().contains_key(&status), "nothing was answered with {status}");
    }
    // Fewer do not even fill the buffers that are taken once.
    let is_flat = requests < REQUESTS / 2 || memory.is_flat();
    assert!(is_flat && memory.quarters()[3] < MEMORY_BYTES_MAX, "{:?}", memory.quarters());
    assert_eq!(service.stop("TERM"), Some(0));
}

/// Sends until all clients together have sent so many.
fn attack(address: &str, mut random: Random, sent: &AtomicU64, requests: u64, ranking: &[u8]) {
    while sent.load(SeqCst) < requests {
        let sent_now = if random.is_one_in(4) {
            pipelines::exchange(address, &mut random, ranking)
        } else {
            sending::exchange(address, &requests::hostile(&mut random), &mut random);
            1
        };
        sent.fetch_add(sent_now, SeqCst);
    }
}
