//! Publications, the ledger of runs and the API's keys, on PostgreSQL 13+ and SQLite.
//!
//! Runs begin, publish the rankings of their day in one transaction, and end; what is published comes
//! back out as one consistent copy. Keys are made and revoked, and come back out as they are. Both databases keep the
//! same tables and give the same answers.
//!
//! Never here: computing or judging rankings, deciding which run to publish, caching what was read.

mod backend;
mod columns;
mod content;
mod decision;
mod error;
mod grants;
mod history;
mod holds;
mod keys;
mod ledger;
mod login;
mod migrations;
mod moves;
mod packed;
mod patience;
mod postgres;
pub mod probe;
mod published;
mod sqlite;
mod time;
mod timeline;
mod transient;
mod trouble;
mod watch;

use backend::{Backend, read};
use content::Content;
use domain::{AdvertiserId, Counts, Day, DayRankings, ModelName, RunId};
use error::Failure;
use jiff::Timestamp;
use patience::Patience;
use sqlx::{migrate::MigrateError, postgres::PgListener};
use std::{collections::BTreeSet, fmt, io, time::Duration};

pub use content::NewPublication;
pub use decision::Publication;
pub use error::StoreError;
pub use grants::{Duty, Grant, Granted, NoGrant};
pub use history::{LastRankings, TotalsOfDay};
pub use holds::{Hold, Holds};
pub use keys::{ApiKey, KeyDigest, KeyId, KeyName, KeyNameError, KeyScope, KeyText, NewApiKey, NoRandomness};
pub use ledger::{LastRuns, NewRun, Outcome, RunEnd, RunRecord, RunStatus, UnderWay};
pub use login::{Credentials, Database, Login, NoLogin};
pub use moves::{Back, Decision, Move, MovedBack, TAKEN_BACK};
pub use packed::{
    Advertisers, Corrupt, DayStamp, PackedDay, PackedRanking, PackedRankings, Row, Rows, SeenRun, UnpackedDay,
};
pub use published::{Pin, Published, PublishedAdvertiser, PublishedDay, PublishedHold};
pub use trouble::Trouble;
pub use watch::Watch;

/// No call takes longer: the largest publication comes to a few minutes.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// A sign of life is one short statement of PostgreSQL's, and the next must come before the run is taken for dead. In
/// SQLite it waits for whoever writes.
const SIGN_OF_LIFE_TIME_MAX: Duration = Duration::from_secs(10);

/// A database of publications and runs. Clones share its connections.
///
/// Its patience says for how long it tries again what fails and may pass by itself ([`StoreError::is_transient`]), from
/// the first failure of each call on; it has none unless it is given some. What a run does may be tried again: each
/// call finds out first what it did when the answer was lost. A decision ([`Store::accept`], [`Store::roll_back`], …)
/// whose COMMIT got no answer is not, and fails with [`StoreError::OutcomeUnknown`].
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    patience: Duration,
}

impl Store {
    /// Opens `sqlite:PATH` (the file and its folder are created) or `postgres://USER@HOST:PORT/DATABASE`
    /// with the parameters of libpq that sqlx knows (`sslmode`, `sslrootcert`, …). Where credentials are given,
    /// connections are made with what is kept at that moment, from then on too.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Folder`], or [`StoreError::Connect`] after at most ten seconds;
    /// [`StoreError::NoLogin`] and [`StoreError::LoginRefused`] where credentials are given.
    pub async fn open(database: impl Into<Database>) -> Result<Self, StoreError> {
        Self::open_patiently(database, Duration::ZERO).await
    }

    /// Opens a database as [`Store::open`] does, with patience: for a server that is not there yet, and from then on.
    ///
    /// # Errors
    /// As [`Store::open`], once patience is over.
    pub async fn open_patiently(database: impl Into<Database>, limit: Duration) -> Result<Self, StoreError> {
        let database = database.into();
        let mut patience = Patience::of(limit);
        loop {
            match Backend::open(&database).await {
                Ok(backend) => return Ok(Self { backend, patience: limit }),
                Err(error) if patience.bears(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens a database that is there, as [`Store::open`] does: a mistyped path makes no empty file.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when no SQLite file is there; else as [`Store::open`].
    pub async fn open_existing(database: impl Into<Database>) -> Result<Self, StoreError> {
        let backend = Backend::open_existing(&database.into()).await?;
        Ok(Self { backend, patience: Duration::ZERO })
    }

    /// The same database with patience of so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
        self.patiently(|| self.backend.migrate(), || "migrate".into()).await
    }

    /// Lets a role do its duty in the database and nothing else, now and once later migrations have made more tables; makes
    /// the role when it is not there, without a password. What a role has already it keeps. A dry run tells the SQL, changes
    /// nothing, and needs no rights.
    ///
    /// # Errors
    /// [`StoreError::NotGranted`]; [`StoreError::Sql`] when the database fails, also when who is logged in may not make roles.
    pub async fn grant(&self, grant: &Grant, is_dry_run: bool) -> Result<Granted, StoreError> {
        let operation = || format!("grant rights to {:?}", grant.role);
        self.patiently(|| self.backend.grant(grant, is_dry_run), operation).await
    }

    /// Enters runs in the ledger, which come in the order of their days, all or none of them. From then on until
    /// they end nobody else begins runs of the same days.
    ///
    /// # Errors
    /// [`StoreError::DayTaken`] while other work has a run of such a day under way, [`StoreError::NightOver`] when
    /// a run for the same moment of the schedule succeeded, was held or failed; [`StoreError::RunExists`];
    /// [`StoreError::Sql`] when the database fails.
    pub async fn begin_runs(&self, runs: &[NewRun]) -> Result<(), StoreError> {
        let names = || runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>().join(", ");
        self.patiently(|| self.backend.begin_runs(runs), || format!("begin run {}", names())).await
    }

    /// Says that the runs of the process are still under way; of how many it was said. Tried once, and in PostgreSQL for
    /// ten seconds at most.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn sign_of_life(&self, process: &str) -> Result<u64, StoreError> {
        let limit = if self.backend.is_file() { ANSWER_TIME_MAX } else { SIGN_OF_LIFE_TIME_MAX };
        let said = self.answer_within(limit, || self.backend.sign_of_life(process)).await;
        said.map_err(|failure| self.error(failure, || "say that a run is under way".into()))
    }

    /// The runs that have not ended, as far as the ledger knows: their process may be gone.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn under_way(&self) -> Result<Vec<UnderWay>, StoreError> {
        self.read_patiently(|| self.backend.under_way(), || "read the runs under way".into()).await
    }

    /// Notes that nights are held from then on, unless that was noted before.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails, also when the role may not note it ([`Trouble::MissingRight`]).
    pub async fn note_nights_held(&self, since: Timestamp) -> Result<(), StoreError> {
        let operation = || "note since when there are nights".into();
        self.patiently(|| self.backend.note_nights_held(since), operation).await
    }

    /// Since when nights are held, as was noted, or when the first run was due, or began, that a scheduler started,
    /// whichever was first; none when there is neither.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn scheduled_since(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read_patiently(|| self.backend.scheduled_since(), || "read since when there are nights".into())
            .await
    }

    /// The last runs of the newest days: any that ended, and one that succeeded. None before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn last_runs(&self) -> Result<LastRuns, StoreError> {
        let runs = read(self.answer(|| self.backend.last_runs()).await);
        runs.map_err(|failure| self.error(failure, || "read the last runs".into()))
    }

    /// Ends a run whose process is gone, unless it has given a sign of life meanwhile or has ended; whether
    /// it did end it.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn end_dead_run(&self, run: &UnderWay, end: &RunEnd) -> Result<bool, StoreError> {
        self.patiently(|| self.backend.end_dead_run(run, end), || format!("end run {}", run.run.run_id)).await
    }

    /// Ends a run; from then on nothing about it changes.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`], [`StoreError::RunEnded`]; [`StoreError::Sql`] when the database fails.
    pub async fn end_run(&self, run_id: &RunId, end: &RunEnd) -> Result<(), StoreError> {
        self.patiently(|| self.backend.end_run(run_id, end), || format!("end run {run_id}")).await
    }

    /// Whether the run has published, or holds back what it made. Waits for a publication of it that is under way.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn has_published(&self, run_id: &RunId) -> Result<bool, StoreError> {
        self.patiently(
            || self.backend.has_published(run_id),
            || format!("look whether run {run_id} has published"),
        )
        .await
    }

    /// Makes readers see what is `new` from now on, in one transaction, as far as it is not held back, unless
    /// they see exactly that already: then nothing moves, and only the ledger learns that the run came to the
    /// same. What is held back is kept, to be accepted or not: see [`Store::accept`]. What someone has taken back
    /// is held back when it comes again, and what someone has accepted is not; so returns also what is held in
    /// the end. Publications of one day take turns. A run that publishes the same again is told what that has done.
    ///
    /// # Errors
    /// When the run is unknown, has ended, is of another day or has published something else; when the rankings could
    /// not be given back as they are; [`StoreError::Sql`] when the database fails. Readers then see what they saw
    /// before. [`StoreError::OutcomeUnknown`] when that is not known.
    pub async fn publish(
        &self,
        run_id: &RunId,
        new: NewPublication<'_>,
        published_at: Timestamp,
    ) -> Result<(Publication, Holds), StoreError> {
        let (content, day) = (Content::new(new)?, new.rankings.day);
        self.patiently(
            || self.backend.publish(run_id, content.clone(), published_at),
            || format!("publish {day} of run {run_id}"),
        )
        .await
    }

    /// Makes readers see what was held back of a run, of one advertiser or of all, in one transaction. What was
    /// taken back comes back as they saw it: what checks had held of it then is held again. Returns of how many
    /// advertisers they see it now.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`]; [`StoreError::NothingHeld`] when none of it is held back, or a later run
    /// of the day has taken its place; [`StoreError::Sql`] when the database fails.
    pub async fn accept(&self, run_id: &RunId, decision: Decision<'_>) -> Result<u64, StoreError> {
        self.patiently(|| self.backend.accept(run_id, decision), || format!("accept run {run_id}")).await
    }

    /// Takes readers back to what they saw before, of a day or of one advertiser on it, in one transaction. What
    /// they saw is held back from then on, also when another run makes the same, until they have seen it again.
    ///
    /// # Errors
    /// [`StoreError::RunUnknown`], [`StoreError::NothingSeen`], [`StoreError::NeverSeen`],
    /// [`StoreError::SeenAlready`], [`StoreError::NotKept`]; [`StoreError::Sql`] when the database fails.
    pub async fn roll_back(&self, back: Back<'_>, decision: Decision<'_>) -> Result<MovedBack, StoreError> {
        self.patiently(|| self.backend.roll_back(back, decision), || "take readers back".into()).await
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
        self.patiently(|| self.backend.undo_rollback(day, reason, at), || "undo a rollback".into()).await
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
        self.patiently(|| self.backend.pin(run_id, advertiser, decision), || format!("pin {advertiser:?}"))
            .await
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
        self.patiently(|| self.backend.unpin(advertiser, decision), || format!("unpin {advertiser:?}")).await
    }

    /// The days before `before` of which there is anything but the ledger, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn days_to_trim(&self, before: Day) -> Result<Vec<Day>, StoreError> {
        self.read_patiently(
            || self.backend.days_to_trim(before),
            || format!("read which days before {before} there are"),
        )
        .await
    }

    /// Deletes what there is of a day but the ledger, and but for what readers see last: the rankings of
    /// advertisers that are pinned to it, or are held back since. Readers lose the day in one transaction; all
    /// else is deleted in small ones, and what is broken off is gone on with the next time. Returns how many rows
    /// were deleted.
    ///
    /// # Errors
    /// [`StoreError::Sql`] when the database fails.
    pub async fn trim_day(&self, day: Day, at: Timestamp) -> Result<u64, StoreError> {
        self.patiently(|| self.backend.trim_day(day, at), || format!("delete what is kept of {day}")).await
    }

    /// Who is pinned, in byte order.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        self.read_patiently(|| self.backend.pins(), || "read who is pinned".into()).await
    }

    /// What changed what readers see, newest first, of one day or of all.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn moves(&self, limit: usize, day: Option<Day>) -> Result<Vec<Move>, StoreError> {
        self.read_patiently(|| self.backend.moves(limit, day), || "read what changed what readers see".into())
            .await
    }

    /// What readers see of a day; none when they see nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn rankings_of_day(&self, day: Day) -> Result<Option<DayRankings>, StoreError> {
        self.read_patiently(|| self.backend.rankings_of_day(day), || format!("read the rankings of {day}"))
            .await
    }

    /// What a run made, also what is held back of it; none when it made nothing or is unknown.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn rankings_of_run(&self, run_id: &RunId) -> Result<Option<DayRankings>, StoreError> {
        self.read_patiently(
            || self.backend.rankings_of_run(run_id),
            || format!("read the rankings of run {run_id}"),
        )
        .await
    }

    /// The days before `day` of which readers see something, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn days_before(&self, day: Day, limit: usize) -> Result<Vec<Day>, StoreError> {
        self.patiently(
            || self.backend.days_before(day, limit),
            || format!("read which days before {day} are published"),
        )
        .await
    }

    /// What the runs counted whose rankings of the day readers see.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn totals(&self, day: Day) -> Result<TotalsOfDay, StoreError> {
        self.patiently(|| self.backend.totals(day), || format!("read what was counted of {day}")).await
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
        self.patiently(
            || self.backend.totals_of(advertiser, before, limit),
            || format!("read what was counted of {advertiser:?}"),
        )
        .await
    }

    /// The products by the model that readers see last of each advertiser, of `day` or one of the 60 days before.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn last_rankings(&self, day: Day, model: &ModelName) -> Result<LastRankings, StoreError> {
        self.patiently(
            || self.backend.last_rankings(day, model),
            || format!("read the last rankings by {model}"),
        )
        .await
    }

    /// The newest runs, newest first, of one day or of all. None before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn runs(&self, limit: usize, day: Option<Day>) -> Result<Vec<RunRecord>, StoreError> {
        self.read_patiently(|| self.backend.runs(limit, day), || "read the runs".into()).await
    }

    /// A run of the ledger.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn run(&self, run_id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.read_patiently(|| self.backend.run(run_id), || format!("read run {run_id}")).await
    }

    /// What is published of the `days_max` newest published days, as of one moment; of days that are as `known`
    /// says, nothing but that; of days that could not be served, why. Nothing before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`]; [`StoreError::Invalid`] when what is seen last of an advertiser that
    /// is on none of these days could not be served.
    pub async fn published(&self, days_max: usize, known: &[DayStamp]) -> Result<Published, StoreError> {
        self.read_patiently(|| self.backend.published(days_max, known), || "read what is published".into())
            .await
    }

    /// Grows with every publication that moved; 0 before any.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub async fn publication_version(&self) -> Result<i64, StoreError> {
        let version = read(self.answer(|| self.backend.publication_version()).await);
        version.map_err(|failure| self.error(failure, || "read the version of what is published".into()))
    }

    /// Makes a key, which is in force from then on. The same key again is that key.
    ///
    /// # Errors
    /// [`StoreError::KeyNameTaken`] while a key in force is called so, and when the name is the id of a key;
    /// [`StoreError::Sql`] when the database fails, and when the key is for none of the advertisers.
    pub async fn add_key(&self, key: &NewApiKey) -> Result<(), StoreError> {
        self.patiently(|| self.backend.add_key(key), || format!("make API key {:?}", key.name.as_str())).await
    }

    /// All keys, those too that are revoked, in the order in which they were made. None before the migration that
    /// makes their table.
    ///
    /// # Errors
    /// [`StoreError::Sql`], also when the role may not read them ([`Trouble::MissingRight`]), or [`StoreError::Corrupt`].
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read_patiently(|| self.backend.keys(), || "read the API keys".into()).await
    }

    /// Another number after each key that is made or revoked, by whomever; 0 before any. Whoever asks for it before it
    /// reads [`Store::keys`] misses nothing. Costs one row of one table.
    ///
    /// # Errors
    /// [`StoreError::Sql`], also when the role may not read it ([`Trouble::MissingRight`]).
    pub async fn keys_version(&self) -> Result<i64, StoreError> {
        let version = read(self.answer(|| self.backend.keys_version()).await);
        version.map_err(|failure| self.error(failure, || "read the version of the API keys".into()))
    }

    /// Takes a key out of force, for good: the one of this id, else the one in force of this name, else the last that had
    /// it. Returns it as it is then: one that was revoked before keeps its `revoked_at`, which is not `at`.
    ///
    /// # Errors
    /// [`StoreError::KeyUnknown`]; [`StoreError::Sql`] when the database fails.
    pub async fn revoke_key(&self, key: &str, at: Timestamp) -> Result<ApiKey, StoreError> {
        self.patiently(|| self.backend.revoke_key(key, at), || format!("revoke API key {key:?}")).await
    }

    /// Notes when keys were used, in one statement; a moment before the one noted, and a key that is not there, change
    /// nothing. Tried once: what is lost is noted when the key is used again. In SQLite it waits while a night
    /// publishes, up to a minute.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; of a server that only reads with [`Trouble::MissingRight`], [`Trouble::ReadOnly`] or
    /// [`Trouble::ReadOnlyFile`].
    pub async fn note_keys_used(&self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let noted = self.answer(|| self.backend.note_keys_used(used)).await;
        noted.map_err(|failure| self.error(failure, || "note when API keys were used".into()))
    }

    /// Those of the advertisers that have been active on a day which readers see.
    ///
    /// # Errors
    /// [`StoreError::Sql`] or [`StoreError::Corrupt`].
    pub async fn seen_advertisers(&self, of: &[AdvertiserId]) -> Result<BTreeSet<AdvertiserId>, StoreError> {
        self.read_patiently(
            || self.backend.seen_advertisers(of),
            || "look which advertisers are published".into(),
        )
        .await
    }

    /// Watches for publications: told of them at once by PostgreSQL, and asking every `poll` besides.
    #[must_use]
    pub fn watch(&self, poll: Duration) -> Watch {
        Watch::new(self.clone(), poll)
    }

    /// Calls until it is done, fails for good, or patience is over. `call` may be made again after any failure that is
    /// transient: it finds out what it did before.
    async fn patiently<T, F>(
        &self,
        call: impl Fn() -> F,
        operation: impl Fn() -> String,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut patience = Patience::of(self.patience);
        let mut is_in_doubt = false;
        let mut done = self.answer(&call).await;
        loop {
            let failure = match done {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            is_in_doubt |= matches!(failure, Failure::InDoubt(_));
            let error = self.error(failure, &operation);
            if !patience.bears(&error).await {
                return Err(if is_in_doubt { error.in_doubt(&operation) } else { error });
            }
            done = match self.answer(|| self.backend.reconnect()).await {
                Ok(()) => self.answer(&call).await,
                Err(failure) => Err(failure),
            };
        }
    }

    /// The same of what only reads: a database that was never migrated reads as an empty one.
    async fn read_patiently<T: Default, F>(
        &self,
        call: impl Fn() -> F,
        operation: impl Fn() -> String,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.patiently(async || read(call().await), operation).await
    }

    /// Listens for publications, where the database tells of them.
    pub(crate) async fn listen(&self) -> Result<Option<PgListener>, StoreError> {
        let listening = self.answer(async || Ok(self.backend.listen().await?)).await;
        listening.map_err(|failure| self.error(failure, || "listen for publications".into()))
    }

    /// What came of a call, or that nothing did.
    async fn answer<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.answer_within(ANSWER_TIME_MAX, call).await
    }

    /// The same in so much time. Connections are made with what is kept to log in with now; where the server refuses
    /// that, and something else is kept meanwhile, with that.
    async fn answer_within<T, F>(&self, limit: Duration, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        answered_within(limit, async {
            let tried = self.backend.follow_login().await;
            match (call().await, &tried) {
                (Err(failure), Some(tried))
                    if failure.is_login_refused() && self.backend.renew_login(tried).await? =>
                {
                    call().await
                }
                (answer, _) => answer,
            }
        })
        .await
    }

    fn error(&self, failure: Failure, operation: impl FnOnce() -> String) -> StoreError {
        let database = self.description().to_owned();
        if failure.is_missing_column() {
            return StoreError::Older { database };
        }
        let keeper = self.backend.keeper().filter(|_| failure.is_login_refused());
        match (failure, keeper) {
            (
                Failure::Sql(source)
                | Failure::InDoubt(source)
                | Failure::Refused(StoreError::Migrate { source: MigrateError::Execute(source), .. }),
                Some(keeper),
            ) => StoreError::LoginRefused { database, may_rotate: keeper.rotates(), source },
            (failure, _) => Self::error_of(failure, database, operation),
        }
    }

    fn error_of(failure: Failure, database: String, operation: impl FnOnce() -> String) -> StoreError {
        match failure {
            Failure::Sql(source) | Failure::InDoubt(source) => {
                StoreError::Sql { operation: operation(), database, source }
            }
            Failure::Unknown(source) => {
                StoreError::OutcomeUnknown { operation: operation(), database, source }
            }
            Failure::Corrupt(what) => StoreError::Corrupt { database, what },
            Failure::Invalid { day, what } => StoreError::Invalid { database, day, what },
            Failure::Refused(error) => error,
        }
    }
}

/// What came of a call, or that nothing did: a server that vanished without a word would be waited for for ever.
async fn answered_within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let no_answer = || {
        let message = format!("no answer within {} s", limit.as_secs());
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
    };
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(Failure::InDoubt(no_answer())))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.description())
    }
}
