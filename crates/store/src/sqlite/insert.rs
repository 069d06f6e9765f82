//! Rows into SQLite, many to a statement.

use crate::{content::Content, packed::PARTS_FORMAT, time};
use domain::RunId;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::sync::Arc;

/// Rows of a statement. SQLite takes 32,766 values; longer statements take longer for each row.
const ROWS_MAX: usize = 300;

pub(super) async fn rankings(
    connection: &mut SqliteConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    let columns =
        "rankings (run_id, day, model, advertiser_id, rank, product_id, score, impressions, clicks, views)";
    let (run_id, day): (Arc<str>, Arc<str>) =
        (run_id.as_str().into(), content.rankings().day.to_string().into());
    let rows: Vec<_> = content.rows().collect();
    let insert = Insert::new(columns, 3, 7);
    for of_model in rows.chunk_by(|one, other| one.model == other.model) {
        let model: Arc<str> = of_model[0].model.into();
        for rows in of_model.chunks(ROWS_MAX) {
            let query = sqlx::query(AssertSqlSafe(insert.sql(rows.len())));
            let mut query = query.bind(run_id.clone()).bind(day.clone()).bind(model.clone());
            for row in rows {
                query = query.bind(row.advertiser_id).bind(row.rank).bind(row.product_id);
                query = query.bind(row.score).bind(row.impressions).bind(row.clicks).bind(row.views);
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// What [`rankings`] says, packed.
pub(super) async fn parts(
    connection: &mut SqliteConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    for (model, parts) in content.parts() {
        let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
        for (part, bytes) in (0_i64..).zip(parts) {
            sqlx::query(
                "INSERT INTO packed_rankings (run_id, model, part, parts, format, bytes) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(run_id.as_str())
            .bind(model)
            .bind(part)
            .bind(count)
            .bind(PARTS_FORMAT)
            .bind(bytes)
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

pub(super) async fn publications(
    connection: &mut SqliteConnection,
    run_id: &RunId,
    content: &Content<'_>,
    published_at: Timestamp,
    seq: i64,
) -> Result<(), sqlx::Error> {
    let (run_id, day): (Arc<str>, Arc<str>) =
        (run_id.as_str().into(), content.rankings().day.to_string().into());
    let published_at: Arc<str> = time::to_text(published_at).into();
    let insert = Insert::new("publications (day, run_id, published_at, seq, advertiser_id)", 4, 1);
    let seen: Vec<_> = content.seen().collect();
    for advertisers in seen.chunks(ROWS_MAX) {
        let query = sqlx::query(AssertSqlSafe(insert.sql(advertisers.len())));
        let mut query = query.bind(day.clone()).bind(run_id.clone()).bind(published_at.clone()).bind(seq);
        for advertiser in advertisers {
            query = query.bind(advertiser.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn totals(
    connection: &mut SqliteConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    let run_id: Arc<str> = run_id.as_str().into();
    let insert = Insert::new("advertiser_totals (run_id, advertiser_id, impressions, clicks, views)", 1, 4);
    let rows: Vec<_> = content.totals().collect();
    for rows in rows.chunks(ROWS_MAX) {
        let mut query = sqlx::query(AssertSqlSafe(insert.sql(rows.len()))).bind(run_id.clone());
        for (advertiser, counts) in rows {
            query = counts.iter().fold(query.bind(*advertiser), |query, count| query.bind(*count));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// An INSERT of any number of rows, whose first columns have the same values in all of them. Only column
/// names that stand in this file become SQL.
struct Insert {
    columns: &'static str,
    shared: usize,
    own: usize,
    /// The statement of [`ROWS_MAX`] rows, which all but the last chunk share.
    full: Arc<str>,
}

impl Insert {
    fn new(columns: &'static str, shared: usize, own: usize) -> Self {
        let full = Self::of(columns, shared, own, ROWS_MAX).into();
        Self { columns, shared, own, full }
    }

    fn sql(&self, rows: usize) -> Arc<str> {
        if rows == ROWS_MAX {
            return self.full.clone();
        }
        Self::of(self.columns, self.shared, self.own, rows).into()
    }

    fn of(columns: &str, shared: usize, own: usize, rows: usize) -> String {
        // Numbered parameters would be shorter; SQLite looks each of them up by its name, one by one.
        let row = format!("({})", vec!["?"; own].join(","));
        let own = (1..=own).map(|column| format!("column{column}"));
        let values = vec!["?".to_owned(); shared].into_iter().chain(own).collect::<Vec<_>>().join(",");
        format!("INSERT INTO {columns} SELECT {values} FROM (VALUES {})", vec![row; rows].join(","))
    }
}
