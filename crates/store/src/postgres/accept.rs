//! Publishing in PostgreSQL what was held back.

use super::{
    Postgres, lock_day, lock_events,
    moves::{go_back, known},
    next_seq, tell,
};
use crate::{
    error::{Failure, StoreError},
    ledger,
    moves::Decision,
    time,
};
use domain::{AdvertiserId, Day, RunId};
use sqlx::PgConnection;

/// Whether the advertiser of a row is one of those that are accepted ($3, empty for all) and a hold of the run
/// ($2) on the day ($1), of all or of it, keeps it from being seen.
macro_rules! is_held {
    ($row:literal) => {
        concat!(
            "($3 = '' OR ",
            $row,
            ".advertiser_id = $3) AND EXISTS (
                 SELECT 1 FROM holds h
                 WHERE h.day = $1::date AND h.run_id = $2 AND h.advertiser_id IN ('', ",
            $row,
            ".advertiser_id))"
        )
    };
}

/// Which holds are of no account any more.
macro_rules! is_accepted {
    () => {
        "day = $1::date AND ((run_id = $2 AND advertiser_id = $3) OR ($3 = '' AND (run_id = $2 OR EXISTS (
             SELECT 1 FROM holds h WHERE h.day = $1::date AND h.run_id = $2 AND h.advertiser_id = ''))))"
    };
}

impl Postgres {
    pub(crate) async fn accept(&self, run_id: &RunId, decision: Decision<'_>) -> Result<u64, Failure> {
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        let day: Option<String> =
            sqlx::query_scalar("SELECT to_char(day, 'YYYY-MM-DD') FROM runs WHERE run_id = $1")
                .bind(run_id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let day = day.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
        let day = ledger::day(&day)?;
        lock_day(&mut transaction, day).await?;
        lock_events(&mut transaction).await?;
        let known = known(&mut transaction, day, decision.advertiser.map(AdvertiserId::as_str)).await?;
        // What was taken back comes back as it was seen, without what checks had held of it then.
        let moved = match known.accept_taken_back(run_id, decision) {
            Some(decided) => {
                go_back(&mut transaction, &decided, decision.reason, decision.at).await?.advertisers
            }
            None => accept_held(&mut transaction, day, run_id, decision).await?,
        };
        tell(&mut transaction, &day.to_string()).await?;
        transaction.commit().await.map_err(Failure::of_decision)?;
        Ok(moved)
    }
}

/// Publishes what checks have held of the run.
async fn accept_held(
    connection: &mut PgConnection,
    day: Day,
    run_id: &RunId,
    decision: Decision<'_>,
) -> Result<u64, Failure> {
    let day = day.to_string();
    let (run, one) = (run_id.as_str(), decision.advertiser.map_or("", AdvertiserId::as_str));
    let (seq, at) = (next_seq(connection).await?, time::to_text(decision.at));
    // With a hold of all, who is not active any more leaves.
    // Both are bound the same: $4 is of use to the first alone, and the second has to name it.
    for statement in [
        concat!(
            "INSERT INTO past_publications (day, advertiser_id, from_seq, to_seq, run_id, published_at)
             SELECT day, advertiser_id, seq, $4::bigint, run_id, published_at FROM publications p
             WHERE day = $1::date AND ",
            is_held!("p")
        ),
        concat!("DELETE FROM publications AS p WHERE day = $1::date AND $4::bigint > 0 AND ", is_held!("p")),
    ] {
        sqlx::query(statement).bind(&day).bind(run).bind(one).bind(seq).execute(&mut *connection).await?;
    }
    let moved = sqlx::query(concat!(
        "INSERT INTO publications (day, advertiser_id, run_id, published_at, seq)
         SELECT $1::date, t.advertiser_id, $2, $4::timestamptz, $5::bigint FROM advertiser_totals t
         WHERE t.run_id = $2 AND ",
        is_held!("t")
    ))
    .bind(&day)
    .bind(run)
    .bind(one)
    .bind(&at)
    .bind(seq)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if moved == 0 {
        let advertiser = decision.advertiser.cloned();
        return Err(StoreError::NothingHeld { run_id: run_id.clone(), advertiser }.into());
    }
    sqlx::query(
        "INSERT INTO publication_events (seq, day, run_id, published_at, kind, advertiser_id, reason)
         VALUES ($1, $2::date, $3, $4::timestamptz, 'accept', nullif($5, ''), $6)",
    )
    .bind(seq)
    .bind(&day)
    .bind(run)
    .bind(&at)
    .bind(one)
    .bind(decision.reason)
    .execute(&mut *connection)
    .await?;
    for statement in [
        concat!(
            "INSERT INTO past_holds (day, advertiser_id, from_seq, to_seq, run_id, check_name, message)
             SELECT day, advertiser_id, seq, $4::bigint, run_id, check_name, message FROM holds WHERE ",
            is_accepted!()
        ),
        concat!("DELETE FROM holds WHERE $4::bigint > 0 AND ", is_accepted!()),
    ] {
        sqlx::query(statement).bind(&day).bind(run).bind(one).bind(seq).execute(&mut *connection).await?;
    }
    Ok(moved)
}
