//! `cargo xtask soak`: servers under full load for minutes, while everything behind them breaks.
//!
//! It is the test `soak` of the program, which the tests run for a minute, for longer and optimised.

use crate::{
    Failure, postgres,
    repository::{cargo, succeed, words},
    say,
    test::outlive_an_interrupt,
};

/// How to soak.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes under full load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Decides what happens when
    #[arg(long, default_value_t = 6)]
    seed: u64,
    /// Build without optimisation, as the tests do
    #[arg(long)]
    dev: bool,
}

/// Soaks; fails with the first answer that is missing or wrong.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    postgres::find_or_install()?;
    outlive_an_interrupt()?;
    let mut test = cargo(&["test", "--package", "topshelf", "--test", "soak"]);
    if !options.dev {
        test.arg("--release");
    }
    test.args(["--", "--nocapture", "--test-threads", "1"]);
    test.env("TOPSHELF_TEST_SOAK_SECONDS", (options.minutes * 60).to_string());
    test.env("TOPSHELF_TEST_SOAK_SEED", options.seed.to_string());
    say(&format!("running `{}` for {} minutes", words(&test), options.minutes));
    succeed(&mut test)
}
