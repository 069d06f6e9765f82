//! `cargo xtask bench serve-size`: topshelf's server as what is published grows.
//!
//! A store is filled with rankings of so many advertisers, served, and one more day is published while it is served:
//! how long loading takes, how much memory it needs, how much the server bears, how soon the new day is served.
//! One store at a time: each is deleted before the next is filled.

mod filled;
mod table;

use super::{
    build_release, machine, median, page, seconds,
    serve::{self, Request, Running},
    thousands,
};
use crate::{
    Failure,
    repository::{program, stdout, target},
    say,
};
use filled::{Filled, Kind};
use std::{
    env,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use table::Row;

/// The part of `docs/performance.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench serve-size";

/// The models of `benches/servers/src/rankings.rs`.
const MODELS: [&str; 4] = ["TopCTR", "TopClicks", "TopImpressions", "TopProduct"];

/// Left free on the disk, for others.
const SPARE_DISK_BYTES: u64 = 3_000_000_000;

/// How long loading may take, and a new day until it is served.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server that loads for longer is not started again.
const ONCE_ABOVE: Duration = Duration::from_secs(10);

/// The most different requests of a load: wrk keeps each in memory.
const REQUESTS_MAX: u64 = 20_000;

/// How much is served.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Advertisers, all active; each number is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000", value_parser = clap::value_parser!(u64).range(1..=9_999_999))]
    advertisers: Vec<u64>,
    /// Databases to serve from
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    store: Vec<Kind>,
    /// Days of history
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=60))]
    days: u64,
    /// The same for a million advertisers and more, whose week needs more disk than most have to spare
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    days_of_a_million: u64,
    /// Starts of the server; the median of their times counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Seconds of the load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Connections of the load
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write: bool,
}

impl Options {
    fn sizes(&self) -> impl Iterator<Item = Size> {
        self.advertisers.iter().map(|advertisers| {
            let days = if *advertisers < 1_000_000 { self.days } else { self.days_of_a_million };
            Size { advertisers: *advertisers, days }
        })
    }

    /// The command that prints the same table again.
    fn command_line(&self) -> String {
        let Self { days, days_of_a_million, starts, seconds, connections, .. } = self;
        let advertisers: Vec<_> = self.advertisers.iter().map(u64::to_string).collect();
        let stores: Vec<_> = self.store.iter().map(|kind| kind.flag()).collect();
        format!(
            "cargo xtask bench serve-size --advertisers {} --store {} --days {days} --days-of-a-million \
             {days_of_a_million} --starts {starts} --seconds {seconds} --connections {connections}",
            advertisers.join(","),
            stores.join(","),
        )
    }
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    advertisers: u64,
    days: u64,
}

impl Size {
    fn rankings(self) -> u64 {
        self.advertisers * MODELS.len() as u64 * self.days
    }

    /// With the day that is published in the end.
    fn disk_bytes(self, kind: Kind) -> u64 {
        Self { days: self.days + 1, ..self }.rankings() * kind.disk_bytes_a_ranking()
    }

    /// What is asked for under load: all models of advertisers from first to last.
    fn requests(self) -> Vec<Request> {
        let apart = (self.advertisers * MODELS.len() as u64).div_ceil(REQUESTS_MAX);
        let apart = usize::try_from(apart).unwrap_or(usize::MAX);
        let path = |advertiser, model| Request::get(format!("/recommendations/adv-{advertiser:07}/{model}"));
        let of = |advertiser| MODELS.map(|model| path(advertiser, model));
        (1..=self.advertisers).step_by(apart).flat_map(of).collect()
    }
}

/// Builds, fills, serves, measures and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    serve::find_wrk()?;
    build_release()?;
    serve::build_servers()?;
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for size in options.sizes() {
        for kind in &options.store {
            match no_room_for(size, *kind, free_disk_bytes()?) {
                Some(why) => left_out.push(why),
                None => rows.push(measure(options, size, *kind)?),
            }
        }
    }
    left_out.dedup();
    left_out.iter().for_each(|why| say(why));
    let table = table::markdown(options, &rows, &left_out)?;
    println!("{table}");
    if options.write {
        page::write(PART, &table)?;
    }
    if rows.is_empty() { Err(left_out.join("; ").into()) } else { Ok(()) }
}

/// Where there is least room: SQLite's files lie below `target`, those of PostgreSQL in the system's temporary folder.
fn free_disk_bytes() -> Result<u64, Failure> {
    Ok(machine::free_disk_bytes(&target())?.min(machine::free_disk_bytes(&env::temp_dir())?))
}

/// Why a size cannot be measured here.
fn no_room_for(size: Size, kind: Kind, free_bytes: u64) -> Option<String> {
    let needed_bytes = size.disk_bytes(kind) + SPARE_DISK_BYTES;
    let [needed_gb, free_gb] = [needed_bytes, free_bytes].map(|bytes| bytes / 1_000_000_000);
    let Size { advertisers, days } = size;
    (needed_bytes > free_bytes).then(|| {
        let advertisers = thousands(advertisers);
        format!(
            "{advertisers} advertisers × {days} days are left out of {kind}: they may need {needed_gb} GB of disk, {free_gb} GB are free"
        )
    })
}

fn measure(options: &Options, size: Size, kind: Kind) -> Result<Row, Failure> {
    let Size { advertisers, days } = size;
    say(&format!("publishing {days} days of {} advertisers to {kind}", thousands(advertisers)));
    let started = Instant::now();
    let filled = Filled::fill(kind, size)?;
    say(&format!("published in {:.0} s", seconds(started.elapsed())));
    machine::warn_when_busy();
    let mut loads = Vec::new();
    let served = loop {
        let (served, load) = Served::start(&filled)?;
        loads.push(load);
        if loads.len() == options.starts as usize || load > ONCE_ABOVE {
            break served;
        }
    };
    let running = &served.running;
    // Computed once the server is ready, and answered when they are there.
    expect_answer(running, "/stats/?limit=1")?;
    let (memory_bytes, load_peak_bytes) = (running.memory_bytes(), running.peak_memory_bytes());
    let how = (options.connections, Duration::from_secs(options.seconds));
    for model in MODELS {
        expect_answer(running, &format!("/recommendations/adv-0000001/{model}"))?;
    }
    let file = filled.folder().join("requests");
    let figures = serve::load_by_wrk(&running.address, &size.requests(), &file, how)?;
    running.forget_peak_memory()?;
    let swap = publish_one_more(&filled, running)?;
    let row = Row {
        size,
        kind,
        database_bytes: filled.bytes()?,
        load: median(loads.into_iter()).unwrap_or_default(),
        memory_bytes,
        load_peak_bytes,
        figures,
        swap,
        swap_peak_bytes: running.peak_memory_bytes(),
    };
    say(&row.to_string());
    Ok(row)
}

/// A server that has loaded what is published, with a folder for what it keeps on disk.
struct Served {
    running: Running,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Starts a server that never saw the store; how long it took until it was ready.
    fn start(filled: &Filled) -> Result<(Self, Duration), Failure> {
        let folder = filled::folder()?;
        let address = serve::free_address()?;
        let mut command = serve::topshelf(&address, filled.url(), folder.path());
        let mut running = Running::start(&mut command, address)?;
        let load = running.wait("/health/ready", PATIENCE, |health| health["status"] == "ready")?;
        Ok((Self { running, _folder: folder }, load))
    }
}

fn expect_answer(running: &Running, path: &str) -> Result<(), Failure> {
    match serve::ask(&running.address, &Request::get(path))?.status {
        200 => Ok(()),
        status => Err(format!("topshelf answers {path} with {status}").into()),
    }
}

/// Publishes a day while the server runs; how long after its publication it was served.
fn publish_one_more(filled: &Filled, running: &Running) -> Result<Duration, Failure> {
    let before = snapshot_version(running)?;
    let (published, served_at) = thread::scope(|scope| {
        let publishing = scope.spawn(|| filled.publish_one_more());
        let served_at = wait_for_newer(running, before, || publishing.is_finished());
        (publishing.join().expect("publishing does not panic"), served_at)
    });
    let published_at = UNIX_EPOCH + Duration::from_millis(published?.published_ms);
    // It may be served before whoever published it knows.
    Ok(served_at?.duration_since(published_at).unwrap_or_default())
}

/// When a newer version was served. Patience begins when publishing has ended.
fn wait_for_newer(
    running: &Running,
    version: i64,
    is_published: impl Fn() -> bool,
) -> Result<SystemTime, Failure> {
    let mut waiting_since = Instant::now();
    while snapshot_version(running)? <= version {
        if !is_published() {
            waiting_since = Instant::now();
        }
        if waiting_since.elapsed() > PATIENCE {
            return Err(format!("a new day is not served after {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(SystemTime::now())
}

fn snapshot_version(running: &Running) -> Result<i64, Failure> {
    let health = serve::ask(&running.address, &Request::get("/health/ready"))?.json().unwrap_or_default();
    health["snapshot_version"]
        .as_i64()
        .ok_or_else(|| format!("/health/ready tells no version: {health}").into())
}

/// Everything below a folder, in bytes.
fn folder_bytes(folder: &Path) -> Result<u64, Failure> {
    let mut du = program("du", &["--summarize", "--block-size=1"]);
    let printed = stdout(du.arg(folder))?;
    let bytes = printed.split_whitespace().next().and_then(|bytes| bytes.parse().ok());
    bytes.ok_or_else(|| format!("`du` does not say how large {} is", folder.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    impl Options {
        /// What is asked for by these words.
        pub(super) fn of_line(line: &str) -> Self {
            Line::try_parse_from(["serve-size"].into_iter().chain(line.split_whitespace())).unwrap().options
        }
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        let line = "--advertisers 5,1000000 --store postgres,sqlite --days 3 --days-of-a-million 2 --starts 4 --seconds 6 --connections 7";
        let given = Options::of_line(line);
        let told = given.command_line();
        let again = Options::of_line(told.trim_start_matches("cargo xtask bench serve-size"));
        assert_eq!(again.command_line(), told);
        assert!(told.ends_with(line), "{told}");
    }

    #[test]
    fn a_million_advertisers_have_days_of_their_own() {
        let sizes: Vec<_> = Options::of_line("--advertisers 999999,1000000").sizes().collect();
        assert_eq!(sizes.iter().map(|size| size.days).collect::<Vec<_>>(), [7, 1]);
        assert_eq!(sizes[1].rankings(), 4_000_000);
    }

    #[test]
    fn a_size_without_room_says_how_much_it_needs() {
        let size = Size { advertisers: 1_000_000, days: 1 };
        let why = "1,000,000 advertisers × 1 days are left out of SQLite: they may need 27 GB of disk, 26 GB are free";
        assert_eq!(no_room_for(size, Kind::Sqlite, 26_999_999_999).unwrap(), why);
        assert_eq!(no_room_for(size, Kind::Sqlite, 27_000_000_000), None);
    }

    #[test]
    fn all_models_of_advertisers_far_apart_are_asked_for() {
        let requests = Size { advertisers: 100_000, days: 7 }.requests();
        assert_eq!(requests.len(), 20_000);
        assert_eq!(requests[1], Request::get("/recommendations/adv-0000001/TopClicks"));
        assert_eq!(requests[4], Request::get("/recommendations/adv-0000021/TopCTR"));
        assert_eq!(Size { advertisers: 3, days: 7 }.requests().len(), 12);
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), vec![1; 1_000_000]).unwrap();
        assert!((1_000_000..2_000_000).contains(&folder_bytes(folder.path()).unwrap()));
    }
}
