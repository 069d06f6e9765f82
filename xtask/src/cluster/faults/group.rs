//! A scheduler and its executors, each a process in a namespace of the network, and what is done to them.

use super::{
    fault::{Act, Fault},
    interrupt::Interrupt,
    network::{Network, Place},
    started::Process,
};
use crate::Failure;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const SCHEDULER_PORT: u16 = 7050;
const EXECUTOR_PORT: u16 = 7060;

pub(super) struct Group<'n> {
    program: PathBuf,
    folder: PathBuf,
    network: &'n Network,
    interrupt: Interrupt,
    full: Option<(Place, u64)>,
    /// The scheduler, executors and nights that were started.
    processes: BTreeMap<Place, Process>,
    /// Those of them that were told to end.
    ending: BTreeSet<Place>,
}

impl<'n> Group<'n> {
    /// Starts a scheduler and all executors; what they say goes to files of the folder.
    pub(super) fn start(
        program: &Path,
        folder: PathBuf,
        network: &'n Network,
        interrupt: &Interrupt,
        fault: &Fault,
    ) -> Result<Self, Failure> {
        network.heal()?;
        let mut group = Self {
            program: program.to_owned(),
            folder,
            network,
            interrupt: interrupt.clone(),
            full: fault.full,
            processes: BTreeMap::new(),
            ending: BTreeSet::new(),
        };
        group.mend()?;
        Ok(group)
    }

    /// The scheduler's host and port.
    pub(super) fn scheduler() -> String {
        format!("{}:{SCHEDULER_PORT}", Place::Scheduler.address())
    }

    /// Starts a night.
    pub(super) fn begin(&mut self, at: Place, words: &[String], deadline: u64) -> Result<(), Failure> {
        let environment = [
            ("TOPSHELF_CLUSTER__TASK_MIB", "1".to_owned()),
            ("TOPSHELF_CLUSTER__ADDERS", "9".to_owned()),
            ("TOPSHELF_CLUSTER__DEADLINE_SECONDS", deadline.to_string()),
        ];
        let process = self.process(at, words, &environment)?;
        self.processes.insert(at, process);
        Ok(())
    }

    /// The exit code of a night that has ended; 128 and the number of the signal when one ended it.
    pub(super) fn ended(&mut self, night: Place) -> Result<Option<i32>, Failure> {
        use std::os::unix::process::ExitStatusExt;
        let night = self.processes.get_mut(&night).expect("it was begun");
        let code = |status: std::process::ExitStatus| {
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
        };
        Ok(night.ended()?.map(code))
    }

    /// What a night said.
    pub(super) fn said(&self, night: Place) -> String {
        self.processes.get(&night).map(Process::said).unwrap_or_default()
    }

    /// Does what happens.
    pub(super) fn act(&mut self, act: &Act) -> Result<(), Failure> {
        match act {
            Act::Signal(signal, place) => {
                if *signal == "TERM" {
                    self.ending.insert(*place);
                }
                self.processes.get_mut(place).map_or(Ok(()), |process| process.signal(signal))
            }
            Act::Mend(place) => self.mend_one(*place),
            Act::Lose(percent, at, from) => self.network.lose(*percent, *at, *from),
            Act::Heal => self.network.heal(),
            Act::Delete(place) => self.delete(*place),
        }
    }

    /// All are there again and well, with room on their disks.
    pub(super) fn mend(&mut self) -> Result<(), Failure> {
        self.network.heal()?;
        self.mend_one(Place::Scheduler)?;
        Place::executors().try_for_each(|place| self.mend_one(place))
    }

    /// Gives room to the executor that has none.
    pub(super) fn make_room(&mut self) {
        if let Some((place, _)) = self.full.take() {
            self.processes.remove(&place);
        }
    }

    fn mend_one(&mut self, place: Place) -> Result<(), Failure> {
        if let Some(process) = self.processes.get_mut(&place) {
            process.signal("CONT")?;
            if process.ended()?.is_none() && !self.ending.remove(&place) {
                return Ok(());
            }
            // One that was told to end does so in its own time.
            process.wait_until_it_ends(&self.interrupt)?;
            self.processes.remove(&place);
        }
        let (words, ready) = match place {
            Place::Scheduler => (self.scheduler_words(), "Starting the event loop"),
            _ => (self.executor_words(place)?, "the executor listens"),
        };
        let mut process = self.process(place, &words, &[])?;
        process.wait_until_it_says(ready, &self.interrupt)?;
        self.processes.insert(place, process);
        Ok(())
    }

    fn process(
        &self,
        at: Place,
        words: &[String],
        environment: &[(&str, String)],
    ) -> Result<Process, Failure> {
        let words = [&self.network.words(at)[..], words].concat();
        Process::start(&words, environment, &self.folder, self.folder.join(format!("{at}.log")))
    }

    fn scheduler_words(&self) -> Vec<String> {
        let bind = Self::scheduler();
        self.words(&["cluster", "scheduler", "--bind", &bind, "--executor-timeout", "10s"])
    }

    fn executor_words(&self, at: Place) -> Result<Vec<String>, Failure> {
        let (bind, work) = (format!("{}:{EXECUTOR_PORT}", at.address()), self.work_folder(at));
        fs::create_dir_all(&work).map_err(|error| format!("could not make {}: {error}", work.display()))?;
        let work = work.to_string_lossy();
        let place = ["--scheduler", &Self::scheduler(), "--bind", &bind, "--work-dir", &work];
        let size = ["--slots", "1", "--memory", "256MiB"];
        let words = self.words(&[&["cluster", "executor"], &place[..], &size].concat());
        let Some((_, kib)) = self.full.filter(|(full, _)| *full == at) else { return Ok(words) };
        // `ip netns exec` gives it mounts of its own, which go with it.
        let mount = format!("mount -t tmpfs -o size={kib}k tmpfs '{work}' && exec \"$@\"");
        let shell = ["sh", "-c", &mount, "sh"].map(ToOwned::to_owned);
        Ok([shell.to_vec(), words].concat())
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        [program].into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect()
    }

    fn work_folder(&self, at: Place) -> PathBuf {
        self.folder.join(format!("{at}.work"))
    }

    /// Deletes all files of an executor's jobs.
    fn delete(&self, at: Place) -> Result<(), Failure> {
        let work = self.work_folder(at);
        for file in super::scene::names(&work)? {
            // The executor may have been faster.
            let _ = fs::remove_file(work.join(file));
        }
        Ok(())
    }
}
