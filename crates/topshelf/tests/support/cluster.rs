//! A PostgreSQL server of a test's own, which it may stop, kill and start again.
//!
//! It is the server that `cargo xtask test` has found or installed, with its data in a temporary folder; it listens
//! on the loopback address only, has a password of its own, and ends with the test.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than a server takes to start or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is made to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It breaks its connections off and stops in order.
    Fast,
    /// It stops as if it had crashed.
    Immediate,
}

/// A server, running or not. Dropped, it stops and its files are removed.
pub(crate) struct Cluster {
    programs: PathBuf,
    password: String,
    port: u16,
    server: Option<Child>,
    /// Removed after the server has stopped, so it is the last field.
    folder: TempDir,
}

impl Cluster {
    /// A new server, running, on a free port.
    pub(crate) fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::at(port)
    }

    /// The same on this port.
    pub(crate) fn at(port: u16) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("topshelf-cluster-").tempdir().unwrap();
        let mut bytes = [0; 16];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
        let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut cluster = Self { programs, password, port, server: None, folder };
        cluster.initialise();
        cluster.start();
        cluster
    }

    /// The URL of its superuser at one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Starts it where it was, and waits until it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let log = fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        server.args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off"] {
            server.args(["-c", setting]);
        }
        let mut server = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let began = Instant::now();
        // The eighth line of the pid file, which `pg_ctl --wait` waits for too; of a standby that may be read from, the
        // other.
        let is_ready = |text: String| {
            text.lines().nth(7).is_some_and(|line| ["ready", "standby"].contains(&line.trim()))
        };
        while !is_ready(fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default()) {
            let ended = server.try_wait().unwrap();
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{ended:?}: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
        self.server = Some(server);
    }

    /// Stops it, and waits until it has.
    pub(crate) fn stop(&mut self, how: Stop) {
        let mut server = self.server.take().expect("it runs");
        signal(server.id(), if how == Stop::Fast { "INT" } else { "QUIT" });
        server.wait().unwrap();
    }

    /// `kill -9` of one of its processes: it ends all others, and recovers as after a crash.
    pub(crate) fn kill(&self, pid: u32) {
        signal(pid, "KILL");
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Where its files are.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn initialise(&self) {
        own(self.folder.path());
        let password_file = self.folder.path().join("password");
        fs::write(&password_file, &self.password).unwrap();
        own(&password_file);
        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password_file);
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--no-sync", "--wal-segsize=1"]).stdout(Stdio::null());
        assert!(initdb.status().unwrap().success());
    }

    /// One of the server's programs, by an account that it lets run it: PostgreSQL refuses root. It ends with us.
    fn command(&self, program: &str) -> Command {
        let words = match account() {
            Account::Root => "setpriv --pdeathsig QUIT --reuid postgres --regid postgres --init-groups",
            // There is no other user; we may call ourselves what we like.
            Account::RootOfNamespace => "unshare -U --map-user=1000 --map-group=1000",
            Account::User => "env",
        };
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(self.programs.join(program));
        // The folder we are in may be closed to the account.
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.stop(Stop::Immediate);
        }
    }
}

fn signal(pid: u32, name: &str) {
    let killed = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(killed.success(), "{pid} is gone");
}

/// Who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Root,
    /// A user who is called root in a namespace of its own.
    RootOfNamespace,
    User,
}

fn account() -> Account {
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let has_all_users = users.split_whitespace().nth(2) == Some("4294967295");
    match is_root() {
        true if has_all_users => Account::Root,
        true => Account::RootOfNamespace,
        false => Account::User,
    }
}

/// Makes a file or folder the account's that runs the server.
pub(crate) fn own(path: &Path) {
    if account() == Account::Root {
        let id = |what| id(&[what, "postgres"]).parse().unwrap();
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

/// Whether we are called root.
pub(crate) fn is_root() -> bool {
    id(&["-u"]) == "0"
}

fn id(arguments: &[&str]) -> String {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The folder of the server's programs: of `pg_config`, of Debian's packages the newest, or in `PATH`.
pub(crate) fn programs() -> PathBuf {
    let configured = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output();
    let configured = configured.ok().map(|output| String::from_utf8(output.stdout).unwrap().trim().into());
    let version = |folder: fs::DirEntry| {
        Some((folder.file_name().to_str()?.parse::<u32>().ok()?, folder.path().join("bin")))
    };
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.filter_map(version).collect();
    versions.sort();
    let of_debian = versions.into_iter().rev().map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = configured.into_iter().chain(of_debian).chain(std::env::split_paths(&path));
    let found = all.find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()));
    found.expect("no PostgreSQL server was found: `cargo xtask test` installs one")
}
