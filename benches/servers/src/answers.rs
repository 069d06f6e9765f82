//! The answer of the server that reads PostgreSQL: the same JSON as topshelf's, from rows.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use sqlx::{FromRow, Row as _, postgres::PgRow};

/// A ranked product, with what all products of its ranking share.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The place, from 1.
    pub rank: i32,
    /// The product.
    pub product_id: String,
    /// What the model orders by.
    pub score: f64,
    /// Times its ad was shown.
    pub impressions: i64,
    /// Times its ad was clicked.
    pub clicks: i64,
    /// Visits of its page.
    pub views: i64,
    /// The run that made the ranking.
    pub run_id: String,
    /// The day, in days since 1970-01-01.
    pub epoch_days: i32,
    /// When it was published, in seconds since 1970-01-01.
    pub published_s: f64,
}

impl FromRow<'_, PgRow> for Row {
    /// By the places of the columns, which stand in the order of the fields.
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            rank: row.try_get(0)?,
            product_id: row.try_get(1)?,
            score: row.try_get(2)?,
            impressions: row.try_get(3)?,
            clicks: row.try_get(4)?,
            views: row.try_get(5)?,
            run_id: row.try_get(6)?,
            epoch_days: row.try_get(7)?,
            published_s: row.try_get(8)?,
        })
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    advertiser_id: &'a str,
    model: &'a str,
    day: Date,
    run_id: &'a str,
    published_at: Timestamp,
    stale: bool,
    recommendations: Vec<Recommendation<'a>>,
}

#[derive(Serialize)]
struct Recommendation<'a> {
    rank: i32,
    product_id: &'a str,
    score: f64,
    impressions: i64,
    clicks: i64,
    views: i64,
}

/// The JSON of a ranking; none without rows.
#[must_use]
pub fn body(advertiser_id: &str, model: &str, rows: &[Row]) -> Option<Vec<u8>> {
    let first = rows.first()?;
    let answer = Answer {
        advertiser_id,
        model,
        day: midnight(first.epoch_days)?.to_zoned(TimeZone::UTC).date(),
        run_id: &first.run_id,
        published_at: moment(first.published_s)?,
        stale: false,
        recommendations: rows.iter().map(recommendation).collect(),
    };
    serde_json::to_vec(&answer).ok()
}

fn recommendation(row: &Row) -> Recommendation<'_> {
    Recommendation {
        rank: row.rank,
        product_id: &row.product_id,
        score: row.score,
        impressions: row.impressions,
        clicks: row.clicks,
        views: row.views,
    }
}

fn midnight(epoch_days: i32) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(epoch_days) * 86_400).ok()
}

/// Publications are dated to the millisecond.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time are far below 2^53")]
fn moment(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1_000.0).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_fields_of_ours_in_their_order() {
        let row = Row {
            rank: 1,
            product_id: "lamp".to_owned(),
            score: 0.125,
            impressions: 8,
            clicks: 1,
            views: 3,
            run_id: "20241121T023000Z-3f9a1c2e".to_owned(),
            epoch_days: 20_047,
            published_s: 1_732_156_245.006,
        };
        let body = String::from_utf8(body("acme", "TopCTR", &[row]).unwrap()).unwrap();
        assert_eq!(
            body,
            r#"{"advertiser_id":"acme","model":"TopCTR","day":"2024-11-20","run_id":"20241121T023000Z-3f9a1c2e","#
                .to_owned()
                + r#""published_at":"2024-11-21T02:30:45.006Z","stale":false,"recommendations":[{"rank":1,"#
                + r#""product_id":"lamp","score":0.125,"impressions":8,"clicks":1,"views":3}]}"#
        );
    }

    #[test]
    fn no_rows_are_no_answer() {
        assert_eq!(body("acme", "TopCTR", &[]), None);
    }
}
