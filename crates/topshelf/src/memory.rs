//! How much memory there is, and how much of it tables may take.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What is taken for the machine's memory where the system does not tell.
const MACHINE_BYTES_UNKNOWN: u64 = 8 << 30;

/// The program itself, its runtime and its databases' clients.
const PROGRAM_BYTES: u64 = 48 << 20;

/// What a thread takes to read and split lines, beside its tables.
const READING_BYTES: u64 = 12 << 20;

/// What a thread takes to merge and encode counts, beside the tables.
const WRITING_BYTES: u64 = 28 << 20;

/// At most one part in so many of the memory is for what is read ahead from a bucket.
const AHEAD_SHARE: u64 = 8;

/// How much memory the program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Half of what the machine has, or of what its container may take.
    Auto,
    /// So many bytes.
    Bytes(u64),
}

/// The most memory that this process has had so far, as the system tells: `VmHWM` of proc(5)'s `status`.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// A limit leaves too little for the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("counting.memory_limit is {given}, too little for {threads} {}: they need {minimum} at least", if *.threads == 1 { "thread" } else { "threads" })]
pub(crate) struct LimitTooSmall {
    given: MemoryLimit,
    threads: usize,
    minimum: MemoryLimit,
}

impl MemoryLimit {
    /// The bytes that `threads` threads' tables may take, which need `tables_min` at least, when at most
    /// `ahead_max` bytes are of use to read ahead. A limit that nobody has set is never too small.
    pub(crate) fn table_bytes(
        self,
        threads: usize,
        tables_min: u64,
        ahead_max: u64,
    ) -> Result<u64, LimitTooSmall> {
        let beside = PROGRAM_BYTES + threads as u64 * (READING_BYTES + WRITING_BYTES);
        let rest = self.bytes().checked_sub(beside + self.read_ahead_bytes(ahead_max));
        match (self, rest.filter(|rest| *rest >= tables_min)) {
            (_, Some(rest)) => Ok(rest),
            (Self::Auto, None) => Ok(tables_min),
            (Self::Bytes(_), None) => {
                let needed = beside + tables_min;
                // What is read ahead grows with the limit, up to a bound.
                let with_ahead = (needed * AHEAD_SHARE).div_ceil(AHEAD_SHARE - 1).min(needed + ahead_max);
                let minimum = Self::Bytes(with_ahead.div_ceil(1 << 20) << 20);
                Err(LimitTooSmall { given: self, threads, minimum })
            }
        }
    }

    /// The bytes that may be read ahead, when at most so many are of use.
    pub(crate) fn read_ahead_bytes(self, of_use: u64) -> u64 {
        (self.bytes() / AHEAD_SHARE).min(of_use)
    }

    /// So much that is.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Auto => machine_or_container_bytes() / 2,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The memory of this machine, or what its container may take.
pub(crate) fn machine_or_container_bytes() -> u64 {
    available_bytes(Path::new("/"))
}

/// The memory of the machine, or the least that a control group allows, below a root of the file system.
fn available_bytes(root: &Path) -> u64 {
    let machine = machine_bytes(root).unwrap_or(MACHINE_BYTES_UNKNOWN);
    control_group_files(root).iter().filter_map(|file| bytes_in(file)).fold(machine, u64::min)
}

fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The files that may limit this process's memory: those of its control group, in the first or the second
/// version of their interface, and of all groups above.
fn control_group_files(root: &Path) -> Vec<PathBuf> {
    let mounted = root.join("sys/fs/cgroup");
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mounted, name) = match controllers {
            "" => (mounted.clone(), "memory.max"),
            controllers if controllers.split(',').any(|controller| controller == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|group| mounted.join(group).join(name)));
    }
    files
}

/// None when the file is not there or says that there is no limit.
fn bytes_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// From the largest to the smallest.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for MemoryLimit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(())?.1,
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).map(Self::Bytes).ok_or(())
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = *self else { return f.write_str("auto") };
        let is_whole = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(is_whole).unwrap_or(&("B", 1));
        write!(f, "{}{name}", bytes / unit)
    }
}

impl Serialize for MemoryLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = MemoryLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, alone or with a unit such as \"4GiB\", or \"auto\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MemoryLimit, E> {
        text.parse().map_err(|()| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<MemoryLimit, E> {
        Ok(MemoryLimit::Bytes(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<MemoryLimit, E> {
        let invalid = |_| E::invalid_value(de::Unexpected::Signed(bytes), &self);
        bytes.try_into().map(MemoryLimit::Bytes).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_with_any_unit_and_shown_with_the_largest() {
        for (text, shown) in [
            ("auto", "auto"),
            ("4GiB", "4GiB"),
            ("4096 mib", "4GiB"),
            ("1500000000", "1500MB"),
            ("1536MiB", "1536MiB"),
            ("2tb", "2TB"),
            ("7", "7B"),
            ("0", "0B"),
        ] {
            assert_eq!(text.parse::<MemoryLimit>().unwrap().to_string(), shown);
        }
        for text in
            ["", "GiB", "4 G", "-1", "1.5GiB", "99999999999999999999", "18446744073709551615KiB", "lots"]
        {
            assert!(text.parse::<MemoryLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_that_is_too_small_says_the_least() {
        let error = MemoryLimit::Bytes(1 << 20).table_bytes(2, 3 << 20, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "counting.memory_limit is 1MiB, too little for 2 threads: they need 131MiB at least"
        );
        assert_eq!(error.minimum.table_bytes(2, 3 << 20, 0), Ok(3 << 20));
        assert!(MemoryLimit::Auto.table_bytes(1000, 1 << 30, 80 << 20).unwrap() >= 1 << 30);
    }

    #[test]
    fn what_is_read_ahead_is_taken_from_the_tables() {
        let gibibyte = MemoryLimit::Bytes(1 << 30);
        assert_eq!(gibibyte.read_ahead_bytes(80 << 20), 80 << 20);
        assert_eq!(gibibyte.read_ahead_bytes(200 << 20), 128 << 20);
        let [alone, beside] = [0, 80 << 20].map(|ahead| gibibyte.table_bytes(2, 0, ahead).unwrap());
        assert_eq!(alone - beside, 80 << 20);
        for (tables_min, ahead_max) in [(3 << 20, 80 << 20), (1 << 30, 80 << 20), (3 << 20, 1 << 20)] {
            let minimum = MemoryLimit::Bytes(0).table_bytes(2, tables_min, ahead_max).unwrap_err().minimum;
            let MemoryLimit::Bytes(bytes) = minimum else { panic!("a minimum is a number") };
            assert!(minimum.table_bytes(2, tables_min, ahead_max).is_ok(), "{minimum}");
            let less = MemoryLimit::Bytes(bytes - (1 << 20));
            less.table_bytes(2, tables_min, ahead_max).unwrap_err();
        }
    }

    /// The bytes that are found when the files have these contents.
    fn available(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        available_bytes(root.path())
    }

    #[test]
    fn the_least_of_machine_and_control_groups_is_found() {
        let machine = ("proc/meminfo", "MemFree: 5 kB\nMemTotal:       16384 kB\n");
        assert_eq!(available(&[]), MACHINE_BYTES_UNKNOWN);
        assert_eq!(available(&[machine]), 16 << 20);
        let second = ("proc/self/cgroup", "0::/system.slice/topshelf.service\n");
        let limit = ("sys/fs/cgroup/system.slice/topshelf.service/memory.max", "4194304\n");
        let none = ("sys/fs/cgroup/system.slice/topshelf.service/memory.max", "max\n");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "8388608\n");
        assert_eq!(available(&[machine, second, limit, above]), 4 << 20);
        assert_eq!(available(&[machine, second, none, above]), 8 << 20);
        assert_eq!(available(&[machine, second, none]), 16 << 20);
        let container = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1048576\n")];
        assert_eq!(available(&container), 1 << 20);
        let first = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/\n");
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2097152\n");
        assert_eq!(available(&[machine, first, unlimited, limit]), 2 << 20);
        assert_eq!(available(&[machine, first, unlimited]), 16 << 20);
    }
}
