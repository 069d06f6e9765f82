//! A trial: a night to which something happens, and what became of it.

use super::{
    fault::Fault,
    group::Group,
    interrupt::Interrupt,
    network::{Network, Place},
    scene::{Left, Scene},
};
use crate::Failure;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What a night that fails must name, one of them at least.
const NAMED: [&str; 4] = ["cluster", "scheduler", "executor", "job "];

/// How a trial went.
pub(super) struct Trial {
    pub(super) outcome: Outcome,
    /// How long the night took, and the second one where there was need of it.
    pub(super) took: Vec<Duration>,
    /// Whether anything had happened before the night was over.
    pub(super) was_hit: bool,
}

/// What became of the night.
pub(super) enum Outcome {
    /// What one machine makes, byte for byte.
    Exact,
    /// It failed and said so, and the lake was as before; a second one was exact.
    Told(String),
    /// It was ended itself; a second one was exact.
    Ended(String),
    /// What must never be.
    Wrong(String),
}

/// What trials need.
pub(super) struct Stage<'s> {
    pub(super) program: &'s Path,
    pub(super) scene: &'s Scene,
    pub(super) network: &'s Network,
    pub(super) interrupt: &'s Interrupt,
    /// What one machine makes of the day.
    pub(super) alone: &'s Left,
    /// What was there before.
    pub(super) before: &'s Left,
    /// How long a job may take, in seconds.
    pub(super) deadline: u64,
}

/// How a night ended.
struct Ended {
    exit: i32,
    said: String,
    took: Duration,
}

impl Stage<'_> {
    /// Runs a trial; what its processes say is in the folder of that name.
    pub(super) fn run(&self, name: &str, fault: &Fault) -> Result<Trial, Failure> {
        let folder = self.scene.folder(name)?;
        let mut group = Group::start(self.program, folder, self.network, self.interrupt, fault)?;
        let places: Vec<_> = (1..=fault.nights)
            .map(|number| Ok((Place::Night(number), self.scene.place(&format!("{name}/place-{number}"))?)))
            .collect::<Result<_, Failure>>()?;
        let (ended, was_hit) = self.nights(&mut group, &places, fault)?;
        let mut trial = Trial { outcome: Outcome::Exact, took: Vec::new(), was_hit };
        for ((night, place), ended) in places.iter().zip(ended) {
            let Some(Ended { exit, said, took }) = ended else {
                trial.outcome = Outcome::Wrong("the night never ended".to_owned());
                return Ok(trial);
            };
            trial.took.push(took);
            trial.outcome = self.judge(place, exit, &said)?;
            if matches!(trial.outcome, Outcome::Exact | Outcome::Wrong(_)) {
                continue;
            }
            group.make_room();
            group.mend()?;
            self.second(&mut group, (*night, place), &mut trial)?;
        }
        Ok(trial)
    }

    /// Counts the nights while the fault happens; none of those that never end.
    fn nights(
        &self,
        group: &mut Group<'_>,
        places: &[(Place, PathBuf)],
        fault: &Fault,
    ) -> Result<(Vec<Option<Ended>>, bool), Failure> {
        for (night, place) in places {
            group.begin(*night, &self.scene.night(place, &Group::scheduler()), self.deadline)?;
        }
        let (begun, mut acts) = (Instant::now(), fault.acts.iter().peekable());
        let mut ended: Vec<Option<Ended>> = places.iter().map(|_| None).collect();
        while ended.iter().any(Option::is_none) && begun.elapsed() < self.patience() {
            while let Some((_, act)) = acts.next_if(|(at, _)| begun.elapsed() >= *at) {
                group.act(act)?;
            }
            for ((night, _), ended) in places.iter().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
                *ended = group.ended(*night)?.map(|exit| Ended {
                    exit,
                    said: group.said(*night),
                    took: begun.elapsed(),
                });
            }
            self.interrupt.pause()?;
        }
        Ok((ended, fault.acts.is_empty() || acts.len() < fault.acts.len()))
    }

    /// Two jobs may end at their deadline, a scheduler is awaited for a minute between them, and what is before and after
    /// takes a while.
    fn patience(&self) -> Duration {
        Duration::from_secs(2 * self.deadline + 120)
    }

    /// What became of a night, the second one apart.
    fn judge(&self, place: &Path, exit: i32, said: &str) -> Result<Outcome, Failure> {
        let runs = self.scene.runs(place)?;
        let (status, noted) =
            runs.first().map(|run| (run.status.as_str(), run.error.as_str())).unwrap_or_default();
        if exit == 0 {
            return Ok(
                compare(&self.scene.left(place)?, self.alone, "").map_or(Outcome::Exact, Outcome::Wrong)
            );
        }
        if exit > 128 {
            let noted = if runs.is_empty() { "before its run began".to_owned() } else { ledger_says(status) };
            return Ok(Outcome::Ended(noted));
        }
        let mut left = self.scene.left(place)?;
        let unnamed = take_unnamed(&mut left, self.before);
        let unnamed = if unnamed == 0 { String::new() } else { format!(" [{unnamed} objects unnamed]") };
        let why = reason(said);
        let problem = match status {
            "failed" | "stopped" if noted.is_empty() => Some("the ledger does not say why".to_owned()),
            "failed" | "stopped" => compare(&left, self.before, "after a night that failed "),
            _ => Some(format!("the night failed, and {}", ledger_says(status))),
        };
        let is_told = status == "stopped" || NAMED.iter().any(|name| why.contains(name));
        Ok(match problem {
            Some(problem) => Outcome::Wrong(problem),
            None if exit != 1 || !is_told => Outcome::Wrong(format!("exit code {exit}, and it says {why:?}")),
            None if status == "stopped" => Outcome::Ended(format!("{}{unnamed}", ledger_says(status))),
            None => Outcome::Told(format!("{why}{unnamed}")),
        })
    }

    /// The night once more, which must be exact.
    fn second(
        &self,
        group: &mut Group<'_>,
        (night, place): (Place, &Path),
        trial: &mut Trial,
    ) -> Result<(), Failure> {
        let again = [(night, place.to_owned())];
        let (ended, _) = self.nights(group, &again, &Fault::none(1))?;
        let problem = match ended.first() {
            Some(Some(Ended { exit: 0, took, .. })) => {
                trial.took.push(*took);
                compare(&self.scene.left(place)?, self.alone, "after a second night ")
            }
            Some(Some(Ended { exit, said, .. })) => {
                Some(format!("the second night ended with {exit}: {said}"))
            }
            _ => Some("the second night never ended".to_owned()),
        };
        let is_open = self.scene.runs(place)?.iter().any(|run| run.status == "running");
        let problem = problem.or_else(|| is_open.then(|| "a run of the ledger is open".to_owned()));
        if let Some(problem) = problem {
            trial.outcome = Outcome::Wrong(problem);
        }
        Ok(())
    }
}

/// Takes out what executors have put in the lake for a night that did not come to its end, and says how many objects:
/// no manifest names them, and the next night of the day takes or removes them.
fn take_unnamed(left: &mut Left, before: &Left) -> usize {
    let all = left.lake.len();
    let is_counts = |name: &Path| name.to_string_lossy().contains("/counts-");
    left.lake.retain(|name, _| before.lake.contains_key(name) || !is_counts(name));
    all - left.lake.len()
}

/// What is not as it should be.
fn compare(left: &Left, right: &Left, when: &str) -> Option<String> {
    let missing = right.lake.keys().filter(|name| !left.lake.contains_key(*name));
    let too_many = left.lake.keys().filter(|name| !right.lake.contains_key(*name));
    let is_other =
        |(name, content): &(&PathBuf, &Vec<u8>)| right.lake.get(*name).is_some_and(|right| right != *content);
    let mut problems: Vec<String> = Vec::new();
    problems.extend(missing.map(|name| format!("{} is missing", name.display())));
    problems.extend(too_many.map(|name| format!("{} is left over", name.display())));
    problems
        .extend(left.lake.iter().filter(is_other).map(|(name, _)| format!("{} is another", name.display())));
    if left.rankings != right.rankings {
        problems.push("the rankings are others".to_owned());
    }
    (!problems.is_empty()).then(|| format!("{when}{}", problems.join(", ")))
}

fn ledger_says(status: &str) -> String {
    format!("the ledger says {status:?}")
}

/// Why a night failed, in one line of what it said.
fn reason(said: &str) -> String {
    let error = said.lines().skip_while(|line| !line.trim_start().starts_with('×'));
    let error = error.take_while(|line| !line.trim_start().starts_with("help:"));
    let words = error
        .flat_map(|line| line.trim_start_matches([' ', '×', '│', '├', '╰', '─', '▶']).split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_what_stands_between_the_cross_and_the_help() {
        let said = " WARN trying again\n  × no scheduler answers\n  │ at 10.77.0.1\n  ├─▶ transport error\n  ╰─▶ refused\n  help: is it\n";
        assert_eq!(reason(said), "no scheduler answers at 10.77.0.1 transport error refused");
        assert_eq!(reason("killed"), "");
    }
}
