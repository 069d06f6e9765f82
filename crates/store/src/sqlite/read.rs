//! Reading the ledger, who is pinned and which version readers see from SQLite.

use super::{Sqlite, next_seq_sql};
use crate::{
    error::Failure,
    ledger::{RunRow, UnseenRow},
    published::{Pin, PinRow},
};
use domain::{Day, RunId};
use sqlx::SqliteConnection;

/// The columns of a run, read by name: a newer version may have added others. In a database that was not migrated since,
/// `orchestrator` is no column of `own`, and so the one of `absent`.
macro_rules! select_runs {
    ($rest:literal) => {
        select_runs!("report", $rest)
    };
    ($report:literal, $rest:literal) => {
        concat!(
            "SELECT run_id, day, status, started_by, program_version, config_hash, started_at, ended_at,
            process, host, due_at, seen_at, error, ",
            $report,
            " AS report, models, rankings_digest, rankings_run_id,
            (SELECT orchestrator FROM runs AS own WHERE own.run_id = runs.run_id) AS orchestrator
            FROM runs CROSS JOIN (SELECT NULL AS orchestrator) AS absent ",
            $rest
        )
    };
}

impl Sqlite {
    pub(crate) async fn runs(&self, limit: i64, day: Option<Day>) -> Result<Vec<RunRow>, sqlx::Error> {
        let query = match day {
            Some(day) => sqlx::query_as(select_runs!(
                "WHERE day = ? ORDER BY started_at DESC, day DESC, run_id DESC LIMIT ?"
            ))
            .bind(day.to_string())
            .bind(limit),
            None => sqlx::query_as(select_runs!("ORDER BY started_at DESC, day DESC, run_id DESC LIMIT ?"))
                .bind(limit),
        };
        query.fetch_all(&self.pool).await
    }

    /// When the first scheduler began, as far as that was noted, or the first run that one started was due, or began.
    pub(crate) async fn scheduled_since(&self) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT min(since) FROM (
                SELECT coalesce(due_at, started_at) AS since FROM runs WHERE started_by = 'schedule'
                UNION ALL SELECT since FROM nights_held)",
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Of the newest day of which a run ended, and of the newest of which one succeeded, the run that ended last;
    /// without its report.
    pub(crate) async fn last_runs(&self) -> Result<[Option<RunRow>; 2], sqlx::Error> {
        let ended = select_runs!(
            "NULL",
            "WHERE ended_at IS NOT NULL ORDER BY day DESC, ended_at DESC, run_id DESC LIMIT 1"
        );
        let succeeded = select_runs!(
            "NULL",
            "WHERE status = 'succeeded' ORDER BY day DESC, ended_at DESC, run_id DESC LIMIT 1"
        );
        Ok([
            sqlx::query_as(ended).fetch_optional(&self.pool).await?,
            sqlx::query_as(succeeded).fetch_optional(&self.pool).await?,
        ])
    }

    pub(crate) async fn under_way(&self) -> Result<(Vec<RunRow>, Vec<UnseenRow>), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let runs = select_runs!("WHERE status = 'running' ORDER BY run_id");
        let runs = sqlx::query_as(runs).fetch_all(&mut *transaction).await?;
        let unseen = sqlx::query_as(
            "SELECT run_id,
                    CAST((julianday('now') - julianday(coalesce(seen_at, started_at))) * 86400000 AS INTEGER) AS unseen_ms
             FROM runs WHERE status = 'running'",
        )
        .fetch_all(&mut *transaction)
        .await?;
        Ok((runs, unseen))
    }

    pub(crate) async fn run(&self, run_id: &RunId) -> Result<Option<RunRow>, sqlx::Error> {
        let query = sqlx::query_as(select_runs!("WHERE run_id = ?")).bind(run_id.as_str());
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
    connection: &mut SqliteConnection,
    day: Day,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT run_id FROM (SELECT run_id, is_seen FROM publication_events
         WHERE day = ? AND kind NOT IN ('pin', 'unpin') ORDER BY seq DESC LIMIT 1) last WHERE is_seen",
    )
    .bind(day.to_string())
    .fetch_optional(connection)
    .await
}

/// How far a database was migrated: what an earlier version published is read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Schema {
    Publications,
    Holds,
    Moves,
    Packed,
}

pub(super) async fn schema(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('holds', 'pins', 'packed_rankings')",
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

pub(super) async fn version(connection: &mut SqliteConnection, schema: Schema) -> Result<i64, sqlx::Error> {
    let version = match schema {
        Schema::Publications => "SELECT coalesce(max(seq), 0) FROM publication_events",
        _ => concat!("SELECT ", next_seq_sql!(), " - 1"),
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Who is pinned, in byte order.
pub(super) async fn pins(connection: &mut SqliteConnection, schema: Schema) -> Result<Vec<Pin>, Failure> {
    if schema < Schema::Moves {
        return Ok(Vec::new());
    }
    let rows: Vec<PinRow> = sqlx::query_as(
        "SELECT advertiser_id, day, run_id, reason, pinned_at FROM pins ORDER BY advertiser_id",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Pin::try_from).collect()
}
