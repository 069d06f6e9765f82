//! Pins in PostgreSQL.

use super::{Postgres, lock_day, lock_events, moves::run_of, next_seq, tell};
use crate::{
    error::{Failure, StoreError},
    ledger,
    moves::{Decision, PIN},
    time,
};
use domain::{AdvertiserId, RunId};
use sqlx::PgConnection;

impl Postgres {
    pub(crate) async fn pin(
        &self,
        run_id: &RunId,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, Failure> {
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        let (day, run) = run_of(&mut transaction, run_id).await?;
        lock_day(&mut transaction, day).await?;
        lock_events(&mut transaction).await?;
        let was_seen: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM publications WHERE day = $1::date AND advertiser_id = $2 AND run_id = $3)
                  + (SELECT count(*) FROM past_publications WHERE day = $1::date AND advertiser_id = $2 AND run_id = $3)",
        )
        .bind(day.to_string())
        .bind(advertiser.as_str())
        .bind(&run)
        .fetch_one(&mut *transaction)
        .await?;
        if was_seen == 0 {
            let (run_id, advertiser) = (run_id.clone(), Some(advertiser.clone()));
            return Err(StoreError::NeverSeen { run_id, advertiser }.into());
        }
        let seq = next_seq(&mut transaction).await?;
        sqlx::query(
            "INSERT INTO pins (advertiser_id, day, run_id, reason, pinned_at, seq)
             VALUES ($1, $2::date, $3, $4, $5::timestamptz, $6)
             ON CONFLICT (advertiser_id) DO UPDATE SET day = excluded.day, run_id = excluded.run_id,
                 reason = excluded.reason, pinned_at = excluded.pinned_at, seq = excluded.seq",
        )
        .bind(advertiser.as_str())
        .bind(day.to_string())
        .bind(&run)
        .bind(decision.reason)
        .bind(time::to_text(decision.at))
        .bind(seq)
        .execute(&mut *transaction)
        .await?;
        let decision = Decision { advertiser: Some(advertiser), ..decision };
        append_pin_event(&mut transaction, seq, PIN, &day.to_string(), &run, decision).await?;
        tell(&mut transaction, &day.to_string()).await?;
        transaction.commit().await.map_err(Failure::of_decision)?;
        ledger::run_id(&run)
    }

    pub(crate) async fn unpin(
        &self,
        advertiser: &AdvertiserId,
        decision: Decision<'_>,
    ) -> Result<RunId, Failure> {
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        lock_events(&mut transaction).await?;
        let seq = next_seq(&mut transaction).await?;
        let pin: Option<(String, String)> = sqlx::query_as(
            "DELETE FROM pins WHERE advertiser_id = $1 RETURNING to_char(day, 'YYYY-MM-DD'), run_id",
        )
        .bind(advertiser.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let (day, run) = pin.ok_or_else(|| StoreError::NotPinned { advertiser: advertiser.clone() })?;
        let decision = Decision { advertiser: Some(advertiser), ..decision };
        append_pin_event(&mut transaction, seq, "unpin", &day, &run, decision).await?;
        tell(&mut transaction, &day).await?;
        transaction.commit().await.map_err(Failure::of_decision)?;
        ledger::run_id(&run)
    }
}

async fn append_pin_event(
    connection: &mut PgConnection,
    seq: i64,
    kind: &str,
    day: &str,
    run: &str,
    decision: Decision<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO publication_events (seq, day, run_id, published_at, kind, advertiser_id, reason)
         VALUES ($1, $2::date, $3, $4::timestamptz, $5, $6, $7)",
    )
    .bind(seq)
    .bind(day)
    .bind(run)
    .bind(time::to_text(decision.at))
    .bind(kind)
    .bind(decision.advertiser.map(AdvertiserId::as_str))
    .bind(decision.reason)
    .execute(connection)
    .await?;
    Ok(())
}
