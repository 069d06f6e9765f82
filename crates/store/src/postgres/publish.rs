//! The transaction that moves what readers see in PostgreSQL.

use super::{Postgres, copy::CopyIn, lock_day, lock_events, next_seq, tell};
use crate::{
    content::{self, Content, RankedRow, TakenBack},
    decision::{Publication, RunState, Standing, StandingHolds, decide},
    error::Failure,
    holds::Holds,
    moves::TAKEN_BACK,
    packed::PARTS_FORMAT,
    time,
};
use domain::{Day, RunId};
use jiff::Timestamp;
use sqlx::PgConnection;

impl Postgres {
    pub(crate) async fn publish(
        &self,
        run_id: &RunId,
        content: Content<'_>,
        published_at: Timestamp,
    ) -> Result<(Publication, Holds), Failure> {
        let day = content.rankings().day;
        let mut transaction = self.pool.begin_with(super::WRITE).await?;
        lock_day(&mut transaction, day).await?;
        stamp(&mut transaction, day).await?;
        let run = run_state(&mut transaction, run_id).await?;
        let is_done = run.as_ref().is_some_and(|run| run.has_published(&content));
        let standing = standing(&mut transaction, day).await?;
        let holds = standing_holds(&mut transaction, &content).await?;
        let seen = seen_alike(&mut transaction, &content).await?;
        let content = content.without_accepted(&seen);
        let taken_back = taken_back(&mut transaction, &content).await?;
        let content = content.with_taken_back(taken_back);
        let decision = decide(run_id, run, standing, &holds, &content)?;
        if is_done {
            return Ok((decision, content.into_holds()));
        }
        let rankings_run = match &decision {
            Publication::Unchanged { published_run, .. } => published_run,
            Publication::Held { waiting_run } if waiting_run != run_id => waiting_run,
            Publication::Moved | Publication::Held { .. } => {
                insert_rankings(&mut transaction, run_id, &content).await?;
                insert_parts(&mut transaction, run_id, &content).await?;
                insert_totals(&mut transaction, run_id, &content).await?;
                run_id
            }
        };
        lock_events(&mut transaction).await?;
        let seq = next_seq(&mut transaction).await?;
        match &decision {
            Publication::Held { waiting_run } if waiting_run != run_id => (),
            Publication::Moved | Publication::Held { .. } => {
                replace_holds(&mut transaction, run_id, &content, seq).await?;
                tell(&mut transaction, &day.to_string()).await?;
            }
            // Readers see all of it: whatever another run of the day left held is of no account any more.
            Publication::Unchanged { published_run, is_held: false } if !holds.names.is_empty() => {
                end_holds(&mut transaction, day, seq).await?;
                append_event(&mut transaction, published_run, day, published_at, seq).await?;
                tell(&mut transaction, &day.to_string()).await?;
            }
            Publication::Unchanged { .. } => (),
        }
        if decision == Publication::Moved {
            replace_publications(&mut transaction, run_id, &content, published_at, seq).await?;
            append_event(&mut transaction, run_id, day, published_at, seq).await?;
        }
        note_published(&mut transaction, run_id, &content, rankings_run).await?;
        transaction.commit().await.map_err(Failure::of_commit)?;
        Ok((decision, content.into_holds()))
    }
}

async fn run_state(connection: &mut PgConnection, run_id: &RunId) -> Result<Option<RunState>, sqlx::Error> {
    sqlx::query_as(
        "SELECT to_char(day, 'YYYY-MM-DD') AS day, status, rankings_digest, rankings_run_id,
                (SELECT count(*) FROM publication_events e
                 WHERE e.day = runs.day AND e.run_id = $1 AND e.kind = 'publish') AS moves
         FROM runs WHERE run_id = $1 FOR UPDATE",
    )
    .bind(run_id.as_str())
    .fetch_optional(connection)
    .await
}

async fn standing(connection: &mut PgConnection, day: Day) -> Result<Option<Standing>, sqlx::Error> {
    sqlx::query_as(
        "SELECT e.run_id, r.rankings_digest,
                (SELECT count(*) FROM publications WHERE day = $1::date) AS rows,
                (SELECT count(*) FROM publications WHERE day = $1::date AND run_id = e.run_id) AS rows_of_run
         FROM (SELECT run_id, is_seen FROM publication_events
               WHERE day = $1::date AND kind NOT IN ('pin', 'unpin') ORDER BY seq DESC LIMIT 1) e
         LEFT JOIN runs r ON r.run_id = e.run_id
         WHERE e.is_seen",
    )
    .bind(day.to_string())
    .fetch_optional(connection)
    .await
}

async fn standing_holds(
    connection: &mut PgConnection,
    content: &Content<'_>,
) -> Result<StandingHolds, sqlx::Error> {
    let day = content.rankings().day.to_string();
    let names = sqlx::query_as(
        "SELECT advertiser_id, check_name FROM holds WHERE day = $1::date ORDER BY advertiser_id",
    )
    .bind(&day)
    .fetch_all(&mut *connection)
    .await?;
    let waiting_run = sqlx::query_scalar(
        "SELECT h.run_id FROM holds h JOIN runs r ON r.run_id = h.run_id
         WHERE h.day = $1::date AND h.advertiser_id = '' AND r.rankings_digest = $2",
    )
    .bind(&day)
    .bind(content.digest())
    .fetch_optional(connection)
    .await?;
    Ok(StandingHolds { names, waiting_run })
}

/// The advertisers of whom readers see exactly what the content says.
async fn seen_alike(
    connection: &mut PgConnection,
    content: &Content<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT p.advertiser_id FROM publications p JOIN runs r ON r.run_id = p.run_id
         WHERE p.day = $1::date AND r.rankings_digest = $2",
    )
    .bind(content.rankings().day.to_string())
    .bind(content.digest())
    .fetch_all(connection)
    .await
}

/// What someone has taken back, no reader has seen again since, and the content says anew: all of it, or the
/// rankings of advertisers. Advertisers, empty for all, and why.
async fn taken_back(
    connection: &mut PgConnection,
    content: &Content<'_>,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let of_all = day_taken_back(connection, content).await?;
    let mut taken_back: Vec<_> = of_all.into_iter().map(|message| (String::new(), message)).collect();
    for row in content::remembered(advertisers_taken_back(connection, content).await?) {
        let TakenBack { advertiser_id, run_id, message, seen_run_id, .. } = row;
        if let Some(seen_run) = seen_run_id
            && is_same_ranking(connection, content, &advertiser_id, &seen_run).await?
        {
            // They see it all the same.
            continue;
        }
        if is_same_ranking(connection, content, &advertiser_id, &run_id).await? {
            taken_back.push((advertiser_id, message));
        }
    }
    Ok(taken_back)
}

/// Why the whole day was taken back when it was exactly the content, unless readers have seen that again since.
async fn day_taken_back(
    connection: &mut PgConnection,
    content: &Content<'_>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT h.message
         FROM (SELECT run_id, message, seq FROM holds
               WHERE day = $1::date AND advertiser_id = '' AND check_name = $2
               UNION ALL SELECT run_id, message, from_seq FROM past_holds
               WHERE day = $1::date AND advertiser_id = '' AND check_name = $2) h
         JOIN runs r ON r.run_id = h.run_id AND r.rankings_digest = $3
         WHERE NOT EXISTS (
             SELECT 1 FROM publication_events e JOIN runs again ON again.run_id = e.run_id
             WHERE e.day = $1::date AND e.seq >= h.seq AND e.advertiser_id IS NULL AND e.kind <> 'trim' AND e.is_seen
               AND again.rankings_digest = $3)
         ORDER BY h.seq DESC LIMIT 1",
    )
    .bind(content.rankings().day.to_string())
    .bind(TAKEN_BACK)
    .bind(content.digest())
    .fetch_optional(connection)
    .await
}

/// Every ranking of one advertiser that was ever taken back.
async fn advertisers_taken_back(
    connection: &mut PgConnection,
    content: &Content<'_>,
) -> Result<Vec<TakenBack>, sqlx::Error> {
    sqlx::query_as(
        "SELECT h.advertiser_id, h.run_id, h.message, p.run_id AS seen_run_id,
                (SELECT count(*) FROM publications again
                 WHERE again.day = $1::date AND again.advertiser_id = h.advertiser_id
                   AND again.run_id = h.run_id AND again.seq > h.seq)
                + (SELECT count(*) FROM past_publications again
                   WHERE again.day = $1::date AND again.advertiser_id = h.advertiser_id
                     AND again.run_id = h.run_id AND again.from_seq > h.seq) AS seen_again
         FROM (SELECT advertiser_id, run_id, message, seq FROM holds WHERE day = $1::date AND check_name = $2
               UNION ALL SELECT advertiser_id, run_id, message, from_seq FROM past_holds
               WHERE day = $1::date AND check_name = $2) h
         LEFT JOIN publications p ON p.day = $1::date AND p.advertiser_id = h.advertiser_id
         WHERE h.advertiser_id <> '' ORDER BY h.advertiser_id, h.seq",
    )
    .bind(content.rankings().day.to_string())
    .bind(TAKEN_BACK)
    .fetch_all(connection)
    .await
}

/// Whether the run ranked the advertiser as the content does.
async fn is_same_ranking(
    connection: &mut PgConnection,
    content: &Content<'_>,
    advertiser: &str,
    run: &str,
) -> Result<bool, sqlx::Error> {
    for (model, ranking) in content.rankings_of(advertiser) {
        let then: Vec<RankedRow> = sqlx::query_as(
            "SELECT product_id, score, impressions, clicks, views FROM rankings
             WHERE run_id = $1 AND model = $2 AND advertiser_id = $3 ORDER BY rank",
        )
        .bind(run)
        .bind(model)
        .bind(advertiser)
        .fetch_all(&mut *connection)
        .await?;
        if then != ranking {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says of the day's rows that an earlier version wrote, beside a database of this one, by which event they came:
/// the last, for all that is known.
pub(super) async fn stamp(connection: &mut PgConnection, day: Day) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE publications SET seq = (
             SELECT coalesce(max(e.seq), 0) FROM publication_events e
             WHERE e.day = $1::date AND e.kind NOT IN ('pin', 'unpin'))
         WHERE day = $1::date AND seq = 0",
    )
    .bind(day.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the holds of the day to the past.
async fn end_holds(connection: &mut PgConnection, day: Day, seq: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO past_holds (day, advertiser_id, from_seq, to_seq, run_id, check_name, message)
         SELECT day, advertiser_id, seq, $2, run_id, check_name, message FROM holds WHERE day = $1::date",
    )
    .bind(day.to_string())
    .bind(seq)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM holds WHERE day = $1::date").bind(day.to_string()).execute(connection).await?;
    Ok(())
}

async fn replace_holds(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
    seq: i64,
) -> Result<(), sqlx::Error> {
    end_holds(connection, content.rankings().day, seq).await?;
    let day = content.rankings().day.to_string();
    let statement = "COPY holds (day, advertiser_id, run_id, check_name, message, seq) FROM STDIN";
    let mut copy = CopyIn::begin(connection, statement).await?;
    for (advertiser, hold) in content.holds().rows() {
        copy.text(&day)
            .text(advertiser)
            .text(run_id.as_str())
            .text(&hold.check)
            .text(&hold.message)
            .value(seq);
        copy.end_row().await?;
    }
    copy.finish().await
}

/// Replaces what readers see of the day, but for advertisers that are held.
async fn replace_publications(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
    published_at: Timestamp,
    seq: i64,
) -> Result<(), sqlx::Error> {
    let day = content.rankings().day.to_string();
    sqlx::query(
        "INSERT INTO past_publications (day, advertiser_id, from_seq, to_seq, run_id, published_at)
         SELECT day, advertiser_id, seq, $2, run_id, published_at FROM publications
         WHERE day = $1::date AND advertiser_id NOT IN (SELECT advertiser_id FROM holds WHERE day = $1::date)",
    )
    .bind(&day)
    .bind(seq)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM publications WHERE day = $1::date
         AND advertiser_id NOT IN (SELECT advertiser_id FROM holds WHERE day = $1::date)",
    )
    .bind(&day)
    .execute(&mut *connection)
    .await?;
    let published_at = time::to_text(published_at);
    let statement = "COPY publications (day, advertiser_id, run_id, published_at, seq) FROM STDIN";
    let mut copy = CopyIn::begin(connection, statement).await?;
    for advertiser in content.seen() {
        copy.text(&day).text(advertiser.as_str()).text(run_id.as_str()).text(&published_at).value(seq);
        copy.end_row().await?;
    }
    copy.finish().await
}

async fn append_event(
    connection: &mut PgConnection,
    run_id: &RunId,
    day: Day,
    published_at: Timestamp,
    seq: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO publication_events (seq, day, run_id, published_at)
         VALUES ($1, $2::date, $3, $4::timestamptz)",
    )
    .bind(seq)
    .bind(day.to_string())
    .bind(run_id.as_str())
    .bind(time::to_text(published_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn note_published(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
    rankings_run: &RunId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE runs SET models = $2::json, rankings_digest = $3, rankings_run_id = $4,
                seen_at = date_trunc('milliseconds', clock_timestamp())
         WHERE run_id = $1",
    )
    .bind(run_id.as_str())
    .bind(content.models_json())
    .bind(content.digest())
    .bind(rankings_run.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_rankings(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    let day = content.rankings().day.to_string();
    let mut copy = CopyIn::begin(
        connection,
        "COPY rankings (run_id, day, model, advertiser_id, rank, product_id, score, impressions, clicks, views)
         FROM STDIN",
    )
    .await?;
    for row in content.rows() {
        copy.text(run_id.as_str()).text(&day).text(row.model).text(row.advertiser_id);
        copy.value(row.rank).text(row.product_id).number(row.score);
        copy.value(row.impressions).value(row.clicks).value(row.views);
        copy.end_row().await?;
    }
    copy.finish().await
}

/// What [`insert_rankings`] says, packed. In binary, which COPY of text would double.
async fn insert_parts(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    for (model, parts) in content.parts() {
        for (part, bytes) in (0_i32..).zip(&parts) {
            sqlx::query(
                "INSERT INTO packed_rankings (run_id, model, part, parts, format, bytes) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(run_id.as_str())
            .bind(model)
            .bind(part)
            .bind(i32::try_from(parts.len()).unwrap_or(i32::MAX))
            .bind(PARTS_FORMAT)
            .bind(bytes)
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn insert_totals(
    connection: &mut PgConnection,
    run_id: &RunId,
    content: &Content<'_>,
) -> Result<(), sqlx::Error> {
    let statement = "COPY advertiser_totals (run_id, advertiser_id, impressions, clicks, views) FROM STDIN";
    let mut copy = CopyIn::begin(connection, statement).await?;
    for (advertiser, counts) in content.totals() {
        copy.text(run_id.as_str()).text(advertiser);
        for count in counts {
            copy.value(count);
        }
        copy.end_row().await?;
    }
    copy.finish().await
}
