//! Which process this is, in words that tell it from all others, and whether another is still there.
//!
//! A machine since its start, the space of its process ids (a container has its own), the id, and when the
//! process began: an id is given again, but not for the same moment.

use std::{
    collections::BTreeSet,
    env, fs, process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What this process works on, until dropped.
#[derive(Debug)]
pub(crate) struct Work {
    told: String,
}

/// All works of this process.
static WORKS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Work {
    pub(crate) fn begin() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let told = format!("{} {}", NUMBERS.fetch_add(1, Ordering::Relaxed), this_process());
        Self::all().insert(told.clone());
        Self { told }
    }

    /// Which process this is, and which of its works: each has a number of its own, which comes first.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }

    fn all() -> MutexGuard<'static, BTreeSet<String>> {
        WORKS.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        Self::all().remove(&self.told);
    }
}

fn this_process() -> String {
    let id = process::id();
    match (space(), started(id)) {
        (Some(space), Some(started)) => format!("{space} {id} {started}"),
        // Where the system tells nothing, nobody else can look: signs of life must do.
        _ => format!("unknown {id}"),
    }
}

/// The id of the process that said `told` of itself, as its machine numbers it.
pub(crate) fn process_id(told: &str) -> Option<u32> {
    told.rsplit_once(' ')?.0.rsplit_once(' ')?.1.parse().ok()
}

/// Whether it was this process that said `told` of itself.
pub(crate) fn is_of_this_process(told: &str) -> bool {
    told.split_once(' ').is_some_and(|(_, process)| process == this_process())
}

/// What people call this machine.
pub(crate) fn host() -> String {
    let named = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = named.map(|name| name.trim().to_owned()).or_else(|| env::var("HOSTNAME").ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Whether the work that said `told` of itself is gone for certain: its process was one of this machine and this
/// space of ids, and is not there; or it was this process, and works on it no more. None when that cannot be seen
/// from here.
pub(crate) fn is_gone(told: &str) -> Option<bool> {
    if is_of_this_process(told) {
        return Some(!Work::all().contains(told));
    }
    let (rest, started_then) = told.rsplit_once(' ')?;
    let (space_then, id) = rest.rsplit_once(' ')?;
    let id = id.parse().ok()?;
    // Earlier versions put no number in front.
    let space_then = match space_then.split_once(' ') {
        Some((number, space)) if number.bytes().all(|byte| byte.is_ascii_digit()) => space,
        _ => space_then,
    };
    // Where processes of others are hidden, that one is not seen says nothing.
    started(1)?;
    (space()? == space_then).then(|| started(id).as_deref() != Some(started_then))
}

/// The machine since its start, and the space that its process ids are of.
fn space() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let ids = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), ids.display()))
}

/// When the process began, in the system's own count: field 22 of proc(5)'s `stat`, whose second, in
/// parentheses, may hold anything.
fn started(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace();
    // A process that ended and that nobody waited for is there in name only.
    let is_there = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| is_there).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_there_until_it_ends() {
        assert_eq!(is_gone(&this_process()), Some(false));
        let (work, other) = (Work::begin(), Work::begin());
        assert_ne!(work.told(), other.told());
        assert_eq!(process_id(work.told()), Some(process::id()));
        let told = work.told().to_owned();
        assert_eq!(is_gone(&told), Some(false));
        drop(work);
        assert_eq!((is_gone(&told), is_gone(other.told())), (Some(true), Some(false)));
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let told = format!("{} {} {}", space().unwrap(), child.id(), started(child.id()).unwrap());
        assert_eq!(is_gone(&told), Some(false));
        child.kill().unwrap();
        // Killed, it stays in name until it is waited for.
        while is_gone(&told) == Some(false) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(is_gone(&told), Some(true));
    }

    #[test]
    fn an_id_that_was_given_again_is_another_process() {
        let this = this_process();
        let (rest, started) = this.rsplit_once(' ').unwrap();
        assert_eq!(is_gone(&format!("{rest} {started}0")), Some(true));
    }

    #[test]
    fn nothing_is_known_of_processes_elsewhere() {
        let id = process::id();
        for told in ["", "unknown 7", &format!("another-boot pid:[1] {id} 1"), "a b c d"] {
            assert_eq!(is_gone(told), None, "{told}");
        }
    }
}
