//! The runs of one contender, and what they come to.

use super::{
    contender::Contender,
    measure::{Usage, Used},
    seconds,
};
use std::time::Duration;

/// The runs of one contender.
pub(super) struct Runs {
    pub(super) contender: Contender,
    good: Vec<Used>,
    /// Its wall time ÷ that of our run right before.
    ratios: Vec<f64>,
    /// Why there is no other run, when something went wrong.
    pub(super) problem: Option<Problem>,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Problem {
    /// The answer is not the one that the others gave.
    Differs,
    /// The run was killed or failed.
    Stopped(Usage),
}

impl Runs {
    pub(super) fn new(contender: Contender) -> Self {
        Self { contender, good: Vec::new(), ratios: Vec::new(), problem: None }
    }

    /// Adds a run and whether its answer is right; what it took when all is well.
    pub(super) fn add(&mut self, usage: Usage, has_right_answer: bool) -> Option<Used> {
        match usage {
            Usage::Done(used) if has_right_answer => {
                self.good.push(used);
                return Some(used);
            }
            Usage::Done(_) => self.problem = Some(Problem::Differs),
            Usage::GivenUp(_) | Usage::Failed => self.problem = Some(Problem::Stopped(usage)),
        }
        None
    }

    /// Compares a run of this contender with ours right before it.
    pub(super) fn pair(&mut self, ours: Used, theirs: Used) {
        self.ratios.push(seconds(theirs.wall) / seconds(ours.wall));
    }

    /// Whether another run makes sense, of `wanted` altogether: one that takes longer than `patience` is
    /// run once.
    pub(super) fn goes_on(&self, wanted: u32, patience: Duration) -> bool {
        let is_slow = self.good.first().is_some_and(|first| first.wall > patience);
        self.problem.is_none() && !is_slow && self.count() < wanted as usize
    }

    /// How many runs there were with the right answer.
    pub(super) fn count(&self) -> usize {
        self.good.len()
    }

    /// What a run took, when all of them gave the right answer.
    pub(super) fn median(&self) -> Option<Used> {
        if self.problem.is_some() { None } else { Used::median(&self.good) }
    }

    /// The lowest of the ratios to our runs.
    pub(super) fn lowest_ratio(&self) -> Option<f64> {
        self.ratios.iter().copied().reduce(f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contender::Peer;

    fn used(wall_s: u64) -> Used {
        let wall = Duration::from_secs(wall_s);
        Used { wall, cpu: 2 * wall, memory_bytes: wall_s * 1_000 }
    }

    fn runs_of(walls_s: &[u64]) -> Runs {
        let mut runs = Runs::new(Contender::Peer(Peer::DuckDb));
        for wall_s in walls_s {
            assert_eq!(runs.add(Usage::Done(used(*wall_s)), true), Some(used(*wall_s)));
        }
        runs
    }

    #[test]
    fn each_measure_has_its_own_median() {
        let mut runs = runs_of(&[40, 10]);
        runs.add(Usage::Done(Used { memory_bytes: 1, ..used(20) }), true);
        let median = runs.median().unwrap();
        assert_eq!(median, Used { memory_bytes: 10_000, ..used(20) });
    }

    #[test]
    fn ratios_are_of_neighbouring_runs() {
        let mut runs = runs_of(&[]);
        assert_eq!(runs.lowest_ratio(), None);
        for (ours, theirs) in [(2, 10), (1, 3), (4, 16)] {
            runs.pair(used(ours), used(theirs));
        }
        assert_eq!(runs.lowest_ratio(), Some(3.0));
    }

    #[test]
    fn a_contender_runs_until_it_has_enough_or_is_slow_or_wrong() {
        let patience = Duration::from_secs(60);
        assert!(runs_of(&[]).goes_on(2, patience));
        assert!(runs_of(&[60]).goes_on(2, patience));
        assert!(!runs_of(&[10, 10]).goes_on(2, patience));
        assert!(!runs_of(&[61]).goes_on(2, patience));
        for (usage, is_right) in [(Usage::Done(used(1)), false), (Usage::Failed, true)] {
            let mut runs = runs_of(&[1]);
            assert_eq!(runs.add(usage, is_right), None);
            assert!(!runs.goes_on(9, patience));
            assert_eq!(runs.median(), None);
        }
    }
}
