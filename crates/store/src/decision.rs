//! Whether a publication moves anything: a pure decision over what the database says.

use crate::{
    columns::from_columns,
    content::Content,
    error::{Failure, StoreError},
    ledger,
};
use domain::RunId;

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// Readers now see the run's rankings.
    Moved,
    /// Readers saw exactly this already; nothing moved.
    Unchanged {
        /// The run they see, and keep seeing.
        published_run: RunId,
    },
}

/// The run that publishes, as the ledger has it.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) day: String,
    pub(crate) status: String,
    pub(crate) rankings_digest: Option<String>,
}

from_columns!(RunState { day, status, rankings_digest });

/// The day's last move, and how many of the day's rows still say the same.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) run_id: String,
    pub(crate) rankings_digest: Option<String>,
    pub(crate) rows: i64,
    pub(crate) rows_of_run: i64,
}

from_columns!(Standing { run_id, rankings_digest, rows, rows_of_run });

/// Decides what publishing `content` as `run_id` shall do.
pub(crate) fn decide(
    run_id: &RunId,
    run: Option<RunState>,
    standing: Option<Standing>,
    content: &Content<'_>,
) -> Result<Publication, Failure> {
    let run = run.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
    let (run_day, day) = (ledger::day(&run.day)?, content.rankings().day);
    if run.status != "running" {
        return Err(StoreError::RunEnded { run_id: run_id.clone(), status: run.status }.into());
    }
    if run_day != day {
        return Err(StoreError::RunOfOtherDay { run_id: run_id.clone(), run_day, day }.into());
    }
    if let Some(standing) = standing.filter(|standing| standing.shows(content)) {
        return Ok(Publication::Unchanged { published_run: ledger::run_id(&standing.run_id)? });
    }
    if run.rankings_digest.is_some() {
        return Err(StoreError::RunPublished { run_id: run_id.clone() }.into());
    }
    Ok(Publication::Moved)
}

impl Standing {
    /// Whether readers of the day see exactly `content`, all of it from one run.
    fn shows(&self, content: &Content<'_>) -> bool {
        let active = i64::try_from(content.rankings().active.len());
        self.rankings_digest.as_ref() == Some(&content.digest())
            && active == Ok(self.rows)
            && self.rows == self.rows_of_run
    }
}
