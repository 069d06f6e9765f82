//! Keys of the API: who may ask, and for whose rankings.
//!
//! A key's text is made here and told once; what is kept of it is its SHA-256, beside a name and whose rankings it is
//! for. A key comes into force when it is made and is out of it once it is revoked, for good; its row stays. Never
//! here: the text of a key that was made before, judging a request, caching keys.

mod name;
mod text;

use crate::{
    columns::from_columns,
    error::{Failure, StoreError},
    time,
};
use domain::AdvertiserId;
use jiff::Timestamp;
use serde::Serialize;

pub use name::{KeyName, KeyNameError};
pub use text::{KeyId, KeyText, NoRandomness};

/// SHA-256 of a key's whole text.
pub type KeyDigest = [u8; 32];

/// Whose rankings a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyScope {
    /// All advertisers', also of those that come later.
    All,
    /// These advertisers': in byte order, each once, at least one.
    Advertisers(Vec<AdvertiserId>),
}

impl KeyScope {
    /// The advertisers in order, each once; none when there are none.
    #[must_use]
    pub fn of(mut advertisers: Vec<AdvertiserId>) -> Option<Self> {
        advertisers.sort_unstable();
        advertisers.dedup();
        (!advertisers.is_empty()).then_some(Self::Advertisers(advertisers))
    }

    /// Whether the advertiser's rankings are among them, whether there is such an advertiser or not.
    #[must_use]
    pub fn covers(&self, advertiser: &str) -> bool {
        match self {
            Self::All => true,
            Self::Advertisers(of) => of.binary_search_by(|id| id.as_str().cmp(advertiser)).is_ok(),
        }
    }

    /// The advertisers, when it is not for all.
    #[must_use]
    pub fn advertisers(&self) -> Option<&[AdvertiserId]> {
        match self {
            Self::All => None,
            Self::Advertisers(of) => Some(of),
        }
    }

    /// As the databases keep it: the ids in a JSON array, which has a way to write every id.
    pub(crate) fn to_json(&self) -> Option<String> {
        self.advertisers().map(|of| serde_json::json!(of).to_string())
    }

    fn from_json(json: Option<&str>) -> Result<Self, Failure> {
        let Some(json) = json else { return Ok(Self::All) };
        let corrupt = || Failure::corrupt("the advertisers of an API key", json);
        let advertisers = serde_json::from_str(json).map_err(|_| corrupt())?;
        Self::of(advertisers).ok_or_else(corrupt)
    }
}

/// A key that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// Its id, which its text begins with.
    pub key_id: KeyId,
    /// What people call it. No other key in force is called so.
    pub name: KeyName,
    /// What is kept of its text.
    pub digest: KeyDigest,
    /// Whose rankings it is for.
    pub scope: KeyScope,
    /// When it was made. Kept to the millisecond.
    pub created_at: Timestamp,
}

impl NewApiKey {
    /// The key of the text.
    #[must_use]
    pub fn new(text: &KeyText, name: KeyName, scope: KeyScope, created_at: Timestamp) -> Self {
        let created_at = time::to_millisecond(created_at);
        Self { key_id: text.key_id(), name, digest: text.digest(), scope, created_at }
    }

    /// Whether what is there is this key: whoever made it did not hear so. Otherwise why it cannot be made.
    pub(crate) fn is_there_as(&self, there: ApiKey) -> Result<(), Failure> {
        if there.key_id == self.key_id && there.digest == self.digest && there.revoked_at.is_none() {
            return Ok(());
        }
        let ApiKey { key_id, created_at, .. } = there;
        Err(StoreError::KeyNameTaken { name: self.name.clone(), key_id, created_at }.into())
    }
}

/// A key as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which its text begins with.
    pub key_id: KeyId,
    /// What people call it. Several that are revoked may have had the same name.
    pub name: String,
    /// SHA-256 of its whole text.
    pub digest: KeyDigest,
    /// Whose rankings it is for.
    pub scope: KeyScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; none while it is in force.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as far as servers could note; none before the first time.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it has not been revoked.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.revoked_at.is_none()
    }
}

/// A row of `api_keys`, the same from both databases.
#[derive(Debug)]
pub(crate) struct KeyRow {
    key_id: String,
    name: String,
    digest: String,
    advertisers: Option<String>,
    created_at: String,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

from_columns!(KeyRow { key_id, name, digest, advertisers, created_at, revoked_at, last_used_at });

impl TryFrom<KeyRow> for ApiKey {
    type Error = Failure;

    fn try_from(row: KeyRow) -> Result<Self, Failure> {
        Ok(Self {
            key_id: row.key_id.parse().map_err(|_| Failure::corrupt("the id of an API key", &row.key_id))?,
            name: row.name,
            digest: digest(&row.digest)?,
            scope: KeyScope::from_json(row.advertisers.as_deref())?,
            created_at: time::from_text(&row.created_at)?,
            revoked_at: row.revoked_at.as_deref().map(time::from_text).transpose()?,
            last_used_at: row.last_used_at.as_deref().map(time::from_text).transpose()?,
        })
    }
}

/// A digest from the 64 hexadecimal digits that it is read as.
fn digest(hex: &str) -> Result<KeyDigest, Failure> {
    let corrupt = || Failure::corrupt("the digest of an API key", hex);
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = [0; 32];
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return Err(corrupt()) };
    if pairs.len() != digest.len() {
        return Err(corrupt());
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high).zip(nibble(*low)).map(|(high, low)| high << 4 | low).ok_or_else(corrupt)?;
    }
    Ok(digest)
}

/// A key that was used, and when it was last.
#[derive(Debug, Serialize)]
pub(crate) struct Use {
    pub(crate) key_id: KeyId,
    pub(crate) at: String,
}

/// Each key once, with the last moment said of it, in the order of ids.
pub(crate) fn last_uses(used: &[(KeyId, Timestamp)]) -> Vec<Use> {
    let mut last: Vec<Use> =
        used.iter().map(|(key_id, at)| Use { key_id: *key_id, at: time::to_text(*at) }).collect();
    last.sort_unstable_by(|a, b| (a.key_id, &b.at).cmp(&(b.key_id, &a.at)));
    last.dedup_by_key(|of| of.key_id);
    last
}
