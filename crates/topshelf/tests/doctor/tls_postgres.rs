//! A PostgreSQL that lets nobody in without TLS, with a certificate of the test's own authority.

use crate::{
    call::doctor,
    scene::Scene,
    servers::{Authority, Signed},
};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A server; dropped, it is stopped.
struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
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

impl Server {
    fn start(scene: &Scene, signed: &Signed) -> Self {
        let (programs, folder) = (programs(), scene.path("server"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("password"), "hunter2").unwrap();
        fs::write(folder.join("server.crt"), &signed.certificate).unwrap();
        fs::write(folder.join("server.key"), &signed.key).unwrap();
        fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        // The folder of the scene is closed to others.
        fs::set_permissions(scene.folder(), fs::Permissions::from_mode(0o755)).unwrap();
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
        Self { programs, folder, port }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://night:hunter2@{host}:{}/postgres?{parameters}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = as_server(&self.programs.join("pg_ctl"), &self.folder);
        let _ = stop.arg("-D").arg(self.folder.join("cluster")).args(["-m", "immediate", "stop"]).output();
    }
}

#[test]
fn a_server_with_tls_is_believed_by_its_authority_alone() {
    let scene = Scene::new();
    let authority = Authority::new();
    scene.write("ca.pem", authority.pem());
    let server = Server::start(&scene, &authority.sign("localhost", 2040));
    let say = |host: &str, parameters: &str| doctor(&scene, &["--store", &server.url(host, parameters)]);
    let full = "sslmode=verify-full&sslrootcert=ca.pem";
    let said = say("localhost", full);
    said.warns("database migrations", &["0 applied"]);
    said.holds("database tls", &["TLS 1.3: server localhost (issued by Authority of the Tests"]);
    say("localhost", "sslmode=verify-full").fails_only("database tls", &["is unknown", "sslrootcert"]);
    say("127.0.0.1", full).fails_only("database tls", &["of localhost, not of 127.0.0.1"]);
    say("localhost", "sslmode=require").warns("database migrations", &[]);
    let said = say("localhost", "sslmode=disable");
    said.fails_only(
        "database login",
        &["no pg_hba.conf entry", "nobody in without TLS", "sslmode=verify-full"],
    );
    scene.end_well(&["migrate", "--store", &server.url("localhost", full)]);
    say("localhost", full).is_well();
}
