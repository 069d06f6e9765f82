//! A PostgreSQL server of a test's own that lets nobody in without TLS.

use crate::authority::Signed;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The first of its superuser.
pub(crate) const PASSWORD: &str = "hunter2";

/// A server; dropped, it is stopped.
pub(crate) struct TlsCluster {
    programs: PathBuf,
    port: u16,
    /// Removed after the server has stopped, so it is the last field.
    folder: TempDir,
}

/// The folder of the programs of the newest server that is installed.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_debian = versions.map(|version| version.path().join("bin")).max();
    let in_path = std::env::var_os("PATH");
    let in_path =
        in_path.iter().flat_map(std::env::split_paths).find(|folder| folder.join("initdb").is_file());
    of_debian.or(in_path).expect("PostgreSQL is installed, as for all tests")
}

/// The program as a user who may run a server: root may not.
fn as_server(program: &Path, folder: &Path) -> Command {
    let uid = Command::new("id").arg("-u").output().unwrap().stdout;
    let mut command = if uid.trim_ascii() == b"0" {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl TlsCluster {
    /// A server with this certificate, on a free port of the loopback address.
    pub(crate) fn start(signed: &Signed) -> Self {
        let (programs, kept) =
            (programs(), tempfile::Builder::new().prefix("topshelf-tls-").tempdir().unwrap());
        let folder = kept.path().join("server");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("password"), PASSWORD).unwrap();
        fs::write(folder.join("server.crt"), &signed.certificate).unwrap();
        fs::write(folder.join("server.key"), &signed.key).unwrap();
        fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        // The folder around it is closed to others.
        fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if as_server(Path::new("id"), &folder).get_program() == "setpriv" {
            succeed(Command::new("chown").args(["-R", "postgres"]).arg(&folder));
        }
        let cluster = folder.join("cluster");
        let mut initdb = as_server(&programs.join("initdb"), &folder);
        initdb.arg("-D").arg(&cluster).args([
            "-U",
            "night",
            "-A",
            "scram-sha-256",
            "--locale=C",
            "-E",
            "UTF8",
            "--no-sync",
        ]);
        succeed(initdb.args(["--pwfile", "password"]));
        let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(cluster.join("pg_hba.conf"), access).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = format!(
            "-p {port} -k {0} -c listen_addresses=127.0.0.1 -c fsync=off -c ssl=on -c ssl_cert_file={0}/server.crt -c ssl_key_file={0}/server.key",
            folder.display()
        );
        let mut start = as_server(&programs.join("pg_ctl"), &folder);
        succeed(start.arg("-D").arg(&cluster).args(["-w", "-l", "log", "-o", &options, "start"]));
        Self { programs, port, folder: kept }
    }

    /// The URL of its superuser, at a host of any name.
    pub(crate) fn url(&self, host: &str, parameters: &str) -> String {
        self.url_with(PASSWORD, host, parameters)
    }

    /// The same with another password.
    pub(crate) fn url_with(&self, password: &str, host: &str, parameters: &str) -> String {
        format!("postgres://night:{password}@{host}:{}/postgres?{parameters}", self.port)
    }

    /// Gives its superuser another password, and ends all that came in by the old one.
    pub(crate) fn change_password(&self, password: &str) {
        let folder = self.folder.path().join("server");
        let mut psql = as_server(&self.programs.join("psql"), &folder);
        psql.arg("-h").arg(&folder).args(["-p", &self.port.to_string(), "-U", "night", "postgres"]);
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        succeed(psql.args(["-c", &format!("ALTER ROLE night PASSWORD '{password}'"), "-c", cut]));
    }
}

impl Drop for TlsCluster {
    fn drop(&mut self) {
        let folder = self.folder.path().join("server");
        let mut stop = as_server(&self.programs.join("pg_ctl"), &folder);
        let _ = stop.arg("-D").arg(folder.join("cluster")).args(["-m", "immediate", "stop"]).output();
    }
}
