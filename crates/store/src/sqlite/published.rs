//! Reading what is published from SQLite.
//!
//! All of it as of one moment; rankings from packed parts where a run has them, else from rows.

use super::{
    Sqlite,
    read::{Schema, last_run_seen, pins, schema, version},
};
use crate::{
    PublishedAdvertiser,
    error::Failure,
    holds::HoldRow,
    ledger,
    packed::{self, DayBuilder, DayStamp, PARTS_FORMAT, PackedDay, PartsOfModel},
    published::{self, EventRow, HiddenRow, Pin, Published, PublishedDay, PublishedHold, SeenRow},
};
use domain::{Counts, Day, DayRankings, ModelName, RunId};
use futures::TryStreamExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

impl Sqlite {
    pub(crate) async fn published(&self, days_max: i64, known: &[DayStamp]) -> Result<Published, Failure> {
        let mut transaction = self.pool.begin().await?;
        let schema = schema(&mut transaction).await?;
        let version = version(&mut transaction, schema).await?;
        let pins = pins(&mut transaction, schema).await?;
        let (mut days, mut hidden) = (Vec::new(), Vec::new());
        for event in last_events(&mut transaction, schema, days_max).await? {
            let stamp = event.stamp()?.with_pins(&pins);
            hidden.extend(self::hidden(&mut transaction, stamp.day, &pins).await?);
            days.push(match known.contains(&stamp) {
                true => PublishedDay::Known(stamp),
                false => {
                    let read = read_day(&mut transaction, schema, stamp.clone(), &pins).await;
                    PublishedDay::of(stamp, read)?
                }
            });
        }
        let newest: Vec<_> = days.iter().map(PublishedDay::day).collect();
        let held = holds(&mut transaction, schema, &newest).await?;
        let older = older(&mut transaction, schema, &newest, &pins).await?;
        transaction.commit().await?;
        let holds = published::holds(&pins, hidden, held);
        Ok(Published { version, days, older, pins, holds })
    }

    pub(crate) async fn rankings_of_day(&self, day: Day) -> Result<Option<DayRankings>, Failure> {
        let mut transaction = self.pool.begin().await?;
        let Some(last_run) = last_run_seen(&mut transaction, day).await? else { return Ok(None) };
        let schema = schema(&mut transaction).await?;
        let pins = pins(&mut transaction, schema).await?;
        let stamp = DayStamp::of_run(day, ledger::run_id(&last_run)?);
        let of_day = read_day(&mut transaction, schema, stamp, &pins).await?;
        Ok(Some(of_day.unpack().into_rankings()))
    }

    pub(crate) async fn rankings_of_run(&self, run_id: &RunId) -> Result<Option<DayRankings>, Failure> {
        let mut transaction = self.pool.begin().await?;
        let run: Option<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT day, coalesce(rankings_run_id, run_id), models FROM runs WHERE run_id = ?1",
        )
        .bind(run_id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((day, run, Some(_))) = run else { return Ok(None) };
        let (day, run) = (ledger::day(&day)?, ledger::run_id(&run)?);
        // Runs of earlier versions have no totals.
        let active: Vec<String> = sqlx::query_scalar(
            "SELECT advertiser_id FROM advertiser_totals WHERE run_id = ?1
             UNION SELECT advertiser_id FROM rankings WHERE run_id = ?1 ORDER BY 1",
        )
        .bind(run.as_str())
        .fetch_all(&mut *transaction)
        .await?;
        if active.is_empty() {
            return Ok(None);
        }
        let schema = schema(&mut transaction).await?;
        let mut builder = DayBuilder::new(day, &[]);
        active.iter().try_for_each(|advertiser| builder.publication(advertiser, run.as_str(), 0))?;
        builder.end_publications()?;
        read_run(&mut transaction, schema, &run, &mut builder).await?;
        Ok(Some(builder.finish(DayStamp::of_run(day, run)).unpack().into_rankings()))
    }
}

/// The last event of each of the newest days that readers see, newest first.
async fn last_events(
    connection: &mut SqliteConnection,
    schema: Schema,
    days_max: i64,
) -> Result<Vec<EventRow>, sqlx::Error> {
    let events = match schema {
        Schema::Moves | Schema::Packed => {
            "SELECT e.day, e.seq, e.run_id, CAST(round((julianday(e.published_at) - 2440587.5) * 86400000) AS INTEGER) AS published_at
             FROM publication_events e
             JOIN (SELECT max(seq) AS seq FROM publication_events WHERE kind NOT IN ('pin', 'unpin') GROUP BY day) last
               ON last.seq = e.seq
             WHERE e.is_seen ORDER BY e.day DESC LIMIT ?1"
        }
        Schema::Publications | Schema::Holds => {
            "SELECT e.day, e.seq, e.run_id, CAST(round((julianday(e.published_at) - 2440587.5) * 86400000) AS INTEGER) AS published_at
             FROM publication_events e
             JOIN (SELECT max(seq) AS seq FROM publication_events GROUP BY day) last ON last.seq = e.seq
             ORDER BY e.day DESC LIMIT ?1"
        }
    };
    sqlx::query_as(events).bind(days_max).fetch_all(connection).await
}

/// What pins keep from being seen of the day.
async fn hidden(
    connection: &mut SqliteConnection,
    day: Day,
    pins: &[Pin],
) -> Result<Vec<PublishedHold>, Failure> {
    if pins.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HiddenRow> = sqlx::query_as(
        "SELECT p.advertiser_id, p.run_id
         FROM pins JOIN publications p ON p.day = ?1 AND p.advertiser_id = pins.advertiser_id
         WHERE pins.day <= ?1 AND p.run_id <> pins.run_id",
    )
    .bind(day.to_string())
    .fetch_all(connection)
    .await?;
    published::hidden(pins, day, &rows)
}

/// What is held of the oldest of the days, which come newest first, and of later ones.
async fn holds(
    connection: &mut SqliteConnection,
    schema: Schema,
    days: &[Day],
) -> Result<Vec<PublishedHold>, Failure> {
    if schema < Schema::Holds {
        return Ok(Vec::new());
    }
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT day, advertiser_id, run_id, check_name, message
         FROM holds WHERE day >= ?1 ORDER BY holds.day, advertiser_id",
    )
    .bind(oldest(days))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PublishedHold::try_from).collect()
}

/// The oldest of the days, which come newest first; one before any when there is none.
fn oldest(days: &[Day]) -> String {
    days.last().map_or_else(String::new, Day::to_string)
}

/// What readers see of the day.
async fn read_day(
    connection: &mut SqliteConnection,
    schema: Schema,
    stamp: DayStamp,
    pins: &[Pin],
) -> Result<PackedDay, Failure> {
    let mut builder = DayBuilder::new(stamp.day, pins);
    publications(connection, stamp.day, &mut builder).await?;
    // The last event's run counts even when it published no advertiser: its models were computed.
    let mut runs = builder.runs();
    runs.insert(stamp.run_id.clone());
    for run in runs {
        read_run(connection, schema, &run, &mut builder).await?;
    }
    Ok(builder.finish(stamp))
}

async fn publications(
    connection: &mut SqliteConnection,
    day: Day,
    builder: &mut DayBuilder<'_>,
) -> Result<(), Failure> {
    let mut rows = sqlx::query(
        "SELECT advertiser_id, run_id, CAST(round((julianday(published_at) - 2440587.5) * 86400000) AS INTEGER)
         FROM publications WHERE day = ?1 ORDER BY advertiser_id",
    )
    .bind(day.to_string())
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        builder.publication(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)?;
    }
    builder.end_publications()
}

/// Takes the run's rankings of those whose publications point to it.
async fn read_run(
    connection: &mut SqliteConnection,
    schema: Schema,
    run: &RunId,
    builder: &mut DayBuilder<'_>,
) -> Result<(), Failure> {
    let models = models(connection, run).await?;
    builder.begin_run(run.clone(), models.clone());
    if let Some(few) = builder.few_of(run) {
        rankings_of_few(connection, run, &models, &few, builder).await?;
    } else if schema >= Schema::Packed && builder.expect_parts(&parts_of(connection, run).await?) {
        parts(connection, run, builder).await?;
    } else {
        rankings(connection, run, builder).await?;
    }
    builder.end_run()
}

/// The models that the run computed, in byte order.
async fn models(connection: &mut SqliteConnection, run: &RunId) -> Result<Vec<ModelName>, Failure> {
    let models: Option<String> = sqlx::query_scalar("SELECT models FROM runs WHERE run_id = ?1")
        .bind(run.as_str())
        .fetch_optional(connection)
        .await?
        .flatten();
    let mut models = models.as_deref().map(ledger::models).transpose()?.unwrap_or_default();
    models.sort();
    Ok(models)
}

async fn parts_of(connection: &mut SqliteConnection, run: &RunId) -> Result<Vec<PartsOfModel>, sqlx::Error> {
    sqlx::query_as(
        "SELECT model, count(*) AS count, min(parts) AS parts_min, max(parts) AS parts_max,
                max(part) AS last, sum(length(bytes)) AS bytes
         FROM packed_rankings WHERE run_id = ?1 AND format = ?2 GROUP BY model",
    )
    .bind(run.as_str())
    .bind(PARTS_FORMAT)
    .fetch_all(connection)
    .await
}

async fn parts(
    connection: &mut SqliteConnection,
    run: &RunId,
    builder: &mut DayBuilder<'_>,
) -> Result<(), Failure> {
    let mut rows = sqlx::query(
        "SELECT model, part, bytes FROM packed_rankings p
         WHERE run_id = ?1 AND format = ?2 ORDER BY p.model, p.part",
    )
    .bind(run.as_str())
    .bind(PARTS_FORMAT)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        builder.part(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)?;
    }
    Ok(())
}

async fn rankings(
    connection: &mut SqliteConnection,
    run: &RunId,
    builder: &mut DayBuilder<'_>,
) -> Result<(), Failure> {
    let mut rows = sqlx::query(
        "SELECT model, advertiser_id, rank, product_id, score, impressions, clicks, views
         FROM rankings r WHERE run_id = ?1 ORDER BY r.model, r.advertiser_id, r.rank",
    )
    .bind(run.as_str())
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        take_row(builder, &row)?;
    }
    Ok(())
}

/// The rankings of advertisers that come in byte order.
async fn rankings_of_few(
    connection: &mut SqliteConnection,
    run: &RunId,
    models: &[ModelName],
    advertisers: &[String],
    builder: &mut DayBuilder<'_>,
) -> Result<(), Failure> {
    for (model, advertiser) in packed::each_of(models, advertisers) {
        let mut rows = sqlx::query(
            "SELECT model, advertiser_id, rank, product_id, score, impressions, clicks, views
             FROM rankings r WHERE run_id = ?1 AND model = ?2 AND advertiser_id = ?3 ORDER BY r.rank",
        )
        .bind(run.as_str())
        .bind(model.as_str())
        .bind(advertiser)
        .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            take_row(builder, &row)?;
        }
    }
    Ok(())
}

fn take_row(builder: &mut DayBuilder<'_>, row: &SqliteRow) -> Result<(), Failure> {
    let counts = Counts { impressions: count(row, 5)?, clicks: count(row, 6)?, views: count(row, 7)? };
    let ranked = packed::Row { product_id: row.try_get(3)?, score: row.try_get(4)?, counts };
    builder.row(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, ranked)
}

fn count(row: &SqliteRow, column: usize) -> Result<u64, Failure> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| Failure::corrupt("a count", &count.to_string()))
}

/// What is seen last of those who are pinned to none of the newest days, or are held and on none of them.
async fn older(
    connection: &mut SqliteConnection,
    schema: Schema,
    newest: &[Day],
    pins: &[Pin],
) -> Result<Vec<PackedDay>, Failure> {
    let rows = if schema < Schema::Holds { Vec::new() } else { last_seen(connection, newest).await? };
    let mut older = Vec::new();
    for (day, advertisers) in published::older(newest, pins, rows)? {
        older.push(read_rest(connection, day, &advertisers).await?);
    }
    Ok(older)
}

/// What is seen last of the held advertisers that are on none of the newest days.
async fn last_seen(connection: &mut SqliteConnection, newest: &[Day]) -> Result<Vec<SeenRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT p.day, p.advertiser_id, p.run_id, CAST(round((julianday(p.published_at) - 2440587.5) * 86400000) AS INTEGER) AS published_at
         FROM (SELECT p.advertiser_id, max(p.day) AS day
               FROM (SELECT DISTINCT advertiser_id FROM holds WHERE day >= ?1 AND advertiser_id <> '') h
               CROSS JOIN (SELECT DISTINCT day FROM publication_events WHERE day < ?1) d
               JOIN publications p ON p.day = d.day AND p.advertiser_id = h.advertiser_id
               WHERE NOT EXISTS (
                   SELECT 1 FROM json_each(?2) newest
                   JOIN publications s ON s.day = newest.value AND s.advertiser_id = h.advertiser_id)
               GROUP BY p.advertiser_id) last
         JOIN publications p ON p.day = last.day AND p.advertiser_id = last.advertiser_id",
    )
    .bind(oldest(newest))
    .bind(serde_json::Value::from_iter(newest.iter().map(Day::to_string)).to_string())
    .fetch_all(connection)
    .await
}

/// What is seen of some advertisers of a day that is not among the newest.
async fn read_rest(
    connection: &mut SqliteConnection,
    day: Day,
    advertisers: &[PublishedAdvertiser],
) -> Result<PackedDay, Failure> {
    let mut builder = DayBuilder::new(day, &[]);
    for of in advertisers {
        let published_at = of.published_at.as_millisecond();
        builder.publication(of.advertiser_id.as_str(), of.run_id.as_str(), published_at)?;
    }
    builder.end_publications()?;
    for run in builder.runs() {
        let models = models(connection, &run).await?;
        builder.begin_run(run.clone(), models.clone());
        let of_run = builder.advertisers_of(&run);
        rankings_of_few(connection, &run, &models, &of_run, &mut builder).await?;
        builder.end_run()?;
    }
    Ok(builder.finish(DayStamp::of_rest(day, advertisers)))
}
