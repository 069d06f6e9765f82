//! What Linux tells of this process, under the names that Prometheus' own libraries use.
//!
//! Files of `/proc` go in, numbers come out; what cannot be read is left out.

use super::catalog::{CPU_SECONDS, MAX_FDS, OPEN_FDS, RESIDENT_MEMORY, START_TIME};
use std::fs;

/// The metrics of this process, now.
pub(super) fn metrics() -> Vec<(&'static str, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(|stat| Stat::of(stat, rustix::param::clock_ticks_per_second()));
    let status = fs::read_to_string("/proc/self/status").ok();
    let limits = fs::read_to_string("/proc/self/limits").ok();
    // The folder is open while it is read.
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    let started_at = stat.as_ref().and_then(|stat| Some(booted_at()? + stat.started_after));
    let all = [
        (CPU_SECONDS, stat.as_ref().map(|stat| stat.cpu_seconds)),
        (RESIDENT_MEMORY, status.as_deref().and_then(resident_bytes)),
        (OPEN_FDS, open),
        (MAX_FDS, limits.as_deref().and_then(open_files_max)),
        (START_TIME, started_at),
    ];
    all.into_iter().filter_map(|(name, number)| Some((name, number?))).collect()
}

/// What is needed of `/proc/self/stat`, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since the machine was started.
    started_after: f64,
}

impl Stat {
    #[expect(clippy::cast_precision_loss, reason = "a metric is read by people and alarms")]
    fn of(stat: &str, ticks_per_second: u64) -> Option<Self> {
        // The second field, the program's name in brackets, may hold spaces and brackets.
        let (_, rest) = stat.rsplit_once(')')?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
        Some(Self { cpu_seconds: seconds(field(14)? + field(15)?), started_after: seconds(field(22)?) })
    }
}

/// When the machine was started, in Unix time.
fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_bytes(status: &str) -> Option<f64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
    Some(kib.parse::<f64>().ok()? * 1024.0)
}

/// None when there is no limit.
fn open_files_max(limits: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    soft.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read_as_linux_writes_them() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 9 0 1000 1 2 3";
        assert_eq!(Stat::of(stat, 100), Some(Stat { cpu_seconds: 3.0, started_after: 10.0 }));
        assert_eq!(Stat::of("42 (a", 100), None);
        assert_eq!(resident_bytes("VmPeak:\t9 kB\nVmRSS:\t      12 kB\n"), Some(12288.0));
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(open_files_max(limits), Some(1024.0));
        assert_eq!(open_files_max("Max open files   unlimited   unlimited  files"), None);
    }
}
