//! A scheduler and executors as processes of their own, on an address of the loopback that no other call has.

use super::measured::Idle;
use crate::{Failure, bench::serve::Running, repository::program};
use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const SCHEDULER_PORT: u16 = 7050;
const EXECUTOR_PORT: u32 = 7060;

/// A process may take so long until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long they are looked at without work.
const IDLE: Duration = Duration::from_secs(60);

/// Where in a work folder an executor keeps what tasks gave.
const SHUFFLED: &str = "topshelf-shuffle";

/// How often the work folders are looked at: what tasks gave other tasks is deleted as soon as the job is done.
const LOOK: Duration = Duration::from_millis(20);

/// The processes. Dropped, they are ended.
pub(super) struct Group {
    address: String,
    scheduler: Running,
    executors: Vec<Running>,
    folder: PathBuf,
    started: Figures,
}

/// Seconds of CPU so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) scheduler_s: f64,
    pub(super) executors_s: f64,
}

/// An address that the processes of no other call have.
pub(super) fn host() -> String {
    let id = process::id();
    format!("127.{}.{}.1", 1 + id / 250 % 250, 1 + id % 250)
}

impl Group {
    /// Starts them in a folder, where their logs and work folders are, each with these flags, too; executors have one slot.
    pub(super) fn start(
        topshelf: &Path,
        folder: &Path,
        executors: u32,
        memory: &str,
        more: &[OsString],
    ) -> Result<Self, Failure> {
        let host = host();
        let address = format!("{host}:{SCHEDULER_PORT}");
        let start = |name: &str, at: &str, flags: &[&str]| {
            let mut command = topshelf_in(topshelf, folder);
            command.args(["cluster", flags[0], "--bind", at]).args(&flags[1..]).args(more);
            let log = folder.join(format!("{name}.log"));
            let file =
                File::create(&log).map_err(|error| format!("could not make {}: {error}", log.display()))?;
            command.stderr(file);
            let mut process = Running::start(&mut command, at.to_owned())?;
            listens(&mut process, &log)?;
            Ok::<_, Failure>(process)
        };
        let scheduler = start("scheduler", &address, &["scheduler"])?;
        let executors: Vec<Running> = (0..executors)
            .map(|number| {
                let (name, at) = (format!("executor-{number}"), format!("{host}:{}", EXECUTOR_PORT + number));
                let flags = [
                    "executor",
                    "--scheduler",
                    &address,
                    "--slots",
                    "1",
                    "--memory",
                    memory,
                    "--work-dir",
                    &name,
                ];
                start(&name, &at, &flags)
            })
            .collect::<Result<_, _>>()?;
        let started = Figures { scheduler_s: 0.0, executors_s: 0.0 };
        let mut group = Self { address, scheduler, executors, folder: folder.to_owned(), started };
        group.started = group.figures();
        Ok(group)
    }

    pub(super) fn url(&self) -> String {
        format!("df://{}", self.address)
    }

    /// Since all of them listened.
    pub(super) fn figures(&self) -> Figures {
        let executors_s: f64 = self.executors.iter().map(|executor| executor.cpu().as_secs_f64()).sum();
        Figures {
            scheduler_s: self.scheduler.cpu().as_secs_f64() - self.started.scheduler_s,
            executors_s: executors_s - self.started.executors_s,
        }
    }

    /// What they take while there is nothing to do.
    pub(super) fn idle(&self) -> Idle {
        let (before, began) = (self.figures(), Instant::now());
        thread::sleep(IDLE);
        let (after, executors) = (self.figures(), self.executors.len());
        Idle {
            executors: u32::try_from(executors).unwrap_or(u32::MAX),
            wall_s: began.elapsed().as_secs_f64(),
            executors_s: after.executors_s - before.executors_s,
            scheduler_s: after.scheduler_s - before.scheduler_s,
        }
    }

    /// The largest resident sets: of the scheduler, and of any executor.
    pub(super) fn peaks_bytes(&self) -> (u64, u64) {
        let executors = self.executors.iter().map(Running::peak_memory_bytes);
        (self.scheduler.peak_memory_bytes(), executors.max().unwrap_or(0))
    }

    /// Begins to watch what tasks write.
    pub(super) fn watch(&self) -> Watch {
        let folders: Vec<PathBuf> = (0..self.executors.len())
            .map(|number| self.folder.join(format!("executor-{number}")).join(SHUFFLED))
            .collect();
        let (ends, sizes) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Sizes::default())));
        let (is_over, seen) = (Arc::clone(&ends), Arc::clone(&sizes));
        let watching = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let mut sizes = seen.lock().expect("nobody panics meanwhile");
                folders.iter().for_each(|folder| sizes.look(folder));
                drop(sizes);
                thread::sleep(LOOK);
            }
        });
        Watch { ends, sizes, watching }
    }
}

/// The program, where no configuration file of the repository has a say.
pub(super) fn topshelf_in(topshelf: &Path, folder: &Path) -> Command {
    let mut command = program(topshelf, &[]);
    command.current_dir(folder);
    command
}

fn listens(process: &mut Running, log: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    while TcpStream::connect(&process.address).is_err() {
        if process.has_ended() || started.elapsed() > PATIENCE {
            let said = fs::read_to_string(log).unwrap_or_default();
            return Err(format!("nobody listens at {}: {said}", process.address).into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Somebody who looks at the work folders.
pub(super) struct Watch {
    ends: Arc<AtomicBool>,
    sizes: Arc<Mutex<Sizes>>,
    watching: thread::JoinHandle<()>,
}

impl Watch {
    /// Bytes for other tasks, and for the night: those of the last stage are the latter.
    pub(super) fn end(self) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        self.watching.join().expect("the watch does not panic");
        let sizes = self.sizes.lock().expect("the watch has ended");
        sizes.shuffled_and_returned()
    }
}

/// The largest size that each file of a stage had.
#[derive(Default)]
struct Sizes(HashMap<PathBuf, (u64, u64)>);

impl Sizes {
    /// Looks at what an executor keeps: JOB/STAGE/…
    fn look(&mut self, folder: &Path) {
        for job in entries(folder) {
            for stage in entries(&job) {
                let number = stage.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
                if let Some(number) = number {
                    self.add(number, &stage);
                }
            }
        }
    }

    fn add(&mut self, stage: u64, folder: &Path) {
        for path in entries(folder) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.add(stage, &path),
                Ok(metadata) => {
                    let (_, bytes) = self.0.entry(path).or_insert((stage, 0));
                    *bytes = metadata.len().max(*bytes);
                }
                // It is gone.
                Err(_) => {}
            }
        }
    }

    fn shuffled_and_returned(&self) -> (u64, u64) {
        let last = self.0.values().map(|(stage, _)| *stage).max();
        let bytes = |is_last: bool| {
            let files = self.0.values().filter(|(stage, _)| (Some(*stage) == last) == is_last);
            files.map(|(_, bytes)| bytes).sum()
        };
        (bytes(false), bytes(true))
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_size_of_each_file_counts_by_stage() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        let mut sizes = Sizes::default();
        write("job/1/0/data.arrow", 100);
        write("job/1/1/data.arrow", 10);
        write("job/1/1/data.arrow.index", 1);
        write("spill/other", 1_000);
        sizes.look(folder.path());
        write("job/1/1/data.arrow", 20);
        write("job/2/0/data-0.arrow", 5);
        sizes.look(folder.path());
        fs::remove_dir_all(folder.path().join("job/1")).unwrap();
        sizes.look(folder.path());
        assert_eq!(sizes.shuffled_and_returned(), (121, 5));
    }
}
