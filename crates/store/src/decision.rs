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
        /// Whether the rest is held back, as it was before.
        is_held: bool,
    },
    /// All of it is held back; readers see what they saw before.
    Held {
        /// The run that waits to be accepted: this one, or an earlier one that made the same.
        waiting_run: RunId,
    },
}

/// The run that publishes, as the ledger has it.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) day: String,
    pub(crate) status: String,
    pub(crate) rankings_digest: Option<String>,
    pub(crate) rankings_run_id: Option<String>,
    /// How often publishing it has moved what readers see.
    pub(crate) moves: i64,
}

from_columns!(RunState { day, status, rankings_digest, rankings_run_id, moves });

/// The day's last move, and how many of the day's rows still say the same.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) run_id: String,
    pub(crate) rankings_digest: Option<String>,
    pub(crate) rows: i64,
    pub(crate) rows_of_run: i64,
}

from_columns!(Standing { run_id, rankings_digest, rows, rows_of_run });

/// What checks of the day's last run hold.
#[derive(Debug, Default)]
pub(crate) struct StandingHolds {
    /// Whom, and by which check, in byte order.
    pub(crate) names: Vec<(String, String)>,
    /// The run that is held for all, when it made the same as the one that publishes.
    pub(crate) waiting_run: Option<String>,
}

/// Decides what publishing `content` as `run_id` shall do, or has done when the run has published it before: its
/// publisher did not hear so.
pub(crate) fn decide(
    run_id: &RunId,
    run: Option<RunState>,
    standing: Option<Standing>,
    holds: &StandingHolds,
    content: &Content<'_>,
) -> Result<Publication, Failure> {
    let run = run.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
    let (run_day, day) = (ledger::day(&run.day)?, content.rankings().day);
    if run.has_published(content) {
        return run.done(run_id, standing.is_some_and(|standing| standing.shows(content)), content);
    }
    if run.status != "running" {
        return Err(StoreError::RunEnded { run_id: run_id.clone(), status: run.status }.into());
    }
    if run_day != day {
        return Err(StoreError::RunOfOtherDay { run_id: run_id.clone(), run_day, day }.into());
    }
    let is_held_alike = holds.names == content.holds().names();
    if let Some(standing) = standing {
        let is_whole = standing.shows(content);
        if is_whole || (is_held_alike && standing.shows_rest(content)) {
            let published_run = ledger::run_id(&standing.run_id)?;
            return Ok(Publication::Unchanged { published_run, is_held: !is_whole });
        }
    }
    if run.rankings_digest.is_some() {
        return Err(StoreError::RunPublished { run_id: run_id.clone() }.into());
    }
    if content.holds().all.is_none() {
        return Ok(Publication::Moved);
    }
    let waiting = holds.waiting_run.as_deref().filter(|_| is_held_alike).map(ledger::run_id).transpose()?;
    Ok(Publication::Held { waiting_run: waiting.unwrap_or_else(|| run_id.clone()) })
}

impl RunState {
    /// Whether the run has published exactly the content.
    pub(crate) fn has_published(&self, content: &Content<'_>) -> bool {
        self.rankings_digest.as_ref() == Some(&content.digest())
    }

    /// What publishing the content has done; `is_whole` says whether readers see all of it now.
    fn done(&self, run_id: &RunId, is_whole: bool, content: &Content<'_>) -> Result<Publication, Failure> {
        let of_whom = self.rankings_run_id.as_deref().map(ledger::run_id).transpose()?;
        let of_whom = of_whom.unwrap_or_else(|| run_id.clone());
        if of_whom == *run_id && self.moves > 0 {
            return Ok(Publication::Moved);
        }
        if of_whom == *run_id || (content.holds().all.is_some() && !is_whole) {
            return Ok(Publication::Held { waiting_run: of_whom });
        }
        Ok(Publication::Unchanged { published_run: of_whom, is_held: !is_whole })
    }
}

impl Standing {
    /// Whether readers of the day see exactly `content`, all of it from one run: perhaps because someone has
    /// accepted it already.
    fn shows(&self, content: &Content<'_>) -> bool {
        let active = i64::try_from(content.rankings().active.len());
        self.is_of(content) && active == Ok(self.rows) && self.rows == self.rows_of_run
    }

    /// Whether they see all that is not held back.
    fn shows_rest(&self, content: &Content<'_>) -> bool {
        let seen = i64::try_from(content.seen().count());
        self.is_of(content) && content.holds().all.is_none() && seen == Ok(self.rows_of_run)
    }

    fn is_of(&self, content: &Content<'_>) -> bool {
        self.rankings_digest.as_ref() == Some(&content.digest())
    }
}
