//! `cargo xtask airflow`: the DAG of `deploy/airflow` in a real Airflow, of each version that it is for.
//!
//! The tests are Python, where the DAG is. They start Airflow's services themselves; the program, a PostgreSQL and the
//! image are made here.

use crate::{
    Failure, debian,
    image::{self, Image},
    postgres::{self, Server},
    python::Environment,
    repository::{cargo, root, succeed, target, words},
    say, test,
};
use std::{env, path::PathBuf};

const TESTS: &str = "deploy/airflow/tests";

/// What pytest ends with when there is no test of that name.
const NOTHING_SELECTED: i32 = 5;

/// A version of Airflow with all that it needs, and what is tested with it.
struct Version {
    environment: Environment,
    /// Airflow, providers and the test runner, with all that they need.
    requirements: &'static str,
    tests: &'static [&'static str],
}

const VERSIONS: [Version; 2] = [
    Version {
        environment: Environment("airflow-3-venv"),
        requirements: "xtask/airflow/airflow-3.txt",
        tests: &[
            "test_nights.py",
            "test_dag.py",
            "test_deploy.py",
            "test_one_day.py",
            "test_docker.py",
            "test_ecs.py",
        ],
    },
    Version {
        environment: Environment("airflow-2-venv"),
        requirements: "xtask/airflow/airflow-2.txt",
        tests: &["test_nights.py", "test_deploy.py", "test_one_day.py"],
    },
];

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The static program of the image, if it was built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Arguments for pytest: names of tests (`-k held`), …
    #[arg(last = true)]
    pytest_arguments: Vec<String>,
}

/// Tests the DAG with each version of Airflow.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") || !debian::is_root()? {
        return Err("these tests need Linux, and root to run containers".into());
    }
    let of_image = image::Options { program: options.program.clone(), ..image::Options::default() };
    let image = image::build(&of_image)?;
    image::install_tools()?;
    run_versions(&VERSIONS, &image, &options.pytest_arguments)
}

/// Tests the DAG with the newest version, and the image that was tested already.
pub(crate) fn run_with_tests(image: &Image) -> Result<(), Failure> {
    run_versions(&VERSIONS[..1], image, &[])
}

fn run_versions(versions: &[Version], image: &Image, pytest_arguments: &[String]) -> Result<(), Failure> {
    succeed(&mut cargo(&["build", "--package", "topshelf", "--bin", "topshelf"]))?;
    let server = match env::var(postgres::VARIABLE) {
        Ok(url) => Database::Theirs(url),
        Err(_) => Database::Ours(Server::start()?),
    };
    versions.iter().try_for_each(|version| {
        version.environment.sync(version.requirements)?;
        run_tests(version, &server, image, pytest_arguments)
    })
}

/// Where tests make their databases.
enum Database {
    Theirs(String),
    Ours(Server),
}

impl Database {
    fn url(&self) -> &str {
        match self {
            Self::Theirs(url) => url,
            Self::Ours(server) => server.url(),
        }
    }
}

fn run_tests(
    version: &Version,
    server: &Database,
    image: &Image,
    pytest_arguments: &[String],
) -> Result<(), Failure> {
    // Nights take one process each to wait for them; beside them the other tests go on.
    let mut pytest =
        version.environment.program("python", &["-m", "pytest", "-p", "no:cacheprovider", "--quiet"]);
    pytest
        .args(["-n", "2", "--dist", "loadfile", "--durations", "5"])
        .args(pytest_arguments)
        .args(version.tests);
    pytest.current_dir(root().join(TESTS));
    say(&format!("running `{}` with {}", words(&pytest), version.requirements));
    pytest.env(postgres::VARIABLE, server.url());
    pytest.env("TOPSHELF_TEST_PROGRAM", root().join(target()).join("debug/topshelf"));
    pytest.env("TOPSHELF_TEST_IMAGE_DOCKER", root().join(&image.docker));
    let ended = test::status_of(&mut pytest)?;
    // A version has not all tests: what was asked for may be only another's.
    if ended.success() || (ended.code() == Some(NOTHING_SELECTED) && !pytest_arguments.is_empty()) {
        return Ok(());
    }
    Err(format!("`{}` with {} failed: {ended}", words(&pytest), version.requirements).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::read;
    use std::path::Path;

    #[test]
    fn each_version_is_pinned_with_all_that_it_needs() {
        for version in VERSIONS {
            let requirements = read(Path::new(version.requirements)).unwrap();
            assert!(requirements.contains("apache-airflow=="), "{}", version.requirements);
            let is_pinned = |line: &str| line.contains("==");
            assert!(requirements.lines().all(is_pinned), "{}", version.requirements);
        }
    }

    #[test]
    fn the_dag_is_of_this_release() {
        let dag = read(Path::new("deploy/airflow/dags/topshelf.py")).unwrap();
        let version = format!("VERSION = \"{}+\" + ", env!("CARGO_PKG_VERSION"));
        assert!(dag.contains(&version), "the ledger would tell another version than {version}");
    }

    #[test]
    fn all_tests_that_are_there_are_run() {
        let there = std::fs::read_dir(root().join(TESTS)).unwrap();
        let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut there: Vec<_> = there.filter(|name| name.starts_with("test_")).collect();
        let mut run = VERSIONS[0].tests.to_vec();
        there.sort();
        run.sort_unstable();
        assert_eq!(there, run);
    }
}
