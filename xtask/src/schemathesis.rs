//! `cargo xtask schemathesis`: a server asked what the API's document allows, and what it does not.
//!
//! The server is the program, with a day published that the document's examples ask for. Schemathesis makes the
//! requests from the document that the server sends, and holds each answer against it, by all of its checks: once of a
//! server that asks for no keys, then, shorter, of one that does, with a key for all advertisers, with one for some, and
//! with none.

use crate::{
    Failure,
    python::Environment,
    repository::{cannot_start, cargo, program, root, succeed, target, words},
    say,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};
use tempfile::TempDir;

const ENVIRONMENT: Environment = Environment("schemathesis-venv");
const REQUIREMENTS: &str = "xtask/schemathesis/requirements.txt";
/// What is said to it beside the document, each exception with its reason.
const CONFIGURATION: &str = "xtask/schemathesis/schemathesis.toml";

/// The day that the document's examples ask for, and its logs.
const DAY: &str = "2024-11-20";
const LOGS: [(&str, &str); 3] = [
    ("advertiser_ids.csv", "advertiser_id\nacme\n"),
    (
        "ads_views.csv",
        "advertiser_id,product_id,type,date\nacme,sku-4711,impression,2024-11-20\nacme,sku-4711,click,2024-11-20\n",
    ),
    ("product_views.csv", "advertiser_id,product_id,date\nacme,sku-4711,2024-11-20\n"),
];

/// The examples of an operation when all else is tested too: about three quarters of a minute.
const EXAMPLES_IN_TESTS: u32 = 500;

/// Those who ask.
const PASSES: [Pass; 4] = [
    Pass { caller: "anyone, where no keys are asked for", keys: "off", key: None, share: 1 },
    Pass { caller: "the holder of a key for all", keys: "required", key: Some(&["--all"]), share: 10 },
    Pass {
        caller: "the holder of a key for one advertiser",
        keys: "required",
        key: Some(&["--advertiser", "acme"]),
        share: 10,
    },
    Pass { caller: "one without a key", keys: "required", key: None, share: 50 },
];

/// One who asks, and whom.
struct Pass {
    caller: &'static str,
    /// The server's `serve.keys`.
    keys: &'static str,
    /// The key's scope, as `topshelf keys create` takes it.
    key: Option<&'static [&'static str]>,
    /// Of the examples, one in so many is asked.
    share: u32,
}

/// How to ask.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Requests that are made up for each operation, at most; fewer where keys are asked for
    #[arg(long, default_value_t = EXAMPLES_IN_TESTS, value_parser = clap::value_parser!(u32).range(1..))]
    examples: u32,
    /// Decides what is asked
    #[arg(long, default_value_t = 7)]
    seed: u32,
}

/// What the tests do.
pub(crate) fn run_with_tests() -> Result<(), Failure> {
    run(&Options { examples: EXAMPLES_IN_TESTS, seed: 7 })
}

/// Asks; fails when an answer is not as the document says.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    ENVIRONMENT.make()?;
    ENVIRONMENT.install(&["--requirement", REQUIREMENTS])?;
    succeed(&mut cargo(&["build", "--package", "topshelf", "--bin", "topshelf"]))?;
    PASSES.iter().try_for_each(|pass| ask(pass, options))
}

/// Has one ask.
fn ask(pass: &Pass, options: &Options) -> Result<(), Failure> {
    let server = Server::start(pass)?;
    let examples = options.examples.div_ceil(pass.share);
    let mut schemathesis = ENVIRONMENT.program("schemathesis", &["--config-file"]);
    schemathesis
        .arg(root().join(CONFIGURATION))
        .arg("run")
        .arg(format!("http://{}/openapi.json", server.address));
    schemathesis.args(["--max-examples", &examples.to_string(), "--seed", &options.seed.to_string()]);
    // Its own files stay out of the repository.
    schemathesis.current_dir(server.folder.path());
    say(&format!("as {}: running `{}`", pass.caller, words(&schemathesis)));
    if let Some(key) = &server.key {
        schemathesis.args(["--header", &format!("Authorization: Bearer {key}")]);
    }
    succeed(&mut schemathesis)
}

/// A server with a day published. Dropped, it ends and its files are removed.
struct Server {
    process: Child,
    address: String,
    /// The caller's.
    key: Option<String>,
    folder: TempDir,
}

impl Server {
    fn start(pass: &Pass) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| format!("could not make a folder: {error}"))?;
        for (name, text) in LOGS {
            let path = folder.path().join(name);
            fs::write(&path, text).map_err(|error| format!("could not write {}: {error}", path.display()))?;
        }
        succeed(topshelf(folder.path(), &["run", "--day", DAY, "--input", "."]).stdout(Stdio::null()))?;
        let key = pass.key.map(|scope| key(folder.path(), scope)).transpose()?;
        let mut serve = topshelf(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        serve.env("TOPSHELF_SERVE__KEYS", pass.keys);
        let spawned = serve.stderr(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|error| cannot_start(&serve, &error))?;
        let lines = BufReader::new(process.stderr.take().expect("its stderr is a pipe"));
        match address(lines) {
            Some(address) => Ok(Self { process, address, key, folder }),
            None => {
                let _ = process.kill();
                Err(format!("`{}` did not say where it listens", words(&serve)).into())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, in that folder and without what the machine is set to.
fn topshelf(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(target().join("debug/topshelf"), arguments);
    command.current_dir(folder).env_clear();
    command
}

/// The text of a key that is made for it.
fn key(folder: &Path, scope: &[&str]) -> Result<String, Failure> {
    let mut create = topshelf(folder, &["keys", "create", "--name", "schemathesis"]);
    let made = create.args(scope).output().map_err(|error| cannot_start(&create, &error))?;
    if !made.status.success() {
        let told = String::from_utf8_lossy(&made.stderr);
        return Err(format!("`{}` failed: {told}", words(&create)).into());
    }
    Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned())
}

/// Where it says that it listens; what it says after that goes where ours goes.
fn address(mut lines: BufReader<ChildStderr>) -> Option<String> {
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 {
        if let Some((_, address)) = line.trim_end().rsplit_once("address=") {
            let address = address.to_owned();
            thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
            return Some(address);
        }
        line.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::read;

    #[test]
    fn its_version_is_pinned() {
        assert!(read(Path::new(REQUIREMENTS)).unwrap().starts_with("schemathesis=="));
    }
}
