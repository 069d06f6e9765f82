//! A server under measurement: started, asked what it uses, and ended by its process id.

use super::{ask::ask, request::Request};
use crate::{
    Failure,
    repository::{cannot_start, program, stdout, words, works},
};
use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to end when it is told to, before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// Linux counts CPU time in hundredths of a second for programs, on every machine (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A server that was started. Dropped, it is ended.
pub(in crate::bench) struct Running {
    process: Child,
    what: String,
    /// Host and port.
    pub(in crate::bench) address: String,
    pub(in crate::bench) started: Instant,
    /// What each request to it carries, as it is written.
    pub(super) header: Option<String>,
}

impl Running {
    /// Starts a server that will listen at `address`. What it says goes where ours goes.
    pub(in crate::bench) fn start(command: &mut Command, address: String) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let process = command.spawn().map_err(|error| cannot_start(command, &error))?;
        Ok(Self { process, what: words(command), address, started, header: None })
    }

    /// Waits until the server answers `path` with 200 and `is_there` likes the answer's body; how long after its
    /// start that was.
    pub(in crate::bench) fn wait(
        &mut self,
        path: &str,
        patience: Duration,
        is_there: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<Duration, Failure> {
        loop {
            let answer = ask(&self.address, &self.request(Request::get(path)))
                .ok()
                .filter(|answer| answer.status == 200);
            let elapsed = self.started.elapsed();
            if answer.is_some_and(|answer| is_there(&answer.json().unwrap_or_default())) {
                return Ok(elapsed);
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("`{}` ended: {status}", self.what).into());
            }
            if elapsed > patience {
                return Err(format!("`{}` is not ready after {} s", self.what, patience.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The request as this server asks for it.
    pub(super) fn request(&self, request: Request) -> Request {
        Request { header: self.header.clone().or(request.header), ..request }
    }

    /// Lets all its threads run on these cores alone, as `taskset` writes them.
    pub(super) fn confine(&self, cores: &str) -> Result<(), Failure> {
        for pid in family(self.process.id()) {
            stdout(&mut program(
                "taskset",
                &["--all-tasks", "--cpu-list", "--pid", cores, &pid.to_string()],
            ))?;
        }
        Ok(())
    }

    /// Whether it has ended by itself.
    pub(in crate::bench) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// CPU time and resident set of each of its processes, by their ids.
    pub(in crate::bench) fn each(&self) -> Vec<(u32, Duration, u64)> {
        let family = family(self.process.id());
        let of = |pid: u32| Some((pid, of_ticks(status(pid)?.ticks), memory(pid, "VmRSS")));
        family.into_iter().filter_map(of).collect()
    }

    /// User and system time of all its processes so far.
    pub(in crate::bench) fn cpu(&self) -> Duration {
        cpu(self.process.id())
    }

    /// The resident set of all its processes, in bytes; pages that they share count for each.
    pub(in crate::bench) fn memory_bytes(&self) -> u64 {
        family(self.process.id()).iter().map(|pid| memory(*pid, "VmRSS")).sum()
    }

    /// The largest resident set since the start, or since it was forgotten; of a server of one process.
    pub(in crate::bench) fn peak_memory_bytes(&self) -> u64 {
        memory(self.process.id(), "VmHWM")
    }

    /// Makes the largest resident set the present one.
    pub(in crate::bench) fn forget_peak_memory(&self) -> Result<(), Failure> {
        // See proc_pid_clear_refs(5).
        let file = format!("/proc/{}/clear_refs", self.process.id());
        fs::write(&file, "5").map_err(|error| format!("could not write {file}: {error}").into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let told = works(&mut program("kill", &["-TERM", &self.process.id().to_string()]));
        let started = Instant::now();
        while told && started.elapsed() < END_TIME_MAX {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// User and system time of a process and all that come from it so far.
pub(super) fn cpu(pid: u32) -> Duration {
    let ticks: u64 = family(pid).iter().filter_map(|pid| Some(status(*pid)?.ticks)).sum();
    of_ticks(ticks)
}

fn of_ticks(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// A process and all that come from it.
fn family(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, Status)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, status(pid)?)))
        .collect();
    descendants(pid, &all)
}

fn descendants(pid: u32, all: &[(u32, Status)]) -> Vec<u32> {
    let children = all.iter().filter(|(_, status)| status.parent == pid);
    [pid].into_iter().chain(children.flat_map(|(child, _)| descendants(*child, all))).collect()
}

/// What the kernel tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    parent: u32,
    /// Of CPU time, without that of children.
    ticks: u64,
}

fn status(pid: u32) -> Option<Status> {
    read_status(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads the line of proc_pid_stat(5). The name may hold anything, so fields count from behind it.
fn read_status(line: &str) -> Option<Status> {
    let fields: Vec<_> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Status { parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
}

fn memory(pid: u32, key: &str) -> u64 {
    let told = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    value.map_or(0, |value| value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::serve::free_address;
    use std::process;

    #[test]
    fn a_status_is_read_behind_the_name() {
        let line = "71 (a) b (c) S 7 71 71 0 -1 4194560 8 0 0 0 123 45 9 9 20 0 1 0 11 3 4 5";
        assert_eq!(read_status(line), Some(Status { parent: 7, ticks: 168 }));
        assert_eq!(read_status("71 (a) S 7"), None);
    }

    #[test]
    fn a_family_is_a_process_with_all_that_come_from_it() {
        let of = |parent| Status { parent, ticks: 0 };
        let all = [(1, of(0)), (2, of(1)), (3, of(1)), (4, of(3)), (5, of(9))];
        assert_eq!(descendants(1, &all), [1, 2, 3, 4]);
        assert_eq!(descendants(5, &all), [5]);
    }

    #[test]
    fn we_use_memory_and_time_ourselves() {
        assert!(memory(process::id(), "VmRSS") > 100_000);
        assert!(memory(process::id(), "VmHWM") >= memory(process::id(), "VmRSS"));
        assert!(family(process::id()).contains(&process::id()));
    }

    #[test]
    fn a_server_that_ends_or_never_answers_is_told() {
        let wait = |script: &str| {
            let address = free_address().unwrap();
            let mut running = Running::start(&mut program("sh", &["-c", script]), address).unwrap();
            running.wait("/", Duration::from_millis(300), |_| true).unwrap_err().message
        };
        assert_eq!(wait("exit 3"), "`sh -c exit 3` ended: exit status: 3");
        assert_eq!(wait("exec sleep 60"), "`sh -c exec sleep 60` is not ready after 0 s");
    }
}
