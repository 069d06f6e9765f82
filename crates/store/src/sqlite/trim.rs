//! Deleting in SQLite what is older than it need be kept.

use super::{Sqlite, next_seq, read::last_run_seen};
use crate::{error::Failure, time};
use domain::Day;
use jiff::Timestamp;

/// Rows that one transaction deletes at most, but for a day's publications, which go together.
fn rows_max(table: &str) -> u32 {
    // A part is a thousand times as long as a row of another table.
    if table == "packed_rankings" { 16 } else { 5_000 }
}

impl Sqlite {
    pub(crate) async fn days_to_trim(&self, before: Day) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT day FROM publications WHERE day < ?1 UNION SELECT day FROM past_publications WHERE day < ?1
             UNION SELECT day FROM holds WHERE day < ?1
             UNION SELECT day FROM runs WHERE day < ?1 AND (
                 EXISTS (SELECT 1 FROM rankings WHERE rankings.run_id = runs.run_id)
                 OR EXISTS (SELECT 1 FROM advertiser_totals t WHERE t.run_id = runs.run_id))
             ORDER BY 1",
        )
        .bind(before.to_string())
        .fetch_all(&self.pool)
        .await
    }

    pub(crate) async fn trim_day(&self, day: Day, at: Timestamp) -> Result<u64, Failure> {
        let mut rows = self.hide_day(day, at).await?;
        let day = day.to_string();
        for past in ["past_publications", "past_holds"] {
            rows += self.delete(past, "day = ?1 AND ?2 = ''", &day, "").await?;
        }
        let runs: Vec<String> = sqlx::query_scalar("SELECT run_id FROM runs WHERE day = ?")
            .bind(&day)
            .fetch_all(&self.pool)
            .await?;
        for run in runs {
            // What is left of a run's rows is not what its parts say.
            rows += self.delete("packed_rankings", OF_RUN, &day, &run).await?;
            for table in ["rankings", "advertiser_totals"] {
                rows += self.delete(table, NOT_SEEN, &day, &run).await?;
            }
        }
        Ok(rows)
    }

    /// Takes the day from readers, in one transaction, but for what they see last of advertisers that are held
    /// back since.
    async fn hide_day(&self, day: Day, at: Timestamp) -> Result<u64, Failure> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let seq = next_seq(&mut transaction).await?;
        let of_day = day.to_string();
        let publications = sqlx::query(
            "DELETE FROM publications WHERE day = ?1 AND advertiser_id NOT IN (
                 SELECT h.advertiser_id FROM holds h
                 WHERE h.day > ?1 AND NOT EXISTS (
                     SELECT 1 FROM (SELECT DISTINCT day FROM publication_events WHERE day > ?1) later
                     JOIN publications p ON p.day = later.day AND p.advertiser_id = h.advertiser_id))",
        )
        .bind(&of_day)
        .execute(&mut *transaction)
        .await?;
        let held_run: Option<String> = sqlx::query_scalar("SELECT run_id FROM holds WHERE day = ?1 LIMIT 1")
            .bind(&of_day)
            .fetch_optional(&mut *transaction)
            .await?;
        let holds =
            sqlx::query("DELETE FROM holds WHERE day = ?1").bind(&of_day).execute(&mut *transaction).await?;
        // Also when readers saw nothing but that something was held: a number never comes twice.
        if let Some(run) = last_run_seen(&mut transaction, day).await?.or(held_run) {
            sqlx::query(
                "INSERT INTO publication_events (seq, day, run_id, published_at, kind, to_seq, is_seen)
                 VALUES (?1, ?2, ?3, ?4, 'trim', 0, 0)",
            )
            .bind(seq)
            .bind(&of_day)
            .bind(run)
            .bind(time::to_text(at))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(publications.rows_affected() + holds.rows_affected())
    }

    /// Deletes the rows of a table that `condition` is true of, few at a time; ?1 is the day, ?2 the run.
    async fn delete(
        &self,
        table: &'static str,
        condition: &'static str,
        day: &str,
        run: &str,
    ) -> Result<u64, sqlx::Error> {
        let key = match table {
            "rankings" => "run_id, model, advertiser_id, rank",
            "packed_rankings" => "run_id, model, part",
            "advertiser_totals" => "run_id, advertiser_id",
            _ => "day, advertiser_id, to_seq",
        };
        let statement = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} t WHERE {condition} LIMIT {})",
            rows_max(table)
        );
        let mut deleted = 0;
        loop {
            let query = sqlx::query(sqlx::AssertSqlSafe(statement.as_str())).bind(day).bind(run);
            match query.execute(&self.pool).await?.rows_affected() {
                0 => return Ok(deleted),
                rows => deleted += rows,
            }
        }
    }
}

/// All of a run's rows.
const OF_RUN: &str = "?1 <> '' AND t.run_id = ?2";

/// Of a run's rows those that readers do not see.
const NOT_SEEN: &str = "t.run_id = ?2
    AND NOT EXISTS (SELECT 1 FROM publications p
                    WHERE p.day = ?1 AND p.advertiser_id = t.advertiser_id AND p.run_id = ?2)
    AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.advertiser_id = t.advertiser_id AND pins.run_id = ?2)";
