//! What happens to the database and to the ways to it, at moments that a seed decides.

use crate::{
    cluster::Stop,
    database::{Database, Kind},
    place::Place,
    proxy::Proxy,
    snapshot_files::{damage, folder},
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use sqlx::{Connection, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::runtime::Builder;

/// Longer than PostgreSQL takes to recover.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two cuts, in milliseconds.
const CUT_EACH_MS: [u64; 2] = [500, 3_000];

/// How long the database stays away, or its ways silent.
const AWAY_MS: [u64; 2] = [500, 4_000];

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// PostgreSQL stops, and starts again after a while.
    Restart(Stop),
    /// One of its processes is killed: it ends all others, and recovers.
    Kill,
    /// Nothing comes through, and nothing is closed.
    Silence,
    /// A file that the server keeps of its snapshot is damaged.
    Damage,
}

/// The faults of so many seconds, each at its moment from the beginning on.
pub(crate) fn faults(seconds: u64, random: &mut Random) -> Vec<(Duration, Fault)> {
    let each = |period: u64| 0..(seconds / period).max(1);
    let stops =
        each(120).map(|number| Fault::Restart(if number % 2 == 0 { Stop::Fast } else { Stop::Immediate }));
    let kills = each(120).map(|_| Fault::Kill);
    let silences = each(60).map(|_| Fault::Silence);
    let damages = each(60).map(|_| Fault::Damage);
    let mut faults: Vec<_> = stops.chain(kills).chain(silences).chain(damages).collect();
    for place in (1..faults.len()).rev() {
        let other = random.below(place as u64 + 1);
        faults.swap(place, usize::try_from(other).unwrap());
    }
    let slot = Duration::from_secs(seconds) / u32::try_from(faults.len()).unwrap();
    // None begins where it would run into the next.
    let moment = |number: u32| slot * number + slot.mul_f64(random.between([0, 600]) as f64 / 1_000.0);
    (0..).map(moment).zip(faults.iter().copied()).collect()
}

/// Numbers that a seed decides.
pub(crate) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    pub(crate) fn between(&mut self, [first, last]: [u64; 2]) -> u64 {
        first + self.below(last - first + 1)
    }

    fn away(&mut self) -> Duration {
        Duration::from_millis(self.between(AWAY_MS))
    }
}

impl Fault {
    /// Lets it happen, until it is over. PostgreSQL ends with the thread that has started it.
    pub(crate) fn happen(self, place: &mut Place, random: &mut Random) {
        place.record.is_calm(false);
        match self {
            Self::Restart(how) => {
                place.cluster.stop(how);
                thread::sleep(random.away());
                place.cluster.start();
            }
            Self::Kill => kill_one(place),
            Self::Silence => place.proxy.silence(random.away()),
            Self::Damage => println!("{:?}", damage(&folder(place), random)),
        }
        place.record.is_calm(true);
    }
}

/// Kills a process that works for us: the server ends those of all others, and recovers.
fn kill_one(place: &Place) {
    let database = Database { kind: Kind::Postgres, url: place.cluster.url("postgres") };
    let (mut victim, mut witness) = (database.prompt(), database.prompt());
    let pid = victim.rows("SELECT pg_backend_pid()::text").pop().unwrap();
    place.cluster.kill(pid.parse().unwrap());
    let began = Instant::now();
    while witness.try_run("SELECT 1").is_ok() {
        assert!(began.elapsed() < PATIENCE, "the others go on");
        thread::sleep(Duration::from_millis(5));
    }
    until_connected(&database.url);
}

fn until_connected(url: &str) {
    let began = Instant::now();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    while let Err(error) = runtime.block_on(PgConnection::connect(url)).map(PgConnection::close) {
        assert!(began.elapsed() < PATIENCE, "{error}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Connections to the database are cut all the time, all of them or some.
pub(crate) struct Cutting {
    is_over: Arc<AtomicBool>,
    cuts: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Cutting {
    pub(crate) fn start(proxy: Proxy, mut random: Random) -> Self {
        let (is_over, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (is_over_there, cuts_there) = (is_over.clone(), cuts.clone());
        let thread = thread::spawn(move || {
            while !is_over_there.load(SeqCst) {
                thread::sleep(Duration::from_millis(random.between(CUT_EACH_MS)));
                let are_all = random.below(2) == 0;
                proxy.cut_some(|| are_all || random.below(2) == 0);
                cuts_there.fetch_add(1, SeqCst);
            }
        });
        Self { is_over, cuts, thread }
    }

    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(SeqCst)
    }

    pub(crate) fn stop(self) {
        self.is_over.store(true, SeqCst);
        self.thread.join().unwrap();
    }
}
