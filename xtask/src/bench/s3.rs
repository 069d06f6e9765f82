//! `cargo xtask bench s3`: counting from a bucket beside a plain download of it, and beside counting from disk.
//!
//! The bucket is a lean server on loopback, in this process. The plain downloader reads the same objects
//! over as many connections as counting had requests at once, and throws the bytes away: what it gets is
//! what the server can give. All share the machine's cores, so where the server is fast, they and counting
//! compete for them; where it is held to a rate, it is the server that limits.

mod download;
mod http;
mod objects;
mod server;
mod table;

use super::{
    build_release, machine,
    measure::{self, Usage, Used},
    page,
};
use crate::{
    Failure,
    repository::{program, target},
    say,
};
use objects::{DAY, Objects};
use server::{BUCKET, Conditions, Server};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use table::{Row, Run};

/// What is read, and from what kind of server.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Objects of the log; only such objects are measured then
    #[arg(long, requires = "object_bytes")]
    objects: Option<u64>,
    /// Bytes of each of them
    #[arg(long, requires = "objects")]
    object_bytes: Option<u64>,
    /// Milliseconds that the server waits before each answer; several are measured one after the other
    #[arg(long, value_delimiter = ',')]
    latency_ms: Vec<u64>,
    /// Megabytes a second that the server sends at most; 0 for as many as it can
    #[arg(long, value_delimiter = ',', default_value = "0,300")]
    rates_mb: Vec<u32>,
    /// Runs of each; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Another build of topshelf to measure, such as an earlier one
    #[arg(long)]
    program: Option<PathBuf>,
    /// Threads that count
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Seconds after which a run is given up
    #[arg(long, default_value_t = 900)]
    limit_s: u64,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write: bool,
}

/// The part of `docs/performance.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench s3";

/// Builds, generates, serves, measures and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    build_release()?;
    let mut rows = Vec::new();
    for (objects, conditions) in cases(options) {
        let row = measure_case(options, objects, conditions)?;
        eprintln!("{row}");
        rows.push(row);
    }
    let report = table::markdown(options, &rows);
    println!("{report}");
    if options.write { page::write(PART, &report) } else { Ok(()) }
}

/// Everything that is measured, in the order of the table.
fn cases(options: &Options) -> Vec<(Objects, Conditions)> {
    let plain = |count, bytes| Objects { count, bytes, is_gzip: false };
    let (few, many) = (plain(8, 256 << 20), plain(10_000, 100_000));
    let all = [few, plain(1, 1 << 30), Objects { is_gzip: true, ..few }, many];
    let all = match (options.objects, options.object_bytes) {
        (Some(count), Some(bytes)) => vec![plain(count, bytes)],
        _ => all.to_vec(),
    };
    let latencies = |objects: Objects| match &options.latency_ms[..] {
        [] if objects == many => vec![0, 5, 20],
        [] => vec![0],
        given => given.to_vec(),
    };
    let conditions = |latency_ms: u64, rate_mb: u32| Conditions {
        latency: Duration::from_millis(latency_ms),
        bytes_per_second: (rate_mb > 0).then_some(f64::from(rate_mb) * 1e6),
    };
    let rates = |objects, latency_ms| {
        options.rates_mb.iter().map(move |rate_mb| (objects, conditions(latency_ms, *rate_mb)))
    };
    let of = |objects| latencies(objects).into_iter().flat_map(move |latency_ms| rates(objects, latency_ms));
    all.into_iter().flat_map(of).collect()
}

/// All runs of one row, in turn: what disturbs the machine for a while disturbs all.
fn measure_case(options: &Options, objects: Objects, conditions: Conditions) -> Result<Row, Failure> {
    let folder = objects.find_or_make()?;
    objects::warm(&folder)?;
    machine::warn_when_busy();
    let server = Server::start(&folder, conditions)?;
    let sizes = objects::sizes(&folder)?;
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        let (from_s3, counted) = count(options, &bucket_input(&server))?;
        let seen = server.seen();
        let downloaded = download::download(server.address(), &sizes, seen.at_once);
        let downloaded = downloaded.map_err(|error| format!("could not download: {error}"))?;
        server.seen();
        let input = Input { url: folder.display().to_string(), settings: vec![] };
        let (from_disk, expected) = count(options, &input)?;
        if counted != expected {
            return Err("counting from the bucket gave other counts than from disk".into());
        }
        let run = Run { from_s3, downloaded, from_disk, seen };
        say(&run.to_string());
        runs.push(run);
    }
    let bytes = sizes.iter().map(|(_, size)| size).sum();
    Ok(Row { objects, conditions, bytes, runs })
}

/// Where `topshelf count` finds the log.
struct Input {
    url: String,
    settings: Vec<(&'static str, String)>,
}

fn bucket_input(server: &Server) -> Input {
    let settings = [
        ("AWS_ENDPOINT_URL", format!("http://{}", server.address())),
        // Requests are signed as on AWS, though nobody looks.
        ("AWS_ACCESS_KEY_ID", "AKIDBENCH".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "benchmark".to_owned()),
    ];
    Input { url: format!("s3://{BUCKET}"), settings: settings.to_vec() }
}

/// One run of `topshelf count`; what it used, and the bytes that it left in the lake.
fn count(options: &Options, input: &Input) -> Result<(Used, Vec<u8>), Failure> {
    let folder = tempfile::tempdir_in(target());
    let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
    let usage =
        measure::run(&mut command(options, input, folder.path()), Duration::from_secs(options.limit_s))?;
    match usage {
        Usage::Done(used) => Ok((used, counts(&folder.path().join("lake"))?)),
        other => Err(format!("topshelf count from {}: {other}", input.url).into()),
    }
}

fn command(options: &Options, input: &Input, folder: &Path) -> Command {
    let ours = || target().join("release/topshelf");
    let measured = options.program.clone().unwrap_or_else(ours);
    let mut count = program(measured, &["count", "--day", DAY, "--input"]);
    count.arg(&input.url).arg("--lake").arg(folder.join("lake"));
    // No configuration file of the repository has a say.
    count
        .stdout(Stdio::null())
        .current_dir(folder)
        .env("TOPSHELF_COUNTING__THREADS", options.threads.to_string());
    count.env("TOPSHELF_INPUT__PRODUCT_VIEWS", "");
    count.envs(input.settings.iter().map(|(name, value)| (name, value)));
    count
}

/// The counts in the lake, without the manifests, which tell where the log was.
fn counts(lake: &Path) -> Result<Vec<u8>, Failure> {
    let unread = |error: std::io::Error| format!("could not read {}: {error}", lake.display());
    let mut folders = vec![lake.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    let read = files.iter().map(|file| fs::read(file).map_err(unread)).collect::<Result<Vec<_>, _>>()?;
    if read.is_empty() { Err("counting left no counts in the lake".into()) } else { Ok(read.concat()) }
}
