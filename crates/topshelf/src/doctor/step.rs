//! A step of the doctor's: what was tried, what came back, and what to do about it.

use crate::failure::Failure;
use miette::Diagnostic;
use serde::Serialize;
use std::{
    borrow::Cow,
    future::Future,
    time::{Duration, Instant},
};

/// How long a step may take: whoever has not answered by then does not.
pub(super) const STEP_TIME_MAX: Duration = Duration::from_secs(8);

/// The same of a step that lists what may be very many objects: a thousand come at a time.
pub(super) const LISTING_TIME_MAX: Duration = Duration::from_secs(60);

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// Well enough for a night, but somebody should know.
    Warning,
    /// A night needs it, and it does not work.
    Failed,
    /// Not tried: an earlier step failed, or there is nothing yet to try it on.
    Skipped,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What it is about, in a word or two.
    pub step: Cow<'static, str>,
    /// What was tried.
    pub tried: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What came back.
    pub answer: String,
    /// How long it took; none when it was not tried.
    pub elapsed_ms: Option<f64>,
    /// The most likely cause of a warning or a failure.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// The steps about one thing that a night needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// `configuration`, `input`, `database`, `lake`, `machine`; `cluster` and `webhook` where there is one.
    pub section: &'static str,
    /// Which one: a URL without its password.
    pub about: String,
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
}

/// Something to tell while the doctor is at work.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// A section begins; it has no steps yet.
    Section(&'a Section),
    /// A step was taken.
    Step(&'a Step),
}

/// Who is told.
pub(super) type Tell<'t> = &'t (dyn Fn(Told<'_>) + Sync);

/// What came back, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) text: String,
    pub(super) cause: Option<String>,
    pub(super) remedy: Option<String>,
}

/// A step's answer with what later steps need, or why they cannot be taken.
pub(super) type Tried<T> = Result<(Answer, T), Answer>;

impl Answer {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, text: text.into(), cause: None, remedy: None }
    }

    pub(super) fn warning(
        text: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (cause, remedy) = (Some(cause.into()), Some(remedy.into()));
        Self { outcome: Outcome::Warning, text: text.into(), cause, remedy }
    }

    pub(super) fn failed(
        text: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Failed, ..Self::warning(text, cause, remedy) }
    }

    pub(super) fn skipped(why: &str) -> Self {
        Self { outcome: Outcome::Skipped, ..Self::ok(format!("not tried: {why}")) }
    }

    /// A failure as the night would tell it; `cause` unless it knows a likelier one.
    pub(super) fn of(failure: &Failure, cause: &str) -> Self {
        let remedy = failure.help().map_or_else(|| "see what came back".to_owned(), |help| help.to_string());
        Self::failed(failure.chain(), cause, remedy)
    }

    /// The same, as a step that later ones need nothing of.
    pub(super) fn alone(self) -> Tried<()> {
        if self.outcome == Outcome::Failed { Err(self) } else { Ok((self, ())) }
    }
}

/// A section while its steps are taken.
pub(super) struct Examined<'t> {
    section: Section,
    /// The steps that are not taken yet.
    planned: Vec<&'static str>,
    tell: Tell<'t>,
    has_hung: bool,
}

impl<'t> Examined<'t> {
    /// Begins a section whose steps are these, in this order.
    pub(super) fn begin(
        name: &'static str,
        about: impl Into<String>,
        planned: impl Into<Vec<&'static str>>,
        tell: Tell<'t>,
    ) -> Self {
        let section = Section { section: name, about: about.into(), steps: Vec::new() };
        tell(Told::Section(&section));
        Self { section, planned: planned.into(), tell, has_hung: false }
    }

    /// Plans a step no more: there is nothing to take it on.
    pub(super) fn leave_out(&mut self, step: &str) {
        self.planned.retain(|planned| *planned != step);
    }

    /// Takes a planned step. None when it failed: then most later ones cannot be taken, and
    /// [`Examined::end`] says so of each.
    pub(super) async fn step<T: Send + 'static>(
        &mut self,
        step: &'static str,
        tried: impl Into<String>,
        work: impl Future<Output = Tried<T>> + Send + 'static,
    ) -> Option<T> {
        self.step_within(STEP_TIME_MAX, step, tried, work).await
    }

    /// The same of a step that may take so long.
    pub(super) async fn step_within<T: Send + 'static>(
        &mut self,
        limit: Duration,
        step: &'static str,
        tried: impl Into<String>,
        work: impl Future<Output = Tried<T>> + Send + 'static,
    ) -> Option<T> {
        let began = Instant::now();
        // In a task of its own, so that a file system that does not answer cannot hold up the doctor.
        let mut work = tokio::spawn(work);
        let ended = tokio::time::timeout(limit, &mut work).await;
        let (answer, value) = match ended {
            Ok(Ok(Ok((answer, value)))) => (answer, Some(value)),
            Ok(Ok(Err(answer))) => (answer, None),
            Ok(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {
                work.abort();
                self.has_hung = true;
                (no_answer(limit), None)
            }
        };
        self.add(step, tried.into(), answer, began.elapsed());
        value
    }

    fn add(&mut self, step: &'static str, tried: String, answer: Answer, elapsed: Duration) {
        let Answer { outcome, text, cause, remedy } = answer;
        let is_tried = outcome != Outcome::Skipped;
        let step = Step {
            step: step.into(),
            tried: if is_tried { tried } else { String::new() },
            outcome,
            answer: text,
            elapsed_ms: is_tried.then(|| (elapsed.as_secs_f64() * 1e5).round() / 100.),
            cause,
            remedy,
        };
        self.planned.retain(|planned| *planned != step.step);
        (self.tell)(Told::Step(&step));
        self.section.steps.push(step);
    }

    /// Ends the section; tells whether a step may still be at work somewhere.
    pub(super) fn end(mut self) -> (Section, bool) {
        let last = |outcome| self.section.steps.iter().rfind(|step| step.outcome == outcome);
        let failed = last(Outcome::Failed).or_else(|| last(Outcome::Warning));
        let why = failed.map_or_else(String::new, |failed| format!("{} failed", failed.step));
        for step in std::mem::take(&mut self.planned) {
            self.add(step, String::new(), Answer::skipped(&why), Duration::ZERO);
        }
        (self.section, self.has_hung)
    }
}

pub(super) fn no_answer(limit: Duration) -> Answer {
    Answer::failed(
        format!("no answer within {} s", limit.as_secs()),
        "whoever was asked is overloaded, or something on the way holds packets back",
        "try again; if it stays so, look at the server, and at proxies and firewalls between here and there",
    )
}
