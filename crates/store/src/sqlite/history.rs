//! Reading from SQLite what was published before, as checks compare with it.

use super::Sqlite;
use crate::{
    error::Failure,
    history::{self, DayRow, LastRankings, LastRow, TotalsRow},
};
use domain::{AdvertiserId, Day, ModelName};
use futures::TryStreamExt;

impl Sqlite {
    pub(crate) async fn days_before(&self, day: Day, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT e.day FROM publication_events e
             JOIN (SELECT max(seq) AS seq FROM publication_events WHERE day < ? AND kind NOT IN ('pin', 'unpin') GROUP BY day) last
               ON last.seq = e.seq
             WHERE e.is_seen ORDER BY e.day DESC LIMIT ?",
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
             WHERE e.day = ?1 AND e.kind NOT IN ('pin', 'unpin') ORDER BY e.seq DESC LIMIT 1",
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
             FROM (SELECT advertiser_id, max(day) AS day FROM publications
                   WHERE day <= ?1 AND day >= date(?1, '-60 days') GROUP BY advertiser_id) last
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
