//! `cargo xtask bench scale`: what counting on a cluster costs, and what that says of days that are far larger.
//!
//! Measured are a scheduler and executors as processes of one machine, whose cores all of them share: so it is CPU, bytes
//! and memory that tell something, and wall time hardly. The lake must be that of one machine each time, byte for byte,
//! and the sums of other tools must be ours. A model is fitted to it, and asked for what nobody here can measure; a
//! simulation has executors fail. `docs/scale.md` has it all.

mod fit;
mod group;
mod measured;
mod model;
mod nights;
mod others;
mod pairs;
mod prediction;
mod prices;
mod random;
mod simulation;
mod table;
mod tls;

use super::{
    logs::{Format, Logs, Shape},
    machine,
    measure::{self, Usage, Used},
    page, seconds,
};
use crate::{
    Failure,
    repository::{cargo, stdout, succeed, target},
    say,
};
use group::{Group, topshelf_in};
use measured::{Idle, Measured, OneMachine, Point, Role, Took};
use model::Model;
use others::{Other, OtherTook};
use prices::Prices;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tls::Certificates;

/// The parts of `docs/scale.md` that the tables are written into.
pub(super) const PARTS: [&str; 6] = [
    "cargo xtask bench scale",
    "cargo xtask bench scale, the model",
    "cargo xtask bench scale, other tools",
    "cargo xtask bench scale, larger days",
    "cargo xtask bench scale, nights that fail",
    tls::PART,
];

/// The page that they are on.
pub(super) const PAGE: &str = "docs/scale.md";

/// How large, how often, beside whom.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Lines of both logs together; a third of them are of product views
    #[arg(long, default_value_t = 40_000_000)]
    rows: u64,
    /// How many executors count the first set, one after the other; all else is counted by the second number
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    executors: Vec<u32>,
    /// Memory of each executor
    #[arg(long, default_value = "1GiB")]
    memory: String,
    /// Runs of each; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The other tools; none with `--others ""`
    #[arg(long, value_delimiter = ',', value_parser = other, default_value = "spark,duckdb")]
    others: Vec<Option<Other>>,
    /// Another build of topshelf with the feature `cluster` to measure; else one is built
    #[arg(long)]
    program: Option<PathBuf>,
    /// Nights that are simulated for each line of the table
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    nights: u32,
    /// Seconds after which a run is given up
    #[arg(long, default_value_t = 900)]
    limit_s: u64,
    /// Measure nothing: tables of what the last call measured
    #[arg(long)]
    kept: bool,
    /// Measure nothing else, beside what the last call measured
    #[arg(long, value_name = "WHAT", conflicts_with = "kept")]
    alone: Option<Alone>,
    /// Measure what TLS takes, and nothing else
    #[arg(long, conflicts_with_all = ["kept", "alone"])]
    tls: bool,
    /// Write the tables into docs/scale.md
    #[arg(long)]
    write: bool,
}

/// What may be measured anew by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Alone {
    /// The other tools
    Others,
    /// A cluster without work
    Idle,
}

/// Reads a name of `--others`; the empty name is nobody.
fn other(name: &str) -> Result<Option<Other>, String> {
    if name.is_empty() { Ok(None) } else { <Other as clap::ValueEnum>::from_str(name, false).map(Some) }
}

/// All that was measured by a call, with what one must know of it.
#[derive(Serialize, Deserialize)]
struct Results {
    measured: Vec<Measured>,
    others: Vec<OtherTook>,
    #[serde(default)]
    idle: Option<Idle>,
    machine: String,
    command_line: String,
}

/// Logs that points share.
struct Set {
    shape: Shape,
    /// Mebibytes of a task, tasks that add up (0 for as the program has it), and executors.
    points: Vec<(u64, u64, u32)>,
}

impl Options {
    fn shape(&self, rows: u64, advertisers: u32, products: u32) -> Shape {
        let view_rows = rows / 3;
        Shape { rows: rows - view_rows, view_rows, advertisers, products, days: 1, extra_columns: 0 }
    }

    /// The program that is measured.
    fn topshelf(&self) -> Result<PathBuf, Failure> {
        match &self.program {
            Some(program) => fs::canonicalize(program)
                .map_err(|error| format!("there is no {}: {error}", program.display()).into()),
            None => build(),
        }
    }

    fn usual_executors(&self) -> u32 {
        self.executors.get(1).or(self.executors.first()).copied().unwrap_or(1)
    }

    fn sets(&self) -> Vec<Set> {
        let usual = self.usual_executors();
        let of_executors = self.executors.iter().map(|executors| (64, 0, *executors));
        let of = |sizes: &[(u64, u64)]| {
            sizes.iter().map(|(size, adders)| (*size, *adders, usual)).collect::<Vec<_>>()
        };
        vec![
            Set {
                shape: self.shape(self.rows, 2_000, 500),
                points: of_executors.chain(of(&[(16, 0), (256, 0)])).collect(),
            },
            Set { shape: self.shape(self.rows, 10, 100), points: of(&[(1, 0), (2, 0), (8, 0), (64, 0)]) },
            Set {
                shape: self.shape(self.rows / 4, 10_000, 1_000),
                points: of(&[(16, 0), (64, 0), (16, 2), (64, 1)]),
            },
        ]
    }

    /// The command that prints the same tables again.
    fn command_line(&self) -> String {
        let Self { rows, memory, runs, nights, .. } = self;
        let executors = self.executors.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let others =
            self.others.iter().flatten().map(|other| other.to_string().to_lowercase()).collect::<Vec<_>>();
        format!(
            "cargo xtask bench scale --rows {rows} --executors {executors} --memory {memory} --runs {runs} \
             --others \"{}\" --nights {nights}{}",
            others.join(","),
            self.program
                .iter()
                .filter_map(|program| program.file_name())
                .map(|program| format!(" --program {}", program.display()))
                .collect::<String>()
        )
    }
}

/// Measures, fits, predicts, simulates, prints and, when asked to, writes.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if options.tls {
        return run_tls(options);
    }
    let file = target().join("bench-scale.json");
    let results = if options.kept { kept(&file)? } else { measure_all(options, &file)? };
    let (model, prices) = (Model::of(&results.measured, results.idle.as_ref()), Prices::read()?);
    let command = format!("```\n{}\n```\n", results.command_line);
    let about = format!("Medians of each figure. {}; {}.\n\n{command}", results.machine, machine::date()?);
    let texts = [
        format!("{}\n{about}", table::measured(&results.measured)),
        table::model(&model, &results.measured, results.idle.as_ref()),
        table::others(&results.others, &results.measured),
        table::larger_days(&model, &prices, &results.others, &results.measured),
        nights::table(&model, &prices, options.nights),
    ];
    for (part, text) in PARTS.iter().zip(&texts) {
        println!("{text}");
        if options.write {
            page::write_into(PAGE, part, text)?;
        }
    }
    Ok(())
}

/// Measures what TLS takes, prints it and, when asked to, writes it.
fn run_tls(options: &Options) -> Result<(), Failure> {
    let topshelf = options.topshelf()?;
    let shape = options.shape(options.rows, 2_000, 500);
    let logs = Logs::find_or_make_by(&topshelf, shape, Format::Csv)?;
    machine::warn_when_busy();
    logs.warm()?;
    let folder = folder()?;
    let Shape { rows, view_rows, advertisers, products, .. } = shape;
    let executors = options.usual_executors();
    // Small tasks shuffle the most.
    let point = Point { rows, view_rows, advertisers, products, task_mib: 16, adders: 0, executors };
    let measuring = Measuring::new(options, &topshelf, &logs, folder.path());
    let table = tls::measure(measuring, point, options)?;
    let Options { rows, memory, runs, .. } = options;
    let command = format!(
        "cargo xtask bench scale --tls --rows {rows} --executors {executors} --memory {memory} --runs {runs}"
    );
    let text = format!(
        "{table}\nMedians of each figure. {}; {}.\n\n```\n{command}\n```\n",
        machine::description(),
        machine::date()?
    );
    println!("{text}");
    if options.write { page::write_into(PAGE, tls::PART, &text) } else { Ok(()) }
}

fn folder() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir_in(target());
    folder.map_err(|error| format!("could not make a folder below target: {error}").into())
}

fn kept(file: &Path) -> Result<Results, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("nothing was kept: could not read {}: {error}", file.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{} is of another version, measure again: {error}", file.display()).into())
}

fn measure_all(options: &Options, file: &Path) -> Result<Results, Failure> {
    let topshelf = options.topshelf()?;
    let others: Vec<Other> = options.others.iter().copied().flatten().collect();
    let (of_topshelf, of_others) = (options.alone.is_none(), options.alone != Some(Alone::Idle));
    if of_others && !others.is_empty() {
        others::install()?;
    }
    let mut results = Results {
        measured: Vec::new(),
        others: Vec::new(),
        idle: None,
        machine: machine::description(),
        command_line: options.command_line(),
    };
    if !of_topshelf {
        results = kept(file)?;
    }
    if of_others {
        results.others.clear();
    }
    if options.alone != Some(Alone::Others) {
        results.idle = Some(idle(options, &topshelf)?);
    }
    let sets = match options.alone {
        None => usize::MAX,
        Some(Alone::Others) => 1,
        Some(Alone::Idle) => 0,
    };
    for (index, set) in options.sets().iter().take(sets).enumerate() {
        let logs = Logs::find_or_make_by(&topshelf, set.shape, Format::Csv)?;
        machine::warn_when_busy();
        logs.warm()?;
        let folder = folder()?;
        let measuring = Measuring::new(options, &topshelf, &logs, folder.path());
        let (here, pairs, one_machine) = measuring.one_machine()?;
        let points = if of_topshelf { &set.points } else { &[][..] };
        for (task_mib, adders, executors) in points.iter().copied() {
            let Shape { rows, view_rows, advertisers, products, .. } = set.shape;
            let point = Point { rows, view_rows, advertisers, products, task_mib, adders, executors };
            results.measured.push(measuring.point(point, &here, pairs, one_machine)?);
        }
        // The others count the first set, and before it one of the same kind that is a quarter as large: what they take to start
        // is told from what they take for a gigabyte by the two.
        if index == 0 && !others.is_empty() {
            let less = options.shape(options.rows / 4, set.shape.advertisers, set.shape.products);
            let less = Logs::find_or_make_by(&topshelf, less, Format::Csv)?;
            let of_less = Measuring { logs: &less, ..measuring };
            results.others.extend(of_less.others(&others, "less")?);
            results.others.extend(measuring.others(&others, "all")?);
        }
    }
    let json = serde_json::to_string_pretty(&results).expect("what was measured is plain data");
    fs::write(file, json).map_err(|error| format!("could not write {}: {error}", file.display()))?;
    Ok(results)
}

/// A cluster without work.
fn idle(options: &Options, topshelf: &Path) -> Result<Idle, Failure> {
    let folder = folder()?;
    let group = Group::start(topshelf, folder.path(), options.usual_executors(), &options.memory, &[])?;
    let idle = group.idle();
    say(&format!(
        "without work, in {:.0} s: {:.2} s of {} executors, {:.2} s of the scheduler",
        idle.wall_s, idle.executors_s, idle.executors, idle.scheduler_s
    ));
    Ok(idle)
}

fn build() -> Result<PathBuf, Failure> {
    say(
        "building the release binary with the engine of the cluster: a quarter of an hour and more, the first time",
    );
    succeed(&mut cargo(&["build", "--release", "--package", "topshelf", "--features", "cluster"]))?;
    Ok(target().join("release/topshelf"))
}

/// The points of a set being measured.
#[derive(Clone, Copy)]
struct Measuring<'a> {
    options: &'a Options,
    topshelf: &'a Path,
    logs: &'a Logs,
    folder: &'a Path,
    runs: u32,
    /// What the processes show each other; none when they connect plainly.
    certificates: Option<&'a Certificates>,
}

impl<'a> Measuring<'a> {
    fn new(options: &'a Options, topshelf: &'a Path, logs: &'a Logs, folder: &'a Path) -> Self {
        Self { options, topshelf, logs, folder, runs: options.runs, certificates: None }
    }

    /// The count of the day, into a lake; what it says of itself goes into a file.
    fn count(&self, lake: &Path, log: &Path) -> Result<Command, Failure> {
        let file = File::create(log).map_err(|error| format!("could not make {}: {error}", log.display()))?;
        let mut count = topshelf_in(self.topshelf, self.folder);
        count.args(["count", "--recount", "--log-format", "json", "--day", &self.logs.shape.day()]);
        count.arg("--input").arg(&self.logs.folder).arg("--lake").arg(lake);
        count.args(["--store", &format!("sqlite:{}", self.folder.join("topshelf.db").display())]);
        count.env("TOPSHELF_LOG", "topshelf=info").stdout(Stdio::null()).stderr(file);
        Ok(count)
    }

    fn used(&self, count: &mut Command, log: &Path) -> Result<Used, Failure> {
        match measure::run(count, Duration::from_secs(self.options.limit_s))? {
            Usage::Done(used) => Ok(used),
            usage => {
                let said = fs::read_to_string(log).unwrap_or_default();
                Err(format!("`topshelf count` {usage}: {said}").into())
            }
        }
    }

    /// Has the other tools count these logs.
    fn others(&self, others: &[Other], name: &str) -> Result<Vec<OtherTook>, Failure> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        let measuring = Measuring { folder: &folder, ..*self };
        let (lake, pairs, _) = measuring.one_machine()?;
        let limit = Duration::from_secs(self.options.limit_s);
        let measure =
            |other: &Other| other.measure(self.logs, (&lake, pairs), &folder, (self.options.runs, limit));
        others.iter().map(measure).collect()
    }

    /// Counts without a cluster: the lake, how many pairs were counted, and what it took.
    fn one_machine(&self) -> Result<(PathBuf, u64, OneMachine), Failure> {
        let (lake, log) = (self.folder.join("lake-here"), self.folder.join("here.log"));
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            clear(&lake)?;
            let used = self.used(&mut self.count(&lake, &log)?, &log)?;
            say(&format!("one machine: {used}"));
            runs.push(used);
        }
        let used = Used::median(&runs).ok_or("nothing was measured")?;
        let manifest = lake.join(format!("counts/day={}/manifest.json", self.logs.shape.day()));
        let text =
            fs::read(&manifest).map_err(|error| format!("could not read {}: {error}", manifest.display()))?;
        let json: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is no JSON: {error}", manifest.display()))?;
        let pairs =
            json["products"].as_u64().ok_or_else(|| format!("{} tells no products", manifest.display()))?;
        let one_machine = OneMachine {
            wall_s: seconds(used.wall),
            cpu_s: seconds(used.cpu),
            memory_bytes: used.memory_bytes,
        };
        Ok((lake, pairs, one_machine))
    }

    fn point(
        &self,
        point: Point,
        here: &Path,
        pairs: u64,
        one_machine: OneMachine,
    ) -> Result<Measured, Failure> {
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            let took = self.on_a_cluster(&point, here)?;
            say(&format!(
                "{point}: {:.2} s; CPU: {:.2} s of executors, {:.2} s of the scheduler, {:.2} s of the night; {:.1} MB shuffled",
                took.wall_s,
                took.executors.cpu_s,
                took.scheduler.cpu_s,
                took.night.cpu_s,
                super::gigabytes(took.shuffled_bytes) * 1e3,
            ));
            runs.push(took);
        }
        let partial = self.partial(&point)?;
        Measured::of_runs(point, (self.logs.bytes, pairs, partial), &runs, one_machine)
    }

    /// How many partial counts there are: a whole night on a cluster tells it, and is not measured.
    fn partial(&self, point: &Point) -> Result<u64, Failure> {
        let folder = tempfile::tempdir_in(self.folder);
        let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
        let group = Group::start(self.topshelf, folder.path(), point.executors, &self.options.memory, &[])?;
        let mut run = topshelf_in(self.topshelf, folder.path());
        run.args(["run", "--json", "--day", &self.logs.shape.day(), "--cluster", &group.url()]);
        run.arg("--input").arg(&self.logs.folder).args(["--lake", "lake", "--store", "sqlite:topshelf.db"]);
        of_point(&mut run, point);
        let report: serde_json::Value = serde_json::from_str(&stdout(&mut run)?)
            .map_err(|error| format!("`topshelf run --json` prints no JSON: {error}"))?;
        let partial = report["runs"][0]["report"]["stages"][0]["cluster"]["partial_rows"].as_u64();
        partial.ok_or_else(|| "`topshelf run --json` tells no partial_rows".into())
    }

    /// Counts on a cluster of its own, whose lake must be the one of `here`.
    fn on_a_cluster(&self, point: &Point, here: &Path) -> Result<Took, Failure> {
        let folder = tempfile::tempdir_in(self.folder);
        let folder = folder.map_err(|error| format!("could not make a folder below target: {error}"))?;
        let flags = self.certificates.map(Certificates::flags).unwrap_or_default();
        let group =
            Group::start(self.topshelf, folder.path(), point.executors, &self.options.memory, &flags)?;
        let (lake, log) = (folder.path().join("lake"), folder.path().join("count.log"));
        let mut count = self.count(&lake, &log)?;
        count.args(["--cluster", &group.url()]);
        of_point(&mut count, point);
        count.envs(self.certificates.iter().flat_map(|certificates| certificates.variables()));
        let watch = group.watch();
        let used = self.used(&mut count, &log);
        let (shuffled_bytes, returned_bytes) = watch.end();
        let used = used?;
        let (figures, (scheduler_bytes, executor_bytes)) = (group.figures(), group.peaks_bytes());
        if files(&lake)? != files(here)? {
            return Err(format!("{point}: the lake is not the one of a single machine").into());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let figure =
            |name| figure(&said, name).ok_or_else(|| format!("`topshelf count` tells no {name}: {said}"));
        let role = |cpu_s, memory_bytes| Role { cpu_s, memory_bytes };
        Ok(Took {
            wall_s: seconds(used.wall),
            executors: role(figures.executors_s, executor_bytes),
            scheduler: role(figures.scheduler_s, scheduler_bytes),
            night: role(seconds(used.cpu), used.memory_bytes),
            shuffled_bytes,
            returned_bytes,
            rows: figure("rows")?,
            kept: figure("rows_kept")?,
            tasks: figure("tasks")?,
        })
    }
}

/// The settings of a point.
fn of_point(command: &mut Command, point: &Point) {
    command.env("TOPSHELF_CLUSTER__TASK_MIB", point.task_mib.to_string());
    command.env("TOPSHELF_CLUSTER__ADDERS", point.adders.to_string());
}

/// A figure of the line that tells that the cluster has counted.
fn figure(log: &str, name: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("the cluster has counted"))?;
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    [&json[name], &json["fields"][name]].into_iter().find_map(serde_json::Value::as_u64)
}

fn clear(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("could not remove {}: {error}", folder.display()).into())
        }
        _ => Ok(()),
    }
}

/// All files below a folder with what they hold, by their paths in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(of) = folders.pop() {
        let failed = |error| Failure::from(format!("could not read {}: {error}", of.display()));
        for entry in fs::read_dir(&of).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below it").to_owned();
                files.insert(name, fs::read(&path).map_err(failed)?);
            }
        }
    }
    if files.is_empty() { Err(format!("{} is empty", folder.display()).into()) } else { Ok(files) }
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

    fn options(line: &str) -> Options {
        Line::try_parse_from(["scale"].into_iter().chain(line.split_whitespace())).unwrap().options
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        let given = options(
            "--rows 7 --executors 2,5 --memory 2GiB --runs 9 --others duckdb --nights 4 --program a/b",
        );
        let told = given.command_line();
        let again = options(&told.trim_start_matches("cargo xtask bench scale").replace('"', ""));
        assert_eq!(again.command_line(), told);
        assert_eq!(again.sets()[0].points[..2], [(64, 0, 2), (64, 0, 5)]);
        assert_eq!(again.sets()[1].points[0], (1, 0, 5));
    }

    #[test]
    fn figures_stand_in_the_line_of_the_cluster() {
        let log = "{\"fields\":{\"message\":\"other\",\"rows\":1}}\n{\"fields\":{\"message\":\"the cluster has counted\",\"rows\":7}}\n";
        assert_eq!(figure(log, "rows"), Some(7));
        assert_eq!(figure(log, "tasks"), None);
        assert_eq!(figure("", "rows"), None);
    }

    #[test]
    fn lakes_are_the_same_only_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        assert!(files(folder.path()).is_err());
        let write = |name: &str, text: &str| {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("file"), text).unwrap();
            files(folder.path()).unwrap()
        };
        let one = write("a/b", "text");
        assert_eq!(one, write("a/b", "text"));
        assert_ne!(one, write("a/b", "texT"));
        assert_ne!(one, write("a/c", "text"));
    }
}
