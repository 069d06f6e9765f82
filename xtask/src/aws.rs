//! `cargo xtask aws`: the templates and scripts of `deploy/aws`, judged and deployed to an emulator of AWS.
//!
//! cfn-lint judges what CloudFormation would refuse, checkov what is unsafe; each exception stands with its reason in the
//! template. Then tests in Python deploy all of it to moto, with the AWS CLI, a registry and the program itself.

use crate::{
    Failure, debian,
    python::Environment,
    repository::{cargo, files, root, succeed, target, words},
    say, test,
};
use std::path::{Path, PathBuf};

const FOLDER: &str = "deploy/aws";
const TESTS: Environment = Environment("aws-venv");
const TESTS_REQUIREMENTS: &str = "xtask/aws/tests.txt";
/// An environment of its own: it needs an older botocore.
const CHECKOV: Environment = Environment("checkov-venv");
const CHECKOV_REQUIREMENTS: &str = "xtask/aws/checkov.txt";
/// What stands in for ECR, what pushes to it, what hashes the password for it, and the judge of the script that Airflow's instance
/// runs; each is a package of Debian's.
const TOOLS: [(&str, &str); 4] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("htpasswd", "apache2-utils"),
    ("shellcheck", "shellcheck"),
];

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Judge the templates alone
    #[arg(long)]
    lint: bool,
    /// Arguments for pytest: names of tests (`-k database`), …
    #[arg(last = true)]
    pytest_arguments: Vec<String>,
}

/// What the tests do. Nothing is installed for it on the machine of somebody who is not root: the registry comes with a service.
pub(crate) fn run_with_tests() -> Result<(), Failure> {
    let can_deploy = cfg!(target_os = "linux") && (debian::is_root()? || debian::missing(&TOOLS).is_empty());
    run(&Options { lint: !can_deploy, pytest_arguments: Vec::new() })?;
    if !can_deploy {
        let packages: Vec<_> = TOOLS.iter().map(|(_, package)| *package).collect();
        let packages = packages.join(", ");
        say(&format!("the templates for AWS are not deployed: their tests need Linux, and {packages}"));
    }
    Ok(())
}

/// Judges, then deploys.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    TESTS.sync(TESTS_REQUIREMENTS)?;
    CHECKOV.sync(CHECKOV_REQUIREMENTS)?;
    lint()?;
    if options.lint { Ok(()) } else { deploy(&options.pytest_arguments) }
}

fn lint() -> Result<(), Failure> {
    let templates: Vec<PathBuf> = files()?.into_iter().filter(|file| is_template(file)).collect();
    let mut lint = TESTS.program("cfn-lint", &[]);
    lint.args(&templates);
    say(&format!("running `{}`", words(&lint)));
    succeed(&mut lint)?;
    let mut judge = CHECKOV
        .program("checkov", &["--framework", "cloudformation", "--compact", "--quiet", "--skip-download"]);
    judge.env("LOG_LEVEL", "ERROR");
    for template in &templates {
        judge.arg("--file").arg(template);
    }
    say(&format!("running `{}`", words(&judge)));
    succeed(&mut judge)
}

fn deploy(pytest_arguments: &[String]) -> Result<(), Failure> {
    debian::install_missing(&TOOLS, "these tests")?;
    succeed(&mut cargo(&["build", "--package", "topshelf", "--bin", "topshelf"]))?;
    let mut pytest = TESTS.program("python", &["-m", "pytest", "-p", "no:cacheprovider", "--quiet"]);
    pytest.args(["-n", "2", "--dist", "loadfile", "--durations", "5"]).args(pytest_arguments);
    pytest.current_dir(root().join(FOLDER).join("tests"));
    pytest.env("TOPSHELF_TEST_PROGRAM", target().join("debug/topshelf"));
    say(&format!("running `{}`", words(&pytest)));
    let ended = test::status_of(&mut pytest)?;
    if ended.success() { Ok(()) } else { Err(format!("`{}` failed: {ended}", words(&pytest)).into()) }
}

fn is_template(file: &Path) -> bool {
    file.parent() == Some(Path::new(FOLDER)) && file.extension().is_some_and(|extension| extension == "yaml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::read;

    #[test]
    fn everything_is_pinned_with_all_that_it_needs() {
        for (requirements, what) in [(TESTS_REQUIREMENTS, "cfn-lint=="), (CHECKOV_REQUIREMENTS, "checkov==")]
        {
            let requirements = read(Path::new(requirements)).unwrap();
            assert!(requirements.contains(what), "{what}");
            assert!(requirements.lines().all(|line| line.contains("==")), "{what}");
        }
    }

    #[test]
    fn all_templates_are_judged() {
        let templates: Vec<_> = files().unwrap().into_iter().filter(|file| is_template(file)).collect();
        assert!(templates.contains(&Path::new(FOLDER).join("base.yaml")), "{templates:?}");
    }
}
