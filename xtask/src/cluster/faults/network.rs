//! Machines that are none: a network namespace for each process, all of them on one bridge, which has a namespace of its
//! own. The network of the machine is left as it is.

use crate::{
    Failure,
    repository::{program, stdout, succeed, works},
};
use std::{fmt, path::Path, process};

/// How many executors there are.
pub(super) const EXECUTORS: u8 = 3;

const PREFIX: &str = "topshelf-faults";

/// Where a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Scheduler,
    /// From 1.
    Executor(u8),
    /// From 1.
    Night(u8),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduler => write!(f, "scheduler"),
            Self::Executor(number) => write!(f, "executor-{number}"),
            Self::Night(number) => write!(f, "night-{number}"),
        }
    }
}

impl Place {
    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let nights = [Self::Night(1), Self::Night(2)];
        [Self::Scheduler].into_iter().chain(Self::executors()).chain(nights)
    }

    pub(super) fn executors() -> impl Iterator<Item = Self> {
        (1..=EXECUTORS).map(Self::Executor)
    }

    pub(super) fn address(self) -> String {
        let last = match self {
            Self::Scheduler => 1,
            Self::Night(number) => 1 + number,
            Self::Executor(number) => 10 + number,
        };
        format!("10.77.0.{last}")
    }
}

/// The network. Dropped, its namespaces are removed.
pub(super) struct Network {
    prefix: String,
}

impl Network {
    /// Makes it, and removes what a command that was killed has left of another.
    pub(super) fn make() -> Result<Self, Failure> {
        remove_what_is_left()?;
        let network = Self { prefix: format!("{PREFIX}-{}", process::id()) };
        let hub = network.namespace("hub");
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add bridge type bridge"))?;
        ip(&format!("-n {hub} link set bridge up"))?;
        for place in Place::all() {
            let (space, address) = (network.namespace(&place.to_string()), place.address());
            ip(&format!("netns add {space}"))?;
            ip(&format!("-n {space} link add eth0 type veth peer name {place} netns {hub}"))?;
            ip(&format!("-n {space} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
            ip(&format!("-n {hub} link set {place} master bridge up"))?;
        }
        Ok(network)
    }

    /// What a program is called by to be there.
    pub(super) fn words(&self, at: Place) -> [String; 4] {
        ["ip".to_owned(), "netns".to_owned(), "exec".to_owned(), self.namespace(&at.to_string())]
    }

    /// Loses that share of the packets that come to a place, from one place or from all.
    pub(super) fn lose(&self, percent: u64, at: Place, from: Option<Place>) -> Result<(), Failure> {
        let from = from.map(|from| format!("--source {}", from.address())).unwrap_or_default();
        let some = match percent {
            100.. => String::new(),
            _ => format!("--match statistic --mode random --probability 0.{percent:02}"),
        };
        self.rule(at, &format!("--append INPUT --in-interface eth0 {from} {some} --jump DROP"))
    }

    /// Loses nothing any more.
    pub(super) fn heal(&self) -> Result<(), Failure> {
        Place::all().try_for_each(|place| self.rule(place, "--flush INPUT"))
    }

    fn rule(&self, at: Place, rule: &str) -> Result<(), Failure> {
        let [ip, words @ ..] = self.words(at);
        succeed(program(ip, &[]).args(words).args(["iptables", "--wait"]).args(rule.split_whitespace()))
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in Place::all().map(|place| place.to_string()).chain(["hub".to_owned()]) {
            // It may not have been made.
            works(&mut program("ip", &["netns", "delete", &self.namespace(&name)]));
        }
    }
}

fn ip(words: &str) -> Result<(), Failure> {
    succeed(program("ip", &[]).args(words.split(' ')))
}

/// Namespaces of commands that are not there any more.
fn remove_what_is_left() -> Result<(), Failure> {
    for line in stdout(&mut program("ip", &["netns", "list"]))?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&format!("netns delete {name}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_an_address_and_a_name_that_an_interface_can_have() {
        let mut addresses: Vec<_> = Place::all().map(Place::address).collect();
        assert_eq!(addresses.len(), 3 + usize::from(EXECUTORS));
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 3 + usize::from(EXECUTORS));
        assert!(Place::all().all(|place| place.to_string().len() <= 15));
    }
}
