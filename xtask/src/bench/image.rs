//! `cargo xtask bench image`: how large the image is, how soon it serves, how much memory it takes.
//!
//! A week of sample days is served from SQLite. The program runs as its own user in the image's root, which is all that
//! it sees; what an engine adds to its start is measured with podman.

use super::{
    machine, median, page, seconds,
    serve::{self, Figures, Request, Running, megabytes, whole},
};
use crate::{
    Failure, debian,
    image::{self, Image},
    repository::{program, stdout, succeed, works},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// The part of `docs/performance.md` that the table is written into.
pub(super) const PART: &str = "cargo xtask bench image";

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who it is run by, and where it may write.
const USER: &str = "65532:65532";

/// What is served.
const ADVERTISERS: &str = "200";
const LOGS: [&str; 6] = ["--rows", "100000", "--products", "100", "--days", "7"];
const DAYS: [&str; 4] = ["--from", "2024-11-20", "--to", "2024-11-26"];

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Starts of each kind; the median of their times counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
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
    /// A static program that was built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// What was measured.
struct Measured {
    start: Duration,
    start_by_podman: Duration,
    idle_bytes: u64,
    figures: Figures,
    peak_bytes: u64,
}

/// Builds, measures and reports.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    serve::find_wrk()?;
    if !debian::is_root()? {
        return Err("only root may run a program as another user in another root".into());
    }
    let image = image::build(&image::Options { program: options.program.clone(), ..Default::default() })?;
    machine::warn_when_busy();
    let published = publish(&image)?;
    let table = table(options, &image, &measure(options, &image, published.path())?)?;
    println!("{table}");
    if options.write { page::write(PART, &table) } else { Ok(()) }
}

/// A folder with a week that is published, which belongs to the image's user.
fn publish(image: &Image) -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("topshelf-bench-").tempdir();
    let folder = folder.map_err(|error| format!("could not make a temporary folder: {error}"))?;
    let topshelf = |arguments: &[&str]| {
        let mut call = program(image.root.join("topshelf"), arguments);
        succeed(call.current_dir(folder.path()).stdout(Stdio::null()))
    };
    topshelf(&[&["generate", "--out", "data", "--advertisers", ADVERTISERS], &LOGS[..]].concat())?;
    topshelf(&[&["backfill"], &DAYS[..]].concat())?;
    succeed(program("chown", &["-R", USER]).arg(folder.path()))?;
    Ok(folder)
}

fn measure(options: &Options, image: &Image, published: &Path) -> Result<Measured, Failure> {
    let mut starts = Vec::new();
    let running = loop {
        let address = serve::free_address()?;
        let mut running = Running::start(&mut confined(image, published, &address), address)?;
        starts.push(until_ready(&mut running)?);
        if starts.len() == options.starts as usize {
            break running;
        }
    };
    // What is made ready behind readiness is ready by then.
    thread::sleep(Duration::from_secs(2));
    let idle_bytes = running.memory_bytes();
    let how = (options.connections, Duration::from_secs(options.seconds));
    let figures =
        serve::load_by_wrk(&running.address, &requests(&running)?, &published.join("requests"), how)?;
    Ok(Measured {
        start: median(starts.into_iter()).unwrap_or_default(),
        start_by_podman: start_by_podman(options, image, published)?,
        idle_bytes,
        figures,
        peak_bytes: running.peak_memory_bytes(),
    })
}

/// The program, alone in the image's root but for what it serves.
fn confined(image: &Image, published: &Path, address: &str) -> Command {
    // A namespace of mounts of its own, which goes with the process.
    let script = "mount --bind \"$1\" \"$0/tmp\" && exec chroot --userspec=\"$2\" \"$0\" /topshelf serve --listen \"$3\"";
    let mut command = program("unshare", &["--mount", "sh", "-c", script]);
    command.arg(&image.root).arg(published).args([USER, address]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    for (name, value) in settings() {
        command.env(name, value);
    }
    command
}

/// Where the program finds what is published: below the only folder that it may write to.
fn settings() -> [(&'static str, &'static str); 4] {
    [
        ("TOPSHELF_LOG", "error"),
        ("TOPSHELF_STORE__URL", "sqlite:/tmp/topshelf-data/topshelf.db"),
        ("TOPSHELF_SERVE__SNAPSHOT_DIR", "/tmp/topshelf-data/snapshot"),
        ("TOPSHELF_SERVE__KEYS", "off"),
    ]
}

fn until_ready(running: &mut Running) -> Result<Duration, Failure> {
    running.wait("/health/ready", PATIENCE, |health| health["status"] == "ready")
}

/// All rankings that there are.
fn requests(running: &Running) -> Result<Vec<Request>, Failure> {
    let stats = serve::ask(&running.address, &Request::get("/stats/?limit=1000"))?.json().unwrap_or_default();
    let advertisers = stats["model_agreement"]["advertisers"].as_array().cloned().unwrap_or_default();
    let advertisers = advertisers.iter().filter_map(|advertiser| advertiser["advertiser_id"].as_str());
    let of = |advertiser: &str| {
        ["TopCTR", "TopProduct"].map(|model| Request::get(format!("/recommendations/{advertiser}/{model}")))
    };
    let requests: Vec<_> = advertisers.flat_map(of).collect();
    if requests.is_empty() { Err("/stats/ tells of no advertiser".into()) } else { Ok(requests) }
}

/// From `podman run` to the first answer that says ready.
fn start_by_podman(options: &Options, image: &Image, published: &Path) -> Result<Duration, Failure> {
    let storage =
        tempfile::tempdir().map_err(|error| format!("could not make a temporary folder: {error}"))?;
    let podman = |arguments: &[&str]| {
        let mut podman = program("podman", &["--runtime", "/usr/bin/runc", "--storage-driver", "vfs"]);
        podman.args(["--cgroup-manager", "cgroupfs", "--root"]).arg(storage.path().join("root"));
        podman.arg("--runroot").arg(storage.path().join("run")).args(arguments);
        podman
    };
    let loaded = stdout(podman(&["load", "--quiet", "--input"]).arg(&image.docker))?;
    let name = loaded.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let confinement = ["--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];
    let limits = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096", "--no-healthcheck"];
    let mut starts = Vec::new();
    for _ in 0..options.starts {
        let address = serve::free_address()?;
        let mut run = podman(&[&["run", "--rm", "--name", "measured"], &confinement[..], &limits].concat());
        run.arg(format!("--volume={}:/tmp", published.display()));
        run.args(settings().map(|(setting, value)| format!("--env={setting}={value}")));
        run.args([name.as_str(), "serve", "--listen", &address]);
        let mut running = Running::start(&mut run, address)?;
        let ready = until_ready(&mut running);
        works(&mut podman(&["rm", "--force", "--time", "0", "measured"]));
        starts.push(ready?);
    }
    Ok(median(starts.into_iter()).unwrap_or_default())
}

fn table(options: &Options, image: &Image, measured: &Measured) -> Result<String, Failure> {
    let bytes = |file: &Path| {
        fs::metadata(file)
            .map(|metadata| metadata.len())
            .map_err(|error| Failure::from(format!("could not read {}: {error}", file.display())))
    };
    let milliseconds = |time: Duration| format!("{:.0}", seconds(time) * 1e3);
    let Measured { start, start_by_podman, idle_bytes, figures, peak_bytes } = measured;
    Ok(format!(
        "| | |\n|---|---:|\n\
         | image, unpacked | {:.1} MB |\n\
         | of it the program | {:.1} MB |\n\
         | archive, as a registry keeps it | {:.1} MB |\n\
         | start of the process until ready | {} ms |\n\
         | `podman run` until ready | {} ms |\n\
         | memory at rest | {} MB |\n\
         | most memory under load | {} MB |\n\
         | load | {} requests/s |\n\n\
         {ADVERTISERS} advertisers, two models, 7 days; *ready* is what `/health/ready` says; starts are medians of {}; the load \
         comes by {} connections for {} s from the same machine. {}; {}.\n\n```\n\
         cargo xtask bench image --starts {} --seconds {} --connections {}\n```\n",
        image.size_bytes as f64 / 1e6,
        bytes(&image.root.join("topshelf"))? as f64 / 1e6,
        bytes(&image.oci)? as f64 / 1e6,
        milliseconds(*start),
        milliseconds(*start_by_podman),
        megabytes(*idle_bytes),
        megabytes(*peak_bytes),
        whole(figures.rate()),
        options.starts,
        options.connections,
        options.seconds,
        machine::description(),
        machine::date()?,
        options.starts,
        options.seconds,
        options.connections,
    ))
}
