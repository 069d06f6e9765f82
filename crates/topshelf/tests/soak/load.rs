//! Clients that ask without pause, each on a connection of its own, and ask nothing twice.
//!
//! They know servers by their readiness alone, as behind a load balancer. A new connection is made only when the
//! server has closed the last one and said so, or has closed it while nothing was asked.

use crate::{
    answers::Question,
    client::Connection,
    tally::{Known, Server, Tally},
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::sleep,
};

/// Between two looks at the readiness of a server.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// The servers that clients may choose from.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    servers: Mutex<Vec<Member>>,
    turn: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Member {
    server: Arc<Server>,
    is_ready: bool,
    may_fall: bool,
}

impl Fleet {
    /// A server joins that is ready.
    pub(crate) fn join(&self, server: Arc<Server>) {
        self.members(|members| members.push(Member { server, is_ready: true, may_fall: false }));
    }

    /// From now on the server need not be ready, nor there.
    pub(crate) fn may_fall(&self, server: &Arc<Server>) {
        self.change(server, |member| member.may_fall = true);
    }

    pub(crate) fn leave(&self, server: &Arc<Server>) {
        self.members(|members| members.retain(|member| !Arc::ptr_eq(&member.server, server)));
    }

    /// The next of those that are ready.
    fn next(&self) -> Option<Arc<Server>> {
        let turn = self.turn.fetch_add(1, SeqCst);
        self.members(|members| {
            let ready: Vec<_> = members.iter().filter(|member| member.is_ready).collect();
            ready.get(turn % ready.len().max(1)).map(|member| member.server.clone())
        })
    }

    fn change(&self, server: &Arc<Server>, change: impl FnOnce(&mut Member)) {
        self.members(|members| {
            members.iter_mut().find(|member| Arc::ptr_eq(&member.server, server)).map(change);
        });
    }

    fn members<T>(&self, with: impl FnOnce(&mut Vec<Member>) -> T) -> T {
        with(&mut self.servers.lock().unwrap())
    }
}

/// The clients of a fleet.
pub(crate) struct Load {
    runtime: Runtime,
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(fleet: &Arc<Fleet>, tally: &Arc<Tally>, clients: u64, seed: u64) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |number| {
            let random = Xoshiro256PlusPlus::seed_from_u64(seed + number);
            let (fleet, tally, is_over) = (fleet.clone(), tally.clone(), is_over.clone());
            let client = Client { fleet, tally, is_over, random, known: HashMap::new() };
            runtime.spawn(client.ask())
        };
        let mut tasks: Vec<_> = (0..clients).map(client).collect();
        tasks.push(runtime.spawn(look(fleet.clone(), tally.clone(), is_over.clone())));
        Self { runtime, is_over, tasks }
    }

    /// Each client gets the answer that it waits for, and asks no more.
    pub(crate) fn stop(self) {
        self.is_over.store(true, SeqCst);
        for task in self.tasks {
            self.runtime.block_on(task).unwrap();
        }
    }
}

struct Client {
    fleet: Arc<Fleet>,
    tally: Arc<Tally>,
    is_over: Arc<AtomicBool>,
    random: Xoshiro256PlusPlus,
    /// What the last answers were, by question.
    known: HashMap<Question, Known>,
}

impl Client {
    async fn ask(mut self) {
        while !self.is_over.load(SeqCst) {
            let Some(server) = self.fleet.next() else {
                sleep(LOOK_PERIOD).await;
                continue;
            };
            match Connection::open(&server.address).await {
                Ok(connection) => {
                    self.tally.connected();
                    if let Err(error) = self.ask_on(&server, connection).await {
                        self.tally.failed(format!("{}: {error}", server.address));
                    }
                }
                Err(error) => {
                    self.tally.failed(format!("{}, which is ready: {error}", server.address));
                    sleep(LOOK_PERIOD).await;
                }
            }
        }
    }

    /// Until all is over, or the server has closed the connection.
    async fn ask_on(&mut self, server: &Server, mut connection: Connection) -> io::Result<()> {
        while !self.is_over.load(SeqCst) && !connection.is_closed() {
            let question = Question::random(&mut self.random);
            let is_conditional = self.random.next_u64().is_multiple_of(4);
            let known = self.known.get(&question).filter(|_| is_conditional);
            let floor = server.floor();
            let answer = connection.ask(&question.path(), known.map(|known| known.etag.as_str())).await?;
            if let Some(known) = self.tally.take(server, floor, question, known, &answer) {
                self.known.insert(question, known);
            }
            if answer.is_last {
                return connection.closed().await;
            }
        }
        Ok(())
    }
}

/// Looks at the readiness of all servers, as a load balancer does.
async fn look(fleet: Arc<Fleet>, tally: Arc<Tally>, is_over: Arc<AtomicBool>) {
    while !is_over.load(SeqCst) {
        for member in fleet.members(|members| members.clone()) {
            let seen = readiness(&member.server.address).await;
            let is_ready = matches!(seen, Ok((200, _)));
            if let Ok((200, Some(version))) = seen {
                tally.record.shown(version);
            }
            // It may have left meanwhile.
            let mut may_fall = true;
            fleet.change(&member.server, |member| {
                member.is_ready = is_ready;
                may_fall = member.may_fall;
            });
            if !is_ready && !may_fall {
                tally.failed(format!("{} is not ready: {seen:?}", member.server.address));
            }
        }
        sleep(LOOK_PERIOD).await;
    }
}

/// The status of `/health/ready`, and the version of what is served.
pub(crate) async fn readiness(address: &str) -> io::Result<(u16, Option<i64>)> {
    let answer = Connection::open(address).await?.ask("/health/ready", None).await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).map_err(io::Error::other)?;
    Ok((answer.status, body["snapshot_version"].as_i64()))
}
