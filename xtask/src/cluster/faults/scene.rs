//! What all trials have in common: the logs of a day, a lake and a ledger with the day before it, and what one machine
//! makes of them.

use super::beginning;
use crate::{
    Failure,
    repository::{self, cannot_start},
};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const DAY_BEFORE: &str = "2024-11-19";
const DAY: &str = "2024-11-20";

/// Lines of the ad log of the day before.
const ROWS_BEFORE: &str = "20000";

/// Products of each advertiser that begin an object.
const OBJECTS: usize = 2;

/// What a night leaves for readers.
#[derive(PartialEq, Eq)]
pub(super) struct Left {
    /// The files of the lake, by their paths in it.
    pub(super) lake: BTreeMap<PathBuf, Vec<u8>>,
    /// What is served, as the last run says that succeeded.
    pub(super) rankings: String,
}

/// A run of the ledger.
pub(super) struct LedgerRun {
    pub(super) status: String,
    /// Why it did not succeed, where it did not.
    pub(super) error: String,
}

pub(super) struct Scene {
    program: PathBuf,
    folder: PathBuf,
}

impl Scene {
    /// Makes logs with so many lines of ads, and the day before.
    pub(super) fn make(program: PathBuf, folder: PathBuf, rows: u64) -> Result<Self, Failure> {
        let scene = Self { program, folder };
        let rows = rows.to_string();
        for (name, day, rows) in [("logs-before", DAY_BEFORE, ROWS_BEFORE), ("logs", DAY, &rows)] {
            let words = ["generate", "--out", name, "--first-day", day, "--rows", rows, "--days", "1"];
            scene.call(
                &[&words[..], &["--advertisers", "30", "--products", "4000", "--seed", "1"]].concat(),
            )?;
        }
        scene.begin_objects()?;
        make_folder(&scene.folder.join("before"))?;
        scene.call(&scene.run(DAY_BEFORE, "logs-before", &scene.folder.join("before")))?;
        Ok(scene)
    }

    /// Adds products that begin objects of the lake, so that executors have some to write although the logs are small.
    fn begin_objects(&self) -> Result<(), Failure> {
        let (ads, list) =
            (self.folder.join("logs/ads_views.csv"), self.folder.join("logs/advertiser_ids.csv"));
        let cannot = |error: io::Error| Failure::from(format!("could not add to {}: {error}", ads.display()));
        let advertisers = fs::read_to_string(list).map_err(cannot)?;
        let mut file = OpenOptions::new().append(true).open(&ads).map_err(cannot)?;
        for advertiser in advertisers.lines().skip(1) {
            for product in beginning::products(advertiser).take(OBJECTS) {
                writeln!(file, "{advertiser},{product},impression,{DAY}").map_err(cannot)?;
            }
        }
        Ok(())
    }

    /// A place for a night, with the day before.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf, Failure> {
        let place = self.folder.join(name);
        copy(&self.folder.join("before"), &place)?;
        Ok(place)
    }

    /// A folder for the logs of a trial.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// What is there before.
    pub(super) fn before(&self) -> Result<Left, Failure> {
        self.left(&self.folder.join("before"))
    }

    /// What one machine makes of the day.
    pub(super) fn alone(&self) -> Result<Left, Failure> {
        let place = self.place("alone")?;
        self.call(&self.run(DAY, "logs", &place))?;
        let left = self.left(&place)?;
        let objects = left.lake.keys().filter(|name| name.to_string_lossy().contains("/counts-")).count();
        if objects < 2 * OBJECTS {
            return Err(format!(
                "one machine writes {objects} objects of counts: executors would write none"
            )
            .into());
        }
        Ok(left)
    }

    /// The program, and the words of a night on a cluster.
    pub(super) fn night(&self, place: &Path, scheduler: &str) -> Vec<String> {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        words.extend(self.run(DAY, "logs", place));
        words.extend(["--cluster".to_owned(), format!("df://{scheduler}")]);
        words
    }

    fn run(&self, day: &str, logs: &str, place: &Path) -> Vec<String> {
        let logs = self.folder.join(logs).to_string_lossy().into_owned();
        let lake = place.join("lake").to_string_lossy().into_owned();
        let words = ["run", "--day", day, "--input", &logs, "--lake", &lake, "--store", &store(place)];
        words.map(ToOwned::to_owned).to_vec()
    }

    /// What readers see of a place.
    pub(super) fn left(&self, place: &Path) -> Result<Left, Failure> {
        let runs = self.ledger(place)?;
        let published = runs.as_array().and_then(|runs| runs.iter().find(|run| run["status"] == "succeeded"));
        let rankings = published.and_then(|run| run["rankings_digest"].as_str());
        let rankings = rankings.ok_or("the ledger tells of no rankings")?.to_owned();
        Ok(Left { lake: files(&place.join("lake"))?, rankings })
    }

    /// The runs of a place, the newest first.
    pub(super) fn runs(&self, place: &Path) -> Result<Vec<LedgerRun>, Failure> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let runs = self.ledger(place)?;
        let runs = runs.as_array().into_iter().flatten();
        Ok(runs.map(|run| LedgerRun { status: text(&run["status"]), error: text(&run["error"]) }).collect())
    }

    fn ledger(&self, place: &Path) -> Result<serde_json::Value, Failure> {
        let said = self.call(&["runs", "--json", "--store", &store(place)])?;
        let parsed = serde_json::from_str::<serde_json::Value>(&said);
        let mut ledger = parsed.map_err(|error| format!("`topshelf runs` printed no JSON: {error}"))?;
        Ok(ledger["runs"].take())
    }

    /// Calls the program, which must end well; what it prints to stdout.
    fn call(&self, words: &[impl AsRef<str>]) -> Result<String, Failure> {
        let mut call = Command::new(&self.program);
        call.args(words.iter().map(AsRef::as_ref)).current_dir(&self.folder);
        call.env_clear().stdin(Stdio::null());
        let output = call.output().map_err(|error| cannot_start(&call, &error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("`{}` failed: {}: {said}", repository::words(&call), output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn store(place: &Path) -> String {
    format!("sqlite:{}", place.join("store.db").display())
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()).into())
}

/// The paths of the files below a folder, in it.
pub(super) fn names(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: io::Error| Failure::from(format!("could not list {}: {error}", folder.display()));
    let (mut folders, mut names) = (vec![folder.to_owned()], Vec::new());
    while let Some(of) = folders.pop() {
        for entry in fs::read_dir(of).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(folder).expect("what a folder lists is in it").to_owned());
            }
        }
    }
    Ok(names)
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let read = |name: PathBuf| {
        let content = fs::read(folder.join(&name));
        let cannot = |error| format!("could not read {} of {}: {error}", name.display(), folder.display());
        Ok((name.clone(), content.map_err(cannot)?))
    };
    names(folder)?.into_iter().map(read).collect()
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::from(format!("could not write {}: {error}", to.display()));
    for (name, content) in files(from)? {
        let file = to.join(name);
        make_folder(file.parent().expect("a file is in a folder"))?;
        fs::write(file, content).map_err(cannot)?;
    }
    Ok(())
}
