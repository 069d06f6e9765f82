//! Keys of the API in PostgreSQL.

use super::{Postgres, WRITE, bound_waits};
use crate::{
    error::Failure,
    keys::{ApiKey, KeyRow, NewApiKey, Use},
    time,
};
use jiff::Timestamp;
use sqlx::PgConnection;

macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            r#"SELECT key_id, name, encode(digest, 'hex') AS digest, advertisers::text AS advertisers,
            to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at,
            to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS revoked_at,
            to_char(last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS last_used_at
            FROM api_keys "#,
            $rest
        )
    };
}

impl Postgres {
    pub(crate) async fn add_key(&self, key: &NewApiKey) -> Result<(), Failure> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        bound_waits(&mut transaction, true).await?;
        while !insert(&mut transaction, key).await? {
            // What it met has been committed, and may be revoked since.
            if let Some(there) = in_the_way(&mut transaction, key).await? {
                return key.is_there_as(there.try_into()?);
            }
        }
        transaction.commit().await.map_err(Failure::of_commit)
    }

    pub(crate) async fn keys(&self) -> Result<Vec<KeyRow>, sqlx::Error> {
        sqlx::query_as(select_keys!("ORDER BY api_keys.created_at, key_id")).fetch_all(&self.pool).await
    }

    pub(crate) async fn keys_version(&self) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT version FROM api_keys_version").fetch_optional(&self.pool).await
    }

    /// The key as it is then; none when there is none.
    pub(crate) async fn revoke_key(&self, key: &str, at: Timestamp) -> Result<Option<ApiKey>, Failure> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        bound_waits(&mut transaction, true).await?;
        let Some(key_id) = key_id_of(&mut transaction, key).await? else { return Ok(None) };
        sqlx::query(
            "UPDATE api_keys SET revoked_at = $2::timestamptz WHERE key_id = $1 AND revoked_at IS NULL",
        )
        .bind(&key_id)
        .bind(time::to_text(at))
        .execute(&mut *transaction)
        .await?;
        let row: KeyRow = sqlx::query_as(select_keys!("WHERE key_id = $1"))
            .bind(&key_id)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await.map_err(Failure::of_commit)?;
        ApiKey::try_from(row).map(Some)
    }

    /// Rows are locked in the order of their ids, so that servers that note the same keys wait for each other in one
    /// direction.
    pub(crate) async fn note_keys_used(&self, used: &[Use]) -> Result<(), Failure> {
        let (ids, moments): (Vec<_>, Vec<_>) =
            used.iter().map(|of| (of.key_id.as_str(), of.at.as_str())).unzip();
        sqlx::query(
            "WITH used AS (
                 SELECT key_id, at::timestamptz AS at FROM unnest($1::text[], $2::text[]) AS said(key_id, at)
             ), locked AS (
                 SELECT key_id, used.at FROM api_keys JOIN used USING (key_id)
                 WHERE last_used_at IS NULL OR last_used_at < used.at
                 ORDER BY key_id FOR NO KEY UPDATE OF api_keys
             )
             UPDATE api_keys SET last_used_at = greatest(last_used_at, locked.at)
             FROM locked WHERE api_keys.key_id = locked.key_id",
        )
        .bind(ids)
        .bind(moments)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Those of the advertisers of whom readers see anything.
    pub(crate) async fn seen_advertisers(&self, of: &[&str]) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT DISTINCT advertiser_id FROM publications WHERE advertiser_id = ANY($1) ORDER BY advertiser_id",
        )
        .bind(of)
        .fetch_all(&self.pool)
        .await
    }
}

/// Whether it was inserted: not while another is in the way, which is waited for when it is not committed yet.
async fn insert(connection: &mut PgConnection, key: &NewApiKey) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO api_keys (key_id, name, digest, advertisers, created_at)
         SELECT $1, $2, $3, $4::json, $5::timestamptz WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE key_id = $2)
         ON CONFLICT DO NOTHING",
    )
    .bind(key.key_id.as_str())
    .bind(key.name.as_str())
    .bind(&key.digest[..])
    .bind(key.scope.to_json())
    .bind(time::to_text(key.created_at))
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What keeps the key from being made: itself, when it was made already; a key in force of the same name; a key whose
/// id is the name.
async fn in_the_way(connection: &mut PgConnection, key: &NewApiKey) -> Result<Option<KeyRow>, sqlx::Error> {
    sqlx::query_as(select_keys!(
        "WHERE key_id IN ($1, $2) OR (name = $2 AND api_keys.revoked_at IS NULL) ORDER BY key_id = $1 DESC LIMIT 1"
    ))
    .bind(key.key_id.as_str())
    .bind(key.name.as_str())
    .fetch_optional(connection)
    .await
}

/// The id of the key that has this id; else of the one in force of this name; else of the last that had it.
async fn key_id_of(connection: &mut PgConnection, key: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT key_id FROM api_keys WHERE key_id = $1 OR name = $1
         ORDER BY key_id = $1 DESC, revoked_at IS NULL DESC, created_at DESC, key_id LIMIT 1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await
}
