//! The same sums by Spark and by DuckDB, from the same files, each as a script in `benches/scale`.

use super::measured::OneMachine;
use crate::{
    Failure,
    bench::{logs::Logs, median, peers, serve::Running},
    python::Environment,
    repository::{program, root, succeed, works},
    say,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const ENVIRONMENT: Environment = Environment("scale-venv");

/// How often a script's processes are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(super) enum Other {
    /// Two executors of a core, each a process of its own, with a master and a driver beside them
    Spark,
    #[value(name = "duckdb")]
    #[serde(rename = "duckdb")]
    DuckDb,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spark => "Spark",
            Self::DuckDb => "DuckDB",
        })
    }
}

/// What another tool took on the logs of a set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OtherTook {
    pub(super) other: Other,
    pub(super) bytes: u64,
    pub(super) pairs: u64,
    pub(super) runs: u32,
    /// The most memory is that of all its processes at one time; pages that they share count for each.
    pub(super) took: OneMachine,
}

/// Makes the environment, and says whether there is a Java.
pub(super) fn install() -> Result<(), Failure> {
    ENVIRONMENT.make()?;
    ENVIRONMENT.install(&["--requirement", peers::SCALE])?;
    if works(&mut program("java", &["-version"])) {
        return Ok(());
    }
    Err("there is no `java`: install Java 17 for Spark, or leave it out with `--others duckdb`".into())
}

impl Other {
    fn command(self, logs: &Logs, answer: &Path) -> Command {
        let (name, how) = match self {
            Self::Spark => ("sums_spark.py", "local-cluster[2,1,1024]"),
            Self::DuckDb => ("sums_duckdb.py", "2"),
        };
        let mut command = script(name);
        command.arg(&logs.folder).args([&logs.shape.day(), how]).arg(answer);
        // What Spark says of itself is not ours.
        command.env("SPARK_LOCAL_IP", "127.0.0.1").stderr(Stdio::null());
        command
    }

    /// Runs it several times; its sums must be those of our lake.
    pub(super) fn measure(
        self,
        logs: &Logs,
        (lake, pairs): (&Path, u64),
        folder: &Path,
        (runs, limit): (u32, Duration),
    ) -> Result<OtherTook, Failure> {
        let mut took = Vec::new();
        let answer = folder.join(format!("{self}-sums"));
        for _ in 0..runs {
            took.push(self.once(logs, &answer, limit)?);
            let files = |folder: &Path, name: &str| folder.join(name).display().to_string();
            let ours = files(lake, &format!("counts/day={}/counts-*.parquet", logs.shape.day()));
            succeed(script("same_sums.py").args([ours, files(&answer, "*.parquet")]))?;
        }
        let of =
            |figure: fn(&OneMachine) -> f64| median(took.iter().map(figure)).ok_or("nothing was measured");
        let took = OneMachine {
            wall_s: of(|took| took.wall_s)?,
            cpu_s: of(|took| took.cpu_s)?,
            memory_bytes: median(took.iter().map(|took| took.memory_bytes)).ok_or("nothing was measured")?,
        };
        Ok(OtherTook { other: self, bytes: logs.bytes, pairs, runs, took })
    }

    fn once(self, logs: &Logs, answer: &Path, limit: Duration) -> Result<OneMachine, Failure> {
        let mut running = Running::start(&mut self.command(logs, answer), String::new())?;
        let (mut cpu, mut memory_bytes) = (HashMap::new(), 0);
        let started = Instant::now();
        // A process that ends takes its figures along: what was seen last of it counts.
        loop {
            let each = running.each();
            memory_bytes = memory_bytes.max(each.iter().map(|(_, _, bytes)| bytes).sum());
            cpu.extend(each.into_iter().map(|(pid, cpu, _)| (pid, cpu)));
            if running.has_ended() {
                break;
            }
            if started.elapsed() > limit {
                return Err(format!("{self} gave no sums in {} s", limit.as_secs()).into());
            }
            thread::sleep(LOOK);
        }
        let wall_s = started.elapsed().as_secs_f64();
        let cpu_s = cpu.values().sum::<Duration>().as_secs_f64();
        say(&format!("{self}: {wall_s:.2} s, {cpu_s:.2} s of CPU"));
        Ok(OneMachine { wall_s, cpu_s, memory_bytes })
    }
}

fn script(name: &str) -> Command {
    let mut command = ENVIRONMENT.program("python", &[]);
    command.arg(root().join("benches/scale").join(name));
    command
}
