//! The one interface of the two databases, told apart by the URL.

use crate::{
    content::Content,
    decision::Publication,
    error::{Failure, StoreError},
    grants::{Grant, Granted, NoGrant},
    history::{LastRankings, TotalsOfDay, TotalsRow},
    holds::Holds,
    keys::{self, ApiKey, KeyId, KeyRow, NewApiKey},
    ledger::{self, LastRuns, NewRun, RunEnd, RunRecord, UnderWay},
    login::{Credentials, Database, Login},
    moves::{Back, Decision, Move, MoveRow, MovedBack},
    packed::DayStamp,
    postgres::{Postgres, UrlTarget},
    published::{self, Pin, Published},
    sqlite::{self, Sqlite},
    time,
};
use domain::{AdvertiserId, Counts, Day, DayRankings, ModelName, RunId};
use jiff::Timestamp;
use sqlx::postgres::PgListener;
use std::{collections::BTreeSet, time::Duration};

/// How long a connection may take, and how long an operation waits for one.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) enum Backend {
    Postgres(Postgres),
    Sqlite(Box<Sqlite>),
}

/// Which database a URL is of.
enum Kind {
    Postgres,
    Sqlite,
}

impl Kind {
    fn of(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            Some("sqlite") => Ok(Self::Sqlite),
            // What was given is not shown: a URL of another database may hold a password too.
            _ => Err(StoreError::Url { reason: "it begins with neither sqlite: nor postgres:".into() }),
        }
    }
}

/// Calls the same method of whichever database it is.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Postgres(postgres) => postgres.$method($($argument),*).await,
            Self::Sqlite(sqlite) => sqlite.$method($($argument),*).await,
        }
    };
}

impl Backend {
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        match Kind::of(&database.url)? {
            Kind::Postgres => Postgres::open(database).await.map(Self::Postgres),
            Kind::Sqlite => Ok(Self::Sqlite(Box::new(Sqlite::open(&database.url).await?))),
        }
    }

    pub(crate) fn describe(database: &Database) -> Result<String, StoreError> {
        match Kind::of(&database.url)? {
            Kind::Postgres => Ok(UrlTarget::of(&database.url, database.credentials.is_some())?.describe()),
            Kind::Sqlite => sqlite::describe_url(&database.url),
        }
    }

    pub(crate) async fn open_existing(database: &Database) -> Result<Self, StoreError> {
        if database.url.starts_with("sqlite:") {
            sqlite::expect_file(&database.url)?;
        }
        Self::open(database).await
    }

    /// Who keeps what it is logged in to with, where that is not the URL.
    pub(crate) fn keeper(&self) -> Option<&dyn Credentials> {
        match self {
            Self::Postgres(postgres) => postgres.keeper(),
            Self::Sqlite(_) => None,
        }
    }

    /// Logs in from here on with what is kept now, and tells it; none where the URL says all.
    pub(crate) async fn follow_login(&self) -> Option<Login> {
        match self {
            Self::Postgres(postgres) => postgres.follow_login().await,
            Self::Sqlite(_) => None,
        }
    }

    /// The same after what was tried was refused; whether there is something else now.
    pub(crate) async fn renew_login(&self, tried: &Login) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(postgres) => postgres.renew_login(tried).await,
            Self::Sqlite(_) => Ok(false),
        }
    }

    pub(crate) fn description(&self) -> &str {
        match self {
            Self::Postgres(postgres) => postgres.description(),
            Self::Sqlite(sqlite) => sqlite.description(),
        }
    }

    /// Whether it is a file of this machine, which nothing but its other writers keeps waiting.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Makes sure that the database answers, and lets go of connections that may lead to where it was.
    pub(crate) async fn reconnect(&self) -> Result<(), Failure> {
        match self {
            Self::Postgres(postgres) => Ok(postgres.reconnect().await?),
            // The file is there or it is not: there is no connection that could be lost.
            Self::Sqlite(_) => Ok(()),
        }
    }

    pub(crate) async fn migrate(&self) -> Result<(), Failure> {
        let migrated = either!(self.migrate());
        let failed = |source| StoreError::Migrate { database: self.description().to_owned(), source };
        migrated.map_err(|source| failed(source).into())
    }

    pub(crate) async fn grant(&self, grant: &Grant, is_dry_run: bool) -> Result<Granted, Failure> {
        match self {
            Self::Postgres(postgres) => postgres.grant(grant, is_dry_run).await,
            Self::Sqlite(sqlite) => {
                let (role, database) = (grant.role.clone(), sqlite.description().to_owned());
                Err(StoreError::NotGranted { role, database, source: NoGrant::File }.into())
            }
        }
    }

    pub(crate) async fn begin_runs(&self, runs: &[NewRun]) -> Result<(), Failure> {
        match either!(self.begin_runs(runs)) {
            Err(Failure::Refused(error @ StoreError::RunExists { .. })) => {
                match self.are_begun(runs).await? {
                    true => Ok(()),
                    false => Err(error.into()),
                }
            }
            begun => begun,
        }
    }

    /// Whether the runs that were there before are the same: whoever began them did not hear so.
    async fn are_begun(&self, runs: &[NewRun]) -> Result<bool, Failure> {
        for run in runs {
            if !self.run(&run.run_id).await?.is_some_and(|there| there.is_begun_as(run)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) async fn sign_of_life(&self, process: &str) -> Result<u64, Failure> {
        Ok(either!(self.sign_of_life(process))?)
    }

    pub(crate) async fn under_way(&self) -> Result<Vec<UnderWay>, Failure> {
        let (runs, unseen) = either!(self.under_way())?;
        ledger::under_way(runs, &unseen)
    }

    pub(crate) async fn note_nights_held(&self, since: Timestamp) -> Result<(), Failure> {
        Ok(either!(self.note_nights_held(&time::to_text(since)))?)
    }

    pub(crate) async fn scheduled_since(&self) -> Result<Option<Timestamp>, Failure> {
        let since: Option<String> = either!(self.scheduled_since())?;
        since.as_deref().map(time::from_text).transpose()
    }

    pub(crate) async fn last_runs(&self) -> Result<LastRuns, Failure> {
        let [ended, succeeded] = either!(self.last_runs())?;
        let ended = ended.map(RunRecord::try_from).transpose()?;
        let succeeded = succeeded.map(RunRecord::try_from).transpose()?;
        Ok(LastRuns { ended, succeeded })
    }

    pub(crate) async fn end_dead_run(&self, under_way: &UnderWay, end: &RunEnd) -> Result<bool, Failure> {
        let seen_at = under_way.run.seen_at.map(time::to_text);
        Ok(either!(self.end_dead_run(&under_way.run.run_id, seen_at.as_deref(), end))?)
    }

    pub(crate) async fn end_run(&self, run_id: &RunId, end: &RunEnd) -> Result<(), Failure> {
        let is_ended_now = either!(self.end_run(run_id, end))?;
        if is_ended_now {
            return Ok(());
        }
        let run_id = run_id.clone();
        Err(match self.run(&run_id).await? {
            // Whoever ended it did not hear so.
            Some(run) if run.is_ended_as(end) => return Ok(()),
            Some(run) => StoreError::RunEnded { run_id, status: run.status.name().to_owned() },
            None => StoreError::RunUnknown { run_id },
        }
        .into())
    }

    pub(crate) async fn has_published(&self, run_id: &RunId) -> Result<bool, Failure> {
        Ok(either!(self.has_published(run_id))?)
    }

    pub(crate) async fn publish(
        &self,
        run_id: &RunId,
        content: Content<'_>,
        published_at: Timestamp,
    ) -> Result<(Publication, Holds), Failure> {
        either!(self.publish(run_id, content, published_at))
    }

    pub(crate) async fn roll_back(
        &self,
        back: Back<'_>,
        decision: Decision<'_>,
    ) -> Result<MovedBack, Failure> {
        either!(self.roll_back(back, decision))
    }

    pub(crate) async fn undo_rollback(
        &self,
        day: Option<Day>,
        reason: &str,
        at: Timestamp,
    ) -> Result<MovedBack, Failure> {
        either!(self.undo_rollback(day, reason, at))
    }

    pub(crate) async fn pin(
        &self,
        run_id: &RunId,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, Failure> {
        either!(self.pin(run_id, advertiser, decision))
    }

    pub(crate) async fn unpin(
        &self,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, Failure> {
        either!(self.unpin(advertiser, decision))
    }

    pub(crate) async fn days_to_trim(&self, before: Day) -> Result<Vec<Day>, Failure> {
        let days: Vec<String> = either!(self.days_to_trim(before))?;
        days.iter().map(|day| ledger::day(day)).collect()
    }

    pub(crate) async fn trim_day(&self, day: Day, at: Timestamp) -> Result<u64, Failure> {
        either!(self.trim_day(day, at))
    }

    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, Failure> {
        either!(self.pins())
    }

    pub(crate) async fn moves(&self, limit: usize, day: Option<Day>) -> Result<Vec<Move>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<MoveRow> = either!(self.moves(limit, day))?;
        rows.into_iter().map(Move::try_from).collect()
    }

    pub(crate) async fn rankings_of_day(&self, day: Day) -> Result<Option<DayRankings>, Failure> {
        either!(self.rankings_of_day(day))
    }

    pub(crate) async fn rankings_of_run(&self, run_id: &RunId) -> Result<Option<DayRankings>, Failure> {
        either!(self.rankings_of_run(run_id))
    }

    pub(crate) async fn accept(&self, run_id: &RunId, decision: Decision<'_>) -> Result<u64, Failure> {
        either!(self.accept(run_id, decision))
    }

    pub(crate) async fn days_before(&self, day: Day, limit: usize) -> Result<Vec<Day>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let days: Vec<String> = either!(self.days_before(day, limit))?;
        days.iter().map(|day| ledger::day(day)).collect()
    }

    pub(crate) async fn totals(&self, day: Day) -> Result<TotalsOfDay, Failure> {
        let (rows, of_day) = either!(self.totals(day))?;
        let advertisers = rows.into_iter().map(TotalsRow::totals).collect::<Result<_, _>>()?;
        let report = of_day.as_ref().and_then(|of_day| of_day.report.as_deref());
        let report = report.map(ledger::report).transpose()?;
        let active = of_day.as_ref().map_or(0, |of_day| usize::try_from(of_day.active).unwrap_or(0));
        let is_held = of_day.is_some_and(|of_day| of_day.is_held > 0);
        Ok(TotalsOfDay { day, advertisers, active, is_held, report })
    }

    pub(crate) async fn totals_of(
        &self,
        advertiser: &AdvertiserId,
        before: Day,
        limit: usize,
    ) -> Result<Vec<Counts>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<TotalsRow> = either!(self.totals_of(advertiser, before, limit))?;
        rows.into_iter().map(|row| Ok(row.totals()?.1)).collect()
    }

    pub(crate) async fn last_rankings(&self, day: Day, model: &ModelName) -> Result<LastRankings, Failure> {
        either!(self.last_rankings(day, model))
    }

    pub(crate) async fn runs(&self, limit: usize, day: Option<Day>) -> Result<Vec<RunRecord>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = either!(self.runs(limit, day))?;
        rows.into_iter().map(RunRecord::try_from).collect()
    }

    pub(crate) async fn run(&self, run_id: &RunId) -> Result<Option<RunRecord>, Failure> {
        either!(self.run(run_id))?.map(RunRecord::try_from).transpose()
    }

    pub(crate) async fn published(&self, days_max: usize, known: &[DayStamp]) -> Result<Published, Failure> {
        let days_max = i64::try_from(days_max).unwrap_or(i64::MAX);
        either!(self.published(days_max, known))
    }

    pub(crate) async fn publication_version(&self) -> Result<i64, Failure> {
        Ok(either!(self.publication_version())?)
    }

    pub(crate) async fn add_key(&self, key: &NewApiKey) -> Result<(), Failure> {
        either!(self.add_key(key))
    }

    pub(crate) async fn keys(&self) -> Result<Vec<ApiKey>, Failure> {
        let rows: Vec<KeyRow> = either!(self.keys())?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    pub(crate) async fn keys_version(&self) -> Result<i64, Failure> {
        Ok(either!(self.keys_version())?.unwrap_or(0))
    }

    pub(crate) async fn revoke_key(&self, key: &str, at: Timestamp) -> Result<ApiKey, Failure> {
        // No key has it, and PostgreSQL does not take it.
        let revoked = if key.contains('\0') { None } else { either!(self.revoke_key(key, at))? };
        revoked.ok_or_else(|| StoreError::KeyUnknown { key: key.to_owned() }.into())
    }

    pub(crate) async fn note_keys_used(&self, used: &[(KeyId, Timestamp)]) -> Result<(), Failure> {
        let used = keys::last_uses(used);
        if used.is_empty() { Ok(()) } else { either!(self.note_keys_used(&used)) }
    }

    pub(crate) async fn seen_advertisers(
        &self,
        of: &[AdvertiserId],
    ) -> Result<BTreeSet<AdvertiserId>, Failure> {
        // No advertiser that was published has it, and PostgreSQL does not take it.
        let of: Vec<&str> = of.iter().map(AdvertiserId::as_str).filter(|id| !id.contains('\0')).collect();
        let seen: Vec<String> = either!(self.seen_advertisers(&of))?;
        seen.iter().map(|id| published::advertiser(id)).collect()
    }

    /// Listens for publications, where the database can tell of them.
    pub(crate) async fn listen(&self) -> Result<Option<PgListener>, sqlx::Error> {
        match self {
            Self::Postgres(postgres) => postgres.listen().await.map(Some),
            Self::Sqlite(_) => Ok(None),
        }
    }
}

/// A database that was never migrated reads as an empty one.
pub(crate) fn read<T: Default>(result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Err(failure) if failure.is_missing_table() => Ok(T::default()),
        result => result,
    }
}
