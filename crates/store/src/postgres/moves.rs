//! Taking readers back in PostgreSQL.

use super::{
    Postgres, lock_day, lock_events, next_seq,
    publish::stamp,
    read::{ONE_MOMENT, Schema, schema},
    tell,
};
use crate::{
    error::{Failure, StoreError},
    ledger,
    moves::{Back, Decision, Known, MoveRow, MovedBack, Return},
    time,
    timeline::day_of_last_rollback,
};
use domain::{AdvertiserId, Day, RunId};
use jiff::Timestamp;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Which holds are not what they were at the event that is gone back to; nor is one of the move's own scope,
/// unless a later run waits by it.
macro_rules! leaves {
    () => {
        "day = $1::date AND ($2 = '' OR advertiser_id = $2) AND (seq > $3 OR advertiser_id = $2)
         AND NOT ($5 AND advertiser_id = $2)"
    };
}

impl Postgres {
    pub(crate) async fn roll_back(
        &self,
        back: Back<'_>,
        decision: Decision<'_>,
    ) -> Result<MovedBack, Failure> {
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        let (day, run) = match back {
            Back::Before(day) => (day, String::new()),
            Back::To(run_id) => run_of(&mut transaction, run_id).await?,
        };
        lock_day(&mut transaction, day).await?;
        lock_events(&mut transaction).await?;
        let known = known(&mut transaction, day, decision.advertiser.map(AdvertiserId::as_str)).await?;
        let decided = known.roll_back(back, &run, decision)?;
        let done = go_back(&mut transaction, &decided, decision.reason, decision.at).await?;
        transaction.commit().await.map_err(Failure::of_decision)?;
        Ok(done)
    }

    pub(crate) async fn undo_rollback(
        &self,
        asked: Option<Day>,
        reason: &str,
        at: Timestamp,
    ) -> Result<MovedBack, Failure> {
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        let day = match asked {
            Some(day) => Some(day),
            None => last_rollback_day(&mut transaction).await?,
        };
        let day = day.ok_or(StoreError::NothingToUndo { day: None })?;
        lock_day(&mut transaction, day).await?;
        lock_events(&mut transaction).await?;
        let mut known = known(&mut transaction, day, None).await?;
        if let Some(advertiser) = known.undo_advertiser() {
            known.touched_by = touched_by(&mut transaction, &day.to_string(), advertiser).await?;
        }
        let decided = known.undo().ok_or(StoreError::NothingToUndo { day: Some(day) })?;
        let done = go_back(&mut transaction, &decided, reason, at).await?;
        transaction.commit().await.map_err(Failure::of_decision)?;
        Ok(done)
    }

    /// Refuses a database that is there and was made by an earlier version.
    async fn expect_moves(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        if schema(connection).await? >= Schema::Moves {
            return Ok(());
        }
        // Nothing at all is as good as nothing moved.
        sqlx::query("SELECT 1 FROM runs LIMIT 1").execute(connection).await?;
        Err(StoreError::Older { database: self.description().to_owned() }.into())
    }

    pub(crate) async fn moves(&self, limit: i64, day: Option<Day>) -> Result<Vec<MoveRow>, Failure> {
        let mut transaction = self.pool.begin_with(ONE_MOMENT).await?;
        self.expect_moves(&mut transaction).await?;
        let mut rows: Vec<MoveRow> = sqlx::query_as(
            r#"SELECT seq, kind, to_char(day, 'YYYY-MM-DD') AS day, run_id,
                      to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS published_at,
                      advertiser_id, reason
               FROM publication_events e WHERE $1 = '' OR e.day = nullif($1, '')::date ORDER BY seq DESC LIMIT $2"#,
        )
        .bind(day.map_or_else(String::new, |day| day.to_string()))
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        for row in &mut rows {
            row.runs = sqlx::query_as(
                "SELECT run_id, 1::bigint AS came, count(*) AS advertisers
                 FROM publications WHERE day = $1::date AND seq = $2 GROUP BY run_id
                 UNION ALL SELECT run_id, 1::bigint, count(*) FROM past_publications WHERE day = $1::date AND from_seq = $2 GROUP BY run_id
                 UNION ALL SELECT run_id, 0::bigint, count(*) FROM past_publications WHERE day = $1::date AND to_seq = $2 GROUP BY run_id",
            )
            .bind(&row.day)
            .bind(row.seq)
            .fetch_all(&mut *transaction)
            .await?;
        }
        Ok(rows)
    }
}

/// The day of a run, and the run whose rows hold its rankings.
pub(super) async fn run_of(connection: &mut PgConnection, run_id: &RunId) -> Result<(Day, String), Failure> {
    let run: Option<(String, String)> = sqlx::query_as(
        "SELECT to_char(day, 'YYYY-MM-DD'), coalesce(rankings_run_id, run_id) FROM runs WHERE run_id = $1",
    )
    .bind(run_id.as_str())
    .fetch_optional(connection)
    .await?;
    let (day, run) = run.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
    Ok((ledger::day(&day)?, run))
}

pub(super) async fn known(
    connection: &mut PgConnection,
    day: Day,
    advertiser: Option<&str>,
) -> Result<Known, Failure> {
    let of_day = day.to_string();
    stamp(connection, day).await?;
    let events = sqlx::query_as(
        "SELECT seq, kind, run_id, advertiser_id, to_seq FROM publication_events
         WHERE day = $1::date AND kind NOT IN ('pin', 'unpin') ORDER BY seq",
    )
    .bind(&of_day)
    .fetch_all(&mut *connection)
    .await?;
    let touched_by = match advertiser {
        Some(advertiser) => touched_by(connection, &of_day, advertiser).await?,
        None => BTreeMap::new(),
    };
    let holds =
        sqlx::query_as("SELECT advertiser_id, run_id, check_name, seq FROM holds WHERE day = $1::date")
            .bind(&of_day)
            .fetch_all(connection)
            .await?;
    Ok(Known { day, events, touched_by, holds })
}

/// The events by which readers came to see something else of the advertiser, and whether they see something of it
/// after each.
async fn touched_by(
    connection: &mut PgConnection,
    day: &str,
    advertiser: &str,
) -> Result<BTreeMap<i64, bool>, sqlx::Error> {
    let touches: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT seq, 1::bigint FROM publications WHERE day = $1::date AND advertiser_id = $2
         UNION SELECT from_seq, 1::bigint FROM past_publications WHERE day = $1::date AND advertiser_id = $2
         UNION SELECT to_seq, 0::bigint FROM past_publications WHERE day = $1::date AND advertiser_id = $2
         ORDER BY 1, 2",
    )
    .bind(day)
    .bind(advertiser)
    .fetch_all(connection)
    .await?;
    // Of an event that ends one and begins another, the beginning comes last.
    Ok(touches.into_iter().map(|(seq, is_seen)| (seq, is_seen == 1)).collect())
}

/// The day of the newest rollback in force.
async fn last_rollback_day(connection: &mut PgConnection) -> Result<Option<Day>, Failure> {
    let events = sqlx::query_as(
        "SELECT to_char(day, 'YYYY-MM-DD'), seq, kind, run_id, advertiser_id, to_seq FROM publication_events
         WHERE day IN (SELECT day FROM publication_events WHERE kind = 'rollback')
           AND kind NOT IN ('pin', 'unpin')
         ORDER BY publication_events.day, seq",
    )
    .fetch_all(connection)
    .await?;
    day_of_last_rollback(events).map(|day| ledger::day(&day)).transpose()
}

/// Moves what is decided, as one event.
pub(super) async fn go_back(
    connection: &mut PgConnection,
    decided: &Return,
    reason: &str,
    at: Timestamp,
) -> Result<MovedBack, Failure> {
    let (day, advertiser, at) = (decided.day.to_string(), decided.advertiser.as_str(), time::to_text(at));
    let seq = next_seq(connection).await?;
    move_publications(connection, decided, &day, seq, &at).await?;
    move_holds(connection, decided, &day, seq).await?;
    sqlx::query(
        "INSERT INTO publication_events
            (seq, day, run_id, published_at, kind, advertiser_id, reason, to_seq, is_seen)
         SELECT $1, $2::date, $3, $4::timestamptz, $5, nullif($6, ''), $7, $8,
                $9 OR ($6 <> '' AND EXISTS (SELECT 1 FROM publications WHERE day = $2::date))",
    )
    .bind(seq)
    .bind(&day)
    .bind(&decided.event_run)
    .bind(&at)
    .bind(decided.kind)
    .bind(advertiser)
    .bind(reason)
    .bind(decided.way.to_seq)
    .bind(decided.is_seen)
    .execute(&mut *connection)
    .await?;
    tell(connection, &day).await?;
    let (moved, seen): (i64, i64) = sqlx::query_as(
        "WITH came AS (SELECT advertiser_id, run_id FROM publications WHERE day = $1::date AND seq = $2),
              went AS (SELECT advertiser_id, run_id FROM past_publications WHERE day = $1::date AND to_seq = $2),
              other AS (SELECT * FROM (SELECT * FROM came EXCEPT SELECT * FROM went) came_new
                        UNION ALL SELECT * FROM (SELECT * FROM went EXCEPT SELECT * FROM came) gone)
         SELECT (SELECT count(DISTINCT advertiser_id) FROM other),
                (SELECT count(*) FROM publications WHERE day = $1::date AND ($3 = '' OR advertiser_id = $3))",
    )
    .bind(&day)
    .bind(seq)
    .bind(advertiser)
    .fetch_one(connection)
    .await?;
    decided.done(moved, seen)
}

async fn move_publications(
    connection: &mut PgConnection,
    decided: &Return,
    day: &str,
    seq: i64,
    at: &str,
) -> Result<(), sqlx::Error> {
    let (advertiser, to_seq) = (decided.advertiser.as_str(), decided.way.to_seq);
    sqlx::query(
        "INSERT INTO past_publications (day, advertiser_id, from_seq, to_seq, run_id, published_at)
         SELECT day, advertiser_id, seq, $4::bigint, run_id, published_at FROM publications
         WHERE day = $1::date AND ($2 = '' OR advertiser_id = $2) AND seq > $3",
    )
    .bind(day)
    .bind(advertiser)
    .bind(to_seq)
    .bind(seq)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM publications WHERE day = $1::date AND ($2 = '' OR advertiser_id = $2) AND seq > $3",
    )
    .bind(day)
    .bind(advertiser)
    .bind(to_seq)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO publications (day, advertiser_id, run_id, published_at, seq)
         SELECT day, advertiser_id, run_id, $5::timestamptz, $4 FROM past_publications
         WHERE day = $1::date AND ($2 = '' OR advertiser_id = $2) AND from_seq <= $3 AND to_seq > $3",
    )
    .bind(day)
    .bind(advertiser)
    .bind(to_seq)
    .bind(seq)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Holds come back as publications do; one of the move itself takes its place among them, or is only remembered
/// when a later run waits in its place.
async fn move_holds(
    connection: &mut PgConnection,
    decided: &Return,
    day: &str,
    seq: i64,
) -> Result<(), sqlx::Error> {
    let (advertiser, to_seq) = (decided.advertiser.as_str(), decided.way.to_seq);
    // Both are bound the same: $4 is of use to the first alone, and the second has to name it.
    for statement in [
        concat!(
            "INSERT INTO past_holds (day, advertiser_id, from_seq, to_seq, run_id, check_name, message)
             SELECT day, advertiser_id, seq, $4::bigint, run_id, check_name, message FROM holds WHERE ",
            leaves!()
        ),
        concat!("DELETE FROM holds WHERE $4::bigint > 0 AND ", leaves!()),
    ] {
        sqlx::query(statement)
            .bind(day)
            .bind(advertiser)
            .bind(to_seq)
            .bind(seq)
            .bind(decided.keeps_waiting)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO holds (day, advertiser_id, run_id, check_name, message, seq)
         SELECT day, advertiser_id, run_id, check_name, message, $4::bigint FROM past_holds
         WHERE day = $1::date AND ($2 = '' OR advertiser_id = $2) AND from_seq <= $3 AND to_seq > $3
           AND NOT ($5 AND advertiser_id = $2)",
    )
    .bind(day)
    .bind(advertiser)
    .bind(to_seq)
    .bind(seq)
    .bind(decided.hold.is_some())
    .execute(&mut *connection)
    .await?;
    let Some((run, hold)) = &decided.hold else { return Ok(()) };
    let insert = if decided.keeps_waiting {
        "INSERT INTO past_holds (day, advertiser_id, run_id, check_name, message, from_seq, to_seq)
         VALUES ($1::date, $2, $3, $4, $5, $6, $6)"
    } else {
        "INSERT INTO holds (day, advertiser_id, run_id, check_name, message, seq)
         VALUES ($1::date, $2, $3, $4, $5, $6)"
    };
    let insert =
        sqlx::query(insert).bind(day).bind(advertiser).bind(run).bind(&hold.check).bind(&hold.message);
    insert.bind(seq).execute(connection).await?;
    Ok(())
}
