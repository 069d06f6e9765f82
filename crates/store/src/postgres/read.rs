//! Reading the ledger, who is pinned and which version readers see from PostgreSQL.

use super::{Postgres, next_seq_sql};
use crate::{
    error::Failure,
    ledger::{RunRow, UnseenRow},
    published::{Pin, PinRow},
};
use domain::{Day, RunId};
use sqlx::PgConnection;

/// Everything that a transaction reads is as of one moment.
pub(super) const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The columns of a run, timestamps and days in the text form that both databases share. In a database that was not
/// migrated since, `orchestrator` is no column of `own`, and so the one of `absent`.
macro_rules! select_runs {
    ($rest:literal) => {
        select_runs!("report::text", $rest)
    };
    ($report:literal, $rest:literal) => {
        concat!(
            r#"SELECT run_id, to_char(day, 'YYYY-MM-DD') AS day, status, started_by, program_version, config_hash,
            to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
            to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ended_at,
            process, host, to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS due_at,
            to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS seen_at,
            error, "#,
            $report,
            r#" AS report, models::text AS models, rankings_digest, rankings_run_id,
            (SELECT orchestrator FROM runs AS own WHERE own.run_id = runs.run_id) AS orchestrator
            FROM runs CROSS JOIN (SELECT NULL::text AS orchestrator) AS absent "#,
            $rest
        )
    };
}

/// The least of when the first run of a scheduler was due, or began, and of what else is given.
macro_rules! scheduled_since_sql {
    ($others:literal) => {
        concat!(
            "SELECT to_char(least(min(coalesce(due_at, started_at))",
            $others,
            r#") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM runs WHERE started_by = 'schedule'"#
        )
    };
}

impl Postgres {
    pub(crate) async fn runs(&self, limit: i64, day: Option<Day>) -> Result<Vec<RunRow>, sqlx::Error> {
        let query = match day {
            Some(day) => sqlx::query_as(select_runs!(
                "WHERE day = $2::date ORDER BY runs.started_at DESC, runs.day DESC, runs.run_id DESC LIMIT $1"
            ))
            .bind(limit)
            .bind(day.to_string()),
            None => sqlx::query_as(select_runs!(
                "ORDER BY runs.started_at DESC, runs.day DESC, runs.run_id DESC LIMIT $1"
            ))
            .bind(limit),
        };
        query.fetch_all(&self.pool).await
    }

    /// When the first scheduler began, as far as that was noted, or the first run that one started was due, or began. A
    /// note that the role may not read is as good as none.
    pub(crate) async fn scheduled_since(&self) -> Result<Option<String>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let is_noted: bool = sqlx::query_scalar(
            "SELECT coalesce(has_table_privilege(to_regclass('nights_held'), 'SELECT'), false)",
        )
        .fetch_one(&mut *connection)
        .await?;
        let since = match is_noted {
            true => scheduled_since_sql!(", (SELECT since FROM nights_held)"),
            false => scheduled_since_sql!(""),
        };
        sqlx::query_scalar(since).fetch_one(&mut *connection).await
    }

    /// Of the newest day of which a run ended, and of the newest of which one succeeded, the run that ended last;
    /// without its report.
    pub(crate) async fn last_runs(&self) -> Result<[Option<RunRow>; 2], sqlx::Error> {
        let ended = select_runs!(
            "NULL::text",
            "WHERE ended_at IS NOT NULL ORDER BY runs.day DESC, runs.ended_at DESC, runs.run_id DESC LIMIT 1"
        );
        let succeeded = select_runs!(
            "NULL::text",
            "WHERE status = 'succeeded' ORDER BY runs.day DESC, runs.ended_at DESC, runs.run_id DESC LIMIT 1"
        );
        Ok([
            sqlx::query_as(ended).fetch_optional(&self.pool).await?,
            sqlx::query_as(succeeded).fetch_optional(&self.pool).await?,
        ])
    }

    pub(crate) async fn under_way(&self) -> Result<(Vec<RunRow>, Vec<UnseenRow>), sqlx::Error> {
        let mut transaction = self.pool.begin_with(ONE_MOMENT).await?;
        let runs = select_runs!("WHERE status = 'running' ORDER BY runs.run_id");
        let runs = sqlx::query_as(runs).fetch_all(&mut *transaction).await?;
        let unseen = sqlx::query_as(
            "SELECT run_id,
                    (extract(epoch FROM clock_timestamp() - coalesce(seen_at, started_at)) * 1000)::bigint AS unseen_ms
             FROM runs WHERE status = 'running'",
        )
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok((runs, unseen))
    }

    pub(crate) async fn run(&self, run_id: &RunId) -> Result<Option<RunRow>, sqlx::Error> {
        let query = sqlx::query_as(select_runs!("WHERE run_id = $1")).bind(run_id.as_str());
        query.fetch_optional(&self.pool).await
    }

    pub(crate) async fn publication_version(&self) -> Result<i64, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let schema = schema(&mut connection).await?;
        version(&mut connection, schema).await
    }

    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let mut connection = self.pool.acquire().await?;
        let schema = schema(&mut connection).await?;
        pins(&mut connection, schema).await
    }
}

/// The run of the day's last event; none when readers do not see the day.
pub(super) async fn last_run_seen(
    connection: &mut PgConnection,
    day: Day,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT run_id FROM (SELECT run_id, is_seen FROM publication_events
         WHERE day = $1::date AND kind NOT IN ('pin', 'unpin') ORDER BY seq DESC LIMIT 1) last WHERE is_seen",
    )
    .bind(day.to_string())
    .fetch_optional(connection)
    .await
}

/// How far a database was migrated: what an earlier version published is read all the same. Packed rankings that the
/// role may not read are as good as not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Schema {
    Publications,
    Holds,
    Moves,
    Packed,
}

pub(super) async fn schema(connection: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE oid IN (to_regclass('holds'), to_regclass('pins'))
             OR (oid = to_regclass('packed_rankings') AND has_table_privilege(oid, 'SELECT'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(match tables {
        0 => Schema::Publications,
        1 => Schema::Holds,
        2 => Schema::Moves,
        _ => Schema::Packed,
    })
}

pub(super) async fn version(connection: &mut PgConnection, schema: Schema) -> Result<i64, sqlx::Error> {
    let version = match schema {
        Schema::Publications => "SELECT coalesce(max(seq), 0) FROM publication_events",
        _ => concat!("SELECT ", next_seq_sql!(), " - 1"),
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Who is pinned, in byte order.
pub(super) async fn pins(connection: &mut PgConnection, schema: Schema) -> Result<Vec<Pin>, Failure> {
    if schema < Schema::Moves {
        return Ok(Vec::new());
    }
    let rows: Vec<PinRow> = sqlx::query_as(
        r#"SELECT advertiser_id, to_char(day, 'YYYY-MM-DD') AS day, run_id, reason,
                  to_char(pinned_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS pinned_at
           FROM pins ORDER BY advertiser_id"#,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Pin::try_from).collect()
}
