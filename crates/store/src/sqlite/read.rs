//! Reading the ledger and what is published from SQLite.

use super::{Sqlite, next_seq_sql};
use crate::{
    error::Failure,
    holds::HoldRow,
    ledger::{self, RunRow, UnseenRow},
    published::{AdvertiserRow, AdvertisersBuilder, DayBuilder, Published, PublishedDay, PublishedHold},
};
use domain::{Counts, Day, RunId};
use futures::TryStreamExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

/// The columns of a run, read by name: a newer version may have added others.
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT run_id, day, status, started_by, program_version, config_hash, started_at, ended_at,
            process, seen_at, error, report, models, rankings_digest, rankings_run_id FROM runs ",
            $rest
        )
    };
}

impl Sqlite {
    pub(crate) async fn runs(&self, limit: i64, day: Option<Day>) -> Result<Vec<RunRow>, sqlx::Error> {
        let query = match day {
            Some(day) => {
                sqlx::query_as(select_runs!("WHERE day = ? ORDER BY started_at DESC, run_id DESC LIMIT ?"))
                    .bind(day.to_string())
                    .bind(limit)
            }
            None => sqlx::query_as(select_runs!("ORDER BY started_at DESC, run_id DESC LIMIT ?")).bind(limit),
        };
        query.fetch_all(&self.pool).await
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
        version(&mut *self.pool.acquire().await?).await
    }

    pub(crate) async fn published(&self, days_max: i64) -> Result<Published, Failure> {
        let mut transaction = self.pool.begin().await?;
        let version = version(&mut transaction).await?;
        let mut days = Vec::new();
        for (day, last_run) in published_days(&mut transaction, days_max).await? {
            let (day, last_run) = (ledger::day(&day)?, ledger::run_id(&last_run)?);
            days.push(published_day(&mut transaction, day, last_run).await?);
        }
        let oldest = days.last().map_or_else(String::new, |day: &PublishedDay| day.day.to_string());
        let holds = holds(&mut transaction, &oldest).await?;
        transaction.commit().await?;
        Ok(Published { version, days, holds })
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let version = match has_holds(connection).await? {
        true => concat!("SELECT ", next_seq_sql!(), " - 1"),
        false => "SELECT coalesce(max(seq), 0) FROM publication_events",
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Whether there is a table of holds: an earlier version has made none, and what it published is read all the
/// same.
async fn has_holds(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'holds'")
        .fetch_one(connection)
        .await?;
    Ok(tables > 0)
}

/// What is held of the day `since`, in text, and of later ones.
async fn holds(connection: &mut SqliteConnection, since: &str) -> Result<Vec<PublishedHold>, Failure> {
    if !has_holds(connection).await? {
        return Ok(Vec::new());
    }
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT day, advertiser_id, run_id, check_name, message FROM holds WHERE day >= ? ORDER BY day, advertiser_id",
    )
    .bind(since)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PublishedHold::try_from).collect()
}

/// The newest days that were ever published, newest first, each with the run of its last event.
async fn published_days(
    connection: &mut SqliteConnection,
    days_max: i64,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT e.day, e.run_id FROM publication_events e
         JOIN (SELECT max(seq) AS seq FROM publication_events GROUP BY day ORDER BY day DESC LIMIT ?) AS last
           ON last.seq = e.seq
         ORDER BY e.day DESC",
    )
    .bind(days_max)
    .fetch_all(connection)
    .await
}

async fn published_day(
    connection: &mut SqliteConnection,
    day: Day,
    last_run: RunId,
) -> Result<PublishedDay, Failure> {
    let advertisers = advertisers(connection, day).await?;
    let mut builder = DayBuilder::new(day, advertisers);
    // The last event's run counts even when it published no advertiser: its models were computed.
    let mut runs = builder.runs();
    runs.insert(last_run);
    for run in runs {
        let models: Option<String> = sqlx::query_scalar("SELECT models FROM runs WHERE run_id = ?")
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
    connection: &mut SqliteConnection,
    day: Day,
) -> Result<Vec<crate::PublishedAdvertiser>, Failure> {
    let mut rows = sqlx::query_as::<_, AdvertiserRow>(
        "SELECT advertiser_id, run_id, published_at FROM publications WHERE day = ? ORDER BY advertiser_id",
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
    connection: &mut SqliteConnection,
    run: &RunId,
    builder: &mut DayBuilder,
) -> Result<(), Failure> {
    let mut rows = sqlx::query(
        "SELECT model, advertiser_id, product_id, score, impressions, clicks, views
         FROM rankings WHERE run_id = ? ORDER BY model, advertiser_id, rank",
    )
    .bind(run.as_str())
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let counts = Counts { impressions: count(&row, 4)?, clicks: count(&row, 5)?, views: count(&row, 6)? };
        builder.rank(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, counts)?;
    }
    Ok(())
}

fn count(row: &SqliteRow, column: usize) -> Result<u64, Failure> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| Failure::corrupt("a count", &count.to_string()))
}
