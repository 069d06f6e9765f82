//! Publishing in PostgreSQL what checks had held back, and reading what they compare with.

use super::{Postgres, lock_day, lock_events, next_seq_sql, tell};
use crate::{
    error::{Failure, StoreError},
    history::{self, DayRow, LastRankings, LastRow, TotalsRow},
    ledger, time,
};
use domain::{AdvertiserId, Day, ModelName, RunId};
use futures::TryStreamExt;
use jiff::Timestamp;

impl Postgres {
    pub(crate) async fn accept(
        &self,
        run_id: &RunId,
        advertiser: Option<&AdvertiserId>,
        reason: &str,
        accepted_at: Timestamp,
    ) -> Result<u64, Failure> {
        let mut transaction = self.pool.begin().await?;
        let day: Option<String> =
            sqlx::query_scalar("SELECT to_char(day, 'YYYY-MM-DD') FROM runs WHERE run_id = $1")
                .bind(run_id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let day = day.ok_or_else(|| StoreError::RunUnknown { run_id: run_id.clone() })?;
        lock_day(&mut transaction, ledger::day(&day)?).await?;
        lock_events(&mut transaction).await?;
        let (run, one, at) =
            (run_id.as_str(), advertiser.map_or("", AdvertiserId::as_str), time::to_text(accepted_at));
        // Whom the run ranked and a hold of it, of all or of the advertiser, keeps from being seen.
        let moved = sqlx::query(
            "INSERT INTO publications (day, advertiser_id, run_id, published_at)
             SELECT $1::date, t.advertiser_id, $2, $3::timestamptz FROM advertiser_totals t
             WHERE t.run_id = $2 AND ($4 = '' OR t.advertiser_id = $4) AND EXISTS (
                 SELECT 1 FROM holds h
                 WHERE h.day = $1::date AND h.run_id = $2 AND h.advertiser_id IN ('', t.advertiser_id))
             ON CONFLICT (day, advertiser_id)
             DO UPDATE SET run_id = excluded.run_id, published_at = excluded.published_at",
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
                "DELETE FROM publications WHERE day = $1::date AND run_id <> $2
                 AND EXISTS (SELECT 1 FROM holds WHERE day = $1::date AND run_id = $2 AND advertiser_id = '')",
            )
            .bind(&day)
            .bind(run)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(concat!(
            "INSERT INTO publication_events (seq, day, run_id, published_at, kind, advertiser_id, reason) SELECT ",
            next_seq_sql!(),
            ", $1::date, $2, $3::timestamptz, 'accept', nullif($4, ''), $5"
        ))
        .bind(&day)
        .bind(run)
        .bind(&at)
        .bind(one)
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM holds WHERE day = $1::date AND run_id = $2 AND ($3 = '' OR advertiser_id = $3)",
        )
        .bind(&day)
        .bind(run)
        .bind(one)
        .execute(&mut *transaction)
        .await?;
        tell(&mut transaction, &day).await?;
        transaction.commit().await?;
        Ok(moved)
    }

    pub(crate) async fn days_before(&self, day: Day, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT to_char(day, 'YYYY-MM-DD') FROM publication_events WHERE day < $1::date
             GROUP BY publication_events.day ORDER BY publication_events.day DESC LIMIT $2",
        )
        .bind(day.to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// The totals of the day's advertisers, and what is known of the day of its last event.
    pub(crate) async fn totals(&self, day: Day) -> Result<(Vec<TotalsRow>, Option<DayRow>), sqlx::Error> {
        let mut transaction =
            self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let rows = sqlx::query_as(
            "SELECT t.advertiser_id, t.impressions, t.clicks, t.views FROM publications p
             JOIN advertiser_totals t ON t.run_id = p.run_id AND t.advertiser_id = p.advertiser_id
             WHERE p.day = $1::date",
        )
        .bind(day.to_string())
        .fetch_all(&mut *transaction)
        .await?;
        let of_day = sqlx::query_as(
            "SELECT r.report::text AS report, (SELECT count(*) FROM advertiser_totals t WHERE t.run_id = e.run_id) AS active,
                    (SELECT count(*) FROM holds WHERE day = $1::date AND advertiser_id = '') AS is_held
             FROM publication_events e JOIN runs r ON r.run_id = e.run_id
             WHERE e.day = $1::date ORDER BY e.seq DESC LIMIT 1",
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
             FROM (SELECT day FROM publication_events WHERE day < $1::date GROUP BY day ORDER BY day DESC LIMIT 60) d
             JOIN publications p ON p.day = d.day AND p.advertiser_id = $2
             JOIN advertiser_totals t ON t.run_id = p.run_id AND t.advertiser_id = p.advertiser_id
             ORDER BY p.day DESC LIMIT $3",
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
             FROM (SELECT advertiser_id, max(day) AS day FROM publications WHERE day <= $1::date AND day >= $1::date - 60
                   GROUP BY advertiser_id) last
             JOIN publications p ON p.day = last.day AND p.advertiser_id = last.advertiser_id
             JOIN rankings r ON r.run_id = p.run_id AND r.model = $2 AND r.advertiser_id = p.advertiser_id
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
