//! What the benchmarks run on: named in every table, and asked how much room it has.

use super::gigabytes;
use crate::{
    Failure,
    repository::{program, stdout},
    say,
};
use std::{fs, path::Path, process::Command, thread};

/// Cores, memory, kernel and compiler, in one line.
pub(super) fn description() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores of {}, {:.0} GB of memory, Linux {}; {}",
        value("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned()),
        gigabytes(memory_bytes()),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        stdout(Command::new("rustc").arg("--version")).unwrap_or_default().trim(),
    )
}

/// Today, in UTC.
pub(super) fn date() -> Result<String, Failure> {
    Ok(stdout(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned())
}

/// The memory of the machine.
pub(super) fn memory_bytes() -> u64 {
    let kib = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    kib.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

fn value(file: &str, key: &str) -> Option<String> {
    value_in(&fs::read_to_string(file).ok()?, key)
}

/// What stands behind the colon of the first line that begins with `key`.
fn value_in(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Bytes that may still be written where `folder` is.
pub(super) fn free_disk_bytes(folder: &Path) -> Result<u64, Failure> {
    let answer = stdout(program("df", &["--output=avail", "--block-size=1"]).arg(folder))?;
    let bytes = answer.lines().last().and_then(|line| line.trim().parse().ok());
    bytes.ok_or_else(|| format!("`df` does not say how much room is in {}", folder.display()).into())
}

/// Wall times on a busy machine are not worth writing down.
pub(super) fn warn_when_busy() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    if load > 0.5 {
        say(&format!("the machine is busy (load {load}): compare CPU seconds rather than wall seconds"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_its_key() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC: 9\nmodel name\t: other\n";
        assert_eq!(value_in(text, "model name").unwrap(), "AMD EPYC: 9");
        assert_eq!(value_in(text, "flags"), None);
    }

    #[test]
    fn the_disk_says_how_much_is_free() {
        assert!(free_disk_bytes(Path::new("/")).unwrap() > 0);
    }
}
