//! `cargo xtask fuzz`: the targets of `fuzz/`, one after the other, with a nightly compiler's sanitizer.
//!
//! What a run learns is kept in `fuzz/target`; the corpus in version control grows only with `--keep`.

use crate::{
    Failure,
    repository::{files, program, root, status, succeed, words, works},
    say,
};
use std::{fs, path::PathBuf, process::Command};

/// What to fuzz.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One of the targets instead of all
    #[arg(long)]
    target: Option<String>,
    /// Minutes for each target
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Then add to the kept corpus the smallest of what reaches more of the code
    #[arg(long)]
    keep: bool,
}

/// The most bytes of an input.
const INPUT_BYTES_MAX: usize = 4096;

/// The most bytes of an input that is kept.
const KEPT_BYTES_MAX: usize = 512;

/// Fuzzes; fails with the first input that does.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    prepare()?;
    for target in chosen(targets()?, options.target.as_deref())? {
        let dictionary = PathBuf::from(format!("fuzz/{target}.dict"));
        let dictionary = root().join(&dictionary).exists().then_some(dictionary);
        let (found, kept) = (format!("fuzz/target/corpus/{target}"), format!("fuzz/corpus/{target}"));
        fs::create_dir_all(root().join(&found))
            .map_err(|error| format!("could not make {found}: {error}"))?;
        let mut fuzzer = fuzzer(&target, [&found, &kept]);
        fuzzer.arg(format!("-max_total_time={}", options.minutes * 60));
        fuzzer.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        fuzzer.args(dictionary.map(|dictionary| format!("-dict={}", dictionary.display())));
        say(&format!("running `{}`", words(&fuzzer)));
        if !status(&mut fuzzer)?.success() {
            return Err(format!("{target} failed: fuzz/artifacts/{target} has the input").into());
        }
        if options.keep {
            let mut keeper = self::fuzzer(&target, [&kept, &found]);
            succeed(keeper.args(["-merge=1", &format!("-max_len={KEPT_BYTES_MAX}")]))?;
        }
    }
    Ok(())
}

/// What fuzzing needs beside the repository.
fn prepare() -> Result<(), Failure> {
    if !works(&mut nightly(&["--version"])) {
        return Err("fuzzing needs a nightly compiler: `rustup toolchain install nightly`".into());
    }
    if works(&mut nightly(&["fuzz", "--version"])) {
        return Ok(());
    }
    let mut install = program("cargo", &["install", "cargo-fuzz", "--locked"]);
    say(&format!("running `{}`", words(&install)));
    succeed(&mut install)
}

/// The nightly toolchain's cargo, whichever runs us.
fn nightly(arguments: &[&str]) -> Command {
    let mut cargo = program("rustup", &["run", "nightly", "cargo"]);
    cargo.args(arguments);
    cargo
}

/// A target's program, to be followed by its own arguments; it writes to the first of the corpora.
fn fuzzer(target: &str, corpora: [&str; 2]) -> Command {
    let mut fuzzer = nightly(&["fuzz", "run", "--fuzz-dir", "fuzz", target]);
    fuzzer.args(corpora).arg("--");
    fuzzer
}

/// Every target, by the name of its source.
fn targets() -> Result<Vec<String>, Failure> {
    let sources = files()?.into_iter().filter(|file| file.starts_with("fuzz/fuzz_targets"));
    let names = sources.filter_map(|file| file.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    Ok(names.collect())
}

fn chosen(targets: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>, Failure> {
    let Some(wanted) = wanted else { return Ok(targets) };
    if targets.iter().any(|target| target == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    Err(format!("no fuzz target `{wanted}`; there are {}", targets.join(", ")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_target_is_declared_and_has_a_corpus() {
        let manifest = crate::repository::read(Path::new("fuzz/Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(targets.contains(&"csv".to_owned()));
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is in fuzz/Cargo.toml");
            assert!(fs::read_dir(root().join("fuzz/corpus").join(&target)).unwrap().count() > 0, "{target}");
        }
    }

    #[test]
    fn an_unknown_target_is_told_with_the_known_ones() {
        let targets = || vec!["csv".to_owned(), "table".to_owned()];
        assert_eq!(chosen(targets(), Some("table")).unwrap(), ["table"]);
        assert_eq!(chosen(targets(), None).unwrap(), targets());
        let failure = chosen(targets(), Some("tsv")).unwrap_err();
        assert_eq!(failure.message, "no fuzz target `tsv`; there are csv, table");
    }
}
