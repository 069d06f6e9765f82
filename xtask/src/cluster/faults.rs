//! `cargo xtask cluster faults`: nights counted on a cluster of real processes, to which something happens.
//!
//! Each process has a network namespace of its own: a scheduler, three executors and the night. What a night leaves must
//! be what one machine leaves, byte for byte; or it fails, says why, leaves what was there before, and a second one
//! leaves what it should. A seed decides what happens and when, as a share of the time that a night takes to which
//! nothing does: `--seed N --runs 1 --kind KIND` tries the same again.

mod beginning;
mod chance;
mod fault;
mod group;
mod interrupt;
mod network;
mod scene;
mod started;
mod trial;

use crate::{
    Failure, debian,
    repository::{cargo, root, succeed, target, words},
    say,
};
use clap::ValueEnum as _;
use fault::{Fault, Kind};
use interrupt::Interrupt;
use network::Network;
use scene::Scene;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use trial::{Outcome, Stage, Trial};

/// What is called, with the package that it is in.
const TOOLS: [(&str, &str); 3] = [("ip", "iproute2"), ("iptables", "iptables"), ("setpriv", "util-linux")];

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Nights to which something happens
    #[arg(long, default_value_t = 50)]
    runs: u64,
    /// Decides what happens when; the next night has the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What happens [default: one after the other]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Nothing happens before this percentage of a night
    #[arg(long, default_value_t = 2, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(..=98))]
    after: u64,
    /// The program, if it was built already, with the feature `cluster` [default: build it, without optimisation]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Lines of the ad log: a mebibyte of it, about 20 000, is a task
    #[arg(long, default_value_t = 500_000)]
    rows: u64,
    /// Keep what processes said and left also of nights that went as they should
    #[arg(long)]
    keep: bool,
}

/// Tries; fails when a night was neither exact nor failed with a reason.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") || !debian::is_root()? {
        return Err("namespaces of the network need Linux, and root to make them".into());
    }
    debian::install_missing(&TOOLS, "processes in a network of their own")?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let program = std::path::absolute(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let interrupt = Interrupt::listen()?;
    let folder = root().join(target()).join("cluster-faults");
    begin(&folder)?;
    say(&format!("what processes say and leave is below {}", folder.display()));
    let network = Network::make()?;
    let scene = Scene::make(program.clone(), folder.clone(), options.rows)?;
    let (before, alone) = (scene.before()?, scene.alone()?);
    let mut stage = Stage {
        program: &program,
        scene: &scene,
        network: &network,
        interrupt: &interrupt,
        alone: &alone,
        before: &before,
        deadline: 120,
    };
    let calm = calm(&stage)?;
    stage.deadline = (4 * calm.as_secs()).max(30);
    say(&format!("a night takes {:.1} s; a job is given {} s", calm.as_secs_f64(), stage.deadline));
    let mut figures = Figures::default();
    for seed in options.seed..options.seed + options.runs {
        let index = usize::try_from(seed - options.seed).unwrap_or_default();
        let kinds = Kind::value_variants();
        let kind = options.kind.unwrap_or(kinds[index % kinds.len()]);
        let fault = Fault::draw(kind, seed, options.after, calm);
        let name = format!("{}-{seed}", name(kind));
        let trial = stage.run(&name, &fault)?;
        print_line(&name, &fault, &trial);
        if !options.keep && !matches!(trial.outcome, Outcome::Wrong(_)) {
            remove(&folder.join(&name))?;
        }
        figures.add(kind, &trial);
    }
    figures.print();
    match figures.wrong {
        0 => Ok(()),
        wrong => {
            Err(format!("{wrong} of {} nights were neither exact nor failed with a reason", options.runs)
                .into())
        }
    }
}

/// The program with the engine, built without optimisation.
fn build() -> Result<PathBuf, Failure> {
    let mut build = cargo(&["build", "--package", "topshelf", "--features", "cluster"]);
    say(&format!("running `{}`", words(&build)));
    succeed(&mut build)?;
    Ok(root().join(target()).join("debug/topshelf"))
}

/// An empty folder.
fn begin(folder: &Path) -> Result<(), Failure> {
    remove(folder)?;
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()).into())
}

fn remove(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder)
        .map_err(|error| format!("could not remove {}: {error}", folder.display()).into())
}

/// How long a night takes to which nothing happens, which must be exact.
fn calm(stage: &Stage<'_>) -> Result<Duration, Failure> {
    match stage.run("calm", &Fault::none(1))? {
        Trial { outcome: Outcome::Exact, took, .. } => Ok(took[0]),
        Trial { outcome: Outcome::Told(why) | Outcome::Ended(why) | Outcome::Wrong(why), .. } => {
            Err(format!("a night to which nothing happens is not exact: {why}").into())
        }
    }
}

fn name(kind: Kind) -> String {
    kind.to_possible_value().expect("no kind is hidden").get_name().to_owned()
}

fn print_line(name: &str, fault: &Fault, trial: &Trial) {
    let took: Vec<_> = trial.took.iter().map(|took| format!("{:.1} s", took.as_secs_f64())).collect();
    let missed = if trial.was_hit { "" } else { " (the night was over before)" };
    let outcome = match &trial.outcome {
        Outcome::Exact => "exact".to_owned(),
        Outcome::Told(why) => format!("failed, then exact: {why}"),
        Outcome::Ended(why) => format!("ended, then exact: {why}"),
        Outcome::Wrong(why) => format!("WRONG: {why}"),
    };
    println!("{name:<13} {fault}{missed} | {} | {outcome}", took.join(" + "));
}

/// What came of all trials.
#[derive(Default)]
struct Figures {
    /// Of each kind: exact, failed and told, ended, wrong.
    kinds: BTreeMap<String, [u64; 4]>,
    wrong: u64,
}

impl Figures {
    fn add(&mut self, kind: Kind, trial: &Trial) {
        let column = match trial.outcome {
            Outcome::Exact => 0,
            Outcome::Told(_) => 1,
            Outcome::Ended(_) => 2,
            Outcome::Wrong(_) => 3,
        };
        self.kinds.entry(name(kind)).or_default()[column] += 1;
        self.wrong += u64::from(column == 3);
    }

    fn print(&self) {
        println!("\n| kind | nights | exact | failed, then exact | ended, then exact | wrong |");
        println!("|---|---|---|---|---|---|");
        for (kind, counts @ [exact, told, ended, wrong]) in &self.kinds {
            let nights: u64 = counts.iter().sum();
            println!("| {kind} | {nights} | {exact} | {told} | {ended} | {wrong} |");
        }
    }
}
