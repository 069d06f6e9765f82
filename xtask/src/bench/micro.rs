//! `cargo xtask bench micro`: the steps of counting and ranking one at a time, as divan measures them.

use crate::{
    Failure,
    repository::{cargo, succeed},
};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments for divan: parts of the benchmarks' names, `--sample-count 200`, `--test`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Every benchmark, by package and target.
const BENCHMARKS: [(&str, &str); 2] = [("topshelf-counting", "stages"), ("topshelf-ranking", "top_k")];

/// Runs the benchmarks one after the other; they print their tables themselves.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    for (package, name) in BENCHMARKS {
        succeed(cargo(&["bench", "--package", package, "--bench", name, "--"]).args(&options.arguments))?;
    }
    Ok(())
}
