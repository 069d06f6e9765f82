//! Reading the ledger and what is published from PostgreSQL.

use super::{Postgres, next_seq_sql};
use crate::{
    error::Failure,
    holds::HoldRow,
    ledger::{self, RunRow, UnseenRow},
    published::{
        self, AdvertiserRow, AdvertisersBuilder, DayBuilder, Pin, PinRow, Published, PublishedDay,
        PublishedHold,
    },
};
use domain::{AdvertiserId, Counts, Day, DayRankings, ModelName, RunId};
use futures::TryStreamExt;
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::collections::BTreeSet;

/// Everything that a transaction reads is as of one moment.
pub(super) const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The columns of a run, timestamps and days in the text form that both databases share.
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
            r#" AS report, models::text AS models, rankings_digest, rankings_run_id
            FROM runs "#,
            $rest
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

    /// When the first run was due, or began, that a scheduler started.
    pub(crate) async fn scheduled_since(&self) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar(
            r#"SELECT to_char(min(coalesce(due_at, started_at)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
               FROM runs WHERE started_by = 'schedule'"#,
        )
        .fetch_one(&self.pool)
        .await
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

    pub(crate) async fn published(&self, days_max: i64) -> Result<Published, Failure> {
        let mut transaction = self.pool.begin_with(ONE_MOMENT).await?;
        // Rows come in the order of their keys. Without this, a table that was filled a moment ago and
        // has no statistics yet is sorted anew, on disk.
        sqlx::query("SET LOCAL enable_sort = off").execute(&mut *transaction).await?;
        let schema = schema(&mut transaction).await?;
        let version = version(&mut transaction, schema).await?;
        let pins = pins(&mut transaction, schema).await?;
        let (mut days, mut hidden) = (Vec::new(), Vec::new());
        for (day, last_run) in published_days(&mut transaction, schema, days_max).await? {
            let (day, last_run) = (ledger::day(&day)?, ledger::run_id(&last_run)?);
            let (day, hidden_of_day) = published_day(&mut transaction, day, last_run, &pins).await?;
            days.push(day);
            hidden.extend(hidden_of_day);
        }
        let oldest =
            days.last().map_or_else(|| "-infinity".to_owned(), |day: &PublishedDay| day.day.to_string());
        let held = self::holds(&mut transaction, schema, &oldest).await?;
        let holds = published::holds(&pins, hidden, held);
        let unseen = published::unseen(&days, &holds, &pins);
        let older = older(&mut transaction, &oldest, unseen, &pins).await?;
        transaction.commit().await?;
        Ok(Published { version, days, older, pins, holds })
    }

    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, Failure> {
        let mut connection = self.pool.acquire().await?;
        let schema = schema(&mut connection).await?;
        pins(&mut connection, schema).await
    }

    pub(crate) async fn rankings_of_day(&self, day: Day) -> Result<Option<DayRankings>, Failure> {
        let mut transaction = self.pool.begin_with(ONE_MOMENT).await?;
        let last_run = last_run_seen(&mut transaction, day).await?;
        let Some(last_run) = last_run else { return Ok(None) };
        let pins = pins(&mut transaction, Schema::Moves).await?;
        let (of_day, _) = published_day(&mut transaction, day, ledger::run_id(&last_run)?, &pins).await?;
        Ok(Some(of_day.into_rankings()))
    }

    pub(crate) async fn rankings_of_run(&self, run_id: &RunId) -> Result<Option<DayRankings>, Failure> {
        let mut transaction = self.pool.begin_with(ONE_MOMENT).await?;
        let run: Option<(String, String, Option<String>)> =
            sqlx::query_as("SELECT to_char(day, 'YYYY-MM-DD'), coalesce(rankings_run_id, run_id), models::text FROM runs WHERE run_id = $1")
                .bind(run_id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((day, run, Some(models))) = run else { return Ok(None) };
        let run = ledger::run_id(&run)?;
        // Runs of earlier versions have no totals.
        let active: Vec<String> = sqlx::query_scalar(
            "SELECT advertiser_id FROM advertiser_totals WHERE run_id = $1
             UNION SELECT advertiser_id FROM rankings WHERE run_id = $1 ORDER BY 1",
        )
        .bind(run.as_str())
        .fetch_all(&mut *transaction)
        .await?;
        if active.is_empty() {
            return Ok(None);
        }
        let mut builder = DayBuilder::of_run(ledger::day(&day)?, &run, &active)?;
        builder.run(run.clone(), ledger::models(&models)?);
        rankings(&mut transaction, &run, &mut builder).await?;
        Ok(Some(builder.finish().into_rankings()))
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

/// How far a database was migrated: what an earlier version published is read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Schema {
    Publications,
    Holds,
    Moves,
}

pub(super) async fn schema(connection: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE oid IN (to_regclass('holds'), to_regclass('pins'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(match tables {
        0 => Schema::Publications,
        1 => Schema::Holds,
        _ => Schema::Moves,
    })
}

async fn version(connection: &mut PgConnection, schema: Schema) -> Result<i64, sqlx::Error> {
    let version = match schema {
        Schema::Publications => "SELECT coalesce(max(seq), 0) FROM publication_events",
        _ => concat!("SELECT ", next_seq_sql!(), " - 1"),
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}

/// Who is pinned, in byte order.
async fn pins(connection: &mut PgConnection, schema: Schema) -> Result<Vec<Pin>, Failure> {
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

/// What is held of the day `since`, in text, and of later ones.
async fn holds(
    connection: &mut PgConnection,
    schema: Schema,
    since: &str,
) -> Result<Vec<PublishedHold>, Failure> {
    if schema < Schema::Holds {
        return Ok(Vec::new());
    }
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT to_char(day, 'YYYY-MM-DD') AS day, advertiser_id, run_id, check_name, message
         FROM holds WHERE day >= $1::date ORDER BY holds.day, advertiser_id",
    )
    .bind(since)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PublishedHold::try_from).collect()
}

/// The newest days that readers see, newest first, each with the run of its last event.
async fn published_days(
    connection: &mut PgConnection,
    schema: Schema,
    days_max: i64,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let days = match schema {
        Schema::Moves => {
            "SELECT to_char(e.day, 'YYYY-MM-DD'), e.run_id FROM publication_events e
             JOIN (SELECT max(seq) AS seq FROM publication_events WHERE kind NOT IN ('pin', 'unpin') GROUP BY day) last
               ON last.seq = e.seq
             WHERE e.is_seen ORDER BY e.day DESC LIMIT $1"
        }
        _ => {
            "SELECT to_char(e.day, 'YYYY-MM-DD'), e.run_id FROM publication_events e
             JOIN (SELECT max(seq) AS seq FROM publication_events GROUP BY day) last ON last.seq = e.seq
             ORDER BY e.day DESC LIMIT $1"
        }
    };
    sqlx::query_as(days).bind(days_max).fetch_all(connection).await
}

/// What readers see of the day, and what pins keep from them.
async fn published_day(
    connection: &mut PgConnection,
    day: Day,
    last_run: RunId,
    pins: &[Pin],
) -> Result<(PublishedDay, Vec<PublishedHold>), Failure> {
    let advertisers = advertisers(connection, day).await?;
    let (advertisers, hidden) = published::pinned(pins, day, advertisers);
    let mut builder = DayBuilder::new(day, advertisers);
    // The last event's run counts even when it published no advertiser: its models were computed.
    let mut runs = builder.runs();
    runs.insert(last_run);
    for run in runs {
        let models = models(connection, &run).await?;
        builder.run(run.clone(), models);
        rankings(connection, &run, &mut builder).await?;
    }
    Ok((builder.finish(), hidden))
}

async fn models(connection: &mut PgConnection, run: &RunId) -> Result<Vec<ModelName>, Failure> {
    let models: Option<String> = sqlx::query_scalar("SELECT models::text FROM runs WHERE run_id = $1")
        .bind(run.as_str())
        .fetch_optional(connection)
        .await?
        .flatten();
    Ok(models.as_deref().map(ledger::models).transpose()?.unwrap_or_default())
}

/// What is seen last of advertisers before the day `oldest`, in text.
async fn older(
    connection: &mut PgConnection,
    oldest: &str,
    advertisers: BTreeSet<AdvertiserId>,
    pins: &[Pin],
) -> Result<Vec<PublishedDay>, Failure> {
    let mut last = published::Last::default();
    for advertiser in advertisers {
        match pins.iter().find(|pin| pin.advertiser_id == advertiser) {
            Some(pin) => last.add(pin.day, pin.seen()),
            None => {
                let seen: Option<(String, String, String, String)> = sqlx::query_as(
                    r#"SELECT to_char(p.day, 'YYYY-MM-DD'), p.advertiser_id, p.run_id,
                              to_char(p.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
                       FROM (SELECT DISTINCT day FROM publication_events WHERE day < $1::date) d
                       JOIN publications p ON p.day = d.day AND p.advertiser_id = $2 ORDER BY p.day DESC LIMIT 1"#,
                )
                .bind(oldest)
                .bind(advertiser.as_str())
                .fetch_optional(&mut *connection)
                .await?;
                last.add_row(seen)?;
            }
        }
    }
    let mut days = Vec::new();
    for (day, advertisers) in last.days() {
        let mut builder = DayBuilder::new(day, advertisers);
        for run in builder.runs() {
            let models = models(connection, &run).await?;
            builder.run(run.clone(), models.clone());
            for (model, advertiser) in builder.wanted(&run, &models) {
                let mut rows = sqlx::query(
                    "SELECT model, advertiser_id, product_id, score, impressions, clicks, views
                     FROM rankings WHERE run_id = $1 AND model = $2 AND advertiser_id = $3 ORDER BY rank",
                )
                .bind(run.as_str())
                .bind(model.as_str())
                .bind(advertiser.as_str())
                .fetch(&mut *connection);
                while let Some(row) = rows.try_next().await? {
                    add_rank(&mut builder, &row)?;
                }
            }
        }
        days.push(builder.finish());
    }
    Ok(days)
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
        add_rank(builder, &row)?;
    }
    Ok(())
}

fn add_rank(builder: &mut DayBuilder, row: &PgRow) -> Result<(), Failure> {
    let counts = Counts { impressions: count(row, 4)?, clicks: count(row, 5)?, views: count(row, 6)? };
    builder.rank(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, counts)
}

fn count(row: &PgRow, column: usize) -> Result<u64, Failure> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| Failure::corrupt("a count", &count.to_string()))
}
