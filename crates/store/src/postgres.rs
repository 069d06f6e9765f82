//! Publications and the ledger on PostgreSQL 13 or newer.
//!
//! Dates and timestamps cross the wire as text, so that both databases speak one form and no setting
//! of the server changes it.

mod accept;
mod copy;
mod grant;
mod history;
mod keys;
mod moves;
mod pins;
mod publish;
mod published;
mod read;
mod trim;

use crate::{
    backend::CONNECT_TIMEOUT,
    error::{Failure, StoreError},
    ledger::{self, NewRun, Obstacle, RunEnd, storable_error},
    login::{Credentials, Database, Login},
    migrations, time,
};
use domain::{Day, RunId};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    migrate::{Migrate, MigrateError, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::{env, io, str::FromStr, sync::Arc};
use tokio::sync::Mutex;

/// Where publications are told of.
const CHANNEL: &str = "topshelf_publications";

/// Connections a process holds at most: a publisher or a reader, a listener, and a few for the ledger.
const CONNECTIONS_MAX: u32 = 5;

/// What may stand behind the `?` of a URL: what the driver reads, and `auth`, which is ours.
const KNOWN_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "auth",
];

const NO_ANSWER: &str = "no answer within ten seconds";

/// Begins a transaction that writes, whatever the role's own isolation is: each statement sees what was committed while
/// the one before it waited for a lock.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How long a transaction waits for a lock: longer than a server takes to notice that whoever has it is gone, by its
/// probes of a silent connection (25 s).
const LOCK_TIMEOUT: &str = "60s";

/// The first keys of the advisory locks that publications of one day, and beginnings of runs of it, take turns
/// by; the second is the day. The single key of the events' lock lies in another space.
const DAY_LOCK: i32 = 0x746f_7073;
const LEASE_LOCK: i32 = 0x746f_706c;
const EVENTS_LOCK: i64 = 0x746f_7073_6865_6c66;

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: PgPool,
    description: Arc<str>,
    keeper: Option<Arc<Keeper>>,
}

/// Who keeps what the server is logged in to with, and what was used last.
struct Keeper {
    credentials: Arc<dyn Credentials>,
    /// What the URL says.
    options: PgConnectOptions,
    used: Mutex<Login>,
}

impl Postgres {
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        let target = UrlTarget::of(&database.url, database.credentials.is_some())?;
        if target.is_by_token && database.credentials.is_none() {
            let reason = "auth=iam wants a token, and nobody makes one here".to_owned();
            return Err(StoreError::Url { reason });
        }
        let description: Arc<str> = target.describe().into();
        let options = target.options;
        let mut keeper = None;
        let mut current = options.clone();
        let mut tried = None;
        if let Some(credentials) = &database.credentials {
            let credentials = Arc::clone(credentials);
            let login = credentials.login(None).await;
            let login = login.map_err(|source| StoreError::no_login(&description, source))?;
            current = with_login(&options, &login);
            tried = Some(login.clone());
            keeper = Some(Arc::new(Keeper { credentials, options, used: Mutex::new(login) }));
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(current);
        let postgres = Self { pool, description, keeper };
        // The pool tries again until its time is up and then forgets why: the first connection is made
        // without it, so that its error is the one the user sees.
        let mut greeted = postgres.greet().await;
        if let (Err(error), Some(tried)) = (&greeted, &tried)
            && is_login_refused(error)
            && postgres.renew_login(tried).await?
        {
            greeted = postgres.greet().await;
        }
        greeted.map_err(|source| postgres.not_connected(source))?;
        Ok(postgres)
    }

    fn not_connected(&self, source: sqlx::Error) -> StoreError {
        let database = self.description.to_string();
        match self.keeper() {
            Some(keeper) if is_login_refused(&source) => {
                StoreError::LoginRefused { database, may_rotate: keeper.rotates(), source }
            }
            _ => StoreError::Connect { database, source },
        }
    }

    /// Who keeps what it is logged in to with, where that is not the URL.
    pub(crate) fn keeper(&self) -> Option<&dyn Credentials> {
        self.keeper.as_ref().map(|keeper| &*keeper.credentials)
    }

    /// Logs in from here on with what is kept now, and tells it. When it is not to be had, what was used last goes on being
    /// used: the server has the last word.
    pub(crate) async fn follow_login(&self) -> Option<Login> {
        let keeper = self.keeper.as_ref()?;
        if let Ok(login) = keeper.credentials.login(None).await {
            self.log_in_with(keeper, &login).await;
            return Some(login);
        }
        Some(keeper.used.lock().await.clone())
    }

    /// The same after the server refused what was tried; whether there is something else now.
    pub(crate) async fn renew_login(&self, tried: &Login) -> Result<bool, StoreError> {
        let Some(keeper) = &self.keeper else { return Ok(false) };
        let login = keeper.credentials.login(Some(tried)).await;
        let login = login.map_err(|source| StoreError::no_login(&self.description, source))?;
        self.log_in_with(keeper, &login).await;
        Ok(login != *tried)
    }

    async fn log_in_with(&self, keeper: &Keeper, login: &Login) {
        let mut used = keeper.used.lock().await;
        if *used != *login {
            self.pool.set_connect_options(with_login(&keeper.options, login));
            *used = login.clone();
        }
    }

    /// Connects without the pool, as it would, and says goodbye.
    async fn greet(&self) -> Result<(), sqlx::Error> {
        connect(&self.pool.connect_options()).await?.close().await
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// Connects without the pool, so that the server's own answer is told; what the pool has may lead to a server
    /// that is gone, or to one that has become a standby, and is let go of.
    pub(crate) async fn reconnect(&self) -> Result<(), sqlx::Error> {
        while let Some(connection) = self.pool.try_acquire() {
            drop(connection.detach());
        }
        self.greet().await
    }

    pub(crate) async fn migrate(&self) -> Result<(), MigrateError> {
        let migrator = migrations::of_postgres();
        // A connection of its own: closing it frees the migrator's lock also after a failure.
        let mut connection = connect(&self.pool.connect_options()).await?;
        // Migrations take turns by a lock, which one whose client is gone may hold.
        bound_waits(&mut connection, false).await?;
        let migrated = match is_current(&migrator, &mut connection).await {
            true => Ok(()),
            false => migrator.run_direct(None, &mut connection, false).await,
        };
        connection.close().await?;
        migrated
    }

    /// All of the runs or none. They come in the order of their days, so that nobody waits for each other.
    pub(crate) async fn begin_runs(&self, runs: &[NewRun]) -> Result<(), Failure> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        bound_waits(&mut transaction, true).await?;
        for run in runs {
            lock_lease(&mut transaction, run.day).await?;
            if let Some(obstacle) = obstacle(&mut transaction, run).await? {
                return Err(obstacle.refusal(run.day)?);
            }
            insert_run(&mut transaction, run).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Of how many runs under way it was said. Whoever stops waiting for the answer keeps no connection.
    pub(crate) async fn sign_of_life(&self, process: &str) -> Result<u64, sqlx::Error> {
        let mut asked = Asked(Some(self.pool.acquire().await?));
        let said = sqlx::query(
            "UPDATE runs SET seen_at = date_trunc('milliseconds', clock_timestamp())
             WHERE status = 'running' AND process = $1",
        )
        .bind(process)
        .execute(asked.connection())
        .await;
        asked.was_answered();
        Ok(said?.rows_affected())
    }

    /// The first note stays.
    pub(crate) async fn note_nights_held(&self, since: &str) -> Result<(), sqlx::Error> {
        let noted = sqlx::query(
            "INSERT INTO nights_held (only_row, since) VALUES (1, $1::timestamptz) ON CONFLICT DO NOTHING",
        );
        noted.bind(since).execute(&self.pool).await?;
        Ok(())
    }

    /// Whether the run was still running, and not heard of since `seen_at`. Waits for a publication of it that
    /// is under way, which is a sign of life.
    pub(crate) async fn end_dead_run(
        &self,
        run_id: &RunId,
        seen_at: Option<&str>,
        end: &RunEnd,
    ) -> Result<bool, sqlx::Error> {
        let ended = sqlx::query(
            "UPDATE runs SET status = $2, ended_at = $3::timestamptz, error = $4
             WHERE run_id = $1 AND status = 'running' AND seen_at IS NOT DISTINCT FROM $5::timestamptz",
        )
        .bind(run_id.as_str())
        .bind(end.outcome.name())
        .bind(time::to_text(end.ended_at))
        .bind(storable_error(end))
        .bind(seen_at)
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Whether a running run of that name was there to end.
    pub(crate) async fn end_run(&self, run_id: &RunId, end: &RunEnd) -> Result<bool, sqlx::Error> {
        let ended = sqlx::query(
            "UPDATE runs SET status = $2, ended_at = $3::timestamptz, error = $4, report = $5::json
             WHERE run_id = $1 AND status = 'running'",
        )
        .bind(run_id.as_str())
        .bind(end.outcome.name())
        .bind(time::to_text(end.ended_at))
        .bind(storable_error(end))
        .bind(end.report.to_string())
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Whether the run has published. Waits for a publication of it that is under way, whose COMMIT may come yet.
    pub(crate) async fn has_published(&self, run_id: &RunId) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        bound_waits(&mut transaction, true).await?;
        let published =
            sqlx::query_scalar("SELECT rankings_digest IS NOT NULL FROM runs WHERE run_id = $1 FOR UPDATE")
                .bind(run_id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        Ok(published.unwrap_or(false))
    }

    pub(crate) async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

/// A connection that was asked something. One that is dropped before it answered is let go of: the pool, which has few,
/// would wait for it to answer first, for as long as it is silent.
struct Asked(Option<PoolConnection<sqlx::Postgres>>);

impl Asked {
    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until it answered")
    }

    fn was_answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// What a URL says of a server.
pub(crate) struct UrlTarget {
    pub(crate) options: PgConnectOptions,
    /// Whether it, or `PGUSER`, says who connects.
    pub(crate) names_user: bool,
    /// Whether a token is logged in with that is made for the moment.
    pub(crate) is_by_token: bool,
}

impl UrlTarget {
    /// Reads the URL. It need not name a user when one `is_kept` elsewhere.
    pub(crate) fn of(url: &str, is_kept: bool) -> Result<Self, StoreError> {
        let refused = |reason: String| StoreError::Url { reason };
        let Some((_, after_scheme)) = url.split_once("://") else {
            return Err(refused("postgres: is followed by //".into()));
        };
        let authority_end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
        // A password with one of these characters would be read as a host or a path, and shown as such.
        if after_scheme[authority_end..].contains('@') {
            return Err(refused("in a password, / ? # @ must be written %2F %3F %23 %40".into()));
        }
        if let Some(unknown) = parameters(after_scheme).find(|name| !is_known(name)) {
            let known = KNOWN_PARAMETERS.join(", ");
            return Err(refused(format!("{unknown:?} is no parameter of it; there are {known}")));
        }
        let (url, auth) = without_auth(url);
        let is_by_token = match auth {
            None => false,
            Some("iam") => true,
            Some(_) => return Err(refused("auth is \"iam\", or is left out".into())),
        };
        let options = PgConnectOptions::from_str(&url).map_err(|error| refused(error.to_string()))?;
        let names_user = names_a_user(after_scheme) || env::var("PGUSER").is_ok_and(|user| !user.is_empty());
        // The driver would take one of its own invention.
        if !names_user && (!is_kept || is_by_token) {
            return Err(refused("it names no user, and neither does PGUSER".into()));
        }
        if !names_user && options.get_database().is_none() {
            return Err(refused("it names neither a user nor a database".into()));
        }
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("topshelf"),
        };
        // sqlx would log whole statements; what matters is logged by callers, once.
        Ok(Self { options: options.disable_statement_logging(), names_user, is_by_token })
    }

    pub(crate) fn describe(&self) -> String {
        let options = &self.options;
        let (user, port) = (options.get_username(), options.get_port());
        let database = options.get_database().unwrap_or(user);
        let named = |before: &str, after: &str| match self.names_user {
            true => format!("{before}{user}{after}"),
            false => String::new(),
        };
        match options.get_socket() {
            // Before a socket there is no host, and a URL without host has no room for a user.
            Some(socket) => {
                let user = named("&user=", "");
                format!("postgres:///{database}?host={}&port={port}{user}", socket.display())
            }
            None => format!("postgres://{}{}:{port}/{database}", named("", "@"), options.get_host()),
        }
    }
}

/// The options with what is to be logged in with.
pub(crate) fn with_login(options: &PgConnectOptions, login: &Login) -> PgConnectOptions {
    let options = options.clone().password(&login.password);
    match &login.user {
        Some(user) => options.username(user),
        None => options,
    }
}

/// Whether the server knows no such user, or not by this password: a wrong password; and what it says when something
/// else judges it, as RDS has its tokens judged.
pub(crate) fn is_login_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["28P01", "28000"].contains(&&*code))
}

/// The URL as the driver takes it, and what it says of `auth`, which the driver does not know.
fn without_auth(url: &str) -> (String, Option<&str>) {
    let Some((before, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (auth, others): (Vec<_>, Vec<_>) =
        query.split('&').partition(|pair| pair.split('=').next() == Some("auth"));
    let auth = auth.last().map(|pair| pair.split_once('=').map_or("", |(_, value)| value));
    (format!("{before}?{}", others.join("&")), auth)
}

/// Whether a URL without its scheme says who connects.
fn names_a_user(url: &str) -> bool {
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').and_then(|(user, _)| user.split(':').next());
    user.is_some_and(|user| !user.is_empty()) || parameters(url).any(|name| name == "user")
}

/// The names of a URL's parameters.
fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
}

/// Whether the driver knows it: what it does not it leaves out, and connects with less than was asked for.
fn is_known(parameter: &str) -> bool {
    KNOWN_PARAMETERS.contains(&parameter)
        || parameter.starts_with("options[")
        || parameter.starts_with("options%5B")
}

/// Connects, or fails after ten seconds.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        // A server that has ended has taken its socket away: nobody listens there, as at a port.
        Ok(Err(sqlx::Error::Io(error)))
            if options.get_socket().is_some() && error.kind() == io::ErrorKind::NotFound =>
        {
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionRefused, error)))
        }
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, NO_ANSWER))),
    }
}

/// Whether every migration was applied: then a role that may not create anything has nothing to do.
async fn is_current(migrator: &Migrator, connection: &mut PgConnection) -> bool {
    let Ok(applied) = connection.list_applied_migrations(migrations::TABLE).await else { return false };
    migrator.iter().all(|ours| {
        applied.iter().any(|theirs| theirs.version == ours.version && theirs.checksum == ours.checksum)
    })
}

/// What keeps the run from being begun: a run under way of other work; and a run for a moment of the schedule, another
/// for it that came to an end of its own, or one that made the day since.
async fn obstacle(connection: &mut PgConnection, run: &NewRun) -> Result<Option<Obstacle>, sqlx::Error> {
    sqlx::query_as(
        "SELECT run_id, status FROM runs
         WHERE day = $1::date
           AND (status = 'running' AND process IS DISTINCT FROM $2
                OR due_at = $3::timestamptz AND status IN ('succeeded', 'held', 'failed')
                OR started_at >= $3::timestamptz AND status IN ('succeeded', 'held'))
         ORDER BY status <> 'running', run_id LIMIT 1",
    )
    .bind(run.day.to_string())
    .bind(&run.process)
    .bind(run.due_at.map(time::to_text))
    .fetch_optional(connection)
    .await
}

async fn insert_run(connection: &mut PgConnection, run: &NewRun) -> Result<(), Failure> {
    let inserted = sqlx::query(
        "INSERT INTO runs
            (run_id, day, status, started_by, orchestrator, program_version, config_hash, started_at, process, host, due_at,
             seen_at)
         VALUES ($1, $2::date, 'running', $3, $4, $5, $6, $7::timestamptz, $8, $9, $10::timestamptz,
                 date_trunc('milliseconds', clock_timestamp()))",
    )
    .bind(run.run_id.as_str())
    .bind(run.day.to_string())
    .bind(&run.started_by)
    .bind(&run.orchestrator)
    .bind(&run.program_version)
    .bind(&run.config_hash)
    .bind(time::to_text(run.started_at))
    .bind(&run.process)
    .bind(&run.host)
    .bind(run.due_at.map(time::to_text))
    .execute(connection)
    .await;
    inserted.map(drop).map_err(|error| ledger::not_inserted(run, error))
}

/// Those who begin runs of one day take turns.
async fn lock_lease(connection: &mut PgConnection, day: Day) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LEASE_LOCK).bind(day.epoch_days());
    lock.execute(connection).await?;
    Ok(())
}

/// Bounds how long others wait for what this connection locks, and how long it waits for what others do: a server
/// ends the transaction of a client that does not answer its probes for 25 s, so before those who wait for its locks give
/// up. Of the transaction alone, or of all that come.
async fn bound_waits(connection: &mut PgConnection, is_local: bool) -> Result<(), sqlx::Error> {
    let bound = sqlx::query(
        "SELECT set_config('lock_timeout', $1, $2), set_config('tcp_keepalives_idle', '10', $2),
                set_config('tcp_keepalives_interval', '5', $2), set_config('tcp_keepalives_count', '3', $2)",
    );
    bound.bind(LOCK_TIMEOUT).bind(is_local).execute(connection).await?;
    Ok(())
}

/// Takes the day, until the transaction ends. Whoever has it ends a publication of the day: what this one finds then
/// is what became of that.
async fn lock_day(connection: &mut PgConnection, day: Day) -> Result<(), sqlx::Error> {
    bound_waits(connection, true).await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(DAY_LOCK).bind(day.epoch_days());
    lock.execute(connection).await?;
    Ok(())
}

/// One more than the highest number so far.
macro_rules! next_seq_sql {
    () => {
        "greatest((SELECT coalesce(max(seq), 0) FROM publication_events), (SELECT coalesce(max(seq), 0) FROM holds)) + 1"
    };
}
use next_seq_sql;

/// The next number of what readers may notice. Taken before holds are deleted: it must rise.
async fn next_seq(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(concat!("SELECT ", next_seq_sql!())).fetch_one(connection).await
}

/// What readers may notice takes turns until its transaction commits: otherwise a lower number could appear
/// after a higher one, and nobody would notice it.
async fn lock_events(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(EVENTS_LOCK);
    lock.execute(connection).await?;
    Ok(())
}

/// Tells listeners, when the transaction commits.
async fn tell(connection: &mut PgConnection, day: &str) -> Result<(), sqlx::Error> {
    let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(day);
    notify.execute(connection).await?;
    Ok(())
}
