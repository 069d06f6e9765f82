//! Publishing in SQLite what checks had held back.

use super::{Sqlite, next_seq_sql};
use crate::{
    error::{Failure, StoreError},
    time,
};
use domain::{AdvertiserId, RunId};
use jiff::Timestamp;

impl Sqlite {
    pub(crate) async fn accept(
        &self,
        run_id: &RunId,
        advertiser: Option<&AdvertiserId>,
        reason: &str,
        accepted_at: Timestamp,
    ) -> Result<u64, Failure> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let day: Option<String> = sqlx::query_scalar("SELECT day FROM runs WHERE run_id = ?")
            .bind(run_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let day = day.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
        let (run, one, at) =
            (run_id.as_str(), advertiser.map_or("", AdvertiserId::as_str), time::to_text(accepted_at));
        // Whom the run ranked and a hold of it, of all or of the advertiser, keeps from being seen.
        let moved = sqlx::query(
            "INSERT OR REPLACE INTO publications (day, advertiser_id, run_id, published_at)
             SELECT ?1, t.advertiser_id, ?2, ?3 FROM advertiser_totals t
             WHERE t.run_id = ?2 AND (?4 = '' OR t.advertiser_id = ?4) AND EXISTS (
                 SELECT 1 FROM holds h
                 WHERE h.day = ?1 AND h.run_id = ?2 AND h.advertiser_id IN ('', t.advertiser_id))",
        )
        .bind(&day)
        .bind(run)
        .bind(&at)
        .bind(one)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if moved == 0 {
            let advertiser = advertiser.cloned();
            return Err(StoreError::NothingHeld { run_id: run_id.clone(), advertiser }.into());
        }
        if one.is_empty() {
            // Who is not active any more leaves with the hold of all.
            sqlx::query(
                "DELETE FROM publications WHERE day = ?1 AND run_id <> ?2
                 AND EXISTS (SELECT 1 FROM holds WHERE day = ?1 AND run_id = ?2 AND advertiser_id = '')",
            )
            .bind(&day)
            .bind(run)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(concat!(
            "INSERT INTO publication_events (seq, day, run_id, published_at, kind, advertiser_id, reason) SELECT ",
            next_seq_sql!(),
            ", ?, ?, ?, 'accept', nullif(?, ''), ?"
        ))
        .bind(&day)
        .bind(run)
        .bind(&at)
        .bind(one)
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM holds WHERE day = ?1 AND run_id = ?2 AND (?3 = '' OR advertiser_id = ?3)")
            .bind(&day)
            .bind(run)
            .bind(one)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(moved)
    }
}
