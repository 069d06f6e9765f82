//! Publications and the ledger of runs, on PostgreSQL 13+ and SQLite.
//!
//! Runs begin, publish the rankings of their day in one transaction, and end; what is published comes
//! back out as one consistent copy. Both databases keep the same tables and give the same answers.
//!
//! Never here: computing or judging rankings, deciding which run to publish, caching what was read.

mod backend;
mod columns;
mod content;
mod decision;
mod error;
mod history;
mod holds;
mod ledger;
mod migrations;
mod moves;
mod postgres;
pub mod probe;
mod published;
mod sqlite;
mod time;
mod timeline;
mod watch;

use backend::{Backend, read};
use content::Content;
use domain::{AdvertiserId, Counts, Day, DayRankings, ModelName, RunId};
use error::Failure;
use jiff::Timestamp;
use std::{fmt, time::Duration};

pub use content::NewPublication;
pub use decision::Publication;
pub use error::StoreError;
pub use history::{LastRankings, TotalsOfDay};
pub use holds::{Hold, Holds};
pub use ledger::{NewRun, Outcome, RunEnd, RunRecord, RunStatus, UnderWay};
pub use moves::{Back, Decision, Move, MovedBack, TAKEN_BACK};
pub use published::{Pin, Published, PublishedAdvertiser, PublishedDay, PublishedHold};
pub use watch::Watch;

/// A database of publications and runs. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
}

impl Store {
    /// Opens `sqlite:PATH` (the file and its folder are created) or `postgres://USER@HOST:PORT/DATABASE`
    /// with the parameters of libpq that sqlx knows (`sslmode`, `sslrootcert`, …).
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Folder`], or [`StoreError::Connect`] after at most ten seconds.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { backend: Backend::open(url).await? })
    }

    /// Opens a database that is there, as [`Store::open`] does: a mistyped path makes no empty file.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when no SQLite file is there; else as [`Store::open`].
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        Ok(Self { backend: Backend::open_existing(url).await? })
    }

    /// The database in messages: its URL without password or parameters.
    #[must_use]
    pub fn description(&self) -> &str {
        self.backend.description()
    }

    /// Creates the tables and views or brings them up to date. Several processes may do so at once; a
    /// database that a newer version has migrated is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Migrate`], for example when the role may not create tables and some are missing.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.backend.migrate().await
    }

    /// Enters a run in the ledger.
    ///
    /// # Errors
    /// [`StoreError::RunExists`]; [`StoreError::Sql`] when the database fails.
    pub async fn begin_run(&self, run: &NewRun) -> Result<(), StoreError> {
        let begun = self.backend.begin_run(run).await;
        begun.map_err(|failure| self.error(failure, || format!("begin run {}", run.run_id)))
    }

    /// Says that the runs of the process are still under way.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn sign_of_life(&self, process: &str) -> Result<(), StoreError> {
        let said = self.backend.sign_of_life(process).await;
        said.map_err(|failure| self.error(failure, || "say that a run is under way".into()))
    }

    /// The runs that have not ended, as far as the ledger knows: their process may be gone.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn under_way(&self) -> Result<Vec<UnderWay>, StoreError> {
        let runs = read(self.backend.under_way().await);
        runs.map_err(|failure| self.error(failure, || "read the runs under way".into()))
    }

    /// Ends a run whose process is gone, unless it has given a sign of life meanwhile or has ended; whether
    /// it did end it.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn end_dead_run(&self, run: &UnderWay, end: &RunEnd) -> Result<bool, StoreError> {
        let ended = self.backend.end_dead_run(run, end).await;
        ended.map_err(|failure| self.error(failure, || format!("end run {}", run.run.run_id)))
    }

    /// Ends a run; from then on nothing about it changes.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`], [`StoreError::RunEnded`]; [`StoreError::Sql`] when the database fails.
    pub async fn end_run(&self, run_id: &RunId, end: &RunEnd) -> Result<(), StoreError> {
        let ended = self.backend.end_run(run_id, end).await;
        ended.map_err(|failure| self.error(failure, || format!("end run {run_id}")))
    }

    /// Makes readers see what is `new` from now on, in one transaction, as far as it is not held back, unless
    /// they see exactly that already: then nothing moves, and only the ledger learns that the run came to the
    /// same. What is held back is kept, to be accepted or not: see [`Store::accept`]. What someone has taken back
    /// is held back when it comes again, and what someone has accepted is not; so returns also what is held in
    /// the end. Publications of one day take turns.
    ///
    /// # Errors
    /// When the run is unknown, has ended, is of another day or has published; when the rankings could
    /// not be given back as they are; [`StoreError::Sql`] when the database fails. Readers then see what
    /// they saw before.
    pub async fn publish(
        &self,
        run_id: &RunId,
        new: NewPublication<'_>,
        published_at: Timestamp,
    ) -> Result<(Publication, Holds), StoreError> {
        let (content, day) = (Content::new(new)?, new.rankings.day);
        let published = self.backend.publish(run_id, content, published_at).await;
        published.map_err(|failure| self.error(failure, || format!("publish {day} of run {run_id}")))
    }

    /// Makes readers see what was held back of a run, of one advertiser or of all, in one transaction. What was
    /// taken back comes back as they saw it: what checks had held of it then is held again. Returns of how many
    /// advertisers they see it now.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`]; [`StoreError::NothingHeld`] when none of it is held back, or a later run
    /// of the day has taken its place; [`StoreError::Sql`] when the database fails.
    pub async fn accept(&self, run_id: &RunId, decision: Decision<'_>) -> Result<u64, StoreError> {
        let accepted = self.backend.accept(run_id, decision).await;
        accepted.map_err(|failure| self.error(failure, || format!("accept run {run_id}")))
    }

    /// Takes readers back to what they saw before, of a day or of one advertiser on it, in one transaction. What
    /// they saw is held back from then on, also when another run makes the same, until they have seen it again.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`], [`StoreError::NothingSeen`], [`StoreError::NeverSeen`],
    /// [`StoreError::SeenAlready`], [`StoreError::NotKept`]; [`StoreError::Sql`] when the database fails.
    pub async fn roll_back(&self, back: Back<'_>, decision: Decision<'_>) -> Result<MovedBack, StoreError> {
        let moved = self.backend.roll_back(back, decision).await;
        moved.map_err(|failure| self.error(failure, || "take readers back".into()))
    }

    /// Undoes the last rollback, of `day` or of any, in one transaction: what was seen and held back before is
    /// again. Once something else has come to the day, its rollback cannot be undone.
    ///
    /// # Errors
    /// [`StoreError::NothingToUndo`], [`StoreError::NotKept`]; [`StoreError::Sql`] when the database fails.
    pub async fn undo_rollback(
        &self,
        day: Option<Day>,
        reason: &str,
        at: Timestamp,
    ) -> Result<MovedBack, StoreError> {
        let moved = self.backend.undo_rollback(day, reason, at).await;
        moved.map_err(|failure| self.error(failure, || "undo a rollback".into()))
    }

    /// Keeps readers of the advertiser at a run that they have seen of it, whatever is published later. Returns the
    /// run whose rankings those are: this one, or an earlier that made the same.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`], [`StoreError::NeverSeen`]; [`StoreError::Sql`] when the database fails.
    pub async fn pin(
        &self,
        run_id: &RunId,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, StoreError> {
        let pinned = self.backend.pin(run_id, advertiser, decision).await;
        pinned.map_err(|failure| self.error(failure, || format!("pin {advertiser:?}")))
    }

    /// Lets readers of the advertiser see what is published again. Returns the run that it was pinned to.
    ///
    /// # Errors
    /// [`StoreError::NotPinned`]; [`StoreError::Sql`] when the database fails.
    pub async fn unpin(
        &self,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, StoreError> {
        let unpinned = self.backend.unpin(advertiser, decision).await;
        unpinned.map_err(|failure| self.error(failure, || format!("unpin {advertiser:?}")))
    }

    /// The days before `before` of which there is anything but the ledger, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn days_to_trim(&self, before: Day) -> Result<Vec<Day>, StoreError> {
        let days = read(self.backend.days_to_trim(before).await);
        days.map_err(|failure| self.error(failure, || format!("read which days before {before} there are")))
    }

    /// Deletes what there is of a day but the ledger, and but for what readers see last: the rankings of
    /// advertisers that are pinned to it, or are held back since. Readers lose the day in one transaction; all
    /// else is deleted in small ones, and what is broken off is gone on with the next time. Returns how many rows
    /// were deleted.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn trim_day(&self, day: Day, at: Timestamp) -> Result<u64, StoreError> {
        let rows = self.backend.trim_day(day, at).await;
        rows.map_err(|failure| self.error(failure, || format!("delete what is kept of {day}")))
    }

    /// Who is pinned, in byte order.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        let pins = read(self.backend.pins().await);
        pins.map_err(|failure| self.error(failure, || "read who is pinned".into()))
    }

    /// What changed what readers see, newest first, of one day or of all.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn moves(&self, limit: usize, day: Option<Day>) -> Result<Vec<Move>, StoreError> {
        let moves = read(self.backend.moves(limit, day).await);
        moves.map_err(|failure| self.error(failure, || "read what changed what readers see".into()))
    }

    /// What readers see of a day; none when they see nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn rankings_of_day(&self, day: Day) -> Result<Option<DayRankings>, StoreError> {
        let rankings = read(self.backend.rankings_of_day(day).await);
        rankings.map_err(|failure| self.error(failure, || format!("read the rankings of {day}")))
    }

    /// What a run made, also what is held back of it; none when it made nothing or is unknown.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn rankings_of_run(&self, run_id: &RunId) -> Result<Option<DayRankings>, StoreError> {
        let rankings = read(self.backend.rankings_of_run(run_id).await);
        rankings.map_err(|failure| self.error(failure, || format!("read the rankings of run {run_id}")))
    }

    /// The days before `day` of which readers see something, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn days_before(&self, day: Day, limit: usize) -> Result<Vec<Day>, StoreError> {
        let days = self.backend.days_before(day, limit).await;
        days.map_err(|failure| self.error(failure, || format!("read which days before {day} are published")))
    }

    /// What the runs counted whose rankings of the day readers see.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn totals(&self, day: Day) -> Result<TotalsOfDay, StoreError> {
        let totals = self.backend.totals(day).await;
        totals.map_err(|failure| self.error(failure, || format!("read what was counted of {day}")))
    }

    /// What the runs counted of the advertiser whose rankings of it readers see: of the last published days
    /// before a day on which they do, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn totals_of(
        &self,
        advertiser: &AdvertiserId,
        before: Day,
        limit: usize,
    ) -> Result<Vec<Counts>, StoreError> {
        let totals = self.backend.totals_of(advertiser, before, limit).await;
        totals.map_err(|failure| self.error(failure, || format!("read what was counted of {advertiser:?}")))
    }

    /// The products by the model that readers see last of each advertiser, of `day` or one of the 60 days before.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn last_rankings(&self, day: Day, model: &ModelName) -> Result<LastRankings, StoreError> {
        let rankings = self.backend.last_rankings(day, model).await;
        rankings.map_err(|failure| self.error(failure, || format!("read the last rankings by {model}")))
    }

    /// The newest runs, newest first, of one day or of all. None before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn runs(&self, limit: usize, day: Option<Day>) -> Result<Vec<RunRecord>, StoreError> {
        let runs = read(self.backend.runs(limit, day).await);
        runs.map_err(|failure| self.error(failure, || "read the runs".into()))
    }

    /// A run of the ledger.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn run(&self, run_id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let run = read(self.backend.run(run_id).await);
        run.map_err(|failure| self.error(failure, || format!("read run {run_id}")))
    }

    /// What is published of the `days_max` newest published days, as of one moment. Nothing before the
    /// first migration.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn published(&self, days_max: usize) -> Result<Published, StoreError> {
        let published = read(self.backend.published(days_max).await);
        published.map_err(|failure| self.error(failure, || "read what is published".into()))
    }

    /// Grows with every publication that moved; 0 before any.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub async fn publication_version(&self) -> Result<i64, StoreError> {
        let version = read(self.backend.publication_version().await);
        version.map_err(|failure| self.error(failure, || "read the version of what is published".into()))
    }

    /// Watches for publications: told of them at once by PostgreSQL, and asking every `poll` besides.
    #[must_use]
    pub fn watch(&self, poll: Duration) -> Watch {
        Watch::new(self.clone(), poll)
    }

    fn error(&self, failure: Failure, operation: impl FnOnce() -> String) -> StoreError {
        let database = self.description().to_owned();
        if failure.is_missing_column() {
            return StoreError::Older { database };
        }
        match failure {
            Failure::Sql(source) => StoreError::Sql { operation: operation(), database, source },
            Failure::Corrupt(what) => StoreError::Corrupt { database, what },
            Failure::Refused(error) => error,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.description())
    }
}
