//! `cargo xtask bench serve`: topshelf's server beside a constant, and beside servers that read PostgreSQL.
//!
//! All serve the same database, which a night's pipeline filled, and are loaded in turn. The two other servers in
//! Rust and the client with a pace of its own are `benches/servers`, the one in Python and wrk's script are
//! `benches/serve`. Each other server that reads must answer as topshelf does before anything is measured.

mod answers;
mod ask;
mod contenders;
mod kinds;
mod pace;
mod report;
mod request;
mod running;
mod turns;
mod wrk;

use super::{
    build_release,
    logs::{Format, Logs, Shape},
    machine, page, peers,
};
use crate::{
    Failure, postgres,
    repository::{cargo, program, succeed, target},
    say,
};
use answers::Pair;
use contenders::Contender;
use kinds::Kind;
use report::{Compared, Measured, Report};
use std::{fs, path::Path, process::Stdio, time::Duration};
use turns::{Load, Turns};

pub(super) use ask::ask;
pub(super) use contenders::topshelf;
pub(super) use report::{megabytes, whole};
pub(super) use request::Request;
pub(super) use running::Running;
pub(super) use wrk::{Figures, find as find_wrk, load as load_by_wrk};

/// The part of `docs/performance.md` that the tables are written into.
pub(super) const PART: &str = "cargo xtask bench serve";

/// What is published, and so what `/history` tells.
const DAYS: u32 = 7;
const MODELS: [&str; 2] = ["TopCTR", "TopProduct"];

/// Of each server before its first turn.
const WARM_UP: Duration = Duration::from_secs(1);

/// How much is served, and for how long each is loaded.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which each server has a turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Connections of the load
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Advertisers, four fifths of them active
    #[arg(long, default_value_t = 1_250)]
    advertisers: u32,
    /// Products of each advertiser
    #[arg(long, default_value_t = 50)]
    products: u32,
    /// Lines of the ad log, of all days together; the product-view log has half of it
    #[arg(long, default_value_t = 7_000_000)]
    rows: u64,
    /// Write the tables into docs/performance.md
    #[arg(long)]
    write: bool,
}

impl Options {
    fn shape(&self) -> Shape {
        let Self { rows, advertisers, products, .. } = *self;
        let of_all_days = |rows: u64| rows - rows % u64::from(DAYS);
        let (rows, view_rows) = (of_all_days(rows), of_all_days(rows / 2));
        Shape { rows, view_rows, advertisers, products, days: DAYS, extra_columns: 0 }
    }

    /// The command that prints the same tables again.
    fn command_line(&self) -> String {
        let Self { rounds, seconds, connections, advertisers, products, rows, write: _ } = self;
        format!(
            "cargo xtask bench serve --rounds {rounds} --seconds {seconds} --connections {connections} \
             --advertisers {advertisers} --products {products} --rows {rows}"
        )
    }
}

/// Builds, publishes, starts, compares, measures and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    wrk::find()?;
    build_release()?;
    build_servers()?;
    peers::install(peers::SERVE)?;
    let logs = Logs::find_or_make(options.shape(), Format::Csv)?;
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    let database = postgres::Server::start()?;
    publish(&logs, database.url(), folder.path())?;
    machine::warn_when_busy();

    let arena = Arena::enter(options, &logs, &database, folder.path())?;
    let contenders = arena.in_turn()?;
    let pace = contenders[0].turns.rate() / 2.0;
    let (paced, clock) = arena.at_pace(pace)?;
    let kinds = arena.of_each_kind()?;
    let report = Report {
        options,
        pairs: arena.pairs.len(),
        body_bytes: answers::of_middle_size(&arena.pairs).len(),
        contenders,
        pace,
        paced,
        clock,
        kinds,
    };
    let tables = report.markdown()?;
    println!("{tables}");
    if options.write {
        page::write(PART, &tables)?;
    }
    let problems = report.problems();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// Builds what topshelf is compared with and measured by.
pub(super) fn build_servers() -> Result<(), Failure> {
    say("building the servers to compare with");
    succeed(&mut cargo(&["build", "--release", "--package", "topshelf-bench-servers"]))
}

/// A host and port that nobody listens at.
pub(super) fn free_address() -> Result<String, Failure> {
    Ok(format!("127.0.0.1:{}", postgres::free_port()?))
}

/// Runs the nights of all days into the database.
fn publish(logs: &Logs, store: &str, folder: &Path) -> Result<(), Failure> {
    say(&format!("publishing {DAYS} days"));
    let days = ["backfill", "--from", &logs.shape.first_day(), "--to", &logs.shape.day(), "--store", store];
    let mut backfill = program(target().join("release/topshelf"), &days);
    backfill.arg("--input").arg(&logs.folder).arg("--lake").arg(folder.join("lake"));
    backfill.current_dir(folder).env("TOPSHELF_LOG", "error").stdout(Stdio::null());
    succeed(&mut backfill)
}

/// The active advertisers of the logs, each once.
fn advertisers(logs: &Logs) -> Result<Vec<String>, Failure> {
    let file = logs.folder.join("advertiser_ids.csv");
    let text =
        fs::read_to_string(&file).map_err(|error| format!("could not read {}: {error}", file.display()))?;
    let mut ids: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// All servers, running and in agreement.
struct Arena<'a> {
    options: &'a Options,
    folder: &'a Path,
    load: Load,
    /// Everything that is asked for.
    pairs: Vec<Pair>,
    /// In the order of [`Contender::ALL`].
    servers: Vec<(Contender, Running)>,
}

impl<'a> Arena<'a> {
    fn enter(
        options: &'a Options,
        logs: &Logs,
        database: &postgres::Server,
        folder: &'a Path,
    ) -> Result<Self, Failure> {
        let (store, advertisers) = (database.url(), advertisers(logs)?);
        let topshelf = Contender::Topshelf.start(store, folder, &[], "/health/ready")?;
        let pairs = answers::collect(&topshelf.address, &advertisers, &MODELS)?;
        let (body, path) = (answers::of_middle_size(&pairs), pairs[0].path());
        let mut servers = vec![(Contender::Topshelf, topshelf)];
        for contender in Contender::ALL.into_iter().skip(1) {
            let running = contender.start(store, folder, body, &path)?;
            if contender.answers_truly() {
                answers::compare(contender, &running, &pairs)?;
            }
            servers.push((contender, running));
        }
        let load = Load {
            connections: options.connections,
            time: Duration::from_secs(options.seconds),
            file: folder.join("requests"),
            database: database.pid(),
        };
        Ok(Self { options, folder, load, pairs, servers })
    }

    /// All servers under full load, one after the other, round by round.
    fn in_turn(&self) -> Result<Vec<Compared>, Failure> {
        let requests = Kind::Recommendations.requests(&self.pairs);
        let mut turns: Vec<_> = self.servers.iter().map(|_| Turns::default()).collect();
        let requests_to = |running: &Running| {
            requests.iter().cloned().map(|request| running.request(request)).collect::<Vec<_>>()
        };
        for (_, running) in &self.servers {
            wrk::load(
                &running.address,
                &requests_to(running),
                &self.load.file,
                (self.options.connections, WARM_UP),
            )?;
        }
        for round in 1..=self.options.rounds {
            for ((contender, running), turns) in self.servers.iter().zip(&mut turns) {
                let turn = self.load.turn(running, &requests_to(running))?;
                say(&format!("round {round}: {contender}: {turn}"));
                turns.0.push(turn);
            }
        }
        let compared = |((contender, running), turns): (&(Contender, Running), Turns)| Compared {
            contender: *contender,
            turns,
            memory_bytes: running.memory_bytes(),
        };
        Ok(self.servers.iter().zip(turns).map(compared).collect())
    }

    /// Topshelf and the constant at a pace that both bear, and the machine's clock alone.
    fn at_pace(&self, pace: f64) -> Result<(Vec<(Contender, pace::Latencies)>, pace::Latencies), Failure> {
        let (requests, file) = (Kind::Recommendations.requests(&self.pairs), self.folder.join("paths"));
        let how = (self.options.connections, self.load.time);
        let is_paced = |contender| matches!(contender, Contender::Topshelf | Contender::Constant);
        let both: Vec<_> = self.servers.iter().filter(|(contender, _)| is_paced(*contender)).collect();
        let cores = pace::Cores::of_machine()?;
        for (_, running) in &both {
            running.confine(&cores.servers)?;
        }
        let (mut latencies, mut clock) = (vec![Vec::new(); both.len()], Vec::new());
        for round in 1..=self.options.rounds {
            clock.push(pace::clock(pace, self.load.time, &cores)?);
            for ((contender, running), latencies) in both.iter().zip(&mut latencies) {
                let turn = pace::load(running, &requests, &file, pace, how, &cores)?;
                say(&format!(
                    "round {round}: {contender} at {pace:.0} requests/s: p99 {:.0} µs",
                    turn.p99_us
                ));
                latencies.push(turn);
            }
        }
        for (_, running) in &both {
            running.confine(&cores.all)?;
        }
        let medians = latencies.iter().map(|all| pace::Latencies::medians(all));
        let both = both.iter().map(|(contender, _)| *contender).zip(medians).collect();
        Ok((both, pace::Latencies::medians(&clock)))
    }

    /// Topshelf under full load of each kind of request, one after the other, round by round.
    fn of_each_kind(&self) -> Result<Vec<(Kind, Measured)>, Failure> {
        let topshelf = &self.servers[0].1;
        let mut measured = Vec::new();
        for kind in Kind::ALL {
            let requests = kind.requests(&self.pairs);
            let problem = kind.problem(&ask(&topshelf.address, &requests[0])?);
            let nothing_yet = problem.map_or_else(|| Measured::Turns(Turns::default()), Measured::Problem);
            measured.push((kind, requests, nothing_yet));
        }
        for round in 1..=self.options.rounds {
            for (kind, requests, measured) in &mut measured {
                if let Measured::Turns(turns) = measured {
                    let turn = self.load.turn(topshelf, requests)?;
                    say(&format!("round {round}: {kind}: {turn}"));
                    turns.0.push(turn);
                }
            }
        }
        Ok(measured.into_iter().map(|(kind, _, measured)| (kind, measured)).collect())
    }
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
            Line::try_parse_from(["serve"].into_iter().chain(line.split_whitespace())).unwrap().options
        }
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        let given =
            Options::of_line("--rounds 2 --seconds 3 --connections 4 --advertisers 5 --products 6 --rows 70");
        let told = given.command_line();
        let again = Options::of_line(told.trim_start_matches("cargo xtask bench serve"));
        assert_eq!(again.command_line(), told);
        assert_eq!(again.shape(), given.shape());
    }

    #[test]
    fn each_day_has_as_many_lines() {
        let shape = Options::of_line("--rows 100").shape();
        assert_eq!((shape.rows, shape.view_rows, shape.days), (98, 49, 7));
    }
}
