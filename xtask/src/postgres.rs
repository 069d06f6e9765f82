//! A PostgreSQL server for one test run: found or installed, started, and gone without a trace.
//!
//! It listens on the loopback address only, has a password of its own, and forgets everything: its data
//! lie in a temporary folder and are never flushed. It ends with us even when we are killed; then its folder
//! stays behind in the system's temporary one.

use crate::{
    Failure, debian,
    repository::{program, stdout, succeed, works},
    say,
};
use std::{
    env, fs,
    io::Read as _,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Where tests find the URL of a superuser of the server.
pub(crate) const VARIABLE: &str = "TOPSHELF_TEST_POSTGRES";

/// How long a server may take to accept connections, on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Another program may take the free port before the server does; then another port is tried.
const START_ATTEMPTS: u32 = 3;

const HOW_TO_INSTALL: &str = "no PostgreSQL server was found: install one (Debian and Ubuntu: \
    `apt-get install postgresql`, Fedora: `dnf install postgresql-server`, macOS: `brew install postgresql@17`), \
    or set TOPSHELF_TEST_POSTGRES to the URL of a superuser of a server that tests may fill with databases";

/// A running server. Dropped, it is stopped and its files are removed.
pub(crate) struct Server {
    process: Child,
    url: String,
    /// Removed after the server has stopped, so it is the last field.
    folder: TempDir,
}

impl Server {
    /// Finds or installs PostgreSQL and starts a server.
    pub(crate) fn start() -> Result<Self, Failure> {
        let programs = find_or_install()?;
        let started = Instant::now();
        let account = Account::current()?;
        let folder = tempfile::Builder::new().prefix("topshelf-postgres-").tempdir();
        let folder = folder.map_err(|error| format!("could not make a temporary folder: {error}"))?;
        let password = random_password()?;
        initialise(&programs, &account, folder.path(), &password)?;
        let (process, port) = start_on_free_port(&programs, &account, folder.path())?;
        say(&format!(
            "PostgreSQL of {} on 127.0.0.1:{port} after {:.1} s",
            programs.display(),
            started.elapsed().as_secs_f64()
        ));
        let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
        Ok(Self { process, url, folder })
    }

    /// The URL of the server's superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its data lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process, which all its others come from.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: the server ends its own processes at once and writes nothing any more.
        let pid = self.process.id().to_string();
        if !works(&mut program("kill", &["-QUIT", &pid])) {
            // It has ended already, or there is no `kill`; either way this is all that is left to do.
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// The folder of the server's programs: of `pg_config`, of Debian's packages, or in `PATH`.
fn find() -> Option<PathBuf> {
    let configured = stdout(program("pg_config", &["--bindir"]).stderr(Stdio::null())).ok();
    let configured = configured.map(|path| PathBuf::from(path.trim()));
    let in_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let mut candidates = configured.into_iter().chain(of_debian()).chain(in_path.unwrap_or_default());
    candidates.find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()))
}

/// The folders of Debian's packages, the newest version first.
fn of_debian() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions
        .filter_map(|version| {
            Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// The folder of the server's programs, which are installed if they are not there.
pub(crate) fn find_or_install() -> Result<PathBuf, Failure> {
    if let Some(programs) = find() {
        return Ok(programs);
    }
    install()?;
    find().ok_or_else(|| HOW_TO_INSTALL.into())
}

/// Installs Debian's package, where that can be done.
fn install() -> Result<(), Failure> {
    if !debian::can_install()? {
        return Err(HOW_TO_INSTALL.into());
    }
    say("no PostgreSQL server was found");
    debian::install(&["postgresql"])
}

/// Who runs the server: PostgreSQL refuses to be run by root, so there `postgres` does.
struct Account {
    is_root: bool,
    /// Ends the server when we end; util-linux has it, so not every system does.
    has_setpriv: bool,
}

impl Account {
    fn current() -> Result<Self, Failure> {
        let is_root = debian::is_root()?;
        let has_setpriv = works(&mut program("setpriv", &["--version"]));
        if is_root && !has_setpriv {
            return Err(
                "PostgreSQL does not run as root: install `setpriv` (package util-linux), or be another user"
                    .into(),
            );
        }
        Ok(Self { is_root, has_setpriv })
    }

    /// A program run by this account that ends when we do.
    fn command(&self, path: &Path) -> Command {
        let mut command = if self.has_setpriv {
            let mut command = program("setpriv", &["--pdeathsig", "QUIT"]);
            if self.is_root {
                command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
            }
            command.arg(path);
            command
        } else {
            program(path, &[])
        };
        command.stdin(Stdio::null());
        command
    }

    /// Makes a file or folder this account's.
    fn own(&self, path: &Path) -> Result<(), Failure> {
        if !self.is_root {
            return Ok(());
        }
        let id = |what| {
            let printed = stdout(&mut program("id", &[what, "postgres"]))?;
            printed
                .trim()
                .parse::<u32>()
                .map_err(|_| Failure::from(format!("`id {what} postgres` printed {printed:?}")))
        };
        let (user, group) = (id("-u")?, id("-g")?);
        chown(path, Some(user), Some(group))
            .map_err(|error| format!("could not give {} to postgres: {error}", path.display()).into())
    }
}

fn initialise(programs: &Path, account: &Account, folder: &Path, password: &str) -> Result<(), Failure> {
    account.own(folder)?;
    let password_file = folder.join("password");
    fs::write(&password_file, password)
        .map_err(|error| format!("could not write {}: {error}", password_file.display()))?;
    account.own(&password_file)?;
    let mut initdb = account.command(&programs.join("initdb"));
    initdb.arg("--pgdata").arg(folder.join("cluster")).arg("--pwfile").arg(&password_file);
    initdb.args([
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    // The folder we are in may be closed to the account.
    initdb.current_dir(folder).stdout(Stdio::null());
    succeed(&mut initdb)
}

fn start_on_free_port(programs: &Path, account: &Account, folder: &Path) -> Result<(Child, u16), Failure> {
    for _ in 0..START_ATTEMPTS {
        let port = free_port()?;
        let mut process = spawn(programs, account, folder, port)?;
        if is_ready_in_time(&mut process, &folder.join("cluster/postmaster.pid")) {
            return Ok((process, port));
        }
        let _ = process.kill();
        let _ = process.wait();
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    Err(format!("PostgreSQL of {} did not start; its log says:\n{log}", programs.display()).into())
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no port is free: {error}").into())
}

fn spawn(programs: &Path, account: &Account, folder: &Path, port: u16) -> Result<Child, Failure> {
    let log = fs::File::create(folder.join("log"));
    let log = log.map_err(|error| format!("could not write {}: {error}", folder.join("log").display()))?;
    let mut postgres = account.command(&programs.join("postgres"));
    postgres.arg("-D").arg(folder.join("cluster")).arg("-k").arg(folder).args(["-p", &port.to_string()]);
    let settings = [
        "listen_addresses=127.0.0.1",
        "max_connections=300",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
    ];
    postgres.args(settings.iter().flat_map(|setting| ["-c", setting]));
    postgres.current_dir(folder).stdout(Stdio::null()).stderr(log);
    postgres.spawn().map_err(|error| format!("could not start PostgreSQL: {error}").into())
}

/// Waits for what `pg_ctl --wait` waits for: the eighth line of the server's pid file says `ready`.
fn is_ready_in_time(process: &mut Child, pid_file: &Path) -> bool {
    let started = Instant::now();
    while started.elapsed() < START_TIME_MAX && matches!(process.try_wait(), Ok(None)) {
        let state = fs::read_to_string(pid_file).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

fn random_password() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| format!("could not read /dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_server_starts_answers_only_to_its_password_and_leaves_nothing() {
        let server = Server::start().unwrap();
        let port = server.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
        let folder = server.folder().to_owned();
        assert_ne!(fs::metadata(folder.join("cluster")).unwrap().uid(), 0);
        let psql = |url: &str| {
            let psql = find().unwrap().join("psql");
            works(&mut program(psql, &["--no-psqlrc", "--dbname", url, "--command", "select 1"]))
        };
        assert!(psql(server.url()));
        assert!(!psql(&format!("postgres://postgres:wrong@127.0.0.1:{port}/postgres")));

        let pid = server.process.id().to_string();
        drop(server);
        assert!(!works(&mut program("kill", &["-0", &pid])));
        assert!(!folder.exists());
    }
}
