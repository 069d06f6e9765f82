//! A place to run the program in: a folder with good logs of one day, that a test then spoils.
//!
//! The program gets no environment but what a scene gives it, so nothing of the machine (AWS settings,
//! PostgreSQL's variables, a time zone) changes what it says.

use std::{
    any::Any,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The day of the good logs.
pub(crate) const DAY: &str = "2024-11-20";

/// Two good lines of the ad log, as JSON.
pub(crate) const JSON_ADS: &str = "{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\",\"type\":\"impression\",\"date\":\"2024-11-20\"}\n{\"advertiser_id\":\"acme\",\"product_id\":\"shoe\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n";

/// A folder, and how the program is to be called in it.
pub(crate) struct Scene {
    folder: TempDir,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    kept: Vec<Box<dyn Any>>,
    replacements: Vec<(String, String)>,
    are_files_limited: bool,
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; 128 + the signal's number when a signal ended it.
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Scene {
    /// Good logs of [`DAY`] in `logs/`: 100 ad rows and 100 view rows of the advertiser `acme`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self {
            folder,
            args: vec![],
            environment: vec![],
            kept: vec![],
            replacements: vec![],
            are_files_limited: false,
        };
        scene.write("logs/advertiser_ids.csv", "advertiser_id\nacme\n");
        scene.ads("");
        scene.views("");
        scene.args(&["run", "--day", DAY, "--input", "logs"]);
        scene
    }

    /// How the program is called, beside `--json`.
    pub(crate) fn args(&mut self, args: &[&str]) {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    pub(crate) fn add_args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Keeps a server, a socket or the like until the scene ends.
    pub(crate) fn keep(&mut self, thing: impl Any) {
        self.kept.push(Box::new(thing));
    }

    /// No file can grow past 512 or 1024 bytes, as the shell counts blocks.
    pub(crate) fn limit_files_to_a_block(&mut self) {
        self.are_files_limited = true;
    }

    /// Says what documents call something that differs from one run to the next.
    pub(crate) fn replace(&mut self, from: impl Into<String>, to: &str) {
        self.replacements.push((from.into(), to.to_owned()));
    }

    pub(crate) fn replacements(&self) -> &[(String, String)] {
        &self.replacements
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file, and the folders it lies in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    /// Overwrites each file below the folder whose name ends so; there must be one.
    pub(crate) fn overwrite_below(&self, folder: &str, ending: &str, content: &str) {
        let mut folders = vec![self.path(folder)];
        let mut overwritten = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(ending) {
                    fs::write(path, content).unwrap();
                    overwritten += 1;
                }
            }
        }
        assert!(overwritten > 0, "no file below {folder} ends with {ending}");
    }

    /// The ad log: 100 good rows, then `more`.
    pub(crate) fn ads(&self, more: impl AsRef<[u8]>) {
        self.ads_of(100, more);
    }

    /// The ad log: so many good rows, then `more`.
    pub(crate) fn ads_of(&self, good: usize, more: impl AsRef<[u8]>) {
        let header = "advertiser_id,product_id,type,date\n";
        let rows = ["acme,shoe,impression,2024-11-20\n", "acme,shoe,click,2024-11-20\n"];
        let rows: String = rows.into_iter().cycle().take(good).collect();
        self.write("logs/ads_views.csv", [header.as_bytes(), rows.as_bytes(), more.as_ref()].concat());
    }

    /// The ad log as lines of JSON, under another name: 100 good lines, then `more`.
    pub(crate) fn json_ads(&self, more: impl AsRef<[u8]>) {
        self.only_json_ads([JSON_ADS.repeat(50).as_bytes(), more.as_ref()].concat());
    }

    /// The ad log as JSON, under another name, and nothing else.
    pub(crate) fn only_json_ads(&self, content: impl AsRef<[u8]>) {
        self.remove("logs/ads_views.csv");
        self.write("logs/ads_views.jsonl", content);
    }

    /// The log of views: 100 good rows, then `more`.
    pub(crate) fn views(&self, more: impl AsRef<[u8]>) {
        let rows = "acme,shoe,2024-11-20\n".repeat(100);
        let header = "advertiser_id,product_id,date\n";
        self.write("logs/product_views.csv", [header.as_bytes(), rows.as_bytes(), more.as_ref()].concat());
    }

    /// Calls the program as the scene says.
    pub(crate) fn end(&self) -> Ended {
        self.call(&self.args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Whether the scene's call is of that command.
    pub(crate) fn is(&self, command: &str) -> bool {
        self.args.first().is_some_and(|first| first == command)
    }

    /// Calls the program with these arguments.
    pub(crate) fn call(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        let signal =
            |status: std::process::ExitStatus| std::os::unix::process::ExitStatusExt::signal(&status);
        let exit = output.status.code().or_else(|| Some(128 + signal(output.status)?)).unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("what the program prints is UTF-8");
        Ended { exit, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Calls the program with these arguments, to prepare what the scene is about.
    pub(crate) fn end_well(&self, args: &[&str]) -> Ended {
        let ended = self.call(args);
        assert_eq!(ended.exit, 0, "{args:?}: {ended:#?}");
        ended
    }

    /// The program, ready to be started with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_topshelf");
        let mut command = if self.are_files_limited {
            // A process that ignores the signal hears of the limit as of a disk that is full.
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", program]);
            shell
        } else {
            Command::new(program)
        };
        command.args(args).current_dir(self.folder()).stdin(Stdio::null()).env_clear();
        // Whoever tells a server to end waits for it.
        command.env("TOPSHELF_SERVE__DRAIN_SECONDS", "0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Ended {
    /// Stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}
