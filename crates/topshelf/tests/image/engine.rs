//! podman with images and containers of a test's own, which are gone with it.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than anything that is waited for takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What every container is run with: nothing that is not needed.
const CONFINED: [&str; 8] = [
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=20000:20000",
    "--ulimit=nproc=4096:4096",
    "--log-driver=k8s-file",
    "--dns=127.0.0.1",
    "--pull=never",
];

/// The test's own network, unless the settings name another.
fn network(settings: &[&str]) -> &'static [&'static str] {
    let is_named = settings.iter().any(|flag| flag.starts_with("--network="));
    if is_named { &[] } else { &["--network=host"] }
}

/// An archive of the image, as `cargo xtask test` has built it: an OCI one, or Docker's.
pub(crate) fn archive(kind: &str) -> PathBuf {
    let name = format!("TOPSHELF_TEST_IMAGE_{}", kind.to_uppercase());
    let set = env::var_os(&name);
    set.unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test`, which builds the image")).into()
}

/// podman, its images and its containers.
pub(crate) struct Engine {
    storage: TempDir,
    image: String,
}

/// A container that runs in the background.
pub(crate) struct Container<'a> {
    engine: &'a Engine,
    pub(crate) name: String,
}

impl Engine {
    /// With the image loaded.
    pub(crate) fn new() -> Self {
        let mut engine = Self::empty();
        let loaded = engine.succeed(&["load", "--quiet", "--input", archive("docker").to_str().unwrap()]);
        engine.image = loaded.trim().rsplit(' ').next().unwrap().to_owned();
        engine
    }

    /// Without any image.
    pub(crate) fn empty() -> Self {
        let storage = tempfile::Builder::new().prefix("topshelf-image-").tempdir().unwrap();
        Self { storage, image: String::new() }
    }

    /// Runs containers of another image that it has.
    pub(crate) fn take(&mut self, image: &str) {
        image.clone_into(&mut self.image);
    }

    /// The image that containers are run from.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// A file or folder of the test's own, which containers may read.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.storage.path().join(name)
    }

    /// Writes a file that containers may read.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        podman.args([
            "--runtime",
            "/usr/bin/runc",
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
        ]);
        podman.arg("--root").arg(self.path("root")).arg("--runroot").arg(self.path("run"));
        podman.args(["--tmpdir", self.path("tmp").to_str().unwrap()]).args(arguments).stdin(Stdio::null());
        podman
    }

    /// What podman prints when it does as it is told.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.podman(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The program in a container of its own, to its end; `settings` are podman's flags.
    pub(crate) fn call(&self, settings: &[&str], arguments: &[&str]) -> Output {
        let run = ["run", "--rm", "--no-healthcheck"];
        let run = [&run[..], &CONFINED, network(settings), settings, &[&self.image], arguments];
        self.podman(&run.concat()).output().unwrap()
    }

    /// The same, which must end well; what it prints on stdout.
    pub(crate) fn end_well(&self, settings: &[&str], arguments: &[&str]) -> String {
        let output = self.call(settings, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The program in a container in the background.
    pub(crate) fn start(&self, name: &str, settings: &[&str], arguments: &[&str]) -> Container<'_> {
        let run = ["run", "--detach", "--name", name];
        let run = [&run[..], &CONFINED, network(settings), settings, &[&self.image], arguments];
        self.succeed(&run.concat());
        Container { engine: self, name: name.to_owned() }
    }
}

impl Container<'_> {
    /// The process that is number 1 inside.
    pub(crate) fn pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().unwrap()
    }

    /// What podman knows of it.
    pub(crate) fn inspect(&self, format: &str) -> String {
        self.engine.succeed(&["inspect", "--format", format, &self.name]).trim().to_owned()
    }

    /// What it has written to stdout and stderr.
    pub(crate) fn log(&self) -> String {
        let output = self.engine.podman(&["logs", &self.name]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Waits until the program itself says that it is ready.
    pub(crate) fn until_ready(&self) {
        let began = Instant::now();
        while !self.asked(&["--ready"]) {
            assert!(began.elapsed() < PATIENCE, "{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether `topshelf health` inside ends well.
    pub(crate) fn asked(&self, flags: &[&str]) -> bool {
        let health = [&["exec", &self.name, "/topshelf", "health"], flags].concat();
        self.engine.podman(&health).output().unwrap().status.success()
    }

    /// Has podman carry out the image's `HEALTHCHECK` once; what is known of it then.
    pub(crate) fn checked(&self) -> String {
        // Nothing calls it at intervals here: that would be systemd's.
        let _ = self.engine.podman(&["healthcheck", "run", &self.name]).output().unwrap();
        self.inspect("{{.State.Health.Status}}")
    }

    /// Has podman stop it, with so many seconds of grace: how long that took, and the exit code.
    pub(crate) fn stop(&self, grace_seconds: u32) -> (Duration, i32) {
        let began = Instant::now();
        self.engine.succeed(&["stop", "--time", &grace_seconds.to_string(), &self.name]);
        (began.elapsed(), self.inspect("{{.State.ExitCode}}").parse().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whatever still runs, as a test that failed leaves it.
        let _ = self.podman(&["rm", "--all", "--force", "--volumes", "--time", "0"]).output();
    }
}
