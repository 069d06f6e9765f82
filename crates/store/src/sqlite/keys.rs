//! Keys of the API in SQLite.

use super::Sqlite;
use crate::{
    error::Failure,
    keys::{ApiKey, KeyRow, NewApiKey, Use},
    time,
};
use jiff::Timestamp;
use sqlx::SqliteConnection;

macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT key_id, name, lower(hex(digest)) AS digest, advertisers, created_at, revoked_at, last_used_at
             FROM api_keys ",
            $rest
        )
    };
}

impl Sqlite {
    pub(crate) async fn add_key(&self, key: &NewApiKey) -> Result<(), Failure> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(there) = in_the_way(&mut transaction, key).await? {
            return key.is_there_as(there.try_into()?);
        }
        sqlx::query(
            "INSERT INTO api_keys (key_id, name, digest, advertisers, created_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(key.key_id.as_str())
        .bind(key.name.as_str())
        .bind(&key.digest[..])
        .bind(key.scope.to_json())
        .bind(time::to_text(key.created_at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(crate) async fn keys(&self) -> Result<Vec<KeyRow>, sqlx::Error> {
        sqlx::query_as(select_keys!("ORDER BY created_at, key_id")).fetch_all(&self.pool).await
    }

    pub(crate) async fn keys_version(&self) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT version FROM api_keys_version").fetch_optional(&self.pool).await
    }

    /// The key as it is then; none when there is none.
    pub(crate) async fn revoke_key(&self, key: &str, at: Timestamp) -> Result<Option<ApiKey>, Failure> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(key_id) = key_id_of(&mut transaction, key).await? else { return Ok(None) };
        sqlx::query("UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL")
            .bind(time::to_text(at))
            .bind(&key_id)
            .execute(&mut *transaction)
            .await?;
        let row: KeyRow = sqlx::query_as(select_keys!("WHERE key_id = ?"))
            .bind(&key_id)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        ApiKey::try_from(row).map(Some)
    }

    pub(crate) async fn note_keys_used(&self, used: &[Use]) -> Result<(), Failure> {
        sqlx::query(
            "UPDATE api_keys SET last_used_at = used.at
             FROM (SELECT value ->> 'key_id' AS key_id, value ->> 'at' AS at FROM json_each(?)) AS used
             WHERE api_keys.key_id = used.key_id AND (last_used_at IS NULL OR last_used_at < used.at)",
        )
        .bind(serde_json::json!(used).to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Those of the advertisers, a JSON array, of whom readers see anything.
    pub(crate) async fn seen_advertisers(&self, of: &[&str]) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT DISTINCT advertiser_id FROM publications
             WHERE advertiser_id IN (SELECT value FROM json_each(?)) ORDER BY advertiser_id",
        )
        .bind(serde_json::json!(of).to_string())
        .fetch_all(&self.pool)
        .await
    }
}

/// What keeps the key from being made: itself, when it was made already; a key in force of the same name; a key whose
/// id is the name.
async fn in_the_way(
    connection: &mut SqliteConnection,
    key: &NewApiKey,
) -> Result<Option<KeyRow>, sqlx::Error> {
    sqlx::query_as(select_keys!(
        "WHERE key_id IN (?1, ?2) OR (name = ?2 AND revoked_at IS NULL) ORDER BY key_id = ?1 DESC LIMIT 1"
    ))
    .bind(key.key_id.as_str())
    .bind(key.name.as_str())
    .fetch_optional(connection)
    .await
}

/// The id of the key that has this id; else of the one in force of this name; else of the last that had it.
async fn key_id_of(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT key_id FROM api_keys WHERE key_id = ?1 OR name = ?1
         ORDER BY key_id = ?1 DESC, revoked_at IS NULL DESC, created_at DESC, key_id LIMIT 1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await
}
