//! The real program in a scene, with a server that serves what it publishes, and readers who look on.

use crate::{
    readers::Readers,
    scene::{DAY, Scene},
    service::{Service, get_until},
    version::{DAY_BEFORE, Version},
};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scene with a database, where the first version is published.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) version: Version,
    readers: Option<(Readers, Service)>,
}

impl Stage {
    /// The scene alone: nobody serves and nobody reads.
    pub(crate) fn unserved(store: &str) -> Self {
        let mut scene = Scene::new();
        scene.environment("TOPSHELF_STORE__URL", store);
        scene.environment("TOPSHELF_INPUT__URL", "logs");
        let stage = Self { scene, version: Version::FIRST, readers: None };
        for (day, version) in [(DAY_BEFORE, Version::OF_DAY_BEFORE), (DAY, Version::FIRST)] {
            stage.write(day, version);
            stage.scene.end_well(&["run", "--day", day]);
        }
        stage
    }

    /// The same, served and read.
    pub(crate) fn new(store: &str) -> Self {
        let mut stage = Self::unserved(store);
        stage.scene.environment("TOPSHELF_SERVE__POLL_SECONDS", "1");
        let mut server = Service::start(&stage.scene, &["serve", "--listen", "127.0.0.1:0"]);
        let address = server.address();
        get_until(&address, "/recommendations/a0/TopCTR", 200);
        let readers = Readers::of_server(&address, Version::FIRST);
        Self { readers: Some((readers, server)), ..stage }
    }

    fn write(&self, day: &str, version: Version) {
        version.logs(day).iter().for_each(|(name, content)| self.scene.write(name, content));
    }

    /// Writes logs that no run has seen.
    pub(crate) fn change_logs(&mut self) {
        self.version = self.version.next();
        self.write(DAY, self.version);
    }

    /// Begins to run the day.
    pub(crate) fn start(&self) -> Run {
        if let Some((readers, _)) = &self.readers {
            readers.may_see(self.version);
        }
        let mut command = self.scene.command(&["run", "--day", DAY]);
        Run::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The server follows: it serves the newest version.
    pub(crate) fn until_all_see(&mut self) {
        let (readers, _) = self.readers.as_mut().expect("somebody reads");
        readers.until_all_see(self.version);
    }
}

/// A run under way, and what it tells on stderr. Dropped, it is killed.
pub(crate) struct Run {
    process: Child,
    lines: Receiver<String>,
    told: String,
}

impl Run {
    fn of(mut process: Child) -> Self {
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, lines, told: String::new() }
    }

    /// Waits until it tells this.
    #[track_caller]
    pub(crate) fn until_told(&mut self, text: &str) {
        while !self.told.contains(text) {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it never told {text:?} but {}", self.told));
            self.told += &(line + "\n");
        }
    }

    /// Waits for its end, which must have this exit code; what it has told.
    #[track_caller]
    pub(crate) fn ends_with(mut self, code: i32) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.told += &(line + "\n");
        }
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{}", self.told);
        std::mem::take(&mut self.told)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Whether the process has the file open.
    pub(crate) fn has_open(&self, path: &Path) -> bool {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        let mut files = descriptors
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
        files.any(|file| file == path)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
