//! Publishing in SQLite what checks had held back, and reading what they compare with.

use super::{Sqlite, next_seq_sql};
use crate::{
    error::{Failure, StoreError},
    history::{self, DayRow, LastRankings, LastRow, TotalsRow},
    time,
};
use domain::{AdvertiserId, Day, ModelName, RunId};
use futures::TryStreamExt;
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

    pub(crate) async fn days_before(&self, day: Day, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT day FROM publication_events WHERE day < ? GROUP BY day ORDER BY day DESC LIMIT ?",
        )
        .bind(day.to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// The totals of the day's advertisers, and what is known of the day of its last event.
    pub(crate) async fn totals(&self, day: Day) -> Result<(Vec<TotalsRow>, Option<DayRow>), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query_as(
            "SELECT t.advertiser_id, t.impressions, t.clicks, t.views FROM publications p
             JOIN advertiser_totals t ON t.run_id = p.run_id AND t.advertiser_id = p.advertiser_id
             WHERE p.day = ?1",
        )
        .bind(day.to_string())
        .fetch_all(&mut *transaction)
        .await?;
        let of_day = sqlx::query_as(
            "SELECT r.report, (SELECT count(*) FROM advertiser_totals t WHERE t.run_id = e.run_id) AS active,
                    (SELECT count(*) FROM holds WHERE day = ?1 AND advertiser_id = '') AS is_held
             FROM publication_events e JOIN runs r ON r.run_id = e.run_id
             WHERE e.day = ?1 ORDER BY e.seq DESC LIMIT 1",
        )
        .bind(day.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok((rows, of_day))
    }

    pub(crate) async fn totals_of(
        &self,
        advertiser: &AdvertiserId,
        before: Day,
        limit: i64,
    ) -> Result<Vec<TotalsRow>, sqlx::Error> {
        sqlx::query_as(
            "SELECT t.advertiser_id, t.impressions, t.clicks, t.views
             FROM (SELECT day FROM publication_events WHERE day < ?1 GROUP BY day ORDER BY day DESC LIMIT 60) d
             JOIN publications p ON p.day = d.day AND p.advertiser_id = ?2
             JOIN advertiser_totals t ON t.run_id = p.run_id AND t.advertiser_id = p.advertiser_id
             ORDER BY p.day DESC LIMIT ?3",
        )
        .bind(before.to_string())
        .bind(advertiser.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    pub(crate) async fn last_rankings(&self, day: Day, model: &ModelName) -> Result<LastRankings, Failure> {
        let mut rows = sqlx::query_as::<_, LastRow>(
            "SELECT r.advertiser_id, r.product_id
             FROM (SELECT advertiser_id, max(day) AS day FROM publications WHERE day <= ?1 AND day >= date(?1, '-60 days') GROUP BY advertiser_id) last
             JOIN publications p ON p.day = last.day AND p.advertiser_id = last.advertiser_id
             JOIN rankings r ON r.run_id = p.run_id AND r.model = ?2 AND r.advertiser_id = p.advertiser_id
             ORDER BY r.advertiser_id, r.rank",
        )
        .bind(day.to_string())
        .bind(model.as_str())
        .fetch(&self.pool);
        let mut rankings = LastRankings::new();
        while let Some(row) = rows.try_next().await? {
            history::add(&mut rankings, &row)?;
        }
        Ok(rankings)
    }
}
