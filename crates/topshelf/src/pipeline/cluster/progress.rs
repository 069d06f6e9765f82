//! How a job on the cluster goes, told to whoever looks: a bar on a terminal, else a line of the log now and then.

use crate::progress::Progress;
use cluster::Seen;
use indicatif::ProgressBar;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};
use tracing::info;

/// Time from one line to the next.
const EVERY: Duration = Duration::from_mins(1);

/// What a stage does, by its number from 1.
pub(super) fn stage_name(stage: usize) -> &'static str {
    if stage == 1 { "count" } else { "add" }
}

/// A job as it is shown; its bar goes with it.
pub(super) struct ShownJob {
    progress: Progress,
    last: Mutex<Option<Last>>,
}

/// What was last shown.
struct Last {
    stage: usize,
    bar: ProgressBar,
    line: Line,
}

/// A line of the log.
#[derive(Clone, Copy)]
struct Line {
    stage: usize,
    is_done: bool,
    at: Instant,
}

impl ShownJob {
    pub(super) fn new(progress: &Progress) -> Self {
        Self { progress: progress.clone(), last: Mutex::new(None) }
    }

    /// Shows what was seen.
    pub(super) fn see(&self, seen: Seen) {
        let mut last = self.last.lock().expect("nobody panics while showing it");
        let now = Line { stage: seen.stage, is_done: seen.tasks_done == seen.tasks, at: Instant::now() };
        let before = last.take();
        let line = before.as_ref().map(|last| last.line);
        let bar = match before {
            Some(Last { stage, bar, .. }) if stage == seen.stage => bar,
            before => {
                before.inspect(|last| last.bar.finish_and_clear());
                let what = if stage_name(seen.stage) == "count" { "counting" } else { "adding" };
                self.progress.tasks(what, u64::from(seen.tasks))
            }
        };
        bar.set_position(u64::from(seen.tasks_done));
        let is_told = bar.is_hidden() && now.is_due(line);
        if is_told {
            tell(seen);
        }
        *last = Some(Last { stage: seen.stage, bar, line: if is_told { now } else { line.unwrap_or(now) } });
    }
}

impl Drop for ShownJob {
    fn drop(&mut self) {
        let last = self.last.get_mut().ok().and_then(Option::take);
        last.inspect(|last| last.bar.finish_and_clear());
    }
}

impl Line {
    /// Whether it is to be told after that one: of each stage that it began and that it is done, else once in a while.
    fn is_due(self, before: Option<Self>) -> bool {
        before.is_none_or(|before| {
            (self.stage, self.is_done) != (before.stage, before.is_done) || self.at - before.at >= EVERY
        })
    }
}

fn tell(seen: Seen) {
    let Seen { stage, tasks, tasks_done, tasks_running, executors, .. } = seen;
    info!(stage = stage_name(stage), tasks, tasks_done, tasks_running, executors, "the cluster is at work");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_of_each_stage_and_once_in_a_while() {
        let begun = Instant::now();
        let line =
            |stage, is_done, seconds| Line { stage, is_done, at: begun + Duration::from_secs(seconds) };
        let at_first = line(1, false, 0);
        assert!(at_first.is_due(None));
        assert!(!line(1, false, 59).is_due(Some(at_first)));
        assert!(line(1, false, 60).is_due(Some(at_first)));
        assert!(line(1, true, 1).is_due(Some(at_first)));
        assert!(line(2, false, 1).is_due(Some(at_first)));
        assert!(
            line(1, false, 3).is_due(Some(line(2, false, 2))),
            "a stage is done anew when its results were lost"
        );
        assert!(!line(2, true, 9).is_due(Some(line(2, true, 2))));
    }
}
