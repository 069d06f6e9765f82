//! Who starts a run: a person, the scheduler, or an orchestrator.

use jiff::Timestamp;

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
        if std::env::var_os("AIRFLOW_CTX_DAG_ID").is_some() { Self::Airflow } else { Self::Hand }
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
}
