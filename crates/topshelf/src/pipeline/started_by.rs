//! Who starts a run: a person, the scheduler, or an orchestrator.

use jiff::Timestamp;
use std::env;

/// Names what calls a command: which workflow of an orchestrator, and which run of that. Only the ledger has it.
const ORCHESTRATOR: &str = "TOPSHELF_ORCHESTRATOR";

/// The longest such name; what is beyond is cut.
const ORCHESTRATOR_CHARS_MAX: usize = 500;

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedBy {
    /// A person or a script.
    Hand,
    /// The built-in scheduler, for this moment of its schedule.
    Schedule(Timestamp),
    /// The built-in scheduler, to add what has come late.
    Refresh,
    /// An Airflow task.
    Airflow,
}

impl StartedBy {
    /// A command's starter: Airflow says so in the environment of its tasks.
    #[must_use]
    pub fn of_environment() -> Self {
        if env::var_os("AIRFLOW_CTX_DAG_ID").is_some() { Self::Airflow } else { Self::Hand }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Schedule(_) => "schedule",
            Self::Refresh => "refresh",
            Self::Airflow => "airflow",
        }
    }

    pub(super) fn due_at(self) -> Option<Timestamp> {
        if let Self::Schedule(due_at) = self { Some(due_at) } else { None }
    }

    /// What the environment of a command says of its caller; of what the scheduler starts, nobody is.
    pub(super) fn orchestrator(self) -> Option<String> {
        match self {
            Self::Hand | Self::Airflow => {
                env::var_os(ORCHESTRATOR).and_then(|text| named(&text.to_string_lossy()))
            }
            Self::Schedule(_) | Self::Refresh => None,
        }
    }
}

/// The name as the ledger keeps it: on one line, and not too long.
fn named(text: &str) -> Option<String> {
    let text = text.trim();
    let shown = |char: char| if char.is_control() { '\u{FFFD}' } else { char };
    (!text.is_empty()).then(|| text.chars().take(ORCHESTRATOR_CHARS_MAX).map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orchestrators_name_is_one_line_of_bounded_length() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(named(text).as_deref(), expected);
        check(" airflow: dag topshelf, run 7\n", Some("airflow: dag topshelf, run 7"));
        check("a\tb\nc\u{1b}[31md\0", Some("a\u{FFFD}b\u{FFFD}c\u{FFFD}[31md\u{FFFD}"));
        check(" \n", None);
        check(&"ü".repeat(501), Some(&"ü".repeat(500)));
    }
}
