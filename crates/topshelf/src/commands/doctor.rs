//! `doctor`: prints what was tried, step by step.

use super::{output::Output, stop};
use crate::{
    cli::{Global, OneDay},
    doctor::{self, Examination, Outcome, Section, Step, Told},
    failure::{Exit, Failure},
    halt::Halt,
};
use std::{
    fmt::Write,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// The column in which a step's text begins.
const NAME_WIDTH: usize = 15;

/// Looks at all that a night needs, and fails when something of it does not work.
pub(super) async fn doctor(flags: &OneDay, global: &Global, output: Output) -> Result<(), Failure> {
    let halt = Halt::new();
    stop::at_signal(halt.clone());
    let is_first = AtomicBool::new(true);
    let tell = |told: Told<'_>| {
        if output.is_for_people() {
            let text = match told {
                Told::Section(section) => heading(section, is_first.swap(false, Relaxed)),
                Told::Step(step) => step_text(step),
            };
            // Whoever cannot be told now is told of it when the examination ends.
            let _ = output.text(&text);
        }
    };
    let flags_of_keys = global.flags();
    let (examination, loaded) = tokio::select! {
        examined = doctor::examine(&flags_of_keys, flags.day, &tell) => examined,
        _ = halt.until_stopped() => {
            let failure = Failure::new(Exit::Failed, "the doctor was interrupted");
            return Err(match doctor::undo().await {
                Some(left) => failure.help(format!("{left} may be left in the lake: the next doctor deletes it")),
                None => failure.help("nothing is left behind"),
            });
        }
    };
    output.either(&examination, || summary(&examination))?;
    let ended = loaded.and_then(|()| verdict(&examination));
    if examination.has_hung {
        // Something does not answer, and nothing here can make it: waiting for it would take as long.
        let code = match &ended {
            Ok(()) => 0,
            Err(failure) => {
                let _: ExitCode = failure.report();
                i32::from(failure.exit.code())
            }
        };
        std::process::exit(code);
    }
    ended
}

fn heading(section: &Section, is_first: bool) -> String {
    let gap = if is_first { "" } else { "\n" };
    format!("{gap}{}  {}", section.section, section.about).trim_end_matches(' ').to_owned()
}

fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Ok => '✓',
        Outcome::Warning => '!',
        Outcome::Failed => '✗',
        Outcome::Skipped => '–',
    }
}

fn step_text(step: &Step) -> String {
    let mut text = format!("  {} {:<NAME_WIDTH$}", mark(step.outcome), step.step);
    if !step.tried.is_empty() {
        write!(text, "{} → ", step.tried).expect("a string takes any text");
    }
    text.push_str(&step.answer);
    if let Some(elapsed_ms) = step.elapsed_ms {
        write!(text, "  ({elapsed_ms:.1} ms)").expect("a string takes any text");
    }
    let indent = " ".repeat(NAME_WIDTH + 4);
    for (name, said) in [("cause", &step.cause), ("remedy", &step.remedy)] {
        if let Some(said) = said {
            write!(text, "\n{indent}{name}: {said}").expect("a string takes any text");
        }
    }
    text
}

fn summary(examination: &Examination) -> String {
    let doctor::Count { ok, warning, failed, skipped } = examination.steps;
    let seconds = f64::from(u32::try_from(examination.elapsed_ms).unwrap_or(u32::MAX)) / 1e3;
    let warnings = if warning == 1 { "warning" } else { "warnings" };
    format!("\n{ok} ok, {warning} {warnings}, {failed} failed, {skipped} not tried, in {seconds:.1} s")
}

fn verdict(examination: &Examination) -> Result<(), Failure> {
    let failed = examination.sections.iter().flat_map(|section| {
        let failed = section.steps.iter().filter(|step| step.outcome == Outcome::Failed);
        failed.map(|step| format!("{} of {}", step.step, section.section))
    });
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("a night would fail: {}", failed.join(", "));
    Err(Failure::new(Exit::Failed, message).help("cause and remedy stand beside each"))
}
