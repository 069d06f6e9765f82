//! Rows into SQLite, many to a statement.

use crate::{content::Content, time};
use domain::RunId;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::sync::Arc;

/// Rows of a statement; SQLite takes 32,766 values.
const ROWS_MAX: usize = 3_000;

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
    let insert = Insert::new(columns, 10);
    for rows in rows.chunks(ROWS_MAX) {
        let mut query = sqlx::query(AssertSqlSafe(insert.sql(rows.len())));
        for row in rows {
            query = query.bind(run_id.clone()).bind(day.clone());
            query = query.bind(row.model).bind(row.advertiser_id).bind(row.rank).bind(row.product_id);
            query = query.bind(row.score).bind(row.impressions).bind(row.clicks).bind(row.views);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn publications(
    connection: &mut SqliteConnection,
    run_id: &RunId,
    content: &Content<'_>,
    published_at: Timestamp,
) -> Result<(), sqlx::Error> {
    let (run_id, day): (Arc<str>, Arc<str>) =
        (run_id.as_str().into(), content.rankings().day.to_string().into());
    let published_at: Arc<str> = time::to_text(published_at).into();
    let insert = Insert::new("publications (day, advertiser_id, run_id, published_at)", 4);
    for advertisers in content.rankings().active.chunks(ROWS_MAX) {
        let mut query = sqlx::query(AssertSqlSafe(insert.sql(advertisers.len())));
        for advertiser in advertisers {
            query = query.bind(day.clone()).bind(advertiser.as_str());
            query = query.bind(run_id.clone()).bind(published_at.clone());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// An INSERT of any number of rows. Only column names that stand in this file become SQL.
struct Insert {
    columns: &'static str,
    row: String,
    /// The statement of [`ROWS_MAX`] rows, which all but the last chunk share.
    full: Arc<str>,
}

impl Insert {
    fn new(columns: &'static str, values: usize) -> Self {
        let row = format!("({})", vec!["?"; values].join(","));
        let full = Self::of(columns, &row, ROWS_MAX).into();
        Self { columns, row, full }
    }

    fn sql(&self, rows: usize) -> Arc<str> {
        if rows == ROWS_MAX { self.full.clone() } else { Self::of(self.columns, &self.row, rows).into() }
    }

    fn of(columns: &str, row: &str, rows: usize) -> String {
        format!("INSERT INTO {columns} VALUES {}", vec![row; rows].join(","))
    }
}
