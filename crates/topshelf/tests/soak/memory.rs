//! The memory that a process holds, looked at now and then: whether it grows.

use std::fs;

/// What a process may hold more towards the end than early on, beside a twentieth: memory is taken in pieces. What is less
/// than the snapshots of ten publications here is not noticed.
const MARGIN_BYTES: u64 = 6 << 20;

#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<u64>);

impl Memory {
    /// Notes what the process holds now; at least once a second, or so.
    pub(crate) fn sample(&mut self, pid: u32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes: u64 = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        self.0.push(kibibytes << 10);
    }

    /// The most that it held in each quarter of the time.
    pub(crate) fn quarters(&self) -> [u64; 4] {
        let quarter =
            |number: usize| self.0[self.0.len() * number / 4..self.0.len() * (number + 1) / 4].iter();
        [0, 1, 2, 3].map(|number| quarter(number).copied().max().unwrap_or_default())
    }

    /// The first quarter is let pass: what is needed is only then there.
    pub(crate) fn is_flat(&self) -> bool {
        let [_, second, _, last] = self.quarters();
        last <= second + second / 20 + MARGIN_BYTES
    }
}

#[test]
fn what_grows_all_the_time_is_not_flat() {
    let growing = |bytes_each: u64| Memory((0..100).map(|sample| (50 << 20) + sample * bytes_each).collect());
    assert!(growing(0).is_flat() && growing(10 << 10).is_flat());
    assert!(!growing(1 << 20).is_flat());
    let early = Memory((0..100).map(|sample| sample.min(20) << 20).collect());
    assert!(early.is_flat());
}
