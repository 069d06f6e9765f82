//! Reading the ledger and what is published from PostgreSQL.

use super::{Postgres, next_seq_sql};
use crate::{
    error::Failure,
    holds::HoldRow,
    ledger::{self, RunRow, UnseenRow},
    published::{AdvertiserRow, AdvertisersBuilder, DayBuilder, Published, PublishedDay, PublishedHold},
};
use domain::{Counts, Day, RunId};
use futures::TryStreamExt;
use sqlx::{PgConnection, Row, postgres::PgRow};

/// The columns of a run, timestamps and days in the text form that both databases share.
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            r#"SELECT run_id, to_char(day, 'YYYY-MM-DD') AS day, status, started_by, program_version, config_hash,
            to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
            to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ended_at,
            process, to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS seen_at,
            error, report::text AS report, models::text AS models, rankings_digest, rankings_run_id
            FROM runs "#,
            $rest
        )
    };
}

impl Postgres {
    pub(crate) async fn runs(&self, limit: i64, day: Option<Day>) -> Result<Vec<RunRow>, sqlx::Error> {
        let query = match day {
            Some(day) => sqlx::query_as(select_runs!(
                "WHERE day = $2::date ORDER BY runs.started_at DESC, runs.run_id DESC LIMIT $1"
            ))
            .bind(limit)
            .bind(day.to_string()),
            None => sqlx::query_as(select_runs!("ORDER BY runs.started_at DESC, runs.run_id DESC LIMIT $1"))
                .bind(limit),
        };
        query.fetch_all(&self.pool).await
    }

    pub(crate) async fn under_way(&self) -> Result<(Vec<RunRow>, Vec<UnseenRow>), sqlx::Error> {
        let mut transaction =
            self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
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
        version(&mut *self.pool.acquire().await?).await
    }

    pub(crate) async fn published(&self, days_max: i64) -> Result<Published, Failure> {
        let one_moment = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let mut transaction = self.pool.begin_with(one_moment).await?;
        // Rows come in the order of their keys. Without this, a table that was filled a moment ago and
        // has no statistics yet is sorted anew, on disk.
        sqlx::query("SET LOCAL enable_sort = off").execute(&mut *transaction).await?;
        let version = version(&mut transaction).await?;
        let mut days = Vec::new();
        for (day, last_run) in published_days(&mut transaction, days_max).await? {
            let (day, last_run) = (ledger::day(&day)?, ledger::run_id(&last_run)?);
            days.push(published_day(&mut transaction, day, last_run).await?);
        }
        let oldest =
            days.last().map_or_else(|| "-infinity".to_owned(), |day: &PublishedDay| day.day.to_string());
        let holds = holds(&mut transaction, &oldest).await?;
        transaction.commit().await?;
        Ok(Published { version, days, holds })
    }
}

async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let version = match has_holds(connection).await? {
        true => concat!("SELECT ", next_seq_sql!(), " - 1"),
        false => "SELECT coalesce(max(seq), 0) FROM publication_events",
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Whether there is a table of holds: an earlier version has made none, and what it published is read all the
/// same.
async fn has_holds(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE oid = to_regclass('holds')")
        .fetch_one(connection)
        .await?;
    Ok(tables > 0)
}

/// What is held of the day `since`, in text, and of later ones.
async fn holds(connection: &mut PgConnection, since: &str) -> Result<Vec<PublishedHold>, Failure> {
    if !has_holds(connection).await? {
        return Ok(Vec::new());
    }
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT to_char(day, 'YYYY-MM-DD') AS day, advertiser_id, run_id, check_name, message
         FROM holds WHERE holds.day >= $1::date ORDER BY holds.day, advertiser_id",
    )
    .bind(since)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PublishedHold::try_from).collect()
}

/// The newest days that were ever published, newest first, each with the run of its last event.
async fn published_days(
    connection: &mut PgConnection,
    days_max: i64,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT to_char(e.day, 'YYYY-MM-DD'), e.run_id FROM publication_events e
         JOIN (SELECT max(seq) AS seq FROM publication_events GROUP BY day ORDER BY day DESC LIMIT $1) AS last
           ON last.seq = e.seq
         ORDER BY e.day DESC",
    )
    .bind(days_max)
    .fetch_all(connection)
    .await
}

async fn published_day(
    connection: &mut PgConnection,
    day: Day,
    last_run: RunId,
) -> Result<PublishedDay, Failure> {
    let advertisers = advertisers(connection, day).await?;
    let mut builder = DayBuilder::new(day, advertisers);
    // The last event's run counts even when it published no advertiser: its models were computed.
    let mut runs = builder.runs();
    runs.insert(last_run);
    for run in runs {
        let models: Option<String> = sqlx::query_scalar("SELECT models::text FROM runs WHERE run_id = $1")
            .bind(run.as_str())
            .fetch_optional(&mut *connection)
            .await?
            .flatten();
        builder.run(run.clone(), models.as_deref().map(ledger::models).transpose()?.unwrap_or_default());
        rankings(connection, &run, &mut builder).await?;
    }
    Ok(builder.finish())
}

async fn advertisers(
    connection: &mut PgConnection,
    day: Day,
) -> Result<Vec<crate::PublishedAdvertiser>, Failure> {
    let mut rows = sqlx::query_as::<_, AdvertiserRow>(
        r#"SELECT advertiser_id, run_id,
                  to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS published_at
           FROM publications WHERE day = $1::date ORDER BY advertiser_id"#,
    )
    .bind(day.to_string())
    .fetch(connection);
    let mut advertisers = AdvertisersBuilder::default();
    while let Some(row) = rows.try_next().await? {
        advertisers.push(row)?;
    }
    Ok(advertisers.finish())
}

async fn rankings(
    connection: &mut PgConnection,
    run: &RunId,
    builder: &mut DayBuilder,
) -> Result<(), Failure> {
    let mut rows = sqlx::query(
        "SELECT model, advertiser_id, product_id, score, impressions, clicks, views
         FROM rankings WHERE run_id = $1 ORDER BY model, advertiser_id, rank",
    )
    .bind(run.as_str())
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let counts = Counts { impressions: count(&row, 4)?, clicks: count(&row, 5)?, views: count(&row, 6)? };
        builder.rank(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, counts)?;
    }
    Ok(())
}

fn count(row: &PgRow, column: usize) -> Result<u64, Failure> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| Failure::corrupt("a count", &count.to_string()))
}
