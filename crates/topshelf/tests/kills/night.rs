//! A night that is run again and again, each time with other logs, while readers look on.

use crate::{
    database::{Database, Kind, Prompt},
    leftovers,
    readers::{Readers, views_sql},
    scene::{DAY, Scene},
    service::{Service, get_until},
    version::{DAY_BEFORE, Version},
};
use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Longer than a run takes to come to a step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the lake lies if nothing else is said.
pub(crate) const LAKE: &str = "topshelf-data/lake";

/// The exit code of a run that checks hold back.
const HELD: i32 = 4;

const SIGKILL: i32 = 9;

/// A place, a database, a server, and readers of both.
pub(crate) struct Night {
    pub(crate) scene: Scene,
    pub(crate) database: Database,
    pub(crate) prompt: Prompt,
    /// What the logs say at the moment.
    pub(crate) version: Version,
    /// Where the files lie that are the lake's objects.
    lake: PathBuf,
    temporary_modified: SystemTime,
    readers: Readers,
    _server: Service,
}

impl Night {
    /// A night whose first version is published, and another of the day before.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::in_scene(Scene::new(), kind, LAKE)
    }

    /// The same in a scene that says where the lake lies.
    pub(crate) fn in_scene(mut scene: Scene, kind: Kind, lake: &str) -> Self {
        let database = Database::new(kind, scene.folder());
        fs::create_dir(scene.path("temporary")).unwrap();
        let temporary = scene.path("temporary").display().to_string();
        let temporary_modified = modified(temporary.as_ref());
        for (name, value) in [
            ("TOPSHELF_STORE__URL", database.url.as_str()),
            ("TOPSHELF_INPUT__URL", "logs"),
            ("TOPSHELF_SERVE__POLL_SECONDS", "1"),
            ("TMPDIR", &temporary),
        ] {
            scene.environment(name, value);
        }
        for (day, version) in [(DAY_BEFORE, Version::OF_DAY_BEFORE), (DAY, Version::FIRST)] {
            version.logs(day).iter().for_each(|(name, content)| scene.write(name, content));
            scene.end_well(&["run", "--day", day]);
        }
        let mut server = Service::start(&scene, &["serve", "--listen", "127.0.0.1:0"]);
        let address = server.address();
        get_until(&address, "/recommendations/a0/TopCTR", 200);
        let readers = Readers::start(&address, &database, Version::FIRST);
        let prompt = database.prompt();
        let lake = scene.path(lake);
        let version = Version::FIRST;
        Self { scene, database, prompt, version, lake, temporary_modified, readers, _server: server }
    }

    /// Writes logs that no run has seen.
    pub(crate) fn change_logs(&mut self) {
        self.version = self.version.next();
        self.version.logs(DAY).iter().for_each(|(name, content)| self.scene.write(name, content));
    }

    /// Writes logs that no run has seen, of the same advertisers, with clicks on ads of each that were never shown.
    pub(crate) fn change_logs_to_be_held(&mut self) {
        self.version = self.version.next_of_same_advertisers();
        self.version.logs(DAY).iter().for_each(|(name, content)| self.scene.write(name, content));
        let (name, content) = self.version.clicks_unseen(DAY);
        self.scene.write(name, content);
    }

    /// Begins to run the day.
    pub(crate) fn start(&mut self) -> Running {
        self.start_command(&["run", "--day", DAY])
    }

    /// Begins what may publish what the logs say.
    pub(crate) fn start_command(&mut self, args: &[&str]) -> Running {
        self.readers.may_see(self.version);
        let mut command = self.scene.command(args);
        Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Changes the logs and runs the day undisturbed; how long that took.
    pub(crate) fn run_undisturbed(&mut self) -> Duration {
        self.change_logs();
        let begun = Instant::now();
        self.start().ends_well();
        begun.elapsed()
    }

    /// Whether the views show the logs' version; otherwise they must show the one that was published before.
    pub(crate) fn is_published(&mut self, before: Version) -> bool {
        let rows = self.prompt.rows(&views_sql());
        let is_new = rows == self.version.views();
        assert!(is_new || rows == before.views(), "neither {:?} nor {before:?}: {rows:#?}", self.version);
        is_new
    }

    /// Waits until the database has noticed that whoever was killed is gone.
    pub(crate) fn until_nothing_is_locked(&mut self) {
        leftovers::until_nothing_is_locked(&self.database, &mut self.prompt);
    }

    /// Runs the day again after a kill: the next run succeeds without help.
    pub(crate) fn recover(&mut self) {
        self.start().ends_well();
        self.has_recovered();
    }

    /// Readers see what the run published that has just ended, and nothing of those that died before is left.
    pub(crate) fn has_recovered(&mut self) {
        let version = self.version;
        assert_eq!(self.prompt.rows(&views_sql()), version.views(), "after the next run");
        self.readers.are_content();
        self.until_nothing_is_locked();
        let orphans = leftovers::orphan_rows(&mut self.prompt, self.database.kind);
        assert!(orphans.is_empty(), "rows are left: {orphans:#?}");
        let objects = leftovers::unnamed_objects(&self.lake);
        assert!(objects.is_empty(), "objects are left: {objects:#?}");
        let temporary = self.scene.path("temporary");
        let files = leftovers::files(&temporary);
        assert!(files.is_empty(), "temporary files are left: {files:#?}");
        // A file that is made there may stay there, however soon it is removed.
        assert_eq!(modified(&temporary), self.temporary_modified, "temporary files were made");
    }

    /// The server too has followed; the database and the lake are those of a night in which nobody was killed.
    pub(crate) fn is_as_undisturbed(&mut self) {
        self.readers.until_all_see(self.version);
        let rows_of_runs = "SELECT min(product_id) || ' ' || count(*) FROM rankings GROUP BY run_id";
        for found in self.prompt.rows(rows_of_runs) {
            let (version, _) = found.strip_prefix('v').unwrap().split_once('-').unwrap();
            let rows = Version(version.parse().unwrap()).rows().to_string();
            assert!(found.ends_with(&format!(" {rows}")), "{found} rows instead of {rows}");
        }
        if self.database.kind == Kind::Sqlite {
            assert_eq!(self.prompt.rows("PRAGMA integrity_check"), ["ok"]);
        }
        let elsewhere = ["--lake", "elsewhere/lake", "--store", "sqlite:elsewhere/topshelf.db"];
        self.scene.end_well(&[&["run", "--day", DAY][..], &elsewhere].concat());
        let [ours, theirs] =
            [&self.lake, &self.scene.path("elsewhere/lake")].map(|lake| leftovers::objects(lake, DAY));
        assert!(ours == theirs, "the lakes differ: {:#?}", (ours.keys(), theirs.keys()));
        self.scene.remove("elsewhere");
    }

    pub(crate) fn answers(&self) -> u64 {
        self.readers.answers()
    }
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// A run under way. Dropped, it is killed.
pub(crate) struct Running(Child);

impl Running {
    /// Waits until the run is where it shall be killed; it must not end before.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, mut is_there: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_there(self) {
            assert_eq!(self.0.try_wait().unwrap(), None, "it ended before it came to the step");
            assert!(begun.elapsed() < PATIENCE, "it never came to the step");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the process has the file open.
    pub(crate) fn has_open(&self, path: &Path) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.0.id())).into_iter().flatten().flatten();
        let mut files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        files.any(|file| file == path)
    }

    /// Waits for its end, which must be a success.
    #[track_caller]
    pub(crate) fn ends_well(self) {
        self.ends_with(0);
    }

    /// Waits for its end, which must be that checks hold something back.
    #[track_caller]
    pub(crate) fn ends_held(self) {
        self.ends_with(HELD);
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let mut told = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(code), "{told}");
    }

    /// `kill -9`; whether the run was still there to be killed. One that has ended must have succeeded.
    #[track_caller]
    pub(crate) fn kill(mut self) -> bool {
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        let is_killed = status.signal() == Some(SIGKILL);
        assert!(is_killed || status.success(), "{status}");
        is_killed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, or have been killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
