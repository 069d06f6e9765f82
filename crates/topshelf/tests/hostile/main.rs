//! Hostile traffic: a hundred thousand requests that nobody means well with, against the real program: half of them against
//! a server that asks for keys, by callers with good keys, wrong ones and none. It neither ends nor fails to answer what
//! can be answered, tells nobody of advertisers that their key is not for, holds no more memory in the end, and then
//! answers as it did before.
//!
//! `TOPSHELF_TEST_HOSTILE` is another number of requests, `TOPSHELF_TEST_HOSTILE_SEED` decides what they are.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod answers;
mod callers;
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

use callers::{Caller, Callers};
use memory::Memory;
use random::Random;
use requests::sound;
use scene::{DAY, Scene};
use service::{Service, get_until};
use std::{
    env,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// Against both servers together, in one round.
const REQUESTS: u64 = 100_000;

/// So often at most is a server attacked, until it holds no more memory in the end: buffers and the allocator's pieces of
/// memory are taken once, a leak takes more in each round.
const ROUNDS_MAX: u64 = 4;

const SEED: u64 = 7;

/// Connections that send without pause.
const CLIENTS: u64 = 8;

const SAMPLE_PERIOD: Duration = Duration::from_millis(100);

/// What a server holds at most that answers so many clients, and as many that take long over everything.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// What the requests come to, if they are as hostile as they should be.
const EXPECTED: [u16; 8] = [200, 308, 400, 404, 405, 413, 414, 431];

/// What must be answered afterwards as before.
const SOUND: [&str; 10] = [
    "/recommendations/acme/TopCTR",
    "/recommendations/acme/TopProduct?limit=1",
    "/recommendations/nobody/TopCTR",
    "/history/acme/",
    "/recommendations/rival/TopCTR",
    "/history/rival/",
    "/stats/",
    "/health/live",
    "/openapi.json",
    "/docs/",
];

#[test]
fn hostile_requests_leave_the_server_as_it_was() {
    let mut scene = scene();
    scene.environment("TOPSHELF_SERVE__KEYS", "off");
    attack(&scene, &Callers::anyone(), &EXPECTED);
}

#[test]
fn hostile_requests_leave_a_server_that_asks_for_keys_as_it_was_and_learn_nothing() {
    let mut scene = scene();
    scene.environment("TOPSHELF_SERVE__KEYS", "required");
    attack(&scene, &Callers::with_keys(&scene), &[EXPECTED.as_slice(), &[401, 403]].concat());
}

/// A day of two advertisers, published.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\nrival\n");
    scene.ads("rival,sku-of-the-rival,impression,2024-11-20\nrival,sku-of-the-rival,click,2024-11-20\n");
    scene.views("rival,sku-of-the-rival,2024-11-20\n");
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene
}

/// Sends half of all requests to a server of that scene, and looks at how it is then.
fn attack(scene: &Scene, callers: &Callers, expected: &[u16]) {
    let [requests, seed] = [("", REQUESTS), ("_SEED", SEED)].map(|(name, usual)| {
        env::var(format!("TOPSHELF_TEST_HOSTILE{name}")).map_or(usual, |value| value.parse().unwrap())
    });
    println!("{requests} requests to two servers, TOPSHELF_TEST_HOSTILE_SEED={seed}");
    let requests = requests / 2;
    let mut service = Service::start(scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = service.address();
    get_until(&address, "/health/ready", 200);
    let before = told(&address, callers);
    let ranking = before[0].1.as_slice();

    // Fewer do not even fill the buffers that are taken once.
    let is_flat = |memory: &Memory| requests < REQUESTS / 4 || memory.is_flat();
    let memory = (0..ROUNDS_MAX)
        .map(|round| send_round(&service, &address, callers, seed * ROUNDS_MAX + round, requests, ranking))
        .find(is_flat)
        .expect("memory that grows in each round");
    assert!(memory.quarters()[3] < MEMORY_BYTES_MAX, "{:?}", memory.quarters());
    assert_eq!(told(&address, callers), before);
    for status in expected {
        assert!(answers::statuses().contains_key(status), "nothing was answered with {status}");
    }
    assert_eq!(service.stop("TERM"), Some(0));
}

/// Sends so many requests from all clients at once, others lingering beside them, and tells what memory the server held.
fn send_round(
    service: &Service,
    address: &str,
    callers: &Callers,
    seed: u64,
    requests: u64,
    ranking: &[u8],
) -> Memory {
    let (sent, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let memory = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let sent = &sent;
                let random = Random::new(seed * CLIENTS + client);
                scope.spawn(move || send(address, callers, random, sent, requests, ranking))
            })
            .collect();
        let lingering =
            scope.spawn(|| lingering::linger(address, callers.first(), Random::new(seed), &is_over));
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
    memory
}

/// What each caller is answered to what is sound: statuses and bodies.
fn told(address: &str, callers: &Callers) -> Vec<(u16, Vec<u8>)> {
    let asked = |caller: &Caller, path: &str| {
        let request = sound(b"GET", path.as_bytes(), &[], b"").sent_by(caller);
        let answer = sending::ask(address, &request).unwrap();
        caller.expect_nothing_else_in(&answer, &request);
        (answer.status, answer.body)
    };
    callers.iter().flat_map(|caller| SOUND.map(|path| asked(caller, path))).collect()
}

/// Sends until all clients together have sent so many.
fn send(
    address: &str,
    callers: &Callers,
    mut random: Random,
    sent: &AtomicU64,
    requests: u64,
    ranking: &[u8],
) {
    while sent.load(SeqCst) < requests {
        let sent_now = if random.is_one_in(4) {
            pipelines::exchange(address, callers, &mut random, ranking)
        } else {
            let caller = callers.one(&mut random);
            sending::exchange(address, caller, requests::hostile(&mut random), &mut random);
            1
        };
        sent.fetch_add(sent_now, SeqCst);
    }
}
